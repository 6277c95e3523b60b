# SPDX-License-Identifier: Apache-2.0
"""`Simulation`: the real actors under virtual time and a seeded order of steps, with faults, held against invariants.

The supervisor, its containers, the autoscaler, the dispatch and the verbs are those that run in production; only the
inside of a container (`FakeBackend`), the event loops (`World`) and the clock are not. A run is a function of its
`Plan`, and a plan of a seed and of how often each fault occurs.
"""

from __future__ import annotations

import asyncio
import gc
import hashlib
import logging
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from itertools import count
from types import SimpleNamespace
from typing import Any, Final

from attrs import field, frozen

from actorpool import _map, _verbs
from actorpool._actors._runtime import AppRuntime
from actorpool._actors._supervisor import Supervisor
from actorpool._backends._workload import ContainerBackend, ContainerOwner, Target
from actorpool._binding import ChangeSettings, PoolBinding, Reduced
from actorpool._core._config import AutoscalerSettings
from actorpool._core._container import Container, Phase
from actorpool._core._input import Input
from actorpool._core._pool import Pool
from actorpool._core._retry import RetryPolicy
from actorpool._core._scaling import WindowPolicy
from actorpool._host._current import current_host
from actorpool._running import Running
from actorpool._spec import Variation
from actorpool.exception import (
    InvalidError,
)
from actorpool.function import Function

from ._fake_backend import FakeBackend, FakeFailure
from ._faults import Faults, InputFate
from ._invariants import CONTROL, DATA, END, STILL, Violation, complaint, watch_idleness
from ._simulation_callers import Callers
from ._simulation_draw import draw_plan
from ._simulation_ledger import Entry, Ledger
from ._simulation_local import LocalInside
from ._simulation_plan import Action, Plan
from ._simulation_pool import ObservedPool
from ._simulation_world import Stuck, World, WorldLoop

__all__ = ["Report", "Simulation"]

# How long a simulation goes on after its last action, before the app is closed.
_AFTER_S: Final = 30.0


@frozen(kw_only=True)
class Report:
    """What a simulation that broke no invariant has to say."""

    seconds: float
    """Virtual time that has passed."""
    events: int
    """Steps that the pool machine has taken: inputs accepted, refused, ended and cancelled, and control events."""
    inputs: int
    """Inputs accepted."""
    log: list[Entry] = field(repr=False)
    """What happened, in order."""

    @property
    def digest(self) -> str:
        """A hash of the log: equal for equal logs, in every process."""
        return hashlib.sha256("\n".join(map(repr, self.log)).encode()).hexdigest()


@frozen
class _Source:
    """The way of the simulated function's handle to its pool."""

    supervisor: Supervisor
    target: Target

    def bind(self) -> PoolBinding:
        return PoolBinding(self.supervisor.dispatcher, self.target, self.supervisor)

    def update(self, change: ChangeSettings) -> AutoscalerSettings:
        return self.supervisor.update(change)

    def varied(self, variation: Variation) -> _Source:
        raise InvalidError("a simulated function has no variants")

    def reduced(self, raw: Callable[..., Any] | None) -> Reduced:
        raise InvalidError("a simulated function is not sent to another process")


class Simulation:
    """One history of one pool, from its start to the close of its app.

    Args:
        seed: Draws the plan, and the order of runnable steps.
        faults: How often each fault occurs; default `Faults()`.
        actions: About how many things are done to the pool.
        plan: The plan itself, instead of these.
        watch: Called with each line of the log, as it is written.
    """

    def __init__(
        self,
        seed: int = 0,
        faults: Faults | None = None,
        *,
        actions: int = 160,
        plan: Plan | None = None,
        watch: Callable[[Entry], object] | None = None,
    ) -> None:
        self.plan: Plan = (
            draw_plan(seed, Faults() if faults is None else faults, actions) if plan is None else plan
        )
        self.ledger: Ledger = Ledger(self.plan.pool, lambda: self._world.now)
        self.ledger.check = self._check
        if watch is not None:
            self.ledger.log = _WatchedLog(watch)
        self.log: list[Entry] = self.ledger.log
        """What has happened so far, in order; nothing is added after a violation."""
        self._world = World(self.plan.seed, self._still)
        self._loops: dict[int, WorldLoop] = {}
        self._begun: dict[Input, int] = {}
        local = self.plan.pool.inside == "local"
        self._target = Target("f", LocalInside.work if local else _nothing, self.plan.pool.is_async or local)
        self._pool: ObservedPool | None = None
        self._running: Running | None = None
        self._function: Function[..., Any, Any] | None = None
        self._callers: Callers | None = None
        self._closing: list[asyncio.Task[None]] = []
        self._over = False

    # -- running ---------------------------------------------------------------------------------

    def run(self) -> Report:
        """Carry out the plan; return what there was.

        Raises:
            Violation: If an invariant does not hold; `ledger.log` says what led to it.
        """
        with _determined(self._world, self._report_error):
            try:
                scenario = self._loop(0).create_task(self._scenario())
                self._world.run(lambda: scenario.done() and not self._waiting)
                scenario.result()
                # What was interrupted and did not listen returns some time.
                self._world.run_out()
                self._check_end()
            except Stuck as error:
                waiting = ", ".join(map(str, self._waiting))
                self._fail(f"each_caller_is_answered: {error}; these callers still wait: {waiting}")
                assert self._world.failure is not None
                raise self._world.failure from None
            finally:
                self._over = True
                self.ledger.check = _nothing
                if self._callers is not None:
                    self._callers.forget()
                self._world.end()
        ledger = self.ledger
        accepted = sum(ledger.outcomes)
        return Report(seconds=self._world.now, events=ledger.steps, inputs=accepted, log=ledger.log)

    @property
    def _waiting(self) -> dict[int, Any]:
        return {} if self._callers is None else self._callers.waiting

    def _check(self, pool: Pool) -> None:
        ledger = self.ledger
        ledger.steps += 1
        watch_idleness(ledger)
        wrong = complaint(DATA if ledger.event is None else CONTROL, ledger, pool)
        if wrong is not None:
            self._fail(wrong)
        if ledger.event is not None:
            ledger.event, ledger.effects = None, []

    def _still(self) -> None:
        if self._pool is not None:
            wrong = complaint(STILL, self.ledger, self._pool)
            if wrong is not None:
                self._fail(wrong)

    def _check_end(self) -> None:
        assert self._pool is not None
        wrong = complaint(END, self.ledger, self._pool)
        left = [name for loop in self._loops.values() for name in sorted(map(_name, asyncio.all_tasks(loop)))]
        if wrong is None and left:
            wrong = f"nothing_is_left: after the close there are still tasks: {', '.join(left)}"
        if wrong is None and self._world.unhandled:
            wrong = f"nothing_fails_unseen: {self._world.unhandled[0]}"
        if wrong is not None:
            self._fail(wrong)
            raise Violation(wrong)

    def _fail(self, wrong: str) -> None:
        if self._world.failure is None and not self._over:
            self.ledger.note("violation", wrong)
            # What the end of the world does is not part of the history.
            self.log, self.ledger.log = self.ledger.log, []
            self._world.failure = Violation(wrong)

    def _report_error(self, message: str) -> None:
        self._fail(f"nothing_fails_unseen: {message}")

    # -- the app ---------------------------------------------------------------------------------

    async def _scenario(self) -> None:
        host = current_host()
        plan = self.plan
        limits = plan.pool.limits
        runtime = AppRuntime(
            "simulated",
            host,
            max_threads=limits.max_threads,
            max_processes=limits.max_processes,
            grace_s=plan.pool.grace_s,
        )
        supervisor = runtime.supervisor("f", lambda: self._supervisor(runtime))
        self._function = Function("f", _Source(supervisor, self._target), None)
        self._callers = Callers(self._function, self.ledger, self._fail, self._loop)
        self._running = Running(runtime, None)
        await runtime.start()
        for action in plan.actions:
            if action.at > host.now():
                await host.sleep(action.at - host.now())
            self._act(action)
        await host.sleep(_AFTER_S)
        self._close(plan.drain)
        for closing in self._closing:
            await closing

    def _supervisor(self, runtime: AppRuntime) -> Supervisor:
        plan = self.plan.pool
        pool = self._pool = ObservedPool(
            "f",
            settings=plan.settings,
            concurrency=plan.concurrency,
            limits=plan.limits,
            restart=plan.restart,
            timeout=plan.timeout,
            retry=RetryPolicy.of(plan.retries),
            recycle_after=plan.recycle_after,
            grace_s=plan.grace_s,
        )
        pool.observe(self.ledger)

        def make(name: str, owner: ContainerOwner) -> ContainerBackend:
            return self._container(name, owner, runtime, supervisor)

        supervisor = Supervisor(
            "f",
            pool,
            runtime.host,
            make,
            WindowPolicy(),
            startup_timeout_s=plan.startup_timeout,
            grace_s=plan.grace_s,
            recycle_age_s=plan.recycle_age,
        )
        return supervisor

    def _container(
        self, name: str, owner: ContainerOwner, runtime: AppRuntime, supervisor: Supervisor
    ) -> ContainerBackend:
        number = int(name.rpartition("/")[2])
        fates = self.plan.containers
        fate = fates[(number - 1) % len(fates)]
        complete = supervisor.dispatcher.complete
        if self.plan.pool.inside == "local":
            assert self._callers is not None
            local = self.ledger.inside[number] = LocalInside(
                name,
                runtime.host,
                complete,
                runtime.gates["threads"],
                target=self._target,
                max_inputs=self.plan.pool.max_inputs,
                fate=fate,
                fate_of=self._begin,
                call_back=self._callers.call_back,
            )
            return local.backend
        fake = self.ledger.inside[number] = FakeBackend(
            name, runtime.host, complete, owner, fate=fate, fate_of=self._begin
        )
        return fake

    def _begin(self, input: Input) -> InputFate:
        """The work of an input begins: say what becomes of it."""
        number, fate = input.args
        if self._begun.get(input) == input.attempt:
            self._fail(f"each_attempt_runs_once: attempt {input.attempt} of input {number} has begun twice")
        self._begun[input] = input.attempt
        assert isinstance(fate, InputFate)
        return fate

    # -- what is done to it ----------------------------------------------------------------------

    def _loop(self, index: int) -> WorldLoop:
        loop = self._loops.get(index)
        if loop is None:
            loop = self._loops[index] = self._world.open_loop()
        return loop

    def _act(self, action: Action) -> None:
        assert self._function is not None
        assert self._callers is not None
        match action.kind:
            case "call" | "map" | "spawn":
                self._callers.act(action)
            case "cancel caller":
                self._callers.cancel(action.index)
            case "cancel call":
                self._callers.cancel_call(action.index, terminate=action.terminate)
            case "settings":
                minimum, maximum, buffer, window = action.settings
                self.ledger.note("settings", *action.settings)
                self._function.autoscaler.update(
                    min_containers=minimum,
                    max_containers=maximum,
                    buffer_containers=buffer,
                    scaledown_window=window,
                )
            case "kill":
                self._kill(action)
            case "jump":
                self.ledger.note("clock leaps", action.seconds)
                self._world.leap(action.seconds)
            case "close loop":
                self._close_loop(action)
            case "close":
                self._close(action.drain)

    def _kill(self, action: Action) -> None:
        ledger = self.ledger

        def is_meant(container: Container) -> bool:
            phase, busy = ledger.phases[container], bool(ledger.slots[container])
            match action.state:
                case "starting":
                    return phase is Phase.STARTING
                case "idle":
                    return phase is Phase.READY and not busy
                case "busy":
                    return phase is Phase.READY and busy
                case "draining":
                    return phase is Phase.DRAINING or phase is Phase.STOPPING

        found = [container for container in ledger.phases if is_meant(container)]
        if found:
            container = found[action.index % len(found)]
            ledger.note("killed", container.number, action.state)
            inside = ledger.inside.get(container.number)
            if inside is not None:
                inside.die()

    def _close_loop(self, action: Action) -> None:
        loop = self._loops.pop(action.loop, None)
        if loop is None or not action.loop:
            return
        self.ledger.note("loop closed", action.loop)
        self._world.close_loop(loop)
        assert self._callers is not None
        self._callers.lose(action.loop, later=action.terminate)

    def _close(self, drain: bool) -> None:
        assert self._running is not None
        ledger = self.ledger
        ledger.note("close", drain)
        if not drain:
            ledger.hurried = True
        ledger.drain_until = min(ledger.drain_until, self._world.now + self.plan.pool.grace_s)
        close = self._running.close_async(drain=drain)
        self._closing.append(self._loop(0).create_task(close, name="closing"))


class _WatchedLog(list[Entry]):
    """A log that shows each line to somebody."""

    def __init__(self, watch: Callable[[Entry], object]) -> None:
        super().__init__()
        self._watch = watch

    def append(self, entry: Entry, /) -> None:
        super().append(entry)
        self._watch(entry)


def _nothing(*_: Any) -> None:
    pass


def _name(task: asyncio.Task[Any]) -> str:
    return task.get_name()


class _Errors(logging.Handler):
    def __init__(self, report: Callable[[str], None]) -> None:
        super().__init__(logging.ERROR)
        self._report = report

    def emit(self, record: logging.LogRecord) -> None:
        if isinstance(record.exc_info and record.exc_info[1], FakeFailure):
            # An exit hook that was meant to raise, and whose failure was told to the user.
            return
        cause = record.exc_info[1] if record.exc_info else None
        self._report(f"{record.getMessage()} ({cause!r})" if cause is not None else record.getMessage())


@contextmanager
def _determined(world: World, report_error: Callable[[str], None]) -> Iterator[None]:
    """Take away what would make two runs differ, or would cost time: the real clock, counters, collections, logging."""
    logger = logging.getLogger("actorpool")
    before = (logger.handlers[:], logger.propagate, logger.level)
    # Any: what a module has imported is not for others to replace, save here.
    map_module: Any = _map
    verbs_module: Any = _verbs
    real_time, real_count = map_module.time, verbs_module._done_at_once
    collects = gc.isenabled()
    gc.disable()
    logger.handlers, logger.propagate = [_Errors(report_error)], False
    logger.setLevel(logging.ERROR)
    # A map draws for about a millisecond of real time: here none passes.
    map_module.time = SimpleNamespace(monotonic=lambda: world.now)
    verbs_module._done_at_once = count(1)
    try:
        yield
    finally:
        map_module.time, verbs_module._done_at_once = real_time, real_count
        logger.handlers, logger.propagate = before[:2]
        logger.setLevel(before[2])
        if collects:
            gc.enable()

# SPDX-License-Identifier: Apache-2.0
"""The simulation: the pool machine, its dispatcher and a policy, in a world of events instead of actors.

What decides is what decides in a running app: `Pool`, `Dispatcher` and the policy object, step by step as the
supervisor and the autoscaler drive them. What is simulated is the world around them: the clock, callers, work that
takes its time, containers that take theirs to start. No event loop, no thread, no model of the pool.

Time advances from one instant to the next at which something is due. What is due at one instant is done in turns, as
on an event loop: all that was due when the turn began, then, once, what the machine asked for meanwhile (a look of the
policy, a tick of the supervisor). So the starts that a look asks for may be ready, if that takes no time, before the
next look. Events that fall on the same instant are done in the order in which they were brought about; the same trace,
settings, policy and seed give the same report.
"""

from __future__ import annotations

import heapq
import random
from array import array
from typing import TYPE_CHECKING, Any, Final, cast

from actorpool._actors._dispatch import Dispatcher
from actorpool._core import _effects as fx
from actorpool._core._admission import CONTROL, SCALING
from actorpool._core._config import AutoscalerSettings, Concurrency, Limits, Restart
from actorpool._core._input import SUCCEEDED, Input
from actorpool._core._observed import make_pool
from actorpool._core._scaling import WindowPolicy, policy_factory, with_events
from actorpool.exception import ClosedError, InternalError, InvalidError, ResourceExhaustedError

from ._ledger import Box, Ledger
from ._report import Report

if TYPE_CHECKING:
    from collections.abc import Callable

    from actorpool._core._container import Container
    from actorpool._core._pool import Pool
    from actorpool._core._scaling import PolicyChoice, ScalingPolicy
    from actorpool._host._base import Host

    from ._trace import MapCall, Trace

__all__ = ["simulate"]

_INFINITE: Final = float("inf")
# A simulated caller waits rather than be refused, unless limits are given.
_ENOUGH: Final = 1_000_000_000
_UNLIMITED: Final = Limits(max_pending=_ENOUGH, max_inputs=_ENOUGH, max_spawned=_ENOUGH)
# So often may the policy look at one instant without anything else happening; a wave of starts is one look.
_MOST_LOOKS: Final = 10_000


def simulate(
    trace: Trace,
    settings: AutoscalerSettings | None = None,
    *,
    max_inputs: int | None = None,
    target_inputs: int | None = None,
    policy: PolicyChoice = WindowPolicy,
    limits: Limits | None = None,
    seed: int = 0,
    label: str = "",
) -> Report:
    """Return what a trace would have cost under these settings, and how long its inputs would have waited.

    Args:
        trace: The workload.
        settings: The autoscaler's bounds; default those of the trace.
        max_inputs: Inputs a container runs at once; default that of the trace.
        target_inputs: Inputs the autoscaler aims for in each container; default that of the trace, or `max_inputs`
            where that is given.
        policy: The policy, of which the simulation takes a copy, or what makes one; as for `App(policy=...)`.
        limits: Limits of the function, beyond which inputs are refused and counted so; default none. Of a
            map's own limits only its window counts, and that is the trace's.
        seed: Seeds what start-up times are drawn, once those of the trace are used up.
        label: What tables and pictures call this simulation; default says the policy.

    Raises:
        InvalidError: If a value is out of range, or the policy is for ever asking to be woken at once.
    Threads: Any; it computes, and returns when it is done. Half a minute per million inputs is a bound.
    """
    if max_inputs is None and target_inputs is None:
        concurrency = trace.concurrency
    else:
        most = trace.concurrency.max_inputs if max_inputs is None else max_inputs
        concurrency = Concurrency(most, target_inputs or 0)
    world = _World(
        trace,
        trace.settings if settings is None else settings,
        concurrency,
        policy_factory(policy)(),
        _UNLIMITED if limits is None else limits,
        seed,
    )
    world.run()
    return world.report(label)


class _Clock:
    """All that a dispatcher wants of its host as long as everything happens in one thread: the time."""

    __slots__ = ("instant",)

    def __init__(self) -> None:
        self.instant = 0.0

    def now(self) -> float:
        return self.instant


class _Actor:
    """Stands in for a container's actor: it takes what is sent to it, and reports the end of its work."""

    __slots__ = ("box", "record", "world")

    def __init__(self, world: _World, record: Container, box: Box) -> None:
        self.world = world
        self.record = record
        self.box = box

    def send(self, input: Input) -> None:
        self.world.begin(self, input)

    def cancel(self, input: Input) -> None:
        """Nothing is cancelled before its work has ended."""


class _Caller:
    """A closed loop: it makes the maps of one caller, one after the other."""

    __slots__ = ("_asked", "_calls", "_first", "_in_flight", "_left", "_next", "_unended", "_world")

    def __init__(self, world: _World, calls: tuple[MapCall, ...], first: int) -> None:
        self._world = world
        self._calls = calls
        # The place of its next map, and of its next input among all.
        self._next = 0
        self._first = first
        # Of the present map: inputs not submitted yet, and inputs that have not ended.
        self._left = 0
        self._unended = 0
        self._in_flight = 0
        # Whether it is to submit further inputs in the next turn.
        self._asked = False

    def pause(self) -> None:
        """Let the next map begin after its pause, if there is one."""
        if self._next < len(self._calls):
            self._world.later(self._calls[self._next].pause_s, self._begin, None)

    def _begin(self, _: None) -> None:
        self._left = self._unended = self._calls[self._next].inputs
        self._in_flight = 0
        self._next += 1
        self._submit(None)

    def _submit(self, _: None) -> None:
        self._asked = False
        count = min(self._left, self._calls[self._next - 1].in_flight - self._in_flight)
        if count <= 0:
            return
        accepted = self._world.submit_many(range(self._first, self._first + count), self._ended)
        self._first += accepted
        self._left -= accepted
        self._in_flight += accepted
        if accepted < count and not self._world.dispatcher.wait_for_room(self._ask):
            self._ask()

    def _ask(self) -> None:
        if not self._asked:
            self._asked = True
            self._world.later(0.0, self._submit, None)

    def _ended(self, input: Input) -> None:
        self._in_flight -= 1
        self._unended -= 1
        if not self._unended:
            self.pause()
        elif self._left:
            self._ask()


class _World:
    """One simulation under way."""

    def __init__(
        self,
        trace: Trace,
        settings: AutoscalerSettings,
        concurrency: Concurrency,
        policy: ScalingPolicy,
        limits: Limits,
        seed: int,
    ) -> None:
        self._trace = trace
        self._settings = settings
        self._concurrency = concurrency
        self._policy = policy
        self._decide = with_events(policy)
        self._random = random.Random(seed)
        self._clock = _Clock()
        self.pool: Pool = make_pool(
            trace.name, policy, settings=settings, concurrency=concurrency, limits=limits, restart=Restart()
        )
        # The cast: of a host it wants the clock, and the bridge only from other threads or after a lost loop.
        self.dispatcher = Dispatcher(self.pool, cast("Host", self._clock), self._attend, self._tell)
        self.ledger = Ledger(settings, concurrency)
        # {(instant, sequence): step, its argument}, as a heap.
        self._due: list[tuple[float, int, Callable[[Any], object], Any]] = []
        self._sequence = 0
        # When the policy wants to look, and when the supervisor is to tick.
        self._wake_at = _INFINITE
        self._tick_at = _INFINITE
        self._asked = 0
        self._looks = 0
        self._refused = 0
        self._services = trace.services.tolist()
        count = len(self._services)
        # By input; NaN for those that were refused, or never came.
        missing = [float("nan")] * count
        self._submitted = array("d", missing)
        self._submitted[: len(trace.arrivals)] = trace.arrivals
        self._taken = array("d", missing)
        self._cold = 0

    # -- what is due -----------------------------------------------------------------------------

    def later(self, seconds: float, step: Callable[[Any], object], argument: object) -> None:
        """Take `step` after this time, in a later turn."""
        self._sequence += 1
        heapq.heappush(self._due, (self._clock.instant + seconds, self._sequence, step, argument))

    def run(self) -> None:
        """Let everything happen."""
        clock, due, ledger = self._clock, self._due, self.ledger
        submit = self._submit
        arrivals = [*self._trace.arrivals, _INFINITE]
        arrived = 0
        first = len(arrivals) - 1
        for calls in self._trace.callers:
            _Caller(self, calls, first).pause()
            first += sum(call.inputs for call in calls)
        closes_at = self._trace.duration_s
        idle_turns = 0
        # Supervisor and autoscaler look once as they begin; so the minimum is started before anything comes.
        self._asked = SCALING | CONTROL
        now = 0.0
        while True:
            if not self._asked:
                instant = due[0][0] if due else _INFINITE
                if arrivals[arrived] < instant:
                    instant = arrivals[arrived]
                if self._wake_at < instant:
                    instant = self._wake_at
                if self._tick_at < instant:
                    instant = self._tick_at
                if instant > closes_at and self._over(arrived):
                    break
                if instant == _INFINITE:
                    raise InternalError(f"nothing is due, and {self.ledger.pending} inputs are pending")
                if instant > now:
                    ledger.elapse(now, instant)
                    clock.instant = now = instant
                    idle_turns = 0
            # What this turn brings about, even for this instant, is for the next one.
            last = self._sequence
            idle_turns += 1
            while due and due[0][0] <= now and due[0][1] <= last:
                _, _, step, argument = heapq.heappop(due)
                step(argument)
                idle_turns = 0
            while arrivals[arrived] <= now:
                submit(arrived)
                arrived += 1
                idle_turns = 0
            if idle_turns > _MOST_LOOKS:
                raise InvalidError(
                    f"the policy {type(self._policy).__name__} asks at {now:g} s for ever to be woken at once; "
                    "wake_at must be later than the snapshot's now"
                )
            if self._asked or self._wake_at <= now or self._tick_at <= now:
                self._control(now)
        self._close(closes_at)

    def _over(self, arrived: int) -> bool:
        """Whether every input has come and ended: what is due is then for nobody."""
        return arrived == len(self._trace.arrivals) and self.pool.drained and not self._expected

    @property
    def _expected(self) -> bool:
        """Whether some map has not ended."""
        return self.pool.arrived + self._refused < len(self._services)

    def _close(self, at: float) -> None:
        now = self._clock.instant
        if at > now:
            self.ledger.elapse(now, at)
            self._clock.instant = at
        self._perform(self.dispatcher.handle(fx.Closed()))
        self._perform(self.dispatcher.handle(fx.ShutDown()))
        # What is due later are starts that were called off.
        while self._due and self._due[0][0] <= self._clock.instant:
            _, _, step, argument = heapq.heappop(self._due)
            step(argument)

    # -- callers ---------------------------------------------------------------------------------

    def _submit(self, index: int) -> None:
        self.ledger.pending += 1
        try:
            self.dispatcher.submit(Input(self._trace.name, (), None, None, index=index))
        except ResourceExhaustedError:
            self.ledger.pending -= 1
            self._refused += 1

    def submit_many(self, indices: range, sink: Callable[[Input], object]) -> int:
        """Submit these inputs of a map; return how many were accepted."""
        now = self._clock.instant
        inputs = [Input(self._trace.name, (), None, None, sink, index=index) for index in indices]
        for index in indices:
            self._submitted[index] = now
        self.ledger.pending += len(inputs)
        accepted = self.dispatcher.submit_many(inputs)
        self.ledger.pending -= len(inputs) - accepted
        return accepted

    # -- containers ------------------------------------------------------------------------------

    def begin(self, actor: _Actor, input: Input) -> None:
        """An input has its slot: its work begins."""
        index = input.index
        now = self._clock.instant
        box = actor.box
        self._taken[index] = now
        if box.ready_at > self._submitted[index]:
            self._cold += 1
        self.ledger.took(box, now)
        self._sequence += 1
        heapq.heappush(
            self._due, (now + self._services[index], self._sequence, self._work_ended, (actor, input))
        )

    def _work_ended(self, what: tuple[_Actor, Input]) -> None:
        actor, input = what
        self.ledger.left(actor.box, self._clock.instant)
        following = self.dispatcher.complete(input, SUCCEEDED, None)
        if following is not None:
            self.begin(actor, following)

    def _startup_s(self, number: int) -> float:
        startups = self._trace.startups
        return startups[number] if number < len(startups) else self._random.choice(startups)

    def _became_ready(self, actor: _Actor) -> None:
        # One whose start was called off is gone before.
        if actor.box.capacity:
            self.ledger.ready(actor.box, self._clock.instant)
            self._tell(fx.ContainerReady(actor.record))

    def _exited(self, actor: _Actor) -> None:
        self.ledger.gone(actor.box, self._clock.instant)
        self._tell(fx.ContainerExited(actor.record))

    # -- what the supervisor and the autoscaler do -----------------------------------------------

    def _attend(self, attention: int) -> None:
        self._asked |= attention

    def _tell(self, event: fx.Event) -> None:
        self._perform(self.dispatcher.handle(event))

    def _control(self, now: float) -> None:
        """Do what was asked for until now, or is due."""
        if self._wake_at <= now:
            self._asked |= SCALING
        if self._tick_at <= now:
            self._asked |= CONTROL
        asked, self._asked = self._asked, 0
        if asked & CONTROL:
            self.dispatcher.begin_tick()
            self._tell(fx.Ticked())
            tick_at = self.pool.next_tick()
            self._tick_at = _INFINITE if tick_at is None else tick_at
        if asked & SCALING:
            self._looks += 1
            snapshot = self.dispatcher.snapshot()
            decision = self._decide(snapshot)
            self._wake_at = _INFINITE if decision.wake_at is None else decision.wake_at
            self._tell(fx.Decided(decision, snapshot))

    def _perform(self, effects: list[fx.Effect]) -> None:
        now = self._clock.instant
        for effect in effects:
            match effect:
                case fx.StartContainer(container=record):
                    seconds = self._startup_s(self.ledger.starts)
                    record.handle = _Actor(self, record, self.ledger.asked(now))
                    self.later(seconds, self._became_ready, record.handle)
                case fx.StopContainer(container=record):
                    self.ledger.told_to_stop(record.handle.box, now)
                    self.later(0.0, self._exited, record.handle)
                case fx.Deliver(container=record, inputs=inputs):
                    for input in inputs:
                        self.dispatcher.send(record.handle, input)
                case fx.Settle(input=input):
                    raise ClosedError(f"{input!r} ended without being run")
                case _:
                    raise InternalError(f"a simulation knows no {type(effect).__name__}")

    # -- the end ---------------------------------------------------------------------------------

    def report(self, label: str) -> Report:
        """Return what came of it."""
        return Report.of(
            self._trace,
            label or type(self._policy).__name__,
            self._settings,
            self._concurrency,
            self.ledger,
            submitted=self._submitted,
            taken=self._taken,
            cold=self._cold,
            refused=self._refused,
            looks=self._looks,
            overruled=self.pool.overruled,
            duration_s=self._clock.instant,
        )

# SPDX-License-Identifier: Apache-2.0
"""One running app: the root nursery, in a task of its own, and the supervisors in it.

Because nobody's task holds the nursery, an app may be started in one task and closed in another, and a
caller who is cancelled while closing does not leave it half closed.

Closing: accept nothing more; drain for up to `grace_s` (skipped after an exception); cancel what is left;
stop the containers with their exit hooks; nothing remains.
"""

from __future__ import annotations

import logging
import math
import threading
from contextlib import AsyncExitStack
from contextvars import Context
from functools import partial
from typing import TYPE_CHECKING, Any, Final, Protocol

from actorpool._backends._thread_gate import ThreadGate
from actorpool._core import _effects as fx
from actorpool._core._threads import ThreadBudget
from actorpool._host._errors import HostClosedError
from actorpool._host._watchdog import Watch, open_watch
from actorpool.exception import ClosedError

from ._overrides import Overrides
from ._scheduler import Scheduler
from ._standstill import Standstills

if TYPE_CHECKING:
    from collections.abc import Callable, Hashable, Sequence

    from actorpool._backends._process_pool import Templates
    from actorpool._core._input import Input
    from actorpool._core._pool import Pool
    from actorpool._host._base import CancelScope, Event, Host, Nursery, RootHandle, TimerHandle

    from ._scheduler import Scheduled
    from ._supervisor import Resource, Supervisor

__all__ = ["AppRuntime", "Observer"]

logger = logging.getLogger("actorpool")

# Some hundred bytes each.
_MOST_OVERRIDES: Final = 10_000


class Observer(Protocol):
    """Is told of each supervisor before it begins; must be quick, and raise nothing. Threads: any."""

    def __call__(self, key: Hashable, supervisor: Supervisor, /) -> object: ...


class AppRuntime:
    """The actors of one app, on one host."""

    def __init__(
        self,
        name: str,
        host: Host,
        *,
        max_threads: int,
        max_processes: int,
        grace_s: float,
        block_warning_s: float | None = None,
        observers: Sequence[Observer] = (),
    ) -> None:
        self.name = name
        self.host = host
        self.grace_s = grace_s
        self.block_warning_s = block_warning_s
        self.gates: dict[Resource, ThreadGate] = {
            "threads": self._gate("threads", max_threads),
            "processes": self._gate("processes", max_processes),
        }
        """Where containers wait for what the app has a ceiling of."""
        self._standstills = Standstills(host, lambda: self.supervisors().values(), self._ceilings)
        self.watch: Watch = open_watch(host, block_warning_s, owns=self._owns, busy=self._runs_async)
        """Sees to it that the user is told when an asynchronous function blocks the loop."""
        # {key: supervisor}; a key is a function's name, or a class with its parameters.
        self._supervisors: dict[Hashable, Supervisor] = {}
        self.overrides: Overrides = Overrides(name, _MOST_OVERRIDES)
        """Settings that were changed for a class's parameter set, which outlast its pool."""
        self._observers = observers
        self._templates: Templates | None = None
        self._resources: AsyncExitStack | None = None
        self._lock = threading.Lock()
        self._nursery: Nursery | None = None
        self._root: RootHandle | None = None
        self._guard: TimerHandle | None = None
        self._opened: Event = host.event()
        self._close_asked: Event = host.event()
        self._drain = True
        # Whether not even the inputs of accepted inputs are accepted any more.
        self._aborted = False
        self._drain_scope: CancelScope | None = None
        self._when_ended: list[Callable[[], object]] | None = []
        self.closed: bool = False

    # -- the host's thread -----------------------------------------------------------------------

    async def start(self, scheduled: Sequence[Scheduled] = ()) -> None:
        """Start the root task, the supervisors known so far, and the scheduler."""

        async def root() -> None:
            await self._live(scheduled)

        self._guard = self.host.when_closed(self._lose_loop)
        self._root = self.host.start_root(root, f"app {self.name}")
        await self._opened.wait()

    async def _live(self, scheduled: Sequence[Scheduled]) -> None:
        try:
            async with self.host.open_nursery() as nursery:
                with self._lock:
                    self._nursery = nursery
                    waiting = list(self._supervisors.items())
                for key, supervisor in waiting:
                    nursery.start_soon(
                        self._supervise, key, supervisor, name=f"supervisor of {supervisor.name}"
                    )
                if scheduled:
                    scheduler = Scheduler(self.host, scheduled)
                    nursery.start_soon(scheduler.run, name=f"scheduler of {self.name}")
                self._opened.set()
                await self._close_asked.wait()
                await self._wind_up()
                nursery.cancel()
        finally:
            # Also when cut off from outside: nobody may wait for this app any more.
            self.closed = True
            self._nursery = None
            self._opened.set()
            self._standstills.close()
            try:
                if self._templates is not None or self._resources is not None:
                    await self.host.shielded(self._close_shared, math.inf)
            finally:
                if self._guard is not None:
                    self._guard.cancel()
                self._end()

    async def _close_shared(self) -> None:
        if self._templates is not None:
            await self._templates.close()
        try:
            if self._resources is not None:
                await self._resources.aclose()
        except Exception:
            # A resource of the user's own backend: the app has closed all the same.
            logger.exception("what the containers of app '%s' shared could not be closed", self.name)

    def _end(self) -> None:
        """Tell whoever waits that nothing is left."""
        with self._lock:
            notify, self._when_ended = self._when_ended, None
        for callback in notify or ():
            callback()

    def _lose_loop(self) -> None:
        """See to it that nobody waits for a loop that was closed; called by whoever closed it."""
        logger.warning(
            "the event loop of app '%s' was closed while the app was open: its inputs are cancelled and its exit hooks "
            "are not run; close the app before its loop",
            self.name,
        )
        self.closed = True
        self._nursery = None
        for supervisor in self.supervisors().values():
            supervisor.lose_loop()
        if self._templates is not None:
            self._templates.abandon()
        self._end()

    async def _wind_up(self) -> None:
        if self._drain:
            with self.host.move_on_after(self.grace_s) as self._drain_scope:
                await self._drained()
        with self._lock:
            self._aborted = True
            supervisors = list(self._supervisors.values())
        for supervisor in supervisors:
            supervisor.dispatcher.retired = True
            supervisor.abort(
                ClosedError(f"the app of {supervisor.title} was closed before this input had a result")
            )
        for supervisor in supervisors:
            supervisor.shut_down()
        for supervisor in supervisors:
            await supervisor.ended.wait()

    async def _drained(self) -> None:
        """Return once no accepted input is without an outcome; those may call others of this app meanwhile."""
        for supervisor in list(self._supervisors.values()):
            supervisor.close_door()
        seen = -1
        while True:
            supervisors = list(self._supervisors.values())
            arrived = sum(supervisor.dispatcher.read(_arrived) for supervisor in supervisors)
            undrained = [supervisor for supervisor in supervisors if not supervisor.drained]
            if not undrained and arrived == seen:
                return
            # An input may have come to a pool after that was looked at, from one that has ended since: look twice.
            seen = arrived
            for supervisor in undrained:
                await supervisor.drain()

    def _ask_close(self, drain: bool) -> None:
        self._drain = self._drain and drain
        self.closed = True
        self._close_asked.set()
        if self._root is None:
            # Its start failed before anything ran.
            self._end()
        if not drain and self._drain_scope is not None:
            self._drain_scope.cancel()

    async def _supervise(self, key: Hashable, supervisor: Supervisor) -> None:
        if supervisor.amount and self.gates[supervisor.resource].crowded:
            supervisor.dispatcher.handle(fx.Crowded(waiting=True))
        try:
            await supervisor.run()
        except Exception:
            # A bug of ours in one supervisor: its inputs have their outcomes, and the siblings live on.
            logger.exception("supervisor of %s of app '%s' failed", supervisor.title, self.name)
        finally:
            with self._lock:
                if self._supervisors.get(key) is supervisor:
                    del self._supervisors[key]

    def _gate(self, resource: Resource, ceiling: int) -> ThreadGate:
        budget = ThreadBudget[Any](ceiling)
        crowded, take = partial(self._crowded, resource), partial(self._take, resource)
        return ThreadGate(self.host, budget, crowded, take)

    def _ceilings(self) -> dict[Resource, int]:
        return {resource: gate.ceiling for resource, gate in self.gates.items()}

    def _holders(self, resource: Resource) -> list[Supervisor]:
        """Return the supervisors whose containers hold some of `resource`."""
        supervisors = list(self._supervisors.values())
        return [found for found in supervisors if found.resource == resource and found.amount]

    def _crowded(self, resource: Resource, waiting: bool) -> None:
        """Have idle containers make way for those that wait for what they hold, or no longer."""
        for supervisor in self._holders(resource):
            supervisor.tell(fx.Crowded(waiting))

    def _take(self, resource: Resource, owner: Hashable, amount: int) -> None:
        """Have busy containers of `owner` make way: it holds more than its share while others wait."""
        of_owner = [supervisor for supervisor in self._holders(resource) if supervisor.name == owner]
        largest = max(of_owner, key=lambda supervisor: supervisor.dispatcher.read(_size), default=None)
        if largest is not None:
            largest.tell(fx.Crowded(waiting=True, give=max(1, amount // largest.amount)))

    # -- any thread ------------------------------------------------------------------------------

    def templates(self) -> Templates:
        """Return what makes the process containers of this app; the host's thread only."""
        # Here, because most programs have no such containers.
        from actorpool._backends._process_pool import Templates

        if self._templates is None:
            self._templates = Templates(self.host)
        return self._templates

    def resources(self) -> AsyncExitStack:
        """Return what closes the things that containers of the user's own making share; the host's thread only."""
        if self._resources is None:
            self._resources = AsyncExitStack()
        return self._resources

    def _owns(self, input: Input) -> bool:
        """Whether `input` holds a slot of this app."""
        container = input.container

        def holds(pool: Pool) -> bool:
            return container is not None and input in container.inputs and container in pool.containers()

        return any(supervisor.dispatcher.read(holds) for supervisor in self.supervisors().values())

    def _runs_async(self) -> bool:
        """Whether an asynchronous input holds a slot of this app."""
        return any(supervisor.dispatcher.read(_runs_async) for supervisor in self.supervisors().values())

    def ask_close(self, *, drain: bool) -> None:
        """Let the app close: drain if every request says so, then cancel, stop the containers, end.

        A request without `drain` also ends a drain under way.
        """
        try:
            self.host.bridge.post(self._ask_close, drain)
        except HostClosedError:
            # The loop ended first: the root task is gone, and whoever waits for its end is told so.
            self._end()

    def when_ended(self, notify: Callable[[], object]) -> None:
        """Call `notify` when nothing of the app is left; at once if that is so."""
        with self._lock:
            if self._when_ended is not None:
                self._when_ended.append(notify)
                return
        notify()

    def supervisor(self, key: Hashable, make: Callable[[], Supervisor]) -> Supervisor:
        """Return the supervisor of `key`, made by `make` and started if there is none.

        Raises:
            ClosedError: If the app is closed.
        """
        with self._lock:
            found = self._supervisors.get(key)
            if found is not None:
                return found
            if self._aborted or self._when_ended is None:
                raise ClosedError(f"app '{self.name}' is closed; run or deploy it again")
            supervisor = self._supervisors[key] = make()
            supervisor.forget = lambda: self._forget(key, supervisor)
            supervisor.called_from_inputs = self._standstills.watch
            for observe in self._observers:
                observe(key, supervisor)
            started = self._nursery is not None
        if self.closed:
            # It is draining: only inputs of accepted inputs come in, as everywhere else.
            supervisor.close_door()
        if started:
            try:
                self.host.bridge.post(self._start_supervisor, (key, supervisor))
            except HostClosedError as error:
                raise ClosedError(f"the event loop of app '{self.name}' has ended") from error
        return supervisor

    def _forget(self, key: Hashable, supervisor: Supervisor) -> bool:
        with self._lock:
            # Whoever finds it under this lock holds a reference first; so nobody can be about to use it.
            if supervisor.referenced or not supervisor.dispatcher.retire():
                return False
            if self._supervisors.get(key) is supervisor:
                del self._supervisors[key]
            return True

    def supervisors(self) -> dict[Hashable, Supervisor]:
        """Return the supervisors that live now, by key."""
        with self._lock:
            return dict(self._supervisors)

    def _start_supervisor(self, pair: tuple[Hashable, Any]) -> None:
        key, supervisor = pair
        if self._nursery is None:
            supervisor.refuse()
            return
        # Not in the context of whoever called first: hooks would see his variables.
        start = self._nursery.start_soon
        Context().run(start, self._supervise, key, supervisor, name=f"supervisor of {supervisor.name}")


def _size(pool: Pool) -> int:
    return pool.size


def _arrived(pool: Pool) -> int:
    return pool.arrived


def _runs_async(pool: Pool) -> bool:
    return pool.running > 0 and any(
        input.target.is_async for container in pool.containers() for input in container.inputs
    )

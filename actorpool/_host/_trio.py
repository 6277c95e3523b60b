# SPDX-License-Identifier: Apache-2.0
"""The trio host: the same port as `_asyncio`, on trio's own nurseries, channels and clock.

Importing this module imports trio, so only a trio run imports this module. The channels are thin shells that
turn trio's exceptions into ours; the nursery adds only what the port promises beyond trio's.

Theory of operation. One `TrioHost` serves one trio run and is kept in a `RunVar`, so it goes with the run.
Background work (feeders, roots, timers) runs in system tasks, which trio cancels after the main task has
ended; nothing may escape from them. Timers share one system task: it sleeps until the earliest of a heap, in
a cancel scope whose deadline is moved as timers come and go, so nothing wakes up while nothing is scheduled.
"""

from __future__ import annotations

import contextvars
import heapq
import itertools
import logging
import math
import sys
import threading
import time
from collections.abc import Awaitable, Callable, Iterator
from contextlib import AbstractAsyncContextManager, contextmanager
from types import TracebackType
from typing import Any, Final, TypeVar

import trio
from attrs import define, field
from trio.lowlevel import Abort

from ._base import FeederHandle, RootHandle, Signal, TimerHandle, Waiter
from ._bridge import Inbox, post_quietly
from ._errors import ClosedResourceError, HostClosedError
from ._trio_channel import TrioReceiveChannel, TrioSendChannel

__all__ = ["TrioBridge", "TrioHost", "current_trio_host", "run_on_mock_clock"]

T = TypeVar("T")

logger = logging.getLogger("actorpool")

# Cancelled timers whose places in the heap are not worth looking for.
_FEW: Final = 100
_NO_CONTEXT: Final = contextvars.Context()


@define(eq=False)
class TrioBridge(Inbox):
    """The `Bridge` of one trio run."""

    _token: trio.lowlevel.TrioToken = field(factory=trio.lowlevel.current_trio_token, init=False, repr=False)

    @property
    def name(self) -> str:
        return "trio"

    def check_open(self) -> None:
        # Arming finds out: trio runs every armed drain, so an armed bridge is an open one.
        pass

    def _wake_loop(self) -> None:
        try:
            self._token.run_sync_soon(self._drain)
        except trio.RunFinishedError:
            raise HostClosedError(
                "the trio run has ended, nothing can be posted to it; start a new run"
            ) from None

    def is_current(self) -> bool:
        return trio.lowlevel.in_trio_run() and trio.lowlevel.current_trio_token() is self._token

    def waiter(self) -> Waiter:
        return _TrioWaiter(self)

    def signal(self) -> Signal:
        return _TrioSignal(self)

    def create_feeder(self, function: Callable[[], Awaitable[None]]) -> FeederHandle:
        feeder = _TrioFeeder()
        trio.lowlevel.spawn_system_task(feeder.run, function, context=contextvars.copy_context())
        return feeder


@define(eq=False)
class _TrioFeeder:
    _scope: trio.CancelScope = field(factory=trio.CancelScope, init=False, repr=False)
    _done: bool = field(default=False, init=False)

    async def run(self, function: Callable[[], Awaitable[None]]) -> None:
        try:
            with self._scope:
                await function()
        except Exception:  # nobody awaits a feeder, and an escape would end the whole run
            logger.exception("a feeder failed: %r", function)
        finally:
            self._done = True

    def cancel(self) -> None:
        self._scope.cancel()

    def done(self) -> bool:
        return self._done


@define(eq=False)
class _Sleeper:
    """The one task that waits on a waiter or signal."""

    _bridge: TrioBridge = field(repr=False)
    _task: trio.lowlevel.Task | None = field(default=None, init=False, repr=False)
    _notified: bool = field(default=False, init=False)

    def notify(self, by: object = None, /) -> None:
        if self._notified:
            return
        try:
            self._notified = True
            if self._task is None:
                return
            if self._bridge.is_current():
                self._wake()
            else:
                post_quietly(self._bridge, _Sleeper._wake, self)
        except BaseException:
            # A KeyboardInterrupt may fall in between; later notifiers rely on the wake-up that the flag
            # promises.
            post_quietly(self._bridge, _Sleeper._wake, self)
            raise

    def _wake(self) -> None:
        # A wake-up may come late, after another wait consumed the flag: it must not end this one.
        task = self._task
        if task is not None and self._notified:
            self._task = None
            trio.lowlevel.reschedule(task)

    async def _sleep(self) -> None:
        # Publish the task, then look again: see the theory of operation in `_bridge`.
        self._task = trio.lowlevel.current_task()
        if self._notified:
            self._task = None
            return
        await trio.lowlevel.wait_task_rescheduled(self._abort)

    def _abort(self, _raise_cancel: Callable[[], Any]) -> Abort:
        self._task = None
        return Abort.SUCCEEDED


@define(eq=False)
class _TrioWaiter(_Sleeper):
    async def wait(self) -> None:
        if not self._notified:
            await self._sleep()


@define(eq=False)
class _TrioSignal(_Sleeper):
    async def wait(self) -> None:
        if not self._notified:
            await self._sleep()
        self._notified = False


@define(eq=False)
class TrioNursery:
    """The `Nursery` of trio."""

    _manager: AbstractAsyncContextManager[trio.Nursery] = field(
        factory=trio.open_nursery, init=False, repr=False
    )
    _nursery: trio.Nursery = field(init=False, repr=False)
    _closed: bool = field(default=False, init=False)

    def start_soon(
        self, function: Callable[..., Awaitable[object]], *args: object, name: str | None = None
    ) -> None:
        if self._closed:
            raise ClosedResourceError("the nursery has ended and takes no new children; open another")
        self._nursery.start_soon(_call, function, args, name=function if name is None else name)

    def cancel(self) -> None:
        self._nursery.cancel_scope.cancel()

    async def __aenter__(self) -> TrioNursery:
        self._nursery = await self._manager.__aenter__()
        return self

    async def __aexit__(
        self,
        exc_type: type[BaseException] | None,
        exc: BaseException | None,
        traceback: TracebackType | None,
        /,
    ) -> bool | None:
        try:
            return await self._manager.__aexit__(exc_type, exc, traceback)
        finally:
            self._closed = True


async def _call(function: Callable[..., Awaitable[object]], args: tuple[object, ...]) -> None:
    # In the child, so that a failing call is the child's failure, and so that any awaitable will do.
    await function(*args)


def _nothing() -> None:
    pass


@define(eq=False)
class _Timer:
    when: float
    callback: Callable[[], object]
    owner: _Timers = field(repr=False)
    context: contextvars.Context = field(factory=contextvars.copy_context, init=False, repr=False)
    cancelled: bool = field(default=False, init=False)

    def cancel(self) -> None:
        if not self.cancelled:
            self.cancelled = True
            # Its place in the heap may outlive it for long; what it was for must not.
            self.callback, self.context = _nothing, _NO_CONTEXT
            self.owner.cancels += 1
            self.owner.forget_cancelled()


@define(eq=False)
class _Timers:
    """The timers of one run, and the system task that waits for the earliest."""

    # (when, number to keep the order of equals, timer); may hold cancelled ones, but never as its first, and
    # never more of them than of others, but for a few.
    heap: list[tuple[float, int, _Timer]] = field(factory=list, init=False)
    # How often one was cancelled since the heap was last cleared of them.
    cancels: int = field(default=0, init=False)
    numbers: Iterator[int] = field(factory=itertools.count, init=False, repr=False)
    scope: trio.CancelScope = field(factory=trio.CancelScope, init=False, repr=False)
    running: bool = field(default=False, init=False)
    # How many roots have not ended: while the run is ending, what they still wait for is to come.
    roots: int = field(default=0, init=False)

    def count_root(self, by: int) -> None:
        self.roots += by
        self.scope.shield = self.roots > 0

    def add(self, when: float, callback: Callable[[], object]) -> _Timer:
        timer = _Timer(when, callback, self)
        heapq.heappush(self.heap, (when, next(self.numbers), timer))
        if self.running:
            self.scope.deadline = self.heap[0][0]
        else:
            trio.lowlevel.spawn_system_task(self._run, name="actorpool timers")
            self.running = True
        return timer

    def forget_cancelled(self) -> None:
        if self.cancels > max(_FEW, len(self.heap) // 2):
            self.cancels = 0
            self.heap[:] = [entry for entry in self.heap if not entry[2].cancelled]
            heapq.heapify(self.heap)
        while self.heap and self.heap[0][2].cancelled:
            heapq.heappop(self.heap)
        self.scope.deadline = self.heap[0][0] if self.heap else math.inf

    async def _run(self) -> None:
        try:
            while self.heap:
                with trio.CancelScope(deadline=self.heap[0][0], shield=self.roots > 0) as self.scope:
                    await trio.sleep_forever()
                self._run_due(trio.current_time())
        finally:
            self.running = False

    def _run_due(self, now: float) -> None:
        due: list[_Timer] = []
        while self.heap and self.heap[0][0] <= now:
            due.append(heapq.heappop(self.heap)[2])
        self.forget_cancelled()
        for timer in due:
            if not timer.cancelled:
                timer.cancelled = True
                try:
                    timer.context.run(timer.callback)
                except Exception:  # an escape would end the whole run
                    logger.exception("a timer's callback failed: %r", timer.callback)


@define(eq=False)
class _ClockHold:
    """Keeps a `MockClock` from jumping while anybody holds it.

    The clock's threshold may be moved on the run's thread only; a hold made elsewhere, the first of all,
    therefore takes effect a moment later. Holds made under another hold, or on the run's thread, take effect
    at once.
    """

    _clock: Any
    _bridge: TrioBridge = field(repr=False)
    _lock: threading.Lock = field(factory=threading.Lock, init=False, repr=False)
    _count: int = field(default=0, init=False)
    # What the clock's owner had set, while held.
    _threshold: float | None = field(default=None, init=False)

    def change(self, by: int) -> None:
        with self._lock:
            before = self._count
            assert before + by >= 0, "release() without hold()"
            self._count = before + by
            if before and self._count:
                return
        if self._bridge.is_current():
            self._apply()
        else:
            post_quietly(self._bridge, _ClockHold._apply, self)

    def _apply(self) -> None:
        with self._lock:
            held = self._count > 0
        if held and self._threshold is None:
            self._threshold = self._clock.autojump_threshold
            self._clock.autojump_threshold = math.inf
        elif not held and self._threshold is not None:
            self._clock.autojump_threshold = self._threshold
            self._threshold = None


@define(eq=False)
class TrioRoot:
    """The `RootHandle` of trio."""

    _timers: _Timers = field(repr=False)
    _scope: trio.CancelScope = field(factory=trio.CancelScope, init=False, repr=False)
    _ended: trio.Event = field(factory=trio.Event, init=False, repr=False)
    _exception: BaseException | None = field(default=None, init=False)

    async def run(self, function: Callable[[], Awaitable[None]]) -> None:
        self._timers.count_root(1)
        try:
            with self._scope:
                await function()
        except trio.Cancelled:
            raise
        except BaseException as error:  # kept for the owner; an escape would end the whole run
            self._exception = error
        finally:
            self._timers.count_root(-1)
            self._ended.set()

    def done(self) -> bool:
        return self._ended.is_set()

    async def wait(self) -> None:
        await self._ended.wait()

    def cancel(self) -> None:
        self._scope.cancel()

    def exception(self) -> BaseException | None:
        return self._exception


class _NoGuard:
    """What `TrioHost.when_closed` returns."""

    def cancel(self) -> None:
        pass


_NO_GUARD = _NoGuard()


@define(eq=False)
class TrioHost:
    """The `Host` of one trio run; get it from `current_host()`, there is one per run."""

    bridge: TrioBridge = field(factory=TrioBridge, init=False)
    _clock: trio.abc.Clock = field(factory=trio.lowlevel.current_clock, init=False, repr=False)
    _timers: _Timers = field(factory=_Timers, init=False, repr=False)
    # None on real clocks.
    _wall_epoch: float | None = field(default=None, init=False, repr=False)
    _hold: _ClockHold | None = field(default=None, init=False, repr=False)

    def __attrs_post_init__(self) -> None:
        # Nobody can have a MockClock without having imported this.
        testing = sys.modules.get("trio.testing")
        if testing is not None and isinstance(self._clock, testing.MockClock):
            self.start_wall_clock(time.time())
            self._hold = _ClockHold(self._clock, self.bridge)

    def start_wall_clock(self, wall_time: float) -> None:
        """Make `wall_time()` return `wall_time` now; virtual clocks only."""
        self._wall_epoch = wall_time - self.now()

    @property
    def name(self) -> str:
        return "trio"

    def now(self) -> float:
        return self._clock.current_time()

    def wall_time(self) -> float:
        return time.time() if self._wall_epoch is None else self._wall_epoch + self.now()

    def hold(self) -> None:
        if self._hold is not None:
            self._hold.change(1)

    def release(self) -> None:
        if self._hold is not None:
            self._hold.change(-1)

    @contextmanager
    def hold_clock(self) -> Iterator[None]:
        self.hold()
        try:
            yield
        finally:
            self.release()

    def call_at(self, when: float, callback: Callable[[], object]) -> TimerHandle:
        return self._timers.add(when, callback)

    def event(self) -> trio.Event:
        return trio.Event()

    def open_nursery(self) -> TrioNursery:
        return TrioNursery()

    def open_memory_channel(
        self, max_buffer_size: float
    ) -> tuple[TrioSendChannel[Any], TrioReceiveChannel[Any]]:
        send, receive = trio.open_memory_channel[Any](max_buffer_size)
        return TrioSendChannel(send), TrioReceiveChannel(receive)

    async def sleep(self, seconds: float) -> None:
        await trio.sleep(seconds)

    def move_on_after(self, seconds: float) -> trio.CancelScope:
        return trio.move_on_after(max(seconds, 0))

    async def shielded(self, function: Callable[[], Awaitable[T]], seconds: float) -> bool:
        with trio.move_on_after(max(seconds, 0), shield=True) as scope:
            await function()
        await trio.lowlevel.checkpoint_if_cancelled()
        return not scope.cancelled_caught

    def when_closed(self, callback: Callable[[], object]) -> TimerHandle:
        return _NO_GUARD

    def start_root(self, function: Callable[[], Awaitable[None]], name: str) -> RootHandle:
        root = TrioRoot(self._timers)
        trio.lowlevel.spawn_system_task(root.run, function, name=name, context=contextvars.Context())
        return root

    async def checkpoint(self) -> None:
        await trio.lowlevel.checkpoint()


_current_host: trio.lowlevel.RunVar[TrioHost] = trio.lowlevel.RunVar("actorpool host")


def current_trio_host() -> TrioHost:
    """Return the host of the trio run in this thread; there must be one."""
    try:
        return _current_host.get()
    except LookupError:
        host = TrioHost()
        _current_host.set(host)
        return host


def run_on_mock_clock(async_main: Callable[[], Awaitable[T]], start_wall_time: float | None) -> T:
    """See `run_virtual_trio`."""
    from trio.testing import MockClock

    async def main() -> T:
        if start_wall_time is not None:
            current_trio_host().start_wall_clock(start_wall_time)
        return await async_main()

    return trio.run(main, clock=MockClock(autojump_threshold=0))

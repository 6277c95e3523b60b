# SPDX-License-Identifier: Apache-2.0
"""Virtual time: an asyncio loop whose clock jumps instead of waiting; runners for it and trio's MockClock.

What runs on the loops is none of this module's business; production code never makes a virtual loop.

Theory of operation. An asyncio loop that has nothing ready asks its selector to wait until the next timer.
The selector here first polls; if nothing came in, it moves the clock by that time and returns. It waits for
real in two cases: while somebody holds the clock (a thread is working, and its result is due before any
timer), and when there is no timer to jump to. Both waits end by real I/O, `call_soon_threadsafe` among it.
"""

from __future__ import annotations

import asyncio
import logging
import math
import selectors
import threading
import time
from collections.abc import Awaitable, Callable, Iterator, Mapping
from contextlib import contextmanager
from typing import Any, TypeVar

__all__ = ["VirtualTimeLoop", "run_virtual", "run_virtual_trio"]

T = TypeVar("T")

logger = logging.getLogger("actorpool")

_Events = list[tuple[selectors.SelectorKey, int]]


class _JumpingSelector(selectors.BaseSelector):
    """The platform's selector, with the waiting replaced by jumps of `loop`'s clock."""

    def __init__(self) -> None:
        self._real = selectors.DefaultSelector()
        self.loop: VirtualTimeLoop | None = None

    def select(self, timeout: float | None = None) -> _Events:
        if timeout is None:
            return self._real.select(None)
        events = self._real.select(0)
        if events or timeout <= 0 or self.loop is None:
            return events
        if self.loop.held_now:
            return self._real.select(None)
        # Whoever released the clock had posted its result before: look once more, now that nobody holds it.
        events = self._real.select(0)
        if not events:
            self.loop.jump(timeout)
        return events

    def register(self, fileobj: Any, events: int, data: Any = None) -> selectors.SelectorKey:
        return self._real.register(fileobj, events, data)

    def unregister(self, fileobj: Any) -> selectors.SelectorKey:
        return self._real.unregister(fileobj)

    def modify(self, fileobj: Any, events: int, data: Any = None) -> selectors.SelectorKey:
        return self._real.modify(fileobj, events, data)

    def get_map(self) -> Mapping[Any, selectors.SelectorKey]:
        return self._real.get_map()

    def close(self) -> None:
        self.loop = None
        self._real.close()


def call_closed(callbacks: list[Callable[[], object]]) -> None:
    """Call and forget whoever asked to be told that a loop is closed."""
    while callbacks:
        callback = callbacks.pop()
        try:
            callback()
        except Exception:  # whoever closes the loop has nothing to do with it
            logger.exception("a callback failed that was told of a closed loop: %r", callback)


class VirtualLoopGuard:
    """What `VirtualTimeLoop.when_closed` returns."""

    __slots__ = ("_callback", "_guards")

    def __init__(self, guards: list[Callable[[], object]], callback: Callable[[], object]) -> None:
        self._guards = guards
        self._callback = callback

    def cancel(self) -> None:
        """Call nobody."""
        if self._callback in self._guards:
            self._guards.remove(self._callback)


class VirtualTimeLoop(asyncio.SelectorEventLoop):
    """An asyncio loop on a virtual clock, which starts at 0 and jumps to the next timer when idle.

    Real I/O and other threads work, but the clock does not wait for them unless it is held: `hold()` before
    handing work to a thread, `release()` after its result was posted. Work given to `run_in_executor` (and so
    `asyncio.to_thread`) holds the clock by itself.

    Args:
        start_wall_time: What `wall_time()` is at the start, in Unix seconds; the present if None.
    """

    def __init__(self, start_wall_time: float | None = None) -> None:
        self._virtual_now = 0.0
        self._wall_epoch = time.time() if start_wall_time is None else start_wall_time
        self._hold_lock = threading.Lock()
        self._holds = 0
        self._guards: list[Callable[[], object]] = []
        selector = _JumpingSelector()
        super().__init__(selector)
        # asyncio runs a timer that is due within its clock's resolution. Here no instant passes by itself: what ran
        # too early and asked again for its instant would be run again for ever.
        self._clock_resolution = math.ulp(self._virtual_now)
        selector.loop = self

    def time(self) -> float:
        """Return the virtual clock in seconds since the start. Threads: any."""
        return self._virtual_now

    def wall_time(self) -> float:
        """Return the start's wall time plus the virtual time elapsed, in Unix seconds. Threads: any."""
        return self._wall_epoch + self._virtual_now

    def hold(self) -> None:
        """Keep the clock from jumping until `release`; counts. Threads: any."""
        with self._hold_lock:
            self._holds += 1

    def release(self) -> None:
        """Undo one `hold`. Threads: any."""
        with self._hold_lock:
            assert self._holds > 0, "release() without hold()"
            self._holds -= 1
            if self._holds:
                return
        if asyncio._get_running_loop() is not self:
            try:
                # The loop may be waiting in its selector; let it look again.
                self.call_soon_threadsafe(_nothing)
            except RuntimeError:
                # It was closed, so nobody waits.
                pass

    @contextmanager
    def held(self) -> Iterator[None]:
        """Return a context manager over `hold` and `release`."""
        self.hold()
        try:
            yield
        finally:
            self.release()

    def when_closed(self, callback: Callable[[], object]) -> VirtualLoopGuard:
        """Call `callback` if the loop is closed before the returned guard is cancelled."""
        guard = VirtualLoopGuard(self._guards, callback)
        self._guards.append(callback)
        return guard

    def close(self) -> None:
        """Close the loop, as any other."""
        super().close()
        call_closed(self._guards)

    @property
    def held_now(self) -> bool:
        """Whether the clock is held at this moment."""
        with self._hold_lock:
            return self._holds > 0

    def jump(self, seconds: float) -> None:
        """Move the clock by `seconds`; for the loop's selector."""
        self._virtual_now += seconds
        self._clock_resolution = math.ulp(self._virtual_now)

    def run_in_executor(  # type: ignore[override]  # typeshed has the result as a future of the function's own type
        self, executor: Any, func: Callable[..., T], *args: Any
    ) -> asyncio.Future[T]:
        """Run `func(*args)` in a thread and hold the clock until its result has arrived."""
        self.hold()
        try:
            future = super().run_in_executor(executor, func, *args)
        except BaseException:
            self.release()
            raise
        future.add_done_callback(lambda _: self.release())
        return future

    async def shutdown_default_executor(self, *args: Any) -> None:
        """Wait for the executor's threads; its time limit is real time, which does not pass here."""
        with self.held():
            await super().shutdown_default_executor(*args)


def _nothing() -> None:
    pass


def run_virtual(async_main: Callable[[], Awaitable[T]], *, start_wall_time: float | None = None) -> T:
    """Run `async_main` on a new `VirtualTimeLoop` and return its result.

    Args:
        async_main: The async function to run.
        start_wall_time: Wall time at the start in Unix seconds; the present if None.
    """

    async def main() -> T:
        return await async_main()

    with asyncio.Runner(loop_factory=lambda: VirtualTimeLoop(start_wall_time)) as runner:
        return runner.run(main())


def run_virtual_trio(async_main: Callable[[], Awaitable[T]], *, start_wall_time: float | None = None) -> T:
    """Run `async_main` in trio on a `MockClock` that jumps at once, and return its result.

    Args:
        async_main: The async function to run.
        start_wall_time: Wall time at the start in Unix seconds; the present if None.
    """
    from ._trio import run_on_mock_clock

    return run_on_mock_clock(async_main, start_wall_time)

# SPDX-License-Identifier: Apache-2.0
"""What the tests of the API share: the clock of whichever host runs, and ways to see inputs while they run.

An asynchronous input waits on `event()`; a synchronous one on a `threading.Event`. `Latch` tells a test, on a
loop or in a plain thread, that something has happened a number of times. `Gauge` measures how many are inside.
"""

from __future__ import annotations

import functools
import threading
from collections.abc import Awaitable, Callable, Iterator
from contextlib import contextmanager
from typing import Any, TypeVar

from actorpool._host._base import Event, Waiter, current_host
from actorpool._host._virtual import VirtualTimeLoop, run_virtual, run_virtual_trio

T = TypeVar("T")

# No test waits this long unless it fails.
PATIENCE_S = 10.0


def now() -> float:
    """Return the running host's monotonic clock."""
    return current_host().now()


async def sleep(seconds: float) -> None:
    """Sleep on the running host; for virtual clocks."""
    await current_host().sleep(seconds)


def event() -> Event:
    """Return an event of the running host."""
    return current_host().event()


def run_from(host_name: str, unix_seconds: float, async_fn: Callable[[], Awaitable[T]]) -> T:
    """Run `async_fn` on a virtual clock whose wall time starts at `unix_seconds`."""
    runner = run_virtual_trio if host_name == "trio" else run_virtual
    return runner(async_fn, start_wall_time=unix_seconds)


async def gather(*functions: Callable[[], Awaitable[Any]]) -> list[Any]:
    """Run all at once on the running host; return their results, or the exceptions they raised."""
    results: list[Any] = [None] * len(functions)

    async def one(index: int, function: Callable[[], Awaitable[Any]]) -> None:
        try:
            results[index] = await function()
        except Exception as error:
            results[index] = error

    async with current_host().open_nursery() as nursery:
        for index, function in enumerate(functions):
            nursery.start_soon(one, index, function)
    return results


class Latch:
    """Opens when it has been hit `count` times, from any thread."""

    def __init__(self, count: int = 1) -> None:
        self._left = count
        self._lock = threading.Lock()
        self._open = threading.Event()
        self._waiters: list[Waiter] = []

    def hit(self) -> None:
        with self._lock:
            self._left -= 1
            if self._left != 0:
                return
            self._open.set()
            waiters = list(self._waiters)
        for waiter in waiters:
            waiter.notify()

    @property
    def is_open(self) -> bool:
        return self._open.is_set()

    async def opened(self) -> None:
        """Return once it is open."""
        waiter = current_host().bridge.waiter()
        with self._lock:
            if self._open.is_set():
                return
            self._waiters.append(waiter)
        await waiter.wait()

    def wait(self) -> None:
        """Block this thread until it is open."""
        assert self._open.wait(PATIENCE_S), f"{self._left} more were to come"


class Gauge:
    """Counts who is inside and remembers the most there were at once."""

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self.inside = 0
        self.peak = 0

    @contextmanager
    def entered(self) -> Iterator[None]:
        with self._lock:
            self.inside += 1
            self.peak = max(self.peak, self.inside)
        try:
            yield
        finally:
            with self._lock:
                self.inside -= 1


class Turns:
    """Counts how often the running virtual loop comes round: 0 while nothing is to be done.

    On trio it is the scheduler's passes; its jumps of the clock are passes too.
    """

    def __init__(self) -> None:
        self.count = 0

    @contextmanager
    def counted(self) -> Iterator[Turns]:
        if current_host().name == "trio":
            import trio

            turns = self

            class Instrument(trio.abc.Instrument):
                def before_io_wait(self, timeout: float) -> None:
                    turns.count += 1

            instrument = Instrument()
            trio.lowlevel.add_instrument(instrument)
            try:
                yield self
            finally:
                trio.lowlevel.remove_instrument(instrument)
            return
        import asyncio

        loop = asyncio.get_running_loop()
        assert isinstance(loop, VirtualTimeLoop)
        original = loop._run_once  # type: ignore[attr-defined]

        @functools.wraps(original)
        def counting() -> None:
            self.count += 1
            original()

        loop._run_once = counting  # type: ignore[attr-defined]
        try:
            yield self
        finally:
            del loop._run_once  # type: ignore[attr-defined]

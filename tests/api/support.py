# SPDX-License-Identifier: Apache-2.0
"""What the tests of the API share: the clock of whichever host runs, and ways to see inputs while they run.

An asynchronous input waits on `event()`; a synchronous one on a `threading.Event`. `Latch` tells a test, on a
loop or in a plain thread, that something has happened a number of times. `Gauge` measures how many are inside.
"""

from __future__ import annotations

import functools
import threading
from collections.abc import AsyncIterable, AsyncIterator, Awaitable, Callable, Iterator
from contextlib import asynccontextmanager, contextmanager
from typing import Any, TypeVar

import attrs
import pytest

import actorpool as modal
from actorpool._host._base import Event
from actorpool._host._current import current_host
from actorpool._host._virtual import VirtualTimeLoop, run_virtual, run_virtual_trio
from actorpool.exception import ResourceExhaustedError
from tests.hosts import settle
from tests.shared import Shared, SharedEvent
from tests.stand_ins import LatchStandIn, elsewhere, now_there, sleep_there, wall_time_there

T = TypeVar("T")

# No test waits this long unless it fails.
PATIENCE_S = 10.0


def now() -> float:
    """Return the running host's monotonic clock; in a container, its test's."""
    if elsewhere():
        return now_there()
    return current_host().now()


def wall_time() -> float:
    """Return the running host's wall clock, in Unix seconds; in a container, its test's."""
    return wall_time_there() if elsewhere() else current_host().wall_time()


async def sleep(seconds: float) -> None:
    """Sleep on the running host, in a container on its test's; for virtual clocks."""
    if elsewhere():
        await sleep_there(seconds)
        return
    await current_host().sleep(seconds)


def event() -> Event:
    """Return an event of the running host, which inputs anywhere can wait for and set."""
    return SharedEvent()


def run_from(host_name: str, unix_seconds: float, async_fn: Callable[[], Awaitable[T]]) -> T:
    """Run `async_fn` on a virtual clock whose wall time starts at `unix_seconds`."""
    runner = run_virtual_trio if host_name == "trio" else run_virtual
    return runner(async_fn, start_wall_time=unix_seconds)


async def collect(results: AsyncIterable[T], into: list[T]) -> None:
    """Append `results` to `into` as they come; what came before an error is there."""
    async for result in results:
        into.append(result)  # noqa: PERF401 - a comprehension extends only once all have come


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


def trivial(**settings: Any) -> tuple[modal.App, Any]:
    """Return an app and a function that does nothing."""
    app = modal.App("my-app")

    @app.function(**settings)
    async def f() -> None: ...

    return app, f


def of_one_second(**settings: Any) -> tuple[modal.App, Any]:
    """Return an app and a function whose inputs take 1 s and return when they began."""
    app = modal.App("my-app")

    @app.function(**settings)
    async def f(_: int = 0) -> float:
        began = now()
        await sleep(1.0)
        return began

    return app, f


async def begins(function: Any, count: int) -> list[float]:
    """Map `of_one_second`'s function over `count` inputs; return when each began, in seconds from now."""
    start = now()
    return [round(began - start, 6) async for began in function.map.aio(range(count))]


class Latch(Shared):
    """Opens when it has been hit `count` times, from any thread."""

    stand_in = LatchStandIn

    def __init__(self, count: int = 1) -> None:
        self._left = count
        self._lock = threading.Lock()
        self._open = threading.Event()
        self._waking: list[Callable[[], object]] = []

    def hit(self) -> None:
        with self._lock:
            self._left -= 1
            if self._left != 0:
                return
            self._open.set()
            waking, self._waking = self._waking, []
        for wake in waking:
            wake()

    @property
    def is_open(self) -> bool:
        return self._open.is_set()

    async def opened(self) -> None:
        """Return once it is open."""
        waiter = current_host().bridge.waiter()
        self.when_set(waiter.notify)
        await waiter.wait()

    def when_set(self, wake: Callable[[], object]) -> None:
        """Call `wake` once it is open, now if it is."""
        with self._lock:
            if not self._open.is_set():
                self._waking.append(wake)
                return
        wake()

    def wait(self) -> None:
        """Block this thread until it is open."""
        assert self._open.wait(PATIENCE_S), f"{self._left} more were to come"


class _Inside(Shared):
    """What a gauge counts."""

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self.inside = 0
        self.peak = 0

    def enter(self) -> None:
        with self._lock:
            self.inside += 1
            self.peak = max(self.peak, self.inside)

    def leave(self) -> None:
        with self._lock:
            self.inside -= 1


class Gauge:
    """Counts who is inside and remembers the most there were at once."""

    def __init__(self) -> None:
        self._inside = _Inside()

    @property
    def inside(self) -> int:
        return self._inside.inside

    @property
    def peak(self) -> int:
        return self._inside.peak

    @contextmanager
    def entered(self) -> Iterator[None]:
        self._inside.enter()
        try:
            yield
        finally:
            self._inside.leave()


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


def settings_of(handle: Any) -> tuple[int, int | None, int, float]:
    """Return minimum, maximum, buffer and window in force."""
    settings = attrs.astuple(handle.statistics().settings)
    assert 4 == len(settings)
    return settings


def gated(slots: int = 1, **options: Any) -> tuple[modal.App, Any]:
    """Return an app and a function of `slots` slots in all, whose inputs wait for a gate."""
    app = modal.App("my-app")

    @app.function(max_containers=1, **options)
    @modal.concurrent(max_inputs=slots)
    async def f(x: int, gate: Any) -> int:
        await gate.wait()
        return x

    return app, f


class Calls:
    """Calls under way, each in a task of its own, and what became of them."""

    def __init__(self, function: Any, nursery: Any) -> None:
        self.results: dict[int, Any] = {}
        self._function = function
        self._nursery = nursery

    async def start(self, count: int, gate: Any) -> None:
        """Start `count` calls; the first of all comes alone, so that it is not pending when the others come."""
        first = self._function.statistics().arrived
        for x in range(first, first + count):
            self._nursery.start_soon(self._call, x, gate)
            if not x:
                await settle()
        await settle()

    async def _call(self, x: int, gate: Any) -> None:
        self.results[x] = await self._function.remote.aio(x, gate)


async def filled(function: Any, running: int, pending: int) -> ResourceExhaustedError:
    """Fill `function` with that many inputs, then let them end; return the error that one more call met."""
    gate = event()
    async with calls_of(function) as calls:
        await calls.start(running + pending, gate)
        assert (running, pending) == (function.statistics().running, function.statistics().pending)
        with pytest.raises(ResourceExhaustedError) as caught:
            await function.remote.aio(-1, gate)
        assert (running, pending) == (caught.value.running, caught.value.pending)
        gate.set()
    assert {x: x for x in range(running + pending)} == calls.results
    return caught.value


@asynccontextmanager
async def calls_of(function: Any) -> AsyncIterator[Calls]:
    async with current_host().open_nursery() as nursery:
        yield Calls(function, nursery)

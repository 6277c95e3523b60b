# SPDX-License-Identifier: Apache-2.0
"""Inputs that wait: what each costs in memory and to accept, and whether a long backlog makes the others slower."""

from __future__ import annotations

import asyncio
import gc
import sys
from collections import deque
from collections.abc import AsyncGenerator, Callable, Coroutine, Generator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from threading import Event
from time import perf_counter
from typing import Any

import actorpool as modal

from .._measures import Metric, Reported, check
from .._registry import Goal, contender, workload

Report = tuple[float, ...]
AsyncRun = Callable[[int], Coroutine[Any, Any, Report]]
SyncRun = Callable[[int], Report]

STEP = 100
DEPTH = 50
WARM = 1000

app = modal.App("benchmarks-pending", limits=modal.Limits(max_spawned=2_000_000))


class Gate:
    """What the inputs wait for; the process has one loop."""

    def __init__(self) -> None:
        self.open = asyncio.Event()
        self.turns = asyncio.Semaphore(0)
        self.results: list[int] = []
        self.wanted = -1
        self.reached = asyncio.Event()


gate = Gate()


@app.function(min_containers=1, max_containers=1)
async def held(x: int) -> int:
    await gate.open.wait()
    return x


@app.function(min_containers=1, max_containers=1)
async def in_turn(x: int) -> int:
    await gate.turns.acquire()
    gate.results.append(x)
    if len(gate.results) == gate.wanted:
        gate.reached.set()
    return x


def resident_bytes() -> int:
    """Return how much memory this process occupies; where that is unknown, the most it ever did."""
    import resource

    try:
        pages = int(Path("/proc/self/statm").read_text("ascii").split()[1])
    except OSError:
        most = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
        return most if sys.platform == "darwin" else most * 1024
    return pages * resource.getpagesize()


class Growth:
    """Time and memory from here to `report`."""

    def __init__(self) -> None:
        gc.collect()
        self._bytes = resident_bytes()
        self._begin = perf_counter()

    def report(self, n: int) -> Report:
        """Return bytes and microseconds for each of `n`."""
        elapsed = perf_counter() - self._begin
        return (resident_bytes() - self._bytes) / n, elapsed / n * 1e6


workload(
    name="pending",
    title="pending spawned inputs, their handles kept",
    measure=Reported(Metric("memory of each", "B"), Metric("time to accept", "µs")),
    full=1_000_000,
    quick=100_000,
    goals=(
        Goal("must", 600.0, metric=0),
        Goal("ambition", 250.0, metric=0),
        Goal("must", 4.0, metric=1),
        Goal("ambition", 1.0, metric=1),
    ),
    most_rounds=3,
    isolated=True,
)


@contender("pending", role="ours", requires="resource")
async def actorpool() -> AsyncGenerator[AsyncRun]:
    async def spawn(calls: list[Any]) -> None:
        for x in range(len(calls)):
            calls[x] = held.spawn(x)

    async def results(calls: list[Any]) -> list[int]:
        gate.open.set()
        return [await call.get.aio() for call in calls]

    async def run(n: int) -> Report:
        calls: list[Any] = [None] * WARM
        await spawn(calls)
        await results(calls)
        gate.open.clear()
        calls = [None] * n
        growth = Growth()
        await spawn(calls)
        report = growth.report(n)
        check(await results(calls), n)
        return report

    async with app.run():
        yield run


@contender("pending", "Queue + Future", requires="resource")
async def queue(n: int) -> Report:
    loop = asyncio.get_running_loop()
    requests: asyncio.Queue[tuple[int, asyncio.Future[int]]] = asyncio.Queue()
    futures: list[Any] = [None] * n
    growth = Growth()
    for x in range(n):
        futures[x] = loop.create_future()
        requests.put_nowait((x, futures[x]))
    report = growth.report(n)
    while not requests.empty():
        x, future = requests.get_nowait()
        future.set_result(x)
    check([await future for future in futures], n)
    return report


@contender("pending", "ThreadPoolExecutor.submit", requires="resource")
def submit() -> Generator[SyncRun]:
    with ThreadPoolExecutor(1) as pool:

        def run(n: int) -> Report:
            opened = Event()
            pool.submit(opened.wait)
            futures: list[Any] = [None] * n
            growth = Growth()
            for x in range(n):
                futures[x] = pool.submit(abs, x)
            report = growth.report(n)
            opened.set()
            check([future.result() for future in futures], n)
            return report

        yield run


class Record:
    """The least that a pending input is: what to do, and a place for what comes of it."""

    __slots__ = ("argument", "function", "result")

    result: int

    def __init__(self, function: Callable[[int], int], argument: int) -> None:
        self.function = function
        self.argument = argument


@contender("pending", "slotted records in a deque", role="floor", requires="resource")
def records(n: int) -> Report:
    pending: deque[Record] = deque()
    made: list[Any] = [None] * n
    growth = Growth()
    for x in range(n):
        made[x] = Record(abs, x)
        pending.append(made[x])
    report = growth.report(n)
    while pending:
        record = pending.popleft()
        record.result = record.function(record.argument)
    check([record.result for record in made], n)
    return report


workload(
    name="backlog-depth",
    title=f"spawn and run one input while {DEPTH} times as many are pending",
    measure=Reported(Metric("time per input", "µs")),
    full=20_000,
    quick=2_000,
    goals=(Goal("must", 1.3, "floor"), Goal("ambition", 1.05, "floor")),
    most_rounds=5,
    isolated=True,
)


async def at_depth(depth: int, n: int) -> Report:
    async with app.run(grace=0):
        for x in range(depth):
            in_turn.spawn(x)
        accepted, done = depth, 0
        begin = 0.0
        for step in range(n // STEP + 10):
            if step == 10:
                gc.collect()
                begin = perf_counter()
            for x in range(accepted, accepted + STEP):
                in_turn.spawn(x)
            accepted += STEP
            done += STEP
            gate.wanted = done
            gate.reached.clear()
            for _ in range(STEP):
                gate.turns.release()
            await gate.reached.wait()
        elapsed = perf_counter() - begin
    check(gate.results[:done], done)
    return (elapsed / (n // STEP * STEP) * 1e6,)


@contender("backlog-depth", "actorpool, deep", role="ours")
async def deep(n: int) -> Report:
    return await at_depth(DEPTH * n, n)


@contender("backlog-depth", "actorpool, 0 pending", role="floor")
async def shallow(n: int) -> Report:
    return await at_depth(0, n)

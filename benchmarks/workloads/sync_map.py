# SPDX-License-Identifier: Apache-2.0
"""Many inputs of a synchronous function in threads, from a thread and from a loop."""

from __future__ import annotations

import asyncio
import threading
import time
from collections.abc import AsyncGenerator, Callable, Coroutine, Generator
from concurrent.futures import ThreadPoolExecutor
from functools import partial
from multiprocessing.pool import ThreadPool
from typing import Any

import actorpool as modal

from .._measures import PerInput, ShareOfIdeal
from .._registry import Goal, contender, workload
from ._floors import Workers

AsyncRun = Callable[[int], Coroutine[Any, Any, list[int]]]
SyncRun = Callable[[int], list[int]]

NAP_S = 0.001

app = modal.App("benchmarks-sync-map")


@app.function(max_containers=8)
def no_op(x: int) -> int:
    return x


@app.function(max_containers=32)
def asleep(x: int) -> int:
    time.sleep(NAP_S)
    return x


def register(name: str, function: modal.Function[[int], int, int], threads: int) -> None:
    """Register the contenders that all maps from a thread have."""
    body: Callable[[int], int] = function.get_raw_f()

    @contender(name, role="ours")
    def actorpool() -> Generator[SyncRun]:
        with app.run():
            yield lambda n: list(function.map(range(n)))

    @contender(name, "ThreadPoolExecutor.map")
    def executor() -> Generator[SyncRun]:
        with ThreadPoolExecutor(threads) as pool:
            yield lambda n: list(pool.map(body, range(n)))

    @contender(name, "ThreadPool.imap")
    def thread_pool() -> Generator[SyncRun]:
        with ThreadPool(threads) as pool:
            yield lambda n: list(pool.imap(body, range(n)))

    @contender(name, "threads on one iterator", role="floor")
    def floor() -> Generator[SyncRun]:
        workers = Workers(threads)
        ended = threading.Lock()
        ended.acquire()

        def run(n: int) -> list[int]:
            results = workers.run(body, n, ended.release)
            ended.acquire()
            return results

        yield run
        workers.close()


workload(
    name="sync-map",
    title="map of a sync no-op, 8 threads",
    measure=PerInput(),
    full=10_000,
    quick=4_000,
    goals=(Goal("must", 0.5, "ThreadPoolExecutor.map"), Goal("ambition", 1.0, "ThreadPool.imap")),
)
register("sync-map", no_op, 8)

workload(
    name="async-caller-sync-map",
    title="map.aio of a sync no-op, 8 threads",
    measure=PerInput(),
    full=10_000,
    quick=4_000,
    goals=(Goal("must", 0.3, "run_in_executor + gather"), Goal("ambition", 3.5, "floor")),
)


@contender("async-caller-sync-map", role="ours")
async def actorpool() -> AsyncGenerator[AsyncRun]:
    async def run(n: int) -> list[int]:
        return [result async for result in no_op.map.aio(range(n))]

    async with app.run():
        yield run


@contender("async-caller-sync-map", "run_in_executor + gather")
async def run_in_executor() -> AsyncGenerator[AsyncRun]:
    loop = asyncio.get_running_loop()
    body: Callable[[int], int] = no_op.get_raw_f()
    with ThreadPoolExecutor(8) as pool:

        async def run(n: int) -> list[int]:
            return await asyncio.gather(*(loop.run_in_executor(pool, body, x) for x in range(n)))

        yield run


@contender("async-caller-sync-map", "threads on one iterator", role="floor")
async def floor() -> AsyncGenerator[AsyncRun]:
    loop = asyncio.get_running_loop()
    workers = Workers(8)
    body: Callable[[int], int] = no_op.get_raw_f()

    async def run(n: int) -> list[int]:
        end = loop.create_future()
        results = workers.run(body, n, partial(loop.call_soon_threadsafe, end.set_result, None))
        await end
        return results

    yield run
    workers.close()


workload(
    name="sync-sleep",
    title="map of time.sleep(0.001), 32 threads",
    measure=ShareOfIdeal(seconds=NAP_S, at_once=32),
    full=9_600,
    quick=3_200,
    goals=(Goal("must", 88.0), Goal("ambition", 93.0)),
    remark=(
        "32 threads that wake every millisecond share one interpreter lock, so the share falls for "
        "everybody as the machine is busy, or slow: in one run 67 % here, 69 % of ThreadPool.imap, 42 % of "
        "ThreadPoolExecutor, 85 % of the floor. A worker takes its next input without going through the "
        "loop, which is not woken in between. The consumer, to whom results come fast, lets them gather for half "
        "a millisecond: 6 waits for 100 inputs, which were 40, and half of the processor time."
    ),
)
register("sync-sleep", asleep, 32)

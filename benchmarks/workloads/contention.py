# SPDX-License-Identifier: Apache-2.0
"""Many at once: eight functions on one loop, and one function called from four threads and two loops."""

from __future__ import annotations

import asyncio
import threading
from collections.abc import AsyncGenerator, Callable, Coroutine, Generator
from concurrent.futures import ThreadPoolExecutor
from functools import partial
from typing import Any

import actorpool as modal

from .._measures import PerInput, Run
from .._registry import contender, workload
from ._floors import TaskWindow, Workers

AsyncRun = Callable[[int], Coroutine[Any, Any, list[int]]]

FUNCTIONS = 8
AT_ONCE = 100
CALLERS = 4
LOOPS = 2
THREADS = 8

app = modal.App("benchmarks-contention")


async def suspended(x: int) -> int:
    await asyncio.sleep(0)
    return x


def no_op(x: int) -> int:
    return x


def one_of_eight(number: int) -> Any:
    @app.function(name=f"suspended_{number}", max_containers=1)
    @modal.concurrent(max_inputs=AT_ONCE)
    async def function(x: int) -> int:
        await asyncio.sleep(0)
        return x

    return function


eight = [one_of_eight(number) for number in range(FUNCTIONS)]
shared = app.function(max_containers=THREADS)(no_op)


def shares(n: int, parts: int) -> list[range]:
    """Return `range(n)` in so many parts."""
    return [range(n * part // parts, n * (part + 1) // parts) for part in range(parts)]


def joined(parts: list[list[int]]) -> list[int]:
    return [result for part in parts for result in part]


workload(
    name="functions-at-once",
    title=f"map.aio of {FUNCTIONS} functions at once, one suspension in the body, concurrency {AT_ONCE} each",
    measure=PerInput(),
    full=10_000,
    quick=4_000,
)


@contender("functions-at-once", role="ours")
async def actorpool() -> AsyncGenerator[AsyncRun]:
    async def one(function: Any, numbers: range) -> list[int]:
        return [result async for result in function.map.aio(numbers)]

    async def run(n: int) -> list[int]:
        return joined(await asyncio.gather(*map(one, eight, shares(n, FUNCTIONS))))

    async with app.run():
        yield run


@contender("functions-at-once", "Semaphore + gather")
async def semaphores(n: int) -> list[int]:
    async def part(numbers: range) -> list[int]:
        slots = asyncio.Semaphore(AT_ONCE)

        async def one(x: int) -> int:
            async with slots:
                return await suspended(x)

        return await asyncio.gather(*map(one, numbers))

    return joined(await asyncio.gather(*map(part, shares(n, FUNCTIONS))))


@contender("functions-at-once", "a window of tasks for all", role="floor")
async def window(n: int) -> list[int]:
    end = asyncio.get_running_loop().create_future()
    tasks = TaskWindow(suspended, n, FUNCTIONS * AT_ONCE, partial(end.set_result, None))
    tasks.start()
    await end
    return tasks.results


workload(
    name="callers-at-once",
    title=f"map of one sync no-op from {CALLERS} threads and {LOOPS} loops at once, {THREADS} threads",
    measure=PerInput(),
    full=6_000,
    quick=3_000,
)


def from_all(n: int, sync: Callable[[range], list[int]], on_loop: Callable[[range], Any]) -> list[int]:
    """Return the results of all callers, each of which takes a part of the numbers."""
    parts = shares(n, CALLERS + LOOPS)
    results: list[list[int]] = [[]] * len(parts)
    begin = threading.Barrier(len(parts))

    def call(at: int) -> None:
        begin.wait()
        if at < CALLERS:
            results[at] = sync(parts[at])
        else:
            results[at] = asyncio.run(on_loop(parts[at]))

    threads = [threading.Thread(target=call, args=(at,)) for at in range(len(parts))]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    return joined(results)


@contender("callers-at-once", "actorpool", role="ours")
def threads_and_loops() -> Generator[Run]:
    async def on_loop(numbers: range) -> list[int]:
        return [result async for result in shared.map.aio(numbers)]

    with app.run():
        yield lambda n: from_all(n, lambda numbers: list(shared.map(numbers)), on_loop)


@contender("callers-at-once", "ThreadPoolExecutor")
def executor() -> Generator[Run]:
    with ThreadPoolExecutor(THREADS) as pool:

        async def on_loop(numbers: range) -> list[int]:
            loop = asyncio.get_running_loop()
            return await asyncio.gather(*(loop.run_in_executor(pool, no_op, x) for x in numbers))

        yield lambda n: from_all(n, lambda numbers: list(pool.map(no_op, numbers)), on_loop)


@contender("callers-at-once", "threads on one iterator, no callers", role="floor")
def workers() -> Generator[Run]:
    threads = Workers(THREADS)
    ended = threading.Lock()
    ended.acquire()

    def run(n: int) -> list[int]:
        results = threads.run(no_op, n, ended.release)
        ended.acquire()
        return results

    yield run
    threads.close()

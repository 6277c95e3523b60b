# SPDX-License-Identifier: Apache-2.0
"""Many inputs of an asynchronous function, from the loop that runs it and from a thread without a loop."""

from __future__ import annotations

import asyncio
from collections import deque
from collections.abc import AsyncGenerator, Callable, Coroutine, Generator
from functools import partial
from typing import Any

import actorpool as modal

from .._measures import PerInput, ShareOfIdeal
from .._registry import Goal, contender, workload
from ._floors import EAGER, LoopThread, TaskWindow, run_tasks

Body = Callable[[int], Coroutine[Any, Any, int]]
AsyncRun = Callable[[int], Coroutine[Any, Any, list[int]]]
SyncRun = Callable[[int], list[int]]

NAP_S = 0.01

app = modal.App("benchmarks-async-map")


@app.function(max_containers=1)
@modal.concurrent(max_inputs=100)
async def no_op(x: int) -> int:
    return x


@app.function(max_containers=1)
@modal.concurrent(max_inputs=100)
async def suspended(x: int) -> int:
    await asyncio.sleep(0)
    return x


@app.function(max_containers=1)
@modal.concurrent(max_inputs=1000)
async def asleep(x: int) -> int:
    await asyncio.sleep(NAP_S)
    return x


Pool = modal.Function[[int], int, Coroutine[Any, Any, int]]


def register(name: str, function: Pool, at_once: int) -> None:
    """Register the contenders that all maps on a loop have."""
    body: Body = function.get_raw_f()

    @contender(name, role="ours")
    async def actorpool() -> AsyncGenerator[AsyncRun]:
        async def run(n: int) -> list[int]:
            return [result async for result in function.map.aio(range(n))]

        async with app.run():
            yield run

    @contender(name, "Semaphore + gather")
    async def semaphore(n: int) -> list[int]:
        slots = asyncio.Semaphore(at_once)

        async def one(x: int) -> int:
            async with slots:
                return await body(x)

        return await asyncio.gather(*(one(x) for x in range(n)))

    @contender(name, requires="aiometer")
    async def aiometer(n: int) -> list[int]:
        from aiometer import run_all

        return await run_all([partial(body, x) for x in range(n)], max_at_once=at_once)


def register_workers(name: str, function: Pool, at_once: int) -> None:
    """Register workers on one queue; where nothing is ever suspended the first one would do it all, as a plain loop."""
    body: Body = function.get_raw_f()

    @contender(name, "Queue + workers")
    async def workers(n: int) -> list[int]:
        queue: asyncio.Queue[int] = asyncio.Queue()
        results = [-1] * n

        async def work() -> None:
            while not queue.empty():
                x = queue.get_nowait()
                results[x] = await body(x)

        for x in range(n):
            queue.put_nowait(x)
        await asyncio.gather(*(work() for _ in range(at_once)))
        return results


def register_floor(name: str, function: Pool, at_once: int) -> None:
    """Register the floor of the maps that give each input a task and a context."""
    body: Body = function.get_raw_f()

    @contender(name, "eager tasks" if EAGER else "window of tasks", role="floor")
    async def floor(n: int) -> list[int]:
        end = asyncio.get_running_loop().create_future()
        window = TaskWindow(body, n, at_once, partial(end.set_result, None))
        window.start()
        await end
        return window.results


workload(
    name="async-map",
    title="map.aio of an async no-op, concurrency 100",
    measure=PerInput(),
    full=10_000,
    quick=4_000,
    goals=(Goal("must", 1.0, "Semaphore + gather"), Goal("ambition", 2.5, "floor")),
    remark=(
        "Of 4.3 µs of processor time for an input, 0.9 are its task and its copy of the context, which is the floor; "
        "the others are 13 calls of Python functions: the record, taking the slot, the outcome, and handing that out "
        "in order. It was 5.0 and 18 while the inputs of a map were accepted one by one. On asyncio that is 0.8 of "
        "Semaphore + gather; on uvloop, whose turns cost that peer less, 1.1, and was 1.3. Tried: setting the "
        "input's context variable inside its task, which is 0.01 µs; refilling the window for 250 results instead of "
        "125, which is 5 % less here and 5 % more with a suspension. A task that serves one input after another would "
        "be faster, but then an input would not have a context of its own."
    ),
)
register("async-map", no_op, 100)
register_floor("async-map", no_op, 100)

workload(
    name="async-map-suspended",
    title="map.aio, one suspension in the body, concurrency 100",
    measure=PerInput(),
    full=10_000,
    quick=4_000,
    goals=(Goal("must", 0.6, "Semaphore + gather"), Goal("ambition", 1.4, "floor")),
    remark=(
        "The suspension makes the task known to the loop, which costs half as much as everything of ours. It depends "
        "on how many inputs there are. With the 4,000 of --quick it is 6.6 µs beside 10.5 (0.65) and on uvloop 5.6 "
        "beside 7.3 (0.8); with 10,000 the ratio is about 0.5 and 0.55: that peer makes all of its tasks at once, so "
        "the fewer they are the less the garbage collector has to look at; with the collector off it takes 9.6 with "
        "either number. Here there are a hundred tasks at a time, and the collector hardly runs. The next input of a "
        "slot is started in the same step, without a callback or a turn of the loop."
    ),
)
register("async-map-suspended", suspended, 100)
register_workers("async-map-suspended", suspended, 100)
register_floor("async-map-suspended", suspended, 100)

workload(
    name="async-sleep",
    title="map.aio of asyncio.sleep(0.01), concurrency 1,000",
    measure=ShareOfIdeal(seconds=NAP_S, at_once=1000),
    full=20_000,
    quick=10_000,
    goals=(Goal("must", 75.0), Goal("ambition", 88.0)),
    remark=(
        "At 100 % there are 10 µs for an input, so this row is processor time: on a quiet machine 13 µs, beside 9 "
        "of 1,000 workers that live throughout; on a busy one up to 18 and 25. The loop sleeps for less than half "
        "a microsecond of them. It was 14: the inputs of a map are accepted in one go now. Of the 13 the garbage "
        "collector takes 1.3: with gc.set_threshold(20_000), or without it, the share is 73 to 75 % where it is 69 "
        "to 71 otherwise. An input has 17 objects that the collector looks at (task, three coroutines, contexts, "
        "timer, future). A turn of the loop ends some hundred inputs and frees what they had; the next one makes "
        "as many new, so the collector runs once for 70 inputs, a tenth of that at all 1,000 of them. With inputs "
        "pending, which start in the turn in which others end, it hardly runs; but a map has as many in flight as "
        "there are slots here. Tried: 16 or 32 inputs in a turn, so that what is freed and made alternates, which "
        "halves the collections, and what that saves goes into the turns. Of the 17 only the record, the outer "
        "coroutine and the arguments are ours. A task of the user's coroutine alone would have to tell its end by "
        "a callback, which is an object too and a turn of the loop; fewer tasks, which serve one input after "
        "another, are ruled out by an input's own context."
    ),
)
register("async-sleep", asleep, 1000)
register_workers("async-sleep", asleep, 1000)


@contender("async-sleep", "tasks on one iterator", role="floor")
async def tasks_on_one_iterator(n: int) -> list[int]:
    return await run_tasks(asleep.get_raw_f(), n, 1000)


workload(
    name="sync-caller-async-map",
    title="map of an async no-op from a thread without a loop, concurrency 100",
    measure=PerInput(),
    full=10_000,
    quick=4_000,
    goals=(Goal("must", 0.25, "run_coroutine_threadsafe"), Goal("ambition", 1.3, "floor")),
    remark=(
        "The inputs cross to the loop's thread in batches, with 4 to 12 wake-ups for 1,000 of them. What "
        "is left are the calls of async-map, and two threads that take turns at the interpreter's lock."
    ),
)


@contender("sync-caller-async-map", role="ours")
def actorpool() -> Generator[SyncRun]:
    with app.run():
        yield lambda n: list(no_op.map(range(n)))


@contender("sync-caller-async-map", "run_coroutine_threadsafe")
def threadsafe() -> Generator[SyncRun]:
    thread = LoopThread()
    body: Body = no_op.get_raw_f()

    def run(n: int) -> list[int]:
        results, started = [], deque[Any]()
        for x in range(n):
            if len(started) == 100:
                results.append(started.popleft().result())
            started.append(asyncio.run_coroutine_threadsafe(body(x), thread.loop))
        results.extend(future.result() for future in started)
        return results

    yield run
    thread.close()


@contender("sync-caller-async-map", "loop thread, batched", role="floor")
def batched() -> Generator[SyncRun]:
    thread = LoopThread()
    body: Body = no_op.get_raw_f()
    yield lambda n: list(thread.map(body, n, 100))
    thread.close()

# SPDX-License-Identifier: Apache-2.0
"""One call at a time: what it takes from the call to its result in a warm container."""

from __future__ import annotations

import asyncio
import threading
from collections.abc import AsyncGenerator, Callable, Coroutine, Generator
from concurrent.futures import ThreadPoolExecutor
from typing import Any

import actorpool as modal

from .._measures import EachCall
from .._registry import Goal, contender, workload
from ._floors import EAGER, Task, Worker

AsyncCall = Callable[[int], Coroutine[Any, Any, int]]
SyncCall = Callable[[int], int]

app = modal.App("benchmarks-one-call")


@app.function(max_containers=1)
@modal.concurrent(max_inputs=100)
async def no_op(x: int) -> int:
    return x


@app.function(max_containers=8)
def sync_no_op(x: int) -> int:
    return x


workload(
    name="call-async",
    title="one call of an async no-op from its loop",
    measure=EachCall(),
    full=5_000,
    quick=2_000,
    goals=(Goal("must", 2.0, "Queue + Future"), Goal("ambition", 1.0, "Queue + Future")),
)


@contender("call-async", role="ours")
async def actorpool() -> AsyncGenerator[AsyncCall]:
    async with app.run():
        yield no_op.remote.aio


@contender("call-async", "Queue + Future")
async def queue() -> AsyncGenerator[AsyncCall]:
    requests: asyncio.Queue[tuple[int, asyncio.Future[int]]] = asyncio.Queue()
    loop = asyncio.get_running_loop()
    body: AsyncCall = no_op.get_raw_f()

    async def work() -> None:
        while True:
            x, future = await requests.get()
            future.set_result(await body(x))

    async def call(x: int) -> int:
        future: asyncio.Future[int] = loop.create_future()
        requests.put_nowait((x, future))
        return await future

    worker = asyncio.create_task(work())
    yield call
    worker.cancel()


@contender("call-async", "eager task" if EAGER else "task", role="floor")
async def task() -> AsyncGenerator[AsyncCall]:
    loop = asyncio.get_running_loop()
    body: AsyncCall = no_op.get_raw_f()

    async def call(x: int) -> int:
        result: int = await Task(body(x), loop=loop)
        return result

    yield call


workload(
    name="call-thread",
    title="one call of a sync no-op from a thread",
    measure=EachCall(),
    full=3_000,
    quick=1_000,
    goals=(
        Goal("must", 1.0, "ThreadPoolExecutor.submit"),
        Goal("ambition", 0.8, "ThreadPoolExecutor.submit"),
    ),
    remark=(
        "Two threads are woken for a call, and how soon is the machine's affair: 22 and 25 µs where the other "
        "processor is at rest, 12 and 4 where it is busy. What is done before a wake-up is waited for, what is done "
        "after it is not: at rest 3.5 µs to the first, 1.9 to the second, which comes before the pool notes the "
        "outcome (it was 3.8), 1.0 after it; the executor has 2.5, 2.8 and 2.0. At rest a call "
        "takes 54 µs, which was 59 to 64, in one run 0.99 of the executor's (it was 1.06), in another 1.23 (it was "
        "1.29), and 19.5 µs with a busy processor beside it, 0.89 (it was 0.92). "
        "No other thread is woken: the loop hears of 3,000 calls in no turn at all. Tried: to wake the thread by "
        "an eventfd, whose write lets go of the interpreter's lock, while a queue's put holds it and the thread "
        "that wakes up has to wait once more: 10 µs and not 20 with a busy processor beside it, but no gain at "
        "rest, a file descriptor for each container, and a caller that has to get its lock back."
    ),
)


@contender("call-thread", "actorpool", role="ours")
def thread_actorpool() -> Generator[SyncCall]:
    with app.run():
        yield sync_no_op.remote


@contender("call-thread", "ThreadPoolExecutor.submit")
def submit() -> Generator[SyncCall]:
    body: SyncCall = sync_no_op.get_raw_f()
    with ThreadPoolExecutor(8) as pool:
        yield lambda x: pool.submit(body, x).result()


@contender("call-thread", "thread, queue and lock", role="floor")
def worker_and_lock() -> Generator[SyncCall]:
    worker = Worker()
    body: SyncCall = sync_no_op.get_raw_f()
    ended = threading.Lock()
    ended.acquire()

    def call(x: int) -> int:
        result = -1

        def job() -> None:
            nonlocal result
            result = body(x)
            ended.release()

        worker.put(job)
        ended.acquire()
        return result

    yield call
    worker.close()


workload(
    name="call-thread-loop",
    title="one call of a sync no-op from a loop",
    measure=EachCall(),
    full=3_000,
    quick=1_000,
    goals=(Goal("must", 0.9, "run_in_executor"), Goal("ambition", 0.65, "run_in_executor")),
    remark=(
        "Two wake-ups, of the thread and of the loop, are all that the floor has, and three quarters of the time where "
        "processors are at rest. The loop resumes the caller in the turn that hears of the thread: it was the next "
        "one, with a look at the pipe and at the selector in between. That is 39 calls of Python functions on the "
        "loop's thread and 31 in C, which were 51 and 41; at rest 0.81 of run_in_executor on asyncio (it was 1.01 in "
        "the same run) and 0.98 on uvloop (it was 1.16); with another processor busy 30 µs beside 46 on asyncio (it "
        "was 36), 25 beside 33 on uvloop (it was 26)."
    ),
)


@contender("call-thread-loop", "actorpool", role="ours")
async def loop_actorpool() -> AsyncGenerator[AsyncCall]:
    async with app.run():
        yield sync_no_op.remote.aio


@contender("call-thread-loop")
async def run_in_executor() -> AsyncGenerator[AsyncCall]:
    loop = asyncio.get_running_loop()
    body: SyncCall = sync_no_op.get_raw_f()
    with ThreadPoolExecutor(8) as pool:

        async def call(x: int) -> int:
            return await loop.run_in_executor(pool, body, x)

        yield call


@contender("call-thread-loop", "thread, queue and future", role="floor")
async def worker_and_future() -> AsyncGenerator[AsyncCall]:
    loop = asyncio.get_running_loop()
    worker = Worker()
    body: SyncCall = sync_no_op.get_raw_f()

    async def call(x: int) -> int:
        future: asyncio.Future[int] = loop.create_future()
        worker.put(lambda: loop.call_soon_threadsafe(future.set_result, body(x)))
        return await future

    yield call
    worker.close()

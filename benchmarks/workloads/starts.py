# SPDX-License-Identifier: Apache-2.0
"""The first call of a function: a container is started for it, of a task or of a thread."""

from __future__ import annotations

import asyncio
import threading
from collections.abc import AsyncGenerator, Callable, Coroutine, Generator, Iterator
from concurrent.futures import ThreadPoolExecutor
from typing import Any

import actorpool as modal

from .._measures import EachCall
from .._registry import Goal, contender, workload
from ._floors import Worker

AsyncCall = Callable[[int], Coroutine[Any, Any, int]]
SyncCall = Callable[[int], int]

# Each call, those of the warm-up included, is the first of a function of its own.
FUNCTIONS = 220


async def no_op(x: int) -> int:
    return x


def sync_no_op(x: int) -> int:
    return x


workload(
    name="start-task",
    title="first call of an async function: container start to result",
    measure=EachCall(),
    full=200,
    quick=50,
    goals=(Goal("must", 50.0), Goal("ambition", 20.0)),
    remark=(
        "Five turns of the loop for a call, and the second look of the policy: autoscaler, supervisor and container "
        "are actors that wake each other over channels. 122 µs of processor time are 636 calls of functions, none of "
        "which takes 3 µs. Tried: taking the supervisor's steps and the policy's look in the turn of whoever brings "
        "the message, and a container without a task: 180 to 80 µs of processor time, 20 to 9 times the floor, in two "
        "turns. It was given up: then there is no autoscaler actor and no channel to it. An eager start of the "
        "container's task would be the same."
    ),
)


@contender("start-task", role="ours")
async def actorpool() -> AsyncGenerator[AsyncCall]:
    app = modal.App("benchmarks-start-task")
    cold = iter([app.function(name=f"no_op_{number}")(no_op) for number in range(FUNCTIONS)])

    async def call(x: int) -> int:
        return await next(cold).remote.aio(x)

    async with app.run():
        yield call


@contender("start-task", "new queue and task", role="floor")
async def new_task() -> AsyncGenerator[AsyncCall]:
    loop = asyncio.get_running_loop()
    tasks = []

    async def work(requests: asyncio.Queue[tuple[int, asyncio.Future[int]]]) -> None:
        while True:
            x, future = await requests.get()
            future.set_result(await no_op(x))

    async def call(x: int) -> int:
        requests: asyncio.Queue[tuple[int, asyncio.Future[int]]] = asyncio.Queue()
        tasks.append(loop.create_task(work(requests)))
        future: asyncio.Future[int] = loop.create_future()
        requests.put_nowait((x, future))
        return await future

    yield call
    for task in tasks:
        task.cancel()


workload(
    name="start-thread",
    title="first call of a sync function: container start to result",
    measure=EachCall(),
    full=200,
    quick=50,
    goals=(Goal("must", 100.0), Goal("ambition", 40.0)),
    remark=(
        "The start of a thread alone, the floor, is more than the goal. It is 150 µs here, in which the engine's "
        "thread waits until the new one has begun; the others are the turns of start-task, and two threads that are "
        "woken on the way: the engine's, which decides, and the caller's, which gets the interpreter's lock only "
        "after the engine has done its steps. Tried: starting the slot's thread while the container starts, which is "
        "slower by a sixth, as the engine's thread waits for it then, and its input has to wake it once more. With "
        "the steps that were tried in start-task it was 170 to 280 µs of processor time, beside 420."
    ),
)


@contender("start-thread", "actorpool", role="ours")
def thread_actorpool() -> Generator[SyncCall]:
    app = modal.App("benchmarks-start-thread")
    cold: Iterator[modal.Function[[int], int, int]] = iter(
        [app.function(name=f"no_op_{number}")(sync_no_op) for number in range(FUNCTIONS)]
    )
    with app.run():
        yield lambda x: next(cold).remote(x)


@contender("start-thread", "new ThreadPoolExecutor")
def new_executor() -> Generator[SyncCall]:
    pools = []

    def call(x: int) -> int:
        pool = ThreadPoolExecutor(1)
        pools.append(pool)
        return pool.submit(sync_no_op, x).result()

    yield call
    for pool in pools:
        pool.shutdown()


@contender("start-thread", "new thread, queue and lock", role="floor")
def new_thread() -> Generator[SyncCall]:
    workers = []

    def call(x: int) -> int:
        worker = Worker()
        workers.append(worker)
        ended = threading.Lock()
        ended.acquire()
        result = -1

        def job() -> None:
            nonlocal result
            result = sync_no_op(x)
            ended.release()

        worker.put(job)
        ended.acquire()
        return result

    yield call
    for worker in workers:
        worker.close()

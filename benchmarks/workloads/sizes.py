# SPDX-License-Identifier: Apache-2.0
"""What the number of containers, of slots, of pools costs an input, and what the autoscaler does."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncGenerator, Callable, Coroutine
from functools import partial
from typing import Any

import actorpool as modal

from .._measures import PerInput
from .._registry import Goal, contender, workload
from ._floors import Task, TaskWindow

AsyncRun = Callable[[int], Coroutine[Any, Any, list[int]]]

SLOTS = 1000

one = modal.App("benchmarks-size-one")
many = modal.App("benchmarks-size-many")


@one.function(min_containers=1, max_containers=1)
@modal.concurrent(max_inputs=SLOTS)
async def in_one(x: int) -> int:
    await asyncio.sleep(0)
    return x


@many.function(min_containers=SLOTS, max_containers=SLOTS)
async def in_many(x: int) -> int:
    await asyncio.sleep(0)
    return x


workload(
    name="containers",
    title="map.aio, one suspension in the body, 1,000 slots in 1,000 containers and in 1",
    measure=PerInput(),
    full=10_000,
    quick=4_000,
    goals=(Goal("must", 1.3, "floor"), Goal("ambition", 1.05, "floor")),
)


async def warm(app: modal.App, function: modal.Function[[int], int, Any]) -> AsyncGenerator[AsyncRun]:
    async def run(n: int) -> list[int]:
        return [result async for result in function.map.aio(range(n))]

    async with app.run():
        while function.get_current_stats().input_headroom < SLOTS:  # noqa: ASYNC110 - nobody tells
            await asyncio.sleep(0.001)
        yield run


@contender("containers", "actorpool, 1,000 containers", role="ours")
async def thousand() -> AsyncGenerator[AsyncRun]:
    async for run in warm(many, in_many):
        yield run


@contender("containers", "actorpool, 1 container", role="floor")
async def single() -> AsyncGenerator[AsyncRun]:
    async for run in warm(one, in_one):
        yield run


# -- 1 to 1,000 containers of one slot, and slots of one container ---------------------------------------


async def body(x: int) -> int:
    await asyncio.sleep(0)
    return x


def register(name: str, title: str, series: str, count: int, *, containers: int, slots: int) -> None:
    """Register one point of a line: so many containers with so many slots each."""
    app = modal.App(f"benchmarks-{name}")

    @app.function(name="body", min_containers=containers, max_containers=containers)
    @modal.concurrent(max_inputs=slots)
    async def function(x: int) -> int:
        return await body(x)

    workload(
        name=name,
        title=f"map.aio, one suspension in the body, {title}",
        measure=PerInput(),
        full=5_000,
        quick=2_000,
        series=(series, count),
        most_rounds=5,
    )

    @contender(name, role="ours")
    async def actorpool() -> AsyncGenerator[AsyncRun]:
        async with app.run():
            while function.get_current_stats().input_headroom < containers * slots:  # noqa: ASYNC110 - nobody tells
                await asyncio.sleep(0.001)

            async def run(n: int) -> list[int]:
                return [result async for result in function.map.aio(range(n))]

            yield run

    @contender(name, "Semaphore + gather")
    async def semaphore(n: int) -> list[int]:
        free = asyncio.Semaphore(count)

        async def one(x: int) -> int:
            async with free:
                return await body(x)

        return await asyncio.gather(*(one(x) for x in range(n)))

    @contender(name, "window of tasks", role="floor")
    async def window(n: int) -> list[int]:
        end = asyncio.get_running_loop().create_future()
        tasks = TaskWindow(body, n, count, partial(end.set_result, None))
        tasks.start()
        await end
        return tasks.results


for count in (1, 10, 100, 1000):
    said = f"{count:,} {'container' if count == 1 else 'containers'} of 1 slot"
    register(f"containers-{count}", said, "number of containers", count, containers=count, slots=1)
for count in (1, 10, 100, 1000):
    said = f"1 container of {count:,} {'slot' if count == 1 else 'slots'}"
    register(f"slots-{count}", said, "concurrency (slots of one container)", count, containers=1, slots=count)


# -- pools, and the autoscaler ---------------------------------------------------------------------------

POOLS = 1000

pools = modal.App("benchmarks-pools")


@pools.cls()
class Keyed:
    def __init__(self, key: int) -> None:
        self.key = key

    @modal.method()
    async def no_op(self, x: int) -> int:
        return x


workload(
    name="pools",
    title=f"one call after the other, each to another of {POOLS:,} parameter sets",
    measure=PerInput(),
    full=5_000,
    quick=2_000,
)


@contender("pools", role="ours")
async def actorpool() -> AsyncGenerator[AsyncRun]:
    objects = [Keyed(key=key) for key in range(POOLS)]

    async def run(n: int) -> list[int]:
        return [await objects[x % POOLS].no_op.remote.aio(x) for x in range(n)]

    async with pools.run():
        await run(POOLS)
        yield run


@contender("pools", "a Semaphore each")
async def semaphores(n: int) -> list[int]:
    free = {key: asyncio.Semaphore(1) for key in range(POOLS)}

    async def one(x: int) -> int:
        async with free[x % POOLS]:
            return x

    return [await asyncio.create_task(one(x)) for x in range(n)]


@contender("pools", "a task each", role="floor")
async def tasks(n: int) -> list[int]:
    loop = asyncio.get_running_loop()

    async def one(x: int) -> int:
        return x

    return [await Task(one(x), loop=loop) for x in range(n)]


workload(
    name="autoscaler",
    title="map.aio of asyncio.sleep(0.001), 100 containers: from none, and always there",
    measure=PerInput(),
    full=5_000,
    quick=2_000,
    most_rounds=5,
)

scaled = modal.App("benchmarks-scaled")


async def nap(x: int) -> int:
    await asyncio.sleep(0.001)
    return x


from_none = scaled.function(name="from_none", max_containers=100)(nap)
always = scaled.function(name="always", min_containers=100, max_containers=100)(nap)


async def scale(function: modal.Function[[int], int, Any]) -> AsyncGenerator[AsyncRun]:
    async with scaled.run():

        async def run(n: int) -> list[int]:
            return [result async for result in function.map.aio(range(n))]

        yield run


@contender("autoscaler", "actorpool, scaled from none", role="ours")
async def scaled_from_none() -> AsyncGenerator[AsyncRun]:
    async for run in scale(from_none):
        yield run


@contender("autoscaler", "actorpool, always 100")
async def always_there() -> AsyncGenerator[AsyncRun]:
    async for run in scale(always):
        yield run


@contender("autoscaler", "window of tasks", role="floor")
async def napping_tasks(n: int) -> list[int]:
    end = asyncio.get_running_loop().create_future()
    tasks = TaskWindow(nap, n, 100, partial(end.set_result, None))
    tasks.start()
    await end
    return tasks.results

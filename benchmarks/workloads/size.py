# SPDX-License-Identifier: Apache-2.0
"""Whether the cost of an input depends on how many containers there are."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncGenerator, Callable, Coroutine
from typing import Any

import actorpool as modal

from .._measures import PerInput
from .._registry import Goal, contender, workload

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

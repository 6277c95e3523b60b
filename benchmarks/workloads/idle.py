# SPDX-License-Identifier: Apache-2.0
"""What a warm app costs while there is nothing to do."""

from __future__ import annotations

import asyncio
from time import perf_counter, process_time, sleep

import actorpool as modal

from .._measures import Metric, Reported
from .._registry import Goal, contender, workload

app = modal.App("benchmarks-idle")

HALF = 50


@app.function(min_containers=HALF, max_containers=HALF)
async def task(x: int) -> int:
    await asyncio.sleep(0.01)
    return x


@app.function(min_containers=HALF, max_containers=HALF)
def thread(x: int) -> int:
    sleep(0.01)
    return x


workload(
    name="idle",
    title="an idle app with 100 warm containers, half of them threads",
    measure=Reported(Metric("CPU", "%"), Metric("wake-ups per second", "")),
    counted="seconds",
    full=10,
    quick=2,
    goals=(Goal("must", 0.1, metric=0), Goal("ambition", 0.0, metric=1)),
    most_rounds=3,
    quick_rounds=1,
    isolated=True,
)


async def idle(seconds: int) -> tuple[float, float]:
    """Sleep; return the CPU time of all threads in per cent, and how often one of them gave up its CPU to wait."""
    import resource

    # The first pause lets timers of the warm-up run out.
    await asyncio.sleep(min(1.5, seconds))
    used, begin = process_time(), perf_counter()
    switches = resource.getrusage(resource.RUSAGE_SELF).ru_nvcsw
    await asyncio.sleep(seconds)
    # One wait is this sleep's own.
    switches = resource.getrusage(resource.RUSAGE_SELF).ru_nvcsw - switches - 1
    elapsed, used = perf_counter() - begin, process_time() - used
    return used / elapsed * 100, max(0, switches) / elapsed


@contender("idle", role="ours", requires="resource")
async def actorpool(seconds: int) -> tuple[float, float]:
    async with app.run():
        for function in (task, thread):
            assert [x async for x in function.map.aio(range(200))] == list(range(200))
        return await idle(seconds)


@contender("idle", "a loop asleep", role="floor", requires="resource")
async def asleep(seconds: int) -> tuple[float, float]:
    return await idle(seconds)

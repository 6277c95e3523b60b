# SPDX-License-Identifier: Apache-2.0
"""Asynchronous use: every blocking verb has an `.aio` twin.

$ actorpool run examples/async_use.py
"""

from __future__ import annotations

import asyncio
import time
from collections.abc import AsyncIterator

import actorpool as modal

app = modal.App("my-app")


@app.function()
@modal.concurrent(max_inputs=20)
async def async_task(x: int) -> int:
    await asyncio.sleep(0.2)
    return x * 2


@app.function()
def sync_task(x: int) -> int:
    return x + 1


async def ticks() -> AsyncIterator[int]:
    for number in range(5):
        await asyncio.sleep(0.01)
        yield number


@app.local_entrypoint()
async def main() -> None:
    begin = time.perf_counter()
    tasks = [async_task.remote.aio(i) for i in range(100)]
    results = await asyncio.gather(*tasks)
    print(f"100 tasks of 0.2 s in {time.perf_counter() - begin:.1f} s, sum {sum(results)}")

    print("a sync function from async code:", await sync_task.remote.aio(1))
    print("map.aio, of an async iterator:", [result async for result in async_task.map.aio(ticks())])

    call = await async_task.spawn.aio(21)
    print("spawn.aio:", await call.get.aio())
    await sync_task.for_each.aio(range(3))

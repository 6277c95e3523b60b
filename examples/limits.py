# SPDX-License-Identifier: Apache-2.0
"""Limits: a call beyond one fails at once and says so, a map holds itself back, and nothing accepted is lost.

    $ actorpool run examples/limits.py

The defaults are large: 2,000 pending inputs, 25,000 in all, 1,000,000 pending ones from `spawn`, and 1,000 in
flight for one map. Here they are small, to be reached.
"""

from __future__ import annotations

import asyncio

import actorpool as modal
from actorpool.exception import ResourceExhaustedError

app = modal.App("my-app")


@app.function(max_containers=1, limits=modal.Limits(max_pending=5, max_spawned=50))
async def slow(x: int) -> int:
    await asyncio.sleep(0.01)
    return x


@app.local_entrypoint()
async def main() -> None:
    print("defaults:", modal.Limits())

    outcomes = await asyncio.gather(*(slow.remote.aio(x) for x in range(20)), return_exceptions=True)
    refused = [outcome for outcome in outcomes if isinstance(outcome, ResourceExhaustedError)]
    print(f"20 calls at once: {20 - len(refused)} done, {len(refused)} refused")
    error = refused[0]
    print(error)
    print(f"for programs: {error.limit_name}={error.limit}, retry_after={error.retry_after:.2f} s")

    calls = [await slow.spawn.aio(x) for x in range(50)]
    print("50 spawned, their allowance is apart:", sum(await modal.FunctionCall.gather.aio(*calls)))

    results = [result async for result in slow.map.aio(range(30))]
    print("a map of 30 waits by itself:", len(results), "results")

# SPDX-License-Identifier: Apache-2.0
"""Input concurrency: one container runs many inputs at once, as tasks or as threads.

$ actorpool run examples/input_concurrency.py
"""

from __future__ import annotations

import asyncio
import threading
import time

import actorpool as modal

app = modal.App("my-app")


@app.function()
@modal.concurrent(max_inputs=100)
async def fetch(number: int) -> int:
    await asyncio.sleep(0.2)  # a request, a query: anything that waits
    return number


@app.function()
@modal.concurrent(max_inputs=10)
def blocking_fetch(number: int) -> int:
    time.sleep(0.2)
    return threading.get_ident()


@app.function(max_containers=1)
@modal.concurrent(max_inputs=12, target_inputs=10)
async def with_headroom(number: int) -> int:
    await asyncio.sleep(0.1)
    return with_headroom.get_current_stats().num_running_inputs


@app.local_entrypoint()
def main() -> None:
    begin = time.perf_counter()
    results = list(fetch.map(range(100)))
    elapsed = time.perf_counter() - begin
    print(
        f"async: {len(results)} inputs of 0.2 s in {elapsed:.1f} s,", fetch.statistics().starts, "container"
    )

    threads = set(blocking_fetch.map(range(20)))
    print(f"sync: 20 inputs on {len(threads)} threads of", blocking_fetch.statistics().starts, "containers")

    busiest = max(with_headroom.map(range(50)))
    print(f"target 10, hard limit 12, no second container allowed: {busiest} at once")

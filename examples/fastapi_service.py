# SPDX-License-Identifier: Apache-2.0
"""A FastAPI service with an app inside it: on the service's own loop, and a 429 when a limit is reached.

Serve it, from this folder, with `uvicorn fastapi_service:api`. Run as a program it tests itself: it starts
the service in this process, sends it more requests at once than its limit allows, and shows the answers.

    $ python examples/fastapi_service.py

Needs the packages fastapi and httpx.
"""

from __future__ import annotations

import asyncio
from collections import Counter

import httpx
from fastapi import FastAPI

import actorpool as modal
from actorpool.contrib.fastapi import lifespan, too_many_requests
from actorpool.exception import ResourceExhaustedError

app = modal.App("shop", limits=modal.Limits(max_pending=20))


@app.function(max_containers=2, min_containers=1)
@modal.concurrent(max_inputs=5)
async def price(item: str) -> float:
    await asyncio.sleep(0.05)  # ask a slow backend
    return float(len(item))


api = FastAPI(lifespan=lifespan(app))
api.add_exception_handler(ResourceExhaustedError, too_many_requests)


@api.get("/price/{item}")
async def get_price(item: str) -> dict[str, float]:
    # The client that gives up cancels its input; the pool does the rest.
    return {item: await price.remote.aio(item)}


@api.get("/price-from-a-thread/{item}")
def get_price_from_a_thread(item: str) -> dict[str, float]:
    # FastAPI runs this in a thread of its own, where the blocking verb is right.
    return {item: price.remote(item)}


@api.get("/health")
async def health() -> dict[str, int]:
    stats = price.get_current_stats()
    return {
        "containers": stats.num_total_runners,
        "running": stats.num_running_inputs,
        "pending": stats.backlog,
    }


async def check_myself() -> None:
    # httpx calls the service in this process, and leaves its lifespan to us.
    transport = httpx.ASGITransport(app=api)
    async with (
        api.router.lifespan_context(api),
        httpx.AsyncClient(transport=transport, base_url="http://service") as client,
    ):
        print((await client.get("/price/apple")).json())
        print((await client.get("/price-from-a-thread/pear")).json())
        answers = await asyncio.gather(*(client.get(f"/price/{number}") for number in range(100)))
        print("100 requests at once:", dict(Counter(answer.status_code for answer in answers)))
        refused = next(answer for answer in answers if answer.status_code == 429)
        print("Retry-After:", refused.headers["Retry-After"], "s;", refused.json()["detail"])
        print((await client.get("/health")).json())


if __name__ == "__main__":
    asyncio.run(check_myself())

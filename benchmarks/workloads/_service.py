# SPDX-License-Identifier: Apache-2.0
"""The service under load: `python -m benchmarks.workloads._service WAY` serves, and prints its port when it does."""

from __future__ import annotations

import asyncio
import socket
import sys
from typing import Any

import actorpool as modal
from actorpool.contrib.fastapi import lifespan

WORK_S = 0.002
AT_ONCE = 64

app = modal.App("benchmarks-service")


async def work(x: int) -> int:
    """Wait, as for a database."""
    await asyncio.sleep(WORK_S)
    return x


@app.function(min_containers=1, max_containers=4)
@modal.concurrent(max_inputs=AT_ONCE // 4)
async def pooled(x: int) -> int:
    return await work(x)


def service(way: str) -> Any:
    """Return the service that does the work directly, behind a semaphore, or through actorpool."""
    from fastapi import FastAPI

    api = FastAPI(lifespan=lifespan(app) if way == "actorpool" else None)
    slots = asyncio.Semaphore(AT_ONCE)

    @api.get("/{x}")
    async def endpoint(x: int) -> int:
        if way == "actorpool":
            return await pooled.remote.aio(x)
        if way == "semaphore":
            async with slots:
                return await work(x)
        return await work(x)

    return api


def main(way: str) -> None:
    import uvicorn

    listener = socket.create_server(("127.0.0.1", 0))
    # Which connection is idle for how long is the client's affair, for as long as a sample takes.
    config = uvicorn.Config(service(way), log_level="error", access_log=False, timeout_keep_alive=60)
    server = uvicorn.Server(config)
    print(listener.getsockname()[1], flush=True)
    server.run(sockets=[listener])


if __name__ == "__main__":
    main(sys.argv[1])

# SPDX-License-Identifier: Apache-2.0
"""What the soak test runs: an app whose process containers are replaced all the time, for every reason there is."""

from __future__ import annotations

import asyncio
import os
import signal
import time
from collections.abc import AsyncIterator, Iterator
from typing import Any

import actorpool as modal

__all__ = ["Model", "app"]

app = modal.App("soak", backend="process", limits=modal.Limits(max_processes=8, results_kept=100))

again = modal.Retries(max_retries=5, initial_delay=0.0)


@app.function(max_containers=2, recycle=modal.Recycle(inputs=200))
def square(x: int) -> int:
    return x * x


@app.function(max_containers=1, recycle=modal.Recycle(age=3.0))
@modal.concurrent(max_inputs=20)
async def echo(value: Any) -> Any:
    await asyncio.sleep(0.001)
    return value


@app.function(max_containers=1, recycle=modal.Recycle(inputs=50))
def big(payload: bytes) -> bytes:
    return payload[::-1]


@app.function(max_containers=1)
def refuse(x: int) -> None:
    raise ValueError(x)


@app.function(max_containers=1, retries=again)
def die(marker: str) -> str:
    """End its process once for each marker."""
    if not os.path.exists(marker):
        with open(marker, "w"):
            pass
        os.kill(os.getpid(), signal.SIGKILL)
    return marker


@app.function(max_containers=1, timeout=0.2, startup_timeout=60)
def hang() -> None:
    """Work on in spite of every interruption, until the process is killed."""
    while True:
        try:
            time.sleep(1)
        except BaseException:
            continue


@app.function(max_containers=1)
def count(n: int) -> Iterator[int]:
    yield from range(n)


@app.function(max_containers=1)
async def acount(n: int) -> AsyncIterator[int]:
    for number in range(n):
        yield number


hoarded: list[bytes] = []


@app.function(max_containers=1, recycle=modal.Recycle(memory_mib=150))
def hoard(mib: int) -> int:
    hoarded.append(os.urandom(1 << 20) * mib)
    return len(hoarded)


@app.cls(max_containers=1, recycle=modal.Recycle(inputs=30))
class Model:
    factor: int = modal.parameter(default=3)

    @modal.enter()
    def load(self) -> None:
        self.weights = bytes(1 << 20)

    @modal.method()
    def times(self, x: int) -> int:
        return x * self.factor

    @modal.exit()
    def unload(self) -> None:
        self.weights = b""


@app.function(backend="local")
def local_square(x: int) -> int:
    return x * x

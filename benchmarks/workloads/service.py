# SPDX-License-Identifier: Apache-2.0
"""A FastAPI endpoint under open load, with and without actorpool between it and its work.

Requests are sent when they are due, whatever has become of those before, and a latency counts from that instant: a
service that stalls cannot make the load wait for it (no coordinated omission). The service has a process of its own.
"""

from __future__ import annotations

import asyncio
import importlib
import os
import signal
import subprocess
import sys
from collections.abc import AsyncGenerator, Callable, Coroutine
from time import perf_counter
from typing import Any

from .._measures import Metric, Reported, WrongResultError
from .._registry import Role, contender, workload

PER_SECOND = 250
PERCENTILES = (50.0, 90.0, 99.0, 99.9)
# Latencies that the histogram tells apart: from a microsecond to a minute, three digits of each.
RANGE = (1, 60_000_000, 3)

Report = list[float]
AsyncRun = Callable[[int], Coroutine[Any, Any, Report]]

workload(
    name="service",
    title=f"a FastAPI endpoint that waits 2 ms, {PER_SECOND} requests a second (open load)",
    measure=Reported(*(Metric(f"p{percentile:g}", "ms") for percentile in PERCENTILES)),
    counted="requests",
    full=1_500,
    quick=400,
    most_rounds=5,
    quick_rounds=2,
)


class Client:
    """Connections that are kept open; a request takes one that is free, or opens another."""

    def __init__(self, port: int) -> None:
        self._port = port
        self._free: list[tuple[asyncio.StreamReader, asyncio.StreamWriter]] = []

    async def get(self, x: int) -> None:
        """Ask for `x`; the answer must be it."""
        if self._free:
            reader, writer = self._free.pop()
        else:
            reader, writer = await asyncio.open_connection("127.0.0.1", self._port)
        writer.write(b"GET /%d HTTP/1.1\r\nHost: localhost\r\n\r\n" % x)
        head = await reader.readuntil(b"\r\n\r\n")
        fields = dict(line.lower().split(b": ", 1) for line in head.split(b"\r\n")[1:-2])
        content = await reader.readexactly(int(fields[b"content-length"]))
        if content != b"%d" % x:
            raise WrongResultError(f"the service answered {content[:100]!r}, not {x}")
        self._free.append((reader, writer))

    def close(self) -> None:
        for _, writer in self._free:
            writer.close()


async def load(client: Client, n: int) -> Report:
    """Send `n` requests, each when it is due; return the percentiles of their latencies, in milliseconds."""
    histogram = importlib.import_module("hdrh.histogram").HdrHistogram(*RANGE)
    loop = asyncio.get_running_loop()
    begin = perf_counter() + 0.01
    requests = []

    async def request(x: int, due: float) -> None:
        await client.get(x)
        histogram.record_value(int((perf_counter() - due) * 1e6))

    for x in range(n):
        due = begin + x / PER_SECOND
        wait = due - perf_counter()
        if wait > 0:
            await asyncio.sleep(wait)
        requests.append(loop.create_task(request(x, due)))
    await asyncio.gather(*requests)
    return [histogram.get_value_at_percentile(percentile) / 1000 for percentile in PERCENTILES]


def register(way: str, name: str, role: Role) -> None:
    @contender("service", name, role=role, requires=("fastapi", "uvicorn", "hdrh"))
    async def serve() -> AsyncGenerator[AsyncRun]:
        paths = os.pathsep.join(path or os.getcwd() for path in sys.path)
        server = subprocess.Popen(  # noqa: ASYNC220 - nothing else is to run meanwhile
            [sys.executable, "-m", "benchmarks.workloads._service", way],
            env={**os.environ, "PYTHONPATH": paths},
            stdout=subprocess.PIPE,
            text=True,
        )
        assert server.stdout is not None
        client = Client(int(server.stdout.readline()))
        try:
            # It listens already; the first answer comes when it has started.
            await client.get(1)

            async def run(n: int) -> Report:
                await load(client, n // 10)
                return await load(client, n)

            yield run
        finally:
            client.close()
            server.send_signal(signal.SIGTERM)
            server.stdout.close()
            server.wait(20)

    assert serve is not None


register("actorpool", "actorpool", "ours")
register("semaphore", "Semaphore", "peer")
register("direct", "the work alone", "floor")

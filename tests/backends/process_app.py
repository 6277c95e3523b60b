# SPDX-License-Identifier: Apache-2.0
"""What the tests of process containers run there: an app as a user's module has one."""

from __future__ import annotations

import asyncio
import logging
import os
import signal
import subprocess
import sys
import threading
import time
from collections.abc import AsyncIterator, Iterator
from contextvars import ContextVar
from typing import Any

import actorpool as modal

app = modal.App("process-tests", backend="process")

tenant: ContextVar[str] = ContextVar("tenant", default="nobody")


class Refusal(Exception):
    """The user's own exception."""

    def __init__(self, what: str, code: int) -> None:
        super().__init__(what, code)
        self.code = code


@app.function()
def where(x: object = None) -> tuple[int, str, object]:
    """Return the process and thread it runs in, and its argument."""
    return os.getpid(), threading.current_thread().name, x


@app.function()
@modal.concurrent(max_inputs=100)
async def awhere(x: object = None) -> tuple[int, object]:
    await asyncio.sleep(0)
    return os.getpid(), x


@app.function()
def echo(value: Any) -> Any:
    return value


@app.function()
def refuse(what: str) -> None:
    raise Refusal(what, 7)


@app.function(retries=modal.Retries(max_retries=3, initial_delay=0.0), max_containers=2)
def die(marker: str, how: str, times: int) -> str:
    """End the process the first `times` times, told apart by files named after `marker`."""
    seen = sum(os.path.exists(f"{marker}.{number}") for number in range(times))
    if seen < times:
        with open(f"{marker}.{seen}", "w"):
            pass
        if how == "exit":
            os._exit(3)
        os.kill(os.getpid(), getattr(signal, how))
        time.sleep(60)
    return "done"


@app.function()
def exit_with(code: int) -> None:
    os._exit(code)


@app.function(timeout=0.3, max_containers=1)
def stubborn(seconds: float) -> str:
    deadline = time.monotonic() + seconds
    while time.monotonic() < deadline:
        try:
            time.sleep(0.01)
        except BaseException:
            continue
    return "ended"


@app.function()
def nap(seconds: float, marker: str | None = None) -> None:
    if marker:
        with open(marker, "w") as file:
            file.write(str(os.getpid()))
    time.sleep(seconds)


@app.function(timeout=0.5, max_containers=1)
def start_others(how: str) -> list[int]:
    """Start a process that ends with the container and one that does not, then return them, or end in a bad way."""
    command = [sys.executable, "-c", "import time; time.sleep(100)"]
    started = [subprocess.Popen(command).pid, subprocess.Popen(command, start_new_session=True).pid]
    if how == "return":
        return started
    print(*started, flush=True)
    if how == "exit":
        os._exit(3)
    stubborn.local(100.0)
    return started


@app.function()
@modal.concurrent(max_inputs=2)
def wait_for(name: str, folder: str) -> int:
    """Say in a file that it has begun, and wait for another file; return the process."""
    with open(f"{folder}/{name}-{os.getpid()}", "w"):
        pass
    while not os.path.exists(f"{folder}/go"):
        time.sleep(0.01)
    return os.getpid()


@app.function()
@modal.concurrent(max_inputs=4)
async def linger(path: str) -> None:
    with open(path, "w") as file:
        file.write("started")
    try:
        await asyncio.sleep(60)
    except asyncio.CancelledError:
        with open(path, "w") as file:
            file.write("cancelled")
        raise


@app.function()
def say(text: str) -> None:
    print(text)
    print(text, "again", file=sys.stderr)
    logging.getLogger("users.own").warning("logged %s", text)


@app.function(single_use_containers=True)
def levels(*names: str) -> list[int]:
    return [logging.getLogger(name).level for name in names]


@app.function()
def count(n: int) -> Iterator[int]:
    yield from range(n)


class Unreadable:
    """Can be sent, and not be read."""

    def __reduce__(self) -> Any:
        return int, ("no number",)


@app.function(max_containers=1)
def count_badly() -> Iterator[object]:
    yield 1
    yield Unreadable()
    yield 2


@app.function()
async def acount(n: int) -> AsyncIterator[int]:
    for number in range(n):
        yield number


@app.function()
def who() -> tuple[str, str | None, str | None]:
    return tenant.get(), modal.current_input_id(), modal.current_container_id()


@app.function()
@modal.batched(max_batch_size=4, wait_ms=20)
def doubled(xs: list[int]) -> list[int]:
    return [2 * x for x in xs]


@app.cls(timeout=1, max_containers=1)
class SlowToLoad:
    """Takes longer to start than its inputs may take."""

    @modal.enter()
    def load(self) -> None:
        time.sleep(1.2)
        self.state = "loaded"

    @modal.method()
    def ask(self) -> str:
        return self.state


@app.cls()
class Counter:
    start: int = modal.parameter(default=0)

    @modal.enter()
    def begin(self) -> None:
        self.value = self.start
        self.entered_by = threading.get_ident()

    @modal.method()
    def add(self, n: int) -> tuple[int, bool, int]:
        self.value += n
        return self.value, self.entered_by == threading.get_ident(), os.getpid()

    @modal.exit()
    def end(self) -> None:
        path = os.environ.get("ACTORPOOL_TEST_EXITS")
        if path:
            with open(path, "a") as file:
                file.write(f"{self.value}\n")


@app.function(retries=modal.Retries(max_retries=3, initial_delay=0.0), max_containers=4)
@modal.concurrent(max_inputs=4)
def slow_square(x: int) -> int:
    time.sleep(0.012)
    return x * x


hoarded: list[bytes] = []


@app.function(recycle=modal.Recycle(memory_mib=150), max_containers=1)
def hoard(mib: int) -> int:
    hoarded.append(os.urandom(1 << 20) * mib)
    return os.getpid()

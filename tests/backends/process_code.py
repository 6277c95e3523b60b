# SPDX-License-Identifier: Apache-2.0
"""A user's module, as processes import it: functions and a class of an app, in ways in which code is written."""

from __future__ import annotations

import asyncio
import contextvars
import functools
import gc
import logging
import os
import random
import signal
import sys
import threading
import time
from collections.abc import AsyncIterator, Callable, Iterator
from pathlib import Path
from typing import Any

import actorpool as modal
from actorpool.exception import InputCancellation

app = modal.App("process-code")
colour: contextvars.ContextVar[str] = contextvars.ContextVar("colour", default="none")
IMPORTED_IN = os.getpid()


@app.function()
def imported_in() -> int:
    return IMPORTED_IN


@app.function()
def double(x: int) -> int:
    return 2 * x


@app.function()
async def triple(x: int) -> int:
    await asyncio.sleep(0)
    return 3 * x


def _logged(function: Callable[..., Any]) -> Callable[..., Any]:
    @functools.wraps(function)
    def wrapper(*args: Any) -> Any:
        return "logged", function(*args)

    return wrapper


@app.function()
@_logged
def wrapped(x: int) -> int:
    return x


def plain(x: int) -> int:
    return -x


renamed = app.function(name="other")(plain)


@app.function()
def calls_local(x: int) -> int:
    return double.local(x) + 1


@app.function()
def calls_remote(x: int) -> int:
    return double.remote(x)


@app.function()
def fails(x: object) -> None:
    raise ValueError("wrong", x)


@app.function()
def returns_lock() -> Any:
    return threading.Lock()


@app.function()
def about_itself() -> dict[str, Any]:
    return {
        "argv": sys.argv,
        "colour": colour.get(),
        "call": modal.current_function_call_id(),
        "container": modal.current_container_id(),
        "input": modal.current_input_id(),
        "local": modal.is_local(),
        "stdin": sys.stdin.read(),
        "sigint": signal.getsignal(signal.SIGINT) is signal.SIG_IGN,
        "sigterm": signal.getsignal(signal.SIGTERM) is signal.SIG_DFL,
        "blocked": len(signal.pthread_sigmask(signal.SIG_BLOCK, ())),
        "random": random.random(),
        "threads": threading.active_count(),
    }


@app.function()
def signals_taken() -> tuple[list[int], list[int]]:
    """Return the signals that a function of Python's handles, and those that are blocked."""
    handled = [number for number in signal.valid_signals() if callable(signal.getsignal(number))]
    return list(map(int, handled)), list(map(int, signal.pthread_sigmask(signal.SIG_BLOCK, ())))


@app.function()
def descriptors() -> dict[str, str]:
    folder = Path("/proc/self/fd")
    return {path.name: os.readlink(path) for path in list(folder.iterdir()) if path.is_symlink()}


@app.function()
def prints(texts: list[str], ends: list[str]) -> None:
    for text, end in zip(texts, ends, strict=True):
        print(text, end=end)


@app.function()
def prints_in_threads(threads: int, lines: int) -> None:
    def work(number: int) -> None:
        for line in range(lines):
            print("thread", number, "line", line)

    workers = [threading.Thread(target=work, args=(number,)) for number in range(threads)]
    for worker in workers:
        worker.start()
    for worker in workers:
        worker.join()


@app.function()
def prints_elsewhere() -> None:
    print("to stderr", file=sys.stderr)
    sys.stdout.buffer.write(b"bytes \xff\n")
    sys.stdout.write("a\nb\nc")


@app.function()
async def prints_on_the_loop(lines: int) -> None:
    for line in range(lines):
        print("x" * 1_000, line)


@app.function()
def logs() -> None:
    logger = logging.getLogger("user.code")
    logger.debug("hidden")
    logger.info("shown %s", 1)
    try:
        raise ValueError("in the log")
    except ValueError:
        logger.exception("failed", extra={"request": "r-1", "lock": threading.Lock()})


@app.function()
def counts_up(n: int) -> Iterator[int]:
    try:
        yield from range(n)
    finally:
        print("generator closed")


@app.function()
async def counts_up_async(n: int) -> AsyncIterator[int]:
    try:
        for i in range(n):
            yield i
    finally:
        print("generator closed")


@app.function()
def yields_lock() -> Iterator[Any]:
    yield 1
    yield threading.Lock()


@app.function()
def spins() -> str:
    try:
        print("spinning")
        while True:
            time.sleep(0.001)
    except InputCancellation:
        print("interrupted")
        raise


@app.function()
def spins_deaf() -> str:
    try:
        print("spinning")
        while True:
            time.sleep(0.001)
    except InputCancellation:
        return "went on"


@app.function()
def print_storm() -> None:
    number = 0
    while True:
        print("line", number)
        number += 1


class Litter:
    def __init__(self) -> None:
        self.me = self

    def __del__(self) -> None:
        sys.stdout.write("gone\n")


def _litter(n: int) -> None:
    # The collector runs amid whatever makes objects, the writing of lines included.
    gc.set_threshold(3)
    for number in range(n):
        Litter()
        sys.stdout.write(f"{number}\n")


@app.function()
def litters(n: int) -> None:
    _litter(n)


@app.function()
async def litters_on_the_loop(n: int) -> None:
    _litter(n)


@app.function()
async def prints_among_signals(n: int) -> None:
    signal.signal(signal.SIGALRM, lambda *_: sys.stdout.write("tick\n"))
    signal.setitimer(signal.ITIMER_REAL, 0.0001, 0.0001)
    for number in range(n):
        sys.stdout.write(f"{number}\n")
    signal.setitimer(signal.ITIMER_REAL, 0)


@app.function()
async def sleeps_async() -> None:
    print("sleeping")
    await asyncio.sleep(60)


@app.function()
async def blocks_the_loop() -> None:
    print("blocking")
    while True:
        time.sleep(0.01)


@app.function()
def exits(status: int) -> None:
    os._exit(status)


@app.function()
def waits_for(path: str) -> None:
    print("waiting")
    while not os.path.exists(path):
        time.sleep(0.001)


@app.cls()
class Counter:
    start: int = modal.parameter(default=0)

    @modal.enter()
    def begin(self) -> None:
        self.value = self.start
        print("enter 1")

    @modal.enter()
    async def begin_async(self) -> None:
        print("enter 2", self.value)

    @modal.method()
    def add(self, n: int) -> int:
        self.value += n
        return self.value

    @modal.method()
    async def add_async(self, n: int) -> int:
        return self.add.local(n)

    @modal.exit()
    def end(self) -> None:
        print("exit", self.value)


@app.cls()
class NeverReady:
    @modal.enter()
    def begin(self) -> None:
        raise LookupError("no model")

    @modal.method()
    def run(self) -> None: ...


@app.cls()
class SlowStart:
    @modal.enter()
    async def begin(self) -> None:
        print("starting")
        await asyncio.sleep(60)

    @modal.method()
    def run(self) -> None: ...

# SPDX-License-Identifier: Apache-2.0
"""What a stretch of work cost, in numbers that no clock has a part in."""

from __future__ import annotations

import asyncio
import gc
import sys
import tracemalloc
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from contextvars import Context
from types import FrameType
from typing import Any

import pytest

from actorpool._host import _asyncio_slots, _engine

__all__ = ["EAGER", "INPUTS", "CountingLoop", "calls_counted", "count_tasks", "memory_counted"]

INPUTS = 1_000
"""Inputs of one measurement; what is counted is for so many."""

EAGER = sys.version_info >= (3, 12)
"""Whether tasks start eagerly."""


class CountingLoop(asyncio.SelectorEventLoop):
    """A loop that counts its turns, its tasks and how often another thread woke it."""

    def __init__(self) -> None:
        self.turns = 0
        self.wake_ups = 0
        self.tasks = 0
        super().__init__()

    def _run_once(self) -> None:
        self.turns += 1
        super()._run_once()  # type: ignore[misc]

    def call_soon_threadsafe(  # type: ignore[override]
        self, callback: Callable[..., object], *args: Any, context: Context | None = None
    ) -> asyncio.Handle:
        self.wake_ups += 1
        return super().call_soon_threadsafe(callback, *args, context=context)

    def create_task(self, *args: Any, **kwargs: Any) -> asyncio.Task[Any]:
        self.tasks += 1
        return super().create_task(*args, **kwargs)

    def since(self, before: tuple[int, int, int]) -> tuple[int, int, int]:
        """Return turns, wake-ups and tasks since `counts` said `before`."""
        now = self.counts()
        return now[0] - before[0], now[1] - before[1], now[2] - before[2]

    def counts(self) -> tuple[int, int, int]:
        """Return turns, wake-ups and tasks so far."""
        return self.turns, self.wake_ups, self.tasks


def count_tasks(monkeypatch: pytest.MonkeyPatch) -> list[CountingLoop]:
    """Count the tasks of inputs with those of their loop; return the loops of engine threads, as they are made."""
    real = _asyncio_slots._Task
    engines: list[CountingLoop] = []

    def make(*args: Any, loop: CountingLoop, **kwargs: Any) -> Any:
        loop.tasks += 1
        return real(*args, loop=loop, **kwargs)

    def new_loop() -> CountingLoop:
        engines.append(CountingLoop())
        return engines[-1]

    monkeypatch.setattr(_asyncio_slots, "_Task", make)
    monkeypatch.setattr(_engine, "_new_loop", new_loop)
    return engines


class _Calls:
    def __init__(self) -> None:
        self.python = 0
        """Calls and resumptions of Python functions."""
        self.c = 0
        """Calls of functions in C."""

    def __call__(self, frame: FrameType, event: str, argument: object) -> None:
        if event == "call":
            self.python += 1
        elif event == "c_call":
            self.c += 1


@contextmanager
def calls_counted() -> Iterator[_Calls]:
    """Count the function calls of this thread."""
    calls = _Calls()
    gc.collect()
    gc.disable()
    before: Callable[..., Any] | None = sys.getprofile()
    sys.setprofile(calls)
    try:
        yield calls
    finally:
        sys.setprofile(before)
        gc.enable()


class _Memory:
    peak = 0
    """Most bytes held at once, beyond those held before."""
    retained = 0
    """Bytes held after, beyond those held before."""


@contextmanager
def memory_counted() -> Iterator[_Memory]:
    """Count the bytes that Python allocates."""
    memory = _Memory()
    gc.collect()
    tracemalloc.start()
    before, _ = tracemalloc.get_traced_memory()
    try:
        yield memory
        _, peak = tracemalloc.get_traced_memory()
        gc.collect()
        after, _ = tracemalloc.get_traced_memory()
        memory.peak, memory.retained = peak - before, after - before
    finally:
        tracemalloc.stop()

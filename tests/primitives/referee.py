# SPDX-License-Identifier: Apache-2.0
"""Two drivers that carry out the same steps, one on our asyncio primitives and one on trio's own.

A state machine makes the steps; the outcomes must be equal, so trio is the referee. Between steps both loops come to
rest, so that what is compared does not depend on the order in which ready tasks run. Where they differ on purpose is
listed in docs/differences.md, and pinned in test_differences.py.

`on_each_loop(Machine)` runs a machine with plain asyncio, with uvloop, and with eager tasks where there are any.
"""

from __future__ import annotations

import asyncio
import threading
from abc import ABC, abstractmethod
from collections.abc import Awaitable, Callable
from typing import Any, ClassVar, TypeVar

import pytest
import trio
import trio.testing
from hypothesis import settings
from hypothesis.stateful import RuleBasedStateMachine

from actorpool._host._asyncio import AsyncioHost
from tests.hosts import ASYNCIO_HOST_NAMES, new_loop, settle

T = TypeVar("T")


def outcome_of(error: BaseException) -> str:
    """Describe an exception by the leaves that are no cancellation, under the names that both sides share."""
    names = sorted(name for name in _leaves(error) if name not in {"Cancelled", "CancelledError"})
    return f"raised {' '.join(names)}" if names else "cancelled"


def _leaves(error: BaseException) -> list[str]:
    if isinstance(error, BaseExceptionGroup):
        return [name for inner in error.exceptions for name in _leaves(inner)]
    return [type(error).__name__]


class Driver(ABC):
    """Starts tasks by label, cancels them, and notes what became of each."""

    def __init__(self) -> None:
        # {label: "returned ...", "raised ..." or "cancelled"}
        self.outcomes: dict[Any, str] = {}
        # {label: what cancels it}
        self.scopes: dict[Any, Any] = {}

    @abstractmethod
    def run(self, async_fn: Callable[..., Awaitable[T]], *args: Any) -> T:
        """Run `async_fn(*args)` on the loop, to its end."""

    @abstractmethod
    def start(self, label: Any, async_fn: Callable[..., Awaitable[object]], *args: Any) -> None:
        """Start a task on the loop and let the loop come to rest."""

    @abstractmethod
    def close(self) -> None:
        """Cancel all tasks and end the loop."""

    @abstractmethod
    def cancel_scope(self) -> Any:
        """Return a cancel scope that has no deadline."""

    @abstractmethod
    def open_nursery(self) -> Any:
        """Return a nursery to be entered."""

    @abstractmethod
    def event(self) -> Any:
        """Return an event."""

    def settle(self) -> None:
        """Let the loop come to rest."""
        self.run(settle)

    def call(self, function: Callable[..., object], *args: Any) -> str:
        """Call a plain function on the loop; describe what it returned or raised."""

        async def call() -> str:
            try:
                return f"returned {function(*args)}"
            except Exception as error:
                return outcome_of(error)

        return self.run(call)

    def cancel(self, label: Any) -> None:
        """Cancel a task by its scope."""
        self.call(self.scopes[label].cancel)

    async def carry(self, label: Any, async_fn: Callable[..., Awaitable[object]], *args: Any) -> None:
        """Run a task's function in a scope of its own and note its outcome."""
        try:
            with self.cancel_scope() as scope:
                self.scopes[label] = scope
                self.outcomes[label] = f"returned {await async_fn(*args)}"
            if label not in self.outcomes:
                self.outcomes[label] = "cancelled"
        except BaseException as error:
            self.outcomes[label] = outcome_of(error)
            raise
        finally:
            del self.scopes[label]


class Referee(RuleBasedStateMachine):
    """Takes each step on both drivers and compares; a machine derives from it."""

    loop_kind: ClassVar[str] = "asyncio"

    def begin(self) -> None:
        """Make the drivers, ours first."""
        self.drivers: list[Driver] = [AsyncioDriver(self.loop_kind), TrioDriver()]

    def rest(self) -> None:
        """Let both come to rest, and compare what became of their tasks."""
        for driver in self.drivers:
            driver.settle()
        ours, trios = self.drivers
        assert trios.outcomes == ours.outcomes
        assert set(trios.scopes) == set(ours.scopes)

    def teardown(self) -> None:
        for driver in getattr(self, "drivers", []):
            driver.close()


def on_each_loop(machine: type[Referee]) -> dict[str, Any]:
    """Return {name: test case} for the module's globals; the other loops get a third of the examples."""
    found = {}
    for kind in ASYNCIO_HOST_NAMES:
        name = f"Test{machine.__name__}_{kind.replace('+', '_')}"
        variant: type[Referee] = type(name, (machine,), {"loop_kind": kind})
        case: Any = variant.TestCase
        default = settings.default
        assert default is not None
        if kind != "asyncio":
            case.settings = settings(default, max_examples=max(10, default.max_examples // 3))
        found[name] = pytest.mark.slow(case)
    return found


class AsyncioDriver(Driver):
    """Our primitives."""

    def __init__(self, kind: str = "asyncio") -> None:
        super().__init__()
        self.loop = new_loop(kind)
        self.loop.set_exception_handler(lambda _loop, context: self.unhandled.append(context))
        self.unhandled: list[dict[str, Any]] = []
        self.host = AsyncioHost(self.loop)
        self.tasks: set[asyncio.Task[None]] = set()

    def run(self, async_fn: Callable[..., Awaitable[T]], *args: Any) -> T:
        async def run() -> T:
            return await async_fn(*args)

        return self.loop.run_until_complete(run())

    def start(self, label: Any, async_fn: Callable[..., Awaitable[object]], *args: Any) -> None:
        self.tasks.add(self.loop.create_task(self._contain(label, async_fn, *args)))
        self.settle()

    async def _contain(self, label: Any, async_fn: Callable[..., Awaitable[object]], *args: Any) -> None:
        try:
            await self.carry(label, async_fn, *args)
        except Exception:
            # The outcome has been noted.
            pass

    def close(self) -> None:
        for task in self.tasks:
            task.cancel()
        self.settle()
        assert all(task.done() for task in self.tasks)
        assert set() == asyncio.all_tasks(self.loop)
        assert [] == self.unhandled
        self.loop.close()

    def cancel_scope(self) -> Any:
        return self.host.move_on_after(float("inf"))

    def open_nursery(self) -> Any:
        return self.host.open_nursery()

    def event(self) -> Any:
        return self.host.event()


class TrioDriver(Driver):
    """trio itself, in a thread."""

    def __init__(self) -> None:
        super().__init__()
        self.ready = threading.Event()
        self.thread = threading.Thread(target=trio.run, args=(self._main,), name="trio, the referee")
        self.thread.start()
        self.ready.wait()

    async def _main(self) -> None:
        self.token = trio.lowlevel.current_trio_token()
        self.stop = trio.Event()
        async with trio.open_nursery() as self.nursery:
            self.ready.set()
            await self.stop.wait()
            self.nursery.cancel_scope.cancel()

    def run(self, async_fn: Callable[..., Awaitable[T]], *args: Any) -> T:
        return trio.from_thread.run(async_fn, *args, trio_token=self.token)

    def start(self, label: Any, async_fn: Callable[..., Awaitable[object]], *args: Any) -> None:
        async def start() -> None:
            self.nursery.start_soon(self._contain, label, async_fn, *args)
            await settle()

        self.run(start)

    async def _contain(self, label: Any, async_fn: Callable[..., Awaitable[object]], *args: Any) -> None:
        try:
            await self.carry(label, async_fn, *args)
        except* Exception:
            # The outcome has been noted. What is left is a cancellation, which trio wants back.
            pass

    def close(self) -> None:
        trio.from_thread.run_sync(self.stop.set, trio_token=self.token)
        self.thread.join()

    def cancel_scope(self) -> Any:
        return trio.CancelScope()

    def open_nursery(self) -> Any:
        return trio.open_nursery()

    def event(self) -> Any:
        return trio.Event()

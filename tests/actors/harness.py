# SPDX-License-Identifier: Apache-2.0
"""What the fault tests share: callers that are cancelled at a chosen step, and what must be true of a pool at rest."""

from __future__ import annotations

import asyncio
import threading
import time
from collections.abc import Awaitable, Callable
from typing import Any

import trio

import actorpool as modal
from actorpool._host._current import current_host
from tests.hosts import settle

# More loop steps than any call of these tests takes.
_MOST_STEPS = 300


class Log:
    """What happened, on which thread, in order."""

    def __init__(self) -> None:
        self.events: list[str] = []
        self.threads: dict[str, int] = {}

    def add(self, event: str) -> None:
        self.events.append(event)
        self.threads[event] = threading.get_ident()


def echoing_class(app: modal.App, kind: str = "async", *, takes_s: float = 0.0, **settings: Any) -> Any:
    """Return a class of `app` with a parameter `x` and a method `f`, sync or async, which returns `x`.

    An async method takes `takes_s` seconds, 0 by default.
    """
    if kind == "sync":

        @app.cls(**settings)
        class Threaded:
            x: int = modal.parameter()

            @modal.method()
            def f(self) -> int:
                return self.x

        return Threaded

    @app.cls(**settings)
    class C:
        x: int = modal.parameter()

        @modal.method()
        async def f(self) -> int:
            if takes_s:
                await current_host().sleep(takes_s)
            return self.x

    return C


async def cancelled_after(steps: int, async_fn: Callable[[], Awaitable[object]]) -> bool:
    """Run `async_fn` in a task that is cancelled after `steps` steps of the loop; return whether it had ended."""
    completed = False

    async def body() -> None:
        nonlocal completed
        await async_fn()
        completed = True

    if trio.lowlevel.in_trio_run():
        async with trio.open_nursery() as nursery:
            nursery.start_soon(body)
            for _ in range(steps):
                await trio.lowlevel.checkpoint()
            nursery.cancel_scope.cancel()
        return completed
    task = asyncio.ensure_future(body())
    for _ in range(steps):
        await asyncio.sleep(0)
    task.cancel()
    await asyncio.wait([task])
    if not task.cancelled():
        # An error of the call's own is the test's failure.
        task.result()
    return completed


async def at_every_step(
    async_fn: Callable[[], Awaitable[object]], afterwards: Callable[[], Awaitable[object]]
) -> int:
    """Cancel `async_fn` after 0, 1, 2, … steps until it ends by itself, `afterwards` after each; return how many."""
    for steps in range(_MOST_STEPS):
        completed = await cancelled_after(steps, async_fn)
        await afterwards()
        if completed:
            return steps
    raise AssertionError(f"the call did not end within {_MOST_STEPS} steps")


async def at_rest(*functions: Any) -> None:
    """Return when nothing moves any more; nothing may run or be pending then."""
    await settle()
    # A thread ends in its own time, which is real time also where the clock is virtual.
    patience = time.monotonic() + 10
    while time.monotonic() < patience and any(function.statistics().abandoned for function in functions):
        await settle()
    await settle()
    for function in functions:
        statistics = function.statistics()
        assert (0, 0, 0) == (statistics.running, statistics.abandoned, statistics.pending), repr(function)


def idle(function: Any) -> bool:
    """Return whether nothing of `function` runs or is pending."""
    statistics = function.statistics()
    return (0, 0) == (statistics.running, statistics.pending)


async def checkpoints(count: int) -> None:
    """Pass `count` checkpoints of the running host."""
    host = current_host()
    for _ in range(count):
        await host.checkpoint()


def in_thread(function: Callable[[], Any]) -> Callable[[], Any]:
    """Start `function` in a thread; return what waits for it, at most 10 s, and returns its result or raises."""
    outcome: list[Any] = []

    def body() -> None:
        try:
            outcome.extend((function(), None))
        except BaseException as error:  # raised where the result is asked for
            outcome.extend((None, error))

    thread = threading.Thread(target=body, name="a caller's thread", daemon=True)
    thread.start()

    def result() -> Any:
        thread.join(10)
        assert outcome, "the thread hangs"
        value, error = outcome
        if error is not None:
            raise error
        return value

    return result


async def off_loop(function: Callable[[], Any]) -> Any:
    """Run `function` in a thread while the running host's clock stands still; return its result."""
    host = current_host()
    waiter = host.bridge.waiter()

    def body() -> Any:
        try:
            return function()
        finally:
            waiter.notify()

    with host.hold_clock():
        result = in_thread(body)
        await waiter.wait()
        return result()


def threads_of(name: str) -> list[threading.Thread]:
    """Return the worker threads of the function called `name`."""
    return [thread for thread in threading.enumerate() if thread.name.startswith(f"{name}/")]

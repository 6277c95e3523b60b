# SPDX-License-Identifier: Apache-2.0
"""A task waits on asyncio and a thread notifies it, step against step: it is resumed, and once."""

from __future__ import annotations

import asyncio
import threading
from collections import deque
from collections.abc import Callable
from contextvars import Context, ContextVar, copy_context
from typing import Any
from weakref import ref

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from actorpool._host._bridge import AsyncioBridge, _AsyncioWaiter
from actorpool._host._current import bridge_of, current_bridge
from tests.hosts import ASYNCIO_HOST_NAMES, run_on
from tests.turns import Turns

# What both threads look at.
SHARED = {"_notified", "_resume", "_armed"}


class Stepped:
    """Comes to a point at each look at, and each change of, what is shared."""

    __slots__ = ()

    turns: Turns

    def __getattribute__(self, name: str) -> Any:
        if name in SHARED:
            object.__getattribute__(self, "turns").point()
        return super().__getattribute__(name)

    def __setattr__(self, name: str, value: object) -> None:
        if name in SHARED:
            self.turns.point()
        super().__setattr__(name, value)


class Loop:
    """The part of a loop that a bridge and its waiters need; its turns are taken by hand."""

    def __init__(self) -> None:
        self.ready: deque[Callable[[], object]] = deque()

    def is_closed(self) -> bool:
        return False

    def call_soon(
        self, callback: Callable[..., object], *args: object, context: Context | None = None
    ) -> None:
        self.ready.append(lambda: (context or copy_context()).run(callback, *args))

    call_soon_threadsafe = call_soon


@given(
    choices=st.lists(st.booleans(), max_size=40),
    cancelled_after=st.none() | st.integers(0, 3),
    others=st.integers(0, 2),
)
@settings(max_examples=400)
def test_whatever_a_thread_does_meanwhile_a_waiting_task_is_resumed_once(
    choices: list[bool], cancelled_after: int | None, others: int
) -> None:
    turns = Turns(choices)

    class Waiter(Stepped, _AsyncioWaiter):
        __slots__ = ()

    class Bridge(Stepped, AsyncioBridge):
        __slots__ = ()

    Waiter.turns = Bridge.turns = turns
    loop: Any = Loop()
    bridge = Bridge(ref(loop))
    waiter = Waiter(bridge, loop)
    seen: list[str] = []

    def notify() -> None:
        turns.begin(1)
        for _ in range(others):
            bridge.post(seen.append, "posted")
        waiter.notify()
        waiter.notify()
        turns.end()

    def resumed(future: _AsyncioWaiter) -> None:
        try:
            future.result()
        except asyncio.CancelledError as error:
            seen.extend(error.args)
        else:
            seen.append("resumed")

    thread = threading.Thread(target=notify)
    thread.start()
    turns.begin(0)
    waiting = waiter.wait()
    try:
        waiting.send(None).add_done_callback(resumed, context=copy_context())
    except StopIteration:
        seen.append("resumed")
    cancelled = False
    steps = 0
    while loop.ready or not turns.ended(1) or (cancelled_after is not None and steps <= cancelled_after):
        if steps == cancelled_after:
            cancelled = waiter.cancel("cancelled")
        steps += 1
        if loop.ready:
            loop.ready.popleft()()
        else:
            turns.let_other()
    turns.end()
    thread.join()
    waiting.close()
    assert sorted(["posted"] * others + ["cancelled" if cancelled else "resumed"]) == sorted(seen)
    # Notified is notified, for a further wait too.
    with pytest.raises(StopIteration):
        waiter.wait().send(None)


@pytest.mark.parametrize("host_name", ASYNCIO_HOST_NAMES)
def test_a_task_that_a_thread_notifies_goes_on_in_the_turn_that_hears_of_it(host_name: str) -> None:
    """In its own context, and before what that turn of the loop has called for the next one."""
    variable = ContextVar("variable", default="unset")

    async def main() -> list[str]:
        loop = asyncio.get_running_loop()
        bridge = bridge_of(loop)
        waiter = bridge.waiter()
        steps: list[str] = []

        async def wait() -> None:
            variable.set("of the task")
            await waiter.wait()
            steps.append(variable.get())

        def hear(_: None) -> None:
            loop.call_soon(steps.append, "next turn")

        def notify() -> None:
            bridge.post(hear, None)
            waiter.notify()

        task = asyncio.create_task(wait())
        await asyncio.sleep(0)
        thread = threading.Thread(target=notify)
        thread.start()
        thread.join()
        await task
        await asyncio.sleep(0)
        assert "unset" == variable.get()
        return steps

    assert ["of the task", "next turn"] == run_on(host_name, main)


@pytest.mark.parametrize("host_name", ASYNCIO_HOST_NAMES)
def test_tasks_that_are_notified_together_wait_for_what_was_posted_behind_them(host_name: str) -> None:
    """A step of a task may run the loop, or leave it: nothing may be left behind."""

    async def main() -> list[str]:
        bridge = current_bridge()
        assert bridge is not None
        waiters = [bridge.waiter() for _ in range(3)]
        steps: list[str] = []

        async def wait(number: int) -> None:
            await waiters[number].wait()
            steps.append(f"task {number}")

        def notify() -> None:
            for waiter in waiters[:2]:
                waiter.notify()
            bridge.post(steps.append, "posted")
            waiters[2].notify()

        tasks = [asyncio.create_task(wait(number)) for number in range(3)]
        await asyncio.sleep(0)
        thread = threading.Thread(target=notify)
        thread.start()
        thread.join()
        await asyncio.gather(*tasks)
        return steps

    assert ["posted", "task 2", "task 0", "task 1"] == run_on(host_name, main)


@pytest.mark.parametrize("host_name", ASYNCIO_HOST_NAMES)
@pytest.mark.parametrize("message", [(), ("enough",)])
def test_the_message_of_a_cancellation_reaches_the_waiting_task(
    host_name: str, message: tuple[str, ...]
) -> None:
    async def main() -> tuple[object, ...]:
        bridge = current_bridge()
        assert bridge is not None
        waiter = bridge.waiter()
        seen: list[tuple[object, ...]] = []

        async def wait() -> None:
            try:
                await waiter.wait()
            except asyncio.CancelledError as error:
                seen.append(error.args)

        task = asyncio.create_task(wait())
        await asyncio.sleep(0)
        task.cancel(*message)
        await task
        return seen[0]

    assert message == run_on(host_name, main)

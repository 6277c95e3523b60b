# SPDX-License-Identifier: Apache-2.0
"""Waiters, signals, their threaded twins and feeders: no notification is lost, none ends a wait too early."""

from __future__ import annotations

import asyncio
import contextvars
import threading
from collections.abc import Callable
from typing import Any

import pytest
import trio

from actorpool._host._base import Bridge
from actorpool._host._bridge import Inbox
from actorpool._host._current import current_bridge, current_host
from actorpool._host._thread_waits import ThreadSignal, ThreadWaiter
from tests.hosts import run_on, settle

Run = Callable[..., Any]
WakeUp = Callable[[Bridge], Any]


def here() -> Bridge:
    bridge = current_bridge()
    assert bridge is not None
    return bridge


def in_threads(number: int, work: Callable[[int], object]) -> None:
    threads = [threading.Thread(target=work, args=(index,)) for index in range(number)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()


def test_a_post_on_the_loops_own_thread_is_never_inline_and_keeps_its_turn(run: Run) -> None:
    async def main() -> list[str]:
        bridge = here()
        steps: list[str] = []

        def first(_: None) -> None:
            steps.append("first")
            bridge.post(steps.append, "third")

        bridge.post(first, None)
        bridge.post(steps.append, "second")
        assert [] == steps
        await settle()
        return steps

    assert ["first", "second", "third"] == run(main)


def test_is_current_tells_the_loops_thread_from_others(run: Run) -> None:
    async def main() -> list[bool]:
        bridge = here()

        async def on_another_loop() -> bool:
            return bridge.is_current()

        seen = [bridge.is_current()]
        bridge.post(lambda _: seen.append(bridge.is_current()), None)
        await settle()
        in_threads(1, lambda _: seen.append(bridge.is_current()))
        in_threads(1, lambda _: seen.append(asyncio.run(on_another_loop())))
        in_threads(1, lambda _: seen.append(trio.run(on_another_loop)))
        return seen

    assert [True, True, False, False, False] == run(main)


WAKE_UPS: list[WakeUp] = [lambda bridge: bridge.waiter(), lambda bridge: bridge.signal()]


@pytest.mark.parametrize("make", WAKE_UPS, ids=["waiter", "signal"])
@pytest.mark.parametrize("from_thread", [False, True])
def test_a_notification_ends_the_wait(run: Run, make: WakeUp, from_thread: bool) -> None:
    async def main() -> str:
        bridge = here()
        wake_up = make(bridge)

        async def child() -> None:
            await wake_up.wait()

        async with current_host().open_nursery() as nursery:
            nursery.start_soon(child)
            await settle()
            if from_thread:
                in_threads(1, lambda _: wake_up.notify())
            else:
                wake_up.notify()
            wake_up.notify()
        return "woken"

    assert "woken" == run(main)


@pytest.mark.parametrize("make", WAKE_UPS, ids=["waiter", "signal"])
def test_a_notification_before_the_wait_is_kept(run: Run, make: WakeUp) -> None:
    async def main() -> str:
        wake_up = make(here())
        in_threads(2, lambda _: wake_up.notify())
        await wake_up.wait()
        return "woken"

    assert "woken" == run(main)


def test_a_waiter_stays_notified_and_a_signal_does_not(run: Run) -> None:
    async def main() -> tuple[bool, bool]:
        host = current_host()
        waiter, signal = host.bridge.waiter(), host.bridge.signal()
        for wake_up in (waiter, signal):
            wake_up.notify()
            await wake_up.wait()
        caught = []
        for wake_up in (waiter, signal):
            with host.move_on_after(0) as scope:
                await wake_up.wait()
            caught.append(scope.cancelled_caught)
        return caught[0], caught[1]

    assert (False, True) == run(main)


@pytest.mark.parametrize("make", WAKE_UPS, ids=["waiter", "signal"])
def test_a_cancelled_wait_loses_no_notification(run: Run, make: WakeUp) -> None:
    async def main() -> str:
        host = current_host()
        wake_up = make(host.bridge)
        async with host.open_nursery() as nursery:
            nursery.start_soon(wake_up.wait)
            await settle()
            nursery.cancel()
        async with host.open_nursery() as nursery:
            nursery.start_soon(wake_up.wait)
            await settle()
            in_threads(1, lambda _: wake_up.notify())
        return "woken"

    assert "woken" == run(main)


@pytest.mark.parametrize("make", WAKE_UPS, ids=["waiter", "signal"])
@pytest.mark.parametrize("from_thread", [False, True])
@pytest.mark.parametrize("cancel_first", [False, True])
def test_a_notification_in_the_turn_of_a_cancellation_is_kept(
    run: Run, make: WakeUp, from_thread: bool, cancel_first: bool
) -> None:
    async def main() -> list[str]:
        wake_up = make(here())
        steps: list[str] = []

        async def child() -> None:
            await wake_up.wait()
            steps.append("woken")

        async with current_host().open_nursery() as nursery:
            nursery.start_soon(child)
            await settle()
            if cancel_first:
                nursery.cancel()
            if from_thread:
                in_threads(1, lambda _: wake_up.notify())
            else:
                wake_up.notify()
            nursery.cancel()
        if not steps:
            await child()
        return steps

    assert ["woken"] == run(main)


def test_a_late_wake_up_does_not_end_another_wait(run: Run) -> None:
    """A thread's wake-up is under way while the notification is consumed; the next wait goes on waiting."""

    async def main() -> bool:
        host = current_host()
        signal = host.bridge.signal()
        async with host.open_nursery() as nursery:
            nursery.start_soon(signal.wait)
            await settle()
            # The wake-up is posted but has not arrived when the wait is cancelled and the flag consumed.
            in_threads(1, lambda _: signal.notify())
            nursery.cancel()
        with host.move_on_after(0.01) as scope:
            await signal.wait()
            await signal.wait()
        return scope.cancelled_caught

    assert run(main)


@pytest.mark.parametrize("make", WAKE_UPS, ids=["waiter", "signal"])
def test_notifying_a_loop_that_has_ended_does_nothing(host_name: str, make: WakeUp) -> None:
    waits: list[Any] = []

    async def main() -> Any:
        wake_up = make(here())
        if host_name == "trio":
            # trio ends every wait; a thread that saw one just before posts after the end.
            wake_up._task = trio.lowlevel.current_task()
        else:
            waits.append(wake_up.wait())
            waits[0].send(None)
        return wake_up

    wake_up = run_on(host_name, main)
    wake_up.notify()
    for wait in waits:
        wait.close()


@pytest.mark.parametrize("make", WAKE_UPS, ids=["waiter", "signal"])
def test_an_interrupted_notification_still_wakes(
    run: Run, make: WakeUp, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A KeyboardInterrupt may fall between the flag and the wake-up that it promises."""
    post = Inbox.post
    interrupts = [KeyboardInterrupt]

    def interrupted(self: Inbox, callback: Any, argument: Any) -> None:
        if interrupts:
            raise interrupts.pop()
        post(self, callback, argument)

    async def main() -> str:
        wake_up = make(here())

        def notify(_: int) -> None:
            with pytest.raises(KeyboardInterrupt):
                wake_up.notify()

        async with current_host().open_nursery() as nursery:
            nursery.start_soon(wake_up.wait)
            await settle()
            monkeypatch.setattr(Inbox, "post", interrupted)
            in_threads(1, notify)
        return "woken"

    assert "woken" == run(main)


@pytest.mark.parametrize("make", WAKE_UPS, ids=["waiter", "signal"])
def test_a_notification_between_the_look_and_the_wait_is_seen(
    run: Run, make: WakeUp, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The waiting side publishes itself and looks again, since a thread may have notified in between."""

    async def main() -> str:
        wake_up = make(here())
        # What is called after the first look and before the publishing.
        owner: Any
        if current_host().name == "trio":
            owner, name = trio.lowlevel, "current_task"
        elif make is WAKE_UPS[0]:
            owner, name = type(wake_up), "get_loop"
        else:
            owner, name = asyncio.get_running_loop(), "create_future"
        real = getattr(owner, name)
        asked = []

        def notified_meanwhile(*args: Any) -> Any:
            asked.append(name)
            in_threads(1, lambda _: wake_up.notify())
            return real(*args)

        with monkeypatch.context() as patch:
            patch.setattr(owner, name, notified_meanwhile)
            await wake_up.wait()
        assert asked
        return "not asleep"

    assert "not asleep" == run(main)


def test_a_feeder_starts_soon_in_the_context_of_its_making(run: Run) -> None:
    variable = contextvars.ContextVar("variable", default="unset")

    async def main() -> list[str]:
        steps: list[str] = []

        async def feed() -> None:
            steps.append(variable.get())

        variable.set("set")
        feeder = here().create_feeder(feed)
        assert [] == steps
        assert not feeder.done()
        variable.set("set later")
        await settle()
        assert feeder.done()
        return steps

    assert ["set"] == run(main)


def test_a_feeder_can_be_cancelled(run: Run) -> None:
    async def main() -> list[str]:
        host = current_host()
        steps: list[str] = []

        async def feed() -> None:
            try:
                await host.event().wait()
            finally:
                steps.append("ended")

        feeder = host.bridge.create_feeder(feed)
        await settle()
        feeder.cancel()
        feeder.cancel()
        await settle()
        assert feeder.done()
        return steps

    assert ["ended"] == run(main)


def test_a_failing_feeder_is_logged(run: Run, caplog: pytest.LogCaptureFixture) -> None:
    async def main() -> None:
        async def feed() -> None:
            raise ValueError("spilt")

        here().create_feeder(feed)
        await settle()

    run(main)
    assert ["a feeder failed"] == [record.message.split(":")[0] for record in caplog.records]


def test_a_thread_waiter_stays_notified() -> None:
    waiter = ThreadWaiter()
    assert not waiter.wait(0)
    assert not waiter.wait(-1)
    thread = threading.Thread(target=waiter.notify)
    thread.start()
    assert waiter.wait()
    thread.join()
    waiter.notify()
    assert waiter.wait(0)


def test_a_thread_waiter_lets_every_waiting_thread_go() -> None:
    waiter = ThreadWaiter()
    seen: list[bool] = []
    threads = [threading.Thread(target=lambda: seen.append(waiter.wait(10.0))) for _ in range(3)]
    for thread in threads:
        thread.start()
    waiter.notify()
    for thread in threads:
        thread.join()
    assert [True, True, True] == seen


def test_a_thread_signal_is_consumed_by_its_wait() -> None:
    signal = ThreadSignal()
    signal.notify()
    signal.notify()
    assert signal.wait(float("inf"))
    assert not signal.wait(0)
    thread = threading.Thread(target=signal.notify)
    thread.start()
    assert signal.wait()
    thread.join()


def test_releasing_a_free_lock_is_harmless() -> None:
    """Two notifiers may find the lock taken at the same moment."""
    waiter = ThreadWaiter()
    waiter._lock.release()
    waiter.notify()
    assert waiter.wait(0)


def test_a_signal_ping_pong_between_threads_loses_nothing(run: Run) -> None:
    async def main() -> int:
        bridge = here()
        ping, pong = ThreadSignal(), bridge.signal()
        number = 300

        def player() -> None:
            for _ in range(number):
                assert ping.wait(10.0)
                pong.notify()

        thread = threading.Thread(target=player)
        thread.start()
        for _ in range(number):
            ping.notify()
            await pong.wait()
        thread.join()
        return number

    assert 300 == run(main)

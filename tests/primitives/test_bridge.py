# SPDX-License-Identifier: Apache-2.0
"""The bridge: posts from every thread arrive in order and in batches; waiters and signals lose no wake-up."""

from __future__ import annotations

import asyncio
import gc
import logging
import threading
import weakref
from collections.abc import Callable
from typing import Any

import pytest
import trio

from actorpool._host import _current
from actorpool._host._base import Bridge
from actorpool._host._bridge import Inbox
from actorpool._host._current import current_bridge, current_host
from actorpool._host._errors import HostClosedError
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


def test_posts_of_eight_threads_all_arrive_in_the_order_of_each_thread(run: Run) -> None:
    number = 500

    async def main() -> list[tuple[int, int]]:
        bridge = here()
        arrived: list[tuple[int, int]] = []
        all_there = bridge.waiter()

        def take(item: tuple[int, int]) -> None:
            arrived.append(item)
            if len(arrived) == 8 * number:
                all_there.notify()

        def post(thread: int) -> None:
            for index in range(number):
                bridge.post(take, (thread, index))

        threads = [threading.Thread(target=post, args=(index,)) for index in range(8)]
        for thread in threads:
            thread.start()
        await all_there.wait()
        for thread in threads:
            thread.join()
        return arrived

    arrived = run(main)
    assert sorted(arrived) == [(thread, index) for thread in range(8) for index in range(number)]
    for thread in range(8):
        assert list(range(number)) == [index for of, index in arrived if of == thread]


def test_a_burst_costs_one_wake_up(run: Run, monkeypatch: pytest.MonkeyPatch) -> None:
    drains: list[int] = []
    drain = Inbox._drain

    def counted(self: Inbox) -> None:
        drains.append(len(self._queue))
        drain(self)

    monkeypatch.setattr(Inbox, "_drain", counted)

    async def main() -> int:
        bridge = here()
        arrived: list[int] = []

        def post(thread: int) -> None:
            for _ in range(100):
                bridge.post(arrived.append, thread)

        # The loop stands still meanwhile.
        in_threads(8, post)
        await settle()
        return len(arrived)

    assert 800 == run(main)
    # Two threads that arm at the same moment may wake the loop twice.
    assert 800 == max(drains)
    assert len(drains) <= 8


def test_posts_that_post_again_do_not_starve_the_loop(run: Run) -> None:
    async def main() -> int:
        host = current_host()
        turns = 0
        stop = False

        def again(_: None) -> None:
            nonlocal turns
            turns += 1
            if not stop:
                host.bridge.post(again, None)

        host.bridge.post(again, None)
        for _ in range(5):
            await host.checkpoint()
        stop = True
        await settle()
        return turns

    assert run(main) < 50


def test_a_failing_callback_is_logged_and_stops_no_other(run: Run, caplog: pytest.LogCaptureFixture) -> None:
    async def main() -> list[str]:
        bridge = here()
        steps: list[str] = []
        bridge.post(lambda _: 1 / 0, None)
        bridge.post(steps.append, "other")
        await settle()
        return steps

    assert ["other"] == run(main)
    assert [("actorpool", logging.ERROR)] == [(record.name, record.levelno) for record in caplog.records]


def test_a_callback_that_leaves_the_loop_does_not_take_the_others_along() -> None:
    loop = asyncio.SelectorEventLoop()
    steps: list[str] = []

    def leave(_: None) -> None:
        raise SystemExit

    async def main() -> None:
        bridge = here()
        bridge.post(leave, None)
        bridge.post(steps.append, "other")
        await asyncio.sleep(0.01)

    with pytest.raises(SystemExit):
        loop.run_until_complete(main())
    loop.run_until_complete(asyncio.sleep(0))
    for task in asyncio.all_tasks(loop):
        loop.run_until_complete(task)
    loop.close()
    assert ["other"] == steps


def test_a_bridge_whose_loop_has_ended_refuses(host_name: str) -> None:
    async def main() -> Bridge:
        return here()

    bridge = run_on(host_name, main)
    for _ in range(2):
        with pytest.raises(HostClosedError):
            bridge.post(print, None)
    refused: list[bool] = []

    def post(_: int) -> None:
        with pytest.raises(HostClosedError):
            bridge.post(print, None)
        refused.append(True)

    in_threads(1, post)
    assert [True] == refused
    assert not bridge.is_current()


def test_a_bridge_whose_loop_is_gone_refuses() -> None:
    async def main() -> Bridge:
        return here()

    bridge = asyncio.run(main())
    gc.collect()
    with pytest.raises(HostClosedError):
        bridge.post(print, None)
    with pytest.raises(HostClosedError):
        bridge.waiter()
    assert not bridge.is_current()


def test_a_bridge_keeps_no_loop_alive() -> None:
    async def main() -> tuple[Any, Bridge]:
        return weakref.ref(asyncio.get_running_loop()), here()

    loop, _bridge = asyncio.run(main())
    gc.collect()
    assert loop() is None
    assert {} == {key: bridge for key, bridge in _current._bridges.items() if key() is None}


def test_a_loop_that_closes_during_a_post_is_reported() -> None:
    async def main() -> Bridge:
        return here()

    loop = asyncio.SelectorEventLoop()
    bridge = loop.run_until_complete(main())

    def close_first(*_: Any) -> None:
        loop.close()
        raise RuntimeError("Event loop is closed")

    loop.call_soon_threadsafe = close_first  # type: ignore[assignment]
    with pytest.raises(HostClosedError, match="nothing can be posted"):
        bridge.post(print, None)
    with pytest.raises(HostClosedError):
        bridge.post(print, None)


def test_the_last_posts_of_a_trio_run_are_run_and_later_ones_refused() -> None:
    steps: list[str] = []
    bridges: list[Bridge] = []

    def last(_: None) -> None:
        steps.append("last")
        bridges[0].post(steps.append, "too late")

    async def main() -> None:
        bridge = here()
        bridges.append(bridge)

        async def post_at_the_end() -> None:
            try:
                await trio.sleep_forever()
            finally:
                bridge.post(last, None)

        bridge.create_feeder(post_at_the_end)
        await settle()

    trio.run(main)
    assert "last" == steps[0]
    with pytest.raises(HostClosedError):
        bridges[0].post(print, None)


def test_an_interrupted_arming_does_not_silence_the_bridge(run: Run, monkeypatch: pytest.MonkeyPatch) -> None:
    async def main() -> list[str]:
        bridge = here()
        steps: list[str] = []
        with monkeypatch.context() as patch:
            patch.setattr(type(bridge), "_wake_loop", lambda _: (_ for _ in ()).throw(KeyboardInterrupt))
            with pytest.raises(KeyboardInterrupt):
                bridge.post(steps.append, "interrupted")
        bridge.post(steps.append, "next")
        await settle()
        return steps

    assert ["interrupted", "next"] == run(main)

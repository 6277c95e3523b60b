# SPDX-License-Identifier: Apache-2.0
"""An input may come to a pool while the app that drains looks at another one: it is not left behind."""

from __future__ import annotations

import threading
import time
from collections.abc import Callable
from typing import Any

import pytest

import actorpool as modal
from actorpool._actors._supervisor import Supervisor
from actorpool.exception import ClosedError
from tests.api.support import PATIENCE_S, Latch, now, sleep
from tests.hosts import settle

Run = Callable[..., Any]


def test_an_input_that_comes_to_a_pool_which_was_looked_at_already_is_waited_for(
    run: Run, monkeypatch: pytest.MonkeyPatch
) -> None:
    app = modal.App("my-app")
    gate, started, ran = threading.Event(), Latch(), list[int]()
    drained = vars(Supervisor)["drained"].fget

    @app.function()
    async def first(x: int) -> None:
        # Long enough to be cut off by an app that does not wait for it.
        await sleep(0.02)
        ran.append(x)

    @app.function()
    def second() -> None:
        started.hit()
        assert gate.wait(PATIENCE_S)
        first.spawn(7)

    def drained_and_then_not(supervisor: Supervisor) -> bool:
        """The moment between the looks at the two pools, in which a thread ends the input of the second one."""
        found = bool(drained(supervisor))
        closing = supervisor.dispatcher.read(lambda pool: not pool.accepting)
        if supervisor.name == "first" and found and closing and not gate.is_set():
            gate.set()
            deadline = time.monotonic() + PATIENCE_S
            # Its work is a thread's: it needs nothing of the loop that waits here.
            while second.statistics().running:
                assert time.monotonic() < deadline
                time.sleep(0.001)
        return found

    async def main() -> None:
        async with app.run():
            await first.remote.aio(0)
            await second.spawn.aio()
            await started.opened()
            monkeypatch.setattr(Supervisor, "drained", property(drained_and_then_not))

    run(main)
    assert gate.is_set()
    assert [0, 7] == ran


def test_a_request_to_close_at_once_is_not_taken_back_by_one_that_would_drain(run_virtually: Run) -> None:
    app = modal.App("my-app")

    @app.function()
    async def work() -> None:
        await sleep(100.0)

    async def main() -> float:
        async with app.run(grace=10.0):
            call = await work.spawn.aio()
            await settle()
            running = app._life._running
            assert running is not None
            running.runtime.ask_close(drain=False)
            running.runtime.ask_close(drain=True)
            with pytest.raises(ClosedError):
                await call.get.aio()
            return now()

    assert 0.0 == run_virtually(main)


def test_a_drain_under_way_ends_when_the_app_is_to_close_at_once(run_virtually: Run) -> None:
    app = modal.App("my-app")

    @app.function()
    async def work() -> None:
        await sleep(100.0)

    async def main() -> float:
        async with app.run(grace=50.0):
            call = await work.spawn.aio()
            running = app._life._running
            assert running is not None
            running.runtime.ask_close(drain=True)
            await sleep(3.0)
            running.runtime.ask_close(drain=False)
            with pytest.raises(ClosedError):
                await call.get.aio()
            return now()

    assert 3.0 == run_virtually(main)

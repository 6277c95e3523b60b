# SPDX-License-Identifier: Apache-2.0
"""Stopping an app from elsewhere, from inside, and more than once."""

from __future__ import annotations

import asyncio
import logging
import threading
import time
from collections.abc import Callable
from typing import Any

import pytest
import trio

import actorpool as modal
from actorpool._host._current import current_host
from actorpool.exception import (
    ClosedError,
    ExecutionError,
    NotFoundError,
)
from tests.actors.harness import in_thread, off_loop
from tests.api.support import PATIENCE_S, now, sleep

Run = Callable[..., Any]


def test_an_app_may_be_stopped_from_another_task(app: modal.App, run_virtually: Run) -> None:
    @app.function()
    async def f(seconds: float) -> float:
        await sleep(seconds)
        return seconds

    async def main() -> None:
        async with app.run():
            call = f.spawn(3.0)
            async with current_host().open_nursery() as nursery:
                for _ in range(3):
                    nursery.start_soon(app.stop.aio)
            assert 3 == now()
            assert 3.0 == await call.get.aio()
            with pytest.raises(ExecutionError, match="not running"):
                await f.remote.aio(1.0)

    run_virtually(main)


def test_M1_1_an_app_may_be_stopped_from_a_thread(app: modal.App, run: Run) -> None:
    @app.function()
    async def f() -> int:
        return 1

    async def main() -> None:
        async with app.run():
            call = f.spawn()
            await off_loop(app.stop)
            assert 1 == await call.get.aio()
        await app.deploy.aio()
        await off_loop(app.stop)
        with pytest.raises(NotFoundError):
            await modal.Function.from_name("my-app", "f").remote.aio()

    run(main)


def test_an_app_may_be_stopped_from_another_loop(app: modal.App, run: Run) -> None:
    @app.function()
    async def f() -> int:
        return 1

    async def main() -> None:
        await app.deploy.aio()
        assert 1 == await f.remote.aio()
        await off_loop(lambda: asyncio.run(app.stop.aio()))
        await app.deploy.aio()
        assert 1 == await f.remote.aio()
        await off_loop(lambda: trio.run(app.stop.aio))
        assert "not running" in repr(app)

    run(main)


def test_functions_may_be_called_from_other_loops_and_threads(app: modal.App, run: Run) -> None:
    @app.function()
    async def f(x: int) -> int:
        await sleep(0)
        return x + 1

    @app.function()
    def g(x: int) -> int:
        return x + 1

    async def elsewhere() -> list[int]:
        results = [await h.remote.aio(1) for h in (f, g)]
        results += [r for h in (f, g) for r in [r async for r in h.map.aio(range(5))]]
        results += [await h.spawn(1).get.aio() for h in (f, g)]
        return results

    def in_sync_code() -> list[int]:
        results = [h.remote(1) for h in (f, g)]
        results += [r for h in (f, g) for r in h.map(range(5))]
        results += [h.spawn(1).get() for h in (f, g)]
        return results

    expected = [2, 2, 1, 2, 3, 4, 5, 1, 2, 3, 4, 5, 2, 2]

    async def main() -> None:
        async with app.run():
            assert expected == await elsewhere()
            assert expected == await off_loop(lambda: asyncio.run(elsewhere()))
            assert expected == await off_loop(lambda: trio.run(elsewhere))
            assert expected == await off_loop(in_sync_code)

    run(main)


def test_an_app_may_be_stopped_by_several_threads_at_once(app: modal.App) -> None:
    @app.function()
    def f(x: int) -> int:
        return x

    for _ in range(5):
        app.deploy()
        call = f.spawn(1)
        together = threading.Barrier(3)

        def stop(together: threading.Barrier = together) -> None:
            together.wait(PATIENCE_S)
            app.stop()

        for result in [in_thread(stop) for _ in range(3)]:
            result()
        assert 1 == call.get()
        assert "not running" in repr(app)


@pytest.mark.local_only("stops the app from the app's own process")
@pytest.mark.parametrize("kind", ["sync", "async"])
@pytest.mark.parametrize("lives_on", ["this loop", "an engine thread"])
def test_an_app_that_is_stopped_from_inside_an_input_ends_within_the_grace_period(
    app: modal.App,
    kind: str,
    lives_on: str,
    caplog: pytest.LogCaptureFixture,
    leaves_nothing: Callable[[], None],
) -> None:
    ended = threading.Event()
    if kind == "sync":

        @app.function()
        def f() -> None:
            try:
                app.stop()
            finally:
                ended.set()
    else:

        @app.function()
        async def f() -> None:
            try:
                await app.stop.aio()
            finally:
                ended.set()

    async def on_this_loop() -> None:
        await app.deploy.aio(grace=0.02)
        call = f.spawn()
        with pytest.raises(ClosedError):
            await call.get.aio()
        while not ended.is_set():
            await asyncio.sleep(0.001)
        await app.stop.aio()

    with caplog.at_level(logging.CRITICAL, "actorpool"):
        if lives_on == "this loop":
            asyncio.run(on_this_loop())
        else:
            app.deploy(grace=0.02)
            call = f.spawn()
            with pytest.raises(ClosedError):
                call.get()
            assert ended.wait(PATIENCE_S)
    for _ in range(1000):
        if "not running" in repr(app):
            break
        time.sleep(0.001)
    leaves_nothing()


def test_a_run_that_ended_does_not_end_the_next_one(app: modal.App) -> None:
    @app.function()
    def f() -> int:
        return 1

    with app.run():
        app.stop()
        app.deploy()
    try:
        assert 1 == f.remote()
    finally:
        app.stop()

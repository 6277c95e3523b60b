# SPDX-License-Identifier: Apache-2.0
"""Exit hooks that fail or hang, and the ends of a container at which they run."""

from __future__ import annotations

import asyncio
import logging
import math
import threading
from collections.abc import Callable
from contextlib import AsyncExitStack
from typing import Any

import pytest
import trio

import actorpool as modal
from actorpool._host._base import Event
from actorpool._host._current import current_host
from actorpool.exception import ClosedError
from tests.actors.harness import Log
from tests.api.support import PATIENCE_S, now, sleep
from tests.hosts import settle

Run = Callable[..., Any]


class _Broken(Exception):
    pass


@pytest.mark.parametrize("kind", ["sync", "async"])
@pytest.mark.parametrize(
    "error",
    [_Broken("at the end"), SystemExit(2), KeyboardInterrupt(), asyncio.CancelledError(), GeneratorExit()],
    ids=lambda error: type(error).__name__,
)
def test_M5_3_an_exit_hook_that_raises_is_logged_and_the_others_run(
    run: Run, kind: str, error: BaseException, caplog: pytest.LogCaptureFixture
) -> None:
    app = modal.App("my-app")
    log = Log()

    @app.cls()
    class Sync:
        @modal.method()
        async def f(self) -> int:
            return 1

        @modal.exit()
        def fails(self) -> None:
            raise error

        @modal.exit()
        def follows(self) -> None:
            log.add("exit")

    @app.cls()
    class Async:
        @modal.method()
        async def f(self) -> int:
            return 1

        @modal.exit()
        async def fails(self) -> None:
            raise error

        @modal.exit()
        async def follows(self) -> None:
            log.add("exit")

    async def main() -> None:
        async with app.run():
            await (Sync if kind == "sync" else Async)().f.remote.aio()
        assert ["exit"] == log.events
        assert 1 == len(caplog.messages)
        assert "exit hook" in caplog.messages[0]
        assert "fails of container" in caplog.messages[0]

    with caplog.at_level(logging.WARNING, "actorpool"):
        run(main)


def test_an_async_exit_hook_that_hangs_is_bounded_by_the_grace_period(
    run_virtually: Run, caplog: pytest.LogCaptureFixture
) -> None:
    app = modal.App("my-app")
    log = Log()

    @app.cls()
    class C:
        @modal.method()
        async def f(self) -> None:
            pass

        @modal.exit()
        async def hangs(self) -> None:
            try:
                await sleep(1000)
            finally:
                log.add("cancelled")

        @modal.exit()
        async def follows(self) -> None:
            log.add("exit")

    async def main() -> None:
        async with app.run(grace=5):
            await C().f.remote.aio()
        assert 5 == now()
        assert ["cancelled", "exit"] == log.events
        assert 1 == len(caplog.messages)
        assert "hangs of container C/1 took longer than 5 s" in caplog.messages[0]

    with caplog.at_level(logging.WARNING, "actorpool"):
        run_virtually(main)


def test_an_async_exit_hook_that_refuses_its_cancellation_is_left_behind(
    run_virtually: Run, caplog: pytest.LogCaptureFixture
) -> None:
    app = modal.App("my-app")
    log = Log()
    go: list[Event] = []

    @app.cls()
    class C:
        @modal.method()
        async def f(self) -> None:
            pass

        @modal.exit()
        async def refuses(self) -> None:
            await current_host().shielded(go[0].wait, math.inf)
            log.add("returned")

        @modal.exit()
        async def follows(self) -> None:
            log.add("exit")

    async def main() -> None:
        go.append(current_host().event())
        async with app.run(grace=5):
            await C().f.remote.aio()
        assert 10 == now()
        assert ["exit"] == log.events
        assert 2 == len(caplog.messages)
        assert "refuses of container C/1 took longer than 5 s" in caplog.messages[0]
        assert "a hook of container C/1 was cancelled and still runs after 5 s" in caplog.messages[1]
        go[0].set()
        await settle()

    with caplog.at_level(logging.WARNING, "actorpool"):
        run_virtually(main)


def test_an_exit_hook_closes_in_the_same_task_what_an_enter_hook_opened(run_virtually: Run) -> None:
    app = modal.App("my-app")
    log = Log()

    @app.cls()
    class C:
        @modal.enter()
        async def open(self) -> None:
            self._stack = AsyncExitStack()
            self._nursery = await self._stack.enter_async_context(current_host().open_nursery())
            self._nursery.start_soon(self._beat)

        async def _beat(self) -> None:
            while True:
                await sleep(2)
                log.add(f"beat at {now():g}")

        @modal.method()
        async def f(self) -> None:
            await sleep(5)

        @modal.exit()
        async def close(self) -> None:
            self._nursery.cancel()
            await self._stack.aclose()
            log.add("closed")

    async def main() -> None:
        async with app.run():
            await C().f.remote.aio()

    run_virtually(main)
    assert ["beat at 2", "beat at 4", "closed"] == log.events


@pytest.mark.slow
def test_a_sync_exit_hook_that_hangs_is_bounded_by_the_grace_period(
    run: Run, caplog: pytest.LogCaptureFixture
) -> None:
    app = modal.App("my-app")
    go = threading.Event()

    @app.cls()
    class C:
        @modal.method()
        def f(self) -> None:
            pass

        @modal.exit()
        def hangs(self) -> None:
            assert go.wait(PATIENCE_S)

    async def main() -> None:
        async with app.run(grace=0.02):
            await C().f.remote.aio()
        assert any("took longer than" in message for message in caplog.messages)
        assert any("still run user code" in message for message in caplog.messages)
        go.set()

    with caplog.at_level(logging.WARNING, "actorpool"):
        run(main)


def test_exit_hooks_run_also_when_the_body_is_cancelled(run_virtually: Run) -> None:
    app = modal.App("my-app")
    log = Log()

    @app.cls()
    class C:
        @modal.method()
        async def f(self) -> None:
            pass

        @modal.exit()
        async def close(self) -> None:
            await sleep(1)
            log.add("exit")

    async def main() -> None:
        host = current_host()

        async def life() -> None:
            async with app.run():
                await C().f.remote.aio()
                await sleep(1000)

        async with host.open_nursery() as nursery:
            nursery.start_soon(life)
            await sleep(5)
            nursery.cancel()
        assert ["exit"] == log.events
        assert 6 == now()
        assert "not running" in repr(app)

    run_virtually(main)


def test_all_exit_hooks_run_when_trio_ends_with_the_app_open() -> None:
    """Trio cancels at every checkpoint, which would cut off whatever is not shielded from that."""
    app = modal.App("my-app")
    log = Log()

    @app.cls()
    class C:
        @modal.method()
        async def f(self) -> int:
            return 1

        @modal.exit()
        def first(self) -> None:
            log.add("first")

        @modal.exit()
        def second(self) -> None:
            log.add("second")

    async def main() -> None:
        await app.deploy.aio()
        assert 1 == await C().f.remote.aio()

    trio.run(main)
    assert ["first", "second"] == log.events
    app.stop()


def test_an_interrupted_input_returns_before_the_exit_hooks_run(run_virtually: Run) -> None:
    app = modal.App("my-app")
    log = Log()

    @app.cls()
    class C:
        @modal.method()
        async def f(self) -> None:
            try:
                await sleep(1000)
            finally:
                log.add("input")

        @modal.exit()
        async def close(self) -> None:
            log.add("exit")

    async def main() -> None:
        async with app.run(grace=5):
            call = C().f.spawn()
            await settle()
        with pytest.raises(ClosedError):
            await call.get.aio()
        assert ["input", "exit"] == log.events
        assert 5 == now()

    run_virtually(main)

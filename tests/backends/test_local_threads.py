# SPDX-License-Identifier: Apache-2.0
"""Threads of the local backend: one for each input that runs, and none that nobody needs."""

from __future__ import annotations

import threading
from collections.abc import Callable
from typing import Any

import pytest

import actorpool as modal
from tests.actors.harness import at_rest, threads_of
from tests.api.support import PATIENCE_S, Gauge, sleep

Run = Callable[..., Any]


def test_concurrent_sync_inputs_have_a_thread_each_and_no_more_than_slots(run: Run) -> None:
    app = modal.App("my-app")
    inside, together = Gauge(), threading.Barrier(3)
    idents: set[int] = set()

    @app.function(max_containers=1)
    @modal.concurrent(max_inputs=3)
    def f(_: int) -> None:
        with inside.entered():
            idents.add(threading.get_ident())
            together.wait(PATIENCE_S)

    async def main() -> None:
        async with app.run():
            await f.for_each.aio(range(12))
            assert 3 == inside.peak
            assert 3 == len(idents) == len(threads_of("f"))
        assert [] == threads_of("f")

    run(main)


def test_threads_are_started_when_inputs_come_to_need_them(run: Run) -> None:
    app = modal.App("my-app")

    @app.function(max_containers=1)
    @modal.concurrent(max_inputs=100)
    def f(_: int) -> None:
        pass

    async def main() -> None:
        async with app.run():
            assert [] == threads_of("f")
            for number in range(20):
                await f.remote.aio(number)
            assert len(threads_of("f")) <= 2

    run(main)


def test_a_scaled_down_container_gives_its_threads_up(run_virtually: Run) -> None:
    app = modal.App("my-app")

    @app.function(scaledown_window=5)
    def f() -> None:
        pass

    async def main() -> None:
        async with app.run():
            await f.remote.aio()
            assert 1 == len(threads_of("f"))
            await sleep(6)
            assert [] == threads_of("f")

    run_virtually(main)


def test_the_last_input_of_a_parked_thread_is_not_kept_alive(run: Run) -> None:
    import gc
    import weakref

    class Payload:
        pass

    app = modal.App("my-app")

    @app.function(max_containers=1)
    def f(x: Any) -> Any:
        return Payload()

    async def main() -> None:
        async with app.run():
            given = Payload()
            result = await f.remote.aio(given)
            alive = [weakref.ref(given), weakref.ref(result)]
            del given, result
            for _ in range(100):
                # The worker drops its references when it has reported; it may need a moment for that.
                await sleep(0.001)
                gc.collect()
                if not any(ref() for ref in alive):
                    break
            assert [None, None] == [ref() for ref in alive]

    run(main)


def test_a_thread_that_cannot_be_started_is_the_failure_of_its_input(
    run: Run, monkeypatch: pytest.MonkeyPatch
) -> None:
    app = modal.App("my-app")
    start = threading.Thread.start
    refused = 0

    def fails_once(self: threading.Thread) -> None:
        nonlocal refused
        if self.name.startswith("f/") and refused < 2:
            refused += 1
            raise RuntimeError("can't start new thread")
        start(self)

    monkeypatch.setattr(threading.Thread, "start", fails_once)

    @app.function(max_containers=1)
    def f(x: int) -> int:
        return x

    async def main() -> None:
        async with app.run():
            for number in range(2):
                with pytest.raises(RuntimeError, match="can't start new thread"):
                    await f.remote.aio(number)
            assert 3 == await f.remote.aio(3)
            await at_rest(f)

    run(main)

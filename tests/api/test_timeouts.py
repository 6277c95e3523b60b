# SPDX-License-Identifier: Apache-2.0
"""Timeouts, of inputs and of starts; and containers of one use."""

from __future__ import annotations

import threading
import time
from collections.abc import Callable
from typing import Any

import pytest

import actorpool as modal
from actorpool.exception import ContainerStartError, FunctionTimeoutError, InvalidError, TimeoutError
from tests.api.support import PATIENCE_S, Latch, now, sleep
from tests.hosts import settle
from tests.shared import shared

Run = Callable[..., Any]


# -- timeouts ---------------------------------------------------------------------------------------------


def test_M9_5_a_timeout_is_the_librarys_own_and_cancels_the_input(run_virtually: Run) -> None:
    app = modal.App()
    ended_at: list[float] = shared([])

    @app.function(timeout=30)
    async def f() -> None:
        try:
            await sleep(100.0)
        finally:
            ended_at.append(now())

    async def main() -> None:
        async with app.run():
            start = now()
            with pytest.raises(FunctionTimeoutError, match="ran longer than its timeout of 30 s") as caught:
                await f.remote.aio()
            assert isinstance(caught.value, TimeoutError)
            assert 30 == caught.value.timeout
            await settle()
            assert ([30.0], 30.0) == ([at - start for at in ended_at], now() - start)
            assert (1, 0, 0) == (f.statistics().timed_out, f.statistics().failed, f.statistics().running)

    run_virtually(main)


def test_M9_5_waiting_for_a_slot_does_not_count(run_virtually: Run) -> None:
    app = modal.App()

    @app.function(timeout=30, max_containers=1)
    async def f(x: int) -> int:
        await sleep(25.0)
        return x

    async def main() -> None:
        async with app.run():
            assert list(range(5)) == [x async for x in f.map.aio(range(5))]

    run_virtually(main)


def test_M9_5_each_attempt_has_the_whole_timeout(run_virtually: Run) -> None:
    app = modal.App()
    durations = [100.0, 100.0, 25.0]
    began: list[float] = shared([])

    @app.function(timeout=30, retries=modal.Retries(max_retries=2))
    async def f() -> str:
        began.append(now() - start)
        await sleep(durations[len(began) - 1])
        return "done"

    start = 0.0

    async def main() -> None:
        nonlocal start
        async with app.run():
            start = now()
            assert "done" == await f.remote.aio()
            assert [0.0, 31.0, 63.0] == [round(at, 6) for at in began]
            assert (1, 0) == (f.statistics().succeeded, f.statistics().timed_out)

    run_virtually(main)


@pytest.mark.local_only("looks at threads or the loop from outside")
def test_M9_5_a_thread_cannot_be_stopped_and_is_counted_until_it_returns() -> None:
    app = modal.App()
    go_on = threading.Event()

    @app.function(timeout=0.05, max_containers=2)
    def f() -> None:
        go_on.wait(PATIENCE_S)

    with app.run():
        with pytest.raises(FunctionTimeoutError):
            f.remote()
        counts = f.statistics()
        assert (1, 1, 1) == (counts.timed_out, counts.abandoned, counts.running)
        go_on.set()
        until = time.monotonic() + PATIENCE_S
        while f.statistics().running:
            assert time.monotonic() < until
        assert 0 == f.statistics().abandoned


@pytest.mark.local_only("looks at threads or the loop from outside")
@pytest.mark.slow
def test_a_retry_does_not_wait_for_the_thread_it_replaces() -> None:
    app = modal.App()
    go_on, second = threading.Event(), Latch(2)

    @app.function(timeout=0.05, retries=1)
    def f() -> str:
        second.hit()
        if not second.is_open:
            go_on.wait(PATIENCE_S)
        return "second"

    with app.run():
        assert "second" == f.remote()
        assert (1, 1) == (f.statistics().abandoned, f.statistics().succeeded)
        go_on.set()


def test_a_batch_that_times_out_does_so_for_all_its_inputs(run_virtually: Run) -> None:
    app = modal.App()

    @app.function(timeout=5)
    @modal.batched(max_batch_size=2, wait_ms=100)
    async def f(xs: list[int]) -> list[int]:
        await sleep(100.0)
        return xs

    async def main() -> None:
        async with app.run():
            results: list[Any] = [r async for r in f.map.aio(range(2), return_exceptions=True)]
            assert [FunctionTimeoutError] * 2 == [type(result) for result in results]
            assert 2 == f.statistics().timed_out

    run_virtually(main)


def test_M9_10_a_batch_that_times_out_is_tried_again_as_a_whole(run_virtually: Run) -> None:
    app = modal.App()
    batches: list[tuple[float, list[int]]] = shared([])

    @app.function(timeout=5, retries=1)
    @modal.batched(max_batch_size=2, wait_ms=0)
    async def f(xs: list[int]) -> list[int]:
        batches.append((round(now() - start, 6), xs))
        if len(batches) == 1:
            await sleep(100.0)
        return xs

    start = 0.0

    async def main() -> None:
        nonlocal start
        async with app.run():
            start = now()
            calls = [f.spawn(x) for x in range(2)]
            assert [0, 1] == await modal.FunctionCall.gather.aio(*calls)
            assert [(0.0, [0, 1]), (6.0, [0, 1])] == batches
            assert (2, 0, 0) == (f.statistics().succeeded, f.statistics().timed_out, f.statistics().pending)

    run_virtually(main)


@pytest.mark.local_only("virtual time in what is cut off elsewhere")
def test_M9_6_the_start_of_a_container_has_a_timeout_of_its_own(run_virtually: Run) -> None:
    app = modal.App()

    @app.cls(timeout=1, startup_timeout=10)
    class Slow:
        @modal.enter()
        async def load(self) -> None:
            await sleep(9.0)

        @modal.method()
        async def run(self) -> str:
            return "ready"

    @app.cls(timeout=10)
    class TooSlow:
        @modal.enter()
        async def load(self) -> None:
            await sleep(11.0)

        @modal.method()
        async def run(self) -> None: ...

    async def main() -> None:
        async with app.run():
            assert "ready" == await Slow().run.remote.aio()
            with pytest.raises(ContainerStartError):
                await TooSlow().run.remote.aio()

    run_virtually(main)


@pytest.mark.parametrize("name", ["timeout", "startup_timeout"])
@pytest.mark.parametrize("value", [0, -1, "5"])
def test_timeouts_are_checked(name: str, value: Any) -> None:
    with pytest.raises(InvalidError, match=name):
        modal.App().function(**{name: value})(lambda: None)


# -- containers of one use --------------------------------------------------------------------------------


def test_M1_6_a_single_use_container_ends_after_one_input(run_virtually: Run) -> None:
    app = modal.App()
    exits: list[int] = shared([])

    @app.cls(single_use_containers=True, max_containers=1)
    class Job:
        @modal.enter()
        async def load(self) -> None:
            self.runs = 0

        @modal.method()
        async def run(self, x: int) -> tuple[int, int, str | None]:
            self.runs += 1
            await sleep(1.0)
            return x, self.runs, modal.current_container_id()

        @modal.exit()
        async def leave(self) -> None:
            exits.append(self.runs)

    async def main() -> None:
        async with app.run():
            job = Job()
            results = [result async for result in job.run.map.aio(range(3))]
            assert [(x, 1, f"Job/{x + 1}") for x in range(3)] == results
            await sleep(1.0)
            assert (3, 0) == (job.run.statistics().starts, job.run.statistics().containers)
            assert [1, 1, 1] == exits

    run_virtually(main)


def test_M1_6_single_use_containers_serve_sync_functions_too() -> None:
    app = modal.App()

    @app.function(single_use_containers=True)
    def f(x: int) -> tuple[int, int]:
        return x, threading.get_ident()

    with app.run():
        assert list(range(10)) == [x for x, _ in f.map(range(10))]
        assert 10 == f.statistics().starts

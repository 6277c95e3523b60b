# SPDX-License-Identifier: Apache-2.0
"""Retries: a failed input runs again, at the right instants."""

from __future__ import annotations

import builtins
from collections.abc import Callable
from typing import Any

import pytest

import actorpool as modal
from actorpool._host._current import current_host
from actorpool.exception import (
    InvalidError,
    RemoteError,
)
from tests.api.support import PATIENCE_S, now, sleep
from tests.hosts import settle
from tests.shared import Shared, shared

Run = Callable[..., Any]


class Unlucky(Exception):
    pass


class Tries(Shared):
    """Fails as often as it is told, and remembers when it was tried."""

    def __init__(self, failures: int) -> None:
        self.left = failures
        self.count = 0
        self.at: list[float] = []

    def note(self, at: float) -> None:
        self.at.append(at)

    def one(self) -> int:
        self.count += 1
        if self.left:
            self.left -= 1
            raise Unlucky(self.count)
        return self.count


# -- attempts ---------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("retries", "instants"),
    [
        (modal.Retries(max_retries=3), [0.0, 1.0, 3.0]),
        (modal.Retries(max_retries=3, backoff_coefficient=1.0), [0.0, 1.0, 2.0]),
        (modal.Retries(max_retries=3, initial_delay=5.0, backoff_coefficient=3.0), [0.0, 5.0, 20.0]),
        (modal.Retries(max_retries=3, initial_delay=5.0, max_delay=7.0), [0.0, 5.0, 12.0]),
        (modal.Retries(max_retries=3, initial_delay=0.0), [0.0, 1.0, 2.0]),
        (3, [0.0, 1.0, 2.0]),
    ],
)
def test_M9_9_an_input_that_fails_twice_runs_three_times_at_the_right_instants(
    run_virtually: Run, retries: Any, instants: list[float]
) -> None:
    app = modal.App()
    tries = Tries(2)

    @app.function(retries=retries)
    async def f() -> int:
        tries.note(now() - start)
        return tries.one()

    start = 0.0

    async def main() -> None:
        nonlocal start
        async with app.run():
            start = now()
            assert 3 == await f.remote.aio()
            assert instants == [round(at, 6) for at in tries.at]
            assert (1, 0, 1) == (f.statistics().succeeded, f.statistics().failed, f.statistics().arrived)

    run_virtually(main)


@pytest.mark.local_only("reads the clock of its own loop from a thread")
def test_a_function_in_a_thread_is_tried_again_at_the_same_instants(run_virtually: Run) -> None:
    app = modal.App()
    tries = Tries(2)

    @app.function(retries=modal.Retries(max_retries=3))
    def f() -> int:
        tries.note(clock())
        return tries.one()

    clock: Callable[[], float] = float

    async def main() -> None:
        nonlocal clock
        # The clock stands still while a thread works, so that it may be read there.
        clock = current_host().now
        async with app.run():
            start = now()
            assert 3 == await f.remote.aio()
            assert [0.0, 1.0, 3.0] == [round(at - start, 6) for at in tries.at]

    run_virtually(main)


@pytest.mark.parametrize("kind", ["async method", "sync method"])
def test_a_method_is_tried_again_on_the_same_object(run_virtually: Run, kind: str) -> None:
    app = modal.App()

    @app.cls(max_containers=1, retries=modal.Retries(max_retries=3))
    class Job:
        @modal.enter()
        def load(self) -> None:
            self.tries = Tries(2)

        @modal.method()
        async def run(self) -> int:
            return self.tries.one()

        @modal.method()
        def run_in_thread(self) -> int:
            return self.tries.one()

    async def main() -> None:
        async with app.run():
            start = now()
            job = Job()
            method = job.run if kind == "async method" else job.run_in_thread
            assert 3 == await method.remote.aio()
            assert 3.0 == round(now() - start, 6)

    run_virtually(main)


def test_a_batch_is_tried_again_as_a_whole(run_virtually: Run) -> None:
    app = modal.App()
    tries = Tries(2)
    batches: list[list[int]] = shared([])

    @app.function(retries=modal.Retries(max_retries=3))
    @modal.batched(max_batch_size=3, wait_ms=500)
    async def f(xs: list[int]) -> list[int]:
        tries.note(now() - start)
        batches.append(xs)
        tries.one()
        return [2 * x for x in xs]

    start = 0.0

    async def main() -> None:
        nonlocal start
        async with app.run():
            start = now()
            assert [0, 2] == [y async for y in f.map.aio(range(2))]
            assert ([0.5, 1.5, 3.5], [[0, 1]] * 3) == ([round(at, 6) for at in tries.at], batches)
            assert (2, 0) == (f.statistics().succeeded, f.statistics().failed)

    run_virtually(main)


def test_M9_9_after_the_last_retry_the_last_error_is_raised(run_virtually: Run) -> None:
    app = modal.App()
    tries = Tries(100)

    @app.function(retries=modal.Retries(max_retries=3))
    async def f() -> int:
        return tries.one()

    async def main() -> None:
        async with app.run():
            start = now()
            with pytest.raises(Unlucky) as caught:
                await f.remote.aio()
            assert ((4,), 4) == (caught.value.args, tries.count)
            assert 7.0 == round(now() - start, 6)
            assert (1, 0) == (f.statistics().failed, f.statistics().pending)

    run_virtually(main)


def test_M9_10_inputs_of_a_map_are_tried_again_each_on_its_own(run_virtually: Run) -> None:
    app = modal.App()
    tries = {x: Tries(x) for x in range(4)}

    @app.function(retries=modal.Retries(max_retries=2))
    async def f(x: int) -> int:
        return tries[x].one()

    async def main() -> None:
        async with app.run():
            start = now()
            results: list[Any] = [r async for r in f.map.aio(range(4), return_exceptions=True)]
            assert [1, 2, 3] == results[:3]
            assert (Unlucky, (3,)) == (type(results[3]), results[3].args)
            assert 3.0 == round(now() - start, 6)

    run_virtually(main)


def test_a_pause_between_attempts_holds_no_slot(run_virtually: Run) -> None:
    app = modal.App()
    tries = Tries(1)

    @app.function(max_containers=1, retries=1)
    async def f(x: int) -> int:
        return tries.one() if x else 0

    async def main() -> None:
        async with app.run():
            call = f.spawn(1)
            await settle()
            start = now()
            assert (0, 1) == (f.statistics().running, f.statistics().pending)
            assert 0 == await f.remote.aio(0)
            assert 0.0 == now() - start
            assert 2 == await call.get.aio()

    run_virtually(main)


def test_M9_10_an_input_that_is_cancelled_in_its_pause_is_not_tried_again(run_virtually: Run) -> None:
    app = modal.App()
    tries = Tries(100)

    @app.function(retries=3)
    async def f() -> int:
        return tries.one()

    async def main() -> None:
        async with app.run():
            call = f.spawn()
            await settle()
            call.cancel()
            with pytest.raises(RemoteError):
                await call.get.aio()
            await sleep(60.0)
            assert (1, 1, 0) == (tries.count, f.statistics().cancelled, f.statistics().pending)

    run_virtually(main)


@pytest.mark.slow
def test_a_sync_caller_sees_only_the_outcome() -> None:
    app = modal.App()
    tries = Tries(1)

    # One real second: there is no shorter pause.
    @app.function(retries=1)
    def f() -> int:
        return tries.one()

    with app.run():
        call = f.spawn()
        with pytest.raises(builtins.TimeoutError):
            call.get(timeout=0.01)
        assert 2 == call.get(timeout=PATIENCE_S)


@pytest.mark.parametrize("retries", [-1, 1.5, True, "3", object()])
def test_M1_14_M9_7_retries_are_checked(retries: Any) -> None:
    with pytest.raises(InvalidError, match="retries"):
        modal.App().function(retries=retries)(lambda: None)

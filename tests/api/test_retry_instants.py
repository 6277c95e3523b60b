# SPDX-License-Identifier: Apache-2.0
"""`Retries(max_retries=3)` on what fails twice: three attempts, at the same instants whatever is called."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pytest

import actorpool as modal
from actorpool._host._current import current_host
from tests.api.support import now
from tests.shared import Shared

pytestmark = pytest.mark.conformance

Run = Callable[..., Any]

RETRIES = modal.Retries(max_retries=3)
WAIT_MS = 500


class Unlucky(Exception):
    pass


class Attempts(Shared):
    """Fails twice; remembers when each attempt began."""

    def __init__(self) -> None:
        self.clock: Callable[[], float] = float
        self.at: list[float] = []

    def begin(self) -> None:
        # The virtual clock stands still while a thread works, so that it may be read there.
        self.at.append(self.clock())
        if len(self.at) <= 2:
            raise Unlucky(len(self.at))


Made = tuple[modal.App, Callable[[], Any]]


def of_async_function(attempts: Attempts) -> Made:
    app = modal.App()

    @app.function(retries=RETRIES)
    async def f(x: int) -> int:
        attempts.begin()
        return 2 * x

    return app, lambda: f


def of_sync_function(attempts: Attempts) -> Made:
    app = modal.App()

    @app.function(retries=RETRIES)
    def f(x: int) -> int:
        attempts.begin()
        return 2 * x

    return app, lambda: f


def of_methods(attempts: Attempts) -> tuple[modal.App, type[Any]]:
    app = modal.App()

    @app.cls(retries=RETRIES)
    class Job:
        @modal.method()
        async def run(self, x: int) -> int:
            attempts.begin()
            return 2 * x

        @modal.method()
        def run_in_thread(self, x: int) -> int:
            attempts.begin()
            return 2 * x

    return app, Job


def of_async_method(attempts: Attempts) -> Made:
    app, job = of_methods(attempts)
    return app, lambda: job().run


def of_sync_method(attempts: Attempts) -> Made:
    app, job = of_methods(attempts)
    return app, lambda: job().run_in_thread


def of_async_batches(attempts: Attempts) -> Made:
    app = modal.App()

    @app.function(retries=RETRIES)
    @modal.batched(max_batch_size=3, wait_ms=WAIT_MS)
    async def f(xs: list[int]) -> list[int]:
        attempts.begin()
        return [2 * x for x in xs]

    return app, lambda: f


def of_sync_batches(attempts: Attempts) -> Made:
    app = modal.App()

    @app.function(retries=RETRIES)
    @modal.batched(max_batch_size=3, wait_ms=WAIT_MS)
    def f(xs: list[int]) -> list[int]:
        attempts.begin()
        return [2 * x for x in xs]

    return app, lambda: f


def of_batched_method(attempts: Attempts) -> Made:
    app = modal.App()

    @app.cls(retries=RETRIES)
    class Job:
        @modal.batched(max_batch_size=3, wait_ms=WAIT_MS)
        async def run(self, xs: list[int]) -> list[int]:
            attempts.begin()
            return [2 * x for x in xs]

    return app, lambda: Job().run


SINGLE = [of_async_function, of_sync_function, of_async_method, of_sync_method]
BATCHED = [of_async_batches, of_sync_batches, of_batched_method]


@pytest.mark.parametrize("verb", ["remote", "spawn", "map"])
@pytest.mark.parametrize("make", [*SINGLE, *BATCHED])
def test_what_fails_twice_is_tried_three_times_one_and_two_seconds_apart(
    run_virtually: Run, make: Callable[[Attempts], Made], verb: str
) -> None:
    attempts = Attempts()
    app, handle = make(attempts)

    async def main() -> tuple[Any, list[float]]:
        attempts.clock = current_host().now
        async with app.run():
            function = handle()
            start = now()
            if verb == "remote":
                result = await function.remote.aio(21)
            elif verb == "spawn":
                result = await function.spawn(21).get.aio()
            else:
                (result,) = [result async for result in function.map.aio([21])]
            counts = function.statistics()
            assert (1, 0, 1, 0) == (counts.succeeded, counts.failed, counts.arrived, counts.pending)
            return result, [round(at - start, 6) for at in attempts.at]

    waited = WAIT_MS / 1000 if make in BATCHED else 0.0
    # The wait for others is before the first attempt alone: a batch is tried again as it is.
    assert (42, [waited, waited + 1.0, waited + 3.0]) == run_virtually(main)

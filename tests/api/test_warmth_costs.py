# SPDX-License-Identifier: Apache-2.0
"""S14: what warm containers cost, and what they save."""

from __future__ import annotations

import random
import threading
from collections.abc import Callable
from typing import Any

import pytest

import actorpool as modal
from tests.api.support import PATIENCE_S, Latch, now, sleep
from tests.shared import shared

Run = Callable[..., Any]


async def _cost(arrivals: list[float], **settings: Any) -> tuple[float, float, int]:
    """Run a job of 2 s with a start of 5 s on `arrivals`; return container-seconds, total wait, starts."""
    app = modal.App("my-app")
    waits: list[float] = shared([])

    @app.cls(**settings)
    class Job:
        @modal.enter()
        async def load(self) -> None:
            await sleep(5.0)

        @modal.method()
        async def run(self, asked: float) -> None:
            waits.append(now() - asked)
            await sleep(2.0)

    start = now()
    async with app.run():
        run = Job().run
        for at in arrivals:
            await sleep(start + at - now())
            run.spawn(now())
        await sleep(start + 3600.0 - now())
        statistics = run.statistics()
    assert len(arrivals) == len(waits)
    return statistics.container_seconds, sum(waits), statistics.starts


def _arrivals(mean_gap_s: float) -> list[float]:
    chance = random.Random(14)
    arrivals = []
    at = 0.0
    while (at := at + chance.expovariate(1 / mean_gap_s)) < 3500.0:
        arrivals.append(at)
    return arrivals


def test_S14_a_larger_warm_pool_costs_more_container_seconds_and_lowers_waiting(run_virtually: Run) -> None:
    async def main() -> None:
        arrivals = _arrivals(40.0)
        results = [await _cost(arrivals, min_containers=warm, scaledown_window=20) for warm in (0, 1, 2)]
        seconds, waits, _ = zip(*results, strict=True)

        assert seconds[0] < seconds[1] < seconds[2]
        assert waits[0] > waits[1] > waits[2]

    run_virtually(main)


@pytest.mark.local_only("takes too long where each input is a message")
@pytest.mark.slow
def test_S14_a_larger_buffer_costs_more_container_seconds_and_lowers_waiting(run_virtually: Run) -> None:
    async def main() -> None:
        arrivals = _arrivals(25.0)
        results = [
            await _cost(arrivals, buffer_containers=buffer, scaledown_window=5) for buffer in (0, 1, 3)
        ]
        seconds, waits, _ = zip(*results, strict=True)

        assert seconds[0] < seconds[1] < seconds[2]
        assert waits[0] > waits[1] > waits[2]

    run_virtually(main)


def test_S14_a_longer_window_means_fewer_starts_for_infrequent_inputs(run_virtually: Run) -> None:
    async def main() -> None:
        arrivals = _arrivals(60.0)
        results = [await _cost(arrivals, scaledown_window=window) for window in (5, 60, 300)]
        seconds, waits, starts = zip(*results, strict=True)

        assert starts[0] > starts[1] > starts[2]
        assert waits[0] > waits[1] > waits[2]
        assert seconds[0] < seconds[1] < seconds[2]

    run_virtually(main)


def test_S14_container_seconds_run_from_the_request_to_the_end(run_virtually: Run) -> None:
    async def main() -> None:
        # 5 s of start, 2 s of work, 20 s of idling.
        seconds, wait, starts = await _cost([0.0], scaledown_window=20)
        assert (27.0, 5.0, 1) == (round(seconds, 6), round(wait, 6), starts)

    run_virtually(main)


@pytest.mark.local_only("looks at threads or the loop from outside")
def test_S14_a_sync_container_costs_a_thread_for_as_long_as_it_lives() -> None:
    app = modal.App("my-app")
    go = threading.Event()
    inside = Latch(4)

    @app.function()
    def f() -> None:
        inside.hit()
        go.wait(PATIENCE_S)

    with app.run():
        before = threading.active_count()
        calls = [f.spawn() for _ in range(4)]
        inside.wait()
        assert 4 == threading.active_count() - before
        go.set()
        for call in calls:
            call.get()

# SPDX-License-Identifier: Apache-2.0
"""S23: what the autoscaler aims for in a container, and the limit it never exceeds."""

from __future__ import annotations

import threading
from collections.abc import Callable
from typing import Any

import pytest

import actorpool as modal
from actorpool.exception import InvalidError
from tests.api.support import PATIENCE_S, Latch, event, now, sleep
from tests.hosts import settle

Run = Callable[..., Any]


def bursty(**settings: Any) -> tuple[modal.App, Any]:
    """Return an app with the guide's concurrency, and the handle of a job of 10 s with a start of 5 s."""
    app = modal.App("my-app")

    @app.cls(**settings)
    @modal.concurrent(max_inputs=120, target_inputs=100)
    class Job:
        @modal.enter()
        async def load(self) -> None:
            await sleep(5.0)

        @modal.method()
        async def run(self) -> None:
            await sleep(10.0)

    return app, Job


def test_S23_the_autoscaler_aims_for_target_inputs(run_virtually: Run) -> None:
    app, job = bursty()

    async def main() -> None:
        async with app.run():
            run = job().run
            for inputs, containers in ((100, 1), (101, 2), (200, 2), (300, 3)):
                calls = [run.spawn() for _ in range(inputs)]
                await sleep(5.5)
                assert containers == run.statistics().containers
                for call in calls:
                    await call.get.aio()
                await sleep(100.0)

    run_virtually(main)


def test_S23_a_container_bursts_to_max_inputs_while_the_pool_is_scaling_up(run_virtually: Run) -> None:
    app, job = bursty()

    async def main() -> None:
        async with app.run():
            run = job().run
            calls = [run.spawn()]
            await sleep(5.5)
            calls += [run.spawn() for _ in range(119)]
            await settle()
            # All of them run at once, and a second container is under way.
            assert (120, 0, 1, 1) == (
                run.statistics().running,
                run.statistics().pending,
                run.statistics().ready,
                run.statistics().starting,
            )
            for call in calls:
                await call.get.aio()

    run_virtually(main)


def test_S23_max_inputs_is_a_hard_limit(run_virtually: Run) -> None:
    app, job = bursty(max_containers=1)

    async def main() -> None:
        async with app.run():
            run = job().run
            calls = [run.spawn() for _ in range(300)]
            await sleep(5.5)
            assert (120, 180, 1) == (
                run.statistics().running,
                run.statistics().pending,
                run.statistics().containers,
            )
            start = now()
            for call in calls:
                await call.get.aio()
            # 120, 120 and 60 by turns.
            assert 29.5 == round(now() - start, 6)

    run_virtually(main)


def test_S23_below_the_target_a_container_is_filled_before_the_next(run_virtually: Run) -> None:
    app = modal.App("my-app")

    @app.function(min_containers=2)
    @modal.concurrent(max_inputs=12, target_inputs=10)
    async def f(gate: Any) -> None:
        await gate.wait()

    async def main() -> None:
        async with app.run():
            await settle()
            gate = event()
            calls = []
            idle = []
            for _ in range(20):
                calls.append(f.spawn(gate))
                await settle()
                idle.append(f.statistics().idle)
            assert [1] * 10 + [0] * 10 == idle
            assert 2 == f.statistics().containers
            gate.set()
            for call in calls:
                await call.get.aio()

    run_virtually(main)


def test_S23_target_inputs_is_max_inputs_where_none_is_given(run_virtually: Run) -> None:
    app = modal.App("my-app")

    @app.function()
    @modal.concurrent(max_inputs=4)
    async def f(gate: Any) -> None:
        await gate.wait()

    async def main() -> None:
        async with app.run():
            gate = event()
            calls = [f.spawn(gate) for _ in range(8)]
            await settle()
            assert 2 == f.statistics().containers
            gate.set()
            for call in calls:
                await call.get.aio()

    run_virtually(main)


def test_S23_sync_functions_burst_as_well() -> None:
    app = modal.App("my-app")
    inside, go = Latch(12), threading.Event()

    @app.function(max_containers=1)
    @modal.concurrent(max_inputs=12, target_inputs=10)
    def f() -> None:
        inside.hit()
        go.wait(PATIENCE_S)

    with app.run():
        calls = [f.spawn() for _ in range(15)]
        inside.wait()
        assert (12, 3) == (f.statistics().running, f.statistics().pending)
        go.set()
        for call in calls:
            call.get()


def test_S23_a_target_above_the_limit_is_refused() -> None:
    with pytest.raises(InvalidError, match=r"target_inputs \(130\) is greater than max_inputs \(120\)"):
        modal.concurrent(max_inputs=120, target_inputs=130)
    with pytest.raises(InvalidError, match="target_inputs"):
        modal.concurrent(max_inputs=120, target_inputs=0)

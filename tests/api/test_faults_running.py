# SPDX-License-Identifier: Apache-2.0
"""What is refused of an app that runs: settings that contradict each other, and a second run."""

from __future__ import annotations

import threading
from collections.abc import Callable
from typing import Any

import pytest

import actorpool as modal
from actorpool.exception import (
    ConflictError,
    ExecutionError,
    InvalidError,
)
from tests.actors.harness import in_thread, off_loop
from tests.api.support import event, sleep
from tests.hosts import settle

Run = Callable[..., Any]


# -- settings of what runs -----------------------------------------------------------------------------------


def test_a_contradictory_update_changes_nothing(app: modal.App, f: Any, run_virtually: Run) -> None:
    async def main() -> None:
        async with app.run():
            before = await f.update_autoscaler.aio(max_containers=3)
            for settings in (
                {"min_containers": 4},
                {"min_containers": -1},
                {"max_containers": 0},
                {"buffer_containers": -1},
                {"scaledown_window": 0},
                {"min_containers": 2, "max_containers": 1},
            ):
                with pytest.raises(InvalidError):
                    await f.update_autoscaler.aio(**settings)
            assert before == await f.update_autoscaler.aio()
            assert before == f.statistics().settings
            with pytest.raises(TypeError, match="colour"):
                f.update_autoscaler(colour="red")

    run_virtually(main)


def test_a_maximum_below_what_runs_drains_the_surplus_and_cancels_nobody(
    app: modal.App, run_virtually: Run
) -> None:
    @app.function()
    async def slow(gate: Any) -> int:
        await gate.wait()
        return 1

    async def main() -> None:
        async with app.run():
            gate = event()
            calls = [slow.spawn(gate) for _ in range(5)]
            await settle()
            assert 5 == slow.statistics().running
            slow.update_autoscaler(max_containers=2)
            further = [slow.spawn(gate) for _ in range(5)]
            await settle()
            assert (5, 5) == (slow.statistics().running, slow.statistics().pending)
            assert 2 == slow.statistics().ready
            gate.set()
            assert [1] * 10 == [await call.get.aio() for call in (*calls, *further)]
            await settle()
            assert 2 == slow.statistics().containers

    run_virtually(main)


@pytest.mark.local_only("virtual time in what is cut off elsewhere")
def test_a_maximum_below_the_containers_that_start_calls_the_surplus_off(run_virtually: Run) -> None:
    app = modal.App("my-app")

    @app.cls()
    class C:
        @modal.enter()
        async def load(self) -> None:
            await sleep(1)

        @modal.method()
        async def f(self) -> int:
            return 1

    async def main() -> None:
        async with app.run():
            obj: Any = C()
            calls = [obj.f.spawn() for _ in range(5)]
            await settle()
            assert 5 == obj.f.statistics().starting
            obj.update_autoscaler(max_containers=1)
            await settle()
            assert 1 == obj.f.statistics().containers
            assert [1] * 5 == [await call.get.aio() for call in calls]

    run_virtually(main)


# -- run within run --------------------------------------------------------------------------------------------


def test_running_an_app_that_runs_is_a_conflict_and_the_first_run_goes_on(
    app: modal.App, f: Any, run: Run
) -> None:
    async def main() -> None:
        async with app.run():
            with pytest.raises(ConflictError, match="'my-app' is already running"):
                async with app.run():
                    pass
            with pytest.raises(ConflictError, match="already running"):
                await app.deploy.aio()
            with pytest.raises(ConflictError, match="already running"):
                await off_loop(app.deploy)
            assert 2 == await f.remote.aio(1)
        assert "not running" in repr(app)

    run(main)


def test_running_an_app_that_runs_in_sync_code_is_a_conflict(app: modal.App, f: Any) -> None:
    with app.run():
        with pytest.raises(ConflictError):
            with app.run():
                pass
        with pytest.raises(ConflictError):
            app.deploy()
        with pytest.raises(ConflictError):
            in_thread(app.run().__enter__)()
        assert 2 == f.remote(1)


def test_of_two_threads_that_run_an_app_at_once_one_is_refused(app: modal.App, f: Any) -> None:
    for _ in range(10):
        start, end = threading.Barrier(3), threading.Barrier(3)

        def life(start: threading.Barrier = start, end: threading.Barrier = end) -> str:
            start.wait(10)
            try:
                with app.run():
                    f.remote(1)
                    end.wait(10)
                    return "ran"
            except ConflictError:
                end.wait(10)
                return "refused"

        results = [in_thread(life), in_thread(life)]
        start.wait(10)
        end.wait(10)
        assert ["ran", "refused"] == sorted(result() for result in results)


def test_an_app_runs_again_and_again(app: modal.App, f: Any, run: Run) -> None:
    async def main() -> None:
        for number in range(3):
            async with app.run():
                assert number + 1 == await f.remote.aio(number)
                # A fresh pool each time.
                assert 1 == f.statistics().arrived

    for _ in range(2):
        run(main)
        with app.run():
            assert 2 == f.remote(1)


def test_stopping_what_does_not_run_does_nothing(app: modal.App, f: Any, run: Run) -> None:
    app.stop()
    with app.run():
        app.stop()
        app.stop()
        with pytest.raises(ExecutionError, match="not running"):
            f.remote(1)

    async def main() -> None:
        await app.stop.aio()
        async with app.run():
            await app.stop.aio()
            await app.stop.aio()
            with pytest.raises(ExecutionError, match="not running"):
                await f.remote.aio(1)

    run(main)

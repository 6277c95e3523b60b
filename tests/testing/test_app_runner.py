# SPDX-License-Identifier: Apache-2.0
"""`AppRunner`: an app in virtual time, on asyncio and on trio."""

from __future__ import annotations

import asyncio
import time
from datetime import UTC, datetime, timedelta, timezone
from typing import Any

import pytest
import trio

import actorpool as modal
from actorpool.exception import ConflictError, InvalidError
from actorpool.testing import AppRunner, HostName, VirtualTimeLoop, run_virtual, virtual_trio_clock


@pytest.fixture(params=["asyncio", "trio"])
def runner(request: pytest.FixtureRequest) -> AppRunner:
    return AppRunner(request.param)


def square_app(runner: AppRunner, **settings: Any) -> tuple[modal.App, Any]:
    app = modal.App("my-app")

    @app.function(**settings)
    async def square(x: int) -> int:
        await runner.sleep(2.0)
        return x**2

    return app, square


def test_a_simulated_hour_of_an_app_takes_less_than_a_second(runner: AppRunner) -> None:
    app, square = square_app(runner, scaledown_window=300)

    async def scenario() -> list[int]:
        sizes = []
        for _ in range(60):
            assert [0, 1, 4] == [y async for y in square.map.aio(range(3))]
            sizes.append(square.statistics().containers)
            await runner.sleep(58.0)
        return sizes

    # Of this process, so that it does not matter what else the machine does: 0.1 s of work.
    before = time.process_time()
    assert [3] * 60 == runner.run(app, scenario)
    assert time.process_time() - before < 1.0


def test_the_clock_starts_at_zero_in_each_run_and_the_app_is_closed_after_it(runner: AppRunner) -> None:
    app, square = square_app(runner, min_containers=1)

    async def scenario(x: int) -> tuple[int, float]:
        assert 0.0 == runner.now()
        return await square.remote.aio(x), runner.now()

    assert [(9, 2.0), (16, 2.0)] == [runner.run(app, scenario, x) for x in (3, 4)]
    with pytest.raises(modal.exception.ExecutionError):
        square.statistics()


def test_what_happens_at_once_has_happened_when_all_is_settled(runner: AppRunner) -> None:
    app = modal.App("my-app")

    @app.function(max_containers=1)
    def wait(x: int) -> int:
        if x == 0:
            time.sleep(0.02)  # the clock stands still meanwhile
        return x

    async def scenario() -> list[int]:
        calls = [await wait.spawn.aio(x) for x in range(3)]
        await runner.settle()
        statistics = wait.statistics()
        assert (0, 0, 3) == (statistics.pending, statistics.running, statistics.succeeded)
        assert runner.now() < 0.001
        return [await call.get.aio() for call in calls]

    assert [0, 1, 2] == runner.run(app, scenario)


def test_schedules_follow_the_time_of_day_that_the_run_starts_at(runner: AppRunner) -> None:
    app = modal.App("my-app")
    ran: list[float] = []

    @app.function(schedule=modal.Cron("0 9 * * *"))
    async def report() -> None:
        ran.append(runner.now())

    async def scenario() -> None:
        await runner.sleep(86_400.0)

    runner.run(app, scenario)
    start = datetime(2026, 1, 1, 10, 30, tzinfo=timezone(timedelta(hours=2)))
    runner.run(app, scenario, start=start)
    runner.run(app, scenario, start=start.timestamp() + 60)
    assert [9 * 3600.0, 1800.0, 1740.0] == pytest.approx(ran)


def test_what_a_scenario_raises_reaches_the_test(runner: AppRunner) -> None:
    app, square = square_app(runner)

    async def scenario() -> None:
        raise LookupError("lost")

    with pytest.raises(LookupError, match="lost"):
        runner.run(app, scenario)
    with pytest.raises(modal.exception.ExecutionError):
        square.statistics()


def test_an_error_that_nobody_handles_fails_the_run() -> None:
    app, _ = square_app(AppRunner())

    async def scenario() -> int:
        def fail() -> None:
            raise LookupError("lost in a callback")

        asyncio.get_running_loop().call_soon(fail)
        asyncio.get_running_loop().call_exception_handler({"message": "something went wrong"})
        await asyncio.sleep(1.0)
        return 7

    with pytest.raises(ExceptionGroup) as caught:
        AppRunner().run(app, scenario)
    found = caught.value
    assert ["something went wrong", "lost in a callback"] == [str(error) for error in found.exceptions]


def test_an_app_that_runs_already_is_refused(runner: AppRunner) -> None:
    app, _ = square_app(runner)

    async def scenario() -> None: ...

    with app.run():
        with pytest.raises(ConflictError):
            runner.run(app, scenario)


# -- the clocks alone ----------------------------------------------------------------------------


@pytest.mark.parametrize("host", ["asyncio", "trio"])
def test_virtual_time_needs_no_app(host: HostName) -> None:
    async def main(seconds: float) -> float:
        if host == "trio":
            await trio.sleep(seconds)
            return trio.current_time()
        await asyncio.sleep(seconds)
        return asyncio.get_running_loop().time()

    assert 1e6 == run_virtual(main, 1e6, host=host)


def test_the_clocks_go_into_the_runners_of_asyncio_and_trio() -> None:
    async def on_trio() -> float:
        await trio.sleep(3600)
        return trio.current_time()

    async def on_asyncio() -> float:
        await asyncio.sleep(3600)
        return asyncio.get_running_loop().time()

    assert 3600.0 == trio.run(on_trio, clock=virtual_trio_clock())
    with asyncio.Runner(loop_factory=VirtualTimeLoop) as asyncio_runner:
        assert 3600.0 == asyncio_runner.run(on_asyncio())


def test_a_host_or_a_start_that_means_nothing_is_refused() -> None:
    async def main() -> None: ...

    with pytest.raises(InvalidError, match="'asyncio' or 'trio', not 'uvloop'"):
        run_virtual(main, host="uvloop")  # type: ignore[arg-type]
    with pytest.raises(InvalidError, match="time zone"):
        run_virtual(main, start=datetime(2026, 1, 1))
    run_virtual(main, start=datetime(2026, 1, 1, tzinfo=UTC))

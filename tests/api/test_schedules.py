# SPDX-License-Identifier: Apache-2.0
"""S18: schedules, and pools that follow the time of day."""

from __future__ import annotations

import logging
import threading
from collections.abc import Callable
from datetime import UTC, datetime, timedelta
from itertools import pairwise
from typing import Any
from zoneinfo import ZoneInfo

import pytest

import actorpool as modal
from actorpool.exception import InvalidError
from tests.api.support import Latch, now, run_from, sleep, wall_time
from tests.hosts import settle
from tests.shared import shared

Run = Callable[..., Any]

NEW_YORK = ZoneInfo("America/New_York")
HOUR_S = 3600.0
DAY_S = 24 * HOUR_S


def local(year: int, month: int, day: int, hour: int = 0, minute: int = 0) -> float:
    """Return an instant of New York's wall clock in Unix seconds."""
    return datetime(year, month, day, hour, minute, tzinfo=NEW_YORK).timestamp()


def in_new_york(unix_seconds: float) -> str:
    return datetime.fromtimestamp(unix_seconds, NEW_YORK).strftime("%m-%d %H:%M:%S %Z")


def runs_of(host_name: str, schedule: modal.Cron | modal.Period, start: float, for_s: float) -> list[float]:
    """Return when a function with `schedule` ran, in Unix seconds, in an app that ran from `start` for `for_s`."""
    app = modal.App("my-app")
    runs: list[float] = shared([])

    @app.function(schedule=schedule)
    async def f() -> None:
        runs.append(wall_time())

    async def main() -> None:
        async with app.run():
            await sleep(for_s)

    run_from(host_name, start, main)
    return runs


@pytest.mark.slow
def test_S18_a_function_runs_on_its_schedule_in_its_time_zone(virtual_host_name: str) -> None:
    schedule = modal.Cron("0 6 * * *", timezone="America/New_York")
    runs = runs_of(virtual_host_name, schedule, local(2024, 7, 1, 5, 30), 3 * DAY_S)

    assert [f"07-0{day} 06:00:00 EDT" for day in (1, 2, 3)] == [in_new_york(at) for at in runs]


@pytest.mark.slow
def test_S18_the_wall_clock_holds_when_daylight_saving_begins(virtual_host_name: str) -> None:
    schedule = modal.Cron("0 6 * * *", timezone="America/New_York")
    runs = runs_of(virtual_host_name, schedule, local(2024, 3, 9), 3 * DAY_S)

    assert ["03-09 06:00:00 EST", "03-10 06:00:00 EDT", "03-11 06:00:00 EDT"] == [
        in_new_york(at) for at in runs
    ]
    assert [23 * HOUR_S, 24 * HOUR_S] == [later - at for at, later in pairwise(runs)]


@pytest.mark.slow
def test_S18_the_wall_clock_holds_when_daylight_saving_ends(virtual_host_name: str) -> None:
    schedule = modal.Cron("0 6 * * *", timezone="America/New_York")
    runs = runs_of(virtual_host_name, schedule, local(2024, 11, 2), 3 * DAY_S)

    assert ["11-02 06:00:00 EDT", "11-03 06:00:00 EST", "11-04 06:00:00 EST"] == [
        in_new_york(at) for at in runs
    ]
    assert [25 * HOUR_S, 24 * HOUR_S] == [later - at for at, later in pairwise(runs)]


@pytest.mark.slow
def test_S18_a_time_that_the_change_skips_is_made_up_for_and_one_that_it_doubles_runs_once(
    virtual_host_name: str,
) -> None:
    schedule = modal.Cron("30 2 * * *", timezone="America/New_York")
    skipped = runs_of(virtual_host_name, schedule, local(2024, 3, 9, 12), 2 * DAY_S)
    # Half past two does not exist on the 10th: the run comes as the clock jumps.
    assert ["03-10 03:00:00 EDT", "03-11 02:30:00 EDT"] == [in_new_york(at) for at in skipped]

    schedule = modal.Cron("30 1 * * *", timezone="America/New_York")
    doubled = runs_of(virtual_host_name, schedule, local(2024, 11, 2, 12), 2 * DAY_S)
    assert ["11-03 01:30:00 EDT", "11-04 01:30:00 EST"] == [in_new_york(at) for at in doubled]


def test_S18_without_a_time_zone_it_is_utc(virtual_host_name: str) -> None:
    start = datetime(2024, 5, 1, tzinfo=UTC).timestamp()
    runs = runs_of(virtual_host_name, modal.Cron("15 */6 * * *"), start, DAY_S)

    assert [start + (6 * turn) * HOUR_S + 900.0 for turn in range(4)] == runs


def test_S18_a_period_counts_from_the_start_of_the_app(virtual_host_name: str) -> None:
    start = datetime(2024, 5, 1, 12, 34, 56, tzinfo=UTC).timestamp()
    runs = runs_of(virtual_host_name, modal.Period(minutes=10, seconds=0.5), start, HOUR_S)

    assert [start + 600.5 * turn for turn in range(1, 6)] == [round(at, 3) for at in runs]


@pytest.mark.slow
def test_S18_the_warm_pool_follows_the_time_of_day(virtual_host_name: str) -> None:
    app = modal.App("my-app")

    @app.function(scaledown_window=300)
    async def inference_server() -> None: ...

    @app.function(schedule=modal.Cron("0 6 * * *", timezone="America/New_York"))
    async def increase_warm_pool() -> None:
        inference_server.update_autoscaler(min_containers=4)

    @app.function(schedule=modal.Cron("0 22 * * *", timezone="America/New_York"))
    def decrease_warm_pool() -> None:
        inference_server.update_autoscaler(min_containers=0)

    seen: list[tuple[str, int]] = []

    async def main() -> None:
        async with app.run():
            # Midday and midnight, across the change on 10 March, where a day has 23 hours.
            for _ in range(5):
                at = wall_time()
                seen.append((in_new_york(at), inference_server.statistics().containers))
                await sleep(12 * HOUR_S)

    run_from(virtual_host_name, local(2024, 3, 9, 0), main)
    assert [
        ("03-09 00:00:00 EST", 0),
        ("03-09 12:00:00 EST", 4),
        ("03-10 00:00:00 EST", 0),
        ("03-10 13:00:00 EDT", 4),
        ("03-11 01:00:00 EDT", 0),
    ] == seen


def test_S18_the_pool_is_warm_within_the_minute_and_cold_a_window_later(virtual_host_name: str) -> None:
    app = modal.App("my-app")

    @app.function(scaledown_window=300)
    async def inference_server() -> None: ...

    @app.function(schedule=modal.Cron("0 6 * * *", timezone="America/New_York"))
    async def increase_warm_pool() -> None:
        modal.Function.from_name("my-app", "inference_server").update_autoscaler(min_containers=4)

    @app.function(schedule=modal.Cron("0 22 * * *", timezone="America/New_York"))
    async def decrease_warm_pool() -> None:
        modal.Function.from_name("my-app", "inference_server").update_autoscaler(min_containers=0)

    async def main() -> None:
        await app.deploy.aio()
        try:

            async def containers_at(hour: int, minute: int, second: int = 0) -> int:
                wanted = local(2024, 7, 1, hour, minute) + second
                await sleep(wanted - wall_time())
                await settle()
                return inference_server.statistics().containers

            assert 0 == await containers_at(5, 59, 59)
            assert 4 == await containers_at(6, 0, 1)
            assert 4 == await containers_at(21, 59, 59)
            # They had been idle for longer than the window when the minimum was taken away.
            assert 0 == await containers_at(22, 0, 1)
        finally:
            await app.stop.aio()

    run_from(virtual_host_name, local(2024, 7, 1), main)


def test_S18_sync_functions_run_on_a_schedule_too() -> None:
    app = modal.App("my-app")
    ran = Latch(3)
    threads = set()

    @app.function(schedule=modal.Period(seconds=0.01))
    def f() -> None:
        threads.add(threading.current_thread())
        ran.hit()

    with app.run():
        ran.wait()
    assert threading.main_thread() not in threads


def test_S18_a_schedule_is_active_only_while_its_app_runs(virtual_host_name: str) -> None:
    app = modal.App("my-app")
    runs: list[float] = shared([])

    @app.function(schedule=modal.Period(seconds=10))
    async def f() -> None:
        runs.append(now())

    async def main() -> None:
        await sleep(100.0)
        async with app.run():
            await sleep(35.0)
        await sleep(100.0)

    run_from(virtual_host_name, 0.0, main)
    assert [110.0, 120.0, 130.0] == [round(at, 6) for at in runs]


def test_S18_a_deployment_has_each_schedule_once(virtual_host_name: str) -> None:
    app = modal.App("my-app")
    runs: list[float] = shared([])

    @app.function(schedule=modal.Cron("*/5 * * * *"))
    async def f() -> None:
        runs.append(wall_time())

    async def main() -> None:
        await app.deploy.aio()
        await sleep(401.0)
        await app.deploy.aio()
        await sleep(500.0)
        await app.stop.aio()

    run_from(virtual_host_name, 0.0, main)
    assert [300.0, 600.0, 900.0] == [round(at, 6) for at in runs]


def test_S18_a_run_that_fails_is_logged_and_the_next_one_comes(
    virtual_host_name: str, caplog: pytest.LogCaptureFixture
) -> None:
    app = modal.App("my-app")
    runs = shared([])

    @app.function(schedule=modal.Period(seconds=10))
    async def f() -> None:
        runs.append(now())
        if len(runs) == 1:
            raise ValueError("this once")

    async def main() -> None:
        async with app.run():
            await sleep(25.0)

    with caplog.at_level(logging.ERROR, "actorpool"):
        run_from(virtual_host_name, 0.0, main)
    assert [10.0, 20.0] == [round(at, 6) for at in runs]
    assert ["scheduled run of function 'f' failed"] == [record.getMessage() for record in caplog.records]


def test_S18_a_scheduled_function_can_be_called_by_hand(virtual_host_name: str) -> None:
    app = modal.App("my-app")

    @app.function(schedule=modal.Period(days=1))
    async def f(x: int = 5) -> int:
        return x

    async def main() -> None:
        async with app.run():
            assert [5, 7] == [await f.remote.aio(), await f.remote.aio(7)]

    run_from(virtual_host_name, 0.0, main)


def test_S18_runs_of_one_schedule_may_overlap(virtual_host_name: str) -> None:
    app = modal.App("my-app")
    ended: list[float] = shared([])

    @app.function(schedule=modal.Period(seconds=10))
    async def f() -> None:
        await sleep(25.0)
        ended.append(now())

    async def main() -> None:
        async with app.run():
            await sleep(60.0)
            assert 3 == f.statistics().containers

    run_from(virtual_host_name, 0.0, main)
    assert [35.0, 45.0, 55.0] == [round(at, 6) for at in ended[:3]]


@pytest.mark.slow
def test_S18_many_days_pass_without_drift(virtual_host_name: str) -> None:
    start = local(2024, 10, 31)
    schedule = modal.Cron("0 9 * * MON-FRI", timezone="America/New_York")
    runs = runs_of(virtual_host_name, schedule, start, 8 * DAY_S)

    expected = []
    day = datetime(2024, 10, 31, tzinfo=NEW_YORK)
    for offset in range(8):
        morning = (day + timedelta(days=offset)).replace(hour=9)
        if morning.weekday() < 5:
            expected.append(morning.timestamp())
    assert expected == [round(at, 3) for at in runs]


@pytest.mark.parametrize(
    ("make", "message"),
    [
        (lambda: modal.Cron("0 6 * *"), "0 6 \\* \\*"),
        (lambda: modal.Cron("0 25 * * *"), "25"),
        (lambda: modal.Cron("0 6 * * *", timezone="America/Gotham"), "America/Gotham"),
        (modal.Period, "at least one part"),
        (lambda: modal.Period(days=-1), "days"),
        (lambda: modal.Period(hours=0.5), "hours"),  # type: ignore[arg-type]
    ],
)
def test_S18_a_wrong_schedule_is_refused_where_it_is_written(
    make: Callable[[], object], message: str
) -> None:
    with pytest.raises(InvalidError, match=message):
        make()


def test_S18_a_schedule_calls_without_arguments_so_none_may_be_required() -> None:
    app = modal.App("my-app")

    with pytest.raises(InvalidError, match="needs 'x'"):

        @app.function(schedule=modal.Period(days=1))
        def f(x: int) -> None: ...

    with pytest.raises(InvalidError, match="must be a Cron or a Period"):
        app.function(schedule="0 6 * * *")  # type: ignore[arg-type]

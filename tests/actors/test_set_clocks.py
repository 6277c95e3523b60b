# SPDX-License-Identifier: Apache-2.0
"""The wall clock may be set while a schedule sleeps: within a minute it is noticed."""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from typing import Any

import pytest

import actorpool as modal
from actorpool._host._current import current_host
from actorpool._host._virtual import VirtualTimeLoop

Run = Callable[..., Any]

# The scheduler looks at the wall clock at least this often, in seconds.
LOOK_S = 60.0


def set_wall_clock(by: float) -> None:
    """Set the virtual wall clock, without any time passing."""
    host: Any = current_host()
    if host.name == "trio":
        host.start_wall_clock(host.wall_time() + by)
        return
    loop = asyncio.get_running_loop()
    assert isinstance(loop, VirtualTimeLoop)
    loop._wall_epoch += by


@pytest.mark.parametrize("schedule", [modal.Cron("0 9 * * *"), modal.Period(hours=9)], ids=["cron", "period"])
def test_a_clock_that_is_put_forward_is_noticed_within_a_minute(run_virtually: Run, schedule: Any) -> None:
    app = modal.App("my-app")
    ran: list[float] = []

    @app.function(schedule=schedule)
    async def report() -> None:
        ran.append(current_host().now())

    async def main() -> None:
        async with app.run():
            await current_host().sleep(1_000.0)
            set_wall_clock(8 * 3600.0 + 2_000.0)
            # By the clock that was set it is 9 o'clock in ten minutes.
            await current_host().sleep(2 * 3600.0)

    run_virtually(main)
    (at,) = ran
    assert 1_600.0 <= at <= 1_600.0 + LOOK_S


def test_a_clock_that_is_put_back_repeats_no_run(run_virtually: Run) -> None:
    app = modal.App("my-app")
    ran: list[float] = []

    @app.function(schedule=modal.Period(hours=1))
    async def report() -> None:
        ran.append(current_host().now())

    async def main() -> None:
        async with app.run():
            await current_host().sleep(3_700.0)
            set_wall_clock(-1_800.0)
            await current_host().sleep(3_600.0)
            assert 1 == len(ran)
            await current_host().sleep(1_800.0)

    run_virtually(main)
    first, second = ran
    assert 3_600.0 == pytest.approx(first)
    assert 9_000.0 <= second <= 9_000.0 + LOOK_S


def test_a_run_that_is_refused_is_no_end_of_the_schedule(
    run_virtually: Run, caplog: pytest.LogCaptureFixture
) -> None:
    app = modal.App("my-app")
    ran: list[float] = []

    @app.function(schedule=modal.Period(seconds=1), max_containers=1, limits=modal.Limits(max_spawned=1))
    async def slow() -> None:
        ran.append(current_host().now())
        await current_host().sleep(10.5)

    @app.function(schedule=modal.Period(seconds=4))
    async def other() -> None:
        ran.append(-current_host().now())

    async def main() -> None:
        async with app.run():
            await current_host().sleep(30.0)

    run_virtually(main)
    # One runs, one waits, and those beyond are refused.
    assert [1, 11, 22] == [int(at) for at in ran if at > 0][:3]
    assert [-4, -8, -12, -16] == [round(at) for at in ran if at < 0][:4]
    refused = [
        record
        for record in caplog.records
        if "scheduled run of function 'slow' was refused" in record.message
    ]
    assert len(refused) > 10

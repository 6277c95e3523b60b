# SPDX-License-Identifier: Apache-2.0
"""Policies of one's own, and the scaling log."""

from __future__ import annotations

import logging
from collections.abc import Callable
from typing import Any

import pytest

import actorpool as modal
from tests.api.support import sleep

Run = Callable[..., Any]


class Stubborn:
    """It wants nothing, whatever there is to do; and it counts the inputs it was told of."""

    def __init__(self) -> None:
        self.arrivals = 0

    def arrived(self, now: float, seconds: float) -> None:
        self.arrivals += 1

    def decide(self, snapshot: modal.Snapshot) -> modal.Decision:
        return modal.Decision(reason=f"{self.arrivals} arrivals, and nothing to do about it")


@pytest.mark.local_only("its inputs share an object, as in one process they may")
def test_S05_what_the_pool_overruled_is_in_the_log_before_anything_came_of_it(
    run_virtually: Run, caplog: pytest.LogCaptureFixture
) -> None:
    app = modal.App("my-app", policy=Stubborn())
    logs: list[list[modal.ScalingRecord]] = []

    @app.function(scaledown_window=5)
    async def f() -> None:
        logs.append(f.scaling_log())

    async def main() -> None:
        async with app.run():
            await f.remote.aio()
            await sleep(6)
            logs.append(f.scaling_log())
            assert 2 == f.statistics().overruled

    with caplog.at_level(logging.INFO, "actorpool.scaling"):
        run_virtually(main)
    (first,), (_, second) = logs
    assert (0, 1, 0, True, "1 arrivals, and nothing to do about it") == (
        first.containers,
        first.pending,
        first.start,
        first.overruled,
        first.reason,
    )
    assert (1, 0, True) == (second.containers, second.stop, second.overruled)
    lines = [record.getMessage() for record in caplog.records if record.name == "actorpool.scaling"]
    assert "function 'f': 1 arrivals, and nothing to do about it (start 0, stop 0, overruled)" == lines[0]


def test_each_pool_has_its_own_copy_of_the_apps_policy(run_virtually: Run) -> None:
    policy = Stubborn()
    app = modal.App("my-app", policy=policy)

    @app.function()
    async def first() -> None: ...

    @app.function()
    async def second() -> None: ...

    async def main() -> None:
        async with app.run():
            for _ in range(3):
                await first.remote.aio()
            await second.remote.aio()
            assert "1 arrivals" in first.scaling_log()[0].reason
            assert "1 arrivals" in second.scaling_log()[0].reason

    run_virtually(main)
    assert 0 == policy.arrivals

# SPDX-License-Identifier: Apache-2.0
"""S13: how long a container may be idle."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pytest

import actorpool as modal
from actorpool.exception import InvalidError
from tests.api.support import gather, now, sleep
from tests.shared import shared

Run = Callable[..., Any]


@pytest.mark.parametrize("window", [60, 1, 0.25, 1000.5])
def test_S13_a_container_idles_for_the_scaledown_window_and_no_longer(
    run_virtually: Run, window: float
) -> None:
    app = modal.App("my-app")
    stopped: list[float] = shared([])

    @app.cls(scaledown_window=window)
    class Job:
        @modal.exit()
        async def end(self) -> None:
            stopped.append(now())

        @modal.method()
        async def run(self) -> None: ...

    async def main() -> None:
        async with app.run():
            await sleep(5.0)
            idle_since = now()
            await Job().run.remote.aio()

            await sleep(window - 0.01)
            assert [] == stopped
            await sleep(0.02)
            assert [window] == [round(at - idle_since, 6) for at in stopped]

    run_virtually(main)


def test_S13_the_default_window_is_a_minute(run_virtually: Run) -> None:
    app = modal.App("my-app")

    @app.function()
    async def f() -> None: ...

    async def main() -> None:
        async with app.run():
            assert 60 == f.statistics().settings.scaledown_window
            await f.remote.aio()
            await sleep(59.99)
            assert 1 == f.statistics().containers
            await sleep(0.02)
            assert 0 == f.statistics().containers

    run_virtually(main)


def test_S13_an_input_starts_the_window_anew(run_virtually: Run) -> None:
    app = modal.App("my-app")

    @app.function(scaledown_window=10)
    async def f() -> None: ...

    async def main() -> None:
        async with app.run():
            for _ in range(20):
                await f.remote.aio()
                await sleep(9.9)
            assert (1, 1) == (f.statistics().containers, f.statistics().starts)
            await sleep(0.2)
            assert 0 == f.statistics().containers

    run_virtually(main)


def test_S13_each_container_has_a_window_of_its_own(run_virtually: Run) -> None:
    app = modal.App("my-app")

    @app.function(scaledown_window=10)
    async def f(seconds: float) -> None:
        await sleep(seconds)

    async def main() -> None:
        async with app.run():
            calls = [f.spawn(float(seconds)) for seconds in (1, 2, 3)]
            for call in calls:
                await call.get.aio()
            containers: list[int] = []
            # They fell idle at 1, 2 and 3 s.
            for _ in range(4):
                await sleep(7.5 if not containers else 1.0)
                containers.append(f.statistics().containers)
            assert [3, 2, 1, 0] == containers

    run_virtually(main)


def test_S13_packing_lets_the_surplus_fall_idle(run_virtually: Run) -> None:
    app = modal.App("my-app")

    @app.function(scaledown_window=10)
    async def f() -> None:
        await sleep(0.5)

    async def main() -> None:
        async with app.run():
            await gather(*[f.remote.aio] * 6)
            # One input at a time: always the same container, so the other five run out.
            for _ in range(25):
                await f.remote.aio()
                await sleep(0.5)
            assert (1, 6) == (f.statistics().containers, f.statistics().starts)

    run_virtually(main)


@pytest.mark.parametrize("value", [0, -1, float("nan"), float("inf"), "60"])
def test_S13_M1_17_the_window_must_be_a_positive_number_of_seconds(value: Any) -> None:
    with pytest.raises(InvalidError, match="scaledown_window"):
        modal.App().function(scaledown_window=value)(lambda: None)

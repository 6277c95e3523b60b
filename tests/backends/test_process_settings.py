# SPDX-License-Identifier: Apache-2.0
"""Code in a process container reads and changes settings and counts of pools, which are in the app's own process."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pytest

import actorpool as modal
from actorpool.exception import InvalidError

Run = Callable[..., Any]

pytestmark = pytest.mark.timeout(60)


@pytest.fixture(params=["asyncio", "trio"])
def host_name(request: pytest.FixtureRequest) -> str:
    return str(request.param)


def test_a_function_is_asked_and_told_from_sync_and_from_async_code(run: Run) -> None:
    app = modal.App("asked-app", backend="process")

    @app.function(backend="local", max_containers=3)
    async def double(x: int) -> int:
        return 2 * x

    @app.function()
    def from_a_thread() -> tuple[Any, ...]:
        result = double.remote(4)
        changed = double.update_autoscaler(max_containers=5)
        cleared = double.autoscaler.update(max_containers=None)
        reasons = [record.reason for record in double.scaling_log()]
        return result, changed, cleared, double.autoscaler.settings(), double.statistics().succeeded, reasons

    @app.function()
    async def from_a_task() -> tuple[Any, ...]:
        result = await double.remote.aio(5)
        changed = await modal.Function.from_name("asked-app", "double").update_autoscaler.aio(
            buffer_containers=1
        )
        return result, changed, (await double.get_current_stats.aio()).num_running_inputs, repr(double)

    async def main() -> None:
        async with app.run():
            result, changed, cleared, settings, succeeded, reasons = await from_a_thread.remote.aio()
            assert (8, 1) == (result, succeeded)
            assert modal.AutoscalerSettings(0, 5, 0, 60.0) == changed
            assert modal.AutoscalerSettings(0, None, 0, 60.0) == cleared == settings
            assert double.scaling_log()[0].reason in reasons

            result, changed, running, shown = await from_a_task.remote.aio()
            assert "<Function 'double' in the process that has started this one>" == shown
            assert (10, 0) == (result, running)
            assert modal.AutoscalerSettings(0, None, 1, 60.0) == changed == double.autoscaler.settings()

    run(main)


def test_the_pool_of_a_parameter_set_or_of_a_variant_is_asked_and_told_alone(run: Run) -> None:
    app = modal.App("asked-app", backend="process")

    @app.cls(backend="local")
    class Model:
        version: str = modal.parameter()

        @modal.method()
        def answer(self) -> str:
            return self.version

    model: Any = Model

    @app.function(backend="local", max_containers=2)
    def double(x: int) -> int:
        return 2 * x

    wide = double.with_options(max_containers=7)

    @app.function()
    def update() -> tuple[Any, ...]:
        found = modal.Cls.from_name("asked-app", "Model")(version="3.5")
        return (
            found.update_autoscaler(buffer_containers=2).buffer_containers,
            model(version="4").autoscaler.settings().buffer_containers,
            wide.update_autoscaler(min_containers=1),
            double.autoscaler.settings().min_containers,
        )

    async def main() -> None:
        async with app.run():
            assert (2, 0, modal.AutoscalerSettings(1, 7, 0, 60.0), 0) == await update.remote.aio()
            assert 2 == model(version="3.5").autoscaler.settings().buffer_containers
            assert (1, 0) == (
                wide.autoscaler.settings().min_containers,
                double.autoscaler.settings().min_containers,
            )

    run(main)


def test_what_is_refused_there_is_raised_here(run: Run) -> None:
    app = modal.App("asked-app", backend="process")

    @app.cls(backend="local")
    class Model:
        @modal.method()
        def answer(self) -> int:
            return 42

    @app.function(backend="local", min_containers=1, max_containers=2)
    def double(x: int) -> int:
        return 2 * x

    @app.function()
    def contradict() -> None:
        double.update_autoscaler(max_containers=0)

    @app.function()
    async def change_method() -> None:
        await Model().answer.update_autoscaler.aio(min_containers=1)

    async def main() -> None:
        async with app.run():
            with pytest.raises(InvalidError, match="max_containers"):
                await contradict.remote.aio()
            with pytest.raises(InvalidError, match="shares the pool of its instance"):
                await change_method.remote.aio()
            assert modal.AutoscalerSettings(1, 2, 0, 60.0) == double.autoscaler.settings()

    run(main)

# SPDX-License-Identifier: Apache-2.0
"""S19: classes, with a pool for each parameter set."""

from __future__ import annotations

import gc
import threading
from collections.abc import Callable
from typing import Any

import pytest

import actorpool as modal
from actorpool._actors._supervisor import Supervisor
from actorpool.exception import ExecutionError, InvalidError, NotFoundError
from tests.api.support import PATIENCE_S, event, sleep
from tests.hosts import settle
from tests.shared import shared

pytestmark = pytest.mark.conformance

Run = Callable[..., Any]


def model_app() -> tuple[modal.App, Any]:
    """Return an app with the class of the guide, which notes which object runs an input."""
    app = modal.App("my-app")

    @app.cls(scaledown_window=60)
    class MyClass:
        model_version: str = modal.parameter()

        @modal.enter()
        async def load(self) -> None:
            self.model = f"model {self.model_version}"

        @modal.method()
        async def predict(self, x: int) -> tuple[str, int, int]:
            return self.model, x, id(self)

        @modal.method()
        async def hold(self, gate: Any) -> None:
            await gate.wait()

    return app, MyClass


# -- pools of parameter sets ------------------------------------------------------------------------------


def test_S19_an_update_changes_the_pool_of_that_parameter_set_alone(run_virtually: Run) -> None:
    app, _ = model_app()

    async def main() -> None:
        await app.deploy.aio()
        try:
            MyClass = modal.Cls.from_name("my-app", "MyClass")
            obj = MyClass(model_version="3.5")
            other = MyClass(model_version="4.0")
            obj.update_autoscaler(buffer_containers=2)

            assert 2 == obj.predict.statistics().settings.buffer_containers
            assert 0 == other.predict.statistics().settings.buffer_containers

            gate = event()
            calls = [obj.hold.spawn(gate), other.hold.spawn(gate)]
            await settle()
            assert (3, 1) == (obj.hold.statistics().containers, other.hold.statistics().containers)
            gate.set()
            for call in calls:
                await call.get.aio()
        finally:
            await app.stop.aio()

    run_virtually(main)


def test_S19_sync_code_updates_a_parameter_set_too() -> None:
    app = modal.App("my-app")

    @app.cls(max_containers=1)
    class MyClass:
        model_version: str = modal.parameter()

        @modal.method()
        def run(self) -> str:
            together.wait(PATIENCE_S)
            return self.model_version

    together = threading.Barrier(3)
    app.deploy()
    try:
        obj = modal.Cls.from_name("my-app", "MyClass")(model_version="3.5")
        calls = [obj.run.spawn() for _ in range(3)]
        # Only together do they get past the barrier.
        settings = obj.update_autoscaler(max_containers=3)
        assert 3 == settings.max_containers
        assert ["3.5"] * 3 == [call.get() for call in calls]

        assert 1 == MyClass(model_version="4.0").run.statistics().settings.max_containers  # type: ignore[call-arg]
    finally:
        app.stop()


def test_S19_the_same_parameters_are_the_same_pool(run: Run) -> None:
    app, MyClass = model_app()

    async def main() -> None:
        async with app.run():
            one, same, other = (MyClass(model_version=v) for v in ("3.5", "3.5", "4.0"))
            first, second, third = [await obj.predict.remote.aio(1) for obj in (one, same, other)]

            assert ("model 3.5", 1) == first[:2]
            assert first == second
            assert "model 4.0" == third[0]
            assert (1, 1) == (one.predict.statistics().starts, other.predict.statistics().starts)

            one.update_autoscaler(max_containers=3)
            assert 3 == same.predict.statistics().settings.max_containers

    run(main)


def test_S19_M5_11_all_methods_of_an_instance_share_its_containers(run: Run) -> None:
    app, MyClass = model_app()

    async def main() -> None:
        async with app.run():
            obj = MyClass(model_version="3.5")
            gate = event()
            call = obj.hold.spawn(gate)
            await settle()
            assert 1 == obj.predict.statistics().running
            gate.set()
            await call.get.aio()
            await obj.predict.remote.aio(1)
            assert 1 == obj.hold.statistics().starts

    run(main)


def test_S19_a_full_parameter_set_keeps_no_other_waiting(run: Run) -> None:
    app = modal.App("my-app")

    @app.cls(max_containers=1)
    class Worker:
        name: str = modal.parameter()

        @modal.method()
        async def run(self, gate: Any) -> str:
            if gate is not None:
                await gate.wait()
            return self.name

    async def main() -> None:
        async with app.run():
            gate = event()
            calls = [Worker(name="a").run.spawn(gate) for _ in range(3)]  # type: ignore[call-arg]
            assert "b" == await Worker(name="b").run.remote.aio(None)  # type: ignore[call-arg]
            gate.set()
            assert ["a"] * 3 == [await call.get.aio() for call in calls]

    run(main)


def test_S19_an_update_outlives_the_pool_it_changed(run_virtually: Run) -> None:
    app, MyClass = model_app()

    async def main() -> None:
        async with app.run():
            MyClass(model_version="3.5").update_autoscaler(scaledown_window=5)
            await MyClass(model_version="3.5").predict.remote.aio(1)
            gc.collect()
            await sleep(1000.0)
            gc.collect()

            statistics = MyClass(model_version="3.5").predict.statistics()
            assert (5, 0) == (statistics.settings.scaledown_window, statistics.starts)

    run_virtually(main)


def test_S19_the_next_deploy_puts_the_decorators_settings_back(run: Run) -> None:
    app, _ = model_app()

    async def main() -> None:
        await app.deploy.aio()
        try:
            obj = modal.Cls.from_name("my-app", "MyClass")(model_version="3.5")
            obj.update_autoscaler(buffer_containers=2, scaledown_window=1)
            await app.deploy.aio()
            settings = obj.predict.statistics().settings
            assert (0, 60) == (settings.buffer_containers, settings.scaledown_window)
            assert ("model 3.5", 5) == (await obj.predict.remote.aio(5))[:2]
        finally:
            await app.stop.aio()

    run(main)


def test_S19_updates_of_a_parameter_set_merge(run: Run) -> None:
    app, MyClass = model_app()

    async def main() -> None:
        async with app.run():
            obj = MyClass(model_version="3.5")
            obj.update_autoscaler(min_containers=1, max_containers=10)
            settings = await obj.update_autoscaler.aio(min_containers=4)
            assert (4, 10) == (settings.min_containers, settings.max_containers)

    run(main)


@pytest.mark.slow
def test_S19_a_pool_that_nobody_uses_or_refers_to_is_forgotten(run_virtually: Run) -> None:
    app = modal.App("my-app")

    @app.cls(scaledown_window=1)
    class Tenant:
        name: int = modal.parameter()

        @modal.method()
        async def run(self) -> int:
            return self.name

    async def main() -> None:
        async with app.run():
            kept = Tenant(name=0).run  # type: ignore[call-arg]
            for name in range(30):
                assert name == await Tenant(name=name).run.remote.aio()  # type: ignore[call-arg]
            await sleep(2.0)
            # Handles go first, then the pools they kept. The virtual clock moves on once all is quiet.
            gc.collect()
            await sleep(0.1)
            gc.collect()

            assert 1 == kept.statistics().starts
            supervisors = [thing for thing in gc.get_objects() if type(thing) is Supervisor]
            # The loop may still have the latest one in hand.
            assert sum(supervisor.name == "Tenant" for supervisor in supervisors) <= 2

    run_virtually(main)


def test_S19_a_method_has_no_settings_of_its_own(run: Run) -> None:
    app, MyClass = model_app()

    async def main() -> None:
        async with app.run():
            with pytest.raises(InvalidError, match="change the settings of the instance"):
                MyClass(model_version="3.5").predict.update_autoscaler(max_containers=1)

    run(main)


def test_S19_an_update_before_the_app_runs_says_so() -> None:
    _, MyClass = model_app()
    with pytest.raises(ExecutionError, match="not running"):
        MyClass(model_version="3.5").update_autoscaler(buffer_containers=2)

    missing = modal.Cls.from_name("my-app", "MyClass")(model_version="3.5")
    with pytest.raises(NotFoundError, match="my-app"):
        missing.update_autoscaler(buffer_containers=2)


# -- mistakes ---------------------------------------------------------------------------------------------


def test_S19_wrong_parameters_are_refused() -> None:
    app, MyClass = model_app()
    with app.run():
        with pytest.raises(InvalidError, match="model_version"):
            MyClass().predict.remote(1)
        with pytest.raises(TypeError, match=r"model_version=.*must be str"):
            MyClass(model_version=3.5).predict.remote(1)
        with pytest.raises(InvalidError, match="no parameter 'size'"):
            MyClass(model_version="3.5", size=1).predict.remote(1)
        with pytest.raises(InvalidError, match="by keyword"):
            MyClass("3.5").predict.remote(1)
        with pytest.raises(ValueError, match="hashable"):
            MyClass(model_version=["3.5"])


def test_S19_M5_8_a_method_on_the_class_asks_for_an_instance() -> None:
    _, MyClass = model_app()
    with pytest.raises(AttributeError, match="instance"):
        MyClass.predict.remote(1)


def test_S19_a_class_that_does_not_exist_is_found_out_at_its_first_use() -> None:
    app = modal.App("my-app")
    app.deploy()
    try:
        missing = modal.Cls.from_name("my-app", "Missing")
        with pytest.raises(NotFoundError, match="'my-app' has no class 'Missing'"):
            missing().run.remote()
    finally:
        app.stop()


def test_S19_M5_5_local_use_runs_here_and_enters_once() -> None:
    app = modal.App("my-app")
    entered = shared([])

    @app.cls()
    class Job:
        name: str = modal.parameter(default="x")

        @modal.enter()
        def load(self) -> None:
            entered.append(threading.get_ident())

        @modal.method()
        def run(self) -> tuple[str, int]:
            return self.name, threading.get_ident()

    job = Job(name="y")  # type: ignore[call-arg]
    assert [("y", threading.get_ident())] * 2 == [job.run.local(), job.run.local()]
    assert [threading.get_ident()] == entered
    assert "y" == job.name

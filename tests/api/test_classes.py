# SPDX-License-Identifier: Apache-2.0
"""S19: classes, with a pool for each parameter set."""

from __future__ import annotations

import gc
import logging
import threading
from collections.abc import Callable
from typing import Any

import pytest

import actorpool as modal
from actorpool._actors._supervisor import Supervisor
from actorpool.exception import ContainerStartError, ExecutionError, InvalidError, NotFoundError
from tests.api.support import PATIENCE_S, Latch, event, now, sleep
from tests.hosts import settle

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


def test_S19_all_methods_of_an_instance_share_its_containers(run: Run) -> None:
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
            for name in range(100):
                assert name == await Tenant(name=name).run.remote.aio()  # type: ignore[call-arg]
            await sleep(2.0)
            gc.collect()
            await settle()

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


# -- life of a container ----------------------------------------------------------------------------------


def test_S19_hooks_run_once_for_each_container_and_inputs_find_what_they_made(run_virtually: Run) -> None:
    app = modal.App("my-app")
    log: list[str] = []

    @app.cls(scaledown_window=10)
    class Job:
        name: str = modal.parameter(default="x")

        @modal.enter()
        def first(self) -> None:
            self.count = 0
            log.append("first")

        @modal.enter()
        async def second(self) -> None:
            log.append("second")

        @modal.exit()
        async def last(self) -> None:
            log.append(f"exit after {self.count}")

        @modal.method()
        async def run(self) -> int:
            self.count += 1
            return self.count

    async def main() -> None:
        async with app.run():
            assert [1, 2, 3] == [await Job().run.remote.aio() for _ in range(3)]
            await sleep(10.1)
            assert ["first", "second", "exit after 3"] == log
            assert 1 == await Job().run.remote.aio()

    run_virtually(main)
    assert ["first", "second", "exit after 1"] == log[3:]


def test_S19_a_container_of_one_slot_runs_everything_on_one_thread() -> None:
    app = modal.App("my-app")
    threads: list[threading.Thread] = []

    @app.cls(max_containers=1)
    class Database:
        @modal.enter()
        def connect(self) -> None:
            threads.append(threading.current_thread())

        @modal.exit()
        def disconnect(self) -> None:
            threads.append(threading.current_thread())

        @modal.method()
        def query(self, _: int) -> None:
            threads.append(threading.current_thread())

    with app.run():
        Database().query.for_each(range(50))
    assert 52 == len(threads)
    assert 1 == len(set(threads))


def test_S19_when_starts_keep_failing_the_pending_inputs_fail_with_the_cause(run_virtually: Run) -> None:
    app = modal.App("my-app")
    broken = True

    @app.cls()
    class Model:
        @modal.enter()
        async def load(self) -> None:
            if broken:
                raise FileNotFoundError("weights.bin")

        @modal.method()
        async def run(self) -> str:
            return "done"

    async def main() -> None:
        nonlocal broken
        async with app.run():
            with pytest.raises(ContainerStartError, match=r"3 times in a row.*weights.bin") as caught:
                await Model().run.remote.aio()
            assert isinstance(caught.value.__cause__, FileNotFoundError)

            broken = False
            assert "done" == await Model().run.remote.aio()

    run_virtually(main)


def test_S19_an_exit_hook_that_raises_or_hangs_keeps_nobody(
    run_virtually: Run, caplog: pytest.LogCaptureFixture
) -> None:
    app = modal.App("my-app")
    ended: list[float] = []

    @app.cls(scaledown_window=10)
    class Job:
        @modal.exit()
        async def hang(self) -> None:
            await sleep(10_000.0)

        @modal.exit()
        async def fail(self) -> None:
            raise ValueError("too late")

        @modal.exit()
        async def end(self) -> None:
            ended.append(now())

        @modal.method()
        async def run(self) -> None: ...

    async def main() -> None:
        async with app.run(grace=5):
            start = now()
            await Job().run.remote.aio()
            await sleep(16.0)
            assert [15.0] == [round(at - start, 6) for at in ended]
            assert 0 == Job().run.statistics().containers

    with caplog.at_level(logging.WARNING, "actorpool"):
        run_virtually(main)
    assert ["hang", "fail"] == [
        next(word for word in ("hang", "fail") if f".{word} " in record.getMessage())
        for record in caplog.records
    ]


def test_S19_an_enter_hook_that_hangs_is_cut_off(run_virtually: Run) -> None:
    app = modal.App("my-app")

    @app.cls(startup_timeout=7)
    class Model:
        @modal.enter()
        async def load(self) -> None:
            await sleep(10_000.0)

        @modal.method()
        async def run(self) -> None: ...

    async def main() -> None:
        async with app.run():
            with pytest.raises(ContainerStartError, match="startup_timeout of 7 s"):
                await Model().run.remote.aio()
            # Three starts of 7 s and the pauses between them.
            assert 21.3 == round(now(), 6)

    run_virtually(main)


def test_S19_methods_may_call_each_other_inside_a_container(run: Run) -> None:
    app = modal.App("my-app")

    @app.cls()
    @modal.concurrent(max_inputs=4)
    class Pipeline:
        offset: int = modal.parameter(default=1)

        @modal.method()
        async def step(self, x: int) -> int:
            return x + self.offset

        @modal.method()
        async def both(self, x: int) -> tuple[int, int]:
            return await self.step.local(x), await self.step.remote.aio(x)

    async def main() -> None:
        async with app.run():
            assert (12, 12) == await Pipeline(offset=2).both.remote.aio(10)  # type: ignore[call-arg]

    run(main)


def test_S19_sync_methods_serve_maps_and_hooks_in_threads() -> None:
    app = modal.App("my-app")
    ended = Latch(1)

    @app.cls(max_containers=1)
    @modal.concurrent(max_inputs=5)
    class Job:
        factor: int = modal.parameter()

        @modal.enter()
        def load(self) -> None:
            self.together = threading.Barrier(5)

        @modal.exit()
        def end(self) -> None:
            ended.hit()

        @modal.method()
        def times(self, x: int) -> int:
            self.together.wait(PATIENCE_S)
            return x * self.factor

    with app.run():
        assert [0, 3, 6, 9, 12] == list(Job(factor=3).times.map(range(5)))  # type: ignore[call-arg]
        assert not ended.is_open
    assert ended.is_open


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


def test_S19_a_method_on_the_class_asks_for_an_instance() -> None:
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


def test_S19_local_use_runs_here_and_enters_once() -> None:
    app = modal.App("my-app")
    entered = []

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

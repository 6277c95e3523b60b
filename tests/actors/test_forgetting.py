# SPDX-License-Identifier: Apache-2.0
"""Pools of parameter sets come and go; warm containers are there without being asked for."""

from __future__ import annotations

import gc
import threading
from collections.abc import Callable
from typing import Any

import pytest

import actorpool as modal
from actorpool.exception import ContainerStartError
from tests.actors.harness import at_rest, echoing_class
from tests.api.support import event, gather, now, sleep
from tests.hosts import settle

Run = Callable[..., Any]


def supervisors(app: modal.App) -> dict[Any, Any]:
    """Return the supervisors of a running app by key."""
    return app._life.runtime().supervisors()


@pytest.mark.slow
@pytest.mark.usefixtures("at_full_speed")
@pytest.mark.parametrize("kind", ["sync", "async"])
def test_thousands_of_parameter_sets_come_and_go(
    run_virtually: Run, virtual_host_name: str, kind: str
) -> None:
    app = modal.App("my-app")
    many = 2000 if (kind, virtual_host_name) == ("async", "asyncio") else 200

    C = echoing_class(app, kind, scaledown_window=5)

    async def main() -> None:
        async with app.run():
            for start in range(0, many, 100):
                block = range(start, start + 100)
                assert list(block) == await gather(*[C(x=x).f.remote.aio for x in block])
            gc.collect()
            await sleep(20)
            # What the containers' objects referred to is gone by now as well.
            gc.collect()
            await settle()
            assert {} == supervisors(app)
            assert 7 == await C(x=7).f.remote.aio()
            assert 1 == len(supervisors(app))

    run_virtually(main)


def test_a_pool_that_a_handle_refers_to_is_kept(run_virtually: Run) -> None:
    app = modal.App("my-app")
    C = echoing_class(app, scaledown_window=5)

    async def main() -> None:
        async with app.run():
            kept = C(x=1)
            only_the_verb = C(x=2).f.remote
            spawned = C(x=3).f.spawn()
            assert [1, 2] == await gather(kept.f.remote.aio, only_the_verb.aio)
            assert 3 == await spawned.get.aio()
            gc.collect()
            await sleep(100)
            assert 2 == len(supervisors(app))
            assert 0 == kept.f.statistics().containers
            assert 1 == kept.f.statistics().succeeded
            assert 2 == await only_the_verb.aio()
            del kept
            gc.collect()
            await settle()
            assert 1 == len(supervisors(app))

    run_virtually(main)


def test_a_result_outlives_the_pool_it_came_from(run_virtually: Run) -> None:
    app = modal.App("my-app")
    C = echoing_class(app, takes_s=1, scaledown_window=1)

    async def main() -> None:
        async with app.run():
            calls = [C(x=x).f.spawn() for x in range(5)]
            gc.collect()
            await sleep(30)
            gc.collect()
            await settle()
            assert {} == supervisors(app)
            assert [0, 1, 2, 3, 4] == [await call.get.aio() for call in calls]

    run_virtually(main)


def test_a_forgotten_pool_keeps_the_settings_it_was_given(run_virtually: Run) -> None:
    app = modal.App("my-app")
    C = echoing_class(app, scaledown_window=1)

    async def main() -> None:
        async with app.run():
            obj = C(x=1)
            await obj.f.remote.aio()
            obj.update_autoscaler(max_containers=3)
            del obj
            await sleep(30)
            gc.collect()
            await settle()
            assert {} == supervisors(app)
            again = C(x=1)
            assert 3 == again.f.statistics().settings.max_containers
            other = C(x=2)
            assert other.f.statistics().settings.max_containers is None

    run_virtually(main)


def test_a_pool_that_is_to_keep_containers_warm_is_not_forgotten(run_virtually: Run) -> None:
    app = modal.App("my-app")
    C = echoing_class(app, scaledown_window=1)

    async def main() -> None:
        async with app.run():
            obj = C(x=1)
            obj.update_autoscaler(min_containers=2)
            del obj
            gc.collect()
            await sleep(30)
            gc.collect()
            await settle()
            assert 1 == len(supervisors(app))
            again = C(x=1)
            assert 2 == again.f.statistics().ready
            again.update_autoscaler(min_containers=0)
            del again
            gc.collect()
            await sleep(30)
            gc.collect()
            await settle()
            assert {} == supervisors(app)

    run_virtually(main)


def test_a_pool_that_fails_to_start_is_forgotten_too(run_virtually: Run) -> None:
    app = modal.App("my-app")

    @app.cls()
    class C:
        x: int = modal.parameter()

        @modal.enter()
        async def load(self) -> None:
            raise ValueError(self.x)

        @modal.method()
        async def f(self) -> int:
            return self.x

    make: Any = C

    async def main() -> None:
        async with app.run():
            outcomes = await gather(*[make(x=x).f.remote.aio for x in range(10)])
            assert {ContainerStartError} == {type(outcome) for outcome in outcomes}
            del outcomes
            gc.collect()
            await sleep(30)
            gc.collect()
            await settle()
            assert {} == supervisors(app)

    run_virtually(main)


def test_closing_does_not_wait_for_a_pool_that_is_forgotten_meanwhile(run_virtually: Run) -> None:
    app = modal.App("my-app")
    C = echoing_class(app, scaledown_window=1)

    @app.function()
    async def slow() -> None:
        await sleep(50)

    async def main() -> None:
        async with app.run(grace=1000):
            await gather(*[C(x=x).f.remote.aio for x in range(5)])
            slow.spawn()
            gc.collect()
        assert 50 == now()

    run_virtually(main)


def test_a_parameter_set_used_from_many_threads_has_one_pool() -> None:
    app = modal.App("my-app")
    made = []

    @app.cls(max_containers=1)
    class C:
        x: int = modal.parameter()

        @modal.enter()
        def load(self) -> None:
            made.append(self.x)

        @modal.method()
        def f(self) -> int:
            return self.x

    make: Any = C
    with app.run():
        start = threading.Barrier(4)

        def call() -> None:
            start.wait(10)
            for x in range(10):
                assert x == make(x=x).f.remote()

        threads = [threading.Thread(target=call) for _ in range(4)]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join()
        assert list(range(10)) == sorted(made)


# -- warm containers -------------------------------------------------------------------------------------------


def test_M5_12_warm_containers_of_functions_and_default_instances_are_there_before_any_input(
    run_virtually: Run,
) -> None:
    app = modal.App("my-app")
    entered = []

    @app.function(min_containers=2)
    async def f() -> None:
        pass

    @app.cls(min_containers=3, scaledown_window=1)
    class C:
        x: int = modal.parameter(default=5)

        @modal.enter()
        async def load(self) -> None:
            entered.append(self.x)

        @modal.method()
        async def g(self) -> int:
            return self.x

    @app.cls(min_containers=1)
    class NeedsParameters:
        x: int = modal.parameter()

        @modal.method()
        async def g(self) -> int:
            return self.x

    make: Any = NeedsParameters

    async def main() -> None:
        async with app.run():
            await settle()
            assert 2 == f.statistics().ready
            assert [5, 5, 5] == entered
            gc.collect()
            await sleep(100)
            gc.collect()
            await settle()
            assert 3 == C().g.statistics().ready
            assert 5 == await C().g.remote.aio()
            # An instance of which nobody has spoken cannot be warmed; once it was used it is.
            assert 9 == await make(x=9).g.remote.aio()
            gc.collect()
            await sleep(100)
            obj = make(x=9)
            assert 1 == obj.g.statistics().ready
        assert [5, 5, 5] == entered

    run_virtually(main)


def test_a_warm_container_that_is_used_up_is_replaced(run_virtually: Run) -> None:
    app = modal.App("my-app")

    @app.function(min_containers=1, single_use_containers=True)
    async def f() -> None:
        pass

    async def main() -> None:
        async with app.run():
            for _ in range(3):
                await f.remote.aio()
                await settle()
                assert (1, 1) == (f.statistics().ready, f.statistics().containers)
            assert 4 == f.statistics().starts

    run_virtually(main)


def test_lowering_the_minimum_lets_idle_containers_go_after_their_window(run_virtually: Run) -> None:
    app = modal.App("my-app")

    @app.function(min_containers=3, scaledown_window=10)
    async def f() -> None:
        pass

    async def main() -> None:
        async with app.run():
            await sleep(100)
            assert 3 == f.statistics().ready
            f.update_autoscaler(min_containers=1)
            await sleep(11)
            assert 1 == f.statistics().containers
            f.update_autoscaler(min_containers=2)
            await settle()
            assert 2 == f.statistics().ready

    run_virtually(main)


def test_a_maximum_below_the_minimum_is_refused_and_one_below_the_running_drains(run_virtually: Run) -> None:
    app = modal.App("my-app")

    @app.function(min_containers=2)
    async def f(gate: Any) -> None:
        await gate.wait()

    async def main() -> None:
        async with app.run():
            gate = event()
            calls = [f.spawn(gate) for _ in range(6)]
            await settle()
            assert 6 == f.statistics().running
            with pytest.raises(modal.exception.InvalidError):
                f.update_autoscaler(max_containers=1)
            f.update_autoscaler(max_containers=2)
            await settle()
            assert (6, 2, 4) == (f.statistics().running, f.statistics().ready, f.statistics().draining)
            gate.set()
            for call in calls:
                await call.get.aio()
            await at_rest(f)
            assert 2 == f.statistics().containers

    run_virtually(main)

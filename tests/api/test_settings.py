# SPDX-License-Identifier: Apache-2.0
"""S10 to S12: how many containers there are at the most, at the least and beyond those needed."""

from __future__ import annotations

import threading
from collections.abc import Callable
from typing import Any

import pytest

import actorpool as modal
from actorpool.exception import InvalidError
from tests.api.support import Gauge, Latch, event, gather, now, of_one_second, sleep, trivial
from tests.hosts import settle

Run = Callable[..., Any]


# -- S10 --------------------------------------------------------------------------------------------------


@pytest.mark.local_only("its inputs share an object, as in one process they may")
def test_S10_there_are_never_more_containers_than_max_containers(run_virtually: Run) -> None:
    app = modal.App("my-app")
    inside = Gauge()
    seen = set()

    @app.function(max_containers=3)
    async def f(x: int) -> int:
        with inside.entered():
            seen.add(f.statistics().containers)
            await sleep(1.0)
        return x

    async def main() -> None:
        async with app.run():
            start = now()
            assert list(range(50)) == [x async for x in f.map.aio(range(50))]

            assert (3, 3, 3) == (inside.peak, max(seen), f.statistics().starts)
            # 50 inputs of a second by threes.
            assert 17.0 == round(now() - start, 6)

    run_virtually(main)


def test_S10_max_containers_holds_for_sync_functions_and_callers() -> None:
    app = modal.App("my-app")
    inside = Gauge()

    @app.function(max_containers=3)
    def f(x: int) -> int:
        with inside.entered():
            assert f.statistics().containers <= 3
        return x

    with app.run():
        assert list(range(2_000)) == list(f.map(range(2_000)))
        assert inside.peak <= 3
        assert f.statistics().starts <= 3


def test_S10_max_containers_goes_before_the_buffer(run_virtually: Run) -> None:
    app = modal.App("my-app")

    @app.function(max_containers=3, buffer_containers=10)
    async def f(gate: Any) -> None:
        await gate.wait()

    async def main() -> None:
        async with app.run():
            gate = event()
            for count in range(1, 6):
                f.spawn(gate)
                await settle()
                assert (3, min(count, 3)) == (f.statistics().containers, f.statistics().running)
            gate.set()

    run_virtually(main)


def test_S10_a_container_that_is_stopping_makes_room_only_when_it_takes_nothing_more(
    run_virtually: Run,
) -> None:
    app = modal.App("my-app")
    inside = Gauge()

    @app.function(max_containers=2, single_use_containers=True)
    async def f(x: int) -> int:
        with inside.entered():
            await sleep(1.0)
        return x

    async def main() -> None:
        async with app.run():
            assert list(range(9)) == [x async for x in f.map.aio(range(9))]
            assert 2 == inside.peak

    run_virtually(main)


@pytest.mark.local_only("processes are bounded by default")
def test_S10_without_max_containers_there_is_no_bound(run_virtually: Run) -> None:
    app = modal.App("my-app")

    @app.function()
    async def f(gate: Any) -> None:
        await gate.wait()

    async def main() -> None:
        async with app.run():
            gate = event()
            calls = [f.spawn(gate) for _ in range(500)]
            # A first burst finds out for a moment how long its inputs take.
            await sleep(0.01)
            assert 500 == f.statistics().running
            gate.set()
            for call in calls:
                await call.get.aio()

    run_virtually(main)


@pytest.mark.parametrize("value", [0, -1, 2.5, "3", True])
def test_S10_max_containers_must_be_a_positive_whole_number(value: Any) -> None:
    with pytest.raises(InvalidError, match="max_containers"):
        modal.App().function(max_containers=value)(lambda: None)


# -- S11 --------------------------------------------------------------------------------------------------


def test_S11_min_containers_are_warm_before_any_call_and_stay_warm(run_virtually: Run) -> None:
    app, f = trivial(min_containers=2, scaledown_window=1)

    async def main() -> None:
        async with app.run():
            await settle()
            assert (2, 2) == (f.statistics().ready, f.statistics().idle)
            for _ in range(3):
                await sleep(3600.0)
                assert 2 == f.statistics().ready
                await f.remote.aio()
            assert 2 == f.statistics().starts

    run_virtually(main)


def test_S11_after_a_burst_the_pool_goes_back_to_min_containers(run_virtually: Run) -> None:
    app, f = of_one_second(min_containers=2, scaledown_window=10)

    async def main() -> None:
        async with app.run():
            await gather(*[f.remote.aio] * 9)
            assert 9 == f.statistics().containers
            await sleep(10.1)
            assert 2 == f.statistics().containers

    run_virtually(main)


def test_S11_a_warm_container_takes_an_input_without_a_start(run_virtually: Run) -> None:
    app = modal.App("my-app")

    @app.cls(min_containers=1)
    class Model:
        @modal.enter()
        async def load(self) -> None:
            await sleep(30.0)

        @modal.method()
        async def began(self) -> float:
            return now()

    async def main() -> None:
        async with app.run():
            # A class without required parameters is warmed before anybody asks for it.
            await sleep(31.0)
            assert now() == await Model().began.remote.aio()

    run_virtually(main)


def test_S11_sync_callers_find_the_pool_warm() -> None:
    app = modal.App("my-app")
    entered = Latch(3)

    @app.cls(min_containers=3)
    class Model:
        @modal.enter()
        def load(self) -> None:
            entered.hit()

        @modal.method()
        def run(self) -> str:
            return threading.current_thread().name

    with app.run():
        entered.wait()
        assert Model().run.remote()
        assert 3 == Model().run.statistics().containers


def test_S11_a_warm_container_that_is_lost_is_replaced(run_virtually: Run) -> None:
    app = modal.App("my-app")

    @app.function(min_containers=2, single_use_containers=True)
    async def f() -> None: ...

    async def main() -> None:
        async with app.run():
            await gather(*[f.remote.aio] * 2)
            await settle()
            assert (2, 4) == (f.statistics().ready, f.statistics().starts)

    run_virtually(main)


def test_S11_a_minimum_above_the_maximum_is_refused() -> None:
    with pytest.raises(InvalidError, match=r"max_containers \(2\) is less than min_containers \(3\)"):
        modal.App().function(min_containers=3, max_containers=2)(lambda: None)
    with pytest.raises(InvalidError, match="min_containers"):
        modal.App().function(min_containers=-1)(lambda: None)


# -- S12 --------------------------------------------------------------------------------------------------


def test_S12_the_buffer_is_kept_while_the_function_is_active(run_virtually: Run) -> None:
    app = modal.App("my-app")

    @app.function(buffer_containers=5)
    async def f(gate: Any) -> None:
        await gate.wait()

    async def main() -> None:
        async with app.run():
            assert 0 == f.statistics().containers
            gate = event()
            calls = []
            for busy in range(1, 8):
                calls.append(f.spawn(gate))
                await settle()
                assert (busy, 5) == (f.statistics().running, f.statistics().idle)

            # However long it lasts, the idle ones are not taken away.
            await sleep(250.0)
            assert (7, 5) == (f.statistics().running, f.statistics().idle)
            assert 12 == f.statistics().starts

            gate.set()
            for call in calls:
                await call.get.aio()

    run_virtually(main)


def test_S12_with_a_buffer_further_inputs_need_not_wait_for_a_start(run_virtually: Run) -> None:
    async def waits(buffer_containers: int) -> list[float]:
        app = modal.App("my-app")

        @app.cls(buffer_containers=buffer_containers)
        class Model:
            @modal.enter()
            async def load(self) -> None:
                await sleep(10.0)

            @modal.method()
            async def run(self, asked: float) -> float:
                waited = now() - asked
                await sleep(100.0)
                return round(waited, 6)

        async with app.run():
            run = Model().run
            calls = [run.spawn(now())]
            await sleep(20.0)
            calls += [run.spawn(now()) for _ in range(5)]
            return [await call.get.aio() for call in calls]

    async def main() -> None:
        assert [10.0] * 6 == await waits(0)
        assert [10.0] + [0.0] * 5 == await waits(5)

    run_virtually(main)


def test_S12_an_idle_function_keeps_no_buffer(run_virtually: Run) -> None:
    app = modal.App("my-app")

    @app.function(buffer_containers=5, scaledown_window=10)
    async def f() -> None:
        await sleep(1.0)

    async def main() -> None:
        async with app.run():
            await sleep(100.0)
            assert 0 == f.statistics().starts

            await f.remote.aio()
            assert 6 == f.statistics().containers
            await sleep(10.1)
            assert 0 == f.statistics().containers

    run_virtually(main)


def test_S12_the_buffer_comes_on_top_of_what_is_needed_not_of_the_minimum(run_virtually: Run) -> None:
    app = modal.App("my-app")

    @app.function(min_containers=4, buffer_containers=2)
    async def f(gate: Any) -> None:
        await gate.wait()

    async def main() -> None:
        async with app.run():
            await settle()
            assert 4 == f.statistics().containers
            gate = event()
            containers = []
            for _ in range(4):
                f.spawn(gate)
                await settle()
                containers.append(f.statistics().containers)
            assert [4, 4, 5, 6] == containers
            gate.set()

    run_virtually(main)


def test_S12_the_buffer_counts_containers_not_slots(run_virtually: Run) -> None:
    app = modal.App("my-app")

    @app.function(buffer_containers=1)
    @modal.concurrent(max_inputs=10)
    async def f(gate: Any) -> None:
        await gate.wait()

    async def main() -> None:
        async with app.run():
            gate = event()
            for _ in range(11):
                f.spawn(gate)
            await settle()
            assert 3 == f.statistics().containers
            gate.set()

    run_virtually(main)

# SPDX-License-Identifier: Apache-2.0
"""S01 to S03 and S05: the autoscaled pool of each function."""

from __future__ import annotations

import threading
from collections.abc import Callable
from typing import Any

import pytest

import actorpool as modal
from tests.api.support import PATIENCE_S, Latch, begins, event, gather, now, of_one_second, sleep, trivial
from tests.hosts import settle
from tests.shared import shared

Run = Callable[..., Any]


# -- S01 --------------------------------------------------------------------------------------------------


def test_S01_each_function_has_a_pool_of_its_own(run_virtually: Run) -> None:
    app = modal.App("my-app")

    @app.function()
    async def f(seconds: float) -> None:
        await sleep(seconds)

    @app.function()
    async def g(seconds: float) -> None:
        await sleep(seconds)

    async def main() -> None:
        async with app.run():
            await gather(*[lambda: f.remote.aio(1.0)] * 5, lambda: g.remote.aio(1.0))

            assert 5 == f.statistics().containers
            assert 1 == g.statistics().containers

    run_virtually(main)


def test_S01_a_function_without_free_capacity_keeps_no_other_function_waiting(run: Run) -> None:
    app = modal.App("my-app")

    @app.function(max_containers=1)
    async def crowded(gate: Any) -> None:
        await gate.wait()

    @app.function(max_containers=1)
    async def quiet(x: int) -> int:
        return x + 1

    async def main() -> None:
        async with app.run():
            gate = event()
            calls = [crowded.spawn(gate) for _ in range(10)]
            while not crowded.statistics().running:
                await settle()

            assert 2 == await quiet.remote.aio(1)
            assert (1, 9) == (crowded.statistics().running, crowded.statistics().pending)

            gate.set()
            for call in calls:
                await call.get.aio()

    run(main)


def test_S01_sync_callers_see_a_pool_for_each_function() -> None:
    app = modal.App("my-app")
    together = threading.Barrier(3)

    @app.function()
    def f(_: int) -> str:
        together.wait(PATIENCE_S)
        return threading.current_thread().name

    @app.function()
    def g() -> str:
        return threading.current_thread().name

    with app.run():
        assert 3 == len(set(f.map(range(3))))
        assert g.remote() == g.remote()

        assert (3, 1) == (f.statistics().containers, g.statistics().containers)


# -- S02 --------------------------------------------------------------------------------------------------


def test_S02_an_input_that_finds_no_free_capacity_has_a_container_started(run_virtually: Run) -> None:
    app = modal.App("my-app")

    @app.function()
    async def f(gate: Any) -> None:
        await gate.wait()

    async def main() -> None:
        async with app.run():
            gate = event()
            calls = []
            for containers in range(1, 6):
                calls.append(f.spawn(gate))
                await settle()
                assert containers == f.statistics().containers
                assert containers == f.statistics().running
            gate.set()
            for call in calls:
                await call.get.aio()

    run_virtually(main)


def test_S02_free_capacity_is_used_before_a_container_is_started(run_virtually: Run) -> None:
    app = modal.App("my-app")

    @app.function()
    async def f() -> None:
        await sleep(1.0)

    async def main() -> None:
        async with app.run():
            for _ in range(10):
                await f.remote.aio()
                await sleep(5.0)

            assert 1 == f.statistics().starts

    run_virtually(main)


def test_S02_containers_under_way_count_as_capacity(run_virtually: Run) -> None:
    app = modal.App("my-app")

    @app.cls()
    @modal.concurrent(max_inputs=10)
    class Slow:
        @modal.enter()
        async def load(self) -> None:
            await sleep(5.0)

        @modal.method()
        async def run(self) -> None:
            await sleep(60.0)

    async def main() -> None:
        async with app.run():
            run = Slow().run
            calls = []
            for _ in range(10):
                calls.append(run.spawn())
                await sleep(0.1)

            assert (1, 10) == (run.statistics().starting, run.statistics().pending)

            for call in calls:
                await call.get.aio()
            assert 1 == run.statistics().starts

    run_virtually(main)


def test_S02_sync_functions_get_containers_as_well(run: Run) -> None:
    app = modal.App("my-app")
    inside, go = Latch(4), threading.Event()

    @app.function()
    def f() -> str:
        inside.hit()
        go.wait(PATIENCE_S)
        return threading.current_thread().name

    async def main() -> None:
        async with app.run():
            calls = [f.spawn() for _ in range(4)]
            await inside.opened()
            assert (4, 4) == (f.statistics().containers, f.statistics().running)

            go.set()
            assert 4 == len({await call.get.aio() for call in calls})

    run(main)


# -- S03 --------------------------------------------------------------------------------------------------


def test_S03_idle_containers_are_stopped(run_virtually: Run) -> None:
    app, f = of_one_second(scaledown_window=10)

    async def main() -> None:
        async with app.run():
            await gather(*[f.remote.aio] * 7)
            assert 7 == f.statistics().idle

            await sleep(9.9)
            assert 7 == f.statistics().containers
            await sleep(0.2)
            assert 0 == f.statistics().containers

    run_virtually(main)


@pytest.mark.local_only("looks at threads or the loop from outside")
def test_S03_sync_containers_are_stopped_with_their_threads(run_virtually: Run) -> None:
    app = modal.App("my-app")

    @app.function(scaledown_window=10)
    def f(_: int) -> threading.Thread:
        together.wait(PATIENCE_S)
        return threading.current_thread()

    together = threading.Barrier(3)

    async def main() -> None:
        async with app.run():
            threads = [thread async for thread in f.map.aio(range(3))]
            assert 3 == len(set(threads)) == sum(thread.is_alive() for thread in threads)

            await sleep(10.1)
            assert 0 == f.statistics().containers
            assert [False] * 3 == [thread.is_alive() for thread in threads]

    run_virtually(main)


def test_S03_a_busy_container_is_never_stopped(run_virtually: Run) -> None:
    app = modal.App("my-app")
    stopped: list[float] = shared([])

    @app.cls(scaledown_window=1)
    class Job:
        @modal.exit()
        async def end(self) -> None:
            stopped.append(now())

        @modal.method()
        async def run(self, seconds: float) -> str:
            await sleep(seconds)
            return "done"

    async def main() -> None:
        async with app.run():
            start = now()
            assert "done" == await Job().run.remote.aio(200.0)
            assert [] == stopped

            await sleep(2.0)
            assert [201.0] == [round(at - start, 3) for at in stopped]

    run_virtually(main)


def test_S03_under_a_smaller_load_only_the_surplus_is_stopped(run_virtually: Run) -> None:
    app = modal.App("my-app")

    @app.function(scaledown_window=10)
    async def f() -> None:
        await sleep(1.0)

    async def main() -> None:
        async with app.run():
            await gather(*[f.remote.aio] * 8)
            for _ in range(20):
                await gather(*[f.remote.aio] * 2)

            assert 2 == f.statistics().containers
            assert 8 == f.statistics().starts

    run_virtually(main)


# -- S05 --------------------------------------------------------------------------------------------------


def test_S05_an_arrival_is_decided_upon_at_once(run_virtually: Run) -> None:
    app = modal.App("my-app")

    @app.function()
    async def f() -> float:
        return now()

    async def main() -> None:
        async with app.run():
            for pause in (0.0, 0.001, 17.3, 1000.0):
                await sleep(pause)
                assert now() == await f.remote.aio()

    run_virtually(main)


def test_S05_a_slot_that_becomes_free_takes_the_oldest_pending_input_at_once(run_virtually: Run) -> None:
    app, f = of_one_second(max_containers=10)

    async def main() -> None:
        async with app.run():
            assert [float(x // 10) for x in range(100)] == await begins(f, 100)

    run_virtually(main)


def test_S05_a_container_takes_what_waits_at_the_instant_it_is_ready(run_virtually: Run) -> None:
    app = modal.App("my-app")

    @app.cls()
    class Slow:
        @modal.enter()
        async def load(self) -> None:
            await sleep(3.25)

        @modal.method()
        async def began(self) -> float:
            return now()

    async def main() -> None:
        async with app.run():
            start = now()
            assert 3.25 == round(await Slow().began.remote.aio() - start, 6)

    run_virtually(main)


def test_S05_a_failed_start_is_followed_by_another_without_a_clock_being_waited_for(
    run_virtually: Run,
) -> None:
    app = modal.App("my-app")
    starts: list[float] = shared([])

    @app.cls()
    class Shaky:
        @modal.enter()
        async def load(self) -> None:
            starts.append(now())
            if len(starts) < 3:
                raise ConnectionError("not yet")

        @modal.method()
        async def run(self) -> str:
            return "done"

    async def main() -> None:
        async with app.run():
            start = now()
            assert "done" == await Shaky().run.remote.aio()

            # The pauses of the back-off, to the instant.
            assert [0.0, 0.1, 0.3] == [round(at - start, 6) for at in starts]

    run_virtually(main)


def test_S05_a_container_that_has_stopped_makes_room_for_the_next_at_once(run_virtually: Run) -> None:
    app = modal.App("my-app")

    @app.function(max_containers=2, single_use_containers=True)
    async def f(x: int) -> tuple[int, float]:
        began = now()
        await sleep(1.0)
        return x, began

    async def main() -> None:
        async with app.run():
            start = now()
            results = [result async for result in f.map.aio(range(8))]

            assert [(x, x // 2) for x in range(8)] == [(x, round(at - start, 6)) for x, at in results]
            assert 8 == f.statistics().starts

    run_virtually(main)


def test_S05_new_settings_are_acted_upon_at_once(run_virtually: Run) -> None:
    app = modal.App("my-app")

    @app.function(max_containers=1)
    async def f() -> float:
        began = now()
        await sleep(100.0)
        return began

    async def main() -> None:
        async with app.run():
            start = now()
            calls = [f.spawn() for _ in range(4)]
            await sleep(7.0)
            assert 1 == f.statistics().running

            f.update_autoscaler(max_containers=3)
            began = [round(await call.get.aio() - start, 6) for call in calls]
            assert [0.0, 7.0, 7.0, 100.0] == began

    run_virtually(main)


def test_S05_each_decision_is_recorded_with_its_reason(run_virtually: Run) -> None:
    app, f = trivial(scaledown_window=5)

    async def main() -> None:
        async with app.run():
            await f.remote.aio()
            await sleep(5.1)

            log = f.scaling_log()
            assert [(1, 0), (0, 1)] == [(record.start, record.stop) for record in log]
            assert 5.0 == round(log[1].at - log[0].at, 3)
            assert all(record.reason for record in log)

    run_virtually(main)

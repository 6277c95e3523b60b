# SPDX-License-Identifier: Apache-2.0
"""The ceiling of an app's threads: how its functions share them, and who makes way for whom."""

from __future__ import annotations

import threading
import time
from collections.abc import Callable
from typing import Any

import pytest

import actorpool as modal
from actorpool.exception import InvalidError
from tests.actors.harness import at_rest, echoing_class, threads_of
from tests.api.support import PATIENCE_S, Latch, gather, now, sleep
from tests.hosts import settle

Run = Callable[..., Any]


def test_an_app_never_has_more_threads_than_its_ceiling(run: Run) -> None:
    app = modal.App("my-app", limits=modal.Limits(max_threads=4))
    most = 0

    def look() -> None:
        nonlocal most
        most = max(most, len(threads_of("f")) + len(threads_of("g")))

    @app.function()
    def f(x: int) -> int:
        look()
        time.sleep(0.0005)
        return x

    @app.function()
    @modal.concurrent(max_inputs=2)
    def g(x: int) -> int:
        look()
        time.sleep(0.0005)
        return x

    async def main() -> None:
        async with app.run():

            async def drain(h: Any) -> list[int]:
                return [r async for r in h.map.aio(range(60))]

            assert [list(range(60))] * 2 == await gather(lambda: drain(f), lambda: drain(g))
            assert most <= 4

    run(main)


def test_at_the_ceiling_an_idle_container_makes_way_for_another_function(run_virtually: Run) -> None:
    app = modal.App("my-app", limits=modal.Limits(max_threads=2))

    @app.function(scaledown_window=1000)
    def f(x: int) -> int:
        return x

    @app.function(scaledown_window=1000)
    def g(x: int) -> int:
        return x

    async def main() -> None:
        async with app.run():
            start = now()
            for _ in range(3):
                assert [0, 1] == await gather(*[lambda x=x: f.remote.aio(x) for x in range(2)])
                assert [0, 1] == await gather(*[lambda x=x: g.remote.aio(x) for x in range(2)])
            # Nobody waited for a window to pass.
            assert now() - start < 1

    run_virtually(main)


def test_every_holders_idle_containers_make_way_not_only_the_largest_ones(run_virtually: Run) -> None:
    app = modal.App("my-app", limits=modal.Limits(max_threads=4))
    go, inside = threading.Event(), Latch(3)

    @app.function(scaledown_window=1000)
    def busy() -> None:
        inside.hit()
        assert go.wait(PATIENCE_S)

    @app.function(scaledown_window=1000)
    def idle() -> None:
        pass

    @app.function()
    def wants() -> int:
        return 1

    async def main() -> None:
        async with app.run():
            await idle.remote.aio()
            calls = [busy.spawn() for _ in range(3)]
            await inside.opened()
            assert (1, 3) == (len(threads_of("idle")), len(threads_of("busy")))
            assert 1 == await wants.remote.aio()
            go.set()
            for call in calls:
                await call.get.aio()

    run_virtually(main)


def test_a_thousand_parameter_sets_share_few_threads_without_waiting_for_windows(run_virtually: Run) -> None:
    app = modal.App("my-app", limits=modal.Limits(max_threads=5))
    C = echoing_class(app, "sync", scaledown_window=1000)

    async def main() -> None:
        async with app.run():
            assert list(range(60)) == await gather(*[C(x=x).f.remote.aio for x in range(60)])
            assert now() < 1
            # One after the other, with nobody waiting in between.
            for x in range(60, 80):
                assert x == await C(x=x).f.remote.aio()
            assert now() < 1

    run_virtually(main)


def test_warm_containers_of_others_that_never_make_way_do_not_hold_up_the_rest(run_virtually: Run) -> None:
    """A large request that cannot be met keeps threads for itself only for a while."""
    app = modal.App("my-app", limits=modal.Limits(max_threads=4))

    @app.function(min_containers=2)
    def warm() -> int:
        return 0

    @app.function()
    @modal.concurrent(max_inputs=3)
    def large() -> int:
        return 3

    @app.function(max_containers=1, single_use_containers=True)
    def small(x: int) -> int:
        return x

    async def main() -> None:
        async with app.run():
            await settle()
            blocked = large.spawn()
            await settle()
            assert list(range(10)) == [r async for r in small.map.aio(range(10))]
            assert now() < 60
            warm.update_autoscaler(min_containers=0)
            assert 3 == await blocked.get.aio()
            assert now() < 120

    run_virtually(main)


def test_waiting_for_threads_is_no_slow_start(run_virtually: Run) -> None:
    app = modal.App("my-app", limits=modal.Limits(max_threads=1))

    @app.function()
    def busy(done: Any) -> int:
        assert done.wait(PATIENCE_S)
        return 1

    @app.function(startup_timeout=0.5)
    def waits() -> int:
        return 2

    done = threading.Event()

    async def main() -> None:
        async with app.run():
            first = busy.spawn(done)
            await settle()
            second = waits.spawn()
            await settle()
            assert (1, 1) == (waits.statistics().pending, waits.statistics().starting)
            done.set()
            assert [1, 2] == [await first.get.aio(), await second.get.aio()]
            assert 0 == waits.statistics().start_failures

    run_virtually(main)


@pytest.mark.slow
def test_waiting_for_threads_longer_than_the_startup_timeout_is_no_failed_start(run: Run) -> None:
    app = modal.App("my-app", limits=modal.Limits(max_threads=1))

    @app.function()
    def busy() -> int:
        time.sleep(0.06)
        return 1

    @app.function(startup_timeout=0.01)
    def waits() -> int:
        return 2

    async def main() -> None:
        async with app.run():
            first = busy.spawn()
            second = waits.spawn()
            assert [1, 2] == [await first.get.aio(), await second.get.aio()]
            assert 0 == waits.statistics().start_failures

    run(main)


def test_a_caller_that_gives_up_waiting_for_threads_leaves_the_queue(run_virtually: Run) -> None:
    app = modal.App("my-app", limits=modal.Limits(max_threads=1))
    done = threading.Event()

    @app.function()
    def busy() -> int:
        assert done.wait(PATIENCE_S)
        return 1

    @app.function()
    def waits(x: int) -> int:
        return x

    async def main() -> None:
        async with app.run():
            first = busy.spawn()
            await settle()
            given_up = waits.spawn(1)
            await settle()
            given_up.cancel()
            await settle()
            assert 0 == waits.statistics().containers
            last = waits.spawn(2)
            await settle()
            done.set()
            assert [1, 2] == [await first.get.aio(), await last.get.aio()]

    run_virtually(main)


def test_a_function_whose_containers_could_never_have_their_threads_is_refused() -> None:
    with pytest.raises(InvalidError, match=r"(?s)8.*4|4.*8"):
        app = modal.App("my-app", limits=modal.Limits(max_threads=4))

        @app.function()
        @modal.concurrent(max_inputs=8)
        def f() -> None:
            pass

        with app.run():
            f.remote()


@pytest.mark.parametrize("most", [1, 3])
def test_two_functions_share_the_threads_fairly(run: Run, most: int) -> None:
    app = modal.App("my-app", limits=modal.Limits(max_threads=most))
    order: list[str] = []

    @app.function(single_use_containers=True)
    def f(x: int) -> None:
        order.append("f")

    @app.function(single_use_containers=True)
    def g(x: int) -> None:
        order.append("g")

    async def main() -> None:
        async with app.run():
            calls = [f.spawn(x) for x in range(30)]
            calls += [g.spawn(x) for x in range(30)]
            for call in calls:
                await call.get.aio()
        # Of the first half of all inputs each function has its share.
        first = order[:30]
        assert 60 == len(order)
        assert min(first.count("f"), first.count("g")) >= 8, order

    run(main)


@pytest.mark.slow
@pytest.mark.parametrize("ceiling", [1, 3])
def test_a_function_under_steady_load_leaves_its_share_to_one_that_comes_later(
    run: Run, monkeypatch: pytest.MonkeyPatch, ceiling: int
) -> None:
    from actorpool._backends import _thread_gate

    monkeypatch.setattr(_thread_gate, "_TURN_S", 0.01)
    app = modal.App("my-app", limits=modal.Limits(max_threads=ceiling, map_in_flight=10))
    served = Latch()

    @app.function()
    def steady(x: int) -> int:
        time.sleep(0.0002)
        return x

    @app.function()
    def late(x: int) -> int:
        return x

    def until_served() -> Any:
        number = 0
        while not served.is_open and number < 50_000:
            yield number
            number += 1

    async def main() -> None:
        async with app.run():

            async def load() -> int:
                return len([r async for r in steady.map.aio(until_served())])

            async def come_later() -> None:
                await sleep(0.03)
                try:
                    assert list(range(3)) == [await late.remote.aio(x) for x in range(3)]
                finally:
                    served.hit()

            count, error = await gather(load, come_later)
            assert error is None, error
            # It was served while the load lasted, and the load went on.
            assert 0 < count < 50_000
            await at_rest(steady, late)

    run(main)


def test_warm_containers_do_not_make_way_when_they_are_busy(
    run: Run, monkeypatch: pytest.MonkeyPatch
) -> None:
    from actorpool._backends import _thread_gate

    monkeypatch.setattr(_thread_gate, "_TURN_S", 0.002)
    app = modal.App("my-app", limits=modal.Limits(max_threads=2))
    go, inside = threading.Event(), Latch(2)

    @app.function(min_containers=2)
    def warm() -> int:
        inside.hit()
        assert go.wait(PATIENCE_S)
        return 1

    @app.function()
    def waits() -> int:
        return 2

    async def main() -> None:
        async with app.run():
            calls = [warm.spawn() for _ in range(2)]
            await inside.opened()
            waiting = waits.spawn()
            await sleep(0.02)
            assert (2, 2) == (warm.statistics().running, warm.statistics().ready)
            go.set()
            for call in calls:
                assert 1 == await call.get.aio()
            warm.update_autoscaler(min_containers=0)
            assert 2 == await waiting.get.aio()

    run(main)

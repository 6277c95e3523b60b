# SPDX-License-Identifier: Apache-2.0
"""S24 to S28: how much a function accepts, and what happens beyond."""

from __future__ import annotations

import asyncio
import threading
from collections.abc import AsyncIterator, Callable, Iterator
from contextlib import aclosing, asynccontextmanager
from typing import Any

import pytest

import actorpool as modal
from actorpool._host._base import current_host
from actorpool.exception import InvalidError, ResourceExhaustedError
from tests.api.support import PATIENCE_S, Gauge, Latch, event, gather, now, sleep
from tests.hosts import settle

Run = Callable[..., Any]


def gated(slots: int = 1, **options: Any) -> tuple[modal.App, Any]:
    """Return an app and a function of `slots` slots in all, whose inputs wait for a gate."""
    app = modal.App("my-app")

    @app.function(max_containers=1, **options)
    @modal.concurrent(max_inputs=slots)
    async def f(x: int, gate: Any) -> int:
        await gate.wait()
        return x

    return app, f


class Calls:
    """Calls under way, each in a task of its own, and what became of them."""

    def __init__(self, function: Any, nursery: Any) -> None:
        self.results: dict[int, Any] = {}
        self._function = function
        self._nursery = nursery

    async def start(self, count: int, gate: Any) -> None:
        """Start `count` calls; the first of all comes alone, so that it is not pending when the others come."""
        first = self._function.statistics().arrived
        for x in range(first, first + count):
            self._nursery.start_soon(self._call, x, gate)
            if not x:
                await settle()
        await settle()

    async def _call(self, x: int, gate: Any) -> None:
        self.results[x] = await self._function.remote.aio(x, gate)


@asynccontextmanager
async def calls_of(function: Any) -> AsyncIterator[Calls]:
    async with current_host().open_nursery() as nursery:
        yield Calls(function, nursery)


# -- S24 --------------------------------------------------------------------------------------------------


@pytest.mark.slow
def test_S24_two_thousand_inputs_may_be_pending_and_no_more(run: Run) -> None:
    app, f = gated()

    async def main() -> None:
        async with app.run():
            gate = event()
            async with calls_of(f) as calls:
                await calls.start(2_001, gate)
                assert (1, 2_000) == (f.statistics().running, f.statistics().pending)

                with pytest.raises(ResourceExhaustedError) as caught:
                    await f.remote.aio(-1, gate)
                assert ("max_pending", 2_000) == (caught.value.limit_name, caught.value.limit)
                assert (2_000, 1) == (caught.value.pending, caught.value.running)

                gate.set()
            assert {x: x for x in range(2_001)} == calls.results

    run(main)


@pytest.mark.slow
def test_S24_running_inputs_are_not_pending(run: Run) -> None:
    app, f = gated(slots=3_000)

    async def main() -> None:
        async with app.run():
            gate = event()
            async with calls_of(f) as calls:
                await calls.start(3_000, gate)
                assert (3_000, 0) == (f.statistics().running, f.statistics().pending)
                gate.set()
            assert 3_000 == len(calls.results)

    run(main)


def test_S24_the_limit_is_each_functions_own(run: Run) -> None:
    app = modal.App("my-app", limits=modal.Limits(max_pending=3))

    @app.function(max_containers=1)
    async def crowded(_: int, gate: Any) -> None:
        await gate.wait()

    @app.function(max_containers=1)
    async def quiet() -> str:
        return "done"

    async def main() -> None:
        async with app.run():
            gate = event()
            async with calls_of(crowded) as calls:
                await calls.start(4, gate)
                with pytest.raises(ResourceExhaustedError, match="'crowded'"):
                    await crowded.remote.aio(0, gate)
                assert "done" == await quiet.remote.aio()
                gate.set()

    run(main)


def test_S24_sync_callers_are_refused_as_well() -> None:
    app = modal.App("my-app")
    inside, go = Latch(1), threading.Event()

    @app.function(max_containers=1, limits=modal.Limits(max_pending=3))
    def f() -> None:
        inside.hit()
        go.wait(PATIENCE_S)

    with app.run():
        threads = [threading.Thread(target=f.remote)]
        threads[0].start()
        inside.wait()
        for pending in range(1, 4):
            threads.append(threading.Thread(target=f.remote))
            threads[-1].start()
            while f.statistics().pending < pending:
                assert threads[-1].is_alive()

        with pytest.raises(ResourceExhaustedError, match="max_pending=3; 3 pending, 1 running"):
            f.remote()
        go.set()
        for thread in threads:
            thread.join(PATIENCE_S)


def test_S24_the_defaults_are_those_of_the_guide() -> None:
    limits = modal.Limits()
    assert (2_000, 25_000, 1_000_000, 1_000) == (
        limits.max_pending,
        limits.max_inputs,
        limits.max_spawned,
        limits.map_in_flight,
    )


@pytest.mark.parametrize("name", ["max_pending", "max_inputs", "max_spawned", "map_in_flight"])
def test_S24_a_limit_is_a_positive_whole_number(name: str) -> None:
    for wrong in (0, -1, 1.5, "3"):
        with pytest.raises(InvalidError, match=name):
            modal.Limits(**{name: wrong})  # type: ignore[arg-type]


# -- S25 --------------------------------------------------------------------------------------------------


@pytest.mark.slow
def test_S25_twenty_five_thousand_inputs_in_all_and_no_more() -> None:
    app, f = gated(slots=24_000)

    async def main() -> None:
        async with app.run():
            gate = event()
            async with calls_of(f) as calls:
                await calls.start(25_000, gate)
                assert (24_000, 1_000) == (f.statistics().running, f.statistics().pending)

                with pytest.raises(ResourceExhaustedError) as caught:
                    await f.remote.aio(-1, gate)
                assert ("max_inputs", 25_000) == (caught.value.limit_name, caught.value.limit)
                assert (1_000, 24_000) == (caught.value.pending, caught.value.running)

                gate.set()
            assert {x: x for x in range(25_000)} == calls.results

    asyncio.run(main())


def test_S25_running_and_pending_count_together(run: Run) -> None:
    app, f = gated(slots=3, limits=modal.Limits(max_inputs=5))

    async def main() -> None:
        async with app.run():
            gate = event()
            async with calls_of(f) as calls:
                await calls.start(5, gate)
                assert (3, 2) == (f.statistics().running, f.statistics().pending)
                with pytest.raises(ResourceExhaustedError, match="max_inputs=5; 2 pending, 3 running"):
                    await f.remote.aio(-1, gate)
                gate.set()
            assert 5 == len(calls.results)

    run(main)


def test_S25_free_slots_do_not_help_beyond_it(run: Run) -> None:
    app, f = gated(slots=10, limits=modal.Limits(max_inputs=5))

    async def main() -> None:
        async with app.run():
            gate = event()
            async with calls_of(f) as calls:
                await calls.start(5, gate)
                assert 5 == f.statistics().free_slots
                with pytest.raises(ResourceExhaustedError, match="max_inputs=5"):
                    await f.remote.aio(-1, gate)
                gate.set()

    run(main)


# -- S26 --------------------------------------------------------------------------------------------------


def test_S26_spawn_has_an_allowance_of_its_own(run: Run) -> None:
    app, f = gated(limits=modal.Limits(max_pending=10, max_inputs=12, max_spawned=100))

    async def main() -> None:
        async with app.run():
            gate = event()
            spawned = [f.spawn(x, gate) for x in range(1)]
            await settle()
            spawned += [f.spawn(x, gate) for x in range(1, 101)]
            assert (1, 100) == (f.statistics().running, f.statistics().pending)
            with pytest.raises(ResourceExhaustedError, match="max_spawned=100") as caught:
                f.spawn(-1, gate)
            assert ("max_spawned", 100) == (caught.value.limit_name, caught.value.limit)

            # What is spawned takes nothing away from what is called, and the other way round.
            async with calls_of(f) as calls:
                await calls.start(10, gate)
                with pytest.raises(ResourceExhaustedError, match="max_pending=10"):
                    await f.remote.aio(-1, gate)
                gate.set()
            assert 10 == len(calls.results)
            assert list(range(101)) == [await call.get.aio() for call in spawned]

    run(main)


@pytest.mark.slow
def test_S26_spawn_goes_on_where_remote_is_refused(run: Run) -> None:
    app, f = gated()

    async def main() -> None:
        async with app.run():
            gate = event()
            async with calls_of(f) as calls:
                await calls.start(2_001, gate)
                with pytest.raises(ResourceExhaustedError):
                    await f.remote.aio(-1, gate)
                spawned = [f.spawn(x, gate) for x in range(5_000)]
                assert 7_000 == f.statistics().pending
                gate.set()
            assert list(range(5_000)) == [await call.get.aio() for call in spawned]

    run(main)


def test_S26_spawn_serves_sync_callers() -> None:
    app = modal.App("my-app")
    inside, go = Latch(1), threading.Event()

    @app.function(max_containers=1, limits=modal.Limits(max_spawned=50))
    def f(x: int) -> int:
        inside.hit()
        go.wait(PATIENCE_S)
        return x

    with app.run():
        calls = [f.spawn(0)]
        inside.wait()
        calls += [f.spawn(x) for x in range(1, 51)]
        with pytest.raises(ResourceExhaustedError, match="max_spawned=50"):
            f.spawn(51)
        go.set()
        assert list(range(51)) == [call.get() for call in calls]


@pytest.mark.slow
@pytest.mark.timeout(300)
def test_S26_a_million_spawned_inputs_are_accepted_and_each_comes_back_right() -> None:
    many = 1_000_000
    app, f = gated(slots=100)

    async def main() -> None:
        async with app.run():
            gate = event()
            running = [f.spawn(-1, gate) for _ in range(100)]
            await settle()
            assert (100, 0) == (f.statistics().running, f.statistics().pending)

            calls = [f.spawn(x, gate) for x in range(many)]
            assert many == f.statistics().pending
            with pytest.raises(ResourceExhaustedError) as caught:
                f.spawn(-1, gate)
            assert ("max_spawned", many) == (caught.value.limit_name, caught.value.limit)

            gate.set()
            for call in (*running, calls[-1]):
                await call.get.aio()
            # Inputs start in order; the last hundred may end in another.
            await modal.FunctionCall.gather.aio(*calls[-100:])
            assert all(x == call.get(timeout=0) for x, call in enumerate(calls))

    asyncio.run(main())


# -- S27 --------------------------------------------------------------------------------------------------


def test_S27_the_error_says_which_limit_its_value_and_that_one_may_try_again(run_virtually: Run) -> None:
    app, f = gated(limits=modal.Limits(max_pending=2))

    async def main() -> None:
        async with app.run():
            gate = event()
            async with calls_of(f) as calls:
                await calls.start(3, gate)
                start = now()
                with pytest.raises(ResourceExhaustedError) as caught:
                    await f.remote.aio(-1, gate)
                # At once.
                assert start == now()

                message = str(caught.value)
                assert message.startswith("Resource Exhausted: function 'f' has 2 pending inputs, its limit")
                assert "max_pending=2" in message
                assert "try again in about" in message
                assert 0 < caught.value.retry_after <= 60
                assert isinstance(caught.value, modal.Error)
                gate.set()

    run_virtually(main)


def test_S27_nothing_that_was_accepted_is_lost(run_virtually: Run) -> None:
    app = modal.App("my-app")

    @app.function(max_containers=3, limits=modal.Limits(max_pending=20))
    async def f(x: int) -> int:
        await sleep(1.0)
        return x

    async def main() -> None:
        async with app.run():
            results = await gather(*[lambda x=x: f.remote.aio(x) for x in range(200)])
            refused = [x for x in range(200) if isinstance(results[x], ResourceExhaustedError)]
            accepted = [x for x in range(200) if results[x] == x]

            assert 200 == len(refused) + len(accepted)
            # None ran yet when the last of them came.
            assert 20 == len(accepted)
            assert (20, 180, 20) == (
                f.statistics().arrived,
                f.statistics().refused,
                f.statistics().succeeded,
            )

    run_virtually(main)


def test_S27_the_call_may_be_tried_again_later(run_virtually: Run) -> None:
    app = modal.App("my-app")

    @app.function(max_containers=1, limits=modal.Limits(max_pending=2))
    async def f(x: int) -> int:
        await sleep(10.0)
        return x

    async def main() -> None:
        async with app.run():
            assert 0 == await f.remote.aio(0)
            tries = 0

            async def persistent(x: int) -> int:
                nonlocal tries
                while True:
                    try:
                        return int(await f.remote.aio(x))
                    except ResourceExhaustedError as error:
                        tries += 1
                        await sleep(error.retry_after)

            assert list(range(6)) == await gather(*[lambda x=x: persistent(x) for x in range(6)])
            # The hint is worth following: it takes no hundreds of tries.
            assert 3 <= tries <= 20

    run_virtually(main)


def test_S27_a_refused_call_leaves_no_trace(run: Run) -> None:
    app, f = gated(limits=modal.Limits(max_pending=1, max_spawned=1))

    async def main() -> None:
        async with app.run():
            gate = event()
            async with calls_of(f) as calls:
                await calls.start(2, gate)
                f.spawn(7, gate)
                for _ in range(50):
                    with pytest.raises(ResourceExhaustedError):
                        await f.remote.aio(-1, gate)
                    with pytest.raises(ResourceExhaustedError):
                        f.spawn(-1, gate)
                assert (1, 2, 100) == (
                    f.statistics().running,
                    f.statistics().pending,
                    f.statistics().refused,
                )
                gate.set()
            assert {0: 0, 1: 1} == calls.results

    run(main)


# -- S28 --------------------------------------------------------------------------------------------------


@pytest.mark.slow
def test_S28_a_map_has_at_most_a_thousand_inputs_in_flight(run: Run) -> None:
    app = modal.App("my-app")
    most = 0

    @app.function()
    @modal.concurrent(max_inputs=100)
    async def f(x: int, gate: Any) -> int:
        nonlocal most
        await gate.wait()
        statistics = f.statistics()
        most = max(most, statistics.running + statistics.pending)
        return x

    async def main() -> None:
        async with app.run():
            gate = event()
            results: list[int] = []

            async def consume() -> None:
                async for x in f.map.aio(range(3_500), kwargs={"gate": gate}):
                    results.append(x)

            async with current_host().open_nursery() as nursery:
                nursery.start_soon(consume)
                while f.statistics().running < 1_000:
                    await settle()
                await settle()
                assert (1_000, 0, 1_000) == (
                    f.statistics().running,
                    f.statistics().pending,
                    f.statistics().arrived,
                )
                assert [] == results
                gate.set()

            assert list(range(3_500)) == results
            assert most <= 1_000

    run(main)


def test_S28_sync_callers_have_the_same_window() -> None:
    app = modal.App("my-app")
    drawn, drawn_all, go = 0, Latch(1_000), threading.Event()

    @app.function(max_containers=4)
    def f(x: int) -> int:
        go.wait(PATIENCE_S)
        return x

    def numbers() -> Iterator[int]:
        nonlocal drawn
        for x in range(2_500):
            drawn += 1
            drawn_all.hit()
            yield x

    with app.run():
        results: list[int] = []
        mapper = threading.Thread(target=lambda: results.extend(f.map(numbers())))
        mapper.start()
        drawn_all.wait()
        while f.statistics().arrived < 1_000:
            assert mapper.is_alive()
        assert (1_000, 1_000) == (drawn, f.statistics().arrived)
        go.set()
        mapper.join(PATIENCE_S)
        assert list(range(2_500)) == results


def test_S28_a_map_holds_back_what_the_backlog_has_no_room_for(run_virtually: Run) -> None:
    app = modal.App("my-app")

    @app.function(max_containers=2, limits=modal.Limits(max_pending=10))
    async def f(x: int) -> int:
        assert f.statistics().pending <= 10
        await sleep(1.0)
        return x

    async def main() -> None:
        async with app.run():
            assert list(range(100)) == [x async for x in f.map.aio(range(100))]
            assert 0 == f.statistics().refused

    run_virtually(main)


@pytest.mark.slow
def test_S28_many_maps_share_the_room_without_an_error(run_virtually: Run) -> None:
    app = modal.App("my-app")

    @app.function(max_containers=5)
    @modal.concurrent(max_inputs=10)
    async def f(x: int) -> int:
        await sleep(0.1)
        return x

    async def main() -> None:
        async with app.run():
            peak = Gauge()

            async def one() -> list[int]:
                with peak.entered():
                    return [x async for x in f.map.aio(range(1_200))]

            # Together they could have 5,000 in flight; 2,000 may be pending.
            assert [list(range(1_200))] * 5 == await gather(*[one] * 5)
            assert 5 == peak.peak
            assert 0 == f.statistics().refused

    run_virtually(main)


def test_S28_a_map_waits_where_a_call_is_refused(run: Run) -> None:
    app, f = gated(limits=modal.Limits(max_pending=3))

    async def main() -> None:
        async with app.run():
            gate = event()
            async with calls_of(f) as calls:
                await calls.start(4, gate)
                results: list[int] = []

                async def consume() -> None:
                    results.extend([x async for x in f.map.aio(range(50), kwargs={"gate": gate})])

                async with current_host().open_nursery() as nursery:
                    nursery.start_soon(consume)
                    await settle()
                    assert 4 == f.statistics().arrived
                    with pytest.raises(ResourceExhaustedError):
                        await f.remote.aio(-1, gate)
                    gate.set()
                assert list(range(50)) == results

    run(main)


def test_S28_the_window_of_a_map_is_a_setting(run: Run) -> None:
    app = modal.App("my-app", limits=modal.Limits(map_in_flight=7))

    @app.function()
    async def f(_: int, gate: Any) -> None:
        await gate.wait()

    async def main() -> None:
        async with app.run():
            gate = event()

            async def consume() -> None:
                async with aclosing(f.map.aio(range(20), kwargs={"gate": gate})) as results:
                    async for _ in results:
                        pass

            async with current_host().open_nursery() as nursery:
                nursery.start_soon(consume)
                await settle()
                await settle()
                assert 7 == f.statistics().arrived
                gate.set()

    run(main)

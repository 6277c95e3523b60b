# SPDX-License-Identifier: Apache-2.0
"""S24 to S27: how much a function accepts, and what happens beyond."""

from __future__ import annotations

import asyncio
import threading
from collections.abc import Callable
from typing import Any

import pytest

import actorpool as modal
from actorpool.exception import InvalidError, ResourceExhaustedError
from tests.api.support import PATIENCE_S, Latch, calls_of, event, filled, gated, gather, now, sleep
from tests.hosts import settle

Run = Callable[..., Any]


# -- S24 --------------------------------------------------------------------------------------------------


@pytest.mark.slow
def test_S24_two_thousand_inputs_may_be_pending_and_no_more(run: Run) -> None:
    app, f = gated()

    async def main() -> None:
        async with app.run():
            refused = await filled(f, running=1, pending=2_000)
            assert ("max_pending", 2_000) == (refused.limit_name, refused.limit)

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


@pytest.mark.local_only("25,000 inputs, each of them messages")
@pytest.mark.usefixtures("at_full_speed")
@pytest.mark.slow
def test_S25_twenty_five_thousand_inputs_in_all_and_no_more() -> None:
    app, f = gated(slots=24_000)

    async def main() -> None:
        async with app.run():
            refused = await filled(f, running=24_000, pending=1_000)
            assert ("max_inputs", 25_000) == (refused.limit_name, refused.limit)

    asyncio.run(main())


def test_S25_running_and_pending_count_together(run: Run) -> None:
    app, f = gated(slots=3, limits=modal.Limits(max_inputs=5))

    async def main() -> None:
        async with app.run():
            refused = await filled(f, running=3, pending=2)
            assert "max_inputs=5; 2 pending, 3 running" in str(refused)

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


@pytest.mark.local_only("a million inputs, each of them messages")
@pytest.mark.usefixtures("at_full_speed")
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

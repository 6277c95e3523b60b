# SPDX-License-Identifier: Apache-2.0
"""S28: how many inputs of a map are in flight, and how maps share the room there is."""

from __future__ import annotations

import threading
from collections.abc import Callable, Iterator
from contextlib import aclosing
from typing import Any

import pytest

import actorpool as modal
from actorpool._host._current import current_host
from actorpool.exception import ResourceExhaustedError
from tests.api.support import PATIENCE_S, Gauge, Latch, calls_of, collect, event, gated, gather, sleep
from tests.hosts import settle
from tests.shared import shared

Run = Callable[..., Any]


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
                await collect(f.map.aio(range(3_500), kwargs={"gate": gate}), results)

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
                results: list[int] = shared([])

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

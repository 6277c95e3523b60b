# SPDX-License-Identifier: Apache-2.0
"""S06 and S07: `map` and `starmap`: parallel, in order, from sync and async code."""

from __future__ import annotations

import asyncio
import gc
import logging
import threading
from collections.abc import AsyncIterator, Callable
from typing import Any

import pytest

import actorpool as modal
from actorpool._core._input import Input
from actorpool._core._ordering import Reassembly
from tests.api.maps import (
    add,
    app,
    collected,
    may_fail,
    square,
    square_in_thread,
)
from tests.api.support import PATIENCE_S, now, sleep
from tests.shared import shared

Run = Callable[..., Any]


# -- S06 --------------------------------------------------------------------------------------------------


def test_S06_map_yields_results_in_input_order(run: Run, squares: Any) -> None:
    async def main() -> None:
        async with app.run():
            assert [x * x for x in range(1500)] == await collected(squares.map.aio(range(1500)))

    run(main)


def test_S06_map_yields_results_in_input_order_to_a_sync_caller(squares: Any) -> None:
    with app.run():
        assert [x * x for x in range(1500)] == list(squares.map(range(1500)))


@pytest.mark.parametrize("ordered", [True, False])
def test_S06_a_sync_caller_who_lets_results_gather_gets_them_all(
    squares: Any, monkeypatch: pytest.MonkeyPatch, ordered: bool
) -> None:
    monkeypatch.setattr(Reassembly, "pause", lambda window, now: 0.0001)
    with app.run():
        results = list(squares.map(range(1500), order_outputs=ordered))
    assert [x * x for x in range(1500)] == (results if ordered else sorted(results))


@pytest.mark.local_only("more containers than there are to be processes")
def test_S06_map_keeps_the_order_when_inputs_finish_the_other_way_round(run_virtually: Run) -> None:
    app = modal.App()
    finished: list[int] = shared([])

    @app.function()
    async def f(x: int) -> int:
        await sleep(50.0 - x)
        finished.append(x)
        return x

    async def main() -> None:
        async with app.run():
            assert list(range(50)) == await collected(f.map.aio(range(50)))
            assert list(reversed(range(50))) == finished

    run_virtually(main)


@pytest.mark.local_only("more containers than there are to be processes")
def test_S06_map_runs_inputs_in_parallel_across_containers(run_virtually: Run) -> None:
    app = modal.App()

    @app.function()
    async def f(x: int) -> int:
        await sleep(1.0)
        return x

    async def main() -> None:
        async with app.run():
            start = now()
            assert list(range(100)) == await collected(f.map.aio(range(100)))

            assert 1.0 == round(now() - start, 6)
            assert 100 == f.statistics().containers

    run_virtually(main)


@pytest.mark.local_only("more containers than there are to be processes")
def test_S06_map_runs_sync_inputs_in_parallel_across_containers() -> None:
    app = modal.App()
    together = threading.Barrier(20)

    @app.function()
    def f(_: int) -> int:
        # Goes on only once all twenty are in.
        together.wait(PATIENCE_S)
        return threading.get_ident()

    with app.run():
        assert 20 == len(set(f.map(range(20))))
        assert 20 == f.statistics().containers


def test_S06_results_come_while_later_inputs_still_run(run_virtually: Run) -> None:
    app = modal.App()

    @app.function()
    async def f(x: int) -> int:
        await sleep(float(x))
        return x

    async def main() -> None:
        async with app.run():
            start = now()
            came = [(x, round(now() - start, 6)) async for x in f.map.aio(range(5))]
            assert [(x, float(x)) for x in range(5)] == came

    run_virtually(main)


def test_S06_without_order_results_come_as_they_finish(run_virtually: Run) -> None:
    app = modal.App()

    @app.function()
    async def f(x: int) -> int:
        await sleep(10.0 - x)
        return x

    async def main() -> None:
        async with app.run():
            results = f.map.aio(range(10), order_outputs=False)
            assert list(reversed(range(10))) == await collected(results)

    run_virtually(main)


def test_S06_several_iterators_are_zipped_and_kwargs_go_to_every_input(run: Run) -> None:
    async def main() -> None:
        async with app.run():
            assert [11, 22] == await collected(add.map.aio([1, 2], [10, 20, 30]))
            assert [111, 122] == await collected(add.map.aio([1, 2], [10, 20], kwargs={"c": 100}))

    run(main)


def test_S06_sync_callers_zip_iterators_and_pass_kwargs_too() -> None:
    with app.run():
        assert [111, 122] == list(add.map([1, 2], (10, 20, 30), kwargs={"c": 100}))


def test_S06_none_is_a_result_like_any_other(run: Run) -> None:
    app = modal.App()

    @app.function()
    async def nothing(_: int) -> None: ...

    async def main() -> None:
        async with app.run():
            assert [None] * 10 == await collected(nothing.map.aio(range(10)))

    run(main)


def test_S06_an_empty_map_ends_at_once(run: Run) -> None:
    async def main() -> None:
        async with app.run():
            assert [] == await collected(square.map.aio([]))
            assert [] == await collected(square.map.aio(iter(())))
            assert 0 == square.statistics().starts

    run(main)


def test_S06_one_map_may_feed_the_next() -> None:
    with app.run():
        assert [x**4 for x in range(300)] == list(square.map(square_in_thread.map(range(300))))


def test_S06_a_map_may_run_inside_a_function(run: Run) -> None:
    app = modal.App()

    @app.function()
    async def inner(x: int) -> int:
        return x * 2

    @app.function()
    async def outer(n: int) -> list[int]:
        return [result async for result in inner.map.aio(range(n))]

    @app.function()
    def outer_in_thread(n: int) -> list[int]:
        return list(inner.map(range(n)))

    async def main() -> None:
        async with app.run():
            expected = [[x * 2 for x in range(n)] for n in range(10)]
            assert expected == await collected(outer.map.aio(range(10)))
            assert expected == await collected(outer_in_thread.map.aio(range(10)))

    run(main)


def test_S06_for_each_runs_everything_and_returns_nothing(run: Run) -> None:
    app = modal.App()
    seen: list[int] = shared([])

    @app.function()
    async def note(x: int) -> None:
        seen.append(x)

    async def main() -> None:
        async with app.run():
            results = [await note.for_each.aio(range(100))]  # type: ignore[func-returns-value]
            assert [None] == results
            assert list(range(100)) == sorted(seen)

    run(main)


def test_S06_a_map_nobody_iterates_runs_nothing_and_says_so(
    run: Run, caplog: pytest.LogCaptureFixture
) -> None:
    async def main() -> None:
        async with app.run():
            square.map(range(10))
            square.map.aio(range(10))
            gc.collect()
            assert 0 == square.statistics().arrived

    with caplog.at_level(logging.WARNING, "actorpool"):
        run(main)
    assert ["square.map(...) was never iterated", "square.map.aio(...) was never iterated"] == [
        record.getMessage().split(",")[0] for record in caplog.records
    ]


@pytest.mark.usefixtures("at_full_speed")
@pytest.mark.slow
@pytest.mark.timeout(120)
def test_S06_a_hundred_thousand_inputs_come_back_right_and_in_order(squares: Any) -> None:
    with app.run():
        assert [x * x for x in range(100_000)] == list(squares.map(range(100_000)))


@pytest.mark.usefixtures("at_full_speed")
@pytest.mark.slow
@pytest.mark.timeout(120)
def test_S06_a_hundred_thousand_inputs_from_async_code_come_back_right_and_in_order() -> None:
    async def main() -> None:
        async with app.run():
            assert [x * x for x in range(100_000)] == await collected(square.map.aio(range(100_000)))

    asyncio.run(main())


@pytest.mark.slow
def test_S06_a_map_holds_no_more_than_its_window_however_long_it_is(squares: Any) -> None:
    def records() -> int:
        return sum(type(thing) is Input for thing in gc.get_objects())

    with app.run():
        before, most = records(), 0
        for x in squares.map(range(10_000)):
            if x % 1_000_000 == 0:
                most = max(most, records())
        # A thousand in flight, a thousand that wait for an earlier one, and what is in a container's hands.
        assert most - before <= 2_500


# -- S07 --------------------------------------------------------------------------------------------------


def test_S07_starmap_unpacks_each_input_into_positional_arguments(run: Run) -> None:
    async def main() -> None:
        async with app.run():
            assert [3, 7] == await collected(add.starmap.aio([(1, 2), (3, 4)]))
            assert [13, 17] == await collected(add.starmap.aio(([1, 2], [3, 4]), kwargs={"c": 10}))

    run(main)


def test_S07_starmap_serves_sync_callers() -> None:
    with app.run():
        assert [3, 7] == list(add.starmap([(1, 2), (3, 4)]))
        assert [3, 7] == list(add.starmap(input_iterator=[(1, 2), (3, 4)]))
        assert list(range(0, 2000, 2)) == list(add.starmap((x, x) for x in range(1000)))


def test_S07_starmap_keeps_order_and_exceptions_as_map_does(run: Run) -> None:
    async def main() -> None:
        async with app.run():
            results = await collected(may_fail.starmap.aio([(x,) for x in range(4)], return_exceptions=True))
            assert [0, 1, 3] == [result for result in results if not isinstance(result, Exception)]
            assert "error" == str(results[2])

    run(main)


def test_S07_starmap_takes_an_async_iterator(run: Run) -> None:
    async def pairs() -> AsyncIterator[tuple[int, int]]:
        for x in range(10):
            yield x, 1

    async def main() -> None:
        async with app.run():
            assert list(range(1, 11)) == await collected(add.starmap.aio(pairs()))

    run(main)


def test_S07_starmap_of_what_cannot_be_unpacked_is_the_callers_error() -> None:
    with app.run():
        with pytest.raises(TypeError, match="not iterable"):
            list(add.starmap([1, 2]))

# SPDX-License-Identifier: Apache-2.0
"""S06 to S09: `map`, `starmap`, their exceptions and their inputs."""

from __future__ import annotations

import asyncio
import gc
import itertools
import logging
import threading
from collections.abc import AsyncIterator, Callable, Iterable, Iterator
from contextlib import aclosing
from pathlib import Path
from typing import Any

import pytest

import actorpool as modal
from actorpool._core._input import Input
from actorpool._host._base import current_host
from tests.api.support import PATIENCE_S, Gauge, Latch, now, sleep
from tests.hosts import settle

Run = Callable[..., Any]

app = modal.App("my-app")


@app.function()
async def square(x: int) -> int:
    return x * x


@app.function()
def square_in_thread(x: int) -> int:
    return x * x


@app.function()
async def add(a: int, b: int, *, c: int = 0) -> int:
    return a + b + c


class Unlucky(Exception):
    pass


@app.function()
async def may_fail(x: int) -> int:
    if x == 2:
        raise Exception("error")
    return x


@app.function()
def may_fail_in_thread(x: int) -> int:
    if x == 2:
        raise Unlucky("error", x)
    return x


@pytest.fixture(params=["async function", "sync function"])
def squares(request: pytest.FixtureRequest) -> Any:
    """A squaring function of each kind."""
    return square if request.param == "async function" else square_in_thread


async def collected(results: Any) -> list[Any]:
    return [result async for result in results]


# -- S06 --------------------------------------------------------------------------------------------------


def test_S06_map_yields_results_in_input_order(run: Run, squares: Any) -> None:
    async def main() -> None:
        async with app.run():
            assert [x * x for x in range(1500)] == await collected(squares.map.aio(range(1500)))

    run(main)


def test_S06_map_yields_results_in_input_order_to_a_sync_caller(squares: Any) -> None:
    with app.run():
        assert [x * x for x in range(1500)] == list(squares.map(range(1500)))


def test_S06_map_keeps_the_order_when_inputs_finish_the_other_way_round(run_virtually: Run) -> None:
    app = modal.App()
    finished: list[int] = []

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
    seen: list[int] = []

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


@pytest.mark.slow
@pytest.mark.timeout(120)
def test_S06_a_hundred_thousand_inputs_come_back_right_and_in_order(squares: Any) -> None:
    with app.run():
        assert [x * x for x in range(100_000)] == list(squares.map(range(100_000)))


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


# -- S08 --------------------------------------------------------------------------------------------------


def test_S08_an_exception_is_raised_at_its_place(run: Run) -> None:
    async def main() -> None:
        async with app.run():
            results = may_fail.map.aio(range(5))
            assert [0, 1] == [await anext(results), await anext(results)]
            with pytest.raises(Exception, match="error") as caught:
                await anext(results)
            assert (Exception, ("error",)) == (type(caught.value), caught.value.args)

    run(main)


def test_S08_an_exception_is_raised_at_its_place_to_a_sync_caller() -> None:
    with app.run():
        results = may_fail_in_thread.map(range(5))
        assert [0, 1] == [next(results), next(results)]
        with pytest.raises(Unlucky) as caught:
            next(results)
        assert ("error", 2) == caught.value.args


def test_S08_exceptions_are_yielded_in_their_place_when_asked_for(run: Run) -> None:
    async def main() -> None:
        async with app.run():
            results = await collected(
                may_fail.map.aio(range(3), return_exceptions=True, wrap_returned_exceptions=False)
            )
            assert [0, 1, Exception("error")][:2] == results[:2]
            assert (Exception, ("error",)) == (type(results[2]), results[2].args)
            assert 3 == len(results)

    run(main)


def test_S08_exceptions_are_yielded_to_a_sync_caller() -> None:
    with app.run():
        results = list(may_fail.map(range(3), return_exceptions=True, wrap_returned_exceptions=False))
        assert ["0", "1", "Exception('error')"] == [repr(result) for result in results]


@pytest.mark.parametrize("wrap", [None, True, False])
def test_S08_the_exception_is_the_users_own_whatever_wrap_returned_exceptions_says(wrap: bool | None) -> None:
    with app.run():
        results: list[object] = list(
            may_fail_in_thread.map(range(4), return_exceptions=True, wrap_returned_exceptions=wrap)
        )
        assert [0, 1, 3] == [result for result in results if isinstance(result, int)]
        assert isinstance(results[2], Unlucky)
        assert ("error", 2) == results[2].args


def test_S08_every_failed_input_takes_its_own_place(run: Run) -> None:
    app = modal.App()

    @app.function()
    async def odd_only(x: int) -> int:
        if x % 2 == 0:
            raise ValueError(x)
        return x

    async def main() -> None:
        async with app.run():
            results = await collected(odd_only.map.aio(range(300), return_exceptions=True))
            assert list(range(300)) == [r if isinstance(r, int) else r.args[0] for r in results]

    run(main)


def test_S08_after_the_first_exception_the_rest_is_abandoned(run_virtually: Run) -> None:
    app = modal.App()
    ended: list[int] = []

    @app.function(max_containers=10)
    async def f(x: int) -> None:
        await sleep(1.0)
        if x == 3:
            raise Unlucky
        await sleep(100.0)
        ended.append(x)

    async def main() -> None:
        async with app.run():
            with pytest.raises(Unlucky):
                await collected(f.map.aio(range(500), order_outputs=False))
            await settle()

            assert (0, 0) == (f.statistics().running, f.statistics().pending)
            await sleep(1000.0)
            assert [] == ended

    run_virtually(main)


def test_S08_the_traceback_shows_the_users_line(run: Run) -> None:
    async def main() -> None:
        async with app.run():
            with pytest.raises(Exception, match="error") as caught:
                await collected(may_fail.map.aio([2]))
            assert "may_fail" in [entry.name for entry in caught.traceback]

    run(main)


def test_S08_what_is_no_exception_is_raised_even_when_exceptions_are_returned() -> None:
    app = modal.App()

    @app.function()
    def leave(x: int) -> int:
        if x == 1:
            raise SystemExit(7)
        return x

    with app.run():
        results = leave.map(range(3), return_exceptions=True)
        assert 0 == next(results)
        with pytest.raises(SystemExit, match="7"):
            next(results)
        assert 5 == leave.remote(5)


def test_S08_for_each_raises_the_first_failure_or_passes_over_it(run: Run) -> None:
    async def main() -> None:
        async with app.run():
            with pytest.raises(Exception, match="error"):
                await may_fail.for_each.aio(range(5))
            await may_fail.for_each.aio(range(5), ignore_exceptions=True)
            assert 1 <= may_fail.statistics().failed <= 2

    run(main)


# -- S09 --------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    "inputs",
    [
        [0, 1, 2],
        (0, 1, 2),
        range(3),
        {0: "a", 1: "b", 2: "c"},
        {0, 1, 2},
        iter([0, 1, 2]),
        (x for x in range(3)),
        map(int, "012"),
        bytes([0, 1, 2]),
    ],
    ids=lambda inputs: type(inputs).__name__,
)
def test_S09_inputs_may_be_any_iterable(inputs: Iterable[int]) -> None:
    with app.run():
        assert [0, 1, 4] == list(square.map(inputs))


def test_S09_lines_of_a_file_are_inputs(run: Run, tmp_path: Path) -> None:
    app = modal.App()
    (tmp_path / "words.txt").write_text("one\ntwo\nthree\n", "utf-8")

    @app.function()
    async def length(line: str) -> int:
        return len(line.strip())

    async def main() -> None:
        async with app.run():
            with (tmp_path / "words.txt").open(encoding="utf-8") as lines:
                assert [3, 3, 5] == await collected(length.map.aio(lines))

    run(main)


def test_S09_inputs_may_be_an_async_iterator(run: Run) -> None:
    async def numbers() -> AsyncIterator[int]:
        for x in range(2500):
            yield x

    async def main() -> None:
        async with app.run():
            assert [x * x for x in range(2500)] == await collected(square.map.aio(numbers()))
            assert list(range(10, 13)) == await collected(add.map.aio(numbers(), [10, 10, 10]))

    run(main)


def test_S09_an_async_iterator_that_waits_does_not_hold_results_back(run_virtually: Run) -> None:
    async def numbers() -> AsyncIterator[int]:
        for x in range(3):
            yield x
            await sleep(10.0)

    async def main() -> None:
        async with app.run():
            start = now()
            came = [(y, round(now() - start, 6)) async for y in square.map.aio(numbers())]
            assert [(0, 0.0), (1, 10.0), (4, 20.0)] == came

    run_virtually(main)


def test_S09_a_sync_map_over_an_async_iterator_names_the_async_form() -> None:
    async def numbers() -> AsyncIterator[int]:
        yield 1

    with app.run():
        with pytest.raises(modal.exception.InvalidError, match=r"square\.map\.aio"):
            square.map(numbers())


def test_S09_an_infinite_generator_is_read_only_as_far_as_needed(run: Run) -> None:
    drawn = 0

    def numbers() -> Iterator[int]:
        nonlocal drawn
        for drawn in itertools.count(1):
            yield drawn - 1

    async def main() -> None:
        async with app.run():
            async with aclosing(square.map.aio(numbers())) as results:
                taken = [await anext(results) for _ in range(20)]
            assert [x * x for x in range(20)] == taken
            # At most a thousand in flight and a thousand that have finished.
            assert drawn <= 2_020

    run(main)


def test_S09_a_slow_consumer_slows_the_reading(run_virtually: Run) -> None:
    drawn = 0

    def numbers() -> Iterator[int]:
        nonlocal drawn
        for drawn in itertools.count(1):
            yield drawn - 1

    async def main() -> None:
        async with app.run():
            async with aclosing(square.map.aio(numbers())) as results:
                assert 0 == await anext(results)
                await sleep(3600.0)
                before = drawn
                await sleep(3600.0)
                assert before == drawn <= 2_001

    run_virtually(main)


def test_S09_a_map_does_nothing_before_it_is_iterated() -> None:
    drawn: list[int] = []

    def numbers() -> Iterator[int]:
        for x in range(3):
            drawn.append(x)
            yield x

    with app.run():
        results = square.map(numbers())
        assert [] == drawn
        assert 0 == next(results)
        assert [1, 4] == list(results)


@pytest.mark.slow
def test_S09_an_infinite_generator_leaves_nothing_running(run: Run, squares: Any) -> None:
    async def main() -> None:
        async with app.run():
            async with aclosing(squares.map.aio(itertools.count())) as results:
                taken = [await anext(results) for _ in range(2_000)]
            assert [x * x for x in range(2_000)] == taken
            await settle()
            assert 0 == squares.statistics().pending

    # The fixtures see to it that no task, thread or file descriptor is left.
    run(main)


@pytest.mark.slow
def test_S09_ten_thousand_results_of_an_infinite_generator_leave_no_task_or_thread(squares: Any) -> None:
    before = set(threading.enumerate())
    with app.run():
        results = squares.map(itertools.count())
        assert [x * x for x in range(10_000)] == list(itertools.islice(results, 10_000))
        results.close()
        assert 0 == squares.statistics().pending
    assert set() == set(threading.enumerate()) - before


def test_S09_leaving_the_loop_early_cancels_what_is_in_flight(run_virtually: Run) -> None:
    app = modal.App()
    inside = Gauge()

    @app.function(max_containers=5)
    async def f(x: int) -> int:
        with inside.entered():
            await sleep(0.0 if x == 0 else 1000.0)
        return x

    async def main() -> None:
        async with app.run():
            start = now()
            async with aclosing(f.map.aio(itertools.count())) as results:
                async for result in results:
                    assert 0 == result
                    break
            await settle()

            assert (0, 0) == (inside.inside, f.statistics().pending)
            assert now() - start < 1.0

    run_virtually(main)


def test_S09_an_input_iterator_that_raises_raises_in_the_caller(run: Run, squares: Any) -> None:
    def numbers() -> Iterator[int]:
        yield from range(5)
        raise Unlucky("no more")

    async def main() -> None:
        async with app.run():
            with pytest.raises(Unlucky, match="no more"):
                await collected(squares.map.aio(numbers()))

    run(main)


def test_S09_an_async_input_iterator_that_raises_raises_in_the_caller(run: Run) -> None:
    async def numbers() -> AsyncIterator[int]:
        yield 1
        raise Unlucky("no more")

    async def main() -> None:
        async with app.run():
            with pytest.raises(Unlucky, match="no more"):
                await collected(square.map.aio(numbers()))

    run(main)


def test_S09_the_input_iterator_runs_in_the_callers_thread() -> None:
    threads = set()

    def numbers() -> Iterator[int]:
        for x in range(2_000):
            threads.add(threading.get_ident())
            yield x

    with app.run():
        assert 2_000 == len(list(square.map(numbers())))
    assert {threading.get_ident()} == threads


def test_S09_a_blocked_input_iterator_does_not_stall_other_callers() -> None:
    blocked, go = Latch(), threading.Event()

    def numbers() -> Iterator[int]:
        yield 1
        blocked.hit()
        go.wait(PATIENCE_S)
        yield 2

    with app.run():
        results: list[int] = []
        mapper = threading.Thread(target=lambda: results.extend(square.map(numbers())))
        mapper.start()
        blocked.wait()

        assert 9 == square.remote(3)

        go.set()
        mapper.join(PATIENCE_S)
        assert [1, 4] == results


def test_S09_a_map_without_an_iterator_is_an_error_not_an_endless_loop() -> None:
    with app.run():
        with pytest.raises(modal.exception.InvalidError, match="no iterator"):
            square.map()
        with pytest.raises(modal.exception.InvalidError, match="5 cannot be iterated over"):
            square.map(5)  # type: ignore[arg-type]


def test_S09_a_map_from_another_thread_of_an_async_app(run: Run) -> None:
    async def main() -> None:
        async with app.run():
            done = current_host().bridge.waiter()
            results: list[int] = []

            def work() -> None:
                results.extend(square.map(range(1_500)))
                done.notify()

            thread = threading.Thread(target=work)
            thread.start()
            await done.wait()
            thread.join(PATIENCE_S)
            assert [x * x for x in range(1_500)] == results

    run(main)

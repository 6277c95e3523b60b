# SPDX-License-Identifier: Apache-2.0
"""S09: the inputs of a map are any iterable, read only as far as needed."""

from __future__ import annotations

import itertools
import threading
from collections.abc import AsyncIterator, Callable, Iterable, Iterator
from contextlib import aclosing
from pathlib import Path
from typing import Any

import pytest

import actorpool as modal
from actorpool._host._current import current_host
from tests.api.maps import (
    Unlucky,
    add,
    app,
    collected,
    square,
)
from tests.api.support import PATIENCE_S, Gauge, Latch, now, sleep
from tests.hosts import settle
from tests.shared import shared

pytestmark = pytest.mark.conformance

Run = Callable[..., Any]


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
    drawn: list[int] = shared([])

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
            results: list[int] = shared([])

            def work() -> None:
                results.extend(square.map(range(1_500)))
                done.notify()

            thread = threading.Thread(target=work)
            thread.start()
            await done.wait()
            thread.join(PATIENCE_S)
            assert [x * x for x in range(1_500)] == results

    run(main)

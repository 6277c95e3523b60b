# SPDX-License-Identifier: Apache-2.0
"""Generator functions: items are streamed to the caller, who slows the generator down by being slow."""

from __future__ import annotations

import asyncio
import threading
from collections.abc import AsyncIterator, Callable, Iterator
from contextlib import aclosing, closing
from typing import Any, ClassVar

import pytest

import actorpool as modal
from actorpool.exception import ExecutionError, InvalidError
from tests.api.support import PATIENCE_S, now, sleep

Run = Callable[..., Any]

app = modal.App("streams")

BUFFER = 1_024


@app.function()
def count_in_thread(n: int, *, step: int = 1) -> Iterator[int]:
    for x in range(n):
        yield x * step


@app.function()
async def count(n: int, *, step: int = 1) -> AsyncIterator[int]:
    for x in range(n):
        yield x * step


@app.function()
async def double(x: int) -> int:
    return 2 * x


KINDS = ["async generator", "sync generator"]


@pytest.fixture(params=KINDS)
def counts(request: pytest.FixtureRequest) -> Any:
    """A counting generator function of each kind."""
    return count if request.param == "async generator" else count_in_thread


# -- what the caller gets ---------------------------------------------------------------------------------


def test_M2_1_items_come_in_order_to_an_async_caller(run: Run, counts: Any) -> None:
    async def main() -> None:
        async with app.run():
            assert list(range(3_000)) == [x async for x in counts.remote_gen.aio(3_000)]
            assert [0, 5, 10] == [x async for x in counts.remote_gen.aio(3, step=5)]
            assert [] == [x async for x in counts.remote_gen.aio(0)]

    run(main)


def test_M2_1_items_come_in_order_to_a_sync_caller(counts: Any) -> None:
    with app.run():
        assert list(range(3_000)) == list(counts.remote_gen(3_000))
        assert [0, 5, 10] == list(counts.remote_gen(3, step=5))
        assert [] == list(counts.remote_gen(0))


def test_M2_1_the_iterator_answers_to_next(counts: Any) -> None:
    with app.run():
        items = counts.remote_gen(2)
        assert (0, 1) == (next(items), next(items))
        with pytest.raises(StopIteration):
            next(items)


def test_M2_1_items_come_while_the_generator_goes_on(run_virtually: Run) -> None:
    app = modal.App()

    @app.function()
    async def ticks() -> AsyncIterator[float]:
        for _ in range(3):
            yield now()
            await sleep(10.0)

    async def main() -> None:
        async with app.run():
            start = now()
            came = [(made - start, now() - start) async for made in ticks.remote_gen.aio()]
            assert [(0.0, 0.0), (10.0, 10.0), (20.0, 20.0)] == came
            assert 30.0 == now() - start

    run_virtually(main)


def test_nothing_happens_before_the_first_item_is_asked_for(run: Run, counts: Any) -> None:
    async def main() -> None:
        async with app.run():
            items = counts.remote_gen.aio(3)
            counts.remote_gen(3)
            assert 0 == counts.statistics().arrived
            assert 0 == await anext(items)
            assert 1 == counts.statistics().arrived
            await items.aclose()

    run(main)


def test_a_generator_counts_as_one_input_and_holds_one_slot(run_virtually: Run) -> None:
    app = modal.App()

    @app.function(max_containers=1)
    async def slow(n: int) -> AsyncIterator[int]:
        for x in range(n):
            await sleep(1.0)
            yield x

    async def main() -> None:
        async with app.run():
            async with aclosing(slow.remote_gen.aio(3)) as items:
                assert 0 == await anext(items)
                assert (1, 1, 1) == (
                    slow.statistics().running,
                    slow.statistics().containers,
                    slow.statistics().arrived,
                )
                assert [1, 2] == [x async for x in items]
            assert (0, 1) == (slow.statistics().running, slow.statistics().succeeded)

    run_virtually(main)


def test_generators_of_a_method_stream_too(run: Run) -> None:
    app = modal.App()

    @app.cls()
    class Counter:
        start: int = modal.parameter(default=0)

        @modal.method()
        def up(self, n: int) -> Iterator[int]:
            yield from range(self.start, self.start + n)

        @modal.method()
        async def down(self, n: int) -> AsyncIterator[int]:
            for x in range(n):
                yield self.start - x

    async def main() -> None:
        async with app.run():
            counter = Counter(start=10)  # type: ignore[call-arg]
            assert [10, 11] == [x async for x in counter.up.remote_gen.aio(2)]
            assert [10, 9] == [x async for x in counter.down.remote_gen.aio(2)]

    run(main)


def test_generators_may_feed_each_other_inside_functions(run: Run) -> None:
    app = modal.App()

    @app.function()
    def numbers(n: int) -> Iterator[int]:
        yield from range(n)

    @app.function()
    async def squares(n: int) -> AsyncIterator[int]:
        async for x in numbers.remote_gen.aio(n):
            yield x * x

    @app.function()
    def total(n: int) -> int:
        return sum(squares.remote_gen(n))

    async def main() -> None:
        async with app.run():
            assert 285 == await total.remote.aio(10)

    run(main)


def test_local_gives_the_plain_generator() -> None:
    assert [0, 1] == list(count_in_thread.local(2))

    async def main() -> None:
        assert [0, 1] == [x async for x in count.local(2)]

    asyncio.run(main())


# -- back-pressure ----------------------------------------------------------------------------------------


@pytest.mark.local_only("a generator in a process holds the virtual clock while it waits for its consumer")
def test_M2_3_a_generator_is_never_more_than_its_buffer_ahead_of_a_slow_consumer(run_virtually: Run) -> None:
    app = modal.App()
    made = 0

    @app.function()
    async def endless() -> AsyncIterator[int]:
        nonlocal made
        while True:
            made += 1
            yield made

    async def main() -> None:
        async with app.run():
            async with aclosing(endless.remote_gen.aio()) as items:
                most = 0
                for taken in range(1, 3_001):
                    assert taken == await anext(items)
                    most = max(most, made - taken)
                    if taken % 500 == 1:
                        await sleep(1.0)
                        assert made <= taken + BUFFER
                # It does run ahead, up to the bound.
                assert BUFFER - 1 <= most <= BUFFER

    run_virtually(main)


def test_M2_3_a_generator_in_a_thread_waits_for_a_slow_consumer_too() -> None:
    app = modal.App()
    made = 0
    full = threading.Event()

    @app.function(timeout=PATIENCE_S)
    def endless() -> Iterator[int]:
        nonlocal made
        while True:
            made += 1
            if made == BUFFER:
                full.set()
            yield made

    with app.run():
        with closing(endless.remote_gen()) as items:
            most = 0
            for taken in range(1, 5_001):
                assert taken == next(items)
                if taken == 1:
                    assert full.wait(PATIENCE_S)
                # What is made and not taken: the buffer, and the item that waits for room in it.
                most = max(most, made - taken)
            assert most <= BUFFER


@pytest.mark.local_only("a million messages between processes take minutes")
@pytest.mark.usefixtures("at_full_speed")
@pytest.mark.slow
@pytest.mark.timeout(120)
def test_a_million_items_take_no_more_memory_than_the_buffer() -> None:
    app = modal.App()

    class Item:
        alive: ClassVar[int] = 0
        peak: ClassVar[int] = 0

        def __init__(self) -> None:
            Item.alive += 1
            Item.peak = max(Item.peak, Item.alive)

        def __del__(self) -> None:
            Item.alive -= 1

    @app.function()
    async def million() -> AsyncIterator[Item]:
        for _ in range(1_000_000):
            yield Item()

    async def main() -> None:
        async with app.run():
            taken = 0
            async for _ in million.remote_gen.aio():
                taken += 1
            assert 1_000_000 == taken

    asyncio.run(main())
    assert Item.peak <= BUFFER + 3


# -- wrong use --------------------------------------------------------------------------------------------


@pytest.mark.parametrize("verb", ["remote", "map", "starmap", "for_each", "spawn", "spawn_map"])
def test_M2_2_verbs_that_want_one_result_refuse_a_generator_function(counts: Any, verb: str) -> None:
    with app.run():
        with pytest.raises(InvalidError, match="remote_gen"):
            getattr(counts, verb)([1])


def test_M2_2_remote_gen_refuses_a_function_that_is_no_generator(run: Run) -> None:
    async def main() -> None:
        async with app.run():
            with pytest.raises(InvalidError, match=r"'double' is not a generator function.*use remote"):
                double.remote_gen.aio(1)

    run(main)
    with app.run():
        with pytest.raises(InvalidError, match="not a generator function"):
            double.remote_gen(1)


def test_the_blocking_form_is_refused_on_the_loop_that_serves_it(run: Run, counts: Any) -> None:
    async def main() -> None:
        async with app.run():
            with pytest.raises(InvalidError, match=r"async for \.\.\. in count.*remote_gen\.aio"):
                next(counts.remote_gen(1))

    run(main)


def test_the_async_form_needs_a_loop(counts: Any) -> None:
    with app.run():
        items = counts.remote_gen.aio(1)
        with pytest.raises(InvalidError, match="needs a running asyncio loop or trio run"):
            items.asend(None).send(None)


def test_a_generator_function_needs_its_app_to_run(counts: Any) -> None:
    with pytest.raises(ExecutionError):
        counts.remote_gen(1)


@pytest.mark.parametrize("kind", KINDS)
def test_M1_13_retries_are_refused_for_a_generator_function(kind: str) -> None:
    app = modal.App()
    raw = (count if kind == KINDS[0] else count_in_thread).get_raw_f()
    with pytest.raises(InvalidError, match="retries do not go with a generator function"):
        app.function(retries=1)(raw)

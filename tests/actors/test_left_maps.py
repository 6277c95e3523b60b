# SPDX-License-Identifier: Apache-2.0
"""Maps that are left early, in every way there is."""

from __future__ import annotations

import asyncio
import gc
import itertools
import logging
import threading
from collections.abc import Callable, Iterator
from contextlib import aclosing, closing
from typing import Any

import pytest

import actorpool as modal
from tests.actors.harness import at_rest, checkpoints, in_thread
from tests.api.support import PATIENCE_S, Latch, event, sleep
from tests.hosts import settle

Run = Callable[..., Any]


class _Left(Exception):
    pass


@pytest.fixture
def app() -> modal.App:
    return modal.App("my-app", limits=modal.Limits(map_in_flight=20))


async def _leave_by_break(results: Any) -> None:
    async for _ in results:
        break


async def _leave_by_exception(results: Any) -> None:
    with pytest.raises(_Left):
        async for _ in results:
            raise _Left


async def _leave_by_aclose(results: Any) -> None:
    async with aclosing(results):
        async for _ in results:
            break


async def _leave_by_dropping(results: Any) -> None:
    assert 0 == await anext(aiter(results))


async def _leave_in_a_cycle(results: Any) -> None:
    iterator = aiter(results)
    assert 0 == await anext(iterator)
    cycle: list[Any] = [iterator]
    cycle.append(cycle)


# The collector may come to the generator before its owner: trio then closes it, and says so.
_IN_A_CYCLE = pytest.param(
    _leave_in_a_cycle, marks=pytest.mark.filterwarnings("ignore:Async generator:ResourceWarning")
)
WAYS = [_leave_by_break, _leave_by_exception, _leave_by_aclose, _leave_by_dropping, _IN_A_CYCLE]


async def _numbers() -> Any:
    for number in itertools.count():
        yield number


async def _numbers_with_pauses() -> Any:
    for number in itertools.count():
        yield number
        await checkpoints(1)


SOURCES: list[Callable[[], Any]] = [itertools.count, _numbers, _numbers_with_pauses]


@pytest.mark.parametrize("source", SOURCES, ids=["iterator", "async-iterator", "async-iterator-that-waits"])
@pytest.mark.parametrize("leave", WAYS)
def test_leaving_an_async_map_early_cancels_what_is_in_flight(
    app: modal.App, run_virtually: Run, leave: Callable[[Any], Any], source: Callable[[], Any]
) -> None:
    @app.function(max_containers=3)
    async def f(x: int) -> int:
        # The first one returns; the others would go on for ever.
        await (sleep(1e9) if x else checkpoints(1))
        return x

    async def main() -> None:
        async with app.run():
            await leave(f.map.aio(source()))
            gc.collect()
            await at_rest(f)
            assert 1 == f.statistics().succeeded
            assert 0 < f.statistics().cancelled <= 20
            assert 0 == await f.remote.aio(0)

    run_virtually(main)


@pytest.mark.parametrize("leave", WAYS)
def test_leaving_an_async_map_of_threads_early_drops_their_results(
    app: modal.App, run_virtually: Run, leave: Callable[[Any], Any]
) -> None:
    gate = threading.Event()

    @app.function(max_containers=3)
    def f(x: int) -> int:
        assert not x or gate.wait(PATIENCE_S)
        return x

    async def main() -> None:
        async with app.run():
            await leave(f.map.aio(itertools.count()))
            gc.collect()
            await settle()
            assert 0 == f.statistics().pending
            assert f.statistics().running == f.statistics().abandoned
            gate.set()
            assert 7 == await f.remote.aio(7)
        assert "not running" in repr(app)

    run_virtually(main)


def test_after_a_map_was_left_its_async_source_can_be_closed_at_once(app: modal.App, run: Run) -> None:
    closed = []

    async def numbers() -> Any:
        try:
            for number in itertools.count():
                yield number
                await checkpoints(3)
        finally:
            closed.append(True)

    @app.function()
    async def f(x: int) -> int:
        return x

    async def main() -> None:
        async with app.run():
            async with aclosing(numbers()) as source, aclosing(f.map.aio(source)) as results:
                async for result in results:
                    if result == 10:
                        break
            assert [True] == closed
            await at_rest(f)

    run(main)


def test_an_infinite_map_of_which_a_part_is_taken_leaves_nothing(app: modal.App, run: Run) -> None:
    @app.function()
    async def f(x: int) -> int:
        return 2 * x

    async def main() -> None:
        async with app.run():
            taken = []
            async for result in f.map.aio(itertools.count()):
                taken.append(result)
                if len(taken) == 500:
                    break
            assert [2 * x for x in range(500)] == taken
            await at_rest(f)

    run(main)


# -- in sync code -------------------------------------------------------------------------------------------


def _break(results: Any) -> None:
    for _ in results:
        break


def _raise(results: Any) -> None:
    with pytest.raises(_Left):
        for _ in results:
            raise _Left


def _close(results: Any) -> None:
    with closing(results):
        for _ in results:
            break


def _drop(results: Any) -> None:
    assert 0 == next(results)


def _drop_in_a_cycle(results: Any) -> None:
    assert 0 == next(results)
    cycle: list[Any] = [results]
    cycle.append(cycle)
    del cycle, results
    gc.collect()


@pytest.mark.parametrize("leave", [_break, _raise, _close, _drop, _drop_in_a_cycle])
def test_leaving_a_sync_map_early_cancels_what_is_in_flight(
    app: modal.App, leave: Callable[[Any], Any]
) -> None:
    ended = Latch(3)
    others = asyncio.Event()

    @app.function(max_containers=3)
    async def f(x: int) -> int:
        if x == 2:
            others.set()
        try:
            # The map is not left before three inputs run.
            await (asyncio.sleep(1e5) if x else others.wait())
        finally:
            ended.hit()
        return x

    with app.run():
        leave(f.map(itertools.count()))
        ended.wait()
        assert 0 == f.remote(0)
        statistics = f.statistics()
        assert (0, 0) == (statistics.pending, statistics.failed)
        assert 2 == statistics.succeeded
        assert 0 < statistics.cancelled <= 20


def test_a_map_may_be_collected_while_its_thread_holds_the_pool(app: modal.App) -> None:
    """The garbage collector runs wherever it likes, so also between a pool's lock and its release."""

    @app.function(max_containers=1)
    async def f(x: int) -> int:
        await (asyncio.sleep(1e5) if x else asyncio.sleep(0))
        return x

    with app.run():
        assert 0 == f.remote(0)
        cycle: list[Any] = [f.map(itertools.count())]
        assert 0 == next(cycle[0])
        cycle.append(cycle)
        held = [cycle]
        del cycle

        def collect_under_the_lock() -> None:
            dispatcher = f.source.bind().supervisor.dispatcher
            with dispatcher._lock:
                held.clear()
                gc.collect()

        in_thread(collect_under_the_lock)()
        assert 0 == f.remote(0)
        assert 0 == f.statistics().pending


def test_a_map_that_is_never_iterated_does_nothing_and_says_so(
    app: modal.App, caplog: pytest.LogCaptureFixture
) -> None:
    @app.function()
    def f(x: int) -> int:
        return x

    def never() -> Iterator[int]:
        raise AssertionError("the input was read")
        yield 0

    with app.run(), caplog.at_level(logging.WARNING, "actorpool"):
        f.map(never())
        f.starmap(never())
        f.map.aio(never())
        assert 0 == f.statistics().arrived
    assert ["f.map", "f.starmap", "f.map.aio"] == [message.split("(")[0] for message in caplog.messages]
    assert all("never iterated" in message for message in caplog.messages)


def test_maps_that_wait_for_room_and_are_left_do_not_keep_others_waiting(run_virtually: Run) -> None:
    app = modal.App("my-app", limits=modal.Limits(max_pending=2, map_in_flight=50))

    @app.function(max_containers=1)
    async def f(x: int) -> int:
        await sleep(1)
        return x

    async def main() -> None:
        async with app.run():
            dispatcher = f.source.bind().supervisor.dispatcher
            maps = [f.map.aio(range(20)) for _ in range(5)]
            iterators: list[Any] = [aiter(results) for results in maps]
            for iterator in iterators:
                assert 0 == await anext(iterator)
            for iterator in iterators[:4]:
                await iterator.aclose()
            rest = [result async for result in iterators[4]]
            assert list(range(1, 20)) == rest
            assert dispatcher.read(lambda pool: len(pool._room_waiters)) == 0
            await at_rest(f)

    run_virtually(main)


def test_a_map_that_waits_for_room_waits_once_however_often_it_is_woken(run_virtually: Run) -> None:
    app = modal.App("my-app", limits=modal.Limits(max_pending=1, map_in_flight=50))

    @app.function(max_containers=1)
    async def slow(gate: Any) -> None:
        await gate.wait()

    async def main() -> None:
        async with app.run():
            gate = event()
            gate.set()
            dispatcher = slow.source.bind().supervisor.dispatcher
            most = 0
            async for _ in slow.map.aio([gate] * 30):
                most = max(most, dispatcher.read(lambda pool: len(pool._room_waiters)))
            assert most <= 1

    run_virtually(main)

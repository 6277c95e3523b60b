# SPDX-License-Identifier: Apache-2.0
"""How a generator's stream ends: with its exception, with its consumer, or with its timeout."""

from __future__ import annotations

import threading
import time
from collections.abc import AsyncIterator, Callable, Iterator
from contextlib import aclosing, closing
from typing import Any

import pytest

import actorpool as modal
from actorpool._host._current import current_host
from actorpool.exception import FunctionTimeoutError, ResourceExhaustedError
from tests.api.support import PATIENCE_S, Latch, now, sleep
from tests.hosts import settle
from tests.shared import shared

Run = Callable[..., Any]

app = modal.App("streams")

BUFFER = 1_024
KINDS = ["async generator", "sync generator"]


class Unlucky(Exception):
    pass


@app.function()
def count_in_thread(n: int) -> Iterator[int]:
    yield from range(n)


@app.function()
async def count(n: int) -> AsyncIterator[int]:
    for x in range(n):
        yield x


@app.function()
def fail_in_thread(n: int) -> Iterator[int]:
    yield from range(n)
    raise Unlucky("after", n)


@app.function()
async def fail(n: int) -> AsyncIterator[int]:
    for x in range(n):
        yield x
    raise Unlucky("after", n)


@pytest.fixture(params=KINDS)
def fails(request: pytest.FixtureRequest) -> Any:
    """A failing generator function of each kind."""
    return fail if request.param == "async generator" else fail_in_thread


@pytest.fixture(params=KINDS)
def counts(request: pytest.FixtureRequest) -> Any:
    """A counting generator function of each kind."""
    return count if request.param == "async generator" else count_in_thread


async def drain(items: Any, came: list[int], *, pause: float = 0.0) -> None:
    """Add each item to `came` as it comes."""
    async with aclosing(items):
        async for x in items:
            came += [x]
            if pause:
                await sleep(pause)


# -- failures ---------------------------------------------------------------------------------------------


def test_M2_4_items_made_before_an_exception_are_delivered_first(run: Run, fails: Any) -> None:
    async def main() -> None:
        async with app.run():
            came: list[int] = []
            with pytest.raises(Unlucky) as caught:
                await drain(fails.remote_gen.aio(10), came)
            assert list(range(10)) == came
            assert ("after", 10) == caught.value.args
            assert 1 == fails.statistics().failed

    run(main)


def test_M2_4_items_made_before_an_exception_are_delivered_first_to_a_sync_caller(fails: Any) -> None:
    with app.run():
        items = fails.remote_gen(3)
        assert [0, 1, 2] == [next(items) for _ in range(3)]
        with pytest.raises(Unlucky):
            next(items)


def test_wrong_arguments_fail_at_the_first_item(run: Run, counts: Any) -> None:
    async def main() -> None:
        async with app.run():
            with pytest.raises(TypeError, match="unexpected keyword argument 'nonsense'"):
                await anext(counts.remote_gen.aio(3, nonsense=True))

    run(main)


@pytest.mark.parametrize("kind", KINDS)
def test_M2_5_a_generator_is_never_retried(run: Run, kind: str) -> None:
    app = modal.App()
    attempts: list[int] = shared([])

    @app.cls(retries=3)
    class Job:
        @modal.method()
        async def slow(self) -> AsyncIterator[int]:
            attempts.append(1)
            yield 1
            raise Unlucky

        @modal.method()
        def slow_in_thread(self) -> Iterator[int]:
            attempts.append(1)
            yield 1
            raise Unlucky

    async def main() -> None:
        async with app.run():
            method = Job().slow if kind == KINDS[0] else Job().slow_in_thread
            came: list[int] = []
            with pytest.raises(Unlucky):
                await drain(method.remote_gen.aio(), came)
            assert ([1], [1]) == (came, attempts)

    run(main)


def test_a_full_backlog_refuses_at_the_first_item(run: Run) -> None:
    app = modal.App()

    @app.function(max_containers=1, limits=modal.Limits(max_inputs=1))
    async def waits() -> AsyncIterator[int]:
        yield 1
        await sleep(PATIENCE_S)

    async def main() -> None:
        async with app.run():
            async with aclosing(waits.remote_gen.aio()) as running:
                assert 1 == await anext(running)
                refused = waits.remote_gen.aio()
                with pytest.raises(ResourceExhaustedError):
                    await anext(refused)

    run(main)


# -- leaving early ----------------------------------------------------------------------------------------


async def leave_early(function: Any) -> None:
    """Read one item of the generator and leave."""
    async with aclosing(function.remote_gen.aio()) as items:
        async for _ in items:
            break


def test_leaving_early_closes_the_generator_in_its_container(run: Run) -> None:
    app = modal.App()
    closed = Latch()

    @app.function()
    async def endless() -> AsyncIterator[int]:
        try:
            while True:
                yield 1
        finally:
            closed.hit()

    async def main() -> None:
        async with app.run():
            await leave_early(endless)
            await closed.opened()
            await settle()
            assert (0, 1) == (endless.statistics().running, endless.statistics().cancelled)

    run(main)


def test_leaving_early_closes_the_generator_in_its_thread(run: Run) -> None:
    app = modal.App()
    closed = Latch()

    @app.function()
    def endless() -> Iterator[int]:
        try:
            while True:
                yield 1
        finally:
            closed.hit()

    async def main() -> None:
        async with app.run():
            await leave_early(endless)
            await closed.opened()
        assert closed.is_open

    run(main)


def test_a_sync_caller_who_leaves_early_closes_the_generator() -> None:
    app = modal.App()
    closed = Latch(2)

    @app.function()
    async def endless() -> AsyncIterator[int]:
        try:
            while True:
                yield 1
        finally:
            closed.hit()

    @app.function()
    def endless_in_thread() -> Iterator[int]:
        try:
            while True:
                yield 1
        finally:
            closed.hit()

    with app.run():
        for items in (endless.remote_gen(), endless_in_thread.remote_gen()):
            with closing(items):
                assert 1 == next(items)
        closed.wait()


@pytest.mark.local_only("virtual time in what is cut off elsewhere")
def test_a_waiting_generator_is_cancelled_at_once_when_its_consumer_is(run_virtually: Run) -> None:
    app = modal.App()
    closed_at: list[float] = shared([])

    @app.function()
    async def slow() -> AsyncIterator[int]:
        try:
            yield 1
            await sleep(1_000.0)
        finally:
            closed_at.append(now())

    async def main() -> None:
        async with app.run():
            start = now()
            came: list[int] = []
            with current_host().move_on_after(5.0):
                await drain(slow.remote_gen.aio(), came)
            await settle()
            assert ([1], [5.0]) == (came, [at - start for at in closed_at])
            assert (0, 1) == (slow.statistics().running, slow.statistics().cancelled)

    run_virtually(main)


def test_an_input_that_ends_before_its_consumer_has_read_all_counts_as_succeeded(run: Run) -> None:
    async def main() -> None:
        async with app.run():
            async with aclosing(count.remote_gen.aio(10)) as items:
                assert 0 == await anext(items)
                await settle()
            assert (1, 0) == (count.statistics().succeeded, count.statistics().cancelled)

    run(main)


# -- timeouts ---------------------------------------------------------------------------------------------


@pytest.mark.local_only("virtual time in what is cut off elsewhere")
def test_a_timeout_counts_the_execution_and_keeps_what_was_made(run_virtually: Run) -> None:
    app = modal.App()
    closed_at: list[float] = shared([])

    @app.function(timeout=25)
    async def ticks() -> AsyncIterator[int]:
        try:
            for x in range(100):
                yield x
                await sleep(10.0)
        finally:
            closed_at.append(now())

    async def main() -> None:
        async with app.run():
            start = now()
            came: list[int] = []
            with pytest.raises(FunctionTimeoutError):
                await drain(ticks.remote_gen.aio(), came)
            await settle()
            assert [0, 1, 2] == came
            assert (25.0, [25.0]) == (now() - start, [at - start for at in closed_at])
            assert (0, 1) == (ticks.statistics().running, ticks.statistics().timed_out)

    run_virtually(main)


@pytest.mark.local_only("virtual time in what is cut off elsewhere")
def test_waiting_for_a_slow_consumer_is_execution_too(run_virtually: Run) -> None:
    app = modal.App()

    @app.function(timeout=25)
    async def endless() -> AsyncIterator[int]:
        x = 0
        while True:
            yield (x := x + 1)

    async def main() -> None:
        async with app.run():
            came: list[int] = []
            with pytest.raises(FunctionTimeoutError):
                await drain(endless.remote_gen.aio(), came, pause=1.0)
            # What had been made is not lost.
            assert list(range(1, BUFFER + 1)) == came

    run_virtually(main)


@pytest.mark.local_only("virtual time in what is cut off elsewhere")
def test_a_thread_that_times_out_holds_its_slot_until_its_next_item() -> None:
    app = modal.App()
    go_on, closed = threading.Event(), Latch()

    @app.function(timeout=0.05)
    def stuck() -> Iterator[int]:
        try:
            yield 1
            go_on.wait(PATIENCE_S)
            yield 2
        finally:
            closed.hit()

    with app.run():
        items = stuck.remote_gen()
        assert 1 == next(items)
        with pytest.raises(FunctionTimeoutError):
            next(items)
        assert (1, 1) == (stuck.statistics().abandoned, stuck.statistics().running)
        go_on.set()
        closed.wait()
        until = time.monotonic() + PATIENCE_S
        while stuck.statistics().abandoned:
            assert time.monotonic() < until
        assert (0, 1) == (stuck.statistics().running, stuck.statistics().timed_out)

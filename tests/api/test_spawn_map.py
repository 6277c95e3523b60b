# SPDX-License-Identifier: Apache-2.0
"""`spawn_map` and `experimental_spawn_map`: one spawn per input, waiting while the backlog is full."""

from __future__ import annotations

import logging
from collections.abc import AsyncIterator, Callable, Iterator
from typing import Any

import pytest

import actorpool as modal
from actorpool._host._current import current_host
from actorpool.exception import ExecutionError, InvalidError
from tests.api.support import Latch, now, sleep
from tests.shared import shared

Run = Callable[..., Any]

app = modal.App("spawn-map")


@app.function()
async def add(a: int, b: int = 0, *, c: int = 0) -> int:
    return a + b + c


# -- what is spawned --------------------------------------------------------------------------------------


def test_every_input_is_spawned_and_nothing_is_returned(run: Run) -> None:
    app = modal.App()
    done = Latch(600)
    seen: list[int] = shared([])

    @app.function()
    async def note(x: int) -> None:
        seen.append(x)
        done.hit()

    async def main() -> None:
        async with app.run():
            returned = [await note.spawn_map.aio(range(600))]  # type: ignore[func-returns-value]
            assert [None] == returned
            await done.opened()
            assert list(range(600)) == sorted(seen)

    run(main)


def test_a_sync_caller_spawns_every_input() -> None:
    app = modal.App()
    done = Latch(600)

    @app.function()
    @modal.concurrent(max_inputs=50)
    async def note(_: int) -> None:
        done.hit()

    with app.run():
        note.spawn_map(range(600))
        done.wait()


def test_M2_6_M4_6_one_handle_holds_all_results(run: Run) -> None:
    async def main() -> None:
        async with app.run():
            call = await add.experimental_spawn_map.aio(range(600))
            assert 600 == call.num_inputs()
            assert list(range(600)) == [x async for x in call.iter.aio()]

    run(main)
    with app.run():
        assert [0, 1, 2] == list(add.experimental_spawn_map(range(3)).iter())


def test_kwargs_go_to_every_input_and_iterators_are_zipped(run: Run) -> None:
    async def main() -> None:
        async with app.run():
            call = await add.experimental_spawn_map.aio([1, 2, 3], [10, 20], kwargs={"c": 100})
            assert [111, 122] == [x async for x in call.iter.aio()]

    run(main)
    with app.run():
        assert [111, 122] == list(add.experimental_spawn_map([1, 2, 3], [10, 20], kwargs={"c": 100}).iter())


def test_kwargs_reach_a_spawn_map_too() -> None:
    app = modal.App()
    done = Latch(3)
    seen: list[int] = shared([])

    @app.function()
    def note(x: int, *, factor: int) -> None:
        seen.append(x * factor)
        done.hit()

    with app.run():
        note.spawn_map(range(3), kwargs={"factor": 5})
        done.wait()
        assert [0, 5, 10] == sorted(seen)


def test_the_async_form_takes_async_iterators(run: Run) -> None:
    async def numbers() -> AsyncIterator[int]:
        for x in range(300):
            yield x

    async def main() -> None:
        async with app.run():
            call = await add.experimental_spawn_map.aio(numbers(), range(1000))
            assert [2 * x for x in range(300)] == [x async for x in call.iter.aio()]
            full = await add.experimental_spawn_map.aio(numbers(), [1] * 256)
            assert 256 == full.num_inputs()

    run(main)


def test_no_inputs_are_no_error(run: Run) -> None:
    async def main() -> None:
        async with app.run():
            await add.spawn_map.aio([])
            call = await add.experimental_spawn_map.aio(())
            assert (0, True, []) == (call.num_inputs(), call.done, [x async for x in call.iter.aio()])
            assert "<FunctionCall with 0 inputs>" == repr(call)
            assert modal.FunctionCall.from_id(call.object_id) is call
            with pytest.raises(ValueError, match="has 0 inputs"):
                await call.get.aio()

    run(main)


# -- a full backlog ---------------------------------------------------------------------------------------


@pytest.mark.local_only("its inputs share an object, as in one process they may")
def test_it_waits_while_the_backlog_is_full(run_virtually: Run, caplog: pytest.LogCaptureFixture) -> None:
    app = modal.App()
    most = 0

    @app.function(max_containers=1, limits=modal.Limits(max_spawned=5))
    async def slow(x: int) -> int:
        nonlocal most
        most = max(most, slow.statistics().pending)
        await sleep(10.0)
        return x

    async def main() -> None:
        async with app.run():
            start = now()
            call = await slow.experimental_spawn_map.aio(range(20))
            # It returns when the last is accepted: five wait, one runs or has just ended.
            assert 130.0 <= now() - start <= 142.0
            assert list(range(20)) == [x async for x in call.iter.aio()]
            assert 200.0 == round(now() - start, 6)
            assert 1 <= most <= 5

    with caplog.at_level(logging.WARNING, "actorpool"):
        run_virtually(main)
    warnings = [record.getMessage() for record in caplog.records]
    assert warnings
    assert {
        (
            "slow.experimental_spawn_map.aio waits for room: function 'slow' has 5 pending spawned inputs, "
            "its limit (max_spawned)"
        )
    } == set(warnings)


def test_a_sync_caller_waits_while_the_backlog_is_full() -> None:
    app = modal.App()

    @app.function(max_containers=2, limits=modal.Limits(max_spawned=3))
    def double(x: int) -> int:
        return 2 * x

    with app.run():
        call = double.experimental_spawn_map(range(50))
        assert [2 * x for x in range(50)] == list(call.iter())


def test_what_was_accepted_goes_on_when_the_spawning_is_cancelled(run_virtually: Run) -> None:
    app = modal.App()
    ended: list[int] = shared([])

    @app.function(max_containers=1, limits=modal.Limits(max_spawned=2))
    async def slow(x: int) -> None:
        await sleep(10.0)
        ended.append(x)

    async def numbers() -> AsyncIterator[int]:
        try:
            for x in range(1_000):
                yield x
        finally:
            closed.append(True)

    closed: list[bool] = []

    async def main() -> None:
        async with app.run():
            with current_host().move_on_after(5.0) as scope:
                await slow.spawn_map.aio(numbers())
            assert scope.cancelled_caught
            assert [True] == closed
            await sleep(100.0)
            assert ended == list(range(len(ended)))
            assert 2 <= len(ended) <= 3

    run_virtually(main)


def test_M2_6_the_inputs_keep_their_place_in_the_call(run: Run) -> None:
    app = modal.App()

    @app.function()
    async def who(_: int) -> tuple[str | None, str | None]:
        return modal.current_function_call_id(), modal.current_input_id()

    async def main() -> None:
        async with app.run():
            call = await who.experimental_spawn_map.aio(range(300))
            expected = [(call.object_id, f"in-{call.object_id[3:]}-{x}") for x in range(300)]
            assert expected == [ids async for ids in call.iter.aio()]

    run(main)


# -- wrong use --------------------------------------------------------------------------------------------


def test_an_error_of_the_iterator_is_the_callers() -> None:
    def numbers() -> Iterator[int]:
        yield 1
        raise ZeroDivisionError("in the iterator")

    with app.run():
        with pytest.raises(ZeroDivisionError, match="in the iterator"):
            add.spawn_map(numbers())


def test_it_is_checked_like_a_map(run: Run) -> None:
    async def main() -> None:
        async with app.run():
            with pytest.raises(InvalidError, match="got no iterator"):
                await add.spawn_map.aio()
            with pytest.raises(InvalidError, match="5 cannot be iterated over"):
                await add.experimental_spawn_map.aio(5)  # type: ignore[arg-type]
            with pytest.raises(InvalidError, match=r"add\.spawn_map\.aio"):
                add.spawn_map(range(3))

    run(main)
    with pytest.raises(ExecutionError):
        add.spawn_map(range(3))


def test_a_running_input_may_spawn_a_map(run: Run) -> None:
    app = modal.App()
    done = Latch(10)

    @app.function()
    async def inner(_: int) -> None:
        done.hit()

    @app.function()
    def outer() -> None:
        inner.spawn_map(range(10))

    async def main() -> None:
        async with app.run():
            await outer.remote.aio()
            await done.opened()

    run(main)

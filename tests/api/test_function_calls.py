# SPDX-License-Identifier: Apache-2.0
"""`FunctionCall`: results of spawned inputs, asked for as often, as late and from wherever one likes."""

from __future__ import annotations

import builtins
from collections.abc import Callable
from typing import Any

import pytest

import actorpool as modal
from actorpool import FunctionCall
from actorpool._host._current import current_host
from actorpool.exception import FunctionTimeoutError, InvalidError, RemoteError
from tests.api.support import PATIENCE_S, Latch, event, gather, now, sleep
from tests.hosts import settle
from tests.shared import shared

pytestmark = pytest.mark.conformance

Run = Callable[..., Any]


class Unlucky(Exception):
    pass


app = modal.App("calls")


@app.function()
async def after(seconds: float, result: Any = None) -> Any:
    await sleep(seconds)
    if isinstance(result, Exception):
        raise result
    return result


@app.function()
def double(x: int) -> int:
    if x < 0:
        raise Unlucky(x)
    return 2 * x


@app.function()
async def wait_for(gate: Any) -> str:
    await gate.wait()
    return "open"


# -- get --------------------------------------------------------------------------------------------------


def test_get_gives_the_same_result_again(run: Run) -> None:
    async def main() -> None:
        async with app.run():
            call = after.spawn(0.0, object())
            result = await call.get.aio()
            assert type(result) is object
            assert await call.get.aio() is result
            assert call.get() is result
            assert await call.get.aio(timeout=0, index=0) is result

    run(main)


def test_get_gives_the_same_result_again_to_a_sync_caller() -> None:
    with app.run():
        call = double.spawn(4)
        assert (8, 8, True, 1) == (call.get(), call.get(timeout=0), call.done, call.num_inputs())


def test_get_raises_the_same_exception_again(run: Run) -> None:
    async def main() -> None:
        async with app.run():
            call = double.spawn(-1)
            with pytest.raises(Unlucky) as first:
                await call.get.aio()
            with pytest.raises(Unlucky) as second:
                await call.get.aio()
            assert first.value is second.value

    run(main)


def test_a_timeout_of_zero_polls(run: Run) -> None:
    async def main() -> None:
        async with app.run():
            gate = event()
            call = wait_for.spawn(gate)
            for _ in range(3):
                with pytest.raises(builtins.TimeoutError, match="no result after 0 s; it goes on"):
                    await call.get.aio(timeout=0)
                # Looking once never blocks, so it may be done on the loop.
                with pytest.raises(builtins.TimeoutError):
                    call.get(timeout=0)
            gate.set()
            assert "open" == await call.get.aio()
            assert "open" == call.get(timeout=0)

    run(main)


def test_get_waits_as_long_as_it_is_told_and_the_input_goes_on(run_virtually: Run) -> None:
    async def main() -> None:
        async with app.run():
            start = now()
            call = after.spawn(10.0, "late")
            with pytest.raises(builtins.TimeoutError, match="after 4 s"):
                await call.get.aio(timeout=4)
            assert 4.0 == now() - start
            assert "late" == await call.get.aio(timeout=6.5)
            assert 10.0 == now() - start

    run_virtually(main)


def test_a_sync_caller_waits_as_long_as_told() -> None:
    gate = Latch()
    app = modal.App()

    @app.function()
    def stuck() -> str:
        gate.wait()
        return "open"

    with app.run():
        call = stuck.spawn()
        with pytest.raises(builtins.TimeoutError, match=r"after 0\.01 s"):
            call.get(timeout=0.01)
        gate.hit()
        assert "open" == call.get(timeout=PATIENCE_S)


def test_M13_3_the_inputs_own_timeout_is_no_builtin_timeout(run_virtually: Run) -> None:
    app = modal.App()

    @app.function(timeout=5)
    async def slow() -> None:
        await sleep(10.0)

    async def main() -> None:
        async with app.run():
            with pytest.raises(FunctionTimeoutError) as caught:
                await slow.spawn().get.aio(timeout=100)
            assert not isinstance(caught.value, builtins.TimeoutError)

    run_virtually(main)


@pytest.mark.parametrize("timeout", [-1, "1", float("nan")])
def test_timeouts_are_checked(timeout: Any) -> None:
    with app.run():
        call = double.spawn(1)
        with pytest.raises(InvalidError, match="timeout"):
            call.get(timeout=timeout)


def test_the_blocking_form_is_refused_on_the_loop_that_serves_it(run: Run) -> None:
    async def main() -> None:
        async with app.run():
            gate = event()
            call = wait_for.spawn(gate)
            with pytest.raises(InvalidError, match=r"function_call\.get\.aio"):
                call.get()
            with pytest.raises(InvalidError, match=r"FunctionCall\.gather\.aio"):
                FunctionCall.gather(call)
            gate.set()
            assert ["open"] == await FunctionCall.gather.aio(call)

    run(main)


def test_many_may_wait_for_one_call(run_virtually: Run) -> None:
    async def main() -> None:
        async with app.run():
            call = after.spawn(10.0, "late")
            waiting = [lambda seconds=seconds: call.get.aio(timeout=seconds) for seconds in (1, 2, 50, 60)]
            results = await gather(*waiting)
            assert [TimeoutError, TimeoutError, str, str] == [type(result) for result in results]

    run_virtually(main)


# -- cancel -----------------------------------------------------------------------------------------------


def test_M4_2_a_cancelled_call_has_no_result(run: Run) -> None:
    async def main() -> None:
        async with app.run():
            call = wait_for.spawn(event())
            await settle()
            call.cancel()
            with pytest.raises(RemoteError, match="the call of 'wait_for' was cancelled"):
                await call.get.aio()
            await settle()
            assert (1, 0) == (wait_for.statistics().cancelled, wait_for.statistics().running)

    run(main)


def test_M4_2_a_pending_input_that_is_cancelled_never_starts(run_virtually: Run) -> None:
    app = modal.App()
    began: list[int] = shared([])

    @app.function(max_containers=1)
    async def f(x: int) -> None:
        began.append(x)
        await sleep(10.0)

    async def main() -> None:
        async with app.run():
            calls = [f.spawn(x) for x in range(3)]
            await settle()
            await calls[1].cancel.aio()
            await calls[2].get.aio()
            assert [0, 2] == began

    run_virtually(main)


def test_M4_2_cancelling_what_has_finished_changes_nothing(run: Run) -> None:
    async def main() -> None:
        async with app.run():
            call = double.spawn(3)
            assert 6 == await call.get.aio()
            call.cancel()
            assert 6 == await call.get.aio()
            assert 0 == double.statistics().cancelled

    run(main)


# -- gather -----------------------------------------------------------------------------------------------


def test_M4_1_gather_gives_results_in_the_order_of_its_arguments(run_virtually: Run) -> None:
    async def main() -> None:
        async with app.run():
            start = now()
            calls = [after.spawn(10.0 - x, x) for x in range(5)]
            assert [0, 1, 2, 3, 4] == await FunctionCall.gather.aio(*calls)
            assert 10.0 == now() - start
            assert [0, 0, 1] == await FunctionCall.gather.aio(calls[0], calls[0], calls[1])
            assert [] == await FunctionCall.gather.aio()

    run_virtually(main)


def test_M4_1_gather_raises_the_first_failure_in_time_while_the_others_go_on(run_virtually: Run) -> None:
    async def main() -> None:
        async with app.run():
            start = now()
            calls = [
                after.spawn(30.0, "slow"),
                after.spawn(20.0, Unlucky("second")),
                after.spawn(10.0, Unlucky("first")),
            ]
            with pytest.raises(Unlucky, match="first"):
                await FunctionCall.gather.aio(*calls)
            assert 10.0 == now() - start
            with pytest.raises(Unlucky, match="second"):
                await calls[1].get.aio()
            assert "slow" == await calls[0].get.aio()

    run_virtually(main)


def test_M4_1_a_sync_caller_gathers_the_same_way() -> None:
    gate = Latch()
    app = modal.App()

    @app.function()
    def stuck() -> str:
        gate.wait()
        return "open"

    @app.function()
    def fail(x: int) -> str:
        raise Unlucky(x)

    @app.function()
    def echo(x: int) -> int:
        return x

    with app.run():
        calls = [echo.spawn(x) for x in (1, 2, 3)]
        assert [1, 2, 3] == FunctionCall.gather(*calls)
        assert [3, 1] == FunctionCall.gather(calls[2], calls[0])
        assert [] == FunctionCall.gather()
        slow = stuck.spawn()
        with pytest.raises(Unlucky, match="7"):
            # Were the failure not raised at once, this would wait for the gate for ever.
            FunctionCall.gather(slow, fail.spawn(7), slow)
        gate.hit()
        assert ["open", "open"] == FunctionCall.gather(slow, slow)


def test_gather_raises_a_cancellation_at_once(run_virtually: Run) -> None:
    async def main() -> None:
        async with app.run():
            start = now()
            calls = [after.spawn(30.0), after.spawn(30.0)]

            async def cancel() -> None:
                await sleep(5.0)
                calls[1].cancel()

            results = await gather(lambda: FunctionCall.gather.aio(*calls), cancel)
            assert (RemoteError, 5.0) == (type(results[0]), now() - start)

    run_virtually(main)


def test_cancelling_a_gather_leaves_the_inputs_alone(run_virtually: Run) -> None:
    async def main() -> None:
        async with app.run():
            calls = [after.spawn(10.0, 1), after.spawn(20.0, 2)]
            with current_host().move_on_after(5.0) as scope:
                await FunctionCall.gather.aio(*calls)
            assert scope.cancelled_caught
            assert [1, 2] == await FunctionCall.gather.aio(*calls)

    run_virtually(main)


# -- many inputs ------------------------------------------------------------------------------------------


def test_a_call_of_many_inputs_gives_each_result_by_its_index(run_virtually: Run) -> None:
    async def main() -> None:
        async with app.run():
            call = await after.experimental_spawn_map.aio([3.0, 2.0, 1.0], "abc")
            assert (3, False) == (call.num_inputs(), call.done)
            assert "<FunctionCall of 'after' 3 inputs" in repr(call)
            assert ["c", "b", "a"] == [await call.get.aio(index=index) for index in (2, 1, 0)]
            assert call.done
            for wrong in (-1, 3):
                with pytest.raises(ValueError, match=f"has 3 inputs, counted from 0; {wrong} up to"):
                    await call.get.aio(index=wrong)

    run_virtually(main)


def test_M4_7_iter_yields_a_half_open_range_in_order(run_virtually: Run) -> None:
    async def main() -> None:
        async with app.run():
            start = now()
            call = await after.experimental_spawn_map.aio([3.0, 2.0, 1.0, 0.0], range(4))
            assert [2, 3] == [x async for x in call.iter.aio(start=2)]
            assert 1.0 == now() - start
            assert [0, 1, 2, 3] == [x async for x in call.iter.aio()]
            assert [1, 2] == [x async for x in call.iter.aio(start=1, end=3)]
            assert [] == [x async for x in call.iter.aio(start=4)]
            for wrong in ({"start": -1}, {"end": 5}, {"start": 3, "end": 2}, {"start": 5}):
                with pytest.raises(ValueError, match="this call has 4 inputs"):
                    call.iter.aio(**wrong)
                with pytest.raises(ValueError, match="this call has 4 inputs"):
                    call.iter(**wrong)

    run_virtually(main)


def test_M4_7_a_sync_caller_iterates_too() -> None:
    with app.run():
        call = double.experimental_spawn_map(range(300))
        assert [2 * x for x in range(300)] == list(call.iter())
        assert [20, 22] == list(call.iter(start=10, end=12))
        results = double.experimental_spawn_map([1, -1, 2]).iter()
        assert 2 == next(results)
        with pytest.raises(Unlucky):
            next(results)


def test_M4_2_cancelling_a_call_of_many_inputs_cancels_what_has_not_ended(run_virtually: Run) -> None:
    async def main() -> None:
        async with app.run():
            call = await after.experimental_spawn_map.aio([1.0, 9.0, 9.0], "abc")
            assert "a" == await call.get.aio()
            call.cancel()
            assert "a" == await call.get.aio(index=0)
            for index in (1, 2):
                with pytest.raises(RemoteError):
                    await call.get.aio(index=index)

    run_virtually(main)

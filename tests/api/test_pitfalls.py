# SPDX-License-Identifier: Apache-2.0
"""S31 to S33: each pitfall is met by an error that says what to write instead."""

from __future__ import annotations

import asyncio
import threading
from collections.abc import Callable, Iterator
from typing import Any

import pytest

import actorpool as modal
from actorpool.exception import AsyncUsageWarning, ConflictError, ExecutionError, InvalidError
from tests.api.support import PATIENCE_S, Latch, event
from tests.hosts import settle

Run = Callable[..., Any]

app = modal.App("my-app")


@app.function()
def evaluate_model(x: int) -> int:
    return x**2


@app.function()
async def evaluate_model_async(x: int) -> int:
    return x**2


@app.function()
def countdown(n: int) -> Iterator[int]:
    yield from range(n, 0, -1)


# -- S31 --------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("function", [evaluate_model, evaluate_model_async])
def test_S31_pythons_own_map_says_what_to_write(function: Any) -> None:
    with app.run():
        with pytest.raises(InvalidError) as caught:
            list(map(function, range(3)))
        assert f"not map({function.name}, inputs)" in str(caught.value)
        assert f"{function.name}.map(inputs)" in str(caught.value)
        assert 0 == function.statistics().arrived


def test_S31_nothing_runs_one_after_the_other() -> None:
    with app.run():
        with pytest.raises(InvalidError, match=r"evaluate_model\.map\(inputs\)"):
            for _ in map(evaluate_model, [1, 2, 3]):
                pass
        with pytest.raises(InvalidError, match=r"evaluate_model\.map\(inputs\)"):
            [evaluate_model(x) for x in range(3)]
        assert (0, 0) == (evaluate_model.statistics().arrived, evaluate_model.statistics().starts)


def test_S31_the_error_is_a_type_error_too_as_for_anything_not_callable() -> None:
    with pytest.raises(TypeError, match=r"evaluate_model\.remote\(\.\.\.\)"):
        evaluate_model(3)


def test_S31_the_error_comes_whether_or_not_the_app_runs(run: Run) -> None:
    with pytest.raises(InvalidError, match="not called directly"):
        list(map(evaluate_model, [1]))

    async def main() -> None:
        async with app.run():
            with pytest.raises(InvalidError, match="not called directly"):
                list(map(evaluate_model, [1]))

    run(main)


def test_S31_a_looked_up_function_and_a_method_say_it_as_well() -> None:
    with pytest.raises(InvalidError, match=r"f\.map\(inputs\)"):
        list(map(modal.Function.from_name("my-app", "f"), [1]))

    app = modal.App("my-app")

    @app.cls()
    class Model:
        @modal.method()
        def predict(self, x: int) -> int:
            return x

    with pytest.raises(InvalidError, match=r"predict\.map\(inputs\)"):
        list(map(Model().predict, [1]))


# -- S32 --------------------------------------------------------------------------------------------------


def test_S32_calling_the_function_and_then_map_says_what_to_write() -> None:
    with app.run():
        with pytest.raises(InvalidError) as caught:
            evaluate_model([1, 2, 3]).map()  # type: ignore[attr-defined,unused-ignore]
        assert "evaluate_model.map(inputs)" in str(caught.value)
        assert "not evaluate_model(inputs).map()" in str(caught.value)


def test_S32_awaiting_the_function_itself_says_it_too(run: Run) -> None:
    async def main() -> None:
        async with app.run():
            with pytest.raises(InvalidError, match=r"evaluate_model_async\.remote"):
                await evaluate_model_async(3)  # type: ignore[misc,unused-ignore]

    run(main)


def test_S32_local_calls_the_plain_function(run: Run) -> None:
    assert 9 == evaluate_model.local(3)

    async def main() -> None:
        assert 9 == await evaluate_model_async.local(3)

    run(main)


# -- S33 --------------------------------------------------------------------------------------------------

BLOCKING: dict[str, Callable[[], object]] = {
    "evaluate_model.remote.aio": lambda: evaluate_model.remote(1),
    "evaluate_model.map.aio": lambda: list(evaluate_model.map([1])),
    "evaluate_model.starmap.aio": lambda: list(evaluate_model.starmap([(1,)])),
    "evaluate_model.for_each.aio": lambda: evaluate_model.for_each([1]),
    "evaluate_model.spawn_map.aio": lambda: evaluate_model.spawn_map([1]),
    "countdown.remote_gen.aio": lambda: list(countdown.remote_gen(3)),
    "app.stop.aio": app.stop,
}


@pytest.mark.parametrize("twin", BLOCKING)
def test_S33_a_blocking_verb_on_the_serving_loop_names_the_twin(run: Run, twin: str) -> None:
    async def main() -> None:
        async with app.run():
            with pytest.raises(InvalidError) as caught:
                BLOCKING[twin]()
            assert f"{twin}(" in str(caught.value)

            # Nothing has been taken in, and nothing is in disorder.
            assert (0, 0) == (evaluate_model.statistics().arrived, countdown.statistics().arrived)
            assert 9 == await evaluate_model.remote.aio(3)

    run(main)


def test_S33_waiting_for_a_call_names_the_twin(run: Run) -> None:
    app = modal.App("my-app")

    @app.function()
    async def f(gate: Any) -> str:
        await gate.wait()
        return "done"

    async def main() -> None:
        async with app.run():
            gate = event()
            call = f.spawn(gate)
            with pytest.raises(InvalidError, match=r"get\.aio\("):
                call.get()
            with pytest.raises(InvalidError, match=r"gather\.aio\("):
                modal.FunctionCall.gather(call)
            # To look once does not block.
            with pytest.raises(TimeoutError):
                call.get(timeout=0)
            gate.set()
            assert "done" == await call.get.aio()
            assert "done" == call.get()

    run(main)


def test_S33_an_async_function_that_blocks_on_another_gets_the_error_not_a_deadlock(run: Run) -> None:
    app = modal.App("my-app")

    @app.function()
    async def inner(x: int) -> int:
        return x + 1

    @app.function()
    async def outer(x: int) -> int:
        return inner.remote(x)

    @app.function()
    async def right(x: int) -> int:
        return await inner.remote.aio(x)

    async def main() -> None:
        async with app.run():
            with pytest.raises(InvalidError, match=r"await inner\.remote\.aio"):
                await outer.remote.aio(1)
            assert 2 == await right.remote.aio(1)

    run(main)
    with app.run():
        with pytest.raises(InvalidError, match=r"await inner\.remote\.aio"):
            outer.remote(1)


def test_S33_a_sync_function_may_block_on_another(run: Run) -> None:
    app = modal.App("my-app")

    @app.function()
    async def inner(x: int) -> int:
        return x + 1

    @app.function()
    def outer(x: int) -> list[int]:
        return [inner.remote(x), *inner.map([x, x]), inner.spawn(x).get()]

    async def main() -> None:
        async with app.run():
            assert [2] * 4 == await outer.remote.aio(1)

    run(main)
    with app.run():
        assert [2] * 4 == outer.remote(1)


def test_S33_M13_5_on_another_loop_a_blocking_verb_works_and_warns() -> None:
    async def main() -> int:
        with pytest.warns(AsyncUsageWarning, match=r"evaluate_model\.remote\.aio"):
            result = evaluate_model.remote(3)
        with pytest.warns(AsyncUsageWarning, match=r"evaluate_model\.map\.aio"):
            assert [1, 4] == list(evaluate_model.map([1, 2]))
        return result

    with app.run():
        assert 9 == asyncio.run(main())


def test_S33_the_warning_points_at_the_users_line() -> None:
    async def main() -> None:
        call = evaluate_model.spawn(3)
        for block in (
            lambda: evaluate_model.remote(3),
            lambda: list(evaluate_model.map([1, 2])),
            lambda: next(evaluate_model.map([1, 2])),
            lambda: evaluate_model.for_each([1]),
            lambda: (call.get(), evaluate_model.remote(3)),
        ):
            with pytest.warns(AsyncUsageWarning) as caught:
                block()
            # Whatever garbage is collected meanwhile may warn as well.
            ours = [warning for warning in caught if warning.category is AsyncUsageWarning]
            assert [__file__] == [warning.filename for warning in ours]

    with app.run():
        asyncio.run(main())


def test_S33_what_never_blocks_may_be_used_anywhere(run: Run) -> None:
    async def main() -> None:
        async with app.run():
            call = evaluate_model.spawn(3)
            evaluate_model.update_autoscaler(max_containers=3)
            evaluate_model.get_current_stats()
            call.cancel()
            await settle()

    run(main)


def test_S33_deploying_on_a_thread_of_its_own_from_a_loop_names_the_twin(run: Run) -> None:
    app = modal.App("my-app")

    async def main() -> None:
        with pytest.raises(InvalidError, match=r"await app\.deploy\.aio\("):
            app.deploy()

    run(main)


def test_S33_a_call_that_would_wait_for_itself_fails_at_once(run: Run) -> None:
    app = modal.App("my-app")

    @app.function(max_containers=1)
    async def f(depth: int) -> int:
        return 0 if not depth else await f.remote.aio(depth - 1)

    @app.function(max_containers=1)
    def g(depth: int) -> int:
        return 0 if not depth else g.remote(depth - 1)

    async def main() -> None:
        async with app.run():
            for function in (f, g):
                assert 0 == await function.remote.aio(0)
                with pytest.raises(modal.exception.DeadlockError) as caught:
                    await function.remote.aio(1)
                assert (function.name, function.name) == caught.value.chain
                assert 0 == await function.remote.aio(0)

    run(main)


def test_S33_an_app_that_does_not_run_or_runs_already_says_so(run: Run) -> None:
    with pytest.raises(ExecutionError, match=r"not running; call it inside\s+`with app\.run\(\):`"):
        evaluate_model.remote(3)

    async def main() -> None:
        async with app.run():
            with pytest.raises(ConflictError, match="already running"):
                async with app.run():
                    pass
            assert 9 == await evaluate_model.remote.aio(3)

    run(main)


def test_S33_a_blocked_thread_is_not_the_loop() -> None:
    inside, go = Latch(1), threading.Event()
    app = modal.App("my-app")

    @app.function()
    def f() -> str:
        inside.hit()
        go.wait(PATIENCE_S)
        return "done"

    with app.run():
        results: list[str] = []
        caller = threading.Thread(target=lambda: results.append(f.remote()))
        caller.start()
        inside.wait()
        go.set()
        caller.join(PATIENCE_S)
        assert ["done"] == results

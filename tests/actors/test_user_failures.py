# SPDX-License-Identifier: Apache-2.0
"""User code that fails in unusual ways: it is that input's failure, and nobody else's."""

from __future__ import annotations

import asyncio
import logging
import threading
from collections.abc import Callable
from typing import Any

import pytest
import trio

import actorpool as modal
from actorpool._host._current import current_host
from actorpool.exception import ClosedError, RemoteError
from tests.actors.harness import at_rest, checkpoints
from tests.api.support import Latch, event, now, sleep
from tests.hosts import settle

Run = Callable[..., Any]


class _Odd(BaseException):
    pass


UNUSUAL: list[BaseException] = [SystemExit(3), KeyboardInterrupt("user"), _Odd("odd"), GeneratorExit("gone")]


def _pool_of(kind: str, app: modal.App) -> Any:
    """Return a function that raises what it is given, or returns it."""

    def body(x: Any) -> Any:
        if isinstance(x, BaseException):
            raise x
        return x

    if kind == "sync":
        return app.function(max_containers=2)(modal.concurrent(max_inputs=2)(body))
    if kind == "async":

        async def async_body(x: Any) -> Any:
            return body(x)

        return app.function(max_containers=2)(modal.concurrent(max_inputs=2)(async_body))

    async def waiting_body(x: Any) -> Any:
        await checkpoints(2)
        return body(x)

    return app.function(max_containers=2)(modal.concurrent(max_inputs=2)(waiting_body))


KINDS = ["sync", "async", "async-that-waits"]


@pytest.mark.parametrize("error", UNUSUAL, ids=lambda error: type(error).__name__)
@pytest.mark.parametrize("kind", KINDS)
def test_M9_13_an_unusual_exception_is_its_own_inputs_failure_only(
    run: Run, kind: str, error: BaseException
) -> None:
    app = modal.App("my-app")
    f = _pool_of(kind, app)

    async def main() -> None:
        async with app.run():
            calls = [f.spawn(error if number == 2 else number) for number in range(5)]
            with pytest.raises(type(error)) as caught:
                await calls[2].get.aio()
            assert error is caught.value
            for number in (0, 1, 3, 4):
                assert number == await calls[number].get.aio()
            with pytest.raises(type(error)):
                await f.remote.aio(error)
            assert 7 == await f.remote.aio(7)
            await at_rest(f)
            assert 2 == f.statistics().failed
            assert f.statistics().starts <= 2

    run(main)


@pytest.mark.parametrize("error", UNUSUAL, ids=lambda error: type(error).__name__)
@pytest.mark.parametrize("kind", KINDS)
def test_an_unusual_exception_in_a_map_is_raised_at_its_place(kind: str, error: BaseException) -> None:
    app = modal.App("my-app")
    f = _pool_of(kind, app)
    with app.run():
        taken = []
        with pytest.raises(type(error)):
            # Beyond Exception, so raised even so.
            taken.extend(f.map([0, 1, error, 3], return_exceptions=True))
        assert 9 == f.remote(9)


def test_M9_13_sys_exit_in_user_code_does_not_end_the_engine_of_other_functions() -> None:
    app = modal.App("my-app")
    f = _pool_of("async", app)
    with app.run():
        engines = [thread for thread in threading.enumerate() if thread.name.startswith("actorpool my-app")]
        for _ in range(3):
            with pytest.raises(SystemExit):
                f.remote(SystemExit(1))
        assert [True] == [thread.is_alive() for thread in engines]


# -- CancelledError that nobody asked for -------------------------------------------------------------------


@pytest.mark.parametrize("kind", KINDS)
def test_user_code_that_raises_cancelled_error_does_not_pass_for_the_callers_cancellation(
    run: Run, kind: str
) -> None:
    app = modal.App("my-app")
    f = _pool_of(kind, app)

    async def main() -> None:
        async with app.run():
            with pytest.raises(RemoteError, match="cancelled"):
                await f.remote.aio(asyncio.CancelledError())
            call = f.spawn(asyncio.CancelledError())
            with pytest.raises(RemoteError, match="cancelled"):
                await call.get.aio()
            with pytest.raises(RemoteError, match="cancelled"):
                async for _ in f.map.aio([0, asyncio.CancelledError()]):
                    pass
            results = [r async for r in f.map.aio([0, asyncio.CancelledError(), 2], return_exceptions=True)]
            assert [0, RemoteError, 2] == [r if isinstance(r, int) else type(r) for r in results]
            await at_rest(f)
            assert 1 == await f.remote.aio(1)

    run(main)


def test_user_code_that_awaits_what_was_cancelled_fails_alone() -> None:
    app = modal.App("my-app")

    @app.function()
    async def f() -> None:
        task = asyncio.create_task(asyncio.sleep(100))
        await asyncio.sleep(0)
        task.cancel()
        await task

    async def main() -> None:
        async with app.run():
            outcome = await asyncio.gather(f.remote.aio(), return_exceptions=True)
            assert [RemoteError] == [type(error) for error in outcome]

    asyncio.run(main())


# -- cancellation that is swallowed -------------------------------------------------------------------------


async def _stubborn(seconds: float) -> str:
    """Work on for `seconds`, whatever one says; on trio only a shield does that."""
    host = current_host()
    if host.name == "trio":
        with trio.CancelScope(shield=True):
            await host.sleep(seconds)
        return "done"
    until = host.now() + seconds
    while (left := until - host.now()) > 0:
        try:
            await asyncio.sleep(left)
        except asyncio.CancelledError:
            pass
    return "done"


def test_M9_2_an_input_that_swallows_its_cancellation_is_reported_and_its_result_dropped(
    run_virtually: Run, caplog: pytest.LogCaptureFixture
) -> None:
    app = modal.App("my-app")

    @app.function(max_containers=1)
    async def f(seconds: float) -> str:
        return await _stubborn(seconds)

    async def main() -> None:
        async with app.run(grace=5):
            call = f.spawn(30.0)
            await settle()
            call.cancel()
            with pytest.raises(RemoteError):
                await call.get.aio()
            await sleep(4.9)
            assert [] == caplog.messages
            await sleep(0.2)
            assert 1 == len(caplog.messages)
            assert "function 'f' was cancelled 5 s ago and still runs" in caplog.messages[0]
            assert (1, 1) == (f.statistics().running, f.statistics().abandoned)
            # Its slot is the only one: the next input has it when the work returns.
            started = now()
            assert "done" == await f.remote.aio(0.0)
            assert 24.9 == pytest.approx(now() - started, abs=0.01)
            await at_rest(f)

    with caplog.at_level(logging.WARNING, "actorpool"):
        run_virtually(main)


def test_closing_does_not_wait_for_ever_for_an_input_that_swallows_its_cancellation(
    run_virtually: Run, caplog: pytest.LogCaptureFixture
) -> None:
    app = modal.App("my-app")
    ended = Latch()

    @app.function()
    async def f() -> None:
        try:
            await _stubborn(1000.0)
        finally:
            ended.hit()

    async def main() -> None:
        async with app.run(grace=5):
            call = f.spawn()
            await settle()
            closing = now()
        assert now() - closing <= 15.1
        with pytest.raises(ClosedError):
            await call.get.aio()
        assert any("still run" in message for message in caplog.messages), caplog.messages
        # The coroutine that was abandoned goes on by itself.
        await ended.opened()
        assert 1000 == pytest.approx(now() - closing, abs=1)

    with caplog.at_level(logging.WARNING, "actorpool"):
        run_virtually(main)


def test_an_input_is_cancelled_once_and_may_clean_up_for_the_whole_grace_period(run_virtually: Run) -> None:
    app = modal.App("my-app")
    seen: list[object] = []

    @app.function()
    async def f() -> None:
        try:
            await sleep(1000)
        except BaseException as error:
            if isinstance(error, trio.Cancelled):
                # Level-triggered there: cleaning up takes a shield.
                with trio.CancelScope(shield=True):
                    await sleep(4)
            else:
                seen.append(error)
                await sleep(2)
                await sleep(2)
            seen.append("clean")
            raise

    async def main() -> None:
        with pytest.raises(ZeroDivisionError):
            async with app.run(grace=5):
                f.spawn()
                await settle()
                raise ZeroDivisionError
        assert "clean" == seen[-1]
        assert len(seen) <= 2

    run_virtually(main)


def test_an_exception_raised_while_being_cancelled_changes_nothing_for_the_caller(run_virtually: Run) -> None:
    app = modal.App("my-app")

    @app.function()
    async def f() -> None:
        try:
            await sleep(1000)
        finally:
            raise ValueError("in the clean-up")

    async def main() -> None:
        async with app.run():
            call = f.spawn()
            await settle()
            call.cancel()
            with pytest.raises(RemoteError, match="was cancelled"):
                await call.get.aio()
            await at_rest(f)
            assert (1, 0) == (f.statistics().cancelled, f.statistics().failed)

    run_virtually(main)


# -- odd results and odd arguments ---------------------------------------------------------------------------


@pytest.mark.parametrize("kind", KINDS)
def test_results_that_are_exceptions_or_odd_objects_are_results(run: Run, kind: str) -> None:
    app = modal.App("my-app")

    class Hostile:
        def __eq__(self, other: object) -> bool:
            raise RuntimeError("compared")

        __hash__ = None  # type: ignore[assignment]

        def __bool__(self) -> bool:
            raise RuntimeError("asked")

        def __repr__(self) -> str:
            raise RuntimeError("shown")

    if kind == "sync":

        @app.function()
        def f(x: Any) -> Any:
            return x[0]
    else:

        @app.function()
        async def f(x: Any) -> Any:
            await checkpoints(0 if kind == "async" else 1)
            return x[0]

    async def main() -> None:
        async with app.run():
            for odd in (Hostile(), ValueError("a result"), NotImplemented, StopIteration(3), None, ...):
                assert odd is await f.remote.aio([odd])
                assert [True] == [result is odd async for result in f.map.aio([[odd]])]

    run(main)


@pytest.mark.parametrize("kind", KINDS)
def test_wrong_arguments_are_a_type_error_of_that_input(run: Run, kind: str) -> None:
    app = modal.App("my-app")
    f = _pool_of(kind, app)

    async def main() -> None:
        async with app.run():
            with pytest.raises(TypeError, match="argument"):
                await f.remote.aio()
            with pytest.raises(TypeError, match="argument"):
                await f.remote.aio(1, 2)
            with pytest.raises(TypeError, match="argument"):
                await f.remote.aio(1, colour="red")
            assert [TypeError] == [type(r) async for r in f.map.aio([1], [2], return_exceptions=True)]
            assert 1 == await f.remote.aio(1)

    run(main)


def test_a_user_exception_that_cannot_be_shown_or_copied_is_raised_all_the_same(run: Run) -> None:
    app = modal.App("my-app")

    class Awkward(Exception):
        def __init__(self, a: int, b: int) -> None:
            super().__init__()

        def __str__(self) -> str:
            raise RuntimeError("no text")

    @app.function()
    async def f() -> None:
        raise Awkward(1, 2)

    async def main() -> None:
        async with app.run():
            with pytest.raises(Awkward):
                await f.remote.aio()
            spawned = f.spawn()
            for _ in range(2):
                with pytest.raises(Awkward):
                    await spawned.get.aio()

    run(main)


def test_stop_iteration_of_a_sync_function_keeps_its_cause(run: Run) -> None:
    app = modal.App("my-app")

    @app.function()
    def f() -> None:
        raise StopIteration(5)

    async def main() -> None:
        async with app.run():
            # Python turns a StopIteration that leaves a coroutine into a RuntimeError.
            with pytest.raises(RuntimeError, match="StopIteration") as caught:
                await f.remote.aio()
            assert isinstance(caught.value.__cause__, StopIteration)

    run(main)


def test_an_input_settled_on_its_way_to_the_loop_gives_its_slot_back(run_virtually: Run) -> None:
    app = modal.App("my-app")
    started = []

    @app.function(min_containers=1)
    async def f(x: int) -> int:
        started.append(x)
        return x

    async def main() -> None:
        async with app.run():
            await settle()

            def spawn_and_cancel() -> None:
                # The loop is busy here, so the input is still on its way when it is cancelled.
                for number in range(5):
                    f.spawn(number).cancel()

            thread = threading.Thread(target=spawn_and_cancel)
            thread.start()
            thread.join()
            await at_rest(f)
            assert 5 == f.statistics().cancelled
            assert [] == started
            gate = event()
            gate.set()
            assert 9 == await f.remote.aio(9)

    run_virtually(main)

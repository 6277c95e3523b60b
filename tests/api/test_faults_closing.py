# SPDX-License-Identifier: Apache-2.0
"""Closing an app: under load, after an error, and what those hear who come late."""

from __future__ import annotations

import asyncio
import logging
import threading
import time
from collections.abc import Callable
from typing import Any

import pytest

import actorpool as modal
from actorpool._host._current import current_host
from actorpool.exception import (
    ClosedError,
    ExecutionError,
    RemoteError,
)
from tests.actors.harness import echoing_class
from tests.api.support import Latch, collect, gather, now, sleep
from tests.hosts import settle
from tests.shared import shared

Run = Callable[..., Any]


# -- closing under load ---------------------------------------------------------------------------------------


def test_M9_4_leaving_the_body_finishes_every_accepted_input(app: modal.App, run_virtually: Run) -> None:
    @app.function(max_containers=3)
    async def f(x: int) -> int:
        await sleep(1)
        return x

    async def main() -> None:
        async with app.run():
            calls = [f.spawn(number) for number in range(20)]
        assert list(range(20)) == [await call.get.aio() for call in calls]
        assert 7 == now()

    run_virtually(main)


def test_threads_are_drained_likewise(app: modal.App, run: Run) -> None:
    @app.function(max_containers=2)
    def f(x: int) -> int:
        time.sleep(0.001)
        return x

    async def main() -> None:
        async with app.run():
            calls = [f.spawn(number) for number in range(20)]
        assert list(range(20)) == [await call.get.aio() for call in calls]

    run(main)


@pytest.mark.local_only("an input in a process holds the virtual clock while it waits for a call of its own")
def test_while_draining_accepted_inputs_may_call_others_but_nobody_else_may(
    app: modal.App, run_virtually: Run
) -> None:
    C = echoing_class(app, takes_s=1)

    @app.function()
    async def inner(x: int) -> int:
        await sleep(1)
        # A pool that did not exist when the closing began.
        return x + int(await C(x=x).f.remote.aio())

    @app.function()
    async def outer(x: int) -> int:
        await sleep(2)
        results = [result async for result in inner.map.aio([x, x + 1])]
        return sum(results)

    refused = shared([])

    async def outsider() -> None:
        await sleep(1)
        for verb, args in (
            (outer.remote, (1,)),
            (inner.remote, (1,)),
            (C(x=7).f.remote, ()),
            (C(x=1).f.spawn, ()),
        ):
            with pytest.raises(ClosedError):
                await verb.aio(*args)
            refused.append(now())

    async def main() -> None:
        async with current_host().open_nursery() as nursery:
            async with app.run():
                calls = [outer.spawn(number) for number in range(3)]
                nursery.start_soon(outsider)
            assert [2, 6, 10] == [await call.get.aio() for call in calls]
            assert 4 == now()
        assert [1, 1, 1, 1] == refused

    run_virtually(main)


def test_a_map_whose_app_is_closed_under_it_gets_what_was_accepted_and_then_the_error(
    app: modal.App, run_virtually: Run
) -> None:
    @app.function(max_containers=2)
    async def f(x: int) -> int:
        await sleep(1)
        return x

    taken: list[int] = []

    async def consumer() -> None:
        with pytest.raises(ClosedError):
            await collect(f.map.aio(range(100_000)), taken)

    async def main() -> None:
        async with current_host().open_nursery() as nursery:
            async with app.run(grace=1000):
                nursery.start_soon(consumer)
                await sleep(1.5)
        assert list(range(len(taken))) == taken
        assert len(taken) >= 4

    run_virtually(main)


def test_M9_4_an_exception_in_the_body_skips_the_drain(app: modal.App, run_virtually: Run) -> None:
    ended = shared([])

    @app.function(max_containers=2)
    async def f(x: int) -> None:
        try:
            await sleep(1000)
        finally:
            ended.append(x)

    async def main() -> None:
        with pytest.raises(ZeroDivisionError):
            async with app.run():
                calls = [f.spawn(number) for number in range(5)]
                await settle()
                raise ZeroDivisionError
        assert 0 == now()
        assert [0, 1] == sorted(ended)
        for call in calls:
            with pytest.raises(ClosedError, match="'f' was closed before this input had a result"):
                await call.get.aio()

    run_virtually(main)


def test_after_the_grace_period_the_rest_is_cancelled(app: modal.App, run_virtually: Run) -> None:
    @app.function(max_containers=1)
    async def f(seconds: float) -> float:
        await sleep(seconds)
        return seconds

    async def main() -> None:
        async with app.run(grace=5):
            calls = [f.spawn(seconds) for seconds in (2.0, 2.0, 100.0, 1.0)]
        assert 5 == now()
        outcomes = await gather(*[call.get.aio for call in calls])
        assert [2.0, 2.0] == outcomes[:2]
        assert [ClosedError, ClosedError] == [type(outcome) for outcome in outcomes[2:]]

    run_virtually(main)


@pytest.mark.parametrize("kind", ["sync", "async"])
def test_no_grace_at_all_still_leaves_nothing(
    app: modal.App, run: Run, kind: str, leaves_nothing: Callable[[], None]
) -> None:
    if kind == "sync":

        @app.function()
        def f() -> int:
            return 1
    else:

        @app.function()
        async def f() -> int:
            await sleep(0.001)
            return 1

    async def main() -> None:
        for _ in range(5):
            async with app.run(grace=0):
                await f.remote.aio()
                call = f.spawn()
            assert (1,) == tuple(set(await gather(call.get.aio)) - {1}) or await call_is_over(call)

    run(main)
    leaves_nothing()


async def call_is_over(call: Any) -> bool:
    """Return True once `call` has an outcome: a result or a ClosedError."""
    try:
        await call.get.aio()
    except ClosedError:
        pass
    return True


def test_inputs_waiting_for_a_retry_end_with_the_app(app: modal.App, run_virtually: Run) -> None:
    @app.function(retries=modal.Retries(max_retries=3, initial_delay=50))
    async def f() -> None:
        raise ValueError("again")

    async def main() -> None:
        async with app.run(grace=5):
            call = f.spawn()
            await settle()
            assert 1 == f.statistics().pending
        assert 5 == now()
        with pytest.raises(ClosedError):
            await call.get.aio()

    run_virtually(main)


def test_closing_while_containers_cannot_start_ends_within_the_grace_period(
    app: modal.App, run_virtually: Run
) -> None:
    @app.cls()
    class C:
        @modal.enter()
        async def load(self) -> None:
            await sleep(1000)

        @modal.method()
        async def f(self) -> None:
            pass

    async def main() -> None:
        async with app.run(grace=5):
            call = C().f.spawn()
        assert 5 == now()
        with pytest.raises(ClosedError):
            await call.get.aio()

    run_virtually(main)


def test_a_keyboard_interrupt_in_the_body_skips_the_drain(app: modal.App) -> None:
    inside = Latch()

    @app.function()
    async def f() -> None:
        inside.hit()
        await asyncio.sleep(100)

    with pytest.raises(KeyboardInterrupt):
        with app.run():
            call = f.spawn()
            inside.wait()
            raise KeyboardInterrupt
    with pytest.raises(ClosedError):
        call.get()


def test_a_body_that_is_cancelled_skips_the_drain(app: modal.App, run_virtually: Run) -> None:
    @app.function()
    async def f() -> None:
        await sleep(1000)

    async def life(calls: list[Any]) -> None:
        async with app.run():
            calls.append(f.spawn())
            await sleep(1e6)

    async def main() -> None:
        calls: list[Any] = []
        async with current_host().open_nursery() as nursery:
            nursery.start_soon(life, calls)
            await sleep(1)
            nursery.cancel()
        assert 1 == now()
        with pytest.raises(ClosedError):
            await calls[0].get.aio()

    run_virtually(main)


# -- what a closed pool says to those who are late ---------------------------------------------------------------


def test_a_call_that_was_cancelled_before_the_close_stays_cancelled(
    app: modal.App, run_virtually: Run
) -> None:
    @app.function()
    async def f() -> None:
        await sleep(1000)

    async def main() -> None:
        async with app.run(grace=1):
            call = f.spawn()
            await settle()
            call.cancel()
        with pytest.raises(RemoteError, match="was cancelled"):
            await call.get.aio()

    run_virtually(main)


@pytest.mark.local_only("virtual time in what is cut off elsewhere")
def test_an_input_that_cleans_up_after_the_abort_cannot_start_further_ones(
    app: modal.App, run_virtually: Run
) -> None:
    refused = shared([])

    @app.function()
    async def g() -> None:
        raise AssertionError("it ran")

    @app.function()
    async def f() -> None:
        try:
            await sleep(1000)
        finally:
            for verb in (g.remote.aio, g.spawn.aio):
                try:
                    await verb()
                except ExecutionError as error:
                    refused.append(type(error))

    async def main() -> None:
        async with app.run(grace=1):
            f.spawn()
            await settle()
        assert [ClosedError, ClosedError] == refused

    run_virtually(main)


def test_closing_waits_for_the_scheduled_run_under_way(app: modal.App, run_virtually: Run) -> None:
    done: list[float] = shared([])

    @app.function(schedule=modal.Period(seconds=10))
    async def f() -> None:
        await sleep(3)
        done.append(now())

    async def main() -> None:
        async with app.run():
            await sleep(11)
        assert [13.0] == done
        await sleep(100)
        assert [13.0] == done

    run_virtually(main)


def test_a_policy_that_cannot_be_made_fails_the_start_and_leaves_nothing(
    app: modal.App, run: Run, leaves_nothing: Callable[[], None]
) -> None:
    def no_policy() -> Any:
        raise LookupError("no policy")

    @app.function(policy=no_policy)
    async def f() -> None:
        pass

    async def main() -> None:
        with pytest.raises(LookupError):
            async with app.run():
                pass
        with pytest.raises(LookupError):
            await app.deploy.aio()
        assert "not running" in repr(app)

    run(main)
    with pytest.raises(LookupError):
        app.deploy()
    leaves_nothing()


@pytest.mark.local_only("looks at threads or the loop from outside")
@pytest.mark.slow
def test_a_coroutine_that_refuses_its_cancellation_does_not_hold_up_the_end_of_a_sync_run(
    app: modal.App, caplog: pytest.LogCaptureFixture, monkeypatch: pytest.MonkeyPatch
) -> None:
    from actorpool._host._engine import EngineThread

    stop = EngineThread.stop
    monkeypatch.setattr(EngineThread, "stop", lambda self, patience_s=None: stop(self, patience_s=0.05))
    over, inside = threading.Event(), Latch()

    @app.function()
    async def f() -> None:
        inside.hit()
        while not over.is_set():
            try:
                await asyncio.sleep(0.005)
            except asyncio.CancelledError:
                pass

    with caplog.at_level(logging.WARNING, "actorpool"):
        with app.run(grace=0.01):
            call = f.spawn()
            inside.wait()
        assert "not running" in repr(app)
    with pytest.raises(ClosedError):
        call.get()
    assert [
        "actorpool my-app still runs a coroutine that refused its cancellation; it ends when that returns"
    ] == [message for message in caplog.messages if "refused" in message]
    over.set()

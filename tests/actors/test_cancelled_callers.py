# SPDX-License-Identifier: Apache-2.0
"""Callers that give up: cancelled while pending, while running, and at every single step of a call."""

from __future__ import annotations

import asyncio
import threading
from collections.abc import Callable
from contextlib import aclosing
from typing import Any

import pytest

import actorpool as modal
from actorpool._host._current import current_host
from actorpool.exception import RemoteError
from tests.actors.harness import at_every_step, at_rest, cancelled_after, checkpoints
from tests.api.support import PATIENCE_S, Latch, event, sleep
from tests.hosts import settle

Run = Callable[..., Any]


async def _cancelled_when(ready: Callable[[], bool], async_fn: Callable[[], Any]) -> None:
    """Run `async_fn` in a task that is cancelled as soon as `ready()`."""
    host = current_host()
    async with host.open_nursery() as nursery:
        nursery.start_soon(async_fn)
        await settle()
        assert ready()
        nursery.cancel()


def test_a_cancelled_caller_takes_its_pending_input_out_at_once(run_virtually: Run) -> None:
    app = modal.App("my-app")
    started = []

    @app.function(max_containers=1)
    async def f(name: str, gate: Any) -> None:
        started.append(name)
        await gate.wait()

    async def main() -> None:
        async with app.run():
            gate = event()
            first = f.spawn("first", gate)
            await _cancelled_when(lambda: f.statistics().pending == 1, lambda: f.remote.aio("second", gate))
            assert (1, 0) == (f.statistics().running, f.statistics().pending)
            gate.set()
            await first.get.aio()
            await at_rest(f)
            assert ["first"] == started
            assert 1 == f.statistics().cancelled

    run_virtually(main)


def test_M9_2_M9_4_a_cancelled_caller_cancels_its_running_async_input_once(run_virtually: Run) -> None:
    app = modal.App("my-app")
    seen = []

    @app.function()
    async def f() -> None:
        try:
            await sleep(100)
        except BaseException as error:
            seen.append(type(error).__name__)
            raise

    async def main() -> None:
        async with app.run():
            await _cancelled_when(lambda: f.statistics().running == 1, f.remote.aio)
            await at_rest(f)
            assert seen in (["CancelledError"], ["Cancelled"])
            assert 1 == f.statistics().cancelled

    run_virtually(main)


def test_M9_1_a_cancelled_caller_leaves_a_thread_running_and_its_result_is_dropped(
    run_virtually: Run,
) -> None:
    app = modal.App("my-app")
    go, inside = threading.Event(), Latch()

    @app.function()
    def f() -> int:
        inside.hit()
        assert go.wait(PATIENCE_S)
        return 1

    async def main() -> None:
        async with app.run():
            host = current_host()
            async with host.open_nursery() as nursery:
                nursery.start_soon(f.remote.aio)
                await inside.opened()
                nursery.cancel()
            assert (1, 1) == (f.statistics().running, f.statistics().abandoned)
            go.set()
            # The next input takes the slot when the thread has come back.
            assert 1 == await f.remote.aio()
            await at_rest(f)
            assert (1, 1) == (f.statistics().cancelled, f.statistics().succeeded)

    run_virtually(main)


def test_cancelling_the_caller_reaches_the_inputs_of_its_inputs(run_virtually: Run) -> None:
    app = modal.App("my-app")
    ended = []

    @app.function()
    async def inner() -> None:
        try:
            await sleep(100)
        finally:
            ended.append("inner")

    @app.function()
    async def outer() -> None:
        try:
            await inner.remote.aio()
        finally:
            ended.append("outer")

    async def main() -> None:
        async with app.run():
            await _cancelled_when(lambda: inner.statistics().running == 1, outer.remote.aio)
            await at_rest(inner, outer)
            assert {"inner", "outer"} == set(ended)

    run_virtually(main)


# -- at every step -------------------------------------------------------------------------------------------


class _Functions:
    """One app with a function of each kind."""

    def __init__(self, **settings: Any) -> None:
        app = self.app = modal.App("my-app")

        @app.function(name="waits", **settings)
        async def waits(x: int) -> int:
            await checkpoints(2)
            return x + 1

        @app.function(name="returns", **settings)
        async def returns(x: int) -> int:
            return x + 1

        @app.function(name="in_thread", **settings)
        def in_thread(x: int) -> int:
            return x + 1

        self.waits, self.returns, self.in_thread = waits, returns, in_thread


KINDS = ["waits", "returns", "in_thread"]
SETTINGS: list[dict[str, Any]] = [{}, {"max_containers": 1}, {"scaledown_window": 0.001}]


@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize("settings", SETTINGS, ids=["default", "one-container", "short-window"])
def test_remote_may_be_cancelled_at_every_step(
    run_virtually: Run, kind: str, settings: dict[str, Any]
) -> None:
    functions = _Functions(**settings)
    f = getattr(functions, kind)

    async def main() -> None:
        async with functions.app.run():

            async def call() -> None:
                assert 2 == await f.remote.aio(1)

            async def afterwards() -> None:
                assert 3 == await f.remote.aio(2)
                await at_rest(f)
                # A cold start each time.
                await sleep(61)
                assert 0 == f.statistics().containers

            assert await at_every_step(call, afterwards) >= 1
            assert 0 == f.statistics().failed

    run_virtually(main)


@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize("settings", SETTINGS, ids=["default", "one-container", "short-window"])
def test_map_may_be_cancelled_at_every_step(run_virtually: Run, kind: str, settings: dict[str, Any]) -> None:
    functions = _Functions(**settings)
    f = getattr(functions, kind)

    async def main() -> None:
        async with functions.app.run():

            async def call() -> None:
                assert [1, 2, 3, 4] == [result async for result in f.map.aio(range(4))]

            async def afterwards() -> None:
                assert 3 == await f.remote.aio(2)
                await at_rest(f)

            assert await at_every_step(call, afterwards) >= 1
            assert 0 == f.statistics().failed

    run_virtually(main)


def test_a_map_of_an_async_iterator_may_be_cancelled_at_every_step(run_virtually: Run) -> None:
    functions = _Functions()
    f = functions.waits
    closed = 0

    async def numbers() -> Any:
        nonlocal closed
        try:
            for number in range(3):
                await checkpoints(1)
                yield number
        finally:
            closed += 1

    async def main() -> None:
        async with functions.app.run():

            async def call() -> None:
                async with aclosing(numbers()) as source:
                    assert [1, 2, 3] == [result async for result in f.map.aio(source)]

            async def afterwards() -> None:
                assert 3 == await f.remote.aio(2)
                await at_rest(f)

            assert await at_every_step(call, afterwards) >= 1

    run_virtually(main)


@pytest.mark.parametrize("kind", KINDS)
def test_get_may_be_cancelled_at_every_step_and_the_input_goes_on(run_virtually: Run, kind: str) -> None:
    functions = _Functions()
    f = getattr(functions, kind)

    async def main() -> None:
        async with functions.app.run():
            calls = []

            async def call() -> None:
                spawned = await f.spawn.aio(1)
                calls.append(spawned)
                assert 2 == await spawned.get.aio()

            async def afterwards() -> None:
                for spawned in calls:
                    assert 2 == await spawned.get.aio()
                await at_rest(f)

            assert await at_every_step(call, afterwards) >= 1
            assert 0 == f.statistics().cancelled

    run_virtually(main)


@pytest.mark.parametrize("kind", KINDS)
def test_for_each_may_be_cancelled_at_every_step(run_virtually: Run, kind: str) -> None:
    functions = _Functions(max_containers=2)
    f = getattr(functions, kind)

    async def main() -> None:
        async with functions.app.run():

            async def call() -> None:
                await f.for_each.aio(range(4))

            async def afterwards() -> None:
                assert 3 == await f.remote.aio(2)
                await at_rest(f)

            assert await at_every_step(call, afterwards) >= 1

    run_virtually(main)


def test_entering_and_leaving_an_app_may_be_cancelled_at_every_step(run_virtually: Run) -> None:
    functions = _Functions(min_containers=1)
    app, f = functions.app, functions.in_thread

    async def main() -> None:
        async def whole_life() -> None:
            async with app.run():
                assert 2 == await f.remote.aio(1)

        async def afterwards() -> None:
            await settle()
            assert "not running" in repr(app)
            async with app.run():
                assert 3 == await f.remote.aio(2)

        assert await at_every_step(whole_life, afterwards) >= 2

    run_virtually(main)


def test_a_stop_may_be_cancelled_at_every_step_and_nothing_is_left(run_virtually: Run) -> None:
    functions = _Functions()
    app, f = functions.app, functions.waits

    async def main() -> None:
        completed, steps = False, 0
        while not completed:
            await app.deploy.aio()
            spawned = [f.spawn(number) for number in range(3)]
            completed = await cancelled_after(steps, app.stop.aio)
            if completed or steps:
                assert "not running" in repr(app)
            await app.stop.aio()
            for call in spawned:
                try:
                    await call.get.aio()
                except modal.exception.ClosedError:
                    assert not completed
            steps += 1

    run_virtually(main)


# -- what cancellation of a call means to others -----------------------------------------------------------


def test_cancelling_a_spawned_call_shows_as_remote_error_to_each_who_waits(run_virtually: Run) -> None:
    app = modal.App("my-app")

    @app.function(max_containers=1)
    async def f() -> None:
        await sleep(100)

    async def main() -> None:
        async with app.run():
            running, pending = f.spawn(), f.spawn()
            await settle()
            await pending.cancel.aio()
            running.cancel()
            for call in (running, pending, running):
                with pytest.raises(RemoteError, match="was cancelled"):
                    await call.get.aio()
            await at_rest(f)
            running.cancel()
            assert 2 == f.statistics().cancelled

    run_virtually(main)


def test_one_cancelled_call_of_many_leaves_the_others_alone(run_virtually: Run) -> None:
    app = modal.App("my-app")

    @app.function()
    @modal.concurrent(max_inputs=10)
    async def f(x: int) -> int:
        await sleep(1)
        return x

    async def main() -> None:
        async with app.run():
            calls = [f.spawn(number) for number in range(10)]
            await sleep(0.5)
            calls[3].cancel()
            results: list[int | None] = []
            for call in calls:
                try:
                    results.append(await call.get.aio())
                except RemoteError:
                    results.append(None)
            assert [0, 1, 2, None, 4, 5, 6, 7, 8, 9] == results

    run_virtually(main)


def test_an_interrupted_sync_caller_cancels_its_input(monkeypatch: pytest.MonkeyPatch) -> None:
    from actorpool import _verbs

    app = modal.App("my-app")

    @app.function()
    async def f() -> None:
        await asyncio.sleep(100)

    class Interrupted:
        """A lock whose thread is interrupted once it waits."""

        def __init__(self) -> None:
            self.free = True

        def acquire(self) -> None:
            if not self.free:
                raise KeyboardInterrupt
            self.free = False

        def __exit__(self, *_: object) -> None:
            locks.append(self)

    locks: list[Interrupted] = []
    with app.run():
        with monkeypatch.context() as patched:
            patched.setattr(_verbs, "allocate_lock", Interrupted)
            with pytest.raises(KeyboardInterrupt):
                f.remote()
        assert 1 == f.statistics().cancelled
    # It is told, though nobody waits for it any more.
    assert 1 == len(locks)

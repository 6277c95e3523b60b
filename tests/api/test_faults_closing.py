# SPDX-License-Identifier: Apache-2.0
"""Closing an app: under load, after an error, from elsewhere, more than once, and not at all."""

from __future__ import annotations

import asyncio
import functools
import gc
import logging
import threading
import time
from collections.abc import Callable, Iterator
from typing import Any

import pytest
import trio

import actorpool as modal
from actorpool._host._base import current_host
from actorpool.exception import (
    ClosedError,
    ConflictError,
    ExecutionError,
    InvalidError,
    NotFoundError,
    RemoteError,
)
from tests.actors.harness import in_thread, off_loop
from tests.api.support import PATIENCE_S, Latch, gather, now, sleep
from tests.hosts import Leftovers, settle

Run = Callable[..., Any]


@pytest.fixture
def app() -> modal.App:
    return modal.App("my-app")


@pytest.fixture
def leaves_nothing() -> Iterator[Callable[[], None]]:
    """A function that says whether threads and file descriptors are as they were at the start of the test."""
    leftovers = Leftovers()

    def check() -> None:
        assert [] == leftovers.found()

    yield check
    check()


# -- closing under load ---------------------------------------------------------------------------------------


def test_leaving_the_body_finishes_every_accepted_input(app: modal.App, run_virtually: Run) -> None:
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


def test_while_draining_accepted_inputs_may_call_others_but_nobody_else_may(
    app: modal.App, run_virtually: Run
) -> None:
    @app.cls()
    class C:
        x: int = modal.parameter()

        @modal.method()
        async def f(self) -> int:
            await sleep(1)
            return self.x

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

    refused = []

    async def outsider() -> None:
        await sleep(1)
        for call in (
            lambda: outer.remote.aio(1),
            lambda: inner.remote.aio(1),
            lambda: C(x=7).f.remote.aio(),
            lambda: C(x=1).f.spawn.aio(),
        ):
            with pytest.raises(ClosedError):
                await call()
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

    taken = []

    async def consumer() -> None:
        with pytest.raises(ClosedError):
            async for result in f.map.aio(range(100_000)):
                taken.append(result)

    async def main() -> None:
        async with current_host().open_nursery() as nursery:
            async with app.run(grace=1000):
                nursery.start_soon(consumer)
                await sleep(1.5)
        assert list(range(len(taken))) == taken
        assert len(taken) >= 4

    run_virtually(main)


def test_an_exception_in_the_body_skips_the_drain(app: modal.App, run_virtually: Run) -> None:
    ended = []

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


# -- closing from elsewhere, more than once ------------------------------------------------------------------


def test_an_app_may_be_stopped_from_another_task(app: modal.App, run_virtually: Run) -> None:
    @app.function()
    async def f(seconds: float) -> float:
        await sleep(seconds)
        return seconds

    async def main() -> None:
        async with app.run():
            call = f.spawn(3.0)
            async with current_host().open_nursery() as nursery:
                for _ in range(3):
                    nursery.start_soon(app.stop.aio)
            assert 3 == now()
            assert 3.0 == await call.get.aio()
            with pytest.raises(ExecutionError, match="not running"):
                await f.remote.aio(1.0)

    run_virtually(main)


def test_an_app_may_be_stopped_from_a_thread(app: modal.App, run: Run) -> None:
    @app.function()
    async def f() -> int:
        return 1

    async def main() -> None:
        async with app.run():
            call = f.spawn()
            await off_loop(app.stop)
            assert 1 == await call.get.aio()
        await app.deploy.aio()
        await off_loop(app.stop)
        with pytest.raises(NotFoundError):
            await modal.Function.from_name("my-app", "f").remote.aio()

    run(main)


def test_an_app_may_be_stopped_from_another_loop(app: modal.App, run: Run) -> None:
    @app.function()
    async def f() -> int:
        return 1

    async def main() -> None:
        await app.deploy.aio()
        assert 1 == await f.remote.aio()
        await off_loop(lambda: asyncio.run(app.stop.aio()))
        await app.deploy.aio()
        assert 1 == await f.remote.aio()
        await off_loop(lambda: trio.run(app.stop.aio))
        assert "not running" in repr(app)

    run(main)


def test_functions_may_be_called_from_other_loops_and_threads(app: modal.App, run: Run) -> None:
    @app.function()
    async def f(x: int) -> int:
        await sleep(0)
        return x + 1

    @app.function()
    def g(x: int) -> int:
        return x + 1

    async def elsewhere() -> list[int]:
        results = [await h.remote.aio(1) for h in (f, g)]
        results += [r for h in (f, g) for r in [r async for r in h.map.aio(range(5))]]
        results += [await h.spawn(1).get.aio() for h in (f, g)]
        return results

    def in_sync_code() -> list[int]:
        results = [h.remote(1) for h in (f, g)]
        results += [r for h in (f, g) for r in h.map(range(5))]
        results += [h.spawn(1).get() for h in (f, g)]
        return results

    expected = [2, 2, 1, 2, 3, 4, 5, 1, 2, 3, 4, 5, 2, 2]

    async def main() -> None:
        async with app.run():
            assert expected == await elsewhere()
            assert expected == await off_loop(lambda: asyncio.run(elsewhere()))
            assert expected == await off_loop(lambda: trio.run(elsewhere))
            assert expected == await off_loop(in_sync_code)

    run(main)


def test_an_app_may_be_stopped_by_several_threads_at_once(app: modal.App) -> None:
    @app.function()
    def f(x: int) -> int:
        return x

    for _ in range(5):
        app.deploy()
        call = f.spawn(1)
        together = threading.Barrier(3)

        def stop(together: threading.Barrier = together) -> None:
            together.wait(PATIENCE_S)
            app.stop()

        for result in [in_thread(stop) for _ in range(3)]:
            result()
        assert 1 == call.get()
        assert "not running" in repr(app)


@pytest.mark.parametrize("kind", ["sync", "async"])
@pytest.mark.parametrize("lives_on", ["this loop", "an engine thread"])
def test_an_app_that_is_stopped_from_inside_an_input_ends_within_the_grace_period(
    app: modal.App,
    kind: str,
    lives_on: str,
    caplog: pytest.LogCaptureFixture,
    leaves_nothing: Callable[[], None],
) -> None:
    ended = threading.Event()
    if kind == "sync":

        @app.function()
        def f() -> None:
            try:
                app.stop()
            finally:
                ended.set()
    else:

        @app.function()
        async def f() -> None:
            try:
                await app.stop.aio()
            finally:
                ended.set()

    async def on_this_loop() -> None:
        await app.deploy.aio(grace=0.02)
        call = f.spawn()
        with pytest.raises(ClosedError):
            await call.get.aio()
        while not ended.is_set():
            await asyncio.sleep(0.001)
        await app.stop.aio()

    with caplog.at_level(logging.CRITICAL, "actorpool"):
        if lives_on == "this loop":
            asyncio.run(on_this_loop())
        else:
            app.deploy(grace=0.02)
            call = f.spawn()
            with pytest.raises(ClosedError):
                call.get()
            assert ended.wait(PATIENCE_S)
    for _ in range(1000):
        if "not running" in repr(app):
            break
        time.sleep(0.001)
    leaves_nothing()


def test_a_run_that_ended_does_not_end_the_next_one(app: modal.App) -> None:
    @app.function()
    def f() -> int:
        return 1

    with app.run():
        app.stop()
        app.deploy()
    try:
        assert 1 == f.remote()
    finally:
        app.stop()


# -- deploy, redeploy, stop ------------------------------------------------------------------------------------


def test_a_redeployment_lets_the_old_containers_finish(app: modal.App, run_virtually: Run) -> None:
    generation = 0

    @app.cls(max_containers=1)
    class C:
        @modal.enter()
        async def load(self) -> None:
            self.generation = generation

        @modal.method()
        async def f(self, seconds: float) -> int:
            await sleep(seconds)
            return self.generation

    async def main() -> None:
        nonlocal generation
        await app.deploy.aio(grace=100)
        obj = modal.Cls.from_name("my-app", "C")()
        old = [obj.f.spawn(5.0) for _ in range(3)]
        await settle()
        generation = 1
        await app.deploy.aio()
        assert 1 == await obj.f.remote.aio(1.0)
        assert 1 == now()
        assert [0, 0, 0] == [await call.get.aio() for call in old]
        assert 15 == now()
        await app.stop.aio()

    run_virtually(main)


def test_a_redeployment_that_recreates_ends_the_old_containers_first(
    app: modal.App, run_virtually: Run
) -> None:
    @app.function(max_containers=1)
    async def f(seconds: float) -> float:
        await sleep(seconds)
        return seconds

    async def main() -> None:
        await app.deploy.aio(grace=7)
        old = [f.spawn(5.0) for _ in range(3)]
        await app.deploy.aio(strategy="recreate")
        assert 7 == now()
        outcomes = await gather(*[call.get.aio for call in old])
        assert [5.0, ClosedError, ClosedError] == [o if isinstance(o, float) else type(o) for o in outcomes]
        assert 1.0 == await f.remote.aio(1.0)
        await app.stop.aio()

    run_virtually(main)


@pytest.mark.parametrize("strategy", ["rolling", "recreate"])
def test_a_redeployment_in_sync_code_leaves_nothing_of_the_old_one(
    app: modal.App, strategy: str, leaves_nothing: Callable[[], None]
) -> None:
    @app.function()
    def f() -> int:
        return 1

    app.deploy()
    try:
        f.update_autoscaler(max_containers=7)
        for _ in range(3):
            call = f.spawn()
            app.deploy(strategy=strategy)
            assert f.statistics().settings.max_containers is None
            assert 1 == call.get()
            assert 1 == f.remote()
    finally:
        app.stop()
    leaves_nothing()


@pytest.mark.parametrize("wrong", [{"grace": -1}, {"strategy": "blue"}])
def test_a_redeployment_that_is_refused_leaves_the_old_one_at_work(
    app: modal.App, run: Run, wrong: Any
) -> None:
    @app.function()
    async def f() -> int:
        return 1

    async def main() -> None:
        await app.deploy.aio()
        with pytest.raises(InvalidError):
            await app.deploy.aio(**wrong)
        assert 1 == await f.remote.aio()
        assert 1 == await modal.Function.from_name("my-app", "f").remote.aio()
        await app.stop.aio()
        app_is_deployed = "deployed" in repr(app)
        assert not app_is_deployed

    run(main)
    app.deploy()
    try:
        with pytest.raises(InvalidError):
            app.deploy(**wrong)
        assert 1 == f.remote()
    finally:
        app.stop()


def test_a_deployment_whose_start_fails_leaves_the_old_one_at_work(
    app: modal.App, monkeypatch: pytest.MonkeyPatch, leaves_nothing: Callable[[], None]
) -> None:
    from actorpool._host._engine import EngineThread

    @app.function()
    def f() -> int:
        return 1

    def fails(_self: EngineThread) -> None:
        raise RuntimeError("can't start new thread")

    app.deploy()
    try:
        with monkeypatch.context() as patched:
            patched.setattr(EngineThread, "start", fails)
            with pytest.raises(RuntimeError, match="can't start new thread"):
                app.deploy()
        assert 1 == f.remote()
        assert 1 == modal.Function.from_name("my-app", "f").remote()
    finally:
        app.stop()
    leaves_nothing()


def test_another_app_may_be_deployed_under_the_name_and_the_first_one_drains(run_virtually: Run) -> None:
    def make(version: int) -> tuple[modal.App, Any]:
        app = modal.App("my-app")

        @app.function()
        async def f() -> int:
            await sleep(1)
            return version

        return app, f

    async def main() -> None:
        first, f = make(1)
        second, _ = make(2)
        await first.deploy.aio()
        looked_up = modal.Function.from_name("my-app", "f")
        call = looked_up.spawn()
        await settle()
        await second.deploy.aio()
        assert 2 == await looked_up.remote.aio()
        assert 1 == await call.get.aio()
        assert "not running" in repr(first)
        with pytest.raises(ExecutionError, match="not running"):
            await f.remote.aio()
        # The name is the other's now.
        await first.stop.aio()
        assert 2 == await looked_up.remote.aio()
        await second.stop.aio()
        with pytest.raises(NotFoundError):
            await looked_up.remote.aio()

    run_virtually(main)


def test_a_deployed_app_cannot_be_run_as_well(app: modal.App, run: Run) -> None:
    @app.function()
    async def f() -> int:
        return 1

    async def main() -> None:
        await app.deploy.aio()
        with pytest.raises(ConflictError):
            async with app.run():
                pass
        assert 1 == await f.remote.aio()
        await app.stop.aio()
        async with app.run():
            assert 1 == await f.remote.aio()

    run(main)


def test_a_class_that_cannot_be_warmed_fails_the_start_and_leaves_nothing(
    app: modal.App, run: Run, leaves_nothing: Callable[[], None]
) -> None:
    @app.cls(min_containers=1)
    class C:
        # What tells pools apart must be hashable; this default is not.
        def __init__(self, items: Any = []) -> None:  # noqa: B006
            pass

        @modal.method()
        async def f(self) -> None:
            pass

    async def main() -> None:
        with pytest.raises(ValueError, match="hashable"):
            async with app.run():
                pass
        assert "not running" in repr(app)

    run(main)
    with pytest.raises(ValueError, match="hashable"):
        with app.run():
            pass
    assert "not running" in repr(app)
    leaves_nothing()


# -- a loop that ends before its app --------------------------------------------------------------------------


def _deployed(app: modal.App, inside: Latch) -> dict[str, Any]:
    """Give `app` functions of each kind that hang until they are cut off."""
    go = threading.Event()

    @app.function(max_containers=1)
    async def hangs() -> None:
        inside.hit()
        await sleep(1e5)

    @app.function(max_containers=1)
    def hangs_in_a_thread() -> None:
        inside.hit()
        assert go.wait(PATIENCE_S)

    @app.function()
    async def idles() -> int:
        return 1

    @app.function()
    def idles_in_a_thread() -> int:
        return 1

    return {
        "go": go,
        "hangs": hangs,
        "hangs_in_a_thread": hangs_in_a_thread,
        "idles": idles,
        "idles_in_a_thread": idles_in_a_thread,
    }


WAITING: dict[str, Callable[[Any], Any]] = {
    "remote": lambda f: f.remote(),
    "map": lambda f: list(f.starmap([()] * 5)),
    "get": lambda f: f.spawn().get(),
    "another loop": lambda f: asyncio.run(f.remote.aio()),
    "a trio run": lambda f: trio.run(f.remote.aio),
    "a map on another loop": lambda f: asyncio.run(_listed(f.starmap.aio([()] * 5))),
}


async def _listed(results: Any) -> list[Any]:
    return [result async for result in results]


def _check_dead(app: modal.App, functions: dict[str, Any]) -> None:
    """Every call is refused with an error, none hangs; the app can be stopped and run again."""
    for name in ("idles", "idles_in_a_thread", "hangs"):
        f = functions[name]
        for call in (f.remote, f.spawn, lambda f=f: list(f.starmap([()]))):
            with pytest.raises(ExecutionError):
                in_thread(call)()
    in_thread(app.stop)()
    with app.run():
        assert 1 == functions["idles"].remote()
        assert 1 == functions["idles_in_a_thread"].remote()


@pytest.mark.parametrize("way", WAITING)
def test_callers_in_threads_get_an_error_when_the_loop_ends_without_the_app(
    app: modal.App, run: Run, way: str, leaves_nothing: Callable[[], None]
) -> None:
    """The run cancels every task at its end, the app's too."""
    inside = Latch(2)
    functions = _deployed(app, inside)
    results: list[Callable[[], Any]] = []

    async def main() -> None:
        await app.deploy.aio(grace=0.02)
        assert 1 == await functions["idles"].remote.aio()
        assert 1 == await functions["idles_in_a_thread"].remote.aio()
        for name in ("hangs", "hangs_in_a_thread"):
            # One that runs and one that is pending.
            for _ in range(2):
                results.append(in_thread(functools.partial(WAITING[way], functions[name])))
        await inside.opened()

    _run_without_task_check(run, main)
    for result in results:
        # The end of the run cancels the inputs as well, perhaps before the app has said why.
        with pytest.raises((ClosedError, RemoteError)):
            result()
    functions["go"].set()
    _check_dead(app, functions)
    leaves_nothing()


def _run_without_task_check(run: Run, main: Callable[[], Any]) -> None:
    host_name = run.args[0]  # type: ignore[attr-defined]
    if host_name == "trio":
        trio.run(main)
        return
    from tests.hosts import _new_loop

    with asyncio.Runner(loop_factory=lambda: _new_loop(host_name)) as runner:
        runner.run(main())


@pytest.mark.parametrize("way", WAITING)
@pytest.mark.parametrize("loop_kind", ["asyncio", "asyncio+uvloop"])
def test_callers_in_threads_get_an_error_when_the_loop_is_closed_with_the_app_open(
    app: modal.App,
    loop_kind: str,
    way: str,
    leaves_nothing: Callable[[], None],
    caplog: pytest.LogCaptureFixture,
) -> None:
    """Nobody cancels the tasks then: they are simply never run again."""
    from tests.hosts import _new_loop

    inside = Latch(2)
    functions = _deployed(app, inside)
    results: list[Callable[[], Any]] = []

    async def main() -> None:
        await app.deploy.aio(grace=0.02)
        assert 1 == await functions["idles"].remote.aio()
        assert 1 == await functions["idles_in_a_thread"].remote.aio()
        for name in ("hangs", "hangs_in_a_thread"):
            for _ in range(2):
                results.append(in_thread(functools.partial(WAITING[way], functions[name])))
        await inside.opened()

    loop = _new_loop(loop_kind)
    loop.run_until_complete(main())
    with caplog.at_level(logging.WARNING, "actorpool"):
        loop.close()
    assert 1 == sum("was closed" in message for message in caplog.messages), caplog.messages
    for result in results:
        with pytest.raises(ClosedError):
            result()
    functions["go"].set()
    _check_dead(app, functions)
    results.clear()
    del loop, main
    gc.collect()
    leaves_nothing()


def test_closing_a_loop_after_its_app_says_nothing(app: modal.App, caplog: pytest.LogCaptureFixture) -> None:
    @app.function()
    def f() -> int:
        return 1

    async def main() -> None:
        async with app.run():
            assert 1 == await f.remote.aio()

    with caplog.at_level(logging.WARNING, "actorpool"):
        for _ in range(3):
            loop = asyncio.new_event_loop()
            loop.run_until_complete(main())
            loop.close()
    assert [] == caplog.messages


def test_a_deployed_app_whose_loop_ended_can_be_deployed_again(app: modal.App, run: Run) -> None:
    @app.function()
    async def f() -> int:
        return 1

    async def main() -> None:
        await app.deploy.aio()
        assert 1 == await f.remote.aio()

    for _ in range(3):
        _run_without_task_check(run, main)
        with pytest.raises(ExecutionError):
            in_thread(modal.Function.from_name("my-app", "f").remote)()
    app.stop()
    with pytest.raises(NotFoundError):
        modal.Function.from_name("my-app", "f").remote()


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


def test_an_input_that_cleans_up_after_the_abort_cannot_start_further_ones(
    app: modal.App, run_virtually: Run
) -> None:
    refused = []

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
    done: list[float] = []

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

# SPDX-License-Identifier: Apache-2.0
"""Calls that cannot be served: the app does not run, is closed, is not there at all, or would be blocked."""

from __future__ import annotations

import asyncio
import threading
from collections.abc import Callable
from typing import Any

import pytest

import actorpool as modal
from actorpool.exception import (
    AsyncUsageWarning,
    ClosedError,
    ExecutionError,
    InvalidError,
    NotFoundError,
)
from tests.api.support import sleep

pytestmark = pytest.mark.conformance

Run = Callable[..., Any]


SYNC_VERBS: dict[str, Callable[[Any], object]] = {
    "remote": lambda f: f.remote(1),
    "map": lambda f: list(f.map([1])),
    "starmap": lambda f: list(f.starmap([(1,)])),
    "for_each": lambda f: f.for_each([1]),
    "spawn": lambda f: f.spawn(1),
    "update_autoscaler": lambda f: f.update_autoscaler(min_containers=1),
    "get_current_stats": lambda f: f.get_current_stats(),
    "statistics": lambda f: f.statistics(),
    "hydrate": lambda f: f.hydrate(),
}


async def _consume(results: Any) -> None:
    async for _ in results:
        pass


ASYNC_VERBS: dict[str, Callable[[Any], Any]] = {
    "remote": lambda f: f.remote.aio(1),
    "map": lambda f: _consume(f.map.aio([1])),
    "starmap": lambda f: _consume(f.starmap.aio([(1,)])),
    "for_each": lambda f: f.for_each.aio([1]),
    "spawn": lambda f: f.spawn.aio(1),
    "update_autoscaler": lambda f: f.update_autoscaler.aio(min_containers=1),
    "get_current_stats": lambda f: f.get_current_stats.aio(),
}


# -- the app does not run ------------------------------------------------------------------------------------


@pytest.mark.parametrize("verb", SYNC_VERBS)
def test_a_verb_of_an_app_that_does_not_run_says_how_to_run_it(app: modal.App, f: Any, verb: str) -> None:
    def refused() -> None:
        with pytest.raises(ExecutionError, match=r"'f'.*app 'my-app' is not running.*app\.run\(\)"):
            SYNC_VERBS[verb](f)

    refused()
    with app.run():
        assert 2 == f.remote(1)
    refused()
    with app.run():
        SYNC_VERBS[verb](f)
    refused()


@pytest.mark.parametrize("verb", ASYNC_VERBS)
def test_an_async_verb_of_an_app_that_does_not_run_says_so(
    app: modal.App, f: Any, run: Run, verb: str
) -> None:
    async def main() -> None:
        async def refused() -> None:
            with pytest.raises(ExecutionError, match="app 'my-app' is not running"):
                # Some are refused where they are called, before anything is awaited.
                await ASYNC_VERBS[verb](f)

        await refused()
        async with app.run():
            await ASYNC_VERBS[verb](f)
        await refused()

    run(main)


def test_a_method_of_an_app_that_does_not_run_says_so(app: modal.App) -> None:
    @app.cls()
    class C:
        @modal.method()
        def f(self, x: int) -> int:
            return x + 1

    obj: Any = C()
    for verb, call in SYNC_VERBS.items():
        with pytest.raises(ExecutionError, match="not running"):
            call(obj if verb == "update_autoscaler" else obj.f)
    with app.run():
        assert 2 == obj.f.remote(1)
    with pytest.raises(ExecutionError, match="not running"):
        obj.f.remote(1)


def test_local_works_whether_or_not_the_app_runs(app: modal.App, f: Any) -> None:
    assert 2 == f.local(1)
    with app.run():
        assert 2 == f.local(1)
    assert 2 == f.local(1)


def test_an_async_verb_outside_of_any_loop_says_what_it_needs(app: modal.App, f: Any) -> None:
    with app.run():
        coroutine = f.remote.aio(1)
        with pytest.raises(InvalidError, match="needs a running asyncio loop or trio run"):
            coroutine.send(None)
        # Nothing to wait for, so no loop is needed.
        with pytest.raises(StopIteration) as spawned:
            f.spawn.aio(1).send(None)
        assert 2 == spawned.value.value.get()


# -- results after the close ---------------------------------------------------------------------------------


def test_results_of_finished_calls_outlive_the_app(app: modal.App, f: Any) -> None:
    with app.run():
        call = f.spawn(1)
        failed = f.spawn("no number")
    for _ in range(2):
        assert 2 == call.get()
        assert 2 == call.get(timeout=0)
        with pytest.raises(TypeError, match="concatenate"):
            failed.get()
    call.cancel()
    assert 2 == call.get()
    assert 2 == modal.FunctionCall.from_id(call.object_id).get()


def test_calls_cut_off_by_the_close_say_so_for_ever(app: modal.App) -> None:
    @app.function(max_containers=1)
    async def slow() -> None:
        await asyncio.sleep(100)

    with pytest.raises(ZeroDivisionError):
        with app.run(grace=1):
            calls = [slow.spawn() for _ in range(3)]
            raise ZeroDivisionError
    for call in calls:
        for _ in range(2):
            with pytest.raises(ClosedError, match="'slow'"):
                call.get()


# -- lookups ---------------------------------------------------------------------------------------------------


def test_a_lookup_does_nothing_before_its_first_use(app: modal.App, f: Any) -> None:
    looked_up = modal.Function.from_name("my-app", "f")
    with pytest.raises(NotFoundError, match=r"function 'f'.*app 'my-app', which is not deployed"):
        looked_up.remote(1)
    app.deploy()
    try:
        assert 2 == looked_up.remote(1)
    finally:
        app.stop()
    with pytest.raises(NotFoundError, match="deployed: none"):
        looked_up.remote(1)


@pytest.mark.parametrize("verb", SYNC_VERBS)
def test_every_verb_of_a_missing_function_names_function_and_app(app: modal.App, f: Any, verb: str) -> None:
    missing = modal.Function.from_name("my-app", "g")
    with pytest.raises(NotFoundError, match=r"'g'.*'my-app'"):
        SYNC_VERBS[verb](missing)
    app.deploy()
    try:
        with pytest.raises(NotFoundError, match="app 'my-app' has no function 'g'; it has: f"):
            SYNC_VERBS[verb](missing)
    finally:
        app.stop()


def test_a_missing_class_names_class_and_app(app: modal.App) -> None:
    missing = modal.Cls.from_name("my-app", "C")
    with pytest.raises(NotFoundError, match=r"class 'C'.*'my-app'"):
        missing(x=1).f.remote()
    app.deploy()
    try:
        with pytest.raises(NotFoundError, match="app 'my-app' has no class 'C'; it has: none"):
            missing(x=1).f.remote()
    finally:
        app.stop()


def test_M5_7_a_looked_up_class_refuses_what_it_cannot_do_here(app: modal.App) -> None:
    @app.cls()
    class C:
        size = 3

        @modal.method()
        def f(self) -> int:
            return 1

    app.deploy()
    try:
        obj = modal.Cls.from_name("my-app", "C")()
        assert 1 == obj.f.remote()
        with pytest.raises(ExecutionError, match="looked up by name"):
            obj.f.local()
        with pytest.raises(NotFoundError, match="'size'"):
            obj.size
        with pytest.raises(InvalidError, match=r"Cls\.from_name"):
            modal.Function.from_name("my-app", "C.f")
        with pytest.raises(InvalidError, match="is a method"):
            obj.f.update_autoscaler(min_containers=1)
        with pytest.raises(ExecutionError, match="looked up by name"):
            modal.Function.from_name("my-app", "f").local()
    finally:
        app.stop()


def test_an_app_that_only_runs_is_not_found_by_name(app: modal.App, f: Any) -> None:
    with app.run(), pytest.raises(NotFoundError, match="not deployed"):
        modal.Function.from_name("my-app", "f").remote(1)


def test_an_unknown_call_id_is_not_found_and_a_wrong_one_invalid(app: modal.App, f: Any) -> None:
    with pytest.raises(NotFoundError, match="fc-0123"):
        modal.FunctionCall.from_id("fc-0123").get()
    for wrong in ("in-0123", "", 5):
        with pytest.raises(InvalidError, match="function call"):
            modal.FunctionCall.from_id(wrong)  # type: ignore[arg-type]


# -- blocking where it would never end ------------------------------------------------------------------------


@pytest.mark.parametrize("verb", ["remote", "map", "starmap", "for_each"])
def test_a_blocking_verb_on_the_loop_that_serves_it_names_its_twin(
    app: modal.App, f: Any, run: Run, verb: str
) -> None:
    async def main() -> None:
        async with app.run():
            with pytest.raises(InvalidError, match=rf"f\.{verb}\.aio\(\.\.\.\)"):
                SYNC_VERBS[verb](f)
            call = f.spawn(1)
            with pytest.raises(InvalidError, match=r"get\.aio"):
                call.get()
            with pytest.raises(InvalidError, match=r"app\.stop\.aio\(\)"):
                app.stop()
            assert 2 == await call.get.aio()
            assert 2 == await f.remote.aio(1)
            assert 1 == f.statistics().arrived - 1

    run(main)


@pytest.mark.parametrize("verb", ["remote", "map", "starmap", "for_each"])
def test_M13_5_a_blocking_verb_on_another_loop_works_and_warns(
    app: modal.App, f: Any, run: Run, verb: str
) -> None:
    async def main() -> None:
        with pytest.warns(AsyncUsageWarning, match=r"blocks the running event loop"):
            SYNC_VERBS[verb](f)

    with app.run():
        run(main)


def test_a_blocking_verb_inside_an_async_function_names_its_twin(app: modal.App, f: Any, run: Run) -> None:
    @app.function()
    async def calls() -> None:
        f.remote(1)

    @app.function()
    def calls_from_a_thread() -> int:
        return int(f.remote(1))

    async def main() -> None:
        async with app.run():
            with pytest.raises(InvalidError, match=r"`await f\.remote\.aio\(\.\.\.\)`"):
                await calls.remote.aio()
            assert 2 == await calls_from_a_thread.remote.aio()

    run(main)


def test_deploy_in_async_code_names_its_twin(app: modal.App, run: Run) -> None:
    async def main() -> None:
        with pytest.raises(InvalidError, match=r"await app\.deploy\.aio"):
            app.deploy()
        assert "not running" in repr(app)

    run(main)


# -- waiting with a time limit --------------------------------------------------------------------------------


def test_M13_3_get_with_a_time_limit_raises_the_builtin_and_the_input_goes_on(
    app: modal.App, run_virtually: Run
) -> None:
    @app.function()
    async def slow() -> int:
        await sleep(10)
        return 1

    async def main() -> None:
        async with app.run():
            call = slow.spawn()
            for timeout in (0, 0.5, 3):
                with pytest.raises(TimeoutError) as caught:
                    await call.get.aio(timeout=timeout)
                assert not isinstance(caught.value, modal.exception.Error)
            wrong: Any
            for wrong in (-1, float("nan"), "1"):
                with pytest.raises(InvalidError, match="timeout"):
                    await call.get.aio(timeout=wrong)
            assert 1 == await call.get.aio(timeout=100)

    run_virtually(main)


def test_a_sync_get_with_a_time_limit_does_likewise(app: modal.App) -> None:
    go = threading.Event()

    @app.function()
    def slow() -> bool:
        return go.wait(10)

    with app.run():
        call = slow.spawn()
        for timeout in (0, 0.001):
            with pytest.raises(TimeoutError):
                call.get(timeout=timeout)
        go.set()
        assert call.get(timeout=10) is True

# SPDX-License-Identifier: Apache-2.0
"""Calls that cannot be served: the app does not run, is closed, or is not there at all."""

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
    ConflictError,
    ExecutionError,
    InvalidError,
    NotFoundError,
)
from tests.actors.harness import in_thread, off_loop
from tests.api.support import event, sleep
from tests.hosts import settle

Run = Callable[..., Any]


@pytest.fixture
def app() -> modal.App:
    return modal.App("my-app")


@pytest.fixture
def f(app: modal.App) -> Any:
    @app.function()
    def f(x: int) -> int:
        return x + 1

    return f


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
    for verb in SYNC_VERBS:
        with pytest.raises(ExecutionError, match="not running"):
            SYNC_VERBS[verb](obj if verb == "update_autoscaler" else obj.f)
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


def test_a_looked_up_class_refuses_what_it_cannot_do_here(app: modal.App) -> None:
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
def test_a_blocking_verb_on_another_loop_works_and_warns(app: modal.App, f: Any, run: Run, verb: str) -> None:
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


# -- settings of what runs -----------------------------------------------------------------------------------


def test_a_contradictory_update_changes_nothing(app: modal.App, f: Any, run_virtually: Run) -> None:
    async def main() -> None:
        async with app.run():
            before = await f.update_autoscaler.aio(max_containers=3)
            for settings in (
                {"min_containers": 4},
                {"min_containers": -1},
                {"max_containers": 0},
                {"buffer_containers": -1},
                {"scaledown_window": 0},
                {"min_containers": 2, "max_containers": 1},
            ):
                with pytest.raises(InvalidError):
                    await f.update_autoscaler.aio(**settings)
            assert before == await f.update_autoscaler.aio()
            assert before == f.statistics().settings
            with pytest.raises(TypeError, match="colour"):
                f.update_autoscaler(colour="red")

    run_virtually(main)


def test_a_maximum_below_what_runs_drains_the_surplus_and_cancels_nobody(
    app: modal.App, run_virtually: Run
) -> None:
    @app.function()
    async def slow(gate: Any) -> int:
        await gate.wait()
        return 1

    async def main() -> None:
        async with app.run():
            gate = event()
            calls = [slow.spawn(gate) for _ in range(5)]
            await settle()
            assert 5 == slow.statistics().running
            slow.update_autoscaler(max_containers=2)
            further = [slow.spawn(gate) for _ in range(5)]
            await settle()
            assert (5, 5) == (slow.statistics().running, slow.statistics().pending)
            assert 2 == slow.statistics().ready
            gate.set()
            assert [1] * 10 == [await call.get.aio() for call in (*calls, *further)]
            await settle()
            assert 2 == slow.statistics().containers

    run_virtually(main)


def test_a_maximum_below_the_containers_that_start_calls_the_surplus_off(run_virtually: Run) -> None:
    app = modal.App("my-app")

    @app.cls()
    class C:
        @modal.enter()
        async def load(self) -> None:
            await sleep(1)

        @modal.method()
        async def f(self) -> int:
            return 1

    async def main() -> None:
        async with app.run():
            obj: Any = C()
            calls = [obj.f.spawn() for _ in range(5)]
            await settle()
            assert 5 == obj.f.statistics().starting
            obj.update_autoscaler(max_containers=1)
            await settle()
            assert 1 == obj.f.statistics().containers
            assert [1] * 5 == [await call.get.aio() for call in calls]

    run_virtually(main)


# -- waiting with a time limit --------------------------------------------------------------------------------


def test_get_with_a_time_limit_raises_the_builtin_and_the_input_goes_on(
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


# -- run within run --------------------------------------------------------------------------------------------


def test_running_an_app_that_runs_is_a_conflict_and_the_first_run_goes_on(
    app: modal.App, f: Any, run: Run
) -> None:
    async def main() -> None:
        async with app.run():
            with pytest.raises(ConflictError, match="'my-app' is already running"):
                async with app.run():
                    pass
            with pytest.raises(ConflictError, match="already running"):
                await app.deploy.aio()
            with pytest.raises(ConflictError, match="already running"):
                await off_loop(app.deploy)
            assert 2 == await f.remote.aio(1)
        assert "not running" in repr(app)

    run(main)


def test_running_an_app_that_runs_in_sync_code_is_a_conflict(app: modal.App, f: Any) -> None:
    with app.run():
        with pytest.raises(ConflictError):
            with app.run():
                pass
        with pytest.raises(ConflictError):
            app.deploy()
        with pytest.raises(ConflictError):
            in_thread(app.run().__enter__)()
        assert 2 == f.remote(1)


def test_of_two_threads_that_run_an_app_at_once_one_is_refused(app: modal.App, f: Any) -> None:
    for _ in range(10):
        start, end = threading.Barrier(3), threading.Barrier(3)

        def life(start: threading.Barrier = start, end: threading.Barrier = end) -> str:
            start.wait(10)
            try:
                with app.run():
                    f.remote(1)
                    end.wait(10)
                    return "ran"
            except ConflictError:
                end.wait(10)
                return "refused"

        results = [in_thread(life), in_thread(life)]
        start.wait(10)
        end.wait(10)
        assert ["ran", "refused"] == sorted(result() for result in results)


def test_an_app_runs_again_and_again(app: modal.App, f: Any, run: Run) -> None:
    async def main() -> None:
        for number in range(3):
            async with app.run():
                assert number + 1 == await f.remote.aio(number)
                # A fresh pool each time.
                assert 1 == f.statistics().arrived

    for _ in range(2):
        run(main)
        with app.run():
            assert 2 == f.remote(1)


def test_stopping_what_does_not_run_does_nothing(app: modal.App, f: Any, run: Run) -> None:
    app.stop()
    with app.run():
        app.stop()
        app.stop()
        with pytest.raises(ExecutionError, match="not running"):
            f.remote(1)

    async def main() -> None:
        await app.stop.aio()
        async with app.run():
            await app.stop.aio()
            await app.stop.aio()
            with pytest.raises(ExecutionError, match="not running"):
                await f.remote.aio(1)

    run(main)

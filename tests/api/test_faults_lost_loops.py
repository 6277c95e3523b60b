# SPDX-License-Identifier: Apache-2.0
"""A loop that ends before its app: nobody hangs, nothing is left, and the app can be deployed again."""

from __future__ import annotations

import asyncio
import functools
import gc
import logging
import threading
from collections.abc import Callable
from typing import Any

import pytest
import trio

import actorpool as modal
from actorpool.exception import (
    ClosedError,
    ExecutionError,
    NotFoundError,
    RemoteError,
)
from tests.actors.harness import in_thread
from tests.api.support import PATIENCE_S, Latch, sleep

Run = Callable[..., Any]


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


async def _deploy_with_callers(
    app: modal.App, functions: dict[str, Any], way: str, results: list[Callable[[], Any]]
) -> None:
    """Deploy `app`; threads then wait in that way for inputs that hang. Put what waits for them into `results`."""
    await app.deploy.aio(grace=0.02)
    assert 1 == await functions["idles"].remote.aio()
    assert 1 == await functions["idles_in_a_thread"].remote.aio()
    for name in ("hangs", "hangs_in_a_thread"):
        # One that runs and one that is pending.
        wait = functools.partial(WAITING[way], functions[name])
        results.extend(in_thread(wait) for _ in range(2))


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
        await _deploy_with_callers(app, functions, way, results)
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
    from tests.hosts import new_loop

    with asyncio.Runner(loop_factory=lambda: new_loop(host_name)) as runner:
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
    from tests.hosts import new_loop

    inside = Latch(2)
    functions = _deployed(app, inside)
    results: list[Callable[[], Any]] = []

    async def main() -> None:
        await _deploy_with_callers(app, functions, way, results)
        await inside.opened()

    loop = new_loop(loop_kind)
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

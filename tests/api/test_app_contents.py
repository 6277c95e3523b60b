# SPDX-License-Identifier: Apache-2.0
"""What an app holds, what it takes over from another one, and how it is stopped."""

from __future__ import annotations

import logging
from collections.abc import Callable
from typing import Any

import pytest

import actorpool as modal
from actorpool.exception import ExecutionError, InvalidError
from tests.api.support import now, sleep
from tests.hosts import settle
from tests.shared import shared

Run = Callable[..., Any]


def shared_app() -> tuple[modal.App, Any, Any]:
    """Return an app with a function and a class, for others to include."""
    app = modal.App("shared")

    @app.function(max_containers=3)
    @modal.concurrent(max_inputs=2)
    async def double(x: int) -> int:
        return 2 * x

    @app.cls(min_containers=1)
    class Greeter:
        word: str = modal.parameter(default="hello")

        @modal.method()
        async def greet(self, name: str) -> str:
            return f"{self.word} {name}"

    return app, double, Greeter


def test_M1_2_included_functions_and_classes_run_with_the_app(run: Run) -> None:
    shared, _, _ = shared_app()
    app = modal.App("main")
    assert app is app.include(shared)

    async def main() -> None:
        double = app.registered_functions["double"]
        Greeter = app.registered_classes["Greeter"]
        async with app.run():
            await settle()
            assert [0, 2, 4] == [x async for x in double.map.aio(range(3))]
            assert 3 == double.statistics().settings.max_containers
            assert 1 == Greeter().greet.statistics().settings.min_containers
            assert "good day Ada" == await Greeter(word="good day").greet.remote.aio("Ada")

    run(main)


def test_M1_2_handles_of_the_included_app_go_on_belonging_to_it(run: Run) -> None:
    shared, double, Greeter = shared_app()
    app = modal.App("main").include(shared)

    async def main() -> None:
        async with app.run():
            with pytest.raises(ExecutionError, match="app 'shared' is not running"):
                await double.remote.aio(1)
            with pytest.raises(ExecutionError, match="app 'shared' is not running"):
                await Greeter().greet.remote.aio("Ada")
            async with shared.run():
                assert 2 == await double.remote.aio(1)
                assert 1 == double.statistics().arrived
                assert 0 == app.registered_functions["double"].statistics().arrived

    run(main)


def test_M1_2_an_included_schedule_and_deployed_names_are_the_apps_own(run_virtually: Run) -> None:
    ran: list[float] = shared([])
    part = modal.App("shared")

    @part.function(schedule=modal.Period(seconds=10))
    async def tick() -> None:
        ran.append(now())

    app = modal.App("main").include(part)

    async def main() -> None:
        start = now()
        await app.deploy.aio()
        try:
            await sleep(25.0)
            assert [10.0, 20.0] == [round(at - start, 3) for at in ran]
            assert 2 == modal.Function.from_name("main", "tick").statistics().succeeded
        finally:
            await app.stop.aio()

    run_virtually(main)


def test_M1_2_where_names_clash_the_newer_one_wins_with_a_warning(caplog: pytest.LogCaptureFixture) -> None:
    shared, _, _ = shared_app()
    app = modal.App("main")

    @app.function(name="double")
    def other(x: int) -> int:
        return x

    @app.cls()
    class Greeter:
        @modal.method()
        def greet(self, name: str) -> str:
            return name

    with caplog.at_level(logging.WARNING, "actorpool"):
        app.include(shared)
    assert [
        "function 'double' of app 'shared' replaces one of app 'main'",
        "class 'Greeter' of app 'shared' replaces one of app 'main'",
    ] == caplog.messages
    with app.run():
        # The handle that the decorator gave is a name too: what is called by it is what the app has now.
        assert 4 == other.remote(2)
        assert "hello Ada" == app.registered_classes["Greeter"]().greet.remote("Ada")
        assert "Ada" == Greeter().greet.remote("Ada")


def test_M1_3_an_app_has_its_name_or_none() -> None:
    assert ("my-app", None) == (modal.App("my-app").name, modal.App().name)
    with pytest.raises(InvalidError, match="must be a string"):
        modal.App(5)  # type: ignore[arg-type]


@pytest.mark.parametrize("way", ["run", "deployed"])
def test_M1_1_stop_ends_a_running_and_a_deployed_app(app: modal.App, f: Any, way: str) -> None:
    if way == "deployed":
        app.deploy()
        assert 2 == f.remote(1)
        app.stop()
    else:
        with app.run():
            assert 2 == f.remote(1)
            app.stop()
            with pytest.raises(ExecutionError, match="app 'my-app' is not running"):
                f.remote(1)
    with pytest.raises(ExecutionError, match="app 'my-app' is not running"):
        f.remote(1)
    app.stop()

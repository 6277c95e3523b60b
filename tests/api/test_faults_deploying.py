# SPDX-License-Identifier: Apache-2.0
"""Deploying again, and starts that fail: what becomes of the old deployment and of its inputs."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pytest

import actorpool as modal
from actorpool.exception import (
    ClosedError,
    ConflictError,
    ExecutionError,
    InvalidError,
    NotFoundError,
)
from tests.api.support import gather, now, sleep
from tests.hosts import settle
from tests.shared import shared

Run = Callable[..., Any]


def test_a_redeployment_lets_the_old_containers_finish(app: modal.App, run_virtually: Run) -> None:
    deployed: list[int] = shared([])

    @app.cls(max_containers=1)
    class C:
        @modal.enter()
        async def load(self) -> None:
            self.generation = len(deployed)

        @modal.method()
        async def f(self, seconds: float) -> int:
            await sleep(seconds)
            return self.generation

    async def main() -> None:
        await app.deploy.aio(grace=100)
        obj = modal.Cls.from_name("my-app", "C")()
        old = [obj.f.spawn(5.0) for _ in range(3)]
        await settle()
        deployed.append(1)
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


@pytest.mark.local_only("processes are bounded by default")
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

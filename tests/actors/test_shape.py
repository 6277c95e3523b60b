# SPDX-License-Identifier: Apache-2.0
"""Who is an actor: a function's supervisor, the containers of its nursery, and its autoscaler."""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from contextvars import ContextVar
from typing import Any

import pytest

import actorpool as modal
from actorpool.exception import ClosedError
from tests.actors.harness import threads_of
from tests.api.support import event
from tests.hosts import settle

Run = Callable[..., Any]

caller: ContextVar[str] = ContextVar("caller", default="nobody")


def actors() -> list[str]:
    return sorted(
        name
        for task in asyncio.all_tasks()
        if (name := task.get_name()).startswith(("supervisor of ", "autoscaler of ", "container "))
    )


def test_a_function_is_a_supervisor_an_autoscaler_and_containers() -> None:
    app = modal.App("my-app")

    @app.function()
    async def plain(x: int) -> int:
        return x

    @app.function()
    def threaded(x: int) -> int:
        return x

    async def main() -> None:
        async with app.run():
            assert [1, 2] == [await plain.remote.aio(1), await threaded.remote.aio(2)]
            assert [
                *("autoscaler of plain", "autoscaler of threaded"),
                *("container plain/1", "container threaded/1"),
                *("supervisor of plain", "supervisor of threaded"),
            ] == actors()
        assert [] == actors()

    asyncio.run(main())


def test_all_inputs_of_a_burst_are_seen_by_one_look_of_the_policy(run: Run) -> None:
    app = modal.App("my-app")
    looks: list[int] = []

    class Counting:
        def decide(self, snapshot: modal.Snapshot) -> modal.Decision:
            looks.append(snapshot.pending)
            return modal.WindowPolicy().decide(snapshot)

    @app.function(policy=Counting())
    async def f(gate: Any) -> None:
        await gate.wait()

    async def main() -> None:
        async with app.run():
            gate = event()
            await settle()
            looks.clear()
            calls = [f.spawn(gate) for _ in range(5)]
            await settle()
            gate.set()
            for call in calls:
                await call.get.aio()
        assert 5 == looks[0]
        assert looks.count(5) == 1

    run(main)


def test_enter_hooks_do_not_run_in_the_context_of_whoever_called_first(run: Run) -> None:
    app = modal.App("my-app")
    seen: list[str] = []

    @app.cls()
    class C:
        key: int = modal.parameter()

        @modal.enter()
        async def load(self) -> None:
            seen.append(caller.get())

        @modal.method()
        async def f(self) -> str:
            return caller.get()

    async def main() -> None:
        async with app.run():
            caller.set("somebody")
            for key in (1, 2):
                instance: Any = C(key=key)  # type: ignore[call-arg]
                assert "somebody" == await instance.f.remote.aio()
        assert ["nobody", "nobody"] == seen

    run(main)


def test_an_app_that_is_cut_off_ends_the_threads_of_its_containers() -> None:
    app = modal.App("my-app")

    @app.function()
    def threaded(x: int) -> int:
        return x

    @app.function()
    async def held() -> None:
        await asyncio.Event().wait()

    async def main() -> None:
        async with app.run():
            assert 1 == await threaded.remote.aio(1)
            call = held.spawn()
            await settle()
            assert 1 == len(threads_of("threaded"))
            for task in asyncio.all_tasks():
                if task.get_name() == "app my-app":
                    task.cancel()
            with pytest.raises(ClosedError):
                await call.get.aio()
        assert [] == threads_of("threaded")

    asyncio.run(main())

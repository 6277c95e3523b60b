# SPDX-License-Identifier: Apache-2.0
"""Context variables of the local backend: whose context an input runs in."""

from __future__ import annotations

import contextvars
from collections.abc import Callable
from typing import Any

import pytest

import actorpool as modal
from tests.actors.harness import checkpoints
from tests.api.support import sleep

Run = Callable[..., Any]


colour: contextvars.ContextVar[str] = contextvars.ContextVar("colour", default="none")


KINDS = ["sync", "async", "async-that-waits"]


def _reader(app: modal.App, kind: str, **settings: Any) -> Any:
    """Return a function that says what colour it sees, and then changes it."""

    def look(x: object) -> str:
        seen = colour.get()
        colour.set("changed inside")
        return seen

    async def look_async(x: object) -> str:
        if kind == "async-that-waits":
            await checkpoints(2)
        return look(x)

    return app.function(name="look", **settings)(look if kind == "sync" else look_async)


@pytest.mark.parametrize("kind", KINDS)
def test_an_input_sees_its_submitters_context_and_changes_do_not_leak_back(run: Run, kind: str) -> None:
    app = modal.App("my-app")
    look = _reader(app, kind, max_containers=1)

    async def main() -> None:
        async with app.run():
            for seen in ("red", "green"):
                colour.set(seen)
                assert seen == await look.remote.aio(0)
                assert [seen] * 3 == [r async for r in look.map.aio(range(3))]
                call = look.spawn(0)
                colour.set("later")
                assert seen == await call.get.aio()
                assert "later" == colour.get()

    run(main)


@pytest.mark.parametrize("kind", KINDS)
def test_sync_callers_pass_their_context_on_too(kind: str) -> None:
    app = modal.App("my-app")
    look = _reader(app, kind)

    def call(name: str) -> list[str]:
        colour.set(name)
        return [look.remote(0), *look.map(range(2)), look.spawn(0).get(), colour.get()]

    with app.run():
        for name in ("red", "green"):
            assert [name] * 5 == contextvars.copy_context().run(call, name)
        assert "none" == look.remote(0)


def test_pending_inputs_keep_the_context_they_were_submitted_in(run_virtually: Run) -> None:
    app = modal.App("my-app")

    @app.function(max_containers=1)
    async def f() -> str:
        await sleep(1)
        return colour.get()

    async def main() -> None:
        async with app.run():
            calls = []
            for name in ("red", "green", "blue"):
                colour.set(name)
                calls.append(f.spawn())
            colour.set("none")
            assert ["red", "green", "blue"] == [await call.get.aio() for call in calls]

    run_virtually(main)


def test_the_context_passes_through_nested_calls(run: Run) -> None:
    app = modal.App("my-app")

    @app.function()
    def inner() -> str:
        return colour.get()

    @app.function()
    async def middle() -> list[str]:
        return [colour.get(), await inner.remote.aio()]

    @app.function()
    def outer() -> list[str]:
        colour.set(colour.get() + "+")
        return [colour.get(), *middle.remote()]

    async def main() -> None:
        async with app.run():
            colour.set("red")
            assert ["red+", "red+", "red+"] == await outer.remote.aio()
            assert "red" == colour.get()

    run(main)


def test_a_second_attempt_runs_in_the_submitters_context(run_virtually: Run) -> None:
    app = modal.App("my-app")
    seen = []

    @app.function(retries=1, timeout=5)
    async def f(hang: bool) -> str:
        seen.append(colour.get())
        if len(seen) % 2:
            if hang:
                await sleep(100)
            raise ValueError
        return colour.get()

    async def main() -> None:
        async with app.run():
            colour.set("red")
            assert "red" == await f.remote.aio(False)
            assert "red" == await f.remote.aio(True)
            assert ["red"] * 4 == seen

    run_virtually(main)


@pytest.mark.parametrize("kind", KINDS)
def test_each_attempt_starts_with_the_submitters_context(run_virtually: Run, kind: str) -> None:
    app = modal.App("my-app")
    seen: list[str] = []

    def attempt() -> None:
        seen.append(colour.get())
        colour.set("changed inside")
        if len(seen) < 3:
            raise RuntimeError("not yet")

    async def attempt_async() -> None:
        if kind == "async-that-waits":
            await checkpoints(2)
        attempt()

    f: Any = app.function(name="f", retries=2)(attempt if kind == "sync" else attempt_async)

    async def main() -> None:
        async with app.run():
            colour.set("red")
            await f.remote.aio()

    run_virtually(main)
    assert ["red"] * 3 == seen

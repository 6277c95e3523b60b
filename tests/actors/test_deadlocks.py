# SPDX-License-Identifier: Apache-2.0
"""Inputs that would wait for themselves: refused at once with the chain, and what merely looks like it is not."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pytest

import actorpool as modal
from actorpool.exception import DeadlockError
from tests.actors.harness import at_rest
from tests.api.support import gather, sleep
from tests.hosts import settle

Run = Callable[..., Any]

KINDS = ["sync", "async"]


def _define(
    app: modal.App, kind: str, name: str, calls: Callable[[], Any], verb: str = "remote", **settings: Any
) -> Any:
    """Return a function of `app` that calls what `calls()` returns, down to depth 0."""

    async def async_body(depth: int) -> int:
        if depth == 0:
            return 0
        callee = calls()
        if verb == "remote":
            return 1 + int(await callee.remote.aio(depth - 1))
        if verb == "map":
            return 1 + sum([r async for r in callee.map.aio([depth - 1] * 2)])
        if verb == "for_each":
            await callee.for_each.aio([depth - 1] * 2)
            return 1
        return 1 + int(await callee.spawn(depth - 1).get.aio())

    def body(depth: int) -> int:
        if depth == 0:
            return 0
        callee = calls()
        if verb == "remote":
            return 1 + int(callee.remote(depth - 1))
        if verb == "map":
            return 1 + sum(callee.map([depth - 1] * 2))
        if verb == "for_each":
            callee.for_each([depth - 1] * 2)
            return 1
        return 1 + int(callee.spawn(depth - 1).get())

    if kind == "sync":
        return app.function(name=name, **settings)(body)
    return app.function(name=name, **settings)(async_body)


@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize("verb", ["remote", "map", "for_each"])
def test_a_function_that_calls_itself_in_its_only_slot_is_refused_at_once(
    run_virtually: Run, kind: str, verb: str
) -> None:
    app = modal.App("my-app")
    f = _define(app, kind, "f", lambda: f, verb, max_containers=1)

    async def main() -> None:
        async with app.run():
            assert 0 == await f.remote.aio(0)
            with pytest.raises(DeadlockError, match=r"f -> f") as caught:
                await f.remote.aio(1)
            assert ("f", "f") == caught.value.chain
            await at_rest(f)
            assert 0 == await f.remote.aio(0)

    run_virtually(main)


@pytest.mark.parametrize("kind", KINDS)
def test_a_chain_that_comes_back_is_refused_and_shown(run_virtually: Run, kind: str) -> None:
    app = modal.App("my-app")
    a = _define(app, kind, "a", lambda: b, max_containers=1)
    b = _define(app, kind, "b", lambda: a, max_containers=1)

    async def main() -> None:
        async with app.run():
            assert 1 == await a.remote.aio(1)
            with pytest.raises(DeadlockError, match="a -> b -> a") as caught:
                await a.remote.aio(5)
            assert ("a", "b", "a") == caught.value.chain
            await at_rest(a, b)
            assert 1 == await b.remote.aio(1)

    run_virtually(main)


@pytest.mark.parametrize("kinds", [("sync", "async"), ("async", "sync")])
def test_a_chain_of_sync_and_async_functions_is_refused_likewise(
    run_virtually: Run, kinds: tuple[str, str]
) -> None:
    app = modal.App("my-app")
    a = _define(app, kinds[0], "a", lambda: b, max_containers=1)
    b = _define(app, kinds[1], "b", lambda: a, max_containers=1)

    async def main() -> None:
        async with app.run():
            with pytest.raises(DeadlockError, match="a -> b -> a"):
                await a.remote.aio(2)
            await at_rest(a, b)

    run_virtually(main)


@pytest.mark.parametrize("kind", KINDS)
def test_recursion_goes_as_deep_as_there_are_slots(run_virtually: Run, kind: str) -> None:
    app = modal.App("my-app")
    f = _define(app, kind, "f", lambda: f, max_containers=4)

    async def main() -> None:
        async with app.run():
            assert 3 == await f.remote.aio(3)
            with pytest.raises(DeadlockError) as caught:
                await f.remote.aio(4)
            assert ("f",) * 5 == caught.value.chain
            await at_rest(f)

    run_virtually(main)


@pytest.mark.parametrize("kind", KINDS)
def test_slots_within_one_container_count(run_virtually: Run, kind: str) -> None:
    app = modal.App("my-app")

    if kind == "sync":

        @app.function(max_containers=1)
        @modal.concurrent(max_inputs=3)
        def f(depth: int) -> int:
            return 1 + int(f.remote(depth - 1)) if depth else 0
    else:

        @app.function(max_containers=1)
        @modal.concurrent(max_inputs=3)
        async def f(depth: int) -> int:
            return 1 + int(await f.remote.aio(depth - 1)) if depth else 0

    async def main() -> None:
        async with app.run():
            assert 2 == await f.remote.aio(2)
            with pytest.raises(DeadlockError):
                await f.remote.aio(3)
            await at_rest(f)

    run_virtually(main)


@pytest.mark.parametrize("kind", KINDS)
def test_recursion_without_a_bound_is_no_deadlock(run_virtually: Run, kind: str) -> None:
    app = modal.App("my-app")
    f = _define(app, kind, "f", lambda: f)

    async def main() -> None:
        async with app.run():
            assert 30 == await f.remote.aio(30)
            assert 31 == f.statistics().containers

    run_virtually(main)


def test_spawn_without_waiting_in_the_only_slot_is_no_deadlock(run_virtually: Run) -> None:
    app = modal.App("my-app")
    seen = []

    @app.function(max_containers=1)
    async def f(depth: int) -> None:
        seen.append(depth)
        if depth:
            f.spawn(depth - 1)

    async def main() -> None:
        async with app.run():
            await f.remote.aio(5)
        assert [5, 4, 3, 2, 1, 0] == seen

    run_virtually(main)


def test_a_slot_held_by_somebody_else_is_worth_waiting_for(run_virtually: Run) -> None:
    app = modal.App("my-app")

    @app.function(max_containers=2)
    async def f(depth: int) -> int:
        await sleep(1)
        return 1 + int(await f.remote.aio(depth - 1)) if depth else 0

    async def main() -> None:
        async with app.run():
            # The one that needs no second slot gives its own to the other's child.
            assert [1, 0] == await gather(lambda: f.remote.aio(1), lambda: f.remote.aio(0))
            await at_rest(f)

    run_virtually(main)


def test_a_raised_maximum_lets_the_recursion_go_on(run_virtually: Run) -> None:
    app = modal.App("my-app")
    f = _define(app, "async", "f", lambda: f, max_containers=1)

    async def main() -> None:
        async with app.run():
            with pytest.raises(DeadlockError):
                await f.remote.aio(1)
            f.update_autoscaler(max_containers=2)
            assert 1 == await f.remote.aio(1)

    run_virtually(main)


def test_methods_of_one_instance_share_its_slots_and_its_deadlocks(run_virtually: Run) -> None:
    app = modal.App("my-app")

    @app.cls(max_containers=1)
    class C:
        x: int = modal.parameter(default=0)

        @modal.method()
        async def f(self) -> int:
            return int(await self.g.remote.aio())

        @modal.method()
        async def g(self) -> int:
            return 1

        @modal.method()
        async def asks_another_instance(self) -> int:
            return int(await make(x=self.x + 1).g.remote.aio())

    make: Any = C

    async def main() -> None:
        async with app.run():
            with pytest.raises(DeadlockError, match=r"C\.f -> C\.g"):
                await C().f.remote.aio()
            assert 1 == await C().asks_another_instance.remote.aio()

    run_virtually(main)


def test_a_draining_container_of_the_chain_does_not_count_as_capacity(run_virtually: Run) -> None:
    app = modal.App("my-app")

    @app.function(max_containers=2)
    async def f(depth: int) -> int:
        if depth == 1:
            # The container this runs in drains from here on; the other may be had.
            f.update_autoscaler(max_containers=1)
            await settle()
        return 1 + int(await f.remote.aio(depth - 1)) if depth else 0

    async def main() -> None:
        async with app.run():
            assert [0, 0] == await gather(lambda: f.remote.aio(0), lambda: f.remote.aio(0))
            assert 2 == f.statistics().containers
            outcome = (await gather(lambda: f.remote.aio(1)))[0]
            assert outcome == 1 or isinstance(outcome, DeadlockError)
            await at_rest(f)
            assert 0 == await f.remote.aio(0)

    run_virtually(main)

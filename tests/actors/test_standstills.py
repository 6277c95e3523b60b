# SPDX-License-Identifier: Apache-2.0
"""Inputs that hold all there is of something while they wait for others that need some: one fails, the rest go on."""

from __future__ import annotations

import itertools
import threading
from collections.abc import Callable
from typing import Any

import pytest

import actorpool as modal
from actorpool._actors import _standstill
from actorpool._backends import _thread_gate
from actorpool.exception import DeadlockError
from tests.actors.harness import at_rest
from tests.api.support import PATIENCE_S, gather, now, sleep

Run = Callable[..., Any]


@pytest.fixture(autouse=True)
def _frequent_looks(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(_thread_gate, "_TURN_S", 0.02)
    monkeypatch.setattr(_standstill, "_LOOK_S", 0.05)


def _app(threads: int) -> modal.App:
    return modal.App("my-app", limits=modal.Limits(max_threads=threads))


def test_a_call_deeper_than_there_are_threads_fails_with_the_chain(run: Run) -> None:
    app = _app(3)

    @app.function()
    def f(depth: int) -> int:
        return 1 + f.remote(depth - 1) if depth else 0

    async def main() -> None:
        async with app.run():
            assert 2 == await f.remote.aio(2)
            start = now()
            with pytest.raises(DeadlockError, match=r"f -> f -> f -> f.*max_threads=3") as caught:
                await f.remote.aio(3)
            assert ("f",) * 4 == caught.value.chain
            assert now() - start < 5
            await at_rest(f)
            assert 2 == await f.remote.aio(2)

    run(main)


def test_callers_that_hold_all_threads_together_do_not_wait_for_ever(run: Run) -> None:
    app = _app(4)
    together, arrivals = threading.Barrier(4), itertools.count()

    @app.function()
    def inner(x: int) -> int:
        return x

    @app.function(max_containers=4)
    def outer(x: int) -> int:
        if next(arrivals) < 4:
            together.wait(PATIENCE_S)
        return inner.remote(x)

    async def main() -> None:
        async with app.run():
            results = await gather(*[lambda x=x: outer.remote.aio(x) for x in range(20)])
            failed = {x: result for x, result in enumerate(results) if isinstance(result, DeadlockError)}
            assert 1 <= len(failed) <= 4
            assert {("outer", "inner")} == {error.chain for error in failed.values()}
            assert [x for x in range(20) if x not in failed] == [r for r in results if isinstance(r, int)]

    run(main)


def test_a_chain_over_a_function_without_threads_counts_too(run: Run) -> None:
    app = _app(1)

    @app.function()
    def inner() -> int:
        return 1

    @app.function()
    async def between() -> int:
        return await inner.remote.aio()

    @app.function()
    def outer() -> int:
        return between.remote()

    async def main() -> None:
        async with app.run():
            with pytest.raises(DeadlockError, match="outer -> between -> inner"):
                await outer.remote.aio()
            assert 1 == await between.remote.aio()

    run(main)


def test_whoever_waits_for_a_thread_of_an_input_that_only_takes_long_gets_it(run: Run) -> None:
    app = _app(2)
    go = threading.Event()

    @app.function()
    def inner() -> int:
        return 1

    @app.function()
    def long() -> None:
        assert go.wait(PATIENCE_S)

    @app.function()
    def outer() -> int:
        return inner.remote()

    async def main() -> None:
        async with app.run():
            busy = long.spawn()
            call = outer.spawn()
            while not inner.statistics().pending:
                await sleep(0.01)
            # Some turns pass.
            await sleep(0.1)
            assert 1 == inner.statistics().pending
            go.set()
            assert 1 == await call.get.aio()
            await busy.get.aio()

    run(main)


def test_a_thread_whose_input_was_cancelled_does_not_wait_for_ever_either(run: Run) -> None:
    app = _app(1)

    @app.function()
    def inner() -> int:
        return 1

    @app.function()
    def outer() -> int:
        return inner.remote()

    async def main() -> None:
        async with app.run():
            call = outer.spawn()
            while not inner.statistics().arrived:
                await sleep(0.001)
            call.cancel()
            while inner.statistics().pending:
                await sleep(0.01)
            assert 1 == inner.statistics().failed

    run(main)


# -- the containers of functions --------------------------------------------------------------------------------


def test_two_functions_whose_inputs_wait_for_each_other_do_not_wait_for_ever(run_virtually: Run) -> None:
    app = modal.App("my-app")

    @app.function(max_containers=1)
    async def ping(depth: int) -> int:
        await sleep(1)
        return 1 + await pong.remote.aio(0) if depth else 0

    @app.function(max_containers=1)
    async def pong(depth: int) -> int:
        await sleep(1)
        return 1 + await ping.remote.aio(0) if depth else 0

    async def main() -> None:
        async with app.run():
            # At 1 s each holds the slot that the other's call needs.
            results = await gather(lambda: ping.remote.aio(1), lambda: pong.remote.aio(1))
            failed, succeeded = sorted(results, key=lambda result: isinstance(result, int))
            assert isinstance(failed, DeadlockError)
            assert "all slots of its 1 container (max_containers=1)" in str(failed)
            assert sorted(failed.chain) == ["ping", "pong"]
            assert 1 == succeeded
            assert now() < 3
            await at_rest(ping, pong)

    run_virtually(main)


def test_a_recursion_that_spreads_in_a_bounded_pool_does_not_wait_for_ever(run_virtually: Run) -> None:
    app = modal.App("my-app")

    @app.function(max_containers=3)
    async def leaves(depth: int) -> int:
        await sleep(1)
        return sum([count async for count in leaves.map.aio([depth - 1] * 2)]) if depth else 1

    async def main() -> None:
        async with app.run():
            assert 2 == await leaves.remote.aio(1)
            with pytest.raises(DeadlockError, match=r"leaves -> .*max_containers=3"):
                await leaves.remote.aio(3)
            await at_rest(leaves)

    run_virtually(main)


def test_two_actors_that_call_each_other_at_once_do_not_wait_for_ever(run_virtually: Run) -> None:
    app = modal.App("my-app")

    @app.cls(max_containers=1)
    class Room:
        name: str = modal.parameter()

        @modal.method()
        async def greet(self, other: str) -> str:
            await sleep(1)
            return str(await Room(name=other).answer.remote.aio())  # type: ignore[call-arg]

        @modal.method()
        async def answer(self) -> str:
            return f"hello from {self.name}"

    async def main() -> None:
        async with app.run():
            hall, attic = (Room(name=name) for name in ("hall", "attic"))  # type: ignore[call-arg]
            results = await gather(
                lambda: hall.greet.remote.aio("attic"), lambda: attic.greet.remote.aio("hall")
            )
            assert 1 == sum(isinstance(result, DeadlockError) for result in results)
            assert 1 == sum(isinstance(result, str) and result.startswith("hello from") for result in results)

    run_virtually(main)


def test_an_input_that_waits_for_slow_ones_gets_its_turn(run_virtually: Run) -> None:
    app = modal.App("my-app")

    @app.function(max_containers=1)
    async def slow(seconds: float) -> float:
        await sleep(seconds)
        return seconds

    @app.function(max_containers=2)
    async def caller(seconds: float) -> float:
        return await slow.remote.aio(seconds)

    async def main() -> None:
        async with app.run():
            assert [100.0, 50.0, 7.0] == await gather(
                lambda: slow.remote.aio(100.0),
                lambda: caller.remote.aio(50.0),
                lambda: caller.remote.aio(7.0),
            )
            assert 157 == now()

    run_virtually(main)

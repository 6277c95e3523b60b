# SPDX-License-Identifier: Apache-2.0
"""Inputs that hold all threads an app may have while they wait for others that need some: one fails, the rest go on."""

from __future__ import annotations

import itertools
import threading
from collections.abc import Callable
from typing import Any

import pytest

import actorpool as modal
from actorpool._backends import _thread_gate
from actorpool.exception import DeadlockError
from tests.actors.harness import at_rest
from tests.api.support import PATIENCE_S, gather, now, sleep

Run = Callable[..., Any]


@pytest.fixture(autouse=True)
def _short_turns(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(_thread_gate, "_TURN_S", 0.02)


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

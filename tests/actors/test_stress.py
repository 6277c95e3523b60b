# SPDX-License-Identifier: Apache-2.0
"""Real threads that switch as often as they can: every input has exactly one outcome, and the pool comes to rest."""

from __future__ import annotations

import asyncio
import random
import sys
import threading
from collections import Counter
from collections.abc import Callable, Iterator
from functools import partial
from typing import Any

import pytest

import actorpool as modal
from actorpool.exception import ClosedError, RemoteError
from tests.actors.harness import idle, in_thread
from tests.api.support import PATIENCE_S

pytestmark = pytest.mark.slow


@pytest.fixture
def _restless() -> Iterator[None]:
    """Threads switch after each microsecond instead of five milliseconds."""
    interval = sys.getswitchinterval()
    sys.setswitchinterval(1e-6)
    yield
    sys.setswitchinterval(interval)


class Runs:
    """How often each input ran, and how many ran at once."""

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self.count: Counter[Any] = Counter()
        self.inside = 0
        self.most = 0

    def enter(self, key: Any) -> None:
        with self._lock:
            self.count[key] += 1
            self.inside += 1
            self.most = max(self.most, self.inside)

    def leave(self) -> None:
        with self._lock:
            self.inside -= 1


def _wait_until(condition: Callable[[], bool]) -> None:
    """Return as soon as `condition` holds."""
    tick = threading.Event()
    for _ in range(int(PATIENCE_S / 0.001)):
        if condition():
            return
        tick.wait(0.001)
    raise AssertionError("it never came true")


@pytest.mark.usefixtures("_restless")
@pytest.mark.parametrize("lives_on", ["an engine thread", "a caller's loop"])
def test_callers_in_four_threads_and_two_loops_each_have_their_own_results(lives_on: str) -> None:
    app = modal.App("my-app", limits=modal.Limits(max_threads=7))
    runs = Runs()

    @app.function(max_containers=3, scaledown_window=0.001)
    @modal.concurrent(max_inputs=2)
    def f(key: tuple[str, int]) -> tuple[str, int]:
        runs.enter(key)
        try:
            if key[1] % 7 == 3:
                raise ValueError(key)
            return key
        finally:
            runs.leave()

    @app.function(max_containers=2)
    @modal.concurrent(max_inputs=3)
    async def g(key: tuple[str, int]) -> tuple[str, int]:
        if key[1] % 5 == 0:
            await asyncio.sleep(0)
        return key

    expected: list[tuple[str, int]] = []

    def outcome(key: tuple[str, int], result: Any) -> None:
        if isinstance(result, ValueError):
            assert (key,) == result.args
        else:
            assert key == result

    def in_sync_code(name: str, amount: int) -> None:
        for number in range(amount):
            key = (f"{name} remote", number)
            try:
                outcome(key, f.remote(key))
            except ValueError as error:
                outcome(key, error)
        keys = [(f"{name} map", number) for number in range(amount)]
        results = list(f.map(keys, return_exceptions=True))
        assert len(keys) == len(results)
        for key, result in zip(keys, results, strict=True):
            outcome(key, result)
        keys = [(f"{name} spawn", number) for number in range(amount)]
        for key, call in [(key, g.spawn(key)) for key in keys]:
            assert key == call.get(timeout=PATIENCE_S)

    async def in_async_code(name: str, amount: int) -> None:
        async def one(number: int) -> None:
            key = (f"{name} remote", number)
            try:
                outcome(key, await f.remote.aio(key))
            except ValueError as error:
                outcome(key, error)

        await asyncio.gather(*[one(number) for number in range(amount)])
        keys = [(f"{name} map", number) for number in range(amount)]
        results: list[Any] = [r async for r in f.map.aio(keys, return_exceptions=True, order_outputs=False)]
        assert Counter(keys) == Counter(r if isinstance(r, tuple) else r.args[0] for r in results)
        keys = [(f"{name} spawn", number) for number in range(amount)]
        calls = [g.spawn(key) for key in keys]
        assert keys == [await call.get.aio() for call in calls]

    amount = 120

    def in_loop(number: int) -> None:
        asyncio.run(in_async_code(f"loop {number}", amount))

    def callers() -> list[Callable[[], Any]]:
        waiting = [in_thread(partial(in_sync_code, f"thread {n}", amount)) for n in range(4)]
        waiting += [in_thread(partial(in_loop, n)) for n in range(2)]
        return waiting

    def check() -> None:
        names = [f"thread {n}" for n in range(4)] + [f"loop {n}" for n in range(2)]
        expected.extend(
            (f"{name} {verb}", n) for name in names for verb in ("remote", "map") for n in range(amount)
        )
        assert Counter(expected) == runs.count
        assert runs.most <= 6
        _wait_until(lambda: idle(f) and idle(g))
        statistics = f.statistics()
        assert (12 * amount, 0, 0) == (statistics.arrived, statistics.cancelled, statistics.abandoned)
        assert statistics.failed == sum(n % 7 == 3 for _, n in expected)
        assert statistics.succeeded + statistics.failed == statistics.arrived

    if lives_on == "an engine thread":
        with app.run():
            for result in callers():
                result()
            check()
        return

    async def main() -> None:
        async with app.run():
            waiting = callers()
            await in_async_code("here", amount)
            for result in waiting:
                await asyncio.to_thread(result)
            expected.extend((f"here {verb}", n) for verb in ("remote", "map") for n in range(amount))
            assert 14 * amount == f.statistics().arrived

    asyncio.run(main())
    assert {1} == set(runs.count.values())


@pytest.mark.usefixtures("_restless")
@pytest.mark.parametrize("kind", ["sync", "async"])
def test_spawned_inputs_cancelled_by_others_have_one_outcome_each(kind: str) -> None:
    app = modal.App("my-app")
    runs = Runs()

    if kind == "sync":

        @app.function(max_containers=2)
        @modal.concurrent(max_inputs=2)
        def f(key: int) -> int:
            runs.enter(key)
            runs.leave()
            return key
    else:

        @app.function(max_containers=2)
        @modal.concurrent(max_inputs=2)
        async def f(key: int) -> int:
            runs.enter(key)
            try:
                await asyncio.sleep(0)
                return key
            finally:
                runs.leave()

    amount = 1500
    with app.run():
        calls = [f.spawn(key) for key in range(amount)]
        told: list[list[int]] = [[] for _ in calls]

        def cancel(seed: int) -> None:
            order = list(range(amount))
            random.Random(seed).shuffle(order)
            for key in order[: amount // 2]:
                calls[key].cancel()

        def collect() -> None:
            for key, call in enumerate(calls):
                try:
                    assert key == call.get(timeout=PATIENCE_S)
                    told[key].append(1)
                except RemoteError:
                    told[key].append(0)

        for result in [in_thread(partial(cancel, s)) for s in range(2)] + [
            in_thread(collect) for _ in range(2)
        ]:
            result()
        # Both who waited were told the same.
        assert all(len(set(answers)) == 1 and len(answers) == 2 for answers in told)
        _wait_until(lambda: idle(f))
        statistics = f.statistics()
        assert amount == statistics.succeeded + statistics.cancelled
        assert statistics.succeeded == sum(answers[0] for answers in told)
        assert (0, 0) == (statistics.failed, statistics.abandoned)
        assert set(runs.count.values()) <= {1}
        assert runs.inside == 0


@pytest.mark.usefixtures("_restless")
@pytest.mark.parametrize("kind", ["sync", "async"])
def test_closing_under_fire_gives_each_accepted_input_one_outcome(kind: str) -> None:
    app = modal.App("my-app")
    ran: Counter[int] = Counter()

    if kind == "sync":

        @app.function(max_containers=3)
        def f(key: int) -> int:
            ran[key] += 1
            return key
    else:

        @app.function(max_containers=3)
        async def f(key: int) -> int:
            ran[key] += 1
            await asyncio.sleep(0)
            return key

    def attempt(number: int) -> None:
        ran.clear()
        accepted: list[tuple[int, Any]] = []
        started = threading.Barrier(4)

        def fire(first: int) -> None:
            started.wait(PATIENCE_S)
            try:
                for key in range(first, first + 1_000_000):
                    call = f.spawn(key)
                    accepted.append((key, call))
            except modal.exception.ExecutionError:
                return
            raise AssertionError("the app was never closed")

        def close() -> list[Callable[[], Any]]:
            waiting = [in_thread(partial(fire, first)) for first in (0, 1_000_000, 2_000_000)]
            started.wait(PATIENCE_S)
            _wait_until(lambda: len(accepted) > 300 * (number + 1))
            return waiting

        if number % 2:
            # An error in the body: nothing is drained.
            with pytest.raises(ZeroDivisionError):
                with app.run():
                    waiting = close()
                    raise ZeroDivisionError
        else:
            with app.run():
                waiting = close()
        for result in waiting:
            result()
        for key, call in accepted:
            try:
                assert key == call.get(timeout=PATIENCE_S)
                assert 1 == ran[key]
            except ClosedError:
                assert number % 2, "an accepted input was not drained"
                assert ran[key] <= 1

    for number in range(4):
        attempt(number)


@pytest.mark.usefixtures("_restless")
def test_scaling_up_and_down_under_load_loses_nothing() -> None:
    app = modal.App("my-app")

    @app.function(scaledown_window=0.0005)
    def f(key: int) -> int:
        return key

    @app.function(scaledown_window=0.0005, single_use_containers=True, max_containers=4)
    async def g(key: int) -> int:
        return key

    with app.run():
        done = threading.Event()

        def change() -> None:
            generator = random.Random(1)
            while not done.wait(0.0005):
                most = generator.randint(1, 6)
                f.update_autoscaler(max_containers=most, min_containers=generator.randint(0, most))

        def call(h: Any, first: int) -> None:
            for start in range(first, first + 600, 30):
                assert list(range(start, start + 30)) == list(h.map(range(start, start + 30)))

        changer = in_thread(change)
        try:
            for result in [in_thread(partial(call, f, n * 1000)) for n in range(2)] + [
                in_thread(partial(call, g, 0))
            ]:
                result()
        finally:
            done.set()
            changer()
        _wait_until(lambda: idle(f) and idle(g))
        assert (1200, 600) == (f.statistics().succeeded, g.statistics().succeeded)
        assert 600 <= g.statistics().starts

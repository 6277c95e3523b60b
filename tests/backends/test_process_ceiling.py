# SPDX-License-Identifier: Apache-2.0
"""The ceiling of an app's processes: nobody has more, whoever waits is let in, and functions take turns."""

from __future__ import annotations

import os
import time
from collections.abc import Callable
from typing import Any

import pytest

import actorpool as modal
from actorpool._actors import _standstill
from actorpool._backends import _thread_gate
from actorpool.exception import DeadlockError
from tests.api.support import gather, sleep
from tests.backends.processes import containers

Run = Callable[..., Any]

pytestmark = pytest.mark.timeout(60)


@pytest.fixture(params=["asyncio"])
def host_name(request: pytest.FixtureRequest) -> str:
    """One will do: the ceiling is that of threads, whose tests run on all."""
    return str(request.param)


def app_of(ceiling: int, **settings: Any) -> tuple[modal.App, Any, Any]:
    """Return an app with that ceiling and two functions, which nap and return their process."""
    app = modal.App("my-app", backend="process", limits=modal.Limits(max_processes=ceiling))

    def nap(seconds: float = 0.0) -> int:
        time.sleep(seconds)
        return os.getpid()

    return app, app.function(name="f", **settings)(nap), app.function(name="g", **settings)(nap)


async def mapped(function: Any, count: int, seconds: float) -> list[int]:
    return [pid async for pid in function.map.aio([seconds] * count)]


def test_an_app_never_has_more_processes_than_its_ceiling(run: Run) -> None:
    app, f, g = app_of(2, max_containers=4)
    most = 0

    async def look() -> None:
        nonlocal most
        while f.statistics().succeeded + g.statistics().succeeded < 24:
            most = max(most, len(containers()))
            await sleep(0.002)

    async def main() -> None:
        async with app.run():
            _, of_f, of_g = await gather(look, lambda: mapped(f, 12, 0.01), lambda: mapped(g, 12, 0.01))
            assert (12, 12) == (len(of_f), len(of_g))
            assert not set(of_f) & set(of_g)
            # The spare that is kept for a next container is none.
            assert 2 == most - 1

    run(main)


def test_at_the_ceiling_an_idle_process_makes_way_for_another_function(run: Run) -> None:
    app, f, g = app_of(1, scaledown_window=1000)

    async def main() -> None:
        async with app.run():
            pids = [await h.remote.aio() for h in (f, f, g, g, f)]
            assert pids[0] == pids[1]
            assert pids[2] == pids[3]
            assert 3 == len(set(pids))
            assert (0, 0) == (f.statistics().start_failures, g.statistics().start_failures)

    run(main)


def test_busy_functions_take_turns(run: Run) -> None:
    app, f, g = app_of(1, max_containers=1)

    async def main() -> None:
        with pytest.raises(ZeroDivisionError):
            async with app.run(grace=0.2):
                await f.spawn_map.aio([0.02] * 1_000)
                while not f.statistics().succeeded:
                    await sleep(0.002)
                await g.remote.aio()
                # It did not wait for the other to have nothing more to do.
                assert f.statistics().pending
                raise ZeroDivisionError

    run(main)


def test_waiting_for_a_process_is_no_slow_start(run: Run) -> None:
    app, f, _ = app_of(1)
    impatient = app.function(name="impatient", startup_timeout=30)(lambda: 2)

    async def main() -> None:
        async with app.run():
            first = await f.spawn.aio(0.3)
            while not f.statistics().running:
                await sleep(0.002)
            second = await impatient.spawn.aio()
            while not impatient.statistics().starting:
                await sleep(0.002)
            assert 1 == f.statistics().running
            await first.get.aio()
            assert 2 == await second.get.aio()
            assert 0 == impatient.statistics().start_failures

    run(main)


def test_whoever_gives_up_waiting_leaves_the_queue_and_a_dead_process_its_place(run: Run) -> None:
    app, f, g = app_of(1)

    async def main() -> None:
        async with app.run(grace=0.2):
            first = await f.spawn.aio(30.0)
            while not f.statistics().running:
                await sleep(0.002)
            given_up = await g.spawn.aio()
            while not g.statistics().starting:
                await sleep(0.002)
            await given_up.cancel.aio()
            while g.statistics().containers:
                await sleep(0.002)
            await first.cancel.aio(terminate_containers=True)
            assert isinstance(await g.remote.aio(), int)

    run(main)


def test_the_app_can_be_left_while_containers_wait(run: Run) -> None:
    app, f, g = app_of(1)

    async def main() -> None:
        with pytest.raises(ZeroDivisionError):
            async with app.run(grace=0.2):
                await f.spawn.aio(30.0)
                while not f.statistics().running:
                    await sleep(0.002)
                await g.spawn.aio()
                while not g.statistics().starting:
                    await sleep(0.002)
                raise ZeroDivisionError

    run(main)


def test_callers_that_hold_all_processes_do_not_wait_for_ever(
    run: Run, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(_thread_gate, "_TURN_S", 0.05)
    monkeypatch.setattr(_standstill, "_LOOK_S", 0.1)
    app = modal.App("my-app", backend="process", limits=modal.Limits(max_processes=2))

    @app.function(name="inner")
    def inner(x: int) -> int:
        return x

    @app.function(name="outer", max_containers=2)
    def outer(x: int) -> int:
        time.sleep(0.1)
        return inner.remote(x)

    async def main() -> None:
        async with app.run():
            results: list[Any] = [x async for x in outer.map.aio(range(8), return_exceptions=True)]
            failed = {x: result for x, result in enumerate(results) if isinstance(result, DeadlockError)}
            # Those that fail let others through.
            assert 1 <= len(failed) < 8
            assert [failed.get(x, x) for x in range(8)] == results
            for error in failed.values():
                assert "outer -> inner" in str(error)
                assert "max_processes=2" in str(error)

    run(main)

# SPDX-License-Identifier: Apache-2.0
"""S04: a function without inputs has no container, no thread, and does not wake the loop."""

from __future__ import annotations

import threading
from collections.abc import Callable
from typing import Any

import pytest

import actorpool as modal
from tests.api.support import PATIENCE_S, Latch, Turns, gather, sleep

Run = Callable[..., Any]


def test_S04_a_function_begins_at_zero_and_scales_to_zero_by_default(run_virtually: Run) -> None:
    app = modal.App("my-app")

    @app.function()
    async def f() -> None: ...

    async def main() -> None:
        async with app.run():
            await sleep(100.0)
            assert (0, 0) == (f.statistics().containers, f.statistics().starts)

            await f.remote.aio()
            await sleep(59.9)
            assert 1 == f.statistics().containers
            await sleep(0.2)
            assert 0 == f.statistics().containers

            await f.remote.aio()
            assert (1, 2) == (f.statistics().containers, f.statistics().starts)

    run_virtually(main)


def test_S04_at_zero_no_thread_is_left(run_virtually: Run) -> None:
    app = modal.App("my-app")

    @app.function()
    def f(x: int) -> int:
        return x * x

    async def main() -> None:
        async with app.run():
            before = set(threading.enumerate())
            assert [x * x for x in range(50)] == [y async for y in f.map.aio(range(50))]

            await sleep(60.1)
            assert 0 == f.statistics().containers
            assert set() == set(threading.enumerate()) - before

    run_virtually(main)


async def turns_of_a_sleep() -> int:
    """Return how often the loop comes round for this test's own sleep."""
    with Turns().counted() as turns:
        await sleep(24 * 3600.0)
    return turns.count


def test_S04_at_zero_the_loop_is_not_woken(run_virtually: Run) -> None:
    app = modal.App("my-app")

    @app.function(buffer_containers=1)
    async def f() -> None: ...

    @app.function()
    def g() -> None: ...

    async def main() -> None:
        own = await turns_of_a_sleep()
        async with app.run():
            for _ in range(3):
                await f.remote.aio()
                await g.remote.aio()
            # The deadline of the last input, `timeout` after it, is looked at once more; then nothing is scheduled.
            await sleep(1000.0)
            assert (0, 0) == (f.statistics().containers, g.statistics().containers)

            with Turns().counted() as turns:
                await sleep(24 * 3600.0)
            assert own == turns.count

    run_virtually(main)


def test_S04_a_warm_idle_pool_does_not_wake_the_loop_either(run_virtually: Run) -> None:
    app = modal.App("my-app")

    @app.function(min_containers=3, scaledown_window=0.5)
    async def f() -> None: ...

    async def main() -> None:
        own = await turns_of_a_sleep()
        async with app.run():
            await gather(*[f.remote.aio] * 5)
            await sleep(1000.0)
            assert 3 == f.statistics().containers

            with Turns().counted() as turns:
                await sleep(24 * 3600.0)
            assert own == turns.count

    run_virtually(main)


@pytest.mark.local_only("looks at threads or the loop from outside")
def test_S04_a_sync_caller_sees_it_too() -> None:
    app = modal.App("my-app")
    stopped = Latch(3)

    @app.cls(scaledown_window=0.01)
    class Job:
        @modal.exit()
        def end(self) -> None:
            stopped.hit()

        @modal.method()
        def run(self, _: int) -> threading.Thread:
            together.wait(PATIENCE_S)
            return threading.current_thread()

    together = threading.Barrier(3)

    with app.run():
        threads = list(Job().run.map(range(3)))
        stopped.wait()
        for thread in threads:
            thread.join(PATIENCE_S)

        assert [False] * 3 == [thread.is_alive() for thread in threads]

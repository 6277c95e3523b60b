# SPDX-License-Identifier: Apache-2.0
"""S29 and S30: asynchronous callers."""

from __future__ import annotations

import asyncio
import threading
from collections.abc import AsyncIterator, Callable, Iterator
from contextlib import aclosing
from typing import Any

import pytest
import trio

import actorpool as modal
from actorpool.exception import InvalidError, RemoteError
from tests.api.support import PATIENCE_S, Gauge, Latch, event, gather, now, sleep
from tests.hosts import settle
from tests.shared import shared

Run = Callable[..., Any]

app = modal.App("my-app")


@app.function()
async def square(x: int) -> int:
    return x * x


@app.function()
def square_in_thread(x: int) -> int:
    return x * x


@app.function()
async def add(a: int, b: int) -> int:
    return a + b


@app.function()
async def countdown(n: int) -> AsyncIterator[int]:
    while n:
        yield n
        n -= 1


@app.function()
def countdown_in_thread(n: int) -> Iterator[int]:
    while n:
        yield n
        n -= 1


@app.cls()
class Scaled:
    factor: int = modal.parameter(default=3)

    @modal.method()
    async def times(self, x: int) -> int:
        return x * self.factor


# -- S29 --------------------------------------------------------------------------------------------------

# What waits for nothing, and so needs no twin.
IMMEDIATE = {
    "Function": {
        "from_name",
        "get_raw_f",
        "hydrate",
        "local",
        "scaling_log",
        "statistics",
        "with_batching",
        "with_concurrency",
        "with_options",
    },
    "FunctionCall": {"from_id", "num_inputs"},
    "App": {"cls", "function", "include", "local_entrypoint"},
    "Obj": {"bound_method"},
}


def test_S29_every_verb_has_an_aio_twin() -> None:
    with app.run():
        things = [square, Scaled().times, square.spawn(1), app, Scaled()]
        without = {
            f"{type(thing).__name__}.{name}"
            for thing in things
            for name in dir(thing)
            if not name.startswith("_")
            and name not in IMMEDIATE[type(thing).__name__]
            and callable(getattr(thing, name))
            and not hasattr(getattr(thing, name), "aio")
        }
    assert set() == without


def test_S29_remote_aio_awaits_the_result(run: Run) -> None:
    async def main() -> None:
        async with app.run():
            assert 9 == await square.remote.aio(3)
            assert 9 == await square.remote.aio(x=3)
            assert 9 == await square_in_thread.remote.aio(3)
            assert 12 == await Scaled(factor=4).times.remote.aio(3)  # type: ignore[call-arg]

    run(main)


def test_S29_map_aio_is_an_async_iterator(run: Run) -> None:
    async def main() -> None:
        async with app.run():
            assert [x * x for x in range(10)] == [result async for result in square.map.aio(range(10))]
            assert [3, 7] == [result async for result in add.starmap.aio([(1, 2), (3, 4)])]

    run(main)


def test_S29_for_each_aio_is_awaited(run: Run) -> None:
    async def main() -> None:
        async with app.run():
            await square.for_each.aio(range(20))
            assert 20 == square.statistics().succeeded

    run(main)


def test_S29_spawn_aio_returns_a_call_whose_verbs_have_twins(run: Run) -> None:
    async def main() -> None:
        async with app.run():
            call = await square.spawn.aio(3)
            assert 9 == await call.get.aio() == await call.get.aio(timeout=0)
            calls = [await square.spawn.aio(x) for x in range(10)]
            assert [x * x for x in range(10)] == await modal.FunctionCall.gather.aio(*calls)
            assert 9 == await modal.FunctionCall.from_id(call.object_id).get.aio()

    run(main)


def test_S29_cancel_aio_cancels(run: Run) -> None:
    app = modal.App("my-app")

    @app.function()
    async def forever(gate: Any) -> None:
        await gate.wait()

    async def main() -> None:
        async with app.run():
            call = await forever.spawn.aio(event())
            await settle()
            await call.cancel.aio()
            with pytest.raises(RemoteError, match="cancelled"):
                await call.get.aio()

    run(main)


def test_S29_get_aio_has_a_timeout(run_virtually: Run) -> None:
    app = modal.App("my-app")

    @app.function()
    async def slow() -> str:
        await sleep(10.0)
        return "done"

    async def main() -> None:
        async with app.run():
            call = await slow.spawn.aio()
            with pytest.raises(TimeoutError, match="no result after 4 s"):
                await call.get.aio(timeout=4)
            assert 4.0 == round(now(), 6)
            assert "done" == await call.get.aio(timeout=100)
            assert 10.0 == round(now(), 6)

    run_virtually(main)


def test_S29_spawn_map_and_generators_have_twins(run: Run) -> None:
    async def main() -> None:
        async with app.run():
            await square.spawn_map.aio(range(10))
            for function in (countdown, countdown_in_thread):
                async with aclosing(function.remote_gen.aio(3)) as items:
                    assert [3, 2, 1] == [item async for item in items]

    run(main)


def test_S29_settings_and_counts_have_twins(run: Run) -> None:
    async def main() -> None:
        async with app.run():
            assert 5 == (await square.update_autoscaler.aio(max_containers=5)).max_containers
            scaled: Any = Scaled()
            assert 6 == (await scaled.update_autoscaler.aio(max_containers=6)).max_containers
            assert 0 == (await square.get_current_stats.aio()).num_total_runners

    run(main)


def test_S29_an_app_is_run_deployed_and_stopped_asynchronously(run: Run) -> None:
    async def main() -> None:
        async with app.run.aio() as running:
            assert app is running
            assert 9 == await square.remote.aio(3)

        assert app is await app.deploy.aio()
        assert 9 == await modal.Function.from_name("my-app", "square").remote.aio(3)
        await app.stop.aio()

    run(main)


def test_S29_the_same_app_serves_sync_and_async_callers(run: Run) -> None:
    async def main() -> None:
        async with app.run():
            assert 9 == await square.remote.aio(3)

    run(main)
    with app.run():
        assert 9 == square.remote(3)
    run(main)


def test_S29_a_twin_serves_a_loop_of_another_thread(run: Run) -> None:
    async def elsewhere() -> list[int]:
        return [await square.remote.aio(3), *[x async for x in square_in_thread.map.aio(range(4))]]

    async def main() -> None:
        async with app.run():
            done = Latch()
            results: list[list[int]] = shared([])

            def other_thread() -> None:
                results.append(asyncio.run(elsewhere()))
                results.append(trio.run(elsewhere))
                done.hit()

            thread = threading.Thread(target=other_thread)
            thread.start()
            await done.opened()
            thread.join(PATIENCE_S)
            assert [[9, 0, 1, 4, 9]] * 2 == results

    run(main)


def test_S29_a_twin_serves_a_loop_of_a_synchronous_app() -> None:
    async def main() -> list[int]:
        return await asyncio.gather(*[square.remote.aio(x) for x in range(10)])

    with app.run():
        assert [x * x for x in range(10)] == asyncio.run(main())


def test_S29_a_twin_without_a_loop_says_so() -> None:
    with app.run():
        coroutine = square.remote.aio(3)
        with pytest.raises(InvalidError, match="needs a running asyncio loop or trio run"):
            coroutine.send(None)


def test_S29_a_cancelled_caller_cancels_its_input(run_virtually: Run) -> None:
    app = modal.App("my-app")
    inside = Gauge()

    @app.function(max_containers=1)
    async def slow() -> None:
        with inside.entered():
            await sleep(1_000.0)

    async def main() -> None:
        from actorpool._host._current import current_host

        async with app.run():
            with current_host().move_on_after(5.0):
                # One runs, two are pending.
                await gather(*[slow.remote.aio] * 3)
            await settle()
            assert (0, 0, 0) == (inside.inside, slow.statistics().running, slow.statistics().pending)
            assert 3 == slow.statistics().cancelled

    run_virtually(main)


# -- S30 --------------------------------------------------------------------------------------------------


@pytest.mark.local_only("more containers than there are to be processes")
def test_S30_a_hundred_gathered_calls_run_in_parallel(run_virtually: Run) -> None:
    app = modal.App("my-app")
    inside = Gauge()

    @app.function()
    async def async_task(x: int) -> int:
        with inside.entered():
            await sleep(1.0)
        return x

    async def main() -> None:
        async with app.run():
            start = now()
            results = await gather(*[lambda i=i: async_task.remote.aio(i) for i in range(100)])

            assert list(range(100)) == results
            assert (100, 1.0) == (inside.peak, round(now() - start, 6))

    run_virtually(main)


def test_S30_asyncio_gather_of_calls_works_as_the_guide_writes_it() -> None:
    app = modal.App("my-app")

    @app.function()
    async def async_task(i: int) -> int:
        await asyncio.sleep(0)
        return i * 2

    async def main() -> list[int]:
        async with app.run():
            tasks = [async_task.remote.aio(i) for i in range(100)]
            return await asyncio.gather(*tasks)

    assert [i * 2 for i in range(100)] == asyncio.run(main())


@pytest.mark.local_only("more containers than there are to be processes")
def test_S30_gathered_calls_of_sync_functions_run_in_parallel_too() -> None:
    app = modal.App("my-app")
    together = threading.Barrier(30)

    @app.function()
    def task(i: int) -> int:
        together.wait(PATIENCE_S)
        return i

    async def main() -> list[int]:
        async with app.run():
            return await asyncio.gather(*[task.remote.aio(i) for i in range(30)])

    assert list(range(30)) == asyncio.run(main())


def test_S30_an_async_entrypoint_gathers() -> None:
    app = modal.App("my-app")

    @app.function()
    async def async_task(i: int) -> int:
        return i

    @app.local_entrypoint()
    async def main() -> list[int]:
        tasks = [async_task.remote.aio(i) for i in range(100)]
        return await asyncio.gather(*tasks)

    async def run_it() -> list[int]:
        async with app.run():
            return await main()

    assert list(range(100)) == asyncio.run(run_it())
    # Its loop need not be the one that serves.
    with app.run():
        assert list(range(100)) == asyncio.run(main())


def test_S30_one_failure_does_not_lose_the_other_results() -> None:
    app = modal.App("my-app")

    @app.function()
    async def async_task(i: int) -> int:
        if i == 7:
            raise ValueError(i)
        return i

    async def main() -> list[Any]:
        async with app.run():
            tasks = [async_task.remote.aio(i) for i in range(20)]
            return await asyncio.gather(*tasks, return_exceptions=True)

    results = asyncio.run(main())
    assert isinstance(results.pop(7), ValueError)
    assert [i for i in range(20) if i != 7] == results

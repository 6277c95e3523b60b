# SPDX-License-Identifier: Apache-2.0
"""S20 to S22: several inputs in one container, each in a thread or task of its own."""

from __future__ import annotations

import asyncio
import contextvars
import logging
import threading
import time
from collections.abc import Callable
from typing import Any

import pytest
import trio

import actorpool as modal
from actorpool._host._current import current_host
from actorpool.exception import InvalidError
from tests.api.support import PATIENCE_S, Latch, begins, event, gather, of_one_second, sleep
from tests.hosts import settle
from tests.shared import shared

Run = Callable[..., Any]


# -- S20 --------------------------------------------------------------------------------------------------


def test_S20_a_container_executes_up_to_max_inputs_at_once(run_virtually: Run) -> None:
    app = modal.App("my-app")

    @app.function()
    @modal.concurrent(max_inputs=100)
    async def f(gate: Any) -> None:
        await gate.wait()

    async def main() -> None:
        async with app.run():
            gate = event()
            calls = [f.spawn(gate) for _ in range(100)]
            await settle()
            assert (1, 100) == (f.statistics().containers, f.statistics().running)
            assert 0 == f.statistics().free_slots

            calls.append(f.spawn(gate))
            await settle()
            assert (2, 101) == (f.statistics().containers, f.statistics().running)

            gate.set()
            for call in calls:
                await call.get.aio()

    run_virtually(main)


def test_S20_no_container_ever_exceeds_max_inputs(run_virtually: Run) -> None:
    app = modal.App("my-app")
    peaks: list[int] = shared([])

    @app.cls()
    @modal.concurrent(max_inputs=7)
    class Job:
        @modal.enter()
        def load(self) -> None:
            self.inside = 0

        @modal.method()
        async def run(self, x: int) -> int:
            self.inside += 1
            peaks.append(self.inside)
            await sleep(0.1 + x % 5)
            self.inside -= 1
            return x

    async def main() -> None:
        async with app.run():
            assert list(range(300)) == [x async for x in Job().run.map.aio(range(300))]
            assert 7 == max(peaks)

    run_virtually(main)


def test_S20_without_concurrent_a_container_executes_one(run_virtually: Run) -> None:
    app, f = of_one_second(max_containers=1)

    async def main() -> None:
        async with app.run():
            assert [0.0, 1.0, 2.0, 3.0, 4.0] == await begins(f, 5)

    run_virtually(main)


def test_S20_one_limit_holds_for_all_methods_of_a_class(run_virtually: Run) -> None:
    app = modal.App("my-app")

    @app.cls(max_containers=1)
    @modal.concurrent(max_inputs=3)
    class Job:
        @modal.method()
        async def one(self, gate: Any) -> None:
            await gate.wait()

        @modal.method()
        async def other(self, gate: Any) -> None:
            await gate.wait()

    async def main() -> None:
        async with app.run():
            job, gate = Job(), event()
            calls = [method.spawn(gate) for _ in range(3) for method in (job.one, job.other)]
            await settle()
            assert (3, 3) == (job.one.statistics().running, job.one.statistics().pending)
            gate.set()
            for call in calls:
                await call.get.aio()

    run_virtually(main)


def test_S20_the_decorator_checks_what_it_is_given() -> None:
    app = modal.App("my-app")
    with pytest.raises(TypeError, match="max_inputs"):
        modal.concurrent()  # type: ignore[call-arg]
    for wrong in (0, -1, 1.5, None):
        with pytest.raises(InvalidError, match="max_inputs"):
            modal.concurrent(max_inputs=wrong)  # type: ignore[arg-type]
    with pytest.raises(InvalidError, match="swap the order"):

        @modal.concurrent(max_inputs=2)
        @app.function()
        def f() -> None: ...


# -- S21 --------------------------------------------------------------------------------------------------


def test_S21_each_concurrent_input_of_a_sync_function_runs_in_a_thread_of_its_own() -> None:
    app = modal.App("my-app")
    together = threading.Barrier(20)

    @app.function()
    @modal.concurrent(max_inputs=20)
    def f(_: int) -> int:
        together.wait(PATIENCE_S)
        return threading.get_ident()

    with app.run():
        threads = list(f.map(range(20)))
        assert 20 == len(set(threads))
        assert threading.get_ident() not in threads
        assert (1, 1) == (f.statistics().containers, f.statistics().starts)


def test_S21_sync_inputs_never_run_on_the_loop(run: Run) -> None:
    app = modal.App("my-app")
    inside, go = Latch(8), threading.Event()

    @app.function()
    @modal.concurrent(max_inputs=8)
    def f() -> int:
        inside.hit()
        go.wait(PATIENCE_S)
        return threading.get_ident()

    async def main() -> None:
        async with app.run():
            calls = [f.spawn() for _ in range(8)]
            # The loop is free to see all eight come in.
            await inside.opened()
            assert (1, 8) == (f.statistics().containers, f.statistics().running)
            go.set()
            threads = {await call.get.aio() for call in calls}
            assert 8 == len(threads)
            assert threading.get_ident() not in threads

    run(main)


def test_S21_no_more_threads_are_started_than_inputs_need() -> None:
    app = modal.App("my-app")

    @app.function()
    @modal.concurrent(max_inputs=500)
    def f() -> int:
        return threading.get_ident()

    with app.run():
        before = threading.active_count()
        for _ in range(100):
            f.remote()
        assert threading.active_count() - before <= 2


@pytest.mark.local_only("looks at threads or the loop from outside")
def test_S21_thread_local_state_belongs_to_one_input_at_a_time() -> None:
    app = modal.App("my-app")
    local = threading.local()

    @app.function()
    @modal.concurrent(max_inputs=10)
    def f(x: int) -> bool:
        local.x = x
        return all(local.x == x for _ in range(10))

    with app.run():
        assert all(f.map(range(2_000)))


# -- S22 --------------------------------------------------------------------------------------------------


def current_task() -> object:
    return trio.lowlevel.current_task() if current_host().name == "trio" else asyncio.current_task()


def test_S22_each_concurrent_input_of_an_async_function_is_a_task_of_its_own(run: Run) -> None:
    app = modal.App("my-app")

    @app.function()
    @modal.concurrent(max_inputs=50)
    async def f(arrived: Latch) -> object:
        arrived.hit()
        await arrived.opened()
        return current_task()

    async def main() -> None:
        async with app.run():
            arrived = Latch(50)
            tasks = await gather(*[lambda: f.remote.aio(arrived)] * 50)

            assert 50 == len(set(tasks))
            assert current_task() not in tasks
            assert 1 == f.statistics().containers

    run(main)


@pytest.mark.local_only("looks at threads or the loop from outside")
def test_S22_the_tasks_are_tasks_of_the_apps_own_loop(run: Run) -> None:
    app = modal.App("my-app")

    @app.function()
    @modal.concurrent(max_inputs=5)
    async def f() -> tuple[int, object]:
        return threading.get_ident(), current_host().bridge

    async def main() -> None:
        async with app.run():
            expected = (threading.get_ident(), current_host().bridge)
            assert [expected] * 5 == await gather(*[f.remote.aio] * 5)

    run(main)


def test_S22_libraries_of_the_loop_work_inside_an_input() -> None:
    app = modal.App("my-app")

    @app.function()
    @modal.concurrent(max_inputs=5)
    async def f(x: int) -> list[int]:
        async def one(y: int) -> int:
            await asyncio.sleep(0)
            return x + y

        async with asyncio.timeout(PATIENCE_S):
            thread = await asyncio.to_thread(lambda: x)
            return [thread, *await asyncio.gather(one(1), one(2))]

    with app.run():
        assert [[x, x + 1, x + 2] for x in range(20)] == list(f.map(range(20)))


def test_S22_each_input_runs_in_a_copy_of_its_submitters_context(run: Run) -> None:
    app = modal.App("my-app")
    request: contextvars.ContextVar[str] = contextvars.ContextVar("request", default="none")

    @app.function()
    @modal.concurrent(max_inputs=10)
    async def f() -> str:
        seen = request.get()
        request.set("changed in the input")
        return seen

    @app.function()
    def in_thread() -> str:
        seen = request.get()
        request.set("changed in the input")
        return seen

    @app.function()
    async def each(_: int) -> str:
        return request.get()

    async def main() -> None:
        async with app.run():
            for name in ("a", "b"):
                request.set(name)
                assert [name] * 2 == [await f.remote.aio(), await in_thread.remote.aio()]
                assert [name] * 3 == [seen async for seen in each.map.aio(range(3))]
                assert name == request.get()

    run(main)


def test_S22_a_failing_input_leaves_its_neighbours_alone(run: Run) -> None:
    app = modal.App("my-app")

    @app.function(max_containers=1)
    @modal.concurrent(max_inputs=10)
    async def f(x: int, gate: Any) -> int:
        if x == 5:
            gate.set()
            raise ValueError(x)
        await gate.wait()
        return x

    async def main() -> None:
        async with app.run():
            gate = event()
            results = await gather(*[lambda x=x: f.remote.aio(x, gate) for x in range(10)])
            assert [0, 1, 2, 3, 4, 6, 7, 8, 9] == [x for x in results if isinstance(x, int)]
            assert isinstance(results[5], ValueError)

    run(main)


@pytest.mark.slow
def test_S22_the_user_is_told_when_a_function_blocks_the_loop(caplog: pytest.LogCaptureFixture) -> None:
    app = modal.App("my-app", block_warning=0.02)

    @app.function()
    async def hashes() -> None:
        # Nothing else of the loop runs meanwhile.
        time.sleep(0.1)

    def warned() -> list[str]:
        return [record.getMessage() for record in caplog.records if record.levelno == logging.WARNING]

    with caplog.at_level(logging.WARNING, "actorpool"), app.run():
        until = time.monotonic() + PATIENCE_S
        # Once is enough, unless this machine is so busy that the watch did not get to look.
        while not warned() and time.monotonic() < until:
            hashes.remote()
            hashes.remote()
    assert "async function 'hashes' blocked the event loop for" in warned()[0]

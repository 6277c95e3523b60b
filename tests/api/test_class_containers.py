# SPDX-License-Identifier: Apache-2.0
"""S19: the life of a container of a class: its hooks, its threads, its methods."""

from __future__ import annotations

import logging
import threading
from collections.abc import Callable
from typing import Any

import pytest

import actorpool as modal
from actorpool.exception import ContainerStartError
from tests.api.support import PATIENCE_S, Latch, now, sleep
from tests.shared import shared

Run = Callable[..., Any]


def test_S19_M5_1_M5_3_hooks_run_once_for_each_container_and_inputs_find_what_they_made(
    run_virtually: Run,
) -> None:
    app = modal.App("my-app")
    log: list[str] = shared([])

    @app.cls(scaledown_window=10)
    class Job:
        name: str = modal.parameter(default="x")

        @modal.enter()
        def first(self) -> None:
            self.count = 0
            log.append("first")

        @modal.enter()
        async def second(self) -> None:
            log.append("second")

        @modal.exit()
        async def last(self) -> None:
            log.append(f"exit after {self.count}")

        @modal.method()
        async def run(self) -> int:
            self.count += 1
            return self.count

    async def main() -> None:
        async with app.run():
            assert [1, 2, 3] == [await Job().run.remote.aio() for _ in range(3)]
            await sleep(10.1)
            assert ["first", "second", "exit after 3"] == log
            assert 1 == await Job().run.remote.aio()

    run_virtually(main)
    assert ["first", "second", "exit after 1"] == log[3:]


@pytest.mark.local_only("looks at threads or the loop from outside")
def test_S19_a_container_of_one_slot_runs_everything_on_one_thread() -> None:
    app = modal.App("my-app")
    threads: list[threading.Thread] = shared([])

    @app.cls(max_containers=1)
    class Database:
        @modal.enter()
        def connect(self) -> None:
            threads.append(threading.current_thread())

        @modal.exit()
        def disconnect(self) -> None:
            threads.append(threading.current_thread())

        @modal.method()
        def query(self, _: int) -> None:
            threads.append(threading.current_thread())

    with app.run():
        Database().query.for_each(range(50))
    assert 52 == len(threads)
    assert 1 == len(set(threads))


def test_S19_when_starts_keep_failing_the_pending_inputs_fail_with_the_cause(run_virtually: Run) -> None:
    app = modal.App("my-app")
    broken: list[bool] = shared([True])

    @app.cls()
    class Model:
        @modal.enter()
        async def load(self) -> None:
            if len(broken):
                raise FileNotFoundError("weights.bin")

        @modal.method()
        async def run(self) -> str:
            return "done"

    async def main() -> None:
        async with app.run():
            with pytest.raises(ContainerStartError, match=r"3 times in a row.*weights.bin") as caught:
                await Model().run.remote.aio()
            assert isinstance(caught.value.__cause__, FileNotFoundError)

            broken.clear()
            assert "done" == await Model().run.remote.aio()

    run_virtually(main)


@pytest.mark.local_only("virtual time in what is cut off elsewhere")
def test_S19_an_exit_hook_that_raises_or_hangs_keeps_nobody(
    run_virtually: Run, caplog: pytest.LogCaptureFixture
) -> None:
    app = modal.App("my-app")
    ended: list[float] = shared([])

    @app.cls(scaledown_window=10)
    class Job:
        @modal.exit()
        async def hang(self) -> None:
            await sleep(10_000.0)

        @modal.exit()
        async def fail(self) -> None:
            raise ValueError("too late")

        @modal.exit()
        async def end(self) -> None:
            ended.append(now())

        @modal.method()
        async def run(self) -> None: ...

    async def main() -> None:
        async with app.run(grace=5):
            start = now()
            await Job().run.remote.aio()
            await sleep(16.0)
            assert [15.0] == [round(at - start, 6) for at in ended]
            assert 0 == Job().run.statistics().containers

    with caplog.at_level(logging.WARNING, "actorpool"):
        run_virtually(main)
    assert ["hang", "fail"] == [
        next(word for word in ("hang", "fail") if f".{word} " in record.getMessage())
        for record in caplog.records
    ]


@pytest.mark.local_only("virtual time in what is cut off elsewhere")
def test_S19_an_enter_hook_that_hangs_is_cut_off(run_virtually: Run) -> None:
    app = modal.App("my-app")

    @app.cls(startup_timeout=7)
    class Model:
        @modal.enter()
        async def load(self) -> None:
            await sleep(10_000.0)

        @modal.method()
        async def run(self) -> None: ...

    async def main() -> None:
        async with app.run():
            with pytest.raises(ContainerStartError, match="startup_timeout of 7 s"):
                await Model().run.remote.aio()
            # Three starts of 7 s and the pauses between them.
            assert 21.3 == round(now(), 6)

    run_virtually(main)


def test_S19_M5_14_methods_may_call_each_other_inside_a_container(run: Run) -> None:
    app = modal.App("my-app")

    @app.cls()
    @modal.concurrent(max_inputs=4)
    class Pipeline:
        offset: int = modal.parameter(default=1)

        @modal.method()
        async def step(self, x: int) -> int:
            return x + self.offset

        @modal.method()
        async def both(self, x: int) -> tuple[int, int]:
            return await self.step.local(x), await self.step.remote.aio(x)

    async def main() -> None:
        async with app.run():
            assert (12, 12) == await Pipeline(offset=2).both.remote.aio(10)  # type: ignore[call-arg]

    run(main)


def test_S19_sync_methods_serve_maps_and_hooks_in_threads() -> None:
    app = modal.App("my-app")
    ended = Latch(1)

    @app.cls(max_containers=1)
    @modal.concurrent(max_inputs=5)
    class Job:
        factor: int = modal.parameter()

        @modal.enter()
        def load(self) -> None:
            self.together = threading.Barrier(5)

        @modal.exit()
        def end(self) -> None:
            ended.hit()

        @modal.method()
        def times(self, x: int) -> int:
            self.together.wait(PATIENCE_S)
            return x * self.factor

    with app.run():
        assert [0, 3, 6, 9, 12] == list(Job(factor=3).times.map(range(5)))  # type: ignore[call-arg]
        assert not ended.is_open
    assert ended.is_open

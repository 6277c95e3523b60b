# SPDX-License-Identifier: Apache-2.0
"""Objects of a class that are made for local use: when they are made, and when their enter hooks run."""

from __future__ import annotations

import threading
from collections.abc import AsyncIterator, Callable
from typing import Any

import pytest

import actorpool as modal
from actorpool._host._current import current_host
from actorpool.exception import InvalidError
from tests.api.support import event, gather, sleep
from tests.hosts import run_on
from tests.shared import shared

Run = Callable[..., Any]


def test_M5_6_attributes_and_plain_methods_make_the_object_without_its_hooks() -> None:
    app = modal.App("my-app")
    log: list[str] = shared([])

    @app.cls()
    class Job:
        name: str = modal.parameter(default="x")
        size = 3

        @modal.enter()
        def load(self) -> None:
            log.append(threading.current_thread().name)
            self.loaded = True

        def title(self) -> str:
            return self.name.title()

        @modal.method()
        def run(self) -> str:
            return f"{self.name} {self.loaded}"

    job: Any = Job(name="ada")  # type: ignore[call-arg]
    assert (3, "ada", "Ada") == (job.size, job.name, job.title())
    assert [] == log
    with pytest.raises(AttributeError, match="'loaded'"):
        job.loaded
    # One object for all local use: what was made comes to be entered.
    assert "ada True" == job.run.local()
    assert (True, [threading.current_thread().name]) == (job.loaded, log)
    assert "ada True" == job.run.local()
    assert 1 == len(log)


def async_job() -> tuple[Any, list[str]]:
    """Return an instance whose hooks are of both kinds, and what they note."""
    app = modal.App("my-app")
    log: list[str] = shared([])

    @app.cls()
    class Job:
        @modal.enter()
        def first(self) -> None:
            log.append("first")

        @modal.enter()
        async def second(self) -> None:
            await sleep(0.001)
            log.append("second")
            self.loaded = True

        @modal.method()
        async def run(self, x: int = 0) -> tuple[bool, int]:
            return self.loaded, x

        @modal.method()
        def run_in_thread(self) -> bool:
            return self.loaded

        @modal.method()
        async def items(self) -> AsyncIterator[bool]:
            yield self.loaded

    return Job(), log


def test_M5_5_asynchronous_enter_hooks_run_with_the_first_method_that_is_awaited(run: Run) -> None:
    async def main() -> None:
        job, log = async_job()
        coroutine = job.run.local(3)
        assert [] == log
        assert (True, 3) == await coroutine
        assert ["first", "second"] == log
        assert (True, 0) == await job.run.local()
        assert job.run_in_thread.local() is True
        assert [True] == [item async for item in job.items.local()]
        assert ["first", "second"] == log

    run(main)


def test_M5_5_whoever_comes_while_the_hooks_run_waits_for_them(run_virtually: Run) -> None:
    async def main() -> None:
        job, log = async_job()
        assert [(True, x) for x in range(20)] == await gather(
            *[lambda x=x: job.run.local(x) for x in range(20)]
        )
        assert ["first", "second"] == log

    run_virtually(main)


def test_M5_5_callers_on_several_loops_enter_once() -> None:
    job, log = async_job()
    results: list[Any] = shared([])
    start = threading.Barrier(4)

    def call(host_name: str) -> None:
        async def main() -> None:
            start.wait(10)
            results.append(await job.run.local())

        run_on(host_name, main)

    threads = [threading.Thread(target=call, args=[name]) for name in ("asyncio", "trio") * 2]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert [(True, 0)] * 4 == results
    assert ["first", "second"] == log


@pytest.mark.parametrize("method", ["run_in_thread", "items"])
def test_M5_5_what_is_not_awaited_cannot_run_an_asynchronous_hook_and_says_so(method: str) -> None:
    job, log = async_job()
    for _ in range(2):
        with pytest.raises(InvalidError, match=rf"'Job' has an asynchronous enter hook.*for '{method}'"):
            getattr(job, method).local()
    assert [] == log


def test_M5_5_hooks_that_failed_run_again_with_the_next_call(run: Run) -> None:
    app = modal.App("my-app")
    attempts: list[str] = shared([])

    class Connects:
        @modal.enter()
        def connect(self) -> None:
            attempts.append("connect")
            if len(attempts) < 2:
                raise ConnectionError

    @app.cls()
    class Sync(Connects):
        @modal.method()
        def run(self) -> int:
            return len(attempts)

    @app.cls()
    class Async(Connects):
        @modal.enter()
        async def warm(self) -> None: ...

        @modal.method()
        async def run(self) -> int:
            return len(attempts)

    async def main() -> None:
        del attempts[:]
        sync, asynchronous = Sync(), Async()
        with pytest.raises(ConnectionError):
            sync.run.local()
        assert [2, 2] == [sync.run.local() for _ in range(2)]
        del attempts[:]
        with pytest.raises(ConnectionError):
            await asynchronous.run.local()
        assert [2, 2] == [await asynchronous.run.local() for _ in range(2)]

    run(main)


def test_M5_5_a_caller_that_leaves_while_the_hooks_run_leaves_them_to_the_next_one(
    run_virtually: Run,
) -> None:
    app = modal.App("my-app")
    entered: list[str] = shared([])

    @app.cls()
    class Job:
        @modal.enter()
        async def load(self) -> None:
            entered.append("begun")
            await gates[0].wait()
            entered.append("done")

        @modal.method()
        async def run(self) -> int:
            return len(entered)

    gates: list[Any] = []

    async def main() -> None:
        del entered[:]
        gates[:] = [event()]
        job = Job()
        with current_host().move_on_after(1.0):
            await job.run.local()
        assert ["begun"] == entered
        gates[0].set()
        assert 3 == await job.run.local()
        assert ["begun", "begun", "done"] == entered

    run_virtually(main)

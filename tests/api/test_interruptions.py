# SPDX-License-Identifier: Apache-2.0
"""Inputs that are cancelled while they run, callers that leave, and what is tried again."""

from __future__ import annotations

import gc
import logging
import subprocess
import sys
import threading
from collections.abc import Callable
from typing import Any

import pytest

import actorpool as modal
from actorpool import exception
from actorpool.exception import RemoteError
from tests.api.support import PATIENCE_S, Latch, event, now, sleep
from tests.hosts import settle
from tests.shared import shared

Run = Callable[..., Any]


class Threads:
    """Inputs in threads: each says that it is there, and stays until it is let go."""

    def __init__(self, slots: int) -> None:
        self.app = modal.App("my-app")
        self.inside = Latch(slots)
        self.left = Latch(slots)
        self.go = threading.Event()

        @self.app.function(max_containers=1, retries=1)
        @modal.concurrent(max_inputs=slots)
        def stay(x: int) -> int:
            self.inside.hit()
            assert self.go.wait(PATIENCE_S)
            self.left.hit()
            return x

        self.stay: Any = stay


def test_M9_1_a_cancelled_thread_frees_its_caller_at_once_and_its_slot_when_it_returns(run: Run) -> None:
    threads = Threads(1)

    async def main() -> None:
        async with threads.app.run():
            call, following = threads.stay.spawn(1), threads.stay.spawn(2)
            await threads.inside.opened()
            await call.cancel.aio()
            with pytest.raises(RemoteError, match="cancelled"):
                await call.get.aio()
            statistics = threads.stay.statistics()
            assert (1, 1) == (statistics.abandoned, statistics.pending)
            threads.go.set()
            assert 2 == await following.get.aio()
            assert 0 == threads.stay.statistics().abandoned
            with pytest.raises(RemoteError, match="cancelled"):
                await call.get.aio()

    run(main)


def test_M9_3_of_several_threads_in_a_container_the_others_go_on_where_they_are(run: Run) -> None:
    threads = Threads(3)

    async def main() -> None:
        async with threads.app.run():
            calls = [threads.stay.spawn(x) for x in range(3)]
            await threads.inside.opened()
            calls[1].cancel()
            await settle()
            assert (1, 1) == (threads.stay.statistics().containers, threads.stay.statistics().abandoned)
            threads.go.set()
            assert [0, 2] == await modal.FunctionCall.gather.aio(calls[0], calls[2])
            with pytest.raises(RemoteError, match="cancelled"):
                await calls[1].get.aio()
            await threads.left.opened()
            assert 1 == threads.stay.statistics().starts

    run(main)


def test_M9_2_of_several_tasks_in_a_container_the_cancelled_one_ends_alone(run: Run) -> None:
    app = modal.App("my-app")
    cleaned: list[int] = shared([])

    @app.function(max_containers=1, retries=1)
    @modal.concurrent(max_inputs=3)
    async def stay(x: int, gate: Any) -> int:
        try:
            await gate.wait()
        finally:
            cleaned.append(x)
        return x

    async def main() -> None:
        async with app.run():
            gate = event()
            calls = [stay.spawn(x, gate) for x in range(3)]
            await settle()
            calls[1].cancel()
            await settle()
            assert [1] == cleaned
            gate.set()
            assert [0, 2] == await modal.FunctionCall.gather.aio(calls[0], calls[2])
            with pytest.raises(RemoteError, match="cancelled"):
                await calls[1].get.aio()
            assert 1 == stay.statistics().starts

    run(main)


def test_M9_4_spawned_calls_of_a_deployed_app_survive_their_caller(run_virtually: Run) -> None:
    app = modal.App("my-app")
    done: list[int] = shared([])

    @app.function()
    async def work(x: int) -> None:
        await sleep(10.0)
        done.append(x)

    @app.function()
    async def caller() -> None:
        await work.spawn.aio(1)
        await work.spawn_map.aio([2, 3])
        raise ConnectionError

    async def main() -> None:
        await app.deploy.aio()
        try:
            with pytest.raises(ConnectionError):
                await modal.Function.from_name("my-app", "caller").remote.aio()
            gc.collect()
            await sleep(10.1)
            assert [1, 2, 3] == sorted(done)
        finally:
            await app.stop.aio()

    run_virtually(main)


def test_M9_8_a_number_of_retries_is_that_many_a_second_apart(run_virtually: Run) -> None:
    app = modal.App("my-app")
    instants: list[float] = shared([])

    @app.function(retries=3)
    async def fails() -> None:
        instants.append(now())
        raise ConnectionError(len(instants))

    async def main() -> None:
        async with app.run():
            with pytest.raises(ConnectionError, match="4"):
                await fails.remote.aio()
            assert [0.0, 1.0, 2.0, 3.0] == [round(at - instants[0], 6) for at in instants]

    run_virtually(main)


def test_M9_7_retries_take_their_numbers_by_keyword_and_within_bounds() -> None:
    for wrong in ((3,), ()):
        with pytest.raises(TypeError, match="argument"):
            modal.Retries(*wrong)  # type: ignore[call-arg,misc,unused-ignore]
    for options in (
        {"max_retries": -1},
        {"backoff_coefficient": 0.9},
        {"backoff_coefficient": 10.1},
        {"initial_delay": -1},
        {"initial_delay": 61},
        {"max_delay": 0.5},
        {"max_delay": 61},
    ):
        with pytest.raises(exception.InvalidError, match=next(iter(options))):
            modal.Retries(**{"max_retries": 1, **options})  # type: ignore[arg-type]
    for most in ({"backoff_coefficient": 10}, {"initial_delay": 60}, {"max_delay": 60}):
        modal.Retries(max_retries=0, **most)


def test_M5_3_exit_hooks_run_once_when_a_deployment_is_replaced_and_when_it_ends(run_virtually: Run) -> None:
    app = modal.App("my-app")
    ended: list[int] = shared([])
    starts: list[int] = shared([])

    @app.cls(min_containers=1)
    class Job:
        @modal.enter()
        async def begin(self) -> None:
            starts.append(1)
            self.number = len(starts)

        @modal.exit()
        async def end(self) -> None:
            ended.append(self.number)

        @modal.method()
        async def run(self) -> int:
            return self.number

    async def main() -> None:
        await app.deploy.aio()
        await settle()
        assert 1 == await Job().run.remote.aio()
        await app.deploy.aio()
        assert 2 == await Job().run.remote.aio()
        await sleep(1.0)
        assert [1] == ended
        await app.stop.aio()
        assert [1, 2] == ended

    run_virtually(main)


# -- context and exceptions ------------------------------------------------------------------------------------


def test_M11_1_a_process_that_a_function_starts_is_local() -> None:
    app = modal.App("my-app")

    @app.function()
    def asks() -> tuple[bool, str]:
        program = "import actorpool; print(actorpool.is_local(), actorpool.current_input_id())"
        done = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True, check=True)
        return modal.is_local(), done.stdout.strip()

    with app.run():
        assert (False, "True None") == asks.remote()


OUTSIDE = {"Error": Exception, "InputCancellation": BaseException}
WARNINGS = {"AsyncUsageWarning", "DeprecationError"}


@pytest.mark.parametrize("name", exception.__all__)
def test_M13_1_exceptions_derive_from_error_and_warnings_from_user_warning(name: str) -> None:
    found = getattr(exception, name)
    if name in WARNINGS:
        assert UserWarning is found.__base__
    elif name in OUTSIDE:
        assert OUTSIDE[name] is found.__base__
    else:
        assert issubclass(found, modal.Error)


def test_M13_1_exceptions_stand_where_users_of_modal_catch_them() -> None:
    assert modal.Error is exception.Error
    assert issubclass(exception.ConflictError, exception.InvalidError)
    for timeout in (exception.FunctionTimeoutError, exception.OutputExpiredError):
        assert issubclass(timeout, exception.TimeoutError)
        assert not issubclass(timeout, TimeoutError)
    for refused in (exception.ClosedError, exception.ContainerStartError, exception.DeadlockError):
        assert issubclass(refused, exception.ExecutionError)


def test_M1_5_output_of_an_app_is_shown_while_asked_for(capsys: pytest.CaptureFixture[str]) -> None:
    app = modal.App("my-app")

    @app.function()
    def f() -> None:
        logging.getLogger("actorpool").warning("from inside")

    with modal.enable_output() as nothing, app.run():
        f.remote()
    shown = capsys.readouterr().err
    with app.run():
        pass
    assert nothing is None
    assert "from inside" in shown
    assert "" == capsys.readouterr().err

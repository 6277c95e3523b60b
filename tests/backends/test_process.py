# SPDX-License-Identifier: Apache-2.0
"""A process container is a container like any other, in a process of its own that can be killed."""

from __future__ import annotations

import asyncio
import logging
import os
import signal
import threading
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

import actorpool as modal
from actorpool.exception import ContainerDiedError, Error, FunctionTimeoutError, InvalidError
from tests.api.support import sleep
from tests.backends import process_app as users
from tests.backends.process_app import app

Run = Callable[..., Any]

pytestmark = pytest.mark.timeout(60)


@pytest.fixture(params=["asyncio", "trio"])
def host_name(request: pytest.FixtureRequest) -> str:
    """One of each kind: processes take their time to start, and uvloop watches sockets as the other loop does."""
    return str(request.param)


# To a type checker a class of another module has no parameters.
COUNTER: Any = users.Counter
LOADER: Any = users.SlowToLoad()


def is_alive(pid: int) -> bool:
    try:
        os.kill(pid, 0)
    except ProcessLookupError:
        return False
    return True


def test_inputs_run_in_another_process_and_nothing_is_left_of_it(run: Run) -> None:
    async def main() -> int:
        async with app.run():
            pid, _, x = await users.where.remote.aio(5)
            assert 5 == x
            assert os.getpid() != pid
            assert is_alive(pid)
            async_pid, y = await users.awhere.remote.aio({"a": (1, 2)})
            assert {"a": (1, 2)} == y
            assert async_pid not in (pid, os.getpid())
        return pid

    assert not is_alive(run(main))


def test_a_sync_caller_maps_over_processes() -> None:
    with app.run():
        assert list(range(300)) == list(users.echo.map(range(300)))
        found = {pid for pid, _, _ in users.where.map(range(50))}
    assert found
    assert os.getpid() not in found


def test_a_start_may_take_longer_than_the_timeout_of_an_input(run: Run) -> None:
    async def main() -> None:
        async with app.run():
            assert "loaded" == await LOADER.ask.remote.aio()
            assert 0 == LOADER.ask.statistics().start_failures

    run(main)


def test_one_process_runs_many_async_inputs_at_once(run: Run) -> None:
    async def main() -> None:
        async with app.run():
            first, _ = await users.awhere.remote.aio()
            pids = {pid async for pid, _ in users.awhere.map.aio(range(100))}
            assert {first} == pids

    run(main)


def test_the_users_exception_comes_back_with_its_traceback(run: Run) -> None:
    async def main() -> None:
        async with app.run():
            with pytest.raises(users.Refusal) as caught:
                await users.refuse.remote.aio("no")
            assert ("no", 7) == caught.value.args
            assert 7 == caught.value.code
            assert "raise Refusal(what, 7)" in str(caught.value.__cause__)

    run(main)


def test_an_argument_that_cannot_be_sent_fails_its_caller_and_is_named(run: Run) -> None:
    async def main() -> None:
        async with app.run():
            with pytest.raises(InvalidError, match=r"input of 'echo' .* argument 0"):
                await users.echo.remote.aio(threading.Lock())
            assert 1 == await users.echo.remote.aio(1)

    run(main)


def test_a_process_that_ends_fails_its_input_with_the_exit_code_or_the_signal(
    run: Run, tmp_path: Path
) -> None:
    marker = tmp_path / "napping"

    async def main() -> None:
        async with app.run():
            with pytest.raises(ContainerDiedError, match="exited with code 3") as caught:
                await users.exit_with.remote.aio(3)
            assert (3, None) == (caught.value.exit_code, caught.value.signal)
            call = await users.where.spawn.aio(1)
            pid = (await call.get.aio())[0]
            sleeping = await users.nap.spawn.aio(30, str(marker))
            while not (marker.exists() and marker.read_text()):
                await sleep(0.01)
            os.kill(int(marker.read_text()), signal.SIGKILL)
            with pytest.raises(ContainerDiedError, match=r"killed by signal 9 \(SIGKILL\)") as killed:
                await sleeping.get.aio()
            assert (None, 9) == (killed.value.exit_code, killed.value.signal)
            assert is_alive(pid)

    run(main)


@pytest.mark.parametrize("how", ["exit", "SIGKILL", "SIGSEGV"])
def test_what_a_dead_process_ran_is_tried_again_as_retries_say(how: str, tmp_path: Path) -> None:
    marker = str(tmp_path / "died")
    with app.run():
        assert "done" == users.die.remote(marker, how, 2)
        assert 3 == users.die.statistics().starts


def test_work_that_does_not_return_when_it_is_cancelled_is_ended_with_its_process(
    run: Run, caplog: pytest.LogCaptureFixture
) -> None:
    async def main() -> None:
        async with app.run(grace=0.2):
            with pytest.raises(FunctionTimeoutError):
                await users.stubborn.remote.aio(30)
            began_at = time.monotonic()
            assert "ended" == await users.stubborn.remote.aio(0.05)
            assert time.monotonic() - began_at < 10
            while users.stubborn.statistics().abandoned:
                await sleep(0.01)
            assert 2 == users.stubborn.statistics().starts

    with caplog.at_level(logging.WARNING):
        run(main)
    assert any("is ended: cancelled work in it has not returned" in text for text in caplog.messages)


def test_items_stream_from_another_process(run: Run) -> None:
    async def main() -> None:
        async with app.run():
            assert list(range(100)) == [x async for x in users.count.remote_gen.aio(100)]
            assert list(range(100)) == [x async for x in users.acount.remote_gen.aio(100)]

    run(main)


def test_context_and_ids_are_the_callers(run: Run) -> None:
    async def main() -> None:
        async with app.run():
            users.tenant.set("me")
            call = await users.who.spawn.aio()
            tenant, input_id, container_id = await call.get.aio()
            assert ("me", "who/1") == (tenant, container_id)
            assert input_id == f"in-{call.object_id[3:]}-0"

    run(main)


def test_batches_are_formed_before_they_are_sent(run: Run) -> None:
    async def main() -> None:
        async with app.run():
            assert [0, 2, 4, 6, 8, 10] == [x async for x in users.doubled.map.aio(range(6))]

    run(main)


def test_an_object_lives_in_its_process_on_one_thread_and_its_exit_hooks_run(
    run: Run, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    exits = tmp_path / "exits"
    monkeypatch.setenv("ACTORPOOL_TEST_EXITS", str(exits))

    async def main() -> None:
        async with app.run():
            counter = COUNTER(start=3)
            first, same_thread, pid = await counter.add.remote.aio(2)
            second, _, same_pid = await counter.add.remote.aio(2)
            assert (5, 7, True, pid) == (first, second, same_thread, same_pid)

    run(main)
    assert "7\n" == exits.read_text()


def test_what_it_prints_and_logs_comes_out_here_with_its_container(
    run: Run, caplog: pytest.LogCaptureFixture
) -> None:
    async def main() -> None:
        async with app.run():
            await users.say.remote.aio("hello")

    with caplog.at_level(logging.INFO):
        run(main)
    lines = {record.getMessage(): record.__dict__.get("container") for record in caplog.records}
    assert "say/1" == lines["[say/1] hello"]
    assert "say/1" == lines["[say/1] hello again"]
    assert "say/1" == lines["logged hello"]


def test_there_are_no_more_processes_than_processors_unless_one_says_so() -> None:
    with app.run():
        bound = users.echo.autoscaler.settings().max_containers
        assert bound is not None
        assert 1 <= bound <= (os.cpu_count() or 1)
        variant = users.echo.with_options(max_containers=bound + 3)
        assert bound + 3 == variant.autoscaler.settings().max_containers


def test_a_variant_of_a_local_function_may_be_in_processes() -> None:
    local = modal.App("local")
    where = local.function()(users.where.get_raw_f())
    with local.run():
        assert os.getpid() == where.remote()[0]
        assert os.getpid() != where.with_options(backend="process").remote()[0]


def test_an_unknown_backend_is_refused_where_it_is_written() -> None:
    for wrong in (
        lambda: modal.App("a", backend="cloud"),
        lambda: modal.App("a").function(backend="cloud")(lambda: None),
        lambda: users.echo.with_options(backend="cloud"),
    ):
        with pytest.raises(
            InvalidError, match="'local', 'process', or a function that makes containers, not 'cloud'"
        ):
            wrong()


def test_an_engine_thread_serves_processes_to_many_threads() -> None:
    results: list[int] = []
    with app.run():
        threads = [
            threading.Thread(target=lambda n=n: results.append(users.echo.remote(n))) for n in range(8)
        ]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join()
    assert list(range(8)) == sorted(results)


def test_cancelling_the_caller_reaches_the_work_in_the_process(tmp_path: Path) -> None:
    async def main() -> None:
        path = tmp_path / "cancelled"
        async with app.run():
            task = asyncio.ensure_future(users.linger.remote.aio(str(path)))
            while not path.exists():
                await asyncio.sleep(0.01)
            task.cancel()
            while "cancelled" != path.read_text():
                await asyncio.sleep(0.01)

    asyncio.run(main())


def test_each_container_logs_at_the_levels_of_its_start(run: Run, caplog: pytest.LogCaptureFixture) -> None:
    async def main() -> None:
        async with app.run():
            for level in (7, 17):
                caplog.set_level(level, "users.own")
                caplog.set_level(level + 1)
                assert [level, level + 1] == await users.levels.remote.aio("users.own", "")

    run(main)


def test_an_item_that_cannot_be_read_ends_the_generator_with_that(run: Run) -> None:
    async def main() -> None:
        async with app.run():
            items = users.count_badly.remote_gen.aio()
            assert 1 == await anext(items)
            with pytest.raises(Error, match="no number"):
                await anext(items)
            assert [0, 1, 2] == [item async for item in users.count.remote_gen.aio(3)]
            assert 0 == users.count_badly.statistics().running

    run(main)

# SPDX-License-Identifier: Apache-2.0
"""Calls from process containers that end otherwise: refused, cancelled, left, or with their caller's process."""

from __future__ import annotations

import logging
import operator
import os
import threading
from collections.abc import Callable
from functools import partial
from itertools import product
from pathlib import Path
from typing import Any

import pytest

import actorpool as modal
from actorpool.exception import ContainerDiedError, DeadlockError, InvalidError, RemoteError
from tests.api.support import sleep
from tests.backends import calling_app as users
from tests.backends.calling_app import app

Run = Callable[..., Any]

pytestmark = pytest.mark.timeout(60)


ON_BOTH = pytest.mark.parametrize("host_name", ["asyncio", "trio"])


@pytest.fixture(params=["asyncio"])
def host_name(request: pytest.FixtureRequest) -> str:
    return str(request.param)


async def until(condition: Callable[[], object]) -> None:
    for _ in range(1_000):
        if condition():
            return
        await sleep(0.005)
    raise AssertionError("it never came true")


def at_rest(function: Any) -> bool:
    counts = function.statistics()
    return bool(counts.running + counts.pending == 0)


def ends_in(path: Path, text: str) -> bool:
    return path.read_text().endswith(text)


def says(path: Path, text: str) -> Callable[[], bool]:
    return lambda: path.exists() and path.read_text() == text


@ON_BOTH
def test_cancelling_the_caller_cancels_what_it_waits_for(run: Run, tmp_path: Path) -> None:
    async def main() -> None:
        async with app.run():
            for step, caller in (
                ("hold", users.run_sync),
                ("hold_by_map", users.run_sync),
                ("hold", users.run_async),
            ):
                path = tmp_path / f"{step}-{caller.name}"
                call = await caller.spawn.aio(step, str(path))
                await until(says(path, "held"))
                call.cancel()
                with pytest.raises(RemoteError):
                    await call.get.aio(timeout=10)
                await until(says(path, "cancelled"))
                for function in (users.hold, caller):
                    await until(partial(at_rest, function))
                # It was interrupted, not killed.
                assert caller.statistics().containers == 1

    run(main)


@ON_BOTH
def test_a_caller_that_dies_takes_its_calls_with_it_and_leaves_what_it_spawned(
    run: Run, tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    waited, spawned = tmp_path / "waited", tmp_path / "spawned"

    async def main() -> None:
        async with app.run():
            with pytest.raises(ContainerDiedError, match="code 3"):
                await users.run_sync.remote.aio("die_while_calling", str(waited))
            await until(says(waited, "cancelled"))
            await until(lambda: at_rest(users.hold))
            with pytest.raises(ContainerDiedError, match="code 3"):
                await users.run_sync.remote.aio("die_after_spawning", str(spawned))
            assert not at_rest(users.refuse_when)
            spawned.touch()
            await until(lambda: at_rest(users.refuse_when))

    with caplog.at_level(logging.ERROR, "actorpool"):
        run(main)
    unseen = [r.getMessage() for r in caplog.records if "nobody asked for it" in r.getMessage()]
    assert ["a spawned input of function 'refuse_when' failed, and nobody asked for it"] == unseen


@ON_BOTH
def test_a_cycle_of_calls_across_processes_that_could_never_end_is_refused(run: Run) -> None:
    async def main() -> None:
        async with app.run():
            assert 0 == await users.ping.remote.aio(1)
            with pytest.raises(DeadlockError) as caught:
                await users.ping.remote.aio(2)
            assert ("ping", "pong", "ping") == caught.value.chain
            assert 1 == await users.descend.remote.aio(1)
            with pytest.raises(DeadlockError) as caught:
                await users.descend.remote.aio(2)
            assert ("descend",) * 3 == caught.value.chain
            for function in (users.ping, users.pong, users.descend):
                await until(partial(at_rest, function))

    run(main)


def test_limits_are_told_with_their_numbers_and_maps_wait_for_room(run: Run) -> None:
    async def main() -> Any:
        async with app.run():
            return await users.run_sync.remote.aio("limits")

    errors, mapped, results = run(main)
    assert [("max_spawned", 2, 1, []), ("max_pending", 1, 1, [])] == errors
    assert [0.0] * 6 == mapped
    assert [0.5, 0.0, 0.0] == results


def test_leaving_a_generator_or_a_map_early_ends_it(run: Run, tmp_path: Path) -> None:
    async def main() -> None:
        async with app.run():
            for caller in (users.run_sync, users.run_async):
                path = tmp_path / caller.name
                assert ([0, 1, 2, 3, 4], 0) == await caller.remote.aio("leave", str(path))
                await until(partial(ends_in, path, "closed"))
                assert int(path.read_text().split()[0]) < 2_000
                for called in (users.count_in, users.slow_double):
                    await until(partial(at_rest, called))

            # 1,024 items may wait, and one is in the generator's hands.
            reached = await users.run_sync.remote.aio("slow_consumer", str(tmp_path / "slow"))
            assert 1_023 <= reached <= 1_025

    run(main)


def test_an_item_that_cannot_be_read_ends_the_generator_with_that(run: Run) -> None:
    async def main() -> None:
        async with app.run():
            first, said = await users.run_sync.remote.aio("read_badly")
            assert 1 == first
            assert "no number" in said
            await until(partial(at_rest, users.unreadable))

    run(main)


def test_calls_are_accepted_while_the_app_drains(run: Run, tmp_path: Path) -> None:
    path = tmp_path / "go"

    async def main() -> None:
        async with app.run():
            call = await users.run_sync.spawn.aio("late", str(path))
            await until(lambda: users.run_sync.get_current_stats().num_running_inputs == 1)
            threading.Timer(0.3, path.touch).start()
        assert (8, [2, 4]) == await call.get.aio()

    run(main)


def test_nothing_is_kept_of_calls_that_are_over(run: Run) -> None:
    async def main() -> None:
        async with app.run():
            for function, step in product((users.run_sync, users.run_async), ("spawn", "remote", "generate")):
                await function.remote.aio(step, *([] if step == "spawn" else [3]))
            for function in (users.run_sync, users.run_async):
                for container in function.source.bind().supervisor.dispatcher.read(
                    lambda pool: pool.containers()
                ):
                    served = container.handle._backend._served
                    await until(partial(operator.not_, served._spawned))
                    assert ({}, {}, {}) == (served._under, served._queues, served._found)

    run(main)


def test_what_cannot_be_sent_and_what_would_block_the_loop_is_refused(run: Run) -> None:
    async def main() -> Any:
        async with app.run():
            with pytest.raises(InvalidError, match="write `await local_double"):
                await users.run_async.remote.aio("block_the_loop")
            return await users.run_async.remote.aio("unsendable")

    said = run(main)
    assert 3 == len(said)
    for message in said:
        assert message.startswith(
            "an input of 'local_double' cannot be sent from a process container: argument 0"
        )


def test_a_spawned_call_is_cancelled_with_its_container(run: Run, tmp_path: Path) -> None:
    path = tmp_path / "held"

    async def main() -> Any:
        async with app.run():
            said = await users.run_sync.remote.aio("cancel", str(path))
            await until(says(path, "cancelled"))
            await until(lambda: users.hold.statistics().containers == 0)
            return said

    assert "was cancelled" in run(main)


def test_a_failure_that_nobody_asked_for_is_reported_once(run: Run, caplog: pytest.LogCaptureFixture) -> None:
    async def main() -> None:
        async with app.run():
            await users.run_sync.remote.aio("drop_failing")

    with caplog.at_level(logging.ERROR, "actorpool"):
        run(main)
    unseen = [r.getMessage() for r in caplog.records if "nobody asked for it" in r.getMessage()]
    assert ["a spawned input of function 'refuse' failed, and nobody asked for it"] == unseen


def test_an_app_in_a_thread_of_its_own_serves_calls_too() -> None:
    with app.run():
        _, (pid, local), (_, far) = users.run_sync.remote("remote", 3)
        assert (os.getpid(), 6, 8) == (pid, local, far)
        assert modal.is_local()

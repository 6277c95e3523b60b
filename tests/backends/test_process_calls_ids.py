# SPDX-License-Identifier: Apache-2.0
"""Ids, context and call graph are the same on both sides of a process container."""

from __future__ import annotations

import pickle
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

import actorpool as modal
from tests.api.support import sleep
from tests.backends import calling_app as users
from tests.backends.calling_app import app

Run = Callable[..., Any]

pytestmark = pytest.mark.timeout(60)


@pytest.fixture(params=["asyncio"])
def host_name(request: pytest.FixtureRequest) -> str:
    return str(request.param)


def test_ids_and_context_are_those_of_the_caller(run: Run) -> None:
    async def main() -> Any:
        async with app.run():
            users.tenant.set("Bob")
            call = await users.run_sync.spawn.aio("ids")
            return call.object_id, await call.get.aio()

    outer, (mine, spawned, (name, inner, input_id), (later, other, _)) = run(main)
    assert outer == mine
    assert spawned == inner
    assert input_id == f"in-{spawned[3:]}-0"
    assert ("Bob", "Ada") == (name, later)
    assert 4 == len({outer, spawned, other, input_id})


@pytest.mark.parametrize(("verb", "expected"), [("spawn", 10), ("graph", 1)])
def test_asking_the_apps_process_holds_up_no_other_task_of_a_container(
    run: Run, tmp_path: Path, verb: str, expected: int
) -> None:
    async def main() -> Any:
        async with app.run():
            call = await users.run_async.spawn.aio("ask_beside_others", verb, str(tmp_path))
            while not (tmp_path / "ready").exists():
                await sleep(0.005)
            (tmp_path / "blocked").touch()
            until = time.monotonic() + 30
            while not (tmp_path / "got on").exists():
                assert time.monotonic() < until
                # This loop stands still meanwhile.
                time.sleep(0.002)
            return await call.get.aio()

    assert expected == run(main)


def test_a_call_is_found_here_by_the_id_that_a_container_told(run: Run) -> None:
    async def main() -> None:
        async with app.run():
            # Nobody asks its handle for the id.
            call = await users.run_sync.spawn.aio("spawn_id", 21)
            inner, outer = await call.get.aio()
            assert 42 == await modal.FunctionCall.from_id(inner).get.aio()
            assert (inner, outer) == await modal.FunctionCall.from_id(outer).get.aio()

    run(main)


def test_a_call_spawned_here_is_found_in_a_container_by_its_id(run: Run) -> None:
    async def main() -> None:
        async with app.run():
            one = await users.slow_double.spawn.aio(5, 0.2)
            many = await users.slow_double.experimental_spawn_map.aio(range(10))
            found = await users.run_sync.remote.aio("find", one.object_id)
            assert (10, 1, True, [10]) == found
            found = await users.run_sync.remote.aio("find", many.object_id)
            assert (0, 10, True, [2 * x for x in range(10)]) == found
            said = await users.run_sync.remote.aio("find_nothing", "fc-000000000000000000000000")
            assert said.startswith("NotFoundError: no function call 'fc-000000000000000000000000' is known")

    run(main)


def test_a_handle_can_be_sent_and_is_the_call_wherever_it_arrives(run: Run) -> None:
    async def main() -> None:
        async with app.run():
            one, many = await users.run_sync.remote.aio("hand_out", 4)
            assert one is modal.FunctionCall.from_id(one.object_id)
            assert (8, [0, 2, 4, 6]) == (await one.get.aio(), [x async for x in many.iter.aio()])
            call = await users.slow_double.spawn.aio(5, 0.1)
            assert 10 == await users.run_sync.remote.aio("take_over", call)
            assert 10 == await users.run_async.remote.aio("take_over", call)
            assert call is pickle.loads(pickle.dumps(call))

    run(main)


def test_threads_may_look_for_one_call_at_once(run: Run) -> None:
    async def main() -> None:
        async with app.run():
            call = await users.slow_double.spawn.aio(3)
            assert 8 * 50 * 6 == await users.run_sync.remote.aio("find_at_once", call.object_id, 8)

    run(main)


def test_a_result_may_be_the_handle_to_its_own_call(run: Run) -> None:
    async def main() -> None:
        async with app.run():
            call = await users.run_async.spawn.aio("own_call")
            identity = call.object_id
            assert call is await call.get.aio()
            assert await users.run_sync.remote.aio("is_its_own_result", identity)

    run(main)


def test_no_item_overtakes_one_that_has_to_be_found(run: Run) -> None:
    async def main() -> None:
        async with app.run():
            assert list(range(400)) == await users.run_sync.remote.aio("read_calls", 400)

    run(main)


def test_the_call_graph_is_whole_on_both_sides(run: Run) -> None:
    async def main() -> None:
        async with app.run():
            call = await users.run_sync.spawn.aio("graph")
            assert [("run_sync", "PENDING", 1)] == await call.get.aio()
            (root,) = call.get_call_graph()
            assert ["far_double"] == [child.function_name for child in root.children]
            assert root.children[0].task_id.startswith("far_double/")

    run(main)

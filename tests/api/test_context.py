# SPDX-License-Identifier: Apache-2.0
"""What running code may ask about itself: ids of its input, its call and its container."""

from __future__ import annotations

import re
from collections.abc import AsyncIterator, Callable, Iterator
from typing import Any

import pytest

import actorpool as modal
from actorpool._host._context import current_input
from tests.api.support import event, gather
from tests.hosts import settle
from tests.shared import shared

pytestmark = pytest.mark.conformance

Run = Callable[..., Any]
Ids = tuple[bool, "str | None", "str | None", "str | None"]

app = modal.App("context")


def ids() -> Ids:
    return (
        modal.is_local(),
        modal.current_function_call_id(),
        modal.current_input_id(),
        modal.current_container_id(),
    )


OUTSIDE = (True, None, None, None)


@app.function()
async def own_ids(_: int = 0) -> Ids:
    return ids()


@app.function()
def own_ids_in_thread(_: int = 0) -> Ids:
    return ids()


@app.cls()
class Job:
    @modal.method()
    async def own_ids(self, _: int = 0) -> Ids:
        return ids()

    @modal.method()
    def own_ids_in_thread(self, _: int = 0) -> Ids:
        return ids()


@pytest.fixture(params=["async function", "sync function", "async method", "sync method"])
def asks(request: pytest.FixtureRequest) -> Any:
    """Each kind of function, asking for its ids; made when called, as methods need their app to run."""
    return {
        "async function": lambda: own_ids,
        "sync function": lambda: own_ids_in_thread,
        "async method": lambda: Job().own_ids,
        "sync method": lambda: Job().own_ids_in_thread,
    }[request.param]


def test_M11_1_M11_2_M11_3_outside_of_functions_there_are_no_ids(run: Run) -> None:
    assert OUTSIDE == ids()

    async def main() -> None:
        async with app.run():
            assert OUTSIDE == ids()
            assert OUTSIDE == await own_ids.local()
            assert OUTSIDE == own_ids_in_thread.local()
            await own_ids.remote.aio()
            assert OUTSIDE == ids()

    run(main)


def test_M11_1_M11_2_M11_3_inside_each_kind_of_function_there_are(run: Run, asks: Any) -> None:
    async def main() -> None:
        async with app.run():
            local, call_id, input_id, container = await asks().remote.aio()
            assert local is False
            assert re.fullmatch("fc-[0-9a-f]{24}", call_id)
            assert f"in-{call_id[3:]}-0" == input_id
            assert container in {"own_ids/1", "own_ids_in_thread/1", "Job/1"}

    run(main)


def test_a_sync_caller_starts_calls_with_ids_of_their_own(asks: Any) -> None:
    with app.run():
        results = [asks().remote() for _ in range(3)]
        assert 3 == len({call_id for _, call_id, _, _ in results})
        assert OUTSIDE == ids()


def test_M4_5_M11_2_the_call_id_is_the_object_id_of_the_handle(run: Run, asks: Any) -> None:
    async def main() -> None:
        async with app.run():
            asked_before = asks().spawn()
            before = asked_before.object_id
            assert before == (await asked_before.get.aio())[1]
            asked_after = asks().spawn()
            after = (await asked_after.get.aio())[1]
            assert after == asked_after.object_id != before

    run(main)


def test_M11_2_all_inputs_of_a_map_share_the_call_id(run: Run, asks: Any) -> None:
    async def main() -> None:
        async with app.run():
            results = [result async for result in asks().map.aio(range(50))]
            (call_id,) = {result[1] for result in results}
            assert [f"in-{call_id[3:]}-{x}" for x in range(50)] == [result[2] for result in results]

    run(main)


def test_concurrent_inputs_each_see_their_own_ids(run: Run) -> None:
    app = modal.App()

    @app.function(max_containers=1)
    @modal.concurrent(max_inputs=20)
    async def f(gate: Any) -> tuple[Ids, Ids]:
        before = ids()
        await gate.wait()
        return before, ids()

    async def main() -> None:
        async with app.run():
            gate = event()
            calls = [f.spawn(gate) for _ in range(20)]
            await settle()
            gate.set()
            results = await modal.FunctionCall.gather.aio(*calls)
            assert [call.object_id for call in calls] == [before[1] for before, _ in results]
            assert [before for before, _ in results] == [after for _, after in results]
            assert {"f/1"} == {before[3] for before, _ in results}

    run(main)


@pytest.mark.local_only("looks inside of the library")
def test_a_nested_call_has_an_id_of_its_own_and_knows_its_parent(run: Run) -> None:
    app = modal.App()

    @app.function()
    async def child() -> tuple[str | None, list[str | None]]:
        input = current_input.get()
        assert input is not None
        return modal.current_function_call_id(), [str(one.target) for one in input.lineage()]

    @app.function()
    def middle() -> tuple[str | None, Any]:
        return modal.current_function_call_id(), child.remote()

    @app.function()
    async def parent() -> tuple[str | None, Any, str | None]:
        before = modal.current_function_call_id()
        return before, await middle.remote.aio(), modal.current_function_call_id()

    async def main() -> None:
        async with app.run():
            top, (mid, (low, lineage)), top_again = await parent.remote.aio()
            assert 3 == len({top, mid, low})
            assert top == top_again
            assert ["parent", "middle", "child"] == lineage

    run(main)


def test_M11_2_a_batch_shows_the_ids_of_its_first_input(run_virtually: Run) -> None:
    app = modal.App()

    @app.function()
    @modal.batched(max_batch_size=3, wait_ms=100)
    async def batch(xs: list[int]) -> list[Ids]:
        return [ids()] * len(xs)

    async def main() -> None:
        async with app.run():
            calls = [batch.spawn(x) for x in range(3)]
            results = await modal.FunctionCall.gather.aio(*calls)
            assert {(False, calls[0].object_id, f"in-{calls[0].object_id[3:]}-0", "batch/1")} == set(results)
            assert 3 == len({call.object_id for call in calls})

    run_virtually(main)


def test_generators_see_their_ids_too(run: Run) -> None:
    app = modal.App()

    @app.function()
    async def stream() -> AsyncIterator[Ids]:
        yield ids()
        yield ids()

    @app.function()
    def stream_in_thread() -> Iterator[Ids]:
        yield ids()
        yield ids()

    async def main() -> None:
        async with app.run():
            for function in (stream, stream_in_thread):
                first, second = [result async for result in function.remote_gen.aio()]
                assert first == second
                assert (False, f"{function.name}/1") == (first[0], first[3])

    run(main)


def test_each_attempt_of_an_input_shows_the_same_ids(run_virtually: Run) -> None:
    app = modal.App()
    seen: list[Ids] = shared([])

    @app.function(retries=2)
    async def f() -> None:
        seen.append(ids())
        if len(seen) < 3:
            raise ValueError

    async def main() -> None:
        async with app.run():
            call = f.spawn()
            await call.get.aio()
            assert 3 == len(seen)
            assert {(False, call.object_id)} == {one[:2] for one in seen}

    run_virtually(main)


def test_hooks_run_in_no_input(run: Run) -> None:
    app = modal.App()
    seen: list[Ids] = shared([])

    @app.cls()
    class Model:
        @modal.enter()
        def load(self) -> None:
            seen.append(ids())

        @modal.method()
        async def run(self) -> None: ...

        @modal.exit()
        async def leave(self) -> None:
            seen.append(ids())

    async def main() -> None:
        async with app.run():
            await gather(Model().run.remote.aio)

    run(main)
    assert [OUTSIDE, OUTSIDE] == seen

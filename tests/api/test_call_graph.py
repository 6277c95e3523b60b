# SPDX-License-Identifier: Apache-2.0
"""`FunctionCall.get_call_graph`: which input made which, and what became of each."""

from __future__ import annotations

import gc
import time
from collections.abc import Callable
from typing import Any

import attrs
import pytest

import actorpool as modal
import actorpool.types
from actorpool._actors import _call_tree
from actorpool._core._input import Input
from actorpool.call_graph import InputInfo, InputStatus
from tests.api.support import event, sleep
from tests.hosts import settle
from tests.shared import shared

Run = Callable[..., Any]

app = modal.App("graphs")


@app.function()
async def leaf(x: int) -> int:
    if x < 0:
        raise ValueError(x)
    return x


@app.function()
def leaf_in_thread(x: int) -> int:
    return x


@app.function()
async def branch(xs: list[int]) -> list[int]:
    return [x async for x in leaf.map.aio(xs)]


@app.function()
async def trunk(gate: Any = None) -> Any:
    await branch.remote.aio([1, 2])
    await leaf_in_thread.remote.aio(3)
    if gate is not None:
        await gate.wait()


Shape = tuple[str, str, list[Any]]


def shape(infos: list[InputInfo]) -> list[Shape]:
    """What is in the graph, without its ids."""
    return [(info.function_name, info.status.name, shape(info.children)) for info in infos]


def test_M4_8_the_graph_of_a_call_shows_its_inputs_and_theirs(run: Run) -> None:
    async def main() -> None:
        async with app.run():
            gate = event()
            call = trunk.spawn(gate)
            assert [("trunk", "PENDING", [])] == shape(call.get_call_graph())
            while leaf_in_thread.statistics().succeeded < 1:
                await settle()
            leaves: list[Shape] = [("leaf", "SUCCESS", [])] * 2
            below = [("branch", "SUCCESS", leaves), ("leaf_in_thread", "SUCCESS", [])]
            assert [("trunk", "PENDING", below)] == shape(call.get_call_graph())
            gate.set()
            await call.get.aio()
            assert [("trunk", "SUCCESS", below)] == shape(await call.get_call_graph.aio())

    run(main)


def test_M4_9_an_info_names_input_call_container_function_and_module(run: Run) -> None:
    app = modal.App("my-app")
    seen: list[tuple[str | None, str | None, str | None]] = shared([])

    def me() -> tuple[str | None, str | None, str | None]:
        return modal.current_input_id(), modal.current_function_call_id(), modal.current_container_id()

    @app.cls()
    class C:
        @modal.method()
        def f(self) -> None:
            seen.append(me())

    @app.function(name="outer")
    async def outer() -> None:
        await C().f.remote.aio()
        seen.append(me())

    async def main() -> None:
        async with app.run():
            call = outer.spawn()
            await call.get.aio()
            (root,) = call.get_call_graph()
            (child,) = root.children
            assert seen == [(info.input_id, info.function_call_id, info.task_id) for info in (child, root)]
            assert call.object_id == root.function_call_id
            assert ("outer", __name__) == (root.function_name, root.module_name)
            assert ("C.f", __name__, "C/1") == (child.function_name, child.module_name, child.task_id)
            # As plain values: a later look is not this one.
            assert root == attrs.evolve(root)
            assert root is not call.get_call_graph()[0]

    run(main)


def test_M4_9_the_numbers_and_names_of_statuses_are_the_known_ones() -> None:
    names = ["PENDING", "SUCCESS", "FAILURE", "TERMINATED", "TIMEOUT", "INIT_FAILURE"]
    assert dict(zip(names, range(6), strict=True)) == {status.name: status.value for status in InputStatus}
    assert modal.types.InputInfo is InputInfo
    assert modal.types.InputStatus is InputStatus


@pytest.mark.local_only("an input in a process holds the virtual clock while it waits for a call of its own")
def test_each_outcome_has_its_status(run_virtually: Run) -> None:
    app = modal.App("my-app")

    @app.function(timeout=1)
    async def slow() -> None:
        await sleep(5)

    @app.function(max_containers=1)
    async def waits() -> None:
        await sleep(100)

    @app.cls()
    class Broken:
        @modal.enter()
        def enter(self) -> None:
            raise OSError("no model")

        @modal.method()
        def f(self) -> None: ...

    @app.function(name="fails")
    async def fails() -> None:
        raise ValueError("unlucky")

    @app.function(name="all")
    async def make_all() -> None:
        for function in (fails, slow, Broken().f):
            with pytest.raises(Exception):  # noqa: B017, PT011 - of three kinds
                await function.remote.aio()
        cancelled, running = waits.spawn(), waits.spawn()
        running.cancel()
        cancelled.cancel()
        waits.spawn()

    async def main() -> None:
        async with app.run():
            call = make_all.spawn()
            await call.get.aio()
            (root,) = call.get_call_graph()
            assert ("all", "SUCCESS") == (root.function_name, root.status.name)
            assert ["FAILURE", "TIMEOUT", "INIT_FAILURE", "TERMINATED", "TERMINATED", "PENDING"] == [
                info.status.name for info in root.children
            ]
            assert "" == root.children[2].task_id
            call = fails.spawn()
            await settle()
            assert [("fails", "FAILURE", [])] == shape(call.get_call_graph())
            with pytest.raises(ValueError, match="unlucky"):
                await call.get.aio()

    run_virtually(main)


@pytest.mark.local_only("an input in a process holds the virtual clock while it waits for a call of its own")
def test_a_retried_input_is_one_node_and_keeps_what_all_its_attempts_made(run_virtually: Run) -> None:
    app = modal.App("my-app")
    attempts: list[int] = shared([])

    @app.function(name="inner")
    async def inner() -> None: ...

    @app.function(name="flaky", timeout=5, retries=2)
    async def flaky() -> None:
        attempts.append(1)
        await inner.remote.aio()
        if len(attempts) == 1:
            await sleep(10)
        if len(attempts) == 2:
            raise ValueError

    @app.function(name="root")
    async def root() -> None:
        await flaky.remote.aio()

    async def main() -> None:
        async with app.run():
            for spawn, above in ((root.spawn, True), (flaky.spawn, False)):
                attempts.clear()
                call = spawn()
                await sleep(4)
                once: list[Shape] = [("flaky", "PENDING", [("inner", "SUCCESS", [])])]
                assert ([("root", "PENDING", once)] if above else once) == shape(call.get_call_graph())
                await call.get.aio()
                thrice: list[Shape] = [("flaky", "SUCCESS", [("inner", "SUCCESS", [])] * 3)]
                assert ([("root", "SUCCESS", thrice)] if above else thrice) == shape(call.get_call_graph())

    run_virtually(main)


def test_the_graph_of_a_nested_call_begins_at_its_oldest_ancestor(run: Run) -> None:
    app = modal.App("my-app")
    calls: list[Any] = shared([])

    @app.function(name="inner")
    async def inner() -> None: ...

    @app.function(name="middle")
    async def middle() -> None:
        await inner.remote.aio()
        call = inner.spawn()
        calls.append(call)
        await call.get.aio()
        await inner.remote.aio()

    @app.function(name="outer")
    async def outer() -> None:
        await middle.remote.aio()

    async def main() -> None:
        async with app.run():
            await outer.remote.aio()
            # What came before the first spawned input is not recorded, for nobody could have asked for it.
            inners: list[Shape] = [("inner", "SUCCESS", [])] * 2
            expected = [("outer", "SUCCESS", [("middle", "SUCCESS", inners)])]
            assert expected == shape(calls[0].get_call_graph())

    run(main)


def test_a_call_of_many_inputs_has_a_root_for_each_and_a_nested_one_a_common_root(run: Run) -> None:
    app = modal.App("my-app")

    @app.function(name="inner")
    async def inner(x: int) -> None: ...

    @app.function(name="outer")
    async def outer(x: int) -> modal.FunctionCall[None]:
        await inner.remote.aio(x)
        return await inner.experimental_spawn_map.aio(range(3))

    async def main() -> None:
        async with app.run():
            call = await outer.experimental_spawn_map.aio(range(2))
            nested = await call.get.aio(index=0)
            await call.get.aio(index=1)
            while not nested.done:
                await settle()
            one: Shape = ("outer", "SUCCESS", [("inner", "SUCCESS", [])] * 4)
            assert [one] == shape(nested.get_call_graph())
            while not all(
                status == "SUCCESS" for _, _, below in shape(call.get_call_graph()) for _, status, _ in below
            ):
                await settle()
            assert [one, one] == shape(call.get_call_graph())
            assert [0, 1] == [int(info.input_id.rpartition("-")[2]) for info in call.get_call_graph()]
            assert {call.object_id} == {info.function_call_id for info in call.get_call_graph()}

    run(main)


def test_what_a_batch_calls_belongs_to_its_first_input(run: Run) -> None:
    app = modal.App("my-app")

    @app.function(name="inner")
    async def inner() -> None: ...

    @app.function(name="batched")
    @modal.batched(max_batch_size=2, wait_ms=1000)
    async def batched(xs: list[int]) -> list[int]:
        await inner.remote.aio()
        return xs

    async def main() -> None:
        async with app.run():
            calls = [batched.spawn(x) for x in range(2)]
            for call in calls:
                await call.get.aio()
            first, second = (call.get_call_graph()[0] for call in calls)
            assert [("batched", "SUCCESS", [("inner", "SUCCESS", [])])] == shape([first])
            assert [("batched", "SUCCESS", [])] == shape([second])
            assert "batched/1" == first.task_id == second.task_id

    run(main)


# -- what it costs -----------------------------------------------------------------------------------------


def test_nothing_is_recorded_where_nobody_can_ask(run: Run, monkeypatch: pytest.MonkeyPatch) -> None:
    made: list[object] = shared([])
    original = _call_tree.CallNode.__init__

    def counting(node: Any, *args: Any) -> None:
        made.append(node)
        original(node, *args)

    monkeypatch.setattr(_call_tree.CallNode, "__init__", counting)

    async def main() -> None:
        async with app.run():
            await trunk.remote.aio()
            assert [[1], [2]] == [xs async for xs in branch.map.aio([[1], [2]])]
            await leaf.spawn(1).get.aio()
            assert [] == made
            await branch.spawn([1, 2, 3]).get.aio()
            assert 4 == len(made)

    run(main)


def test_a_tree_has_a_bounded_number_of_inputs(run: Run, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(_call_tree, "MOST_NODES", 5)
    app = modal.App("my-app")

    @app.function(name="inner")
    async def inner(depth: int) -> None:
        if depth:
            await inner.remote.aio(depth - 1)
            await inner.spawn(0).get.aio()

    async def main() -> None:
        async with app.run():
            call = inner.spawn(6)
            await call.get.aio()
            deepest: list[Shape] = []
            for _ in range(5):
                deepest = [("inner", "SUCCESS", deepest)]
            assert deepest == shape(call.get_call_graph())

    run(main)


def test_a_kept_handle_keeps_neither_arguments_nor_results_of_what_its_input_called(run: Run) -> None:
    class Big:
        pass

    app = modal.App("my-app")

    @app.function(name="echo")
    async def echo(x: Any, gate: Any) -> Any:
        await gate.wait()
        return x, Big()

    @app.function()
    async def outer(gate: Any) -> None:
        assert 2 == len([result async for result in echo.map.aio([Big(), Big()], [gate] * 2)])

    def kept() -> tuple[int, int]:
        gc.collect()
        things = gc.get_objects()
        inputs = [thing for thing in things if isinstance(thing, Input) and str(thing.target) == "echo"]
        return len(inputs), sum(isinstance(thing, Big) for thing in things)

    async def main() -> None:
        async with app.run():
            gate = event()
            call = outer.spawn(gate)
            while echo.statistics().running < 2:
                await settle()
            assert (2, 2) == kept()
            gate.set()
            await call.get.aio()
            await settle()
            assert (0, 0) == kept()
            assert 2 == len(call.get_call_graph()[0].children)

    run(main)


def nodes_of(tree: list[int]) -> int:
    gc.collect()
    return sum(isinstance(thing, _call_tree.CallNode) and thing.tree is tree for thing in gc.get_objects())


def test_a_tree_goes_with_its_last_handle(run: Run) -> None:
    async def main() -> None:
        async with app.run():
            call = trunk.spawn()
            await call.get.aio()
            await settle()
            assert call.inputs[0].trace is not None
            tree = call.inputs[0].trace.tree
            assert 5 == nodes_of(tree)
            del call
            # The thread that has run the leaf lets go of it in its own time.
            while nodes_of(tree):
                time.sleep(0.001)

    run(main)


def test_a_parent_that_has_its_outcome_already_is_shown_with_it(run: Run) -> None:
    app = modal.App("my-app")
    calls: list[Any] = shared([])

    @app.function(name="inner")
    async def inner() -> None: ...

    @app.function(name="stubborn")
    async def stubborn(gate: Any) -> None:
        try:
            await gate.wait()
        finally:
            calls.append(inner.spawn())

    async def main() -> None:
        async with app.run():
            call = stubborn.spawn(event())
            await settle()
            call.cancel()
            while not calls:
                await settle()
            await calls[0].get.aio()
            expected: list[Shape] = [("stubborn", "TERMINATED", [("inner", "SUCCESS", [])])]
            assert expected == shape(calls[0].get_call_graph()) == shape(call.get_call_graph())

    run(main)


def test_threads_that_call_at_once_share_one_tree() -> None:
    app = modal.App("my-app")
    looked = shared([])

    @app.function(name="inner", max_containers=4)
    def inner(x: int) -> int:
        return x

    @app.function(name="middle", max_containers=4)
    def middle(x: int) -> int:
        # Its ancestor gets a node from whichever of these comes first.
        return sum(call.get() for call in [inner.spawn(x), inner.spawn(x)])

    @app.function(name="outer")
    def outer() -> modal.FunctionCall[int]:
        call = middle.spawn(0)
        list(middle.map(range(20)))
        return call

    with app.run():
        call = outer.spawn()
        while not call.done:
            looked.append(len(call.get_call_graph()))
        (root,) = call.get().get_call_graph()
        assert {1} == {*looked}
        assert [root] == call.get_call_graph()
        assert [("middle", "SUCCESS", [("inner", "SUCCESS", [])] * 2)] * 21 == shape(root.children)

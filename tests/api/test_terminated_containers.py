# SPDX-License-Identifier: Apache-2.0
"""`FunctionCall.cancel(terminate_containers=True)`: the containers end, and no other input is lost by it."""

from __future__ import annotations

import threading
from collections.abc import Callable
from typing import Any

import pytest

import actorpool as modal
from actorpool.exception import RemoteError
from tests.actors.harness import at_rest
from tests.api.support import PATIENCE_S, Latch, event, gather, sleep
from tests.hosts import settle
from tests.shared import shared

Run = Callable[..., Any]


def recording_class(app: modal.App, events: list[str], **settings: Any) -> Any:
    """Return a class of two slots; `events` has its hooks and the inputs that began."""

    @app.cls(**settings)
    @modal.concurrent(max_inputs=2)
    class C:
        @modal.method()
        async def wait(self, name: str, gate: Any) -> int:
            self.number = int(str(modal.current_container_id()).removeprefix("C/"))
            events.append(f"{name} in {self.number}")
            await gate.wait()
            return self.number

        @modal.exit()
        def exit(self) -> None:
            events.append(f"exit {self.number}")

    return C


def test_M4_3_the_container_ends_and_its_other_inputs_start_again_elsewhere(run: Run) -> None:
    app = modal.App("my-app")
    events: list[str] = shared([])
    instance = recording_class(app, events)()

    async def main() -> None:
        async with app.run():
            gate = event()
            victim, other = instance.wait.spawn("victim", event()), instance.wait.spawn("other", gate)
            while len(events) < 2:
                await settle()
            await victim.cancel.aio(terminate_containers=True)
            while len(events) < 4:
                await settle()
            assert {"victim in 1", "other in 1"} == set(events[:2])
            assert {"exit 1", "other in 2"} == set(events[2:])
            gate.set()
            assert 2 == await other.get.aio()
            with pytest.raises(RemoteError, match="was cancelled"):
                await victim.get.aio()
            assert (1, 1) == (instance.wait.statistics().succeeded, instance.wait.statistics().cancelled)

    run(main)


def test_a_caller_that_waits_gets_the_result_of_the_second_start(run: Run) -> None:
    app = modal.App("my-app")
    events: list[str] = shared([])
    instance = recording_class(app, events)()

    async def main() -> None:
        async with app.run():
            gate = event()
            victim = instance.wait.spawn("victim", event())

            async def cancel() -> None:
                while len(events) < 2:
                    await settle()
                victim.cancel(terminate_containers=True)
                while "other in 2" not in events:
                    await settle()
                gate.set()

            async def mapped() -> list[int]:
                return [x async for x in instance.wait.map.aio(["other"], [gate])]

            assert [[2], None] == await gather(mapped, cancel)
            await at_rest(instance.wait)

    run(main)


@pytest.mark.local_only("of an abandoned thread, which in a process ends with it")
def test_a_thread_may_finish_and_its_container_ends_after_it(run: Run) -> None:
    app = modal.App("my-app")
    gates = {name: threading.Event() for name in ("victim", "other")}
    began, ended = Latch(2), []

    @app.cls()
    @modal.concurrent(max_inputs=2)
    class C:
        @modal.method()
        def wait(self, name: str) -> str:
            began.hit()
            assert gates[name].wait(PATIENCE_S)
            return name

        @modal.exit()
        async def exit(self) -> None:
            ended.append(modal.is_local())

    instance = C()

    async def main() -> None:
        async with app.run(grace=0.01):
            victim, other = instance.wait.spawn("victim"), instance.wait.spawn("other")
            await began.opened()
            victim.cancel(terminate_containers=True)
            await settle()
            assert ([], 1) == (ended, instance.wait.statistics().abandoned)
            gates["other"].set()
            assert "other" == await other.get.aio()
            # The other thread is in its code for as long as it likes, and the container does not wait for it.
            while instance.wait.statistics().containers:
                await settle()
            assert 1 == len(ended)
            assert (0, 0) == (instance.wait.statistics().running, instance.wait.statistics().abandoned)
            gates["victim"].set()

    run(main)


@pytest.mark.local_only("of an abandoned thread, which in a process ends with it")
def test_a_stuck_thread_gives_its_place_to_a_fresh_container(run: Run) -> None:
    app = modal.App("my-app")
    gate, began = threading.Event(), Latch()

    @app.function(max_containers=1)
    def f(x: int) -> int:
        if not x:
            began.hit()
            assert gate.wait(PATIENCE_S)
        return x

    async def main() -> None:
        async with app.run(grace=0.01):
            stuck = f.spawn(0)
            await began.opened()
            stuck.cancel()
            await settle()
            assert 1 == f.statistics().abandoned
            # Cancelled it is already, but its container is still there.
            stuck.cancel(terminate_containers=True)
            assert 5 == await f.remote.aio(5)
            while f.statistics().containers > 1:
                await settle()
            assert (0, 0) == (f.statistics().running, f.statistics().abandoned)
            gate.set()

    run(main)


def test_pending_and_finished_inputs_end_no_container(run_virtually: Run) -> None:
    app = modal.App("my-app")

    @app.function(max_containers=1)
    async def f(seconds: float) -> None:
        await sleep(seconds)

    async def main() -> None:
        async with app.run():
            finished = f.spawn(0)
            await finished.get.aio()
            running, pending = f.spawn(10), f.spawn(20)
            await settle()
            pending.cancel(terminate_containers=True)
            finished.cancel(terminate_containers=True)
            await finished.get.aio()
            await running.get.aio()
            assert (1, 1) == (f.statistics().containers, f.statistics().cancelled)
            await f.remote.aio(1)
            assert {"f/1"} == {modal_id async for modal_id in _names(f)}

    async def _names(f: Any) -> Any:
        for call in (f.spawn(0), f.spawn(0)):
            await call.get.aio()
            yield call.get_call_graph()[0].task_id

    run_virtually(main)


def test_a_call_of_many_inputs_ends_all_their_containers(run: Run) -> None:
    app = modal.App("my-app")
    events: list[str] = shared([])
    instance = recording_class(app, events, max_containers=3)()

    async def main() -> None:
        async with app.run():
            call = await instance.wait.experimental_spawn_map.aio("abcdefgh", [event()] * 8)
            while len(events) < 6:
                await settle()
            call.cancel(terminate_containers=True)
            while instance.wait.statistics().containers:
                await settle()
            assert ["exit 1", "exit 2", "exit 3"] == sorted(events[6:])
            assert 8 == instance.wait.statistics().cancelled
            await at_rest(instance.wait)

    run(main)


def test_the_handle_is_of_use_after_the_loop_of_its_app_has_ended() -> None:
    app = modal.App("my-app")

    @app.function()
    def f() -> None: ...

    with app.run():
        call = f.spawn()
        call.get()
    call.cancel(terminate_containers=True)
    assert None is call.get()

# SPDX-License-Identifier: Apache-2.0
"""Enter and exit hooks that do well: their order, their threads, and what they see."""

from __future__ import annotations

import threading
from collections.abc import Callable
from typing import Any

import actorpool as modal
from tests.actors.harness import Log, idle
from tests.api.support import PATIENCE_S, Latch, gather, sleep

Run = Callable[..., Any]


def _with_mixed_hooks(app: modal.App, log: Log) -> Any:
    """Return a class whose hooks 1 and 3, input and exit hook 2 are async; the other hooks are sync."""

    @app.cls()
    class C:
        @modal.enter()
        async def first(self) -> None:
            await sleep(0.001)
            log.add("enter 1")

        @modal.enter()
        def second(self) -> None:
            log.add("enter 2")

        @modal.enter()
        async def third(self) -> None:
            log.add("enter 3")

        @modal.method()
        async def f(self) -> None:
            log.add("input")

        @modal.exit()
        def last(self) -> None:
            log.add("exit 1")

        @modal.exit()
        async def very_last(self) -> None:
            await sleep(0.001)
            log.add("exit 2")

    return C


def test_M5_1_hooks_run_in_order_of_definition_sync_and_async_mixed(run_virtually: Run) -> None:
    app = modal.App("my-app")
    log = Log()
    C = _with_mixed_hooks(app, log)

    async def main() -> None:
        async with app.run():
            await C().f.remote.aio()
            await C().f.remote.aio()
        assert ["enter 1", "enter 2", "enter 3", "input", "input", "exit 1", "exit 2"] == log.events

    run_virtually(main)


def test_a_one_slot_container_does_everything_sync_on_one_thread(run: Run) -> None:
    app = modal.App("my-app")
    log = Log()

    @app.cls(max_containers=1)
    class C:
        @modal.enter()
        def load(self) -> None:
            self.local = threading.local()
            self.local.value = 1
            log.add("enter")

        @modal.method()
        def f(self, number: int) -> int:
            log.add(f"input {number}")
            return int(self.local.value)

        @modal.method()
        def g(self) -> int:
            log.add("other method")
            return int(self.local.value)

        @modal.exit()
        def close(self) -> None:
            log.add(f"exit {self.local.value}")

    async def main() -> None:
        async with app.run():
            obj = C()
            assert [1] * 10 == [r async for r in obj.f.map.aio(range(10))]
            assert 1 == await obj.g.remote.aio()
        assert log.events[0] == "enter"
        assert log.events[-1] == "exit 1"
        assert 13 == len(log.events)
        assert 1 == len(set(log.threads.values()))
        assert threading.get_ident() not in log.threads.values()

    run(main)


def test_each_one_slot_container_has_a_thread_of_its_own(run: Run) -> None:
    app = modal.App("my-app")
    together = threading.Barrier(3)
    seen: set[tuple[int, int, int]] = set()

    @app.cls(max_containers=3)
    class C:
        @modal.enter()
        def load(self) -> None:
            self.thread = threading.get_ident()

        @modal.method()
        def f(self, number: int) -> None:
            together.wait(PATIENCE_S)
            seen.add((id(self), self.thread, threading.get_ident()))

    async def main() -> None:
        async with app.run():
            await C().f.for_each.aio(range(3))
        assert 3 == len({made for _, made, _ in seen})
        assert [True] * 3 == [made == ran for _, made, ran in seen]

    run(main)


def test_async_hooks_and_inputs_run_on_the_hosts_thread_and_sync_hooks_off_it(run: Run) -> None:
    app = modal.App("my-app")
    log = Log()
    C = _with_mixed_hooks(app, log)

    async def main() -> None:
        async with app.run():
            await C().f.remote.aio()
        mine = threading.get_ident()
        assert {"enter 1", "enter 3", "input", "exit 2"} == {e for e, t in log.threads.items() if t == mine}
        assert log.threads["enter 2"] == log.threads["exit 1"]

    run(main)


def test_M5_3_exit_hooks_run_when_a_container_is_scaled_down(run_virtually: Run) -> None:
    app = modal.App("my-app")
    log = Log()

    @app.cls(scaledown_window=5)
    class C:
        @modal.method()
        async def f(self) -> None:
            log.add("input")

        @modal.exit()
        async def close(self) -> None:
            log.add("exit")

    async def main() -> None:
        async with app.run():
            obj = C()
            await obj.f.remote.aio()
            await sleep(4.9)
            assert ["input"] == log.events
            await sleep(0.2)
            assert ["input", "exit"] == log.events
            assert 0 == obj.f.statistics().containers
            await obj.f.remote.aio()
            assert ["input", "exit", "input"] == log.events

    run_virtually(main)


def test_M5_14_hooks_see_the_parameters_and_methods_may_call_their_siblings(run_virtually: Run) -> None:
    app = modal.App("my-app")

    @app.cls()
    class C:
        x: int = modal.parameter()

        @modal.enter()
        def load(self) -> None:
            self.doubled = 2 * self.x

        @modal.method()
        async def f(self) -> int:
            return self.doubled + await self.g.remote.aio()

        @modal.method()
        async def g(self) -> int:
            return self.x

    make: Any = C

    async def main() -> None:
        async with app.run():
            five, six = make(x=5), make(x=6)
            assert [15, 18] == await gather(five.f.remote.aio, six.f.remote.aio)
            assert idle(five.f)
            assert idle(six.g)

    run_virtually(main)


def test_startup_of_a_container_does_not_hold_up_the_loop(run: Run) -> None:
    app = modal.App("my-app")
    go, inside = threading.Event(), Latch()

    @app.cls()
    class C:
        @modal.enter()
        def load(self) -> None:
            inside.hit()
            assert go.wait(PATIENCE_S)

        @modal.method()
        async def f(self) -> int:
            return 1

    @app.function()
    async def other() -> int:
        return 2

    async def main() -> None:
        async with app.run():
            call = C().f.spawn()
            await inside.opened()
            assert 2 == await other.remote.aio()
            go.set()
            assert 1 == await call.get.aio()

    run(main)

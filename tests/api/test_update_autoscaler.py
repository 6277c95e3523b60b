# SPDX-License-Identifier: Apache-2.0
"""S15 and S16: changing the settings of a running function."""

from __future__ import annotations

import threading
from collections.abc import Callable
from typing import Any

import pytest

import actorpool as modal
from actorpool.exception import ExecutionError, InvalidError, NotFoundError
from tests.api.support import PATIENCE_S, Latch, event, gather, settings_of, sleep, trivial
from tests.hosts import settle

Run = Callable[..., Any]


# -- S15 --------------------------------------------------------------------------------------------------


def test_S15_a_looked_up_function_changes_the_settings_of_the_deployed_one(run: Run) -> None:
    app = modal.App("my-app")

    @app.function(min_containers=1, scaledown_window=30)
    async def f() -> None: ...

    async def main() -> None:
        await app.deploy.aio()
        try:
            found = modal.Function.from_name("my-app", "f")
            found.update_autoscaler(max_containers=100)

            assert (1, 100, 0, 30) == settings_of(found) == settings_of(f)
        finally:
            await app.stop.aio()

    run(main)


def test_S15_sync_code_changes_settings_too() -> None:
    app = modal.App("my-app")
    inside, go = Latch(3), threading.Event()

    @app.function(max_containers=1)
    def f() -> None:
        inside.hit()
        go.wait(PATIENCE_S)

    app.deploy()
    try:
        calls = [f.spawn() for _ in range(3)]
        modal.Function.from_name("my-app", "f").update_autoscaler(max_containers=3)
        # All three are in now, though none has ended.
        inside.wait()
        go.set()
        for call in calls:
            call.get()
    finally:
        go.set()
        app.stop()


def test_S15_a_higher_maximum_serves_what_waits_already(run_virtually: Run) -> None:
    app = modal.App("my-app")

    @app.function(max_containers=1)
    async def f(gate: Any) -> None:
        await gate.wait()

    async def main() -> None:
        async with app.run():
            gate = event()
            calls = [f.spawn(gate) for _ in range(10)]
            await settle()
            assert (1, 9) == (f.statistics().running, f.statistics().pending)

            f.update_autoscaler(max_containers=100)
            await settle()
            assert (10, 0) == (f.statistics().running, f.statistics().pending)

            gate.set()
            for call in calls:
                await call.get.aio()

    run_virtually(main)


def test_S15_a_lower_maximum_drains_busy_containers_and_interrupts_nothing(run_virtually: Run) -> None:
    app = modal.App("my-app")

    @app.function()
    async def f(x: int) -> int:
        await sleep(10.0)
        return x

    async def main() -> None:
        async with app.run():
            calls = [f.spawn(x) for x in range(8)]
            await sleep(1.0)
            f.update_autoscaler(max_containers=2)
            calls += [f.spawn(x) for x in range(8, 16)]
            await settle()
            assert (2, 6, 8) == (
                f.statistics().ready,
                f.statistics().draining,
                f.statistics().pending,
            )

            await sleep(10.0)
            assert (2, 2, 6) == (f.statistics().containers, f.statistics().running, f.statistics().pending)
            assert list(range(16)) == [await call.get.aio() for call in calls]

    run_virtually(main)


def test_S15_a_higher_minimum_warms_and_a_lower_one_lets_go(run_virtually: Run) -> None:
    app, f = trivial(scaledown_window=10)

    async def main() -> None:
        async with app.run():
            f.update_autoscaler(min_containers=4)
            await settle()
            assert 4 == f.statistics().ready

            await sleep(3600.0)
            assert 4 == f.statistics().ready

            f.update_autoscaler(min_containers=1)
            # They have been idle for longer than the window already.
            await settle()
            assert 1 == f.statistics().containers

    run_virtually(main)


def test_S15_a_new_window_holds_for_containers_that_idle_already(run_virtually: Run) -> None:
    app, f = trivial(scaledown_window=100)

    async def main() -> None:
        async with app.run():
            await f.remote.aio()
            await sleep(5.0)
            f.update_autoscaler(scaledown_window=20)
            await sleep(14.9)
            assert 1 == f.statistics().containers
            await sleep(0.2)
            assert 0 == f.statistics().containers

            await f.remote.aio()
            await sleep(15.0)
            f.update_autoscaler(scaledown_window=100)
            await sleep(84.9)
            assert 1 == f.statistics().containers
            await sleep(0.2)
            assert 0 == f.statistics().containers

    run_virtually(main)


def test_S15_a_buffer_comes_and_goes_while_inputs_run(run_virtually: Run) -> None:
    app = modal.App("my-app")

    @app.function(scaledown_window=10)
    async def f(gate: Any) -> None:
        await gate.wait()

    async def main() -> None:
        async with app.run():
            gate = event()
            call = f.spawn(gate)
            await settle()
            f.update_autoscaler(buffer_containers=3)
            await settle()
            assert 4 == f.statistics().containers

            f.update_autoscaler(buffer_containers=0)
            await sleep(10.1)
            assert 1 == f.statistics().containers
            gate.set()
            await call.get.aio()

    run_virtually(main)


def test_S15_an_update_returns_the_settings_in_force_and_has_an_aio_twin(run: Run) -> None:
    app = modal.App("my-app")

    @app.function(min_containers=1)
    async def f() -> None: ...

    async def main() -> None:
        async with app.run():
            expected = modal.AutoscalerSettings(1, 7, 0, 60.0)
            assert expected == f.update_autoscaler(max_containers=7)
            assert expected == await f.update_autoscaler.aio()
            assert modal.AutoscalerSettings(1, 7, 2, 0.5) == await f.update_autoscaler.aio(
                buffer_containers=2, scaledown_window=0.5
            )

    run(main)


def test_S15_an_update_may_come_from_any_thread_and_from_inside_a_function(run: Run) -> None:
    app = modal.App("my-app")

    @app.function()
    async def inference() -> None: ...

    @app.function()
    def from_a_thread() -> None:
        inference.update_autoscaler(min_containers=2)

    @app.function()
    async def from_a_task() -> None:
        inference.update_autoscaler(max_containers=9)

    async def main() -> None:
        async with app.run():
            await from_a_thread.remote.aio()
            await from_a_task.remote.aio()
            await settle()
            assert (2, 9, 0, 60.0) == settings_of(inference)
            assert 2 == inference.statistics().containers

    run(main)


def test_S15_an_invalid_update_changes_nothing(run: Run) -> None:
    app = modal.App("my-app")

    @app.function(min_containers=2, max_containers=5)
    async def f() -> None: ...

    async def main() -> None:
        async with app.run():
            for wrong, named in [
                ({"max_containers": 1}, "max_containers"),
                ({"min_containers": 6, "buffer_containers": 1}, "min_containers"),
                ({"max_containers": 0}, "max_containers"),
                ({"scaledown_window": -1}, "scaledown_window"),
                ({"buffer_containers": 1.5}, "buffer_containers"),
            ]:
                with pytest.raises(InvalidError, match=named):
                    f.update_autoscaler(**wrong)  # type: ignore[arg-type]
                assert (2, 5, 0, 60.0) == settings_of(f)

    run(main)


def test_S15_a_lookup_finds_out_at_its_first_use_that_there_is_nothing() -> None:
    nothing = modal.Function.from_name("my-app", "f")
    with pytest.raises(NotFoundError, match=r"'f'.*'my-app'"):
        nothing.update_autoscaler(max_containers=1)

    app = modal.App("my-app")
    app.deploy()
    try:
        with pytest.raises(NotFoundError, match=r"'my-app' has no function 'f'"):
            nothing.update_autoscaler(max_containers=1)
    finally:
        app.stop()
    with pytest.raises(NotFoundError, match="my-app"):
        nothing.update_autoscaler(max_containers=1)


def test_S15_a_function_that_does_not_run_has_no_settings_to_change() -> None:
    app = modal.App("my-app")

    @app.function()
    def f() -> None: ...

    with pytest.raises(ExecutionError, match="not running"):
        f.update_autoscaler(max_containers=3)


def test_S15_two_lookups_are_the_same_function() -> None:
    app = modal.App("my-app")

    @app.function()
    def f() -> str:
        return threading.current_thread().name

    app.deploy()
    try:
        one, other = (modal.Function.from_name("my-app", "f") for _ in range(2))
        one.update_autoscaler(max_containers=1)
        assert 1 == settings_of(other)[1] == settings_of(f)[1]
        assert one.remote() == other.remote() == f.remote()
    finally:
        app.stop()


# -- S16 --------------------------------------------------------------------------------------------------


def test_S16_an_update_merges_with_the_one_before_it(run: Run) -> None:
    app = modal.App("my-app")

    @app.function()
    async def f() -> None: ...

    async def main() -> None:
        await app.deploy.aio()
        try:
            found = modal.Function.from_name("my-app", "f")
            found.update_autoscaler(min_containers=2, max_containers=10)
            found.update_autoscaler(min_containers=4)
            assert (4, 10, 0, 60.0) == settings_of(found)

            found.update_autoscaler(scaledown_window=5)
            found.update_autoscaler(buffer_containers=1)
            assert (4, 10, 1, 5) == settings_of(found)
        finally:
            await app.stop.aio()

    run(main)


def test_S16_an_update_merges_with_the_decorator(run: Run) -> None:
    app = modal.App("my-app")

    @app.function(min_containers=1, max_containers=8, buffer_containers=2, scaledown_window=15)
    async def f() -> None: ...

    async def main() -> None:
        async with app.run():
            f.update_autoscaler(max_containers=9)
            assert (1, 9, 2, 15) == settings_of(f)

    run(main)


def test_S16_none_and_nothing_at_all_change_nothing(run: Run) -> None:
    app = modal.App("my-app")

    @app.function(min_containers=1, max_containers=8)
    async def f() -> None: ...

    async def main() -> None:
        async with app.run():
            f.update_autoscaler()
            f.update_autoscaler(max_containers=None, min_containers=None)
            assert (1, 8, 0, 60.0) == settings_of(f)

    run(main)


def test_S16_the_bound_that_was_not_named_is_still_obeyed(run_virtually: Run) -> None:
    app = modal.App("my-app")

    @app.function()
    async def f() -> None:
        await sleep(1.0)

    async def main() -> None:
        async with app.run():
            f.update_autoscaler(min_containers=2, max_containers=10)
            f.update_autoscaler(min_containers=4)
            await gather(*[f.remote.aio] * 30)
            assert 10 == f.statistics().starts

    run_virtually(main)


def test_S16_concurrent_updates_lose_nothing() -> None:
    app = modal.App("my-app")

    @app.function()
    def f() -> None: ...

    together = threading.Barrier(3)
    changes: list[dict[str, Any]] = [
        {"max_containers": 50},
        {"buffer_containers": 3},
        {"scaledown_window": 7},
    ]

    def update(change: dict[str, Any]) -> None:
        together.wait(PATIENCE_S)
        for _ in range(50):
            f.update_autoscaler(**change)

    with app.run():
        threads = [threading.Thread(target=update, args=(change,)) for change in changes]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join(PATIENCE_S)
        assert (0, 50, 3, 7) == settings_of(f)

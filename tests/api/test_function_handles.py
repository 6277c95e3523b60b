# SPDX-License-Identifier: Apache-2.0
"""The smaller things a function's handle can do: look up, count, and give the plain function back."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pytest

import actorpool as modal
from actorpool.exception import ExecutionError, NotFoundError
from tests.api.support import event
from tests.hosts import settle
from tests.shared import shared

pytestmark = pytest.mark.conformance

Run = Callable[..., Any]


def test_M2_7_hydrate_looks_up_now_and_returns_the_handle(app: modal.App, f: Any) -> None:
    looked_up = modal.Function.from_name("my-app", "f")
    with pytest.raises(NotFoundError, match="'f'"):
        looked_up.hydrate()
    with pytest.raises(ExecutionError, match="not running"):
        f.hydrate()
    app.deploy()
    try:
        assert looked_up is looked_up.hydrate()
        assert f is f.hydrate()
    finally:
        app.stop()


def test_M2_7_a_looked_up_class_is_hydrated_likewise(app: modal.App) -> None:
    @app.cls()
    class C:
        @modal.method()
        def f(self) -> int:
            return 1

    looked_up = modal.Cls.from_name("my-app", "C")
    with pytest.raises(NotFoundError, match="'C'"):
        looked_up.hydrate()
    app.deploy()
    try:
        assert looked_up is looked_up.hydrate()
        assert 1 == looked_up().f.remote()
    finally:
        app.stop()


def test_M2_9_current_stats_count_backlog_containers_inputs_and_free_slots(run: Run) -> None:
    app = modal.App("my-app")

    @app.function(max_containers=2)
    @modal.concurrent(max_inputs=3)
    async def wait_for(gate: Any) -> None:
        await gate.wait()

    async def main() -> None:
        async with app.run():
            gate = event()
            calls = [wait_for.spawn(gate) for _ in range(8)]
            await settle()
            assert (
                modal.FunctionStats(backlog=2, num_total_runners=2, num_running_inputs=6, input_headroom=0)
                == wait_for.get_current_stats()
            )
            gate.set()
            for call in calls:
                await call.get.aio()
            await settle()
            assert (
                modal.FunctionStats(backlog=0, num_total_runners=2, num_running_inputs=0, input_headroom=6)
                == await wait_for.get_current_stats.aio()
            )

    run(main)


def test_M2_14_the_plain_function_can_be_had_back(app: modal.App) -> None:
    def plain(x: int) -> int:
        return x + 1

    assert plain is app.function()(plain).get_raw_f()
    with pytest.raises(ExecutionError, match="looked up by name"):
        modal.Function.from_name("my-app", "plain").get_raw_f()


def test_M4_6_a_spawned_call_has_one_input_and_a_spawned_map_as_many_as_it_was_given(run: Run) -> None:
    app = modal.App("my-app")

    @app.function()
    async def same(x: int) -> int:
        return x

    async def main() -> None:
        async with app.run():
            calls = [same.spawn(1), *[await same.experimental_spawn_map.aio(range(n)) for n in (0, 1, 5)]]
            assert [1, 0, 1, 5] == [call.num_inputs() for call in calls]
            for call in calls:
                assert call.num_inputs() == len([x async for x in call.iter.aio()])

    run(main)


# -- retries and generators --------------------------------------------------------------------------------


def test_M1_13_a_variant_of_a_generator_function_has_no_retries(run: Run) -> None:
    app = modal.App("my-app")

    @app.function()
    async def items() -> Any:
        yield 1

    async def main() -> None:
        async with app.run():
            stubborn = items.with_options(timeout=10).with_options(retries=2)
            with pytest.raises(
                modal.exception.InvalidError, match="retries do not go with a generator function"
            ):
                stubborn.remote_gen.aio()
            patient = items.with_options(timeout=10)
            assert [1] == [item async for item in patient.remote_gen.aio()]

    run(main)


def test_M1_13_a_class_may_have_retries_beside_a_generator_method(run_virtually: Run) -> None:
    app = modal.App("my-app")
    attempts: list[str] = shared([])

    @app.cls(retries=1)
    class Job:
        @modal.method()
        async def once(self) -> str:
            attempts.append("method")
            if len(attempts) < 2:
                raise ConnectionError
            return "there"

        @modal.method()
        async def items(self) -> Any:
            attempts.append("generator")
            yield 1
            raise ConnectionError

    async def main() -> None:
        async with app.run():
            for cls in (Job, Job.with_options(retries=2)):  # type: ignore[attr-defined]
                del attempts[:]
                assert "there" == await cls().once.remote.aio()
                with pytest.raises(ConnectionError):
                    _ = [item async for item in cls().items.remote_gen.aio()]
                assert ["method", "method", "generator"] == attempts

    run_virtually(main)

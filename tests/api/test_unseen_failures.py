# SPDX-License-Identifier: Apache-2.0
"""Failures of spawned inputs that nobody has seen, and that nobody can ask for any more."""

from __future__ import annotations

import gc
import logging
from collections.abc import Callable
from typing import Any

import pytest

import actorpool as modal
from actorpool import FunctionCall
from tests.api.clocks import Clock, known_calls_clock
from tests.api.support import event
from tests.hosts import settle

Run = Callable[..., Any]

app = modal.App("unseen-failures")


class Unlucky(Exception):
    pass


@app.function()
async def wait_for(gate: Any, x: int = 0) -> int:
    await gate.wait()
    if x < 0:
        raise Unlucky(x)
    return x


@pytest.fixture
def clock(monkeypatch: pytest.MonkeyPatch) -> Clock:
    return known_calls_clock(monkeypatch)


@pytest.fixture
def errors(caplog: pytest.LogCaptureFixture) -> Callable[[], list[str]]:
    """The failures logged so far, as the text of their exceptions."""
    caplog.set_level(logging.ERROR, "actorpool")

    def logged() -> list[str]:
        gc.collect()
        return [repr(record.exc_info[1]) for record in caplog.records if record.exc_info]

    return logged


def test_a_failure_after_the_handle_is_gone_is_logged_once(run: Run, errors: Callable[[], list[str]]) -> None:
    async def main() -> None:
        async with app.run():
            gate = event()
            wait_for.spawn(gate, -1)
            wait_for.spawn(gate, 1)
            gc.collect()
            gate.set()
            await settle()
            assert ["Unlucky(-1)"] == errors()

    run(main)


def test_a_failure_before_the_handle_goes_is_logged_when_it_goes(
    run: Run, errors: Callable[[], list[str]]
) -> None:
    async def main() -> None:
        async with app.run():
            gate = event()
            gate.set()
            handle = wait_for.spawn(gate, -1)
            while not handle.done:
                await settle()
            assert [] == errors()
            del handle
            assert ["Unlucky(-1)"] == errors()

    run(main)


def test_a_failure_that_somebody_has_seen_is_not_logged(run: Run, errors: Callable[[], list[str]]) -> None:
    async def main() -> None:
        async with app.run():
            gate = event()
            gate.set()
            handle = wait_for.spawn(gate, -1)
            with pytest.raises(Unlucky):
                await handle.get.aio()
            del handle
            assert [] == errors()

    run(main)


def test_a_wait_that_was_given_up_does_not_hide_the_failure(
    run_virtually: Run, errors: Callable[[], list[str]]
) -> None:
    async def main() -> None:
        async with app.run():
            gate = event()
            handle = wait_for.spawn(gate, -1)
            for verb in (handle.get.aio(timeout=1), handle.get.aio(timeout=1)):
                with pytest.raises(TimeoutError):
                    await verb
            del handle, verb
            gc.collect()
            gate.set()
            await settle()
            assert ["Unlucky(-1)"] == errors()

    run_virtually(main)


def test_of_many_inputs_those_that_nobody_has_seen_are_logged(
    run: Run, errors: Callable[[], list[str]]
) -> None:
    async def main() -> None:
        async with app.run():
            gate = event()
            gate.set()
            handle = await wait_for.experimental_spawn_map.aio([gate] * 4, [-1, -2, 3, -4])
            with pytest.raises(Unlucky, match="-2"):
                await handle.get.aio(index=1)
            while not handle.done:
                await settle()
            del handle
            assert ["Unlucky(-1)", "Unlucky(-4)"] == sorted(errors())

    run(main)


def test_what_was_cancelled_is_no_failure(run: Run, errors: Callable[[], list[str]]) -> None:
    async def main() -> None:
        async with app.run():
            handle = wait_for.spawn(event())
            await settle()
            handle.cancel()
            del handle
            assert [] == errors()

    run(main)


def test_a_failure_seen_through_one_handle_is_not_reported_by_another(
    run: Run, errors: Callable[[], list[str]], clock: Clock
) -> None:
    app = modal.App("my-app")

    @app.function()
    async def f() -> None:
        raise Unlucky(modal.current_function_call_id())

    async def main() -> None:
        async with app.run():
            for through_handle in (True, False):
                handle: Any = f.spawn()
                while not handle.done:
                    await settle()
                other: Any = FunctionCall.from_id(handle.object_id)
                assert other is not handle
                with pytest.raises(Unlucky):
                    await (handle if through_handle else other).get.aio()
                clock.now += 3_600.0
                del handle, other
            clock.known.find("fc-")
            assert [] == errors()

    run(main)


def test_a_failure_that_nobody_saw_through_two_handles_is_reported_once(
    run: Run, errors: Callable[[], list[str]], clock: Clock
) -> None:
    app = modal.App("my-app")

    @app.function()
    async def f() -> None:
        assert modal.current_function_call_id()
        raise Unlucky

    async def main() -> None:
        async with app.run():
            f.spawn()
            while not f.statistics().failed:
                await settle()
            await settle()
            # The handle that `spawn` returned is gone; the call is known by the id that was asked for inside.
            assert ["Unlucky()"] == errors()
            assert 1 == len(clock.known)
            clock.now += 3_600.0
            clock.known.find("fc-")
            assert 0 == len(clock.known)
            assert ["Unlucky()"] == errors()

    run(main)


def test_spawn_map_logs_what_fails(run: Run, errors: Callable[[], list[str]]) -> None:
    async def main() -> None:
        async with app.run():
            gate = event()
            await wait_for.spawn_map.aio([gate] * 3, [-1, 2, -3])
            gate.set()
            while wait_for.statistics().failed + wait_for.statistics().succeeded < 3:
                await settle()
            await settle()
            assert ["Unlucky(-1)", "Unlucky(-3)"] == sorted(errors())

    run(main)

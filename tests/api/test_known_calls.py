# SPDX-License-Identifier: Apache-2.0
"""Calls found again by their id, and failures of calls that nobody can find any more."""

from __future__ import annotations

import gc
import logging
from collections.abc import Callable
from typing import Any

import pytest

import actorpool as modal
from actorpool import FunctionCall, call
from actorpool.exception import InvalidError, NotFoundError
from tests.api.support import event
from tests.hosts import settle

Run = Callable[..., Any]

app = modal.App("known-calls")


class Unlucky(Exception):
    pass


@app.function()
async def wait_for(gate: Any, x: int = 0) -> int:
    await gate.wait()
    if x < 0:
        raise Unlucky(x)
    return x


@app.function()
async def own_call(gate: Any) -> FunctionCall[Any]:
    await gate.wait()
    identity = modal.current_function_call_id()
    assert identity is not None
    return FunctionCall.from_id(identity)


# -- from_id ----------------------------------------------------------------------------------------------


def test_a_call_is_found_by_its_id(run: Run) -> None:
    async def main() -> None:
        async with app.run():
            gate = event()
            call = wait_for.spawn(gate, 5)
            identity = call.object_id
            assert ("fc-", 27, identity) == (identity[:3], len(identity), call.object_id)
            assert FunctionCall.from_id(identity) is call
            del call
            gc.collect()
            gate.set()
            assert 5 == await FunctionCall.from_id(identity).get.aio()

    run(main)


def test_a_function_finds_its_own_call(run: Run) -> None:
    async def main() -> None:
        async with app.run():
            gate = event()
            call = own_call.spawn(gate)
            assert call.object_id == call.object_id
            gate.set()
            assert call is await call.get.aio()

    run(main)


def test_only_ids_of_known_calls_are_found() -> None:
    with pytest.raises(NotFoundError, match="no function call 'fc-unknown' is known in this process"):
        FunctionCall.from_id("fc-unknown")
    with pytest.raises(InvalidError, match="'in-5' is not the id of a function call"):
        FunctionCall.from_id("in-5")
    with pytest.raises(InvalidError):
        FunctionCall.from_id(None)  # type: ignore[arg-type]


def test_calls_are_kept_for_a_bounded_time_and_number(run: Run, monkeypatch: pytest.MonkeyPatch) -> None:
    known = call._KnownCalls()
    clock = 1_000.0
    monkeypatch.setattr(call, "_known_calls", known)
    monkeypatch.setattr(call._KnownCalls, "_KEPT", 3)
    # In that module alone: the loop's own clock is not to stand still.
    monkeypatch.setattr(call, "time", _Clock(lambda: clock))

    async def main() -> None:
        nonlocal clock
        async with app.run():
            gate = event()
            gate.set()
            ids = [wait_for.spawn(gate).object_id for _ in range(4)]
            with pytest.raises(NotFoundError, match="the latest 3"):
                FunctionCall.from_id(ids[0])
            clock += 3_599.0
            assert 0 == await FunctionCall.from_id(ids[3]).get.aio()
            clock += 1.0
            for identity in ids:
                with pytest.raises(NotFoundError, match="3600 s"):
                    FunctionCall.from_id(identity)
            await settle()

    run(main)


class _Clock:
    def __init__(self, monotonic: Callable[[], float]) -> None:
        self.monotonic = monotonic


# -- failures nobody asked for ----------------------------------------------------------------------------


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

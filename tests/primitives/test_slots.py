# SPDX-License-Identifier: Apache-2.0
"""Slots: first come, first served, never above the limit, resized while in use."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pytest

from actorpool._host._current import current_host
from actorpool.exception import InvalidError
from actorpool.primitives import HostNotRunningError, Slots, SlotsStatistics, WouldBlock, open_nursery
from tests.hosts import settle

Run = Callable[..., Any]


@pytest.mark.parametrize("limit", [-1, 1.5, True, "2"])
def test_a_wrong_limit_is_refused(limit: Any) -> None:
    with pytest.raises(InvalidError, match="limit"):
        Slots(limit)
    slots = Slots(1)
    with pytest.raises(InvalidError, match="limit"):
        slots.resize(limit)
    assert 1 == slots.limit


def test_a_free_slot_is_taken_at_once_and_a_taken_one_refused() -> None:
    slots = Slots(2)
    slots.acquire_nowait()
    slots.acquire_nowait()
    with pytest.raises(WouldBlock, match=r"2 in use \(limit 2\)"):
        slots.acquire_nowait()
    slots.release()
    slots.acquire_nowait()
    assert SlotsStatistics(limit=2, in_use=2, waiting=0) == slots.statistics()
    assert "<Slots in_use=2/2 waiting=0>" == repr(slots)


def test_releasing_what_nobody_holds_is_an_error() -> None:
    with pytest.raises(InvalidError, match="without acquire"):
        Slots(1).release()


def test_waiting_needs_a_running_loop() -> None:
    waiting = Slots(0).acquire()
    with pytest.raises(HostNotRunningError):
        waiting.send(None)


def test_slots_go_to_whoever_waits_longest(run: Run) -> None:
    async def main() -> list[int]:
        slots = Slots(1)
        order: list[int] = []

        async def child(number: int) -> None:
            async with slots:
                order.append(number)
                await current_host().checkpoint()

        async with open_nursery() as nursery, slots:
            for number in range(4):
                nursery.start_soon(child, number)
                await settle()
            assert SlotsStatistics(limit=1, in_use=1, waiting=4) == slots.statistics()
        assert SlotsStatistics(limit=1, in_use=0, waiting=0) == slots.statistics()
        return order

    assert [0, 1, 2, 3] == run(main)


def test_growing_lets_waiting_tasks_in_and_shrinking_keeps_freed_slots_back(run: Run) -> None:
    async def main() -> list[int]:
        slots = Slots(0)
        in_use: list[int] = []

        async def child() -> None:
            await slots.acquire()
            in_use.append(slots.statistics().in_use)

        async with open_nursery() as nursery:
            for _ in range(4):
                nursery.start_soon(child)
            await settle()
            slots.resize(3)
            await settle()
            slots.resize(1)
            slots.release()
            slots.release()
            await settle()
            assert SlotsStatistics(limit=1, in_use=1, waiting=1) == slots.statistics()
            slots.release()
        return in_use

    assert [3, 3, 3, 1] == run(main)


def test_a_waiting_task_is_never_overtaken(run: Run) -> None:
    async def main() -> None:
        slots = Slots(1)
        slots.acquire_nowait()
        async with open_nursery() as nursery:
            nursery.start_soon(slots.acquire)
            await settle()
            slots.release()
            # The slot is the waiting task's already, though it has not run yet.
            with pytest.raises(WouldBlock):
                slots.acquire_nowait()

    run(main)


def test_a_cancelled_wait_takes_no_slot(run: Run) -> None:
    async def main() -> SlotsStatistics:
        slots = Slots(1)
        slots.acquire_nowait()
        async with open_nursery() as nursery:
            nursery.start_soon(slots.acquire)
            await settle()
            nursery.cancel()
        return slots.statistics()

    assert SlotsStatistics(limit=1, in_use=1, waiting=0) == run(main)


def test_a_wait_cancelled_in_the_turn_of_its_grant_loses_no_slot(run: Run) -> None:
    async def main() -> int:
        slots = Slots(1)
        slots.acquire_nowait()
        acquired: list[str] = []

        async def child() -> None:
            await slots.acquire()
            acquired.append("child")

        async with open_nursery() as nursery:
            nursery.start_soon(child)
            await settle()
            slots.release()
            nursery.cancel()
        return slots.statistics().in_use - len(acquired)

    assert 0 == run(main)

# SPDX-License-Identifier: Apache-2.0
"""How a spawned map waits while the backlog is full."""

from __future__ import annotations

from actorpool._core._room_wait import RoomWait, Wait


def pauses(wait: RoomWait, count: int) -> list[float]:
    return [wait.next(0).pause_s for _ in range(count)]


def test_the_pause_doubles_up_to_a_second() -> None:
    assert [0.01, 0.02, 0.04, 0.08, 0.16, 0.32, 0.64, 1.0, 1.0] == pauses(RoomWait(), 9)


def test_it_begins_anew_when_something_was_accepted() -> None:
    wait = RoomWait()
    pauses(wait, 5)
    assert Wait(0.01, warn=False) == wait.next(1)
    assert [0.02, 0.04] == pauses(wait, 2)


def test_it_begins_anew_with_each_group() -> None:
    wait = RoomWait()
    pauses(wait, 5)
    wait.begin()
    assert [0.01, 0.02] == pauses(wait, 2)


def test_the_user_is_told_at_every_tenth_wait_whatever_was_accepted_in_between() -> None:
    wait = RoomWait()
    assert [10, 20, 30] == [number for number in range(1, 31) if wait.next(number % 3).warn]

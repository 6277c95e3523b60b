# SPDX-License-Identifier: Apache-2.0
"""What every schedule can do, and the timetable that says when one is due."""

from __future__ import annotations

import copy
import pickle

from hypothesis import given
from hypothesis import strategies as st

from actorpool._core._schedule import Timetable
from actorpool.schedule import Cron, Period
from tests.core.schedules import NEW_YORK, at


def test_schedules_survive_pickling_and_copying() -> None:
    cron, period = Cron("0 6 * * *", timezone=NEW_YORK), Period(months=1, seconds=0.5)
    now, anchor = at("2025-06-01 00:00"), at("2025-01-31 00:00")
    for again in (pickle.loads(pickle.dumps((cron, period))), copy.deepcopy((cron, period))):
        assert (cron, period) == again
        assert cron.next_after(now) == again[0].next_after(now)
        assert period.next_after(now, anchor) == again[1].next_after(now, anchor)


# Timetable


def test_timetable_is_due_once_per_instant() -> None:
    table = Timetable(Period(minutes=1), anchor=1000.0)
    assert 1060.0 == table.due
    assert not table.poll(1059.9)
    assert table.poll(1060.0)
    assert not table.poll(1060.0)
    assert 1120.0 == table.due


def test_timetable_makes_one_run_of_all_instants_missed_in_sleep() -> None:
    table = Timetable(Cron("0 * * * *"), anchor=at("2025-06-01 00:30"))
    assert at("2025-06-01 01:00") == table.due
    assert table.poll(at("2025-06-08 17:20"))
    assert not table.poll(at("2025-06-08 17:20:01"))
    assert at("2025-06-08 18:00") == table.due


def test_timetable_keeps_a_period_on_its_anchor_after_a_late_run() -> None:
    table = Timetable(Period(hours=1), anchor=0.0)
    assert table.poll(3 * 3600 + 1234.5)
    assert 4 * 3600 == table.due


def test_timetable_repeats_no_run_when_the_clock_is_set_back() -> None:
    table = Timetable(Period(minutes=1), anchor=0.0)
    assert [True, False, False, True] == [table.poll(now) for now in (60.0, 59.0, 60.5, 120.0)]


@given(st.lists(st.floats(0, 1e6), max_size=30), st.sampled_from([Cron("*/7 3 * * *"), Period(hours=5)]))
def test_timetables_given_the_same_instants_do_the_same(
    instants: list[float], schedule: Cron | Period
) -> None:
    def replay() -> list[tuple[bool, float]]:
        table = Timetable(schedule, anchor=5.0)
        return [(table.poll(now), table.due) for now in instants]

    assert replay() == replay()

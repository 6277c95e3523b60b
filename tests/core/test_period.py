# SPDX-License-Identifier: Apache-2.0
"""Period: the next instants across calendars, and what construction refuses."""

from __future__ import annotations

import math
from datetime import UTC, datetime, timedelta
from typing import Any

import pytest
from hypothesis import example, given
from hypothesis import strategies as st

from actorpool.exception import InvalidError
from actorpool.schedule import Period
from tests.core.schedules import DAY, NEW_YORK, at, shown


def period_runs(period: Period, anchor: float, count: int) -> list[str]:
    now, found = anchor, []
    for _ in range(count):
        now = period.next_after(now, anchor)
        found.append(shown(now).removesuffix("+00:00"))
    return found


def test_period_first_run_comes_one_period_after_the_anchor() -> None:
    anchor = at("2025-06-01 12:34:56")
    assert anchor + 3600 == Period(hours=1).next_after(anchor, anchor)
    assert anchor + 3600 == Period(hours=1).next_after(anchor - 10 * DAY, anchor)


def test_period_month_is_a_month_and_a_clamped_day_does_not_stick() -> None:
    assert [
        "2025-02-28 09:00:00",
        "2025-03-31 09:00:00",
        "2025-04-30 09:00:00",
        "2025-05-31 09:00:00",
    ] == period_runs(Period(months=1), at("2025-01-31 09:00"), 4)
    assert ["2024-02-29 09:00:00"] == period_runs(Period(months=1), at("2024-01-31 09:00"), 1)


def test_period_leap_day_comes_back_every_fourth_year() -> None:
    assert [
        "2025-02-28 00:00:00",
        "2026-02-28 00:00:00",
        "2027-02-28 00:00:00",
        "2028-02-29 00:00:00",
    ] == period_runs(Period(years=1), at("2024-02-29 00:00"), 4)


def test_period_parts_add_up() -> None:
    period = Period(years=1, months=1, weeks=1, days=1, hours=1, minutes=1, seconds=1.5)
    assert ["2026-02-09 01:01:01.500000"] == period_runs(period, at("2025-01-01 00:00"), 1)


def test_period_day_is_24_hours_whatever_daylight_saving_does() -> None:
    anchor = at("2025-03-08 06:00", NEW_YORK)
    assert "2025-03-09 07:00:00-04:00" == shown(Period(days=1).next_after(anchor, anchor), NEW_YORK)


def test_period_counts_from_its_anchor_however_late_it_is_asked() -> None:
    anchor = at("2025-01-31 00:00")
    assert at("2035-03-31 00:00") == Period(months=1).next_after(at("2035-02-28 00:00"), anchor)
    assert anchor + 1000 * 3600 == Period(hours=1).next_after(anchor + 999 * 3600 + 1800, anchor)


parts = st.fixed_dictionaries(
    {},
    optional={
        "years": st.integers(0, 5),
        "months": st.integers(0, 30),
        "weeks": st.integers(0, 5),
        "days": st.integers(0, 40),
        "hours": st.integers(0, 50),
        "minutes": st.integers(0, 100),
        "seconds": st.integers(0, 100) | st.floats(0, 100),
    },
).filter(lambda chosen: sum(chosen.values()) >= 1e-5)


def naive_run(chosen: dict[str, Any], anchor: float, count: int) -> float:
    """Walk month by month from the anchor's month, then add the parts of fixed length."""
    start = datetime.fromtimestamp(anchor, UTC)
    first = start.replace(day=1)
    for _ in range(count * (12 * chosen.get("years", 0) + chosen.get("months", 0))):
        first = (first + timedelta(days=31)).replace(day=1)
    day = next(
        day for day in range(start.day, 0, -1) if (first + timedelta(days=day - 1)).month == first.month
    )
    fixed = timedelta(**{name: value for name, value in chosen.items() if name not in ("years", "months")})
    return (first + timedelta(days=day - 1) + count * fixed).timestamp()


@given(
    chosen=parts,
    anchor=st.floats(at("1999-01-01 00:00"), at("2040-01-01 00:00")),
    count=st.integers(1, 40),
    share=st.floats(0, 0.999),
)
@example({"months": 1}, at("2024-01-31 00:00"), 1, 0.0)
@example({"seconds": 1e-5}, at("2025-01-01 00:00"), 10**11, 0.0)
def test_period_next_is_the_first_run_after_now(
    chosen: dict[str, Any], anchor: float, count: int, share: float
) -> None:
    period = Period(**chosen)
    run, following = naive_run(chosen, anchor, count), naive_run(chosen, anchor, count + 1)
    now = max(run, min(run + share * (following - run), math.nextafter(following, 0)))
    assert following == period.next_after(now, anchor)
    assert run == period.next_after(math.nextafter(run, 0), anchor)


@pytest.mark.parametrize("name", ["years", "months", "weeks", "days", "hours", "minutes"])
@pytest.mark.parametrize("value", [-1, 1.5, True, "1", None])
def test_period_refuses_a_part_that_is_no_whole_number(name: str, value: Any) -> None:
    with pytest.raises(InvalidError, match=name):
        Period(**{name: value})


@pytest.mark.parametrize("value", [-0.5, True, "1", None, float("nan"), float("inf")])
def test_period_refuses_seconds_that_are_no_time(value: Any) -> None:
    with pytest.raises(InvalidError, match="seconds"):
        Period(seconds=value)


@pytest.mark.parametrize("chosen", [{}, {"days": 0}, {"seconds": 0.0}, {"seconds": 1e-7}])
def test_period_refuses_no_time_at_all(chosen: dict[str, Any]) -> None:
    with pytest.raises(InvalidError, match=r"Period\(.*\) is no time at all"):
        Period(**chosen)


@pytest.mark.parametrize("chosen", [{"years": 101}, {"months": 1201}, {"days": 36_601}, {"weeks": 10**30}])
def test_period_refuses_more_than_a_hundred_years(chosen: dict[str, Any]) -> None:
    with pytest.raises(InvalidError, match="is longer than 100 years"):
        Period(**chosen)


def test_period_takes_its_parts_by_name_only() -> None:
    with pytest.raises(TypeError, match="positional"):
        Period(1)  # type: ignore[call-arg]


def test_period_is_a_value() -> None:
    assert Period(days=1) == Period(days=1)
    assert hash(Period(days=1)) == hash(Period(days=1))
    assert Period(hours=24) != Period(days=1)
    assert "Period(days=1, seconds=2.5)" == repr(Period(seconds=2.5, days=1))

# SPDX-License-Identifier: Apache-2.0
"""Cron: the next instants across daylight saving, and what construction refuses."""

from __future__ import annotations

from datetime import UTC, datetime
from typing import Any
from zoneinfo import ZoneInfo

import attrs
import pytest
from cronsim import CronSim
from hypothesis import example, given
from hypothesis import strategies as st

from actorpool.exception import InvalidError
from actorpool.schedule import Cron
from tests.core.schedules import CAIRO, DAY, LORD_HOWE, NEW_YORK, at, runs, shown


def test_cron_holds_the_wall_clock_time_across_daylight_saving() -> None:
    cron = Cron("0 6 * * *", timezone=NEW_YORK)
    assert [
        "2025-03-08 06:00:00-05:00",
        "2025-03-09 06:00:00-04:00",
        "2025-03-10 06:00:00-04:00",
    ] == runs(cron, at("2025-03-07 06:00", NEW_YORK), 3)
    assert ["2025-11-01 06:00:00-04:00", "2025-11-02 06:00:00-05:00"] == runs(
        cron, at("2025-10-31 12:00", NEW_YORK), 2
    )


def test_cron_next_is_strictly_after_the_instant_asked_about() -> None:
    cron = Cron("*/5 * * * *")
    noon = at("2025-06-01 12:00")
    assert noon == cron.next_after(noon - 0.001)
    assert noon + 300 == cron.next_after(noon)
    assert noon + 300 == cron.next_after(noon + 0.999)


def test_cron_defaults_to_utc() -> None:
    assert at("2025-06-01 00:00") == Cron("0 0 1 * *").next_after(at("2025-05-31 23:59"))
    assert "UTC" == Cron("0 0 1 * *").timezone


def test_cron_fixed_times_that_the_zone_skips_run_once_when_the_gap_ends() -> None:
    """On 9 March 2025 New York's clocks go from 02:00 to 03:00."""
    after = at("2025-03-09 01:59", NEW_YORK)
    for expression, following in [
        ("30 2 * * *", "2025-03-10 02:30:00-04:00"),
        ("0,15,30 2 * * *", "2025-03-10 02:00:00-04:00"),
        ("30 2,3 * * *", "2025-03-09 03:30:00-04:00"),
        ("0 2,3 * * *", "2025-03-10 02:00:00-04:00"),
    ]:
        cron = Cron(expression, timezone=NEW_YORK)
        assert ["2025-03-09 03:00:00-04:00", following] == runs(cron, after, 2), expression


def test_cron_fixed_times_that_occur_twice_run_at_the_first_occurrence() -> None:
    """On 2 November 2025 New York's clocks go from 02:00 back to 01:00."""
    cron = Cron("30 1 * * *", timezone=NEW_YORK)
    first = at("2025-11-02 01:30", NEW_YORK)
    tomorrow = at("2025-11-03 01:30", NEW_YORK)
    assert first == cron.next_after(at("2025-11-02 00:30", NEW_YORK))
    assert tomorrow == cron.next_after(first)
    assert tomorrow == cron.next_after(at("2025-11-02 01:10", NEW_YORK, fold=1))
    assert tomorrow == cron.next_after(at("2025-11-02 01:50", NEW_YORK, fold=1))


def test_cron_fixed_times_on_both_sides_of_a_doubled_hour_all_run() -> None:
    cron = Cron("30 0,1,2 * * *", timezone=NEW_YORK)
    assert [
        "2025-11-02 00:30:00-04:00",
        "2025-11-02 01:30:00-04:00",
        "2025-11-02 02:30:00-05:00",
        "2025-11-03 00:30:00-05:00",
    ] == runs(cron, at("2025-11-02 00:00", NEW_YORK), 4)


def test_cron_with_a_star_follows_elapsed_time_across_a_gap() -> None:
    assert ["2025-03-09 01:30:00-05:00", "2025-03-09 03:00:00-04:00"] == runs(
        Cron("*/30 * * * *", timezone=NEW_YORK), at("2025-03-09 01:00", NEW_YORK), 2
    )
    assert ["2025-03-10 02:00:00-04:00"] == runs(
        Cron("*/30 2 * * *", timezone=NEW_YORK), at("2025-03-09 00:00", NEW_YORK), 1
    )


def test_cron_with_a_star_runs_in_both_of_a_doubled_hour() -> None:
    assert [
        "2025-11-02 01:00:00-04:00",
        "2025-11-02 01:30:00-04:00",
        "2025-11-02 01:00:00-05:00",
        "2025-11-02 01:30:00-05:00",
        "2025-11-02 02:00:00-05:00",
    ] == runs(Cron("*/30 * * * *", timezone=NEW_YORK), at("2025-11-02 00:30", NEW_YORK), 5)


def test_cron_is_right_where_the_clock_moves_by_half_an_hour() -> None:
    """On 6 April 2025 Lord Howe's clocks go from 02:00 back to 01:30."""
    cron = Cron("*/15 2 * * *", timezone=LORD_HOWE)
    assert "2025-04-06 02:00:00+10:30" == shown(
        cron.next_after(at("2025-04-06 01:45", LORD_HOWE, fold=1)), LORD_HOWE
    )


def test_cron_is_right_where_midnight_is_skipped() -> None:
    """On 25 April 2025 Cairo's clocks go from 00:00 to 01:00."""
    after = at("2025-04-24 23:00", CAIRO)
    assert ["2025-04-25 01:00:00+03:00"] == runs(Cron("0 0 * * *", timezone=CAIRO), after, 1)
    assert ["2025-04-26 00:00:00+03:00"] == runs(Cron("*/30 0 * * *", timezone=CAIRO), after, 1)


def test_cron_is_right_where_a_whole_day_is_skipped() -> None:
    """Samoa had no 30 December 2011."""
    cron = Cron("0 12 * * *", timezone="Pacific/Apia")
    assert [
        "2011-12-29 12:00:00-10:00",
        "2011-12-31 00:00:00+14:00",
        "2011-12-31 12:00:00+14:00",
    ] == runs(cron, at("2011-12-29 00:00", "Pacific/Apia"), 3)


def test_cron_day_fields_without_a_star_match_either() -> None:
    """As in Debian's cron: the 13th as well as Fridays; with a star, both must match."""
    either = Cron("0 0 13 * FRI")
    assert ["2025-06-06 00:00:00+00:00", "2025-06-13 00:00:00+00:00", "2025-06-20 00:00:00+00:00"] == runs(
        either, at("2025-06-01 00:00"), 3
    )
    assert ["2025-06-13 00:00:00+00:00", "2025-07-13 00:00:00+00:00"] == runs(
        Cron("0 0 13 * *"), at("2025-06-01 00:00"), 2
    )


def test_cron_finds_a_day_that_comes_once_in_forty_years() -> None:
    cron = Cron("0 0 29 2 */7")
    assert "2128-02-29 00:00:00+00:00" == shown(cron.next_after(at("2088-02-29 00:00")))


# Where and when (UTC) a wall clock changes, by an hour and otherwise; in the last two lines none does.
CHANGES = (
    (NEW_YORK, at("2025-03-09 07:00")),
    (NEW_YORK, at("2025-11-02 06:00")),
    (LORD_HOWE, at("2025-04-05 15:00")),
    (LORD_HOWE, at("2025-10-04 15:30")),
    (CAIRO, at("2025-04-24 22:00")),
    (CAIRO, at("2025-10-30 21:00")),
    ("America/Havana", at("2025-03-09 05:00")),
    ("America/Havana", at("2025-11-02 05:00")),
    ("Antarctica/Troll", at("2025-03-30 01:00")),
    ("Antarctica/Troll", at("2025-10-26 01:00")),
    ("Europe/Dublin", at("2025-03-30 01:00")),
    ("Pacific/Apia", at("2011-12-30 10:00")),
    ("Asia/Kathmandu", at("2025-03-30 01:00")),
    ("UTC", at("2024-02-29 00:00")),
)


def test_the_changes_listed_here_are_changes() -> None:
    for zone, instant in CHANGES[:-2]:
        before, after = (datetime.fromtimestamp(second, ZoneInfo(zone)) for second in (instant - 1, instant))
        assert before.utcoffset() != after.utcoffset(), (zone, instant)


@st.composite
def time_fields(draw: st.DrawFn) -> tuple[str, str, frozenset[int], frozenset[int]]:
    """Minute and hour field, with the values they match, spelt in independence of cronsim."""

    def one(size: int) -> tuple[str, frozenset[int]]:
        if draw(st.booleans()):
            step = draw(st.sampled_from([n for n in (1, 7, 10, 15, 30) if n < size]))
            return "*" if step == 1 else f"*/{step}", frozenset(range(0, size, step))
        values = draw(st.frozensets(st.integers(0, min(size, 24) - 1), min_size=1, max_size=4))
        return ",".join(map(str, sorted(values))), values

    minute, minutes = one(60)
    hour, hours = one(24)
    return minute, hour, minutes, hours


def naive_next(
    zone: ZoneInfo, fixed: bool, minutes: frozenset[int], hours: frozenset[int], after: float
) -> float:
    """Walk minute by minute, looking at a wall clock, as cron's daemon does; at most three days."""
    instant = after // 60 * 60
    wall = datetime.fromtimestamp(instant, zone)
    for _ in range(3 * DAY // 60):
        instant += 60
        previous, wall = wall, datetime.fromtimestamp(instant, zone)
        shown_now = [wall] if not fixed or wall.fold == 0 else []
        if fixed:
            skipped = previous.replace(tzinfo=UTC).timestamp() + 60
            until = wall.replace(tzinfo=UTC).timestamp()
            while skipped < until:
                shown_now.append(datetime.fromtimestamp(skipped, UTC))
                skipped += 60
        if any(reading.minute in minutes and reading.hour in hours for reading in shown_now):
            return instant
    raise AssertionError("no run in three days")


@pytest.mark.slow
@given(
    fields=time_fields(),
    change=st.sampled_from(CHANGES),
    shift=st.integers(-DAY, DAY) | st.integers(-240, 240).map(lambda minutes: 60 * minutes),
)
@example(("*/15", "2", frozenset({0, 15, 30, 45}), frozenset({2})), CHANGES[2], 900)
@example(("30", "1", frozenset({30}), frozenset({1})), CHANGES[1], 600)
@example(("0", "12", frozenset({0}), frozenset({12})), CHANGES[11], -8_000)
@example(("30", "*", frozenset({30}), frozenset(range(24))), CHANGES[0], -600)
@example(("30", "*", frozenset({30}), frozenset(range(24))), CHANGES[1], -600)
def test_cron_agrees_with_a_daemon_that_looks_at_the_clock_every_minute(
    fields: tuple[str, str, frozenset[int], frozenset[int]], change: tuple[str, float], shift: int
) -> None:
    minute, hour, minutes, hours = fields
    zone, after = change[0], change[1] + shift
    fixed = not ("*" in minute or "*" in hour)
    expected = naive_next(ZoneInfo(zone), fixed, minutes, hours, after)
    assert expected == Cron(f"{minute} {hour} * * *", timezone=zone).next_after(after)


@given(
    expression=st.sampled_from(
        [
            "0 6 * * *",
            "30 2 * * *",
            "15 1 * * MON-FRI",
            "*/20 * * * *",
            "0 */6 1 * *",
            "5 4 L * *",
            "0 9 * 3,11 SUN#2",
        ]
    ),
    start=st.integers(int(at("2024-01-01 00:00")), int(at("2026-01-01 00:00"))),
)
def test_cron_agrees_with_cronsim_s_own_handling_of_new_york(expression: str, start: int) -> None:
    """cronsim is right for whole-hour changes, save that it may answer with an instant that has passed."""
    zone = ZoneInfo(NEW_YORK)
    ticks = CronSim(expression, datetime.fromtimestamp(start, zone))
    expected = next(tick for tick in (next(ticks).timestamp() for _ in range(200)) if tick > start)
    assert expected == Cron(expression, timezone=NEW_YORK).next_after(start)


# Construction


@pytest.mark.parametrize(
    ("expression", "reason"),
    [
        ("", "has 0 fields; write five"),
        ("@daily", "has 1 fields; write five"),
        ("* * * *", "has 4 fields; write five"),
        ("0 0 6 * * *", "has 6 fields; write five"),
        ("60 * * * *", "Bad minute"),
        ("0 24 * * *", "Bad hour"),
        ("0 0 0 * *", "Bad day-of-month"),
        ("0 0 * 13 *", "Bad month"),
        ("0 0 * * MOO", "Bad day-of-week"),
        ("*/0 * * * *", "Bad minute"),
        ("5-1 * * * *", "Bad minute"),
        ("-1 * * * *", "Bad minute"),
        ("0 0 31 2 *", "Bad day-of-month"),
        ("0 0 */3 2 SUN#5", "matches no day"),
        ("9" * 5000 + " * * * *", "cannot be read"),
    ],
)
def test_cron_refuses_what_it_cannot_read(expression: str, reason: str) -> None:
    with pytest.raises(InvalidError, match="cron_string") as caught:
        Cron(expression)
    assert reason in str(caught.value)


@pytest.mark.parametrize("value", [None, 5, b"* * * * *", ["*"] * 5])
def test_cron_refuses_an_expression_that_is_no_string(value: Any) -> None:
    with pytest.raises(InvalidError, match="cron_string must be a string"):
        Cron(value)


@pytest.mark.parametrize(
    "zone", ["", "Mars/Olympus", "America", "/etc/localtime", "../UTC", "a\0b", "x" * 300, "tzdata.zi"]
)
def test_cron_refuses_an_unknown_zone(zone: str) -> None:
    with pytest.raises(InvalidError, match=r"timezone .* is not in this machine's IANA database"):
        Cron("0 6 * * *", timezone=zone)


@pytest.mark.parametrize("zone", [None, 1, UTC, ZoneInfo("UTC")])
def test_cron_refuses_a_zone_that_is_no_name(zone: Any) -> None:
    with pytest.raises(InvalidError, match="timezone must be the name of a zone"):
        Cron("0 6 * * *", timezone=zone)


@given(st.lists(st.text("0123456789*/,-#LWSUNMOJA ", max_size=8), min_size=5, max_size=5).map(" ".join))
def test_cron_either_refuses_an_expression_or_has_a_next_instant(expression: str) -> None:
    now = at("2025-06-01 00:00")
    try:
        cron = Cron(expression)
    except InvalidError:
        return
    assert cron.next_after(now) > now


def test_cron_is_a_value() -> None:
    cron = Cron("0 6 * * *", timezone=NEW_YORK)
    assert Cron("  0 6\t* * *", NEW_YORK) == cron
    assert hash(Cron("0 6 * * *", NEW_YORK)) == hash(cron)
    assert Cron("0 6 * * *") != cron
    assert 'Cron("0 6 * * *", timezone="America/New_York")' == repr(cron)
    assert cron == eval(repr(cron))
    with pytest.raises(attrs.exceptions.FrozenInstanceError):
        cron.timezone = "UTC"  # type: ignore[misc]

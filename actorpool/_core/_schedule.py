# SPDX-License-Identifier: Apache-2.0
"""Schedules: when a function is to run next, as a pure function of the time now.

Instants are unix seconds, handed in by the caller; nothing here reads a clock or waits. Zone rules come
from the IANA database through `zoneinfo`, read once when a `Cron` is built.

**Cron across changes of a zone's offset.** cronsim answers in plain wall-clock time only ("which minute
matches next?"); the mapping of wall-clock time to instants is done here, because an answer must lie after
`now` at any time of any zone, also within a doubled hour. The rules are those of Debian's cron:

* A job at fixed times (neither its minute nor its hour field begins with `*`) runs once for each of its
  local times. Times that the zone skips run together, once, at the instant of the change: `30 2 * * *` runs
  at 03:00 when 02:00 to 03:00 is skipped. Times that occur twice run at their first occurrence.
* Any other job follows elapsed time: it does not run in a skipped hour and runs in both of a doubled one.

**Period.** Run k is the anchor plus k times the whole period, never the previous run plus one period, so
a clamped day does not stick: from 31 January, monthly runs fall on 28 February and 31 March. Arithmetic is
in UTC, where each day has 24 hours.
"""

from __future__ import annotations

import calendar
import math
from datetime import UTC, datetime, timedelta
from typing import Final
from zoneinfo import ZoneInfo, ZoneInfoNotFoundError

from attrs import define, field, frozen
from cronsim import CronSim, CronSimError

from actorpool._core._config import check_count, check_seconds
from actorpool.exception import InvalidError

__all__ = ["Cron", "Period", "Timetable"]

_DAY_S: Final = 86_400
_SECOND: Final = timedelta(seconds=1)
# The mean month of the Gregorian calendar, only to estimate how many periods have passed.
_MONTH_S: Final = 146_097 * _DAY_S / 4_800
# Picked by feel: far beyond any use, and far from the calendar's end in the year 9999.
_MAX_PERIOD_YEARS: Final = 100


def _wall(seconds: int) -> datetime:
    """Return a reading of a wall clock, labelled UTC so that neither datetime nor cronsim shifts it."""
    return datetime.fromtimestamp(seconds, UTC)


def _checked_expression(cron_string: object) -> str:
    """Return the expression with single spaces; raise `InvalidError` if it is none or can never match."""
    if not isinstance(cron_string, str):
        raise InvalidError(f"cron_string must be a string of five fields, not {cron_string!r}")
    fields = cron_string.split()
    if len(fields) != 5:
        raise InvalidError(
            f"cron_string {cron_string!r} has {len(fields)} fields; write five: "
            "minute, hour, day of month, month, day of week"
        )
    expression = " ".join(fields)
    try:
        next(CronSim(expression, _wall(0)))
    except (CronSimError, ValueError) as error:
        # ValueError: int() refuses numbers of more than some thousand digits.
        raise InvalidError(f"cron_string {cron_string!r} cannot be read: {error}") from None
    except StopIteration:
        # cronsim gives up after 50 years; the calendar's longest wait (29 February on one weekday) is 40.
        raise InvalidError(f"cron_string {cron_string!r} matches no day of any year") from None
    return expression


def _checked_zone(timezone: object) -> ZoneInfo:
    """Return the zone of that IANA name; raise `InvalidError` if there is none."""
    if not isinstance(timezone, str):
        raise InvalidError(f'timezone must be the name of a zone such as "Europe/Paris", not {timezone!r}')
    try:
        return ZoneInfo(timezone)
    except (ZoneInfoNotFoundError, ValueError, OSError):
        # ValueError and OSError: names that are no relative path, or that name a folder or another file.
        raise InvalidError(
            f"timezone {timezone!r} is not in this machine's IANA database; write a zone's name such as "
            '"Europe/Paris", or install the package tzdata if the machine has no database'
        ) from None


@frozen(repr=False)
class Cron:
    """Run at the times a cron expression names, on the wall clock of a time zone.

    The local time holds across daylight saving: `Cron("0 6 * * *", timezone="America/New_York")` runs at
    six in the morning in winter and in summer. Choose `Period` for "every so often, from the deployment on".

    A job at fixed times, such as `30 2 * * *`, runs once a day also on the day of a change: if the zone skips
    its time, at the first instant after the gap (03:00); if its time occurs twice, at the first occurrence. A
    job whose minute or hour field begins with `*` follows elapsed time: it does not run in a skipped hour
    and runs in both of a doubled one. If neither day field begins with `*`, a day matches if either matches.

    Args:
        cron_string: Five fields: minute, hour, day of month, month, day of week. Lists, ranges, steps, names
            (`MON`, `JAN`), and `L`, `LW`, `#` for last and n-th days are understood.
        timezone: Name of an IANA zone.

    Raises:
        InvalidError: If the expression cannot be read or never matches, or the zone is not known.
    """

    cron_string: str = field(converter=_checked_expression)
    """The expression, its fields separated by single spaces."""
    timezone: str = "UTC"
    """Name of the IANA zone whose wall clock counts."""
    _zone: ZoneInfo = field(init=False, eq=False)

    def __attrs_post_init__(self) -> None:
        # attrs' documented way to set a derived field of a frozen class.
        object.__setattr__(self, "_zone", _checked_zone(self.timezone))

    def __repr__(self) -> str:
        return f'Cron("{self.cron_string}", timezone="{self.timezone}")'

    def next_after(self, unix_seconds: float) -> float:
        """Return the first instant after `unix_seconds` (exclusive) at which to run, in unix seconds."""
        minute, hour, *_ = self.cron_string.split()
        fixed = not (minute.startswith("*") or hour.startswith("*"))
        # Invariant: no run lies in (unix_seconds, cursor]. Each turn returns or raises the cursor.
        cursor = math.floor(unix_seconds)
        while True:
            offset = self._offset(cursor + 1)
            match = next(CronSim(self.cron_string, _wall(cursor + offset)))
            wall = math.floor(match.timestamp())
            instant = wall - offset
            change = self._next_change(cursor + 1, instant)
            if change is None:
                if not (fixed and datetime.fromtimestamp(instant, self._zone).fold):
                    return float(instant)
                cursor = instant
            elif fixed and wall < change + self._offset(change):
                # The wall clock jumps over the match at the change.
                return float(change)
            else:
                cursor = change - 1

    def _offset(self, instant: int) -> int:
        """Seconds that the zone's wall clock is ahead of UTC at `instant`."""
        offset = datetime.fromtimestamp(instant, self._zone).utcoffset()
        assert offset is not None
        return offset // _SECOND

    def _next_change(self, start: int, end: int) -> int | None:
        """Return the first second in (start, end] with another offset than at `start`, if there is one."""
        offset = self._offset(start)
        low = start
        # A day at a time misses nothing: since 1970 no zone has kept an offset for less than two days.
        while low < end:
            high = min(low + _DAY_S, end)
            if self._offset(high) != offset:
                while high - low > 1:
                    middle = (low + high) // 2
                    if self._offset(middle) == offset:
                        low = middle
                    else:
                        high = middle
                return high
            low = high
        return None


@frozen(kw_only=True, repr=False)
class Period:
    """Run every so often, counted from the deployment: the first run comes one period after it.

    The parts add up. Arithmetic follows the calendar in UTC: a month is a month, a day is 24 hours whatever
    daylight saving does. Run k is the deployment plus k whole periods; a day that its month does not have
    becomes the month's last: deployed on 31 January, `Period(months=1)` runs on 28 February and then on
    31 March. Choose `Cron` for times of the day.

    Args:
        years: Years (>= 0).
        months: Months (>= 0).
        weeks: Weeks (>= 0).
        days: Days of 24 hours (>= 0).
        hours: Hours (>= 0).
        minutes: Minutes (>= 0).
        seconds: Seconds (>= 0); the only part that may be a float, counted in whole microseconds.

    Raises:
        InvalidError: If a part is negative or of another type, or if all parts together are nothing or more
            than 100 years.
    """

    years: int = 0
    months: int = 0
    weeks: int = 0
    days: int = 0
    hours: int = 0
    minutes: int = 0
    seconds: float = 0
    _months: int = field(init=False, eq=False)
    _span: timedelta = field(init=False, eq=False)

    def __attrs_post_init__(self) -> None:
        for name in ("years", "months", "weeks", "days", "hours", "minutes"):
            check_count(name, getattr(self, name), least=0)
        check_seconds("seconds", self.seconds, zero=True)
        months = 12 * self.years + self.months
        try:
            span = timedelta(
                weeks=self.weeks,
                days=self.days,
                hours=self.hours,
                minutes=self.minutes,
                seconds=self.seconds,
            )
        except OverflowError:
            span = timedelta.max
        if months > 12 * _MAX_PERIOD_YEARS or span.days > 366 * _MAX_PERIOD_YEARS:
            raise InvalidError(f"{self!r} is longer than {_MAX_PERIOD_YEARS} years; name a shorter period")
        if not months and not span:
            raise InvalidError(f"{self!r} is no time at all; give at least one part, such as days=1")
        object.__setattr__(self, "_months", months)
        object.__setattr__(self, "_span", span)

    def __repr__(self) -> str:
        names = ("years", "months", "weeks", "days", "hours", "minutes", "seconds")
        parts = ((name, getattr(self, name)) for name in names)
        return f"Period({', '.join(f'{name}={value!r}' for name, value in parts if value)})"

    def next_after(self, now: float, anchor: float) -> float:
        """Return the first run after `now` (exclusive), counted from `anchor`; all in unix seconds.

        If `now` lies before the anchor, that is the first run: one period after the anchor.
        """
        start = datetime.fromtimestamp(anchor, UTC)
        elapsed = (now - anchor) / (self._months * _MONTH_S + self._span.total_seconds())
        # The mean month and rounding put `elapsed` off by less than one period: this is never beyond the run
        # sought, and at most a step or two before it.
        count = max(1, math.floor(elapsed))
        while (instant := self._run(start, count)) <= now:
            count += 1
        return instant

    def _run(self, start: datetime, count: int) -> float:
        """Return the instant of run `count`, which grows strictly with it."""
        years, month = divmod(start.month - 1 + count * self._months, 12)
        year, month = start.year + years, month + 1
        day = min(start.day, calendar.monthrange(year, month)[1])
        return (start.replace(year=year, month=month, day=day) + count * self._span).timestamp()


@define(eq=False)
class Timetable:
    """When a schedule is due next; decides that instants missed while the host slept are one run, not a pile.

    Its owner sleeps until `due` by the wall clock and then asks `poll`. Waking early, late, or more than
    once is harmless. A clock that is set back repeats no run: `due` stays where it was.

    Args:
        schedule: When to run.
        anchor: Instant of the deployment, in unix seconds; a `Period` counts from it.
    """

    schedule: Cron | Period
    anchor: float
    due: float = field(init=False)
    """Instant of the next run, in unix seconds."""

    def __attrs_post_init__(self) -> None:
        self.due = self._next_after(self.anchor)

    def poll(self, now: float) -> bool:
        """Return whether to run once at `now`; if so, `due` moves to the first instant after `now`."""
        if now < self.due:
            return False
        self.due = self._next_after(now)
        return True

    def _next_after(self, now: float) -> float:
        if isinstance(self.schedule, Cron):
            return self.schedule.next_after(now)
        return self.schedule.next_after(now, self.anchor)

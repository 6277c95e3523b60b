# SPDX-License-Identifier: Apache-2.0
"""Seconds as people write and read them."""

from __future__ import annotations

import math
import re
from typing import Final

from actorpool.exception import InvalidError

__all__ = ["duration_text", "exact_text", "parse_seconds", "tick_step_s", "tick_text", "time_text"]

_MINUTE, _HOUR, _DAY = 60.0, 3_600.0, 86_400.0
_SECONDS: Final = {
    "us": 1e-6,
    "µs": 1e-6,
    "ms": 1e-3,
    "": 1.0,
    "s": 1.0,
    "m": _MINUTE,
    "min": _MINUTE,
    "h": _HOUR,
    "d": _DAY,
}
_DURATION: Final = re.compile(r"(\d+(?:\.\d*)?|\.\d+)\s*([a-zµ]*)", re.IGNORECASE)
# {up to here: how many seconds one unit has, its name}
_SCALES: Final = (
    (1e-3, 1e-6, "µs"),
    (0.1, 1e-3, "ms"),
    (120.0, 1.0, "s"),
    (7_200.0, _MINUTE, "min"),
    (math.inf, _HOUR, "h"),
)
# Likewise, for the marks of an axis.
_TICKS: Final = ((1.0, 1e-3, "ms"), (300.0, 1.0, "s"), (18_000.0, _MINUTE, "min"), (math.inf, _HOUR, "h"))
_STEPS: Final = (
    *(step * scale for scale in (1e-3, 1e-2, 0.1) for step in (1.0, 2.0, 5.0)),
    *(1.0, 2.0, 5.0, 10.0, 15.0, 30.0),
    *(60.0 * minutes for minutes in (1, 2, 5, 10, 15, 30)),
    *(3_600.0 * hours for hours in (1, 2, 3, 6, 12, 24, 48, 96, 168, 336, 720)),
)


def parse_seconds(word: str) -> float:
    """Read "30", "0.5s", "500ms", "5min" or "2h" as seconds.

    Raises:
        InvalidError: If that is no length of time.
    """
    match = _DURATION.fullmatch(word.strip())
    if match is None or match[2].lower() not in _SECONDS:
        raise InvalidError(f"'{word}' is no length of time; write seconds, or 500ms, 30s, 5min, 2h")
    return float(match[1]) * _SECONDS[match[2].lower()]


def duration_text(seconds: float) -> str:
    """Return a length of time with two or three figures and its unit."""
    if not seconds:
        return "0 s"
    unit, name = next((unit, name) for limit, unit, name in _SCALES if seconds < limit)
    value = seconds / unit
    if value >= 99.5:
        return f"{value:,.0f} {name}"
    return f"{value:#.2g} {name}" if value < 9.95 else f"{value:.1f} {name}"


def exact_text(seconds: float) -> str:
    """Return a length of time as it was chosen, in the largest unit of which it is a whole number."""
    for unit, name in ((_HOUR, "h"), (_MINUTE, "min"), (1.0, "s"), (1e-3, "ms")):
        count = round(seconds / unit)
        if count and math.isclose(count * unit, seconds):
            return f"{count} {name}"
    return f"{seconds:g} s"


def tick_step_s(span_s: float, most: int) -> float:
    """Return the length in seconds between the marks of a time axis, so that there are at most `most`."""
    return next((step for step in _STEPS if span_s / step <= most), _STEPS[-1])


def tick_text(seconds: float, most_s: float) -> str:
    """Return what stands at the mark of an axis of waits up to `most_s`: all in the same unit, with few figures."""
    unit, name = next((unit, name) for limit, unit, name in _TICKS if most_s < limit)
    return f"{round(seconds / unit, 6):g} {name}"


def time_text(seconds: float, step_s: float) -> str:
    """Return what stands at the mark of a time axis: "90 s", "1:30 h", "12 h"."""
    if step_s < 60 and seconds < 600:
        return f"{seconds:g} s"
    minutes, rest = divmod(round(seconds), 60)
    if rest:
        return f"{minutes}:{rest:02} min"
    hours, minutes = divmod(minutes, 60)
    if step_s < 3_600 and not hours:
        return f"{minutes} min"
    return f"{hours}:{minutes:02} h" if minutes else f"{hours} h"

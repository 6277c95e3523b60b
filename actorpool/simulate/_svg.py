# SPDX-License-Identifier: Apache-2.0
"""Pictures of simulations, as SVG text: the course over time, and cost against waiting.

Written by hand, so that a picture needs no library; what a figure means is decided elsewhere.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Iterable, Sequence
from html import escape
from typing import TYPE_CHECKING, Final

from actorpool.exception import InvalidError

from ._table import front, measure_named
from ._units import duration_text, tick_step_s, tick_text, time_text

if TYPE_CHECKING:
    from ._report import Report, Series

__all__ = ["draw_costs", "draw_course"]

_WIDTH: Final = 880
_LEFT: Final = 64
_RIGHT: Final = 24
_PANEL: Final = 176
_PANEL_GAP: Final = 62
_TOP: Final = 78
_POINTS: Final = 640

_INK, _FAINT, _GRID = "#1f2933", "#6b7785", "#e6eaef"
_DEMAND, _CONTAINERS, _IDLE, _BACKLOG = "#2f6fb3", "#c2700f", "#f7e3c6", "#c92f3b"
_FONT: Final = "font-family=\"system-ui, 'Segoe UI', Roboto, 'Helvetica Neue', Arial, sans-serif\""
# Average width of a character of that font, in font sizes.
_CHARACTER: Final = 0.54


def _text(
    x: float,
    y: float,
    words: str,
    *,
    size: float = 12,
    fill: str = _INK,
    anchor: str = "start",
    weight: str = "normal",
    halo: bool = False,
) -> str:
    place = f'x="{x:.1f}" y="{y:.1f}" font-size="{size:g}" text-anchor="{anchor}" font-weight="{weight}"'
    written = f'<text {place} fill="{fill}">{escape(words)}</text>'
    if not halo:
        return written
    # First the same in thick white, so that lines behind do not cross the letters.
    return (
        f'<text {place} stroke="white" stroke-width="4" aria-hidden="true">{escape(words)}</text>\n{written}'
    )


def _line(
    x1: float, y1: float, x2: float, y2: float, *, stroke: str, width: float = 1, dash: str = ""
) -> str:
    dashes = f' stroke-dasharray="{dash}"' if dash else ""
    ends = f'x1="{x1:.1f}" y1="{y1:.1f}" x2="{x2:.1f}" y2="{y2:.1f}"'
    return f'<line {ends} stroke="{stroke}" stroke-width="{width:g}"{dashes}/>'


def _polyline(points: Iterable[str], *, stroke: str, width: float, dash: str = "") -> str:
    dashes = f' stroke-dasharray="{dash}"' if dash else ""
    return (
        f'<polyline points="{" ".join(points)}" fill="none" stroke="{stroke}" stroke-width="{width:g}" '
        f'stroke-linejoin="round"{dashes}/>'
    )


def _document(height: float, parts: Iterable[str], title: str) -> str:
    size = f'viewBox="0 0 {_WIDTH} {height:.0f}" width="{_WIDTH}" height="{height:.0f}"'
    head = [
        f'<svg xmlns="http://www.w3.org/2000/svg" {size} role="img" {_FONT}>',
        f"<title>{escape(title)}</title>",
        f'<rect width="{_WIDTH}" height="{height:.0f}" fill="white"/>',
    ]
    return "\n".join([*head, *parts, "</svg>\n"])


def _nice_step(most: float, count: int) -> float:
    """Return 1, 2, 2.5 or 5 times a power of ten, so that `count` of them reach `most`."""
    raw = max(most, 1e-12) / count
    power = 10.0 ** math.floor(math.log10(raw))
    return next(factor * power for factor in (1.0, 2.0, 2.5, 5.0, 10.0) if factor * power >= raw * 0.999999)


# -- the course over time ----------------------------------------------------------------------------------------


def draw_course(
    reports: Sequence[Report], *, title: str = "", begin_s: float = 0.0, end_s: float | None = None
) -> str:
    """Return a picture of demand, containers and backlog over time, one panel below the other, on the same scale.

    Args:
        reports: One panel for each, at least one.
        title: The heading; default the name of the workload.
        begin_s: Where the picture begins, in seconds from the beginning of the trace.
        end_s: Where it ends; default the end of the longest simulation.

    Raises:
        InvalidError: If there is no report, or the picture would end before it begins.
    """
    if not reports:
        raise InvalidError("there is nothing to draw; give at least one report")
    title = title or reports[0].trace.name
    slots = max(report.concurrency.max_inputs for report in reports)
    end = end_s or max(report.duration_s for report in reports) or 1.0
    courses = [report.series(_POINTS, begin_s=begin_s, end_s=end) for report in reports]
    most = max(
        max((*course.demand, *(n * report.concurrency.max_inputs for n in course.containers)))
        for report, course in zip(reports, courses, strict=True)
    )
    step = _nice_step(max(most, 1.0), 4)
    most = step * max(1, math.ceil(most / step - 1e-9))
    height = _TOP + len(reports) * (_PANEL + _PANEL_GAP) - 12
    parts = [
        _text(_LEFT, 30, title, size=16, weight="600"),
        *_legend(_LEFT, 50, slots, courses[0].step_s),
    ]
    for place, (report, course) in enumerate(zip(reports, courses, strict=True)):
        top = _TOP + place * (_PANEL + _PANEL_GAP) + 22
        parts += _panel(report, course, top, most, step)
    return _document(height, parts, title)


def _legend(x: float, y: float, slots: int, step_s: float) -> list[str]:
    entries = [
        (_DEMAND, "inputs that run or wait", "line"),
        (_BACKLOG, "those that wait", "area"),
        (_CONTAINERS, "containers" if slots == 1 else "slots of containers", "line"),
        (_IDLE, "unused", "area"),
    ]
    parts: list[str] = []
    for colour, words, kind in entries:
        if kind == "line":
            parts.append(_line(x, y - 4, x + 18, y - 4, stroke=colour, width=2.2))
        else:
            parts.append(f'<rect x="{x:.1f}" y="{y - 9:.1f}" width="18" height="10" fill="{colour}"/>')
        parts.append(_text(x + 24, y, words, fill=_FAINT))
        x += 24 + len(words) * 12 * _CHARACTER + 18
    note = f"means over {duration_text(step_s)}"
    return [*parts, _text(_WIDTH - _RIGHT, y, note, fill=_FAINT, anchor="end", size=11)]


def _panel(report: Report, course: Series, top: float, most: float, step: float) -> list[str]:
    demand, backlog, count = course.demand, course.backlog, len(course.demand)
    width, bottom = _WIDTH - _LEFT - _RIGHT, top + _PANEL

    def x(place: float) -> float:
        return _LEFT + width * place / count

    def y(value: float) -> float:
        return bottom - _PANEL * min(value, most) / most

    capacity = tuple(number * report.concurrency.max_inputs for number in course.containers)
    figures = (
        f"{duration_text(report.container_seconds)} container time · {report.starts:,} starts · "
        f"wait {duration_text(report.wait_mean_s)} mean, {duration_text(report.wait_p99_s)} p99"
    )
    parts = [
        _text(_LEFT, top - 9, report.label, size=13, weight="600"),
        _text(_WIDTH - _RIGHT, top - 9, figures, fill=_FAINT, anchor="end"),
    ]
    for mark in range(round(most / step) + 1):
        value = mark * step
        parts.append(_line(_LEFT, y(value), _WIDTH - _RIGHT, y(value), stroke=_GRID))
        parts.append(_text(_LEFT - 8, y(value) + 4, f"{value:,g}", fill=_FAINT, anchor="end", size=11))
    every = tick_step_s(count * course.step_s, 9)
    end = course.begin_s + count * course.step_s
    for mark in range(math.ceil(course.begin_s / every - 1e-9), int(end / every + 1e-9) + 1):
        at = x((mark * every - course.begin_s) / course.step_s)
        parts.append(_line(at, bottom, at, bottom + 4, stroke=_FAINT))
        words = time_text(mark * every, every)
        parts.append(_text(at, bottom + 17, words, fill=_FAINT, anchor="middle", size=11))
    # What is unused stands above the work that runs, which is all demand that does not wait.
    running = tuple(max(0.0, d - b) for d, b in zip(demand, backlog, strict=True))
    parts.append(_area(x, y, capacity, running, _IDLE))
    parts.append(_area(x, y, demand, running, _BACKLOG, opacity=0.8))
    parts.append(_steps(x, y, capacity, _CONTAINERS, 1.3))
    parts.append(_steps(x, y, demand, _DEMAND, 1.0))
    parts.append(_line(_LEFT, bottom, _WIDTH - _RIGHT, bottom, stroke=_FAINT))
    return parts


def _points(x: Callable[[float], float], y: Callable[[float], float], values: Sequence[float]) -> list[str]:
    """Return the corners of a course of steps; a run of equal values has two."""
    corners: list[str] = []
    for place, value in enumerate(values):
        if place and value == values[place - 1]:
            corners[-1] = f"{x(place + 1):.1f},{y(value):.1f}"
            continue
        corners += [
            f"{x(place):.1f},{y(value):.1f}",
            f"{x(place + 1):.1f},{y(value):.1f}",
        ]
    return corners


def _steps(
    x: Callable[[float], float],
    y: Callable[[float], float],
    values: Sequence[float],
    colour: str,
    width: float,
) -> str:
    return _polyline(_points(x, y, values), stroke=colour, width=width)


def _area(
    x: Callable[[float], float],
    y: Callable[[float], float],
    upper: Sequence[float],
    lower: Sequence[float],
    colour: str,
    *,
    opacity: float = 1.0,
) -> str:
    """Fill what is between two courses where the upper one is above the lower."""
    above = [max(a, b) for a, b in zip(upper, lower, strict=True)]
    points = " ".join([*_points(x, y, above), *reversed(_points(x, y, lower))])
    return f'<polygon points="{points}" fill="{colour}" fill-opacity="{opacity:g}"/>'


# -- cost against waiting ----------------------------------------------------------------------------------------


def draw_costs(reports: Sequence[Report], *, against: str = "p99", title: str = "") -> str:
    """Return a picture of what each simulation cost against how long its inputs waited, or another figure.

    Left and below is better. A line joins those that no other one beats.

    Args:
        reports: A point for each, at least one.
        against: The other figure: "mean", "p50", "p95", "p99" or "max" for the wait, "cold" or "starts".
        title: The heading; default the name of the workload.

    Raises:
        InvalidError: If there is no report, or no such figure.
    """
    if not reports:
        raise InvalidError("there is nothing to draw; give at least one report")
    measure = measure_named(against)
    title = title or reports[0].trace.name
    height, top, bottom = 470.0, 78.0, 400.0
    right = _WIDTH - _RIGHT - 16
    unit_s, unit = _unit(reports)
    dearest = max(report.container_seconds for report in reports) / unit_s
    x_step = _nice_step(dearest, 8)
    x_most = x_step * max(1, math.ceil(dearest / x_step + 0.05))
    worst = max(measure.of(report) for report in reports)
    y_step = tick_step_s(worst or 1.0, 6) if measure.timed else _nice_step(worst or 1.0, 5)
    y_most = y_step * max(1, math.ceil(worst / y_step + 0.05))

    def x(report: Report) -> float:
        return _LEFT + (right - _LEFT) * report.container_seconds / unit_s / x_most

    def y(value: float) -> float:
        return bottom - (bottom - top) * value / y_most

    parts = [
        _text(_LEFT, 30, title, size=16, weight="600"),
        _text(_LEFT, 52, f"{measure.title}; left and below is better", fill=_FAINT),
    ]
    for mark in range(round(y_most / y_step) + 1):
        at = y(mark * y_step)
        parts.append(_line(_LEFT, at, right, at, stroke=_GRID))
        value = mark * y_step
        words = tick_text(value, y_most) if measure.timed else f"{value:,g}"
        parts.append(_text(_LEFT - 8, at + 4, words, fill=_FAINT, anchor="end", size=11))
    for mark in range(round(x_most / x_step) + 1):
        at = _LEFT + (right - _LEFT) * mark * x_step / x_most
        parts.append(_line(at, bottom, at, bottom + 4, stroke=_FAINT))
        parts.append(_text(at, bottom + 18, f"{mark * x_step:,g}", fill=_FAINT, anchor="middle", size=11))
    parts.append(_line(_LEFT, bottom, right, bottom, stroke=_FAINT))
    parts.append(
        _text((_LEFT + right) / 2, bottom + 42, f"container time in {unit}", fill=_FAINT, anchor="middle")
    )
    best = sorted(front(reports, against=against), key=lambda report: report.container_seconds)
    corners = [f"{x(report):.1f},{y(measure.of(report)):.1f}" for report in best]
    parts.append(_polyline(corners, stroke=_DEMAND, width=1.4, dash="5 4"))
    points = [(x(report), y(measure.of(report))) for report in reports]
    taken = [(cx - 7, cy - 7, cx + 7, cy + 7) for cx, cy in points]
    labels: list[str] = []
    for report, (cx, cy) in zip(reports, points, strict=True):
        on_front = report in best
        colour = _DEMAND if on_front else _FAINT
        fill = colour if on_front else "white"
        circle = f'<circle cx="{cx:.1f}" cy="{cy:.1f}" r="5"'
        parts.append(f'{circle} fill="{fill}" stroke="{colour}" stroke-width="1.6"/>')
        labels.append(
            _label(report.label, cx, cy, taken, right, (top, bottom), colour=_INK if on_front else _FAINT)
        )
    return _document(height, [*parts, *labels], title)


def _unit(reports: Sequence[Report]) -> tuple[float, str]:
    most = max(report.container_seconds for report in reports)
    return (1.0, "seconds") if most < 600 else (60.0, "minutes") if most < 36_000 else (3_600.0, "hours")


_Place = tuple[float, float, float, float]


def _label(
    words: str,
    cx: float,
    cy: float,
    taken: list[_Place],
    right: float,
    between: tuple[float, float],
    *,
    colour: str,
) -> str:
    """Write beside a point where nothing stands yet; the place is taken then."""
    length, tall = len(words) * 12 * _CHARACTER, 13.0
    top, bottom = between
    choices = [(cx + 8, cy - 8, "start"), (cx + 10, cy + 4, "start"), (cx - 10, cy + 4, "end")]
    for lift in range(16, 100, 14):
        for away, anchor in ((0, "middle"), (8, "start"), (-8, "end")):
            choices += [(cx + away, cy - lift + 4, anchor), (cx + away, cy + lift + 4, anchor)]
    chosen = choices[0]
    for px, py, anchor in choices:
        left = px - {"start": 0.0, "middle": length / 2, "end": length}[anchor]
        place = (left, py - tall + 2, left + length, py + 3)
        inside = (
            left >= _LEFT + 2 and left + length <= right + 16 and top - 14 <= py - tall and py <= bottom - 6
        )
        if inside and not any(_overlap(place, other) for other in taken):
            chosen = (px, py, anchor)
            taken.append(place)
            break
    return _text(chosen[0], chosen[1], words, fill=colour, anchor=chosen[2], halo=True)


def _overlap(one: _Place, other: _Place) -> bool:
    return one[0] < other[2] and other[0] < one[2] and one[1] < other[3] and other[1] < one[3]

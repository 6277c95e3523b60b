# SPDX-License-Identifier: Apache-2.0
"""The Pareto picture: geometric means of cost against waiting, both on logarithmic scales."""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from typing import Final

from actorpool.simulate._svg import _document, _label, _line, _polyline, _text

from ._compare import Comparison

__all__ = ["draw_front"]

_LEFT, _RIGHT, _TOP, _BOTTOM = 80.0, 840.0, 78.0, 420.0
# So far down the waits are drawn at least, that there is room for a list of names.
_LOWEST: Final = 0.4
# Dots no farther apart than this are one.
_SAME: Final = 4.0
_OURS, _FAINT, _GRID = "#2f6fb3", "#6b7785", "#e6eaef"
_MARKS: Final = (0.1, 0.2, 0.5, 1.0, 2.0, 5.0, 10.0, 20.0, 50.0, 100.0, 200.0)


def draw_front(comparisons: Sequence[Comparison], ours: Sequence[str], measure: str = "mean wait") -> str:
    """Return the picture; a line joins those that no other one beats."""
    points = [(one.name, one.overall("cost").mean, one.overall(measure).mean) for one in comparisons]
    points.append(("plain reading", 1.0, 1.0))
    scale_x, marks_x = _scale([cost for _, cost, _ in points], _LEFT, _RIGHT - 120)
    scale_y, marks_y = _scale([_LOWEST, *(wait for _, _, wait in points)], _BOTTOM, _TOP)
    title = f"Cost against {measure}, geometric means against the plain reading"
    parts = [_text(_LEFT, 30, title, size=16, weight="600")]
    parts.append(_text(_LEFT, 52, "logarithmic; left and below is better", fill=_FAINT))
    for mark in marks_y:
        y = scale_y(mark)
        parts += [
            _line(_LEFT, y, _RIGHT, y, stroke=_GRID),
            _text(_LEFT - 8, y + 4, f"{mark:g}", anchor="end", size=11),
        ]
    for mark in marks_x:
        x = scale_x(mark)
        parts += [
            _line(x, _BOTTOM, x, _BOTTOM + 4, stroke=_FAINT),
            _text(x, _BOTTOM + 18, f"{mark:g}", anchor="middle", size=11),
        ]
    parts.append(_line(_LEFT, _BOTTOM, _RIGHT, _BOTTOM, stroke=_FAINT))
    parts.append(_text((_LEFT + _RIGHT) / 2, _BOTTOM + 42, "container-seconds", fill=_FAINT, anchor="middle"))
    best = sorted((x, y) for _, x, y in points if not any(_beats((a, b), (x, y)) for _, a, b in points))
    corners = [f"{scale_x(x):.1f},{scale_y(y):.1f}" for x, y in best]
    parts.append(_polyline(corners, stroke=_OURS, width=1.4, dash="5 4"))
    dots = _together([(name, scale_x(cost), scale_y(wait)) for name, cost, wait in points])
    taken = [(x - 7, y - 7, x + 7, y + 7) for _, x, y in dots]
    labels: list[str] = []
    # First those with several names, a list beside the dot.
    for names, x, y in sorted(dots, key=lambda dot: -len(dot[0])):
        colour = _OURS if set(names) & set(ours) else _FAINT
        parts.append(f'<circle cx="{x:.1f}" cy="{y:.1f}" r="5" fill="{colour}"/>')
        if len(names) == 1:
            labels.append(_label(names[0], x, y, taken, _RIGHT, (_TOP, _BOTTOM), colour=colour))
            continue
        taken.append((x, y - 9, _RIGHT, y + 14 * len(names)))
        labels += [_text(x + 10, y + 4 + 14 * line, name, fill=colour) for line, name in enumerate(names)]
    return _document(_BOTTOM + 60, [*parts, *labels], title)


def _together(points: Sequence[tuple[str, float, float]]) -> list[tuple[list[str], float, float]]:
    """Return the dots to draw, each with the names of all that are as good as at the same place."""
    dots: list[tuple[list[str], float, float]] = []
    for name, x, y in points:
        for names, near_x, near_y in dots:
            if math.hypot(x - near_x, y - near_y) < _SAME:
                names.append(name)
                break
        else:
            dots.append(([name], x, y))
    return dots


def _beats(one: tuple[float, float], other: tuple[float, float]) -> bool:
    return one != other and one[0] <= other[0] and one[1] <= other[1]


def _scale(values: Sequence[float], begin: float, end: float) -> tuple[Callable[[float], float], list[float]]:
    """Return where a value stands between `begin` and `end`, and the marks of the axis."""
    low, high = math.log(min(values) * 0.85), math.log(max(values) * 1.15)

    def place(value: float) -> float:
        return begin + (end - begin) * (math.log(value) - low) / (high - low)

    return place, [mark for mark in _MARKS if low <= math.log(mark) <= high]

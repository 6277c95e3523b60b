# SPDX-License-Identifier: Apache-2.0
"""Pictures of the figures, as SVG that needs nothing: bars, latency curves, lines over a number.

One look for all: ours in one strong colour, peers in greys, the floor in a pale line to be reached. A whisker spans
the quartiles. Colours are fit for light and dark backgrounds, and text is in the reader's own font.
"""

from __future__ import annotations

import math
import statistics
from collections.abc import Callable, Iterable, Sequence
from pathlib import Path
from xml.sax.saxutils import escape

from ._goals import figure
from ._harness import Row
from ._registry import Workload

__all__ = ["draw"]

WIDTH = 760
LEFT, RIGHT, TOP, BOTTOM = 70, 24, 58, 46
OURS, FLOOR, TEXT, FAINT = "#2f6fde", "#3aa675", "#57606a", "#9aa4af40"
PEERS = ("#8b949e", "#b58a52", "#a06bb0", "#5f9ea0", "#c46d6d", "#7d8f4e", "#6b7fb3")
FONT = "font-family='system-ui,-apple-system,Segoe UI,sans-serif'"


def draw(workloads: Iterable[Workload], rows: Sequence[Row], folder: Path) -> dict[str, list[str]]:
    """Write the pictures into `folder`; return {workload or series: names of its files}."""
    folder.mkdir(parents=True, exist_ok=True)
    made: dict[str, list[str]] = {}
    series: dict[str, list[tuple[int, Workload]]] = {}

    def write(key: str, name: str, picture: str | None) -> None:
        if picture is not None:
            (folder / f"{name}.svg").write_text(picture, "utf-8")
            made.setdefault(key, []).append(f"{name}.svg")

    for workload in workloads:
        if workload.series is not None:
            series.setdefault(workload.series[0], []).append((workload.series[1], workload))
            continue
        write(workload.name, workload.name, bars(workload, rows))
        if any(metric.name.startswith("p9") for metric in workload.measure.metrics):
            write(workload.name, f"{workload.name}-latency", latencies(workload, rows))
    for called, points in series.items():
        name = "-".join("".join(c if c.isalnum() else " " for c in called).split())
        write(called, name, throughput(called, points, rows))
    return made


def bars(workload: Workload, rows: Sequence[Row]) -> str | None:
    """Return the medians of a workload's first metric, a bar for each contender."""
    metric = workload.measure.metrics[0]
    shown = [r for r in rows if r.workload == workload.name and r.metric == metric.name and r.complete]
    if not shown:
        return None
    step, left = 34, 230
    most = max(_quartiles(row)[1] for row in shown) or 1.0
    # What is a hundred times the least would leave nothing of it to be seen.
    least = min((row.median for row in shown if row.median > 0), default=most)
    scale = _log(least / 2, most) if most > 60 * least else _linear(0.0, most)
    logarithmic = most > 60 * least
    room = WIDTH - left - 110
    better = "more is better" if metric.higher_is_better else "less is better"
    unit = f"{metric.name}, {metric.unit}".rstrip(", ")
    parts = []
    for at, row in enumerate(shown):
        y = TOP + at * step
        length = room * scale(row.median) if row.median > 0 else 0.0
        low, high = (left + room * max(0.0, scale(value)) for value in _quartiles(row))
        noisy = " ~" if row.noisy else ""
        parts += [
            _text(left - 10, y + 16, row.contender, anchor="end", bold=row.role == "ours"),
            f"<rect x='{left}' y='{y + 3}' width='{max(1.0, length):.1f}' height='18' fill='{_colour(row, at)}'/>",
            f"<path d='M{low:.1f} {y + 12}H{high:.1f}M{low:.1f} {y + 8}v8M{high:.1f} {y + 8}v8' stroke='{TEXT}'/>",
            _text(left + max(length, high - left) + 8, y + 16, f"{figure(row.median)}{noisy}"),
        ]
    note = f"{unit}; {better}{'; logarithmic' if logarithmic else ''}; whiskers: quartiles"
    return _svg(workload.title, note, TOP + len(shown) * step + 16, parts)


def latencies(workload: Workload, rows: Sequence[Row]) -> str | None:
    """Return the percentiles of each contender as a curve towards the slowest calls."""
    names = [metric.name for metric in workload.measure.metrics if metric.name.startswith("p")]
    curves = []
    for contender in dict.fromkeys(row.contender for row in rows if row.workload == workload.name):
        of_it = {r.metric: r for r in rows if r.workload == workload.name and r.contender == contender}
        if all(of_it[name].complete for name in names):
            curves.append((of_it[names[0]], [of_it[name].median for name in names]))
    if not curves:
        return None
    unit = workload.measure.metrics[0].unit
    xs = [-math.log10(1 - float(name[1:]) / 100) for name in names]
    labels = [(x, name) for x, name in zip(xs, names, strict=True)]
    lines = [(row, list(zip(xs, values, strict=True))) for row, values in curves]
    return _lines(f"{workload.title}: latency", f"{unit}, logarithmic; percentiles", lines, labels)


def throughput(called: str, points: list[tuple[int, Workload]], rows: Sequence[Row]) -> str | None:
    """Return inputs per second against the number that the workloads of a series differ in."""
    lines: dict[str, tuple[Row, list[tuple[float, float]]]] = {}
    for x, workload in sorted(points, key=lambda point: point[0]):
        metric = workload.measure.metrics[0]
        for row in rows:
            if row.workload == workload.name and row.metric == metric.name and row.complete:
                line = lines.setdefault(row.contender, (row, []))
                line[1].append((math.log10(x), 1e6 / row.median))
    if not lines:
        return None
    labels = [(math.log10(x), f"{x:,}") for x, _ in sorted(points, key=lambda point: point[0])]
    return _lines(
        f"Throughput against the {called}", "inputs per second, logarithmic", [*lines.values()], labels
    )


def _lines(
    title: str,
    note: str,
    lines: list[tuple[Row, list[tuple[float, float]]]],
    labels: list[tuple[float, str]],
) -> str:
    height = 380
    values = [y for _, points in lines for _, y in points]
    low, high = min(values) / 1.3, max(values) * 1.3
    scale = _log(low, high)
    first, last = labels[0][0], labels[-1][0]
    span, right = (last - first) or 1.0, 190

    def place(x: float, y: float) -> tuple[float, float]:
        across = LEFT + (WIDTH - LEFT - right) * (x - first) / span
        return across, TOP + (height - TOP - BOTTOM) * (1 - scale(y))

    parts = []
    for value in _ticks(low, high):
        y = place(first, value)[1]
        parts.append(f"<path d='M{LEFT} {y:.1f}H{WIDTH - right}' stroke='{FAINT}'/>")
        parts.append(_text(LEFT - 8, y + 4, figure(value), anchor="end"))
    for x, label in labels:
        parts.append(_text(place(x, low)[0], height - BOTTOM + 20, label, anchor="middle"))
    names = []
    for at, (row, points) in enumerate(lines):
        colour = _colour(row, at)
        placed = [place(x, y) for x, y in points]
        path = "L".join(f"{x:.1f} {y:.1f}" for x, y in placed)
        wide = 3 if row.role == "ours" else 2
        dashes = " stroke-dasharray='5 4'" if row.role == "floor" else ""
        parts.append(f"<path d='M{path}' fill='none' stroke='{colour}' stroke-width='{wide}'{dashes}/>")
        parts += [f"<circle cx='{x:.1f}' cy='{y:.1f}' r='{wide}' fill='{colour}'/>" for x, y in placed]
        names.append((placed[-1][1], row, colour))
    # Names stand at the ends of their lines, apart from each other.
    free = float(TOP)
    for y, row, colour in sorted(names, key=lambda name: name[0]):
        free = max(free + 16, y)
        parts.append(
            _text(WIDTH - right + 10, free + 4, row.contender, colour=colour, bold=row.role == "ours")
        )
    return _svg(title, note, height, parts)


def _svg(title: str, note: str, height: float, parts: list[str]) -> str:
    body = "\n".join(parts)
    return (
        f"<svg xmlns='http://www.w3.org/2000/svg' viewBox='0 0 {WIDTH} {height:.0f}' width='{WIDTH}' {FONT} "
        f"font-size='12'>\n<title>{escape(title)}</title>\n"
        f"{_text(16, 24, title, size=15, bold=True)}\n{_text(16, 43, note)}\n{body}\n</svg>\n"
    )


def _text(
    x: float,
    y: float,
    text: str,
    *,
    anchor: str = "start",
    colour: str = TEXT,
    size: int = 12,
    bold: bool = False,
) -> str:
    weight = " font-weight='600'" if bold else ""
    return (
        f"<text x='{x:.1f}' y='{y:.1f}' text-anchor='{anchor}' fill='{colour}' font-size='{size}'{weight}>"
        f"{escape(text)}</text>"
    )


def _colour(row: Row, at: int) -> str:
    return OURS if row.role == "ours" else FLOOR if row.role == "floor" else PEERS[at % len(PEERS)]


def _quartiles(row: Row) -> tuple[float, float]:
    if len(row.samples) < 2:
        return row.median, row.median
    low, _, high = statistics.quantiles(row.samples, n=4, method="inclusive")
    return low, high


def _linear(low: float, high: float) -> Callable[[float], float]:
    return lambda value: (value - low) / ((high - low) or 1.0)


def _log(low: float, high: float) -> Callable[[float], float]:
    bottom, top = math.log10(low), math.log10(high)
    return lambda value: (math.log10(max(value, low)) - bottom) / ((top - bottom) or 1.0)


def _ticks(low: float, high: float) -> list[float]:
    """Return 1, 2 and 5 times the powers of ten between the two; only the powers where these are many."""
    powers = range(math.floor(math.log10(low)), math.ceil(math.log10(high)) + 1)
    fine = [factor * 10.0**power for power in powers for factor in (1, 2, 5)]
    within = [value for value in fine if low <= value <= high]
    return within if len(within) <= 9 else [value for value in within if math.log10(value).is_integer()]

# SPDX-License-Identifier: Apache-2.0
"""Figures as text: a table per workload, one in Markdown for all, what changed since an earlier run.

A ratio is the median of the ratios within each round, so that a machine which is slow for a while does not
count for one contender alone. It may differ a little from the ratio of the medians beside it.
"""

from __future__ import annotations

import statistics
from collections.abc import Iterable
from typing import Any

from ._harness import Row
from ._registry import Goal, Workload

__all__ = ["compare", "markdown", "table", "title"]

# Above this the middle half of the samples lies too far apart for the median to be trusted to the per cent.
NOISY = 0.15


def title(about: dict[str, Any]) -> str:
    """Return what the figures depend on, in words."""
    versions = ", ".join(f"{name} {version}" for name, version in about["versions"].items())
    mode = ", --quick" if about["quick"] else ""
    return (
        f"{about['python']} on {about['loop']}, {about['cpus']} CPUs ({about['machine']}), load {about['load']}\n"
        f"{versions}\n"
        f"{about['rounds']} interleaved rounds{mode}; medians, spread between the quartiles ('~': over {NOISY:.0%})"
    )


def table(workload: Workload, n: int, rows: list[Row]) -> str:
    """Return the table of one workload, and how our row stands to its goals."""
    lines = [f"{workload.name}: {workload.title} ({n:,} {workload.counted} a sample)"]
    for index, metric in enumerate(workload.measure.metrics):
        if not metric.shown:
            continue
        of_metric = [row for row in rows if row.metric == metric.name]
        width = max(len(row.contender) for row in of_metric)
        floor, peer = _floor(of_metric), _best_peer(of_metric, higher=metric.higher_is_better)
        heading = f"  {metric.name}, {metric.unit}".rstrip(", ")
        lines.append(_line(heading, width, "median", "spread", "× floor", "× best peer"))
        for row in of_metric:
            label = f"    {row.role:<6} {row.contender}"
            if row.complete:
                figures = _figure(row.median), _spread(row), _times(row, floor), _times(row, peer)
                lines.append(_line(label, width, *figures))
            else:
                lines.append(f"{_line(label, width)} {_absence(row)}")
        for goal in workload.goals:
            if goal.metric == index:
                lines.extend(_judged(goal, of_metric, metric.unit, higher=metric.higher_is_better))
    return "\n".join(line.rstrip() for line in lines)


def markdown(about: dict[str, Any], workloads: Iterable[Workload], rows: list[Row]) -> str:
    """Return one table of all workloads, with what it depends on below."""
    lines = [
        "| workload | contender | median | spread | × floor | × best peer |",
        "| --- | --- | ---: | ---: | ---: | ---: |",
    ]
    for workload in workloads:
        for metric in workload.measure.metrics:
            of_metric = [row for row in rows if row.workload == workload.name and row.metric == metric.name]
            if not metric.shown:
                continue
            floor, peer = _floor(of_metric), _best_peer(of_metric, higher=metric.higher_is_better)
            name = f"{workload.title}: {metric.name}"
            for row in of_metric:
                called = f"**{row.contender}**" if row.role == "ours" else row.contender
                if row.role == "floor":
                    called = f"*floor: {row.contender}*"
                if row.complete:
                    figure = f"{_figure(row.median)} {row.unit}".rstrip()
                    cells = [name, called, figure, _spread(row), _times(row, floor), _times(row, peer)]
                else:
                    cells = [name, called, _absence(row), "", "", ""]
                lines.append(f"| {' | '.join(cells)} |")
                name = ""
    versions = ", ".join(f"{called} {version}" for called, version in about["versions"].items())
    lines.append("")
    lines.append(
        f"{about['python']} on {about['loop']}, {about['cpus']} CPUs, load {about['load']} before and "
        f"{about['load after']} after; {versions}; {about['rounds']} interleaved rounds, medians, spread between the "
        f"quartiles (~: over {NOISY:.0%})."
    )
    return "\n".join(lines)


def compare(earlier: dict[str, Any], rows: list[Row]) -> str:
    """Return what changed since an earlier run; a change within the spread of either is not one."""
    before = {
        (row["workload"], row["contender"], row["metric"]): Row.from_document(row) for row in earlier["rows"]
    }
    about = earlier["about"]
    lines = [f"against {about['python']} on {about['loop']}, {about['when']}"]
    for row in rows:
        old = before.get((row.workload, row.contender, row.metric))
        if old is None or not old.complete or not row.complete:
            continue
        ratio = row.median / old.median if old.median else float("nan")
        noise = max(row.spread, old.spread, 0.02)
        verdict = "" if not abs(ratio - 1) > noise else "less" if ratio < 1 else "more"
        lines.append(
            f"  {row.workload + ' · ' + row.contender:<52} {row.metric:<18} {_figure(old.median):>9} → "
            f"{_figure(row.median):>9} {row.unit:<3} {ratio:6.2f} × {verdict}"
        )
    return "\n".join(line.rstrip() for line in lines)


def _line(label: str, width: int, *figures: str) -> str:
    widths = (10, 8, 8, 12)
    columns = "".join(f" {figure:>{wide}}" for figure, wide in zip(figures, widths, strict=False))
    return f"{label:<{width + 11}}{columns}"


def _floor(rows: list[Row]) -> Row | None:
    return next((row for row in rows if row.role == "floor" and row.complete), None)


def _best_peer(rows: list[Row], *, higher: bool) -> Row | None:
    peers = [row for row in rows if row.role == "peer" and row.complete]
    if not peers:
        return None
    return max(peers, key=lambda row: row.median) if higher else min(peers, key=lambda row: row.median)


def _ratio(row: Row, to: Row) -> float | None:
    """Return the median of the ratios within each round."""
    pairs = [one / other for one, other in zip(row.samples, to.samples, strict=False) if other]
    return statistics.median(pairs) if pairs else None


def _times(row: Row, to: Row | None) -> str:
    ratio = None if to is None else _ratio(row, to)
    return "" if ratio is None else f"{ratio:.2f}"


def _judged(goal: Goal, rows: list[Row], unit: str, *, higher: bool) -> list[str]:
    ours = next((row for row in rows if row.role == "ours" and row.complete), None)
    if ours is None:
        return []
    value: float | None
    if goal.of is None:
        value, said = ours.median, f"{_figure(goal.bound)} {unit}"
    else:
        other = (
            _floor(rows)
            if goal.of == "floor"
            else _best_peer(rows, higher=higher)
            if goal.of == "best peer"
            else next((row for row in rows if row.contender == goal.of and row.complete), None)
        )
        if other is None:
            return [f"    {goal.label:<8} {goal.bound:g} × {goal.of}: not measured here"]
        value, said = _ratio(ours, other), f"{goal.bound:g} × {other.contender}"
        if value is None:
            return [f"    {goal.label:<8} {said}: the other is 0"]
    kept = value >= goal.bound if higher else value <= goal.bound
    sign = ">=" if higher else "<="
    return [f"    {goal.label:<8} {sign} {said}: {'kept' if kept else 'MISSED'} ({_figure(value)})"]


def _absence(row: Row) -> str:
    return f"skipped: {row.skipped}" if row.failed is None else f"FAILED: {row.failed}"


def _spread(row: Row) -> str:
    return f"{'~' if row.spread > NOISY else ''}{row.spread:.0%}"


def _figure(value: float) -> str:
    if abs(value) >= 100:
        return f"{value:,.0f}"
    return f"{value:.1f}" if abs(value) >= 10 else f"{value:.2f}"

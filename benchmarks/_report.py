# SPDX-License-Identifier: Apache-2.0
"""Figures as text: a table per workload, one in Markdown for all, what changed since an earlier run.

A ratio is the median of the ratios within each round, so that a machine which is slow for a while does not
count for one contender alone. It may differ a little from the ratio of the medians beside it.
"""

from __future__ import annotations

from collections.abc import Iterable
from textwrap import wrap
from typing import Any

from ._goals import best_peer, figure, floor_of, missed, ratio, verdicts
from ._harness import NOISY, Row
from ._registry import Workload

__all__ = ["HEAD", "compare", "markdown", "rows_of", "summary", "table", "title"]


def title(about: dict[str, Any]) -> str:
    """Return what the figures depend on, in words."""
    versions = ", ".join(f"{name} {version}" for name, version in about["versions"].items())
    mode = ", --quick" if about["quick"] else ""
    return (
        f"{about['python']} on {about['loop']}, {about['cpus']} CPUs ({about['machine']}), load {about['load']}\n"
        f"{versions}\n"
        f"{about['rounds']} interleaved rounds{mode}; medians, spread between the quartiles ('~': over {NOISY:.0%})"
    )


def table(workload: Workload, n: int, rows: list[Row], on: str = "") -> str:
    """Return the table of one workload, and how our row stands to its goals."""
    lines = [f"{workload.name}{on}: {workload.title} ({n:,} {workload.counted} a sample)"]
    for index, metric in enumerate(workload.measure.metrics):
        if not metric.shown:
            continue
        of_metric = [row for row in rows if row.metric == metric.name]
        width = max(len(row.contender) for row in of_metric)
        floor, peer = floor_of(of_metric), best_peer(of_metric, higher=metric.higher_is_better)
        heading = f"  {metric.name}, {metric.unit}".rstrip(", ")
        lines.append(_line(heading, width, "median", "spread", "× floor", "× best peer"))
        for row in of_metric:
            label = f"    {row.role:<6} {row.contender}"
            if row.complete:
                figures = figure(row.median), _spread(row), _times(row, floor), _times(row, peer)
                lines.append(_line(label, width, *figures))
            else:
                lines.append(f"{_line(label, width)} {_absence(row)}")
        lines.extend(
            f"    {verdict.goal.label:<8} {verdict.asked}: {verdict.said}"
            for verdict in verdicts(workload, rows)
            if verdict.goal.metric == index
        )
    return "\n".join(line.rstrip() for line in lines)


HEAD = (
    "| workload | contender | median | spread | × floor | × best peer |\n"
    "| --- | --- | ---: | ---: | ---: | ---: |"
)


def markdown(about: dict[str, Any], workloads: Iterable[Workload], rows: list[Row]) -> str:
    """Return one table of all workloads, with what it depends on below."""
    lines = [HEAD]
    for workload in workloads:
        lines.extend(rows_of(workload, rows))
    versions = ", ".join(f"{called} {version}" for called, version in about["versions"].items())
    lines.append("")
    lines.append(
        f"{about['python']} on {about['loop']}, {about['cpus']} CPUs, load {about['load']} before and "
        f"{about['load after']} after; {versions}; {about['rounds']} interleaved rounds, medians, spread between the "
        f"quartiles (~: over {NOISY:.0%})."
    )
    return "\n".join(lines)


def rows_of(workload: Workload, rows: list[Row]) -> list[str]:
    """Return the rows of one workload in Markdown, under `HEAD`."""
    lines = []
    for metric in workload.measure.metrics:
        if not metric.shown:
            continue
        of_metric = [row for row in rows if row.workload == workload.name and row.metric == metric.name]
        floor, peer = floor_of(of_metric), best_peer(of_metric, higher=metric.higher_is_better)
        name = f"{workload.title}: {metric.name}"
        for row in of_metric:
            called = f"**{row.contender}**" if row.role == "ours" else row.contender
            if row.role == "floor":
                called = f"*floor: {row.contender}*"
            if row.complete:
                median = f"{figure(row.median)} {row.unit}".rstrip()
                cells = [name, called, median, _spread(row), _times(row, floor), _times(row, peer)]
            else:
                cells = [name, called, _absence(row), "", "", ""]
            lines.append(f"| {' | '.join(cells)} |")
            name = ""
    return lines


def summary(heading: str, workloads: Iterable[Workload], rows: list[Row]) -> str:
    """Return the goals of all workloads: what must be, and beside it the ambition."""
    measured = {row.workload for row in rows}
    lines = [heading]
    counts = {True: 0, False: 0, None: 0}
    for workload in [workload for workload in workloads if workload.name in measured]:
        for at, metric in enumerate(workload.measure.metrics):
            of_metric = [verdict for verdict in verdicts(workload, rows) if verdict.goal.metric == at]
            cells = [f"{verdict.goal.label} {verdict.asked}: {verdict.said}" for verdict in of_metric]
            for verdict in of_metric:
                if verdict.goal.label == "must":
                    counts[verdict.met] += 1
            if cells:
                lines.append(f"  {workload.name + ', ' + metric.name:<40} {'; '.join(cells)}")
        if workload.remark and missed(workload, rows):
            lines.extend(f"      {line}" for line in wrap(workload.remark, 112))
    lines.append(f"  must: {counts[True]} met, {counts[False]} missed, {counts[None]} not measured")
    return "\n".join(lines)


def compare(earlier: dict[str, Any], rows: list[Row]) -> str:
    """Return what changed since an earlier run; a change within the spread of either is not one."""
    before = {
        (row["workload"], row["contender"], row["metric"], row.get("loop", "asyncio")): Row.from_document(row)
        for row in earlier["rows"]
    }
    about = earlier["about"]
    lines = [f"against {about['python']} on {about['loop']}, {about['when']}"]
    for row in rows:
        old = before.get((row.workload, row.contender, row.metric, row.loop))
        if old is None or not old.complete or not row.complete:
            continue
        ratio = row.median / old.median if old.median else float("nan")
        noise = max(row.spread, old.spread, 0.02)
        verdict = "" if not abs(ratio - 1) > noise else "less" if ratio < 1 else "more"
        lines.append(
            f"  {row.workload + ' · ' + row.contender:<52} {row.metric:<18} {figure(old.median):>9} → "
            f"{figure(row.median):>9} {row.unit:<3} {ratio:6.2f} × {verdict}"
        )
    return "\n".join(line.rstrip() for line in lines)


def _line(label: str, width: int, *figures: str) -> str:
    widths = (10, 8, 8, 12)
    columns = "".join(f" {figure:>{wide}}" for figure, wide in zip(figures, widths, strict=False))
    return f"{label:<{width + 11}}{columns}"


def _times(row: Row, to: Row | None) -> str:
    times = None if to is None else ratio(row, to)
    return "" if times is None else f"{times:.2f}"


def _absence(row: Row) -> str:
    return f"skipped: {row.skipped}" if row.failed is None else f"FAILED: {row.failed}"


def _spread(row: Row) -> str:
    return f"{'~' if row.noisy else ''}{row.spread:.0%}"

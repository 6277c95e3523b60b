# SPDX-License-Identifier: Apache-2.0
"""Several simulations side by side, as a table of plain text."""

from __future__ import annotations

import math
from typing import TYPE_CHECKING, Final

from attrs import frozen

from actorpool._core._counts import counted
from actorpool.exception import InvalidError

from ._units import duration_text

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

    from ._report import Report
    from ._trace import Trace

__all__ = ["MEASURES", "Measure", "front", "measure_named", "summary", "table"]

_HEADS: Final = (
    *("", "", "container time", "", "idle"),
    *("wait mean", "p50", "p95", "p99", "max"),
    *("cold", "starts", "peak"),
)
_LEFT: Final = (0, 1)
# Columns that are left out where there is no room, in this order.
_LESS: Final = tuple(_HEADS.index(name) for name in ("p50", "p95", "max", "peak", "cold", "idle"))
_MARK: Final = "*"


@frozen
class Measure:
    """One figure of a report that stands against its cost."""

    title: str
    """Its name, and what it is."""
    of: Callable[[Report], float]
    """The figure of a report; less is better."""
    timed: bool = True
    """Whether it is in seconds."""


MEASURES: Final = {
    "mean": Measure("mean wait", lambda report: report.wait_mean_s),
    "p50": Measure("p50 wait: half of the inputs waited no longer", lambda report: report.wait_p50_s),
    "p95": Measure("p95 wait: 95 of 100 inputs waited no longer", lambda report: report.wait_p95_s),
    "p99": Measure("p99 wait: 99 of 100 inputs waited no longer", lambda report: report.wait_p99_s),
    "max": Measure("longest wait", lambda report: report.wait_max_s),
    "cold": Measure("cold starts, in % of the inputs", lambda report: 100 * report.cold_share, timed=False),
    "starts": Measure("starts of containers", lambda report: float(report.starts), timed=False),
}
"""{name of a column: what it is}"""


def measure_named(name: str) -> Measure:
    """Return one of `MEASURES`.

    Raises:
        InvalidError: If there is none of that name.
    """
    if name not in MEASURES:
        raise InvalidError(f"there is no measure '{name}'; there are {', '.join(MEASURES)}")
    return MEASURES[name]


def front(reports: Sequence[Report], *, against: str = "p99") -> list[Report]:
    """Return those that no other one beats: none is cheaper and no worse, or as cheap and better.

    Args:
        reports: Reports of one trace.
        against: What counts beside the cost: "mean", "p50", "p95", "p99" or "max" for the wait, "cold" or "starts".

    Raises:
        InvalidError: If there is no such measure.
    """
    figure = measure_named(against).of
    points = [(report.container_seconds, figure(report)) for report in reports]
    return [
        report
        for report, (cost, value) in zip(reports, points, strict=True)
        if not any(a <= cost and b <= value and (a, b) != (cost, value) for a, b in points)
    ]


def summary(trace: Trace) -> str:
    """Return what a workload is, in a sentence."""
    count = len(trace)
    mean = math.fsum(trace.services) / count if count else 0.0
    head = f"{trace.name}: {count:,} {'input' if count == 1 else 'inputs'}"
    parts: list[str] = []
    if trace.duration_s:
        head += f" in {duration_text(trace.duration_s)}"
        parts.append(f"{math.fsum(trace.services) / trace.duration_s:.2g} running on average")
    maps = sum(len(calls) for calls in trace.callers)
    if maps:
        parts.append(f"in {counted(maps, 'map')} of {counted(len(trace.callers), 'caller')}")
    startup = math.fsum(trace.startups) / len(trace.startups)
    parts.append(f"{duration_text(mean)} each; a start takes {duration_text(startup)}")
    if trace.concurrency.max_inputs > 1:
        parts.append(f"{trace.concurrency.max_inputs} slots per container")
    return ", ".join([head, *parts])


def table(reports: Sequence[Report], *, width: int | None = None) -> str:
    """Return a table of one line per report, with what its columns mean below it.

    Costs are also given against the first line. A star marks those on the front: no other one is cheaper and lets
    99 of 100 inputs wait no longer, or as cheap and lets them wait less.

    Args:
        reports: What to show, at least one.
        width: Characters that a line may have; columns that matter less are left out for it. Default any number.

    Raises:
        InvalidError: If there is no report.
    """
    if not reports:
        raise InvalidError("there is nothing to show; give at least one report")
    first = reports[0].container_seconds
    best = front(reports) if len(reports) > 2 else []
    rows: list[Sequence[str]] = [_HEADS]
    for place, report in enumerate(reports):
        cost = report.container_seconds
        rows.append(
            (
                _MARK if report in best else "",
                report.label,
                duration_text(cost),
                f"{100 * (cost / first - 1):+.0f} %" if place and first else "",
                _percent(report.idle_s / cost) if cost else "",
                duration_text(report.wait_mean_s),
                duration_text(report.wait_p50_s),
                duration_text(report.wait_p95_s),
                duration_text(report.wait_p99_s),
                duration_text(report.wait_max_s),
                _percent(report.cold_share),
                f"{report.starts:,}",
                f"{report.peak_containers:,}",
            )
        )
    # A column in which there is nothing takes no room.
    widths = {c: max(len(row[c]) for row in rows) for c in range(len(_HEADS))}
    shown = [c for c in widths if widths[c]]
    for c in _LESS:
        if width is not None and c in shown and sum(widths[c] + 2 for c in shown) - 2 > width:
            shown.remove(c)
    lines = [
        "  ".join(row[c].ljust(widths[c]) if c in _LEFT else row[c].rjust(widths[c]) for c in shown).rstrip()
        for row in rows
    ]
    lines.insert(1, "  ".join("─" * widths[c] for c in shown))
    return "\n".join([*lines, "", *_notes(reports, starred=bool(best))])


def _percent(share: float) -> str:
    return f"{100 * share:.0f} %" if not share or share >= 0.0995 else f"{100 * share:#.2g} %"


def _notes(reports: Sequence[Report], *, starred: bool) -> list[str]:
    bound = duration_text(reports[0].clairvoyant_s())
    notes = [
        "container time: lives of all containers, from the request to the end; idle: its share in which nothing ran",
        "cold: share of inputs that ran in a container which was not ready when they came",
    ]
    if starred:
        notes.append(f"{_MARK} no other line has both less container time and a shorter p99 wait")
    notes.append(
        f"who knew all inputs beforehand could have let none of them wait for {bound} of container time"
    )
    for report in reports:
        if report.refused:
            notes.append(f"{report.label}: {counted(report.refused, 'input')} refused")
        if report.violations:
            broken = ", ".join(f"{rule} {count} times" for rule, count in report.violations.items())
            notes.append(
                f"{report.label}: THE CONTRACT WAS BROKEN ({broken}); first: {report.broken[0].what}"
            )
    return notes

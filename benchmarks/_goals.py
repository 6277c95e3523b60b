# SPDX-License-Identifier: Apache-2.0
"""Figures against each other: the floor, the best peer, ratios within each round, and the goals of a workload."""

from __future__ import annotations

import statistics

from attrs import frozen

from ._harness import Row
from ._registry import Goal, Workload

__all__ = ["Verdict", "best_peer", "figure", "floor_of", "missed", "ratio", "verdicts"]


@frozen
class Verdict:
    """How our row stands to a goal."""

    workload: Workload
    goal: Goal
    asked: str
    """What was asked for, such as "<= 0.2 × ProcessPoolExecutor.map"."""
    found: float | None
    """What there is, in the same terms; None where nothing was measured."""
    met: bool | None

    @property
    def said(self) -> str:
        """The verdict in words."""
        if self.met is None or self.found is None:
            return "not measured"
        return f"{'met' if self.met else 'MISSED'} ({figure(self.found)})"


def verdicts(workload: Workload, rows: list[Row]) -> list[Verdict]:
    """Return how our row of a workload stands to each of its goals."""
    return [_verdict(workload, goal, rows) for goal in workload.goals]


def missed(workload: Workload, rows: list[Row]) -> bool:
    """Return whether our row of a workload misses one of its goals."""
    return any(verdict.met is False for verdict in verdicts(workload, rows))


def _verdict(workload: Workload, goal: Goal, rows: list[Row]) -> Verdict:
    metric = workload.measure.metrics[goal.metric]
    of_metric = [row for row in rows if row.workload == workload.name and row.metric == metric.name]
    sign = ">=" if metric.higher_is_better else "<="
    ours = next((row for row in of_metric if row.role == "ours" and row.complete), None)
    if goal.of is None:
        asked = f"{sign} {figure(goal.bound)} {metric.unit}".rstrip()
        found = None if ours is None else ours.median
    else:
        other = _other(goal.of, of_metric, higher=metric.higher_is_better)
        asked = f"{sign} {goal.bound:g} × {goal.of if other is None else other.contender}"
        found = None if ours is None or other is None else ratio(ours, other)
    met = None
    if found is not None:
        met = found >= goal.bound if metric.higher_is_better else found <= goal.bound
    return Verdict(workload, goal, asked, found, met)


def _other(name: str, rows: list[Row], *, higher: bool) -> Row | None:
    if name == "floor":
        return floor_of(rows)
    if name == "best peer":
        return best_peer(rows, higher=higher)
    return next((row for row in rows if row.contender == name and row.complete), None)


def floor_of(rows: list[Row]) -> Row | None:
    """Return the floor's row, if it was measured."""
    return next((row for row in rows if row.role == "floor" and row.complete), None)


def best_peer(rows: list[Row], *, higher: bool) -> Row | None:
    """Return the peer with the best median; None without one."""
    peers = [row for row in rows if row.role == "peer" and row.complete]
    if not peers:
        return None
    return max(peers, key=lambda row: row.median) if higher else min(peers, key=lambda row: row.median)


def ratio(row: Row, to: Row) -> float | None:
    """Return the median of the ratios within each round; None where the other is 0."""
    pairs = [one / other for one, other in zip(row.samples, to.samples, strict=False) if other]
    return statistics.median(pairs) if pairs else None


def figure(value: float) -> str:
    """Return a figure with the digits that mean something."""
    if abs(value) >= 100:
        return f"{value:,.0f}"
    return f"{value:.1f}" if abs(value) >= 10 else f"{value:.2f}"

# SPDX-License-Identifier: Apache-2.0
"""What came of a simulation: its figures, and the course of demand, containers and backlog (pure)."""

from __future__ import annotations

import math
from array import array
from typing import TYPE_CHECKING

from attrs import field, frozen

from actorpool._core._config import AutoscalerSettings, Concurrency, check_count, check_seconds
from actorpool.exception import InvalidError

from ._bound import clairvoyant_s
from ._ledger import Ledger, Violation

if TYPE_CHECKING:
    from ._trace import Trace

__all__ = ["Report", "Series"]


@frozen(kw_only=True)
class Series:
    """The course of a simulation, in spans of equal length; each value is the mean over its span."""

    begin_s: float
    """Where the first span begins, in seconds from the beginning of the trace."""
    step_s: float
    """Length of a span, in seconds."""
    demand: tuple[float, ...]
    """Inputs that run or wait for a slot."""
    backlog: tuple[float, ...]
    """Those of them that wait."""
    containers: tuple[float, ...]
    """Containers from the request to start to the end."""


@frozen(kw_only=True, eq=False)
class Report:
    """What one simulation cost, and how long its inputs waited. Times are in seconds."""

    label: str
    """What tables and pictures call it."""
    trace: Trace = field(repr=False)
    """The workload."""
    settings: AutoscalerSettings
    """The autoscaler's bounds."""
    concurrency: Concurrency
    """How many inputs a container ran at once."""
    inputs: int
    """Inputs that ran."""
    refused: int
    """Inputs that were refused because of a limit."""
    wait_mean_s: float
    """Mean time from an input's coming to its taking a slot."""
    wait_p50_s: float
    """The time that half of them did not exceed."""
    wait_p95_s: float
    """The time that 95 of 100 did not exceed."""
    wait_p99_s: float
    """The time that 99 of 100 did not exceed."""
    wait_max_s: float
    """The longest."""
    cold_share: float
    """Share of inputs that ran in a container which was not ready when they came."""
    container_seconds: float
    """The lives of all containers, from the request to start to the end."""
    idle_s: float
    """The part of them in which a container was ready and nothing ran in it."""
    starting_s: float
    """The part of them in which it was not ready yet."""
    starts: int
    """Containers that were asked for."""
    peak_containers: int
    """Most containers at a time."""
    violations: dict[str, int]
    """Breaches of the contract, counted by rule; empty if it was kept."""
    broken: tuple[Violation, ...] = field(repr=False)
    """The first of them, with what was found."""
    looks: int
    """How often the policy was asked."""
    overruled: int
    """How often its answer was cut back to the contract."""
    duration_s: float
    """From the beginning to the closing of the app."""
    _submitted: array[float] = field(repr=False, alias="submitted")
    _taken: array[float] = field(repr=False, alias="taken")
    _changes: tuple[tuple[float, int], ...] = field(repr=False, alias="changes")

    @classmethod
    def of(
        cls,
        trace: Trace,
        label: str,
        settings: AutoscalerSettings,
        concurrency: Concurrency,
        ledger: Ledger,
        *,
        submitted: array[float],
        taken: array[float],
        cold: int,
        refused: int,
        looks: int,
        overruled: int,
        duration_s: float,
    ) -> Report:
        """Return the report of a simulation that has ended."""
        # NaN is what was never taken.
        waits = sorted([took - came for came, took in zip(submitted, taken, strict=True) if took == took])
        count = len(waits)
        return cls(
            label=label,
            trace=trace,
            settings=settings,
            concurrency=concurrency,
            inputs=count,
            refused=refused,
            wait_mean_s=math.fsum(waits) / count if count else 0.0,
            wait_p50_s=_rank(waits, 0.50),
            wait_p95_s=_rank(waits, 0.95),
            wait_p99_s=_rank(waits, 0.99),
            wait_max_s=_rank(waits, 1.0),
            cold_share=cold / count if count else 0.0,
            container_seconds=ledger.container_s,
            idle_s=ledger.idle_s,
            starting_s=ledger.starting_s,
            starts=ledger.starts,
            peak_containers=ledger.peak,
            violations=dict(ledger.violations),
            broken=tuple(ledger.broken),
            looks=looks,
            overruled=overruled,
            duration_s=duration_s,
            submitted=submitted,
            taken=taken,
            changes=tuple(ledger.changes),
        )

    @property
    def starts_per_1000(self) -> float:
        """Containers that were asked for, per 1,000 inputs that ran."""
        return 1_000 * self.starts / self.inputs if self.inputs else 0.0

    def waits(self) -> array[float]:
        """Return how long each input waited, in seconds, in the order of the trace; NaN for those refused."""
        return array("d", [took - came for came, took in zip(self._submitted, self._taken, strict=True)])

    def clairvoyant_s(self) -> float:
        """Return the container-seconds that somebody who knows all inputs would need so that none waits.

        `min_containers` is kept to, `max_containers` is not: a bound for those who let no input wait. Costs about a
        second per million inputs.
        """
        return clairvoyant_s(
            self.trace,
            max_inputs=self.concurrency.max_inputs,
            min_containers=self.settings.min_containers,
            duration_s=self.duration_s,
        )

    def series(self, points: int = 600, *, begin_s: float = 0.0, end_s: float | None = None) -> Series:
        """Return the course of demand, backlog and containers in so many spans of equal length.

        Costs about a second per million inputs.

        Args:
            points: How many spans (at least 1).
            begin_s: Where it begins, in seconds from the beginning of the trace.
            end_s: Where it ends; default the end of the simulation.

        Raises:
            InvalidError: If it would end before it begins, or have no spans.
        """
        check_count("points", points, least=1)
        check_seconds("begin_s", begin_s, zero=True)
        end = self.duration_s or 1.0 if end_s is None else end_s
        if not end > begin_s:
            raise InvalidError(
                f"the course would end at {end:g} s, and begin at {begin_s:g} s; it must end later"
            )
        step = (end - begin_s) / points
        demand, backlog, containers = (_Course(points, begin_s, step) for _ in range(3))
        for came, took, service in zip(self._submitted, self._taken, self.trace.services, strict=True):
            if took == took:
                demand.add(came, took + service)
                if took > came:
                    backlog.add(came, took)
        before, since = 0, 0.0
        for instant, live in (*self._changes, (self.duration_s, 0)):
            containers.add(since, instant, before)
            before, since = live, instant
        return Series(
            begin_s=begin_s,
            step_s=step,
            demand=demand.means(),
            backlog=backlog.means(),
            containers=containers.means(),
        )


class _Course:
    """Sums how many were there, span by span, of what was there from one instant to another."""

    __slots__ = ("_begin", "_end", "_level", "_partial", "_step")

    def __init__(self, points: int, begin: float, step: float) -> None:
        self._begin = begin
        self._end = begin + points * step
        self._step = step
        # What is there only for a part of a span, in span lengths; and how many more are there from a span on.
        self._partial = [0.0] * (points + 2)
        self._level = [0] * (points + 2)

    def add(self, begin: float, end: float, count: int = 1) -> None:
        begin, end = max(begin, self._begin), min(end, self._end)
        if end <= begin:
            return
        first, last = (begin - self._begin) / self._step, (end - self._begin) / self._step
        i, j = int(first), int(last)
        # All of span i on is counted, and what was before the begin taken back; likewise at the end.
        self._level[i] += count
        self._partial[i] -= count * (first - i)
        self._level[j] -= count
        self._partial[j] += count * (last - j)

    def means(self) -> tuple[float, ...]:
        level = 0
        means: list[float] = []
        for partial, more in zip(self._partial[:-2], self._level[:-2], strict=True):
            level += more
            means.append(max(0.0, level + partial))
        return tuple(means)


def _rank(ordered: list[float], share: float) -> float:
    """Return the least value that `share` of them do not exceed."""
    return ordered[max(0, math.ceil(share * len(ordered)) - 1)] if ordered else 0.0

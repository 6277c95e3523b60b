# SPDX-License-Identifier: Apache-2.0
"""Policies against a yardstick: ratios per scenario, their geometric means, and how sure those are."""

from __future__ import annotations

import math
from collections.abc import Callable, Iterable, Mapping, Sequence
from concurrent.futures import ProcessPoolExecutor
from contextlib import nullcontext
from functools import partial
from typing import Final

from attrs import define, field, frozen

from actorpool._core._scaling import PolicyChoice
from actorpool.simulate import Report, Trace, simulate

__all__ = ["MEASURES", "Comparison", "Figures", "Interval", "compare", "interval"]

# Waits are compared with a millisecond added to both: without it, who never waits would be infinitely better.
_GRAIN_S: Final = 0.001


@frozen
class Figures:
    """What is compared of a simulation."""

    container_seconds: float
    wait_mean_s: float
    wait_p99_s: float
    starts: int
    overruled: int
    violations: int

    @classmethod
    def of(cls, report: Report) -> Figures:
        return cls(
            report.container_seconds,
            report.wait_mean_s,
            report.wait_p99_s,
            report.starts,
            report.overruled,
            sum(report.violations.values()),
        )


MEASURES: Final[dict[str, Callable[[Figures], float]]] = {
    "cost": lambda figures: figures.container_seconds,
    "mean wait": lambda figures: figures.wait_mean_s + _GRAIN_S,
    "p99 wait": lambda figures: figures.wait_p99_s + _GRAIN_S,
    "starts": lambda figures: figures.starts + 1,
}
# Student's t for 95 %, by degrees of freedom.
_STUDENT: Final = (math.inf, 12.71, 4.303, 3.182, 2.776, 2.571, 2.447, 2.365, 2.306, 2.262)


@frozen
class Interval:
    """A geometric mean over seeds, with its 95 % confidence interval."""

    mean: float
    low: float
    high: float

    def __str__(self) -> str:
        if self.high == math.inf:
            return f"{self.mean:.2f}"
        return f"{self.mean:.2f} ({self.low:.2f} to {self.high:.2f})"


def interval(ratios: Sequence[float]) -> Interval:
    """Return the geometric mean of one ratio per seed, with its confidence interval."""
    logs = [math.log(ratio) for ratio in ratios]
    count = len(logs)
    mean = math.fsum(logs) / count
    if count == 1:
        return Interval(math.exp(mean), 0.0, math.inf)
    deviation = math.sqrt(math.fsum((log - mean) ** 2 for log in logs) / (count - 1))
    half = _STUDENT[min(count, len(_STUDENT)) - 1] * deviation / math.sqrt(count)
    return Interval(math.exp(mean), math.exp(mean - half), math.exp(mean + half))


@define
class Comparison:
    """What one policy did in every scenario and for every seed, beside the yardstick."""

    name: str
    figures: dict[tuple[str, int], tuple[Figures, Figures]] = field(factory=dict)
    """`{(scenario, seed): (its own, the yardstick's)}`."""

    def ratio(self, measure: str, scenario: str, seed: int) -> float:
        of = MEASURES[measure]
        own, yardstick = self.figures[scenario, seed]
        return of(own) / of(yardstick)

    @property
    def scenarios(self) -> list[str]:
        return list(dict.fromkeys(scenario for scenario, _ in self.figures))

    @property
    def seeds(self) -> list[int]:
        return list(dict.fromkeys(seed for _, seed in self.figures))

    def in_scenario(self, measure: str, scenario: str) -> float:
        """Return the geometric mean over seeds."""
        return _geometric(self.ratio(measure, scenario, seed) for seed in self.seeds)

    def of_seed(self, measure: str, seed: int) -> float:
        """Return the geometric mean over scenarios."""
        return _geometric(self.ratio(measure, name, seed) for name in self.scenarios)

    def overall(self, measure: str) -> Interval:
        """Return the geometric mean over scenarios, and then over seeds."""
        return interval([self.of_seed(measure, seed) for seed in self.seeds])

    def against(self, other: Comparison, measure: str) -> Interval:
        """Return the ratio to another policy on the same seeds."""
        return interval([self.of_seed(measure, seed) / other.of_seed(measure, seed) for seed in self.seeds])

    def mean_of(self, value: Callable[[Figures], float], scenario: str, *, yardstick: bool = False) -> float:
        """Return the mean over seeds of a figure itself."""
        values = [value(self.figures[scenario, seed][yardstick]) for seed in self.seeds]
        return math.fsum(values) / len(values)

    @property
    def violations(self) -> int:
        return sum(own.violations for own, _ in self.figures.values())

    @property
    def overruled(self) -> int:
        return sum(own.overruled for own, _ in self.figures.values())


def compare(
    policies: Mapping[str, PolicyChoice],
    yardstick: PolicyChoice,
    draw: Callable[[int], Iterable[tuple[str, Trace]]],
    seeds: Sequence[int],
    *,
    jobs: int = 1,
    progress: Callable[[str], object] = lambda words: None,
) -> list[Comparison]:
    """Simulate every policy in every scenario of every seed, as many seeds at a time as there are jobs."""
    comparisons = [Comparison(name) for name in policies]
    of_seed = partial(_of_seed, dict(policies), yardstick, draw)
    with ProcessPoolExecutor(jobs) if jobs > 1 else nullcontext() as executor:
        for count, rows in enumerate(executor.map(of_seed, seeds) if executor else map(of_seed, seeds)):
            progress(f"{count + 1} of {len(seeds)} seeds")
            for comparison, row in zip(comparisons, rows, strict=True):
                comparison.figures |= row
    return comparisons


def _of_seed(
    policies: Mapping[str, PolicyChoice],
    yardstick: PolicyChoice,
    draw: Callable[[int], Iterable[tuple[str, Trace]]],
    seed: int,
) -> list[dict[tuple[str, int], tuple[Figures, Figures]]]:
    """Return the figures of every policy, in their order."""
    rows: list[dict[tuple[str, int], tuple[Figures, Figures]]] = [{} for _ in policies]
    for scenario, trace in draw(seed):
        base = Figures.of(simulate(trace, policy=yardstick))
        for row, policy in zip(rows, policies.values(), strict=True):
            row[scenario, seed] = (Figures.of(simulate(trace, policy=policy)), base)
    return rows


def _geometric(values: Iterable[float]) -> float:
    logs = [math.log(value) for value in values]
    return math.exp(math.fsum(logs) / len(logs))

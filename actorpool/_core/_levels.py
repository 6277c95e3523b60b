# SPDX-License-Identifier: Apache-2.0
"""What is learnt of each level of demand: how long it stays away, and what keeping a container for it pays (pure).

Inputs go to the container that was used last, so container `n` of a pool is used when at least `n` are needed: a
level of demand stands for a container. Levels are taken together in steps of about a quarter (1, 2 ... 8, 10, 12, 14,
16, 20 ...), so that what is kept grows with the logarithm of the pool.

A step is *away* from the instant at which demand left it to the one at which demand is back. The time it was away is
a gap; gaps too short to stop and start a container meanwhile are not counted. From the latest gaps follows how long
an idle container is worth keeping (the ski-rental problem with a known distribution), and whether it is cheaper to
stop it and to start another one shortly before demand is back, which it is where demand comes by the clock.
"""

from __future__ import annotations

import math
from bisect import bisect_right
from collections import deque
from itertools import accumulate
from typing import TYPE_CHECKING, Final

from attrs import Factory, field, frozen

if TYPE_CHECKING:
    from collections.abc import Iterator

    from actorpool._core._tuning import Tuning

__all__ = ["Levels", "Plan", "Prices", "lowest_of", "step_of"]

# A plan is made anew after this share of the memory has been replaced.
_REPLAN: Final = 8
# A time-out is a little longer than the longest gap it is to bridge.
_LONGER: Final = 1.1
_LONGER_S: Final = 0.1
# A window of warmth begins and ends by this share of its length, and of the gap, before the earliest and after the
# latest return; and it must be cheaper than the best time-out by this factor, as clocks stop.
_SLACK: Final = 0.25
_DRIFT: Final = 0.005
_CHEAPER: Final = 0.9


def step_of(level: int) -> int:
    """Return the step of a level (>= 0)."""
    exponent = max(0, level.bit_length() - 3)
    return 4 * exponent + (level >> exponent)


def lowest_of(step: int) -> int:
    """Return the lowest level of a step."""
    exponent = max(0, step // 4 - 1)
    return (step - 4 * exponent) << exponent


@frozen
class Prices:
    """What idling, starting and waiting cost at this time, in container-seconds."""

    window_s: float
    """The longest time a container may idle."""
    startup_s: float
    """A start-up time."""
    longest_startup_s: float
    """One of the longer start-up times."""
    start: float
    """What a start costs without the waiting."""
    wait: float
    """What a second of waiting costs."""

    settled_s: float = field(init=False, default=Factory(lambda prices: prices._settled_s(), takes_self=True))
    """Gaps up to this length are none: nothing could be stopped and started meanwhile."""

    def _settled_s(self) -> float:
        return min(self.window_s, max(0.05, self.startup_s))


@frozen
class Plan:
    """What to do with an idle container of a step."""

    keep_s: float
    """Stop it after this time of idleness, in seconds."""
    warm: tuple[float, float] | None = None
    """If given: have one again from this time after demand has left to that one."""


class _Step:
    """What is known of one step."""

    __slots__ = ("began_at", "episode_s", "fresh", "gaps", "left_at", "plan")

    def __init__(self, memory: int) -> None:
        self.left_at: float | None = None
        self.began_at = 0.0
        # How long demand was here, the last time it was.
        self.episode_s = 0.0
        # The latest gaps, each with what a start would have cost that it made necessary.
        self.gaps: deque[tuple[float, float]] = deque(maxlen=memory)
        self.fresh = 0
        self.plan: Plan | None = None


class Levels:
    """The levels of demand of one pool."""

    __slots__ = ("_steps", "_top", "_tuning", "_warm")

    def __init__(self, tuning: Tuning) -> None:
        self._tuning = tuning
        self._steps: list[_Step] = [_Step(0)]
        # The step of present demand; all below are in use, too.
        self._top = 0
        # The steps whose plan is to have containers ready before demand is back.
        self._warm: set[int] = set()

    def move(self, level: int, now: float, prices: Prices) -> None:
        """Say that demand is at this level now."""
        step = step_of(level)
        while self._top < step:
            self._top += 1
            self._returned(self._top, now, prices)
        while self._top > step:
            left = self._steps[self._top]
            left.left_at = now
            left.episode_s = now - left.began_at
            self._top -= 1

    def plan(self, level: int, prices: Prices) -> Plan:
        """Return what to do with an idle container that demand of this level would use."""
        index = step_of(level)
        if index < len(self._steps):
            plan = self._steps[index].plan
            if plan is not None:
                return plan
        # Nothing is known yet. To keep it for as long as it takes to have paid the price is never worse than twice the
        # best.
        price = prices.start + prices.wait * prices.startup_s
        return Plan(min(prices.window_s, price if level <= 1 else price / 2))

    def warm(self, now: float) -> int:
        """Return how many containers are to be there because demand is about to be back."""
        most = 0
        for index, left_at, begin, end in self._windows():
            if left_at + begin <= now < left_at + end:
                most = max(most, lowest_of(index))
        return most

    def instants(self, now: float) -> Iterator[float]:
        """Yield the instants at which the answer of `warm` may change."""
        for _, left_at, begin, end in self._windows():
            if left_at + begin > now:
                yield left_at + begin
            elif left_at + end > now:
                yield left_at + end

    def _windows(self) -> Iterator[tuple[int, float, float, float]]:
        """Yield the steps that are away and come by the clock: `(step, when it left, begin, end)`."""
        for index in self._warm:
            step = self._steps[index]
            if index > self._top and step.plan is not None and step.plan.warm and step.left_at is not None:
                yield index, step.left_at, *step.plan.warm

    def _step(self, index: int) -> _Step:
        while index >= len(self._steps):
            self._steps.append(_Step(self._tuning.memory))
        return self._steps[index]

    def _returned(self, index: int, now: float, prices: Prices) -> None:
        step = self._step(index)
        if step.left_at is None:
            step.began_at = now
            return
        gap = now - step.left_at
        if gap <= prices.settled_s:
            # The episode goes on.
            return
        waited = prices.startup_s
        if index > 1:
            # It waits for one of the others, and those have work for as long as demand was here the last time.
            waited = min(waited, step.episode_s)
        step.began_at = now
        self._learn(index, gap, prices.start + prices.wait * waited, prices)

    def _learn(self, index: int, gap: float, price: float, prices: Prices) -> None:
        """Remember a gap, and plan anew if a share of what is remembered is new."""
        step = self._steps[index]
        tuning = self._tuning
        step.gaps.append((gap, price))
        step.fresh += 1
        count = len(step.gaps)
        if count < tuning.fewest or (count >= 2 * _REPLAN and step.fresh * _REPLAN < tuning.memory):
            return
        step.fresh = 0
        gaps = sorted(step.gaps)
        warm, warm_cost = _best_window(gaps, prices, tuning)
        keep_s, cost = _best_keeping(gaps, prices, tuning.prior)
        self._warm.discard(index)
        if warm is not None and warm_cost < _CHEAPER * cost:
            step.plan = Plan(prices.settled_s, warm)
            self._warm.add(index)
        else:
            step.plan = Plan(keep_s)


def _best_keeping(gaps: list[tuple[float, float]], prices: Prices, prior: float) -> tuple[float, float]:
    """Return the time-out that would have been the cheapest for these gaps, in order, and what it would have cost.

    Args:
        gaps: What is remembered.
        prices: What things cost now.
        prior: So many further gaps are supposed, of any length up to the window, as what is remembered is not all.
    """
    count, window_s = len(gaps), prices.window_s
    lengths = [gap for gap, _ in gaps]
    bridged = [0.0, *accumulate(lengths)]
    paid = [0.0, *accumulate(price for _, price in gaps)]
    total = paid[-1]
    best_s, best, best_supposed = window_s, math.inf, math.inf
    # The settled time is in any case gone by before anything could be stopped.
    for keep_s in (prices.settled_s, *(length * _LONGER + _LONGER_S for length in lengths), window_s):
        if keep_s > window_s:
            continue
        within = bisect_right(lengths, keep_s)
        cost = bridged[within] + (count - within) * keep_s + total - paid[within]
        # A gap of any length, up to the window.
        any_gap = (keep_s * keep_s / 2 + (window_s - keep_s) * (keep_s + total / count)) / window_s
        if cost + prior * any_gap < best_supposed:
            best_s, best, best_supposed = keep_s, cost, cost + prior * any_gap
    return best_s, best


def _best_window(
    gaps: list[tuple[float, float]], prices: Prices, tuning: Tuning
) -> tuple[tuple[float, float] | None, float]:
    """Return the best span after demand has left in which to have a container again, and what it would have cost."""
    count = len(gaps)
    best: tuple[float, float] | None = None
    best_cost = math.inf
    lead_s = _LONGER * prices.longest_startup_s
    # In shorter gaps there is no time for a stop and a start.
    shortest = bisect_right(gaps, (prices.settled_s + lead_s, math.inf))
    if count - shortest < tuning.fewest:
        return best, best_cost
    lengths = [0.0, *accumulate(gap for gap, _ in gaps)]
    paid = [0.0, *accumulate(price for _, price in gaps)]
    total = paid[-1]
    last = shortest
    for first in range(shortest, count):
        earliest = gaps[first][0]
        while last < count and gaps[last][0] <= tuning.focus * earliest:
            last += 1
        inside = last - first
        if inside < tuning.fewest:
            continue
        latest = gaps[last - 1][0]
        slack = _SLACK * (latest - earliest) + _DRIFT * latest
        begin = earliest - slack - lead_s
        end = latest + slack + _LONGER_S
        if begin <= prices.settled_s or end - begin > prices.window_s:
            continue
        # Before: a miss. Inside: a start, and its life until demand is back. After: a start, the window, a miss.
        cost = (
            count * prices.settled_s
            + (count - first) * (prices.start - prices.startup_s)
            + (total - (paid[last] - paid[first]))
            + (lengths[last] - lengths[first])
            - inside * begin
            + (count - last) * (end - begin)
        )
        if cost < best_cost:
            best, best_cost = (begin, end), cost
    return best, best_cost

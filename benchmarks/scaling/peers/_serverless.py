# SPDX-License-Identifier: Apache-2.0
"""Policies that start for each request: the plain reading, Lambda, the hybrid histogram; and predictive staffing."""

from __future__ import annotations

import math

from attrs import define, field

from actorpool._core._scaling import Decision, Snapshot

from ._parts import Demand, bounded, reach

__all__ = ["FixedIdle", "HybridHistogram", "PlainReading", "SquareRoot"]


@define
class PlainReading:
    """The guide, read plainly: start for each unserved input, stop at the window. The yardstick of the comparisons."""

    def decide(self, snapshot: Snapshot) -> Decision:
        s = snapshot
        count = s.ready + s.starting
        demand = s.running + s.pending
        wanted = bounded(s, math.ceil(demand / s.target_inputs))
        if wanted > count:
            return Decision(start=wanted - count, reason=f"{wanted} wanted, have {count}: one for each input")
        return Decision(stop=min(s.expired, count - wanted), reason="stop at the window")


@define
class FixedIdle:
    """AWS Lambda: an environment for each concurrent request, stopped after a fixed time of idleness."""

    idle_s: float = 600.0
    burst: float = 1_000.0
    """Starts at once; refilled within ten seconds."""
    _tokens: float = field(default=math.inf, init=False)
    _at: float = field(default=0.0, init=False)

    def decide(self, snapshot: Snapshot) -> Decision:
        s = snapshot
        self._tokens = min(self.burst, self._tokens + (s.now - self._at) * self.burst / 10)
        self._at = s.now
        count = s.ready + s.starting
        wanted = bounded(s, math.ceil((s.running + s.pending) / s.target_inputs))
        if wanted > count:
            start = min(wanted - count, int(self._tokens))
            self._tokens -= start
            wake_at = None if start == wanted - count else s.now + 0.1
            return Decision(
                start=start, wake_at=wake_at, wake_idle_s=self.idle_s, reason="one for each request"
            )
        if s.oldest_idle_since is None or count <= wanted:
            return Decision(wake_idle_s=self.idle_s)
        due = s.oldest_idle_since + self.idle_s
        stop = s.expired or int(due <= s.now)
        return Decision(
            stop=min(stop, count - wanted), wake_at=due if due > s.now else None, wake_idle_s=self.idle_s
        )


@define
class HybridHistogram:
    """ "Serverless in the Wild": keep and pre-warm by a histogram of the times a function is idle.

    Of the three cases of the paper the third, a time-series forecast where most idle times lie beyond the
    histogram, is left out: there its second holds, to keep for the whole range.
    """

    bin_s: float = 60.0
    bins: int = 240
    fewest: int = 5
    spread: float = 2.0
    """The histogram is representative if the coefficient of variation of its bins is at least this."""
    _counts: list[int] = field(factory=list, init=False)
    _beyond: int = field(default=0, init=False)
    _idle_since: float | None = field(default=None, init=False)
    _used: int = field(default=1, init=False)
    _arrivals: int = field(default=0, init=False)
    _seen: int = field(default=0, init=False)

    def arrived(self, now: float, seconds: float) -> None:
        self._arrivals += 1
        if self._idle_since is not None:
            place = int((now - self._idle_since) / self.bin_s)
            self._counts = self._counts or [0] * self.bins
            if place < self.bins:
                self._counts[place] += 1
            else:
                self._beyond += 1
            self._idle_since = None

    def windows(self) -> tuple[float, float]:
        """Return when to have a container again after the function fell idle, and until when to keep it."""
        counts, total = self._counts, sum(self._counts)
        whole = self.bin_s * self.bins
        if total < self.fewest or self._beyond > total:
            return 0.0, whole
        mean = total / self.bins
        deviation = math.sqrt(sum((count - mean) ** 2 for count in counts) / self.bins)
        if deviation / mean < self.spread:
            return 0.0, whole
        first = self._rank(0.05 * total)
        last = self._rank(0.99 * total) + 1
        return 0.9 * first * self.bin_s, min(whole, 1.1 * last * self.bin_s)

    def _rank(self, rank: float) -> int:
        passed = 0
        for place, count in enumerate(self._counts):
            passed += count
            if passed >= rank:
                return place
        return self.bins - 1

    def decide(self, snapshot: Snapshot) -> Decision:
        s = snapshot
        demand = s.running + s.pending
        if demand:
            self._idle_since = None
            return reach(
                s, max(math.ceil(demand / s.target_inputs), s.ready + s.starting - s.expired), None, "demand"
            )
        if self._idle_since is None and self._arrivals > self._seen:
            self._idle_since = s.now
            self._seen = self._arrivals
        if self._idle_since is None:
            return reach(s, s.ready + s.starting - s.expired, None, "nothing was there yet")
        warm, until = self.windows()
        if s.now < self._idle_since + warm:
            return reach(s, 0, self._idle_since + warm, f"pre-warm after {warm:g} s")
        if s.now < self._idle_since + until:
            have = s.ready + s.starting - s.expired
            wanted = have if not warm else max(1, have) if not s.expired else 0
            return reach(s, wanted, self._idle_since + until, f"keep alive for {until:g} s")
        return reach(s, 0, None, "beyond the histogram")


@define
class SquareRoot:
    """Square-root staffing, predictive: load one start-up time ahead, and a multiple of its square root beyond."""

    beta: float = 2.0
    window_s: float = 30.0
    tick_s: float = 1.0
    _arrivals: Demand = field(factory=Demand, init=False)
    _rate: float = field(default=0.0, init=False)
    _count: int = field(default=0, init=False)
    _since: float | None = field(default=None, init=False)
    _next: float = field(default=-math.inf, init=False)

    def arrived(self, now: float, seconds: float) -> None:
        self._count += 1

    def decide(self, snapshot: Snapshot) -> Decision:
        s = snapshot
        if self._since is None:
            self._since = s.now
        passed = s.now - self._since
        if passed >= self.tick_s:
            # The rate fades with the window; its trend is extrapolated by a start-up time.
            share = 1 - math.exp(-passed / self.window_s)
            before = self._rate
            self._rate += (self._count / passed - self._rate) * share
            self._trend = (self._rate - before) / passed
            self._count, self._since = 0, s.now
        load = max(0.0, self._rate + self._trend * s.startup_s) * (s.service_s or 0.0)
        staff = load + self.beta * math.sqrt(load)
        wanted = max(
            math.ceil(staff / s.target_inputs - 1e-9), math.ceil((s.running + s.pending) / s.target_inputs)
        )
        idle = s.running + s.pending == 0 and self._rate < 1e-3
        return reach(
            s, 0 if idle else wanted, None if idle and not s.idle else s.now + self.tick_s, f"load {load:.2g}"
        )

    _trend: float = field(default=0.0, init=False)

# SPDX-License-Identifier: Apache-2.0
"""Autoscalers that look at a metric in intervals: Knative, Ray Serve, Dask, Kubernetes with KEDA."""

from __future__ import annotations

import math
from abc import ABC, abstractmethod
from collections import deque

from attrs import define, field

from actorpool._core._scaling import Decision, Snapshot

from ._parts import Demand, reach

__all__ = ["Dask", "Hpa", "Knative", "RayServe"]


@define
class _Ticking(ABC):
    """A policy that decides when its interval is over, and stands by its decision in between."""

    _next: float = field(default=-math.inf, init=False)
    _wanted: float = field(default=0.0, init=False)
    _demand: Demand = field(factory=Demand, init=False)

    def arrived(self, now: float, seconds: float) -> None:
        self._demand.change(1, now)

    def completed(self, now: float, seconds: float) -> None:
        self._demand.change(-1, now)

    def decide(self, snapshot: Snapshot) -> Decision:
        s = snapshot
        self._demand.change(s.running + s.pending - self._demand.level, s.now)
        due = s.now >= self._next
        if due or (s.pending and not s.ready + s.starting):
            self._wanted = self.wanted(s)
        if due:
            self._next = s.now + self.interval_s()
        # Where there is nothing, and nothing to do, ticks change nothing.
        asleep = not (s.ready or s.starting or s.pending)
        return reach(s, self._wanted, None if asleep else self._next, "as of the last tick")

    @abstractmethod
    def interval_s(self) -> float: ...

    @abstractmethod
    def wanted(self, s: Snapshot) -> float: ...


@define
class Knative(_Ticking):
    """The pod autoscaler of Knative: a stable and a panic window over the concurrency."""

    stable_s: float = 60.0
    panic_share: float = 0.1
    panic_threshold: float = 2.0
    utilization: float = 0.7
    up_rate: float = 1000.0
    down_rate: float = 2.0
    tick_s: float = 2.0
    grace_s: float = 30.0
    _panic_until: float = field(default=-math.inf, init=False)
    _panic_most: float = field(default=0.0, init=False)
    _zero_since: float | None = field(default=None, init=False)

    def interval_s(self) -> float:
        return self.tick_s

    def wanted(self, s: Snapshot) -> float:
        now = s.now
        ready = max(1, s.ready)
        target = self.utilization * s.target_inputs
        low, high = math.floor(s.ready / self.down_rate), math.ceil(self.up_rate * ready)
        raw = {
            name: math.ceil(self._demand.mean(window, now) / target)
            for name, window in (("stable", self.stable_s), ("panic", self.panic_share * self.stable_s))
        }
        stable = min(high, max(low, raw["stable"]))
        panic = min(high, max(low, raw["panic"]))
        if raw["panic"] / ready >= self.panic_threshold:
            if now >= self._panic_until:
                self._panic_most = 0.0
            self._panic_until = now + self.stable_s
        if now < self._panic_until:
            # It never goes down while in panic.
            self._panic_most = max(self._panic_most, stable, panic)
            wanted = self._panic_most
        else:
            wanted = stable
        if not s.ready + s.starting and s.pending:
            # The activator holds the request, and pokes.
            wanted = max(1.0, wanted)
        if wanted:
            self._zero_since = None
            return wanted
        if self._zero_since is None:
            self._zero_since = now
        return 0.0 if now - self._zero_since >= self.grace_s else min(1, s.ready)


@define
class RayServe(_Ticking):
    """The request-based policy of Ray Serve; a change must be wanted without a break for its delay.

    The control loop is one of a second, not of a tenth: with delays of seconds it makes no difference.
    """

    factor: float = 1.0
    up_delay_s: float = 30.0
    down_delay_s: float = 600.0
    look_back_s: float = 30.0
    loop_s: float = 1.0
    _way: int = field(default=0, init=False)
    _since: float = field(default=0.0, init=False)

    def interval_s(self) -> float:
        return self.loop_s

    def wanted(self, s: Snapshot) -> float:
        have = s.ready + s.starting
        if not have:
            self._way = 0
            return math.ceil(self.factor) if s.pending else 0.0
        ongoing = self._demand.mean(self.look_back_s, s.now)
        desired = have * (ongoing / (s.target_inputs * have))
        new = math.ceil(have + self.factor * (desired - have))
        # Only from one may it go to zero.
        if new == 0 and have > 1:
            new = 1
        way = (new > have) - (new < have)
        if way != self._way:
            self._way, self._since = way, s.now
        delay = self.up_delay_s if way > 0 else self.down_delay_s
        if way and s.now - self._since >= delay:
            self._way = 0
            return new
        return have


@define
class Dask(_Ticking):
    """Dask's adaptive deployments: as many workers as do the remaining work within a duration."""

    interval: float = 1.0
    target_duration_s: float = 5.0
    wait_count: int = 3
    _down: int = field(default=0, init=False)

    def interval_s(self) -> float:
        return self.interval

    def wanted(self, s: Snapshot) -> float:
        have = s.ready + s.starting
        tasks = s.running + s.pending
        # What is unknown is taken to last half a second, as the scheduler does.
        work = tasks * (0.5 if s.service_s is None else s.service_s)
        target = min(tasks, max(math.ceil(work / self.target_duration_s), 1 if tasks else 0))
        if target >= have:
            self._down = 0
            return target
        self._down += 1
        return target if self._down >= self.wait_count else have


@define
class Hpa(_Ticking):
    """The horizontal pod autoscaler on concurrency, with KEDA between zero and one."""

    sync_s: float = 15.0
    tolerance: float = 0.1
    stabilization_s: float = 300.0
    polling_s: float = 30.0
    cooldown_s: float = 300.0
    _synced: float = field(default=-math.inf, init=False)
    _active_at: float = field(default=-math.inf, init=False)
    _asked: deque[tuple[float, int]] = field(factory=deque, init=False)

    def decide(self, snapshot: Snapshot) -> Decision:
        s = snapshot
        if s.running + s.pending:
            self._active_at = s.now
        return super().decide(s)

    def interval_s(self) -> float:
        return min(self.sync_s, self.polling_s)

    def wanted(self, s: Snapshot) -> float:
        have = s.ready + s.starting
        demand = s.running + s.pending
        if not have:
            self._asked.clear()
            # KEDA: from zero at its next poll; the pool, which lets no demand wait for nobody, does not wait for that.
            return 1.0 if demand else 0.0
        if not demand and s.now - self._active_at >= self.cooldown_s:
            return 0.0
        if s.now - self._synced < self.sync_s:
            return max(1.0, self._wanted)
        self._synced = s.now
        ratio = demand / (have * s.target_inputs)
        desired = have if abs(ratio - 1) <= self.tolerance else max(1, math.ceil(have * ratio))
        self._asked.append((s.now, desired))
        while self._asked[0][0] < s.now - self.stabilization_s:
            self._asked.popleft()
        if desired > have:
            return min(desired, max(2 * have, have + 4))
        return min(have, max(asked for _, asked in self._asked))

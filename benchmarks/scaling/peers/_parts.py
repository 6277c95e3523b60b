# SPDX-License-Identifier: Apache-2.0
"""What several peers have in common: reaching a number of containers, and the mean of demand over a window."""

from __future__ import annotations

import math
from collections import deque

from attrs import define, field

from actorpool._core._scaling import Decision, Snapshot

__all__ = ["Demand", "bounded", "reach"]


def bounded(s: Snapshot, wanted: float) -> int:
    """Return `wanted` within minimum and maximum, with the buffer, and at least one for demand."""
    settings = s.settings
    demand = s.running + s.pending
    least = max(settings.min_containers, 1 if s.pending else 0)
    if demand and settings.buffer_containers:
        least = max(least, math.ceil(demand / s.target_inputs) + settings.buffer_containers)
    most = math.inf if settings.max_containers is None else settings.max_containers
    return int(min(most, max(least, wanted)))


def reach(s: Snapshot, wanted: float, wake_at: float | None, why: str) -> Decision:
    """Return the decision that leads to `wanted` containers; busy ones stay, of course."""
    wanted = bounded(s, wanted)
    count = s.ready + s.starting
    reason = f"{wanted} wanted, have {count}: {why}"
    if wanted >= count:
        return Decision(start=wanted - count, wake_at=wake_at, reason=reason)
    cancel = 0 if s.pending else min(s.starting, count - wanted)
    return Decision(cancel=cancel, stop=min(s.idle, count - cancel - wanted), wake_at=wake_at, reason=reason)


@define
class Demand:
    """How many inputs run or wait, averaged over windows; in buckets, as the metrics of such systems are."""

    bucket_s: float = 1.0
    longest_s: float = 60.0
    level: int = 0
    _since: float | None = None
    # (begin of the bucket, input-seconds in it), the oldest first.
    _buckets: deque[list[float]] = field(factory=deque)

    def change(self, by: int, now: float) -> None:
        self.advance(now)
        self.level = max(0, self.level + by)

    def advance(self, now: float) -> None:
        """Count the time up to now at the present level."""
        if self._since is None:
            self._since = now
        # Silence longer than the window leaves nothing of what was before.
        self._since = max(self._since, now - self.longest_s - self.bucket_s)
        while self._since < now:
            begin = math.floor(self._since / self.bucket_s) * self.bucket_s
            end = min(now, begin + self.bucket_s)
            if not end > self._since:
                end = now
            if not self._buckets or self._buckets[-1][0] != begin:
                self._buckets.append([begin, 0.0])
            self._buckets[-1][1] += self.level * (end - self._since)
            self._since = end
        while self._buckets and self._buckets[0][0] <= now - self.longest_s - self.bucket_s:
            self._buckets.popleft()

    def mean(self, window_s: float, now: float) -> float:
        """Return the mean over the last `window_s`; over what there is of it, in the beginning."""
        self.advance(now)
        total, first = 0.0, now
        for begin, area in reversed(self._buckets):
            if begin < now - window_s:
                break
            total += area
            first = begin
        return total / max(self.bucket_s, now - first) if total or self._buckets else float(self.level)

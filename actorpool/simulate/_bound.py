# SPDX-License-Identifier: Apache-2.0
"""The clairvoyant: what a trace costs at least if no input is to wait.

Who knows all inputs starts each container one start-up before it is needed, and keeps it over a gap exactly when
that is cheaper than another start. With `n` containers needed at an instant, the k-th is in use whenever `n >= k`,
and its gaps are its own: so the least cost is a sum over k, found in one pass.
"""

from __future__ import annotations

import heapq
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from ._trace import Trace

__all__ = ["clairvoyant_s"]


def clairvoyant_s(trace: Trace, *, max_inputs: int, min_containers: int, duration_s: float) -> float:
    """Return the least container-seconds with which no input of `trace` waits, whatever the maximum of containers.

    Args:
        trace: The workload; inputs of its maps come as they do if none of them waits.
        max_inputs: Inputs a container runs at once.
        min_containers: Containers that are there throughout.
        duration_s: How long that is, in seconds.
    """
    # Each start is counted as the shortest one there was, so that the bound is one.
    startup = min(trace.startups)
    begins = [*trace.arrivals]
    ends = [begin + service for begin, service in zip(begins, trace.services, strict=False)]
    _run_maps(trace, begins, ends)
    begins.sort()
    ends.sort()
    cost = min_containers * duration_s
    # When the k-th container was last in use.
    left: list[float | None] = [0.0] * (min_containers + 1)
    needed = demand = 0
    began = 0
    for end in ends:
        # A slot that is given up at an instant serves who comes then; there is none only for work that takes no time.
        while began < len(begins) and (begins[began] < end or not demand):
            instant = begins[began]
            began += 1
            demand += 1
            if demand > needed * max_inputs:
                needed += 1
                if needed > min_containers:
                    if needed == len(left):
                        left.append(None)
                    before = left[needed]
                    cost += startup if before is None else min(startup, instant - before)
                    cost -= instant
        demand -= 1
        if demand <= (needed - 1) * max_inputs:
            if needed > min_containers:
                cost += end
                left[needed] = end
            needed -= 1
    return cost


def _run_maps(trace: Trace, begins: list[float], ends: list[float]) -> None:
    index = len(trace.arrivals)
    for calls in trace.callers:
        now = 0.0
        for call in calls:
            now += call.pause_s
            running: list[float] = []
            for service in trace.services[index : index + call.inputs]:
                begin = heapq.heappop(running) if len(running) == call.in_flight else now
                heapq.heappush(running, begin + service)
                begins.append(begin)
                ends.append(begin + service)
            index += call.inputs
            now = max(running)

# SPDX-License-Identifier: Apache-2.0
"""The constants of `AdaptivePolicy`, each with the reason for its value (pure).

`python -m benchmarks.scaling.sweep` shows what other values do; `benchmarks/scaling/SWEEP.md` is its table.
"""

from __future__ import annotations

from attrs import frozen

__all__ = ["Tuning"]


@frozen(kw_only=True)
class Tuning:
    """Constants; all but the first are of no concern to a user."""

    wait_price: float = 6.0
    """What a second of an input's waiting is worth, in idle windows of a container: the window says what a user gives
    for not waiting."""
    start_price: float = 0.15
    """What a start costs beyond its start-up time, in idle windows; it bounds how often containers come and go."""
    burst_price: float = 10.0
    """What a second of waiting is worth when a backlog is sized, in container-seconds."""
    up_margin: float = -1.2
    """Standard deviations less than the price asks for that are started ahead of demand: to start for what may not
    come is dearer than to keep what is there."""
    memory: int = 64
    """Gaps remembered of each step of demand."""
    fewest: int = 3
    """With fewer gaps nothing is known of a step, nor is a clock believed."""
    prior: float = 0.5
    """So many gaps more than are remembered are supposed, of any length up to the window."""
    focus: float = 1.25
    """Demand comes by the clock if the longest gap considered is at most this factor of the shortest."""
    spare: int = 3
    """Starts under way are called off beyond what is needed and this many."""

# SPDX-License-Identifier: Apache-2.0
"""What a pool counts, and the running means its policy is told (pure)."""

from __future__ import annotations

from typing import Final

from attrs import frozen

__all__ = ["Estimates", "PoolCounts", "counted"]

# How much the newest start-up time, and how many ended inputs, count against the mean so far.
_STARTUP_WEIGHT: Final = 0.1
_SERVICE_SAMPLES: Final = 10.0


def counted(number: int, noun: str) -> str:
    """Return `number` and the noun in its form for it: "1 slot", "2 slots"."""
    return f"{number} {noun}" if number == 1 else f"{number} {noun}s"


@frozen(kw_only=True)
class PoolCounts:
    """The pool's counts at one instant."""

    containers: int
    """Containers that are starting, ready, draining or stopping."""
    starting: int
    """Containers whose start is under way."""
    ready: int
    """Containers that take inputs."""
    idle: int
    """Ready containers in which nothing runs."""
    draining: int
    """Containers that finish what they run and then stop, or run their exit hooks."""
    running: int
    """Inputs that hold a slot."""
    abandoned: int
    """Those of `running` whose outcome is settled, but whose work has not returned."""
    pending: int
    """Inputs that no slot has taken."""
    free_slots: int
    """Slots of ready containers that nothing holds."""
    arrived: int
    """Inputs accepted since the pool began."""
    refused: int
    """Inputs refused because a limit was reached."""
    succeeded: int
    """Inputs that ended with a result."""
    failed: int
    """Inputs that ended with an exception."""
    cancelled: int
    """Inputs that were cancelled."""
    timed_out: int
    """Inputs that ran longer than the function's timeout."""
    starts: int
    """Containers ever asked for."""
    start_failures: int
    """Containers whose start failed."""
    overruled: int
    """Times a policy's decision was clipped to the contract."""
    container_seconds: float
    """Seconds of containers' lives so far, from the request to start to the end of the exit hooks."""


class Estimates:
    """Running means of start-up and service time, which follow a change within some ten samples."""

    __slots__ = ("_seen_ended", "_seen_served_s", "_startup_known", "service_s", "startup_s")

    def __init__(self, startup_hint_s: float) -> None:
        self.startup_s = startup_hint_s
        """Mean seconds from asking for a container to its being ready; the hint until one was."""
        self.service_s: float | None = None
        """Mean seconds an input holds its slot; None until one has ended."""
        self._startup_known = False
        self._seen_ended = 0
        self._seen_served_s = 0.0

    def started(self, startup_s: float) -> None:
        """Learn from one start."""
        self.startup_s += (startup_s - self.startup_s) * (_STARTUP_WEIGHT if self._startup_known else 1.0)
        self._startup_known = True

    def served(self, ended: int, served_s: float) -> None:
        """Learn from the pool's totals: inputs that left their slots, and the seconds they held them."""
        count = ended - self._seen_ended
        if count <= 0:
            return
        mean = (served_s - self._seen_served_s) / count
        if self.service_s is None:
            self.service_s = mean
        else:
            self.service_s += (mean - self.service_s) * (count / (count + _SERVICE_SAMPLES))
        self._seen_ended = ended
        self._seen_served_s = served_s

# SPDX-License-Identifier: Apache-2.0
"""What is simulated: when inputs come, how long each one runs, how long containers take to start.

A trace is a value: nothing here draws a number or knows a policy. Times are seconds since its beginning.
"""

from __future__ import annotations

import math
from array import array
from collections.abc import Iterable
from typing import Final

from attrs import evolve, field, frozen

from actorpool._core._config import AutoscalerSettings, Concurrency, check_count, check_seconds
from actorpool.exception import InvalidError

__all__ = ["MapCall", "Trace"]

_CHECKED: Final = {"arrivals": "instants", "services": "service times", "startups": "start-up times"}


def _floats(values: Iterable[float]) -> array[float]:
    return values if isinstance(values, array) and values.typecode == "d" else array("d", values)


@frozen(kw_only=True)
class MapCall:
    """One `map` over inputs of a closed loop: an input is submitted as an earlier one ends.

    Raises:
        InvalidError: If a value is out of range.
    """

    inputs: int
    """How many inputs it has (at least 1)."""
    pause_s: float = 0.0
    """Seconds from the end of its caller's previous map, or from the beginning of the trace, to its begin (>= 0)."""
    in_flight: int = 1_000
    """Most of its inputs that are pending or running at a time (at least 1)."""

    def __attrs_post_init__(self) -> None:
        check_count("inputs", self.inputs, least=1)
        check_count("in_flight", self.in_flight, least=1)
        check_seconds("pause_s", self.pause_s, zero=True)


@frozen(kw_only=True, eq=False)
class Trace:
    """A workload: everything about the inputs and containers of one function that no setting changes.

    Inputs come at given instants (`arrivals`), and those of `callers` as their maps submit them. The k-th
    input takes the k-th of `services` whatever the policy does, and the k-th start the k-th of `startups`,
    so that two simulations of a trace differ by their settings alone.

    Raises:
        InvalidError: If instants are out of order, a time is negative or not finite, or the counts disagree.
    """

    name: str = "trace"
    """What reports call it."""
    arrivals: array[float] = field(factory=lambda: array("d"), converter=_floats)
    """Instants at which inputs come, in seconds from the beginning, in order."""
    services: array[float] = field(converter=_floats)
    """How long each input holds its slot, in seconds: of `arrivals` first, then of each caller's maps."""
    startups: array[float] = field(converter=_floats)
    """Start-up times in seconds, of the first start, the second, and so on; further ones are drawn from them."""
    callers: tuple[tuple[MapCall, ...], ...] = ()
    """Closed loops: the maps of each caller, one after the other."""
    duration_s: float = 0.0
    """The app is closed at this instant, or when the last input has ended, if that is later."""
    settings: AutoscalerSettings = field(factory=AutoscalerSettings)
    """The settings to simulate where no others are given."""
    concurrency: Concurrency = field(factory=Concurrency)
    """Likewise, how many inputs a container runs at once."""

    def __attrs_post_init__(self) -> None:
        for name, what in _CHECKED.items():
            values = getattr(self, name)
            # Written so that NaN fails.
            if not all(0 <= value < math.inf for value in values):
                raise InvalidError(f"{what} of trace '{self.name}' must be finite and at least 0 seconds")
        if any(later < earlier for earlier, later in zip(self.arrivals, self.arrivals[1:], strict=False)):
            raise InvalidError(
                f"arrivals of trace '{self.name}' are out of order; sort them with their services"
            )
        if not self.startups:
            raise InvalidError(f"trace '{self.name}' has no start-up time; give at least one, such as [0.0]")
        mapped = sum(call.inputs for calls in self.callers for call in calls)
        if len(self.services) != len(self.arrivals) + mapped:
            raise InvalidError(
                f"trace '{self.name}' has {len(self.services)} service times for {len(self.arrivals)} arrivals and "
                f"{mapped} inputs of maps; each input needs one"
            )
        check_seconds("duration_s", self.duration_s, zero=True)

    def __len__(self) -> int:
        """Return how many inputs it has."""
        return len(self.services)

    def __repr__(self) -> str:
        return f"<Trace '{self.name}' inputs={len(self)} duration={self.duration_s:g}s>"

    def named(self, name: str) -> Trace:
        """Return the same trace under another name."""
        return evolve(self, name=name)

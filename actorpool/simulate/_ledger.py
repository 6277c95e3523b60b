# SPDX-License-Identifier: Apache-2.0
"""What happened to containers and inputs, written down independently of the pool machine.

The ledger hears of each fact once, from the simulation, and reads nothing of the machine: so it may say what the
machine's work cost, and whether the contract was kept.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

from attrs import frozen

if TYPE_CHECKING:
    from actorpool._core._config import AutoscalerSettings, Concurrency

__all__ = ["Box", "Ledger", "Violation"]

# Instants are sums of floats; what is late by less is not late.
_TOLERANCE_S: Final = 1e-6
# Each is kept with its sentence; of the rest the count will do.
_MOST_KEPT: Final = 100


@frozen
class Violation:
    """One breach of the contract."""

    at: float
    """When, in seconds from the beginning of the trace."""
    rule: str
    """Which rule: "max", "min", "busy", "window", "slot", "slots" or "nobody"."""
    what: str
    """What was found, with the numbers."""


class Box:
    """A container in the ledger."""

    __slots__ = ("asked_at", "capacity", "idle_since", "late", "load", "ready_at")

    def __init__(self, now: float) -> None:
        self.asked_at: float = now
        self.ready_at: float = float("inf")
        self.idle_since: float = now
        self.load: int = 0
        self.capacity: bool = True
        """Whether it has not been told to stop."""
        self.late: bool = False
        """Whether it was found idle beyond the window."""


class Ledger:
    """The accounts of one simulation."""

    __slots__ = (
        "_idle",
        "_max_inputs",
        "_ready",
        "_running",
        "_settings",
        "_size",
        "_surplus_since",
        "_target",
        "broken",
        "changes",
        "container_s",
        "idle_s",
        "live",
        "peak",
        "pending",
        "starting_s",
        "starts",
        "violations",
    )

    def __init__(self, settings: AutoscalerSettings, concurrency: Concurrency) -> None:
        self._settings = settings
        self._max_inputs = concurrency.max_inputs
        self._target = concurrency.target
        # Those that take inputs, and the inputs in them.
        self._ready = 0
        self._running = 0
        # Ready and starting ones.
        self._size = 0
        # The idle ones, the longest idle first.
        self._idle: dict[Box, None] = {}
        # Since when there are more containers than minimum and buffer hold.
        self._surplus_since = 0.0
        self.pending: int = 0
        """Inputs that no slot has taken."""
        self.live: int = 0
        """Containers that were asked for and are not gone."""
        self.starts: int = 0
        self.peak: int = 0
        """Most of `live` at a time."""
        self.container_s: float = 0.0
        """Seconds of the lives of those that are gone, from the request to the end."""
        self.starting_s: float = 0.0
        """Seconds of them before they were ready, or were called off."""
        self.idle_s: float = 0.0
        """Seconds of them in which they were ready and nothing ran in them."""
        self.changes: list[tuple[float, int]] = []
        """Instants at which `live` changed, and its value since."""
        self.violations: dict[str, int] = {}
        """How often each rule was broken."""
        self.broken: list[Violation] = []
        """The first breaches."""

    # -- containers ------------------------------------------------------------------------------

    def asked(self, now: float) -> Box:
        """A container was asked for."""
        self.starts += 1
        self.live += 1
        self._size += 1
        self.peak = max(self.peak, self.live)
        self.changes.append((now, self.live))
        bound = self._settings.max_containers
        if bound is not None and self.live > bound:
            self._breach(now, "max", f"{self.live} containers, and max_containers is {bound}")
        return Box(now)

    def ready(self, box: Box, now: float) -> None:
        """A container takes inputs from now on."""
        self.starting_s += now - box.asked_at
        box.ready_at = box.idle_since = now
        self._ready += 1
        self._idle[box] = None

    def told_to_stop(self, box: Box, now: float) -> None:
        """A container was told to stop, or its start was called off."""
        self._size -= 1
        box.capacity = False
        if box.ready_at > now:
            self.starting_s += now - box.asked_at
            return
        self._ready -= 1
        if box.load:
            self._running -= box.load
            self._breach(now, "busy", f"a container was stopped with {box.load} inputs in it")
        else:
            del self._idle[box]
            self.idle_s += now - box.idle_since

    def gone(self, box: Box, now: float) -> None:
        """A container has ended."""
        self.live -= 1
        self.changes.append((now, self.live))
        self.container_s += now - box.asked_at

    # -- inputs ----------------------------------------------------------------------------------

    def took(self, box: Box, now: float) -> None:
        """A pending input took a slot."""
        self.pending -= 1
        load = box.load
        if not load:
            self._idle.pop(box, None)
            self.idle_s += now - box.idle_since
        box.load = load + 1
        self._running += 1
        if load >= self._max_inputs:
            self._breach(now, "slots", f"{load + 1} inputs in a container of {self._max_inputs} slots")

    def left(self, box: Box, now: float) -> None:
        """An input's slot is free again."""
        load = box.load = box.load - 1
        if box.capacity:
            self._running -= 1
            if not load:
                box.idle_since = now
                self._idle[box] = None

    # -- time ------------------------------------------------------------------------------------

    def elapse(self, now: float, until: float) -> None:
        """Nothing is due from `now` to `until`: look whether what stands meanwhile keeps the contract."""
        settings, size, pending = self._settings, self._size, self.pending
        if pending:
            free = self._ready * self._max_inputs - self._running
            if free > 0:
                self._breach(now, "slot", f"{free} slots are free while {pending} inputs are pending")
            if not size and (settings.max_containers is None or self.live < settings.max_containers):
                self._breach(now, "nobody", f"{pending} inputs are pending, and no container is under way")
        if size < settings.min_containers:
            self._breach(now, "min", f"{size} containers, and min_containers is {settings.min_containers}")
        held = settings.min_containers
        demand = self._running + pending
        if demand:
            held = max(held, -(-demand // self._target) + settings.buffer_containers)
        if size <= held:
            self._surplus_since = until
        elif self._idle:
            box = next(iter(self._idle))
            # It may have been held for a while, and then its window begins anew.
            due = max(box.idle_since, self._surplus_since) + settings.scaledown_window
            if due + _TOLERANCE_S < until and not box.late:
                box.late = True
                self._breach(
                    due,
                    "window",
                    f"a container idle since {box.idle_since:g} was kept to {until:g}, beyond its window of "
                    f"{settings.scaledown_window:g} s, with {size} containers where {held} are held",
                )

    def _breach(self, now: float, rule: str, what: str) -> None:
        self.violations[rule] = self.violations.get(rule, 0) + 1
        if len(self.broken) < _MOST_KEPT:
            self.broken.append(Violation(now, rule, what))

# SPDX-License-Identifier: Apache-2.0
"""What the model of the pool is made of: its containers, and its rows of failures."""

from __future__ import annotations

import math

from attrs import define, field

from actorpool._core._config import Restart
from actorpool._core._container import Container, Phase
from actorpool._core._input import Input

__all__ = ["Box", "Row"]


@define(eq=False)
class Box:
    """A container of the model."""

    record: Container
    asked_at: float
    phase: Phase = Phase.STARTING
    slots: dict[Input, float] = field(factory=dict)
    idle_since: float = 0.0
    served: int = 0
    order: int = 0
    """When it got to its load, among all such moves."""


@define(eq=False)
class Row:
    """Containers that failed in the same way one after the other."""

    restart: Restart
    count: int = 0
    last_number: int = 0
    """The newest container there was when the last of them failed."""
    first_number: int = 0
    """The newest one there was when the first did."""
    not_before: float = -math.inf

    def add(self, number: int, newest: int, now: float) -> None:
        if number > self.last_number:
            if not self.count:
                self.first_number = newest
            self.count += 1
            self.last_number = newest
            self.not_before = now + self.restart.delay_s(self.count)

    def end(self) -> None:
        self.count, self.not_before = 0, -math.inf

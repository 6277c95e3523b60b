# SPDX-License-Identifier: Apache-2.0
"""One container as the pool machine sees it: its phase and the inputs in its slots (pure).

Only the moves in `MOVES` exist; any other is a bug of ours and raises without changing the record.
"""

from __future__ import annotations

from enum import Enum
from typing import TYPE_CHECKING, Any

from actorpool.exception import InternalError

if TYPE_CHECKING:
    from actorpool._core._input import Input

__all__ = ["MOVES", "Container", "Phase"]


class Phase(Enum):
    """Where a container is in its life."""

    STARTING = "starting"
    READY = "ready"
    DRAINING = "draining"
    STOPPING = "stopping"
    STOPPED = "stopped"


MOVES: dict[Phase, frozenset[Phase]] = {
    Phase.STARTING: frozenset({Phase.READY, Phase.STOPPING, Phase.STOPPED}),
    Phase.READY: frozenset({Phase.DRAINING, Phase.STOPPING, Phase.STOPPED}),
    Phase.DRAINING: frozenset({Phase.STOPPING, Phase.STOPPED}),
    Phase.STOPPING: frozenset({Phase.STOPPED}),
    Phase.STOPPED: frozenset(),
}


class Container:
    """A container's record: identity, phase, and what runs in its slots."""

    __slots__ = ("asked_at", "handle", "idle_since", "inputs", "number", "phase", "ready", "served")

    def __init__(self, number: int, asked_at: float) -> None:
        self.number: int = number
        """Counts the pool's containers from 1 in the order of their starts."""
        self.asked_at: float = asked_at
        """When its start was asked for; its container-seconds count from here."""
        self.phase: Phase = Phase.STARTING
        self.ready: bool = False
        """Whether the phase is READY: read for every input, so kept beside it."""
        self.inputs: dict[Input, float] = {}
        """What holds a slot: `{input: instant it took the slot}`, oldest first."""
        self.idle_since: float = asked_at
        self.served: int = 0
        self.handle: Any = None
        """The shell's container actor; opaque here."""

    def move(self, phase: Phase) -> None:
        """Enter `phase`.

        Raises:
            InternalError: If there is no such move; the record is unchanged then.
        """
        if phase not in MOVES[self.phase]:
            raise InternalError(f"container {self.number} cannot go from {self.phase.value} to {phase.value}")
        self.phase = phase
        self.ready = phase is Phase.READY

    def __repr__(self) -> str:
        return f"<Container {self.number} {self.phase.value} running={len(self.inputs)}>"

# SPDX-License-Identifier: Apache-2.0
"""How a spawned map waits while the backlog is full: the pause before each try, and when to say so (pure).

The pause doubles with every try that finds no room, up to a second, and begins anew when something was accepted.
"""

from __future__ import annotations

from typing import Final

from attrs import frozen

__all__ = ["RoomWait", "Wait"]

# Picked by feel: short beside a human's patience, long beside the time of an input that does nothing.
_FIRST_PAUSE_S: Final = 0.01
_LONGEST_PAUSE_S: Final = 1.0
_WARN_EVERY: Final = 10


@frozen
class Wait:
    """What to do before the next try."""

    pause_s: float
    """Seconds to wait."""
    warn: bool
    """Whether to tell the user that the map waits: at every tenth wait of it."""


class RoomWait:
    """The waits of one spawned map."""

    __slots__ = ("_pause_s", "_waits")

    def __init__(self) -> None:
        self._waits = 0
        self._pause_s = _FIRST_PAUSE_S

    def next(self, accepted: int) -> Wait:
        """Return the wait after a try that left inputs over, of which `accepted` inputs found room."""
        if accepted:
            self.begin()
        self._waits += 1
        wait = Wait(self._pause_s, self._waits % _WARN_EVERY == 0)
        self._pause_s = min(2 * self._pause_s, _LONGEST_PAUSE_S)
        return wait

    def begin(self) -> None:
        """Let the pauses begin anew: there was room."""
        self._pause_s = _FIRST_PAUSE_S

# SPDX-License-Identifier: Apache-2.0
"""Lookahead: how many inputs are sent ahead to a container with a long way to it, and when it is asked for them (pure).

A container that has ended an input begins the next of those that were sent ahead by itself. How many go ahead is what
it gets done in a moment, measured by the ends that come. Nobody is to wait behind a long input while others have
nothing to do: what is ahead is asked back when another container of the pool has run out of work, and when no end has
come for longer than it should. The container says which inputs have not begun and drops them; only then may they run
elsewhere, and until it has said so nothing more goes ahead.

This is on the path of every input. Times are in seconds, of any clock that only goes forward.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

if TYPE_CHECKING:
    from collections.abc import Iterable

    from actorpool._core._input import Input

__all__ = ["MOST_BYTES", "SILENCE_S", "Lookahead"]

MOST_BYTES: Final = 1 << 21
"""How much of arguments goes ahead, in bytes: beside what runs it has to have room in the ring of a connection."""
SILENCE_S: Final = 0.01
"""After how long without an end what is ahead is asked back."""

# All picked by feel, with `python -m benchmarks --only 'process-*'`: how much work goes ahead, in seconds and in
# inputs, and up to which service time it does, in seconds; the silence above too. What is left when more is sent, half
# of it, has to last until that is read: where results are held for a while, the processors are taken, and a thread in
# Python code keeps the interpreter for 5 ms, that is several milliseconds.
_AHEAD_S: Final = 0.020
_MOST: Final = 256
_ONE_S: Final = 0.005
# How much the newest measurement counts.
_WEIGHT: Final = 0.5


class Lookahead:
    """What was sent ahead to one container, by number, in the order in which it was sent.

    Attributes:
        heard_at: When an end came last, or work was sent to an idle container; who sends that sets it.
    """

    __slots__ = ("_ahead", "_asked_back", "_each_bytes", "_service_s", "heard_at")

    def __init__(self) -> None:
        self._ahead: dict[int, Input] = {}
        self._asked_back = False
        # How long one input takes it; None until an end has come.
        self._service_s: float | None = None
        # How long the arguments of one were on average, of those that were sent ahead last.
        self._each_bytes = 0
        self.heard_at: float = 0.0

    def __repr__(self) -> str:
        each = "unknown" if self._service_s is None else f"{1e3 * self._service_s:.3g} ms"
        return f"<Lookahead ahead={len(self._ahead)} each={each}{' asked back' if self._asked_back else ''}>"

    def __len__(self) -> int:
        return len(self._ahead)

    def __contains__(self, number: int) -> bool:
        return number in self._ahead

    def lasts(self, look_at: float, now: float) -> bool:
        """Return whether a look for silence that is due at `look_at` is far enough away to be left alone.

        One that comes only to find that there was no silence costs a turn of a loop; to put it off has its price too.
        """
        return look_at - now >= SILENCE_S / 2

    def ended(self, count: int, now: float) -> None:
        """Take note that `count` (>= 1) ends have come."""
        service_s = (now - self.heard_at) / count
        known = self._service_s
        self._service_s = service_s if known is None else known + _WEIGHT * (service_s - known)
        self.heard_at = now

    def wanted(self) -> int:
        """Return how many more inputs are to go ahead now; their arguments end the matter at `MOST_BYTES`."""
        service_s = self._service_s
        if service_s is None or self._asked_back or service_s > _ONE_S:
            return 0
        most = min(_MOST, 1 + int(_AHEAD_S / service_s)) if service_s else _MOST
        if self._each_bytes * most > MOST_BYTES:
            most = 1 + MOST_BYTES // self._each_bytes
        # Many at a time: half of them have been used up.
        return most - len(self._ahead) if 2 * len(self._ahead) <= most else 0

    def sent(self, inputs: Iterable[tuple[int, Input]], each_bytes: int) -> None:
        """Take note of inputs that went ahead, with their numbers, and how long their arguments are on average."""
        self._ahead.update(inputs)
        self._each_bytes = each_bytes

    def take(self, number: int) -> Input | None:
        """Forget an input, which has begun or was cancelled; None if it did not go ahead."""
        return self._ahead.pop(number, None)

    def ask_back(self) -> int | None:
        """Return the number of the first input that it is to be asked for; None if there is nothing to ask."""
        if self._asked_back or not self._ahead:
            return None
        self._asked_back = True
        return next(iter(self._ahead))

    def withdrawn(self, above: int) -> dict[int, Input]:
        """Forget the inputs with numbers above this one, which the container has dropped; return them."""
        self._asked_back = False
        gone = {number: input for number, input in self._ahead.items() if number > above}
        for number in gone:
            del self._ahead[number]
        return gone

    def silent(self, now: float) -> bool:
        """Return whether it has been silent for too long: what runs takes longer than those before it."""
        silence_s = now - self.heard_at
        if silence_s < SILENCE_S:
            return False
        self._service_s = max(self._service_s or 0.0, silence_s)
        return True

    def clear(self) -> list[int]:
        """Forget all, because the container is gone; return the numbers."""
        numbers = list(self._ahead)
        self._ahead.clear()
        return numbers

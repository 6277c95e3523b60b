# SPDX-License-Identifier: Apache-2.0
"""The slots of a worker process, and the inputs that were sent to it ahead of a slot.

What the parent sent begins in the order of its numbers. Whoever ends an input takes the next one before the parent
is told of the end: what the parent takes to have begun by then is not withdrawn any more.
"""

from __future__ import annotations

import threading
from collections.abc import Container
from typing import TYPE_CHECKING, Final, TypeVar

from attrs import define, field

if TYPE_CHECKING:
    from actorpool._wire._messages import Run

__all__ = ["WorkerSlots"]

T = TypeVar("T")

# Above every number of an input.
_NO_NUMBER: Final = 1 << 62


@define(eq=False)
class WorkerSlots:
    """How many slots are free, and what waits for one. Threads: any."""

    _free: int
    _lock: threading.Lock = field(factory=threading.Lock, init=False)
    # {number: message}, in their order.
    _ahead: dict[int, Run] = field(factory=dict, init=False)
    # Numbers that were cancelled and not known: they have ended, or are about to begin.
    _cancelled: set[int] = field(factory=set, init=False)

    @property
    def ahead(self) -> list[int]:
        """The numbers of what waits."""
        with self._lock:
            return list(self._ahead)

    def enter(self, message: Run) -> bool:
        """Take a slot for an input; if none is free, keep it until `take` returns it."""
        with self._lock:
            if not self._free:
                self._ahead[message.number] = message
                return False
            self._free -= 1
            return True

    def take(self) -> Run | None:
        """Return what takes a slot that has become free; None, and the slot is free, if nothing waits."""
        with self._lock:
            number = next(iter(self._ahead), None)
            if number is None:
                self._free += 1
                self._cancelled.clear()
                return None
            return self._ahead.pop(number)

    def withdraw(self, least: int) -> int:
        """Drop what waits, from that number on; return the number above which all was dropped.

        What waits with a lower number was given a slot that its thread has not left yet.
        """
        with self._lock:
            dropped = [number for number in self._ahead if number >= least]
            for number in dropped:
                del self._ahead[number]
            return min(dropped, default=_NO_NUMBER) - 1

    def cancel(self, number: int, begun: Container[int]) -> bool:
        """Drop an input that waits; return whether it did. Of one that is about to begin, `begin` tells."""
        with self._lock:
            if number not in self._ahead:
                if number not in begun:
                    self._cancelled.add(number)
                return False
            del self._ahead[number]
            return True

    def begin(self, number: int, begun: dict[int, T], input: T) -> bool:
        """Note that an input begins; return False if it was cancelled meanwhile."""
        with self._lock:
            begun[number] = input
            if number in self._cancelled:
                self._cancelled.discard(number)
                return False
            return True

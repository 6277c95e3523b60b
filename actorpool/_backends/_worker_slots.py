# SPDX-License-Identifier: Apache-2.0
"""The slots of a worker process, and the inputs that were sent to it ahead of a slot.

What the parent sent begins in the order of its numbers. Whoever ends an input takes the next one before the parent
is told of the end: what the parent takes to have begun by then is not withdrawn any more.
"""

from __future__ import annotations

import threading
from collections.abc import Callable, Container, Iterable
from typing import TYPE_CHECKING, Any, Final, TypeVar

from attrs import define, field

if TYPE_CHECKING:
    from actorpool._wire._messages import Run, Runs

__all__ = ["Batched", "WorkerSlots"]

T = TypeVar("T")

# Above every number of an input.
_NO_NUMBER: Final = 1 << 62


class Batched:
    """One of the inputs of a `Runs`, whose arguments were read with those of the others."""

    __slots__ = ("args", "kwargs", "number", "runs")

    def __init__(self, number: int, args: tuple[Any, ...], kwargs: dict[str, Any], runs: Runs) -> None:
        self.number = number
        self.args = args
        self.kwargs = kwargs
        self.runs = runs


@define(eq=False)
class WorkerSlots:
    """How many slots are free, and what waits for one. Threads: any."""

    _free: int
    _lock: threading.Lock = field(factory=threading.Lock, init=False)
    # {number: what has come}, in their order.
    _ahead: dict[int, Run | Batched] = field(factory=dict, init=False)
    # Numbers that were cancelled and not known: they have ended, or are about to begin.
    _cancelled: set[int] = field(factory=set, init=False)

    @property
    def ahead(self) -> list[int]:
        """The numbers of what waits."""
        with self._lock:
            return list(self._ahead)

    def enter(self, arrivals: Iterable[Run | Batched]) -> list[Run | Batched]:
        """Return those inputs that have taken a slot; where none is free, keep them until `take` returns them."""
        entered: list[Run | Batched] = []
        with self._lock:
            for arrival in arrivals:
                if self._free:
                    self._free -= 1
                    entered.append(arrival)
                else:
                    self._ahead[arrival.number] = arrival
        return entered

    def take(self) -> Run | Batched | None:
        """Return what takes a slot that has become free; None, and the slot is free, if nothing waits."""
        with self._lock:
            for number in self._ahead:
                return self._ahead.pop(number)
            self._free += 1
            self._cancelled.clear()
            return None

    def withdraw(self, least: int, tell: Callable[[int], object]) -> None:
        """Drop what waits, from that number on, and `tell` the number above which all was dropped.

        What waits with a lower number was given a slot that its thread has not left yet. Whose end is told after this
        has found nothing to follow it; so nothing is to come between the dropping and the telling.
        """
        with self._lock:
            dropped = [number for number in self._ahead if number >= least]
            for number in dropped:
                del self._ahead[number]
            tell(min(dropped, default=_NO_NUMBER) - 1)

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

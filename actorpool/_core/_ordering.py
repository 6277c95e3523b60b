# SPDX-License-Identifier: Apache-2.0
"""Reassembly: how far a map may run ahead, and in which order its results come out (pure).

One map owns one `Reassembly`. Inputs are numbered from 0 in the order in which they start; each passes
through three states and is counted in exactly one of them:

    in flight ──finished──► waiting ──take──► taken

Two bounds hold at every moment: at most `in_flight` inputs are in flight, and at most `in_flight + buffered`
are in flight or waiting. So a slow consumer, or one slow input at the head of an ordered map, stops the map
at the second bound instead of letting results pile up. The map cannot stall for good: with nothing in
flight every waiting result can be taken, in its order, and taking makes room.

This is on the path of every input: no object is built per operation, counts are plain attributes, and
the checks for our own mistakes are those the bookkeeping needs anyway.
"""

from __future__ import annotations

from collections import deque
from enum import Enum
from typing import Final, Generic, Literal, TypeAlias, TypeVar

from actorpool._core._config import check_count
from actorpool.exception import InternalError

__all__ = ["NOTHING", "Nothing", "Reassembly"]

T = TypeVar("T")


class _Nothing(Enum):
    NOTHING = "NOTHING"

    def __repr__(self) -> str:
        return "NOTHING"


Nothing: TypeAlias = Literal[_Nothing.NOTHING]
NOTHING: Final = _Nothing.NOTHING
"""What `Reassembly.take` returns when no result can be delivered; never a result itself."""


class Reassembly(Generic[T]):
    """The window and the reorder buffer of one map.

    Args:
        ordered: Whether results come out in input order; else in the order in which they finish.
        in_flight: Most inputs started and not finished (>= 1, inclusive).
        buffered: Results that may wait without narrowing the window (>= 0, inclusive); each one beyond takes
            the place of an input in flight, so never more than `in_flight + buffered` results wait.

    Attributes:
        in_flight: How many inputs are started and not finished.
        waiting: How many results are finished and not taken.

    Raises:
        InvalidError: If a bound is out of range.
    """

    __slots__ = (
        "_arrived",
        "_bound",
        "_exhausted",
        "_held",
        "_ordered",
        "_running",
        "_started",
        "_taken",
        "_window",
        "in_flight",
        "waiting",
    )

    def __init__(self, *, ordered: bool, in_flight: int, buffered: int) -> None:
        self._ordered = ordered
        self._window = check_count("in_flight", in_flight, least=1)
        self._bound = in_flight + check_count("buffered", buffered, least=0)
        self._exhausted = False
        # Invariant: _taken + waiting + in_flight == _started, the index that starts next.
        self._started = 0
        self._taken = 0
        self.in_flight = 0
        self.waiting = 0
        # Ordered only: {index: result}, waiting; `_taken` is the index that is delivered next.
        self._held: dict[int, T] = {}
        # Unordered only: waiting results as they finished, and the indices in flight.
        self._arrived: deque[T] = deque()
        self._running: set[int] = set()

    def __repr__(self) -> str:
        order = "ordered" if self._ordered else "unordered"
        return (
            f"<Reassembly {order} in_flight={self.in_flight}/{self._window} waiting={self.waiting} "
            f"taken={self._taken}{' exhausted' if self._exhausted else ''}>"
        )

    @property
    def done(self) -> bool:
        """Whether nothing more will come: no further inputs, none in flight, no result waiting."""
        return self._exhausted and self._started == self._taken

    def room(self) -> int:
        """Return how many inputs may be started now."""
        if self._exhausted:
            return 0
        in_flight = self.in_flight
        window = self._window - in_flight
        behind = self._bound - in_flight - self.waiting
        if behind < window:
            return behind
        return window

    def started(self, count: int = 1) -> int:
        """Count `count` further inputs as in flight and return the index of the first.

        Raises:
            InternalError: If there is no room for them; nothing is started then.
        """
        in_flight = self.in_flight + count
        if count < 1 or in_flight > self._window or in_flight + self.waiting > self._bound or self._exhausted:
            raise InternalError(f"{self!r} has room for {self.room()} inputs; {count} were started")
        first = self._started
        self._started = first + count
        self.in_flight = in_flight
        if not self._ordered:
            if count == 1:
                self._running.add(first)
            else:
                self._running.update(range(first, first + count))
        return first

    def finished(self, index: int, item: T) -> None:
        """Hand in the result of input `index`.

        Raises:
            InternalError: If that input is not in flight; nothing changes then.
        """
        if self._ordered:
            if not self._taken <= index < self._started or index in self._held:
                raise InternalError(f"{self!r}: input {index} finished, but it is not in flight")
            self._held[index] = item
        else:
            if index not in self._running:
                raise InternalError(f"{self!r}: input {index} finished, but it is not in flight")
            self._running.remove(index)
            self._arrived.append(item)
        self.in_flight -= 1
        self.waiting += 1

    def take(self) -> T | Nothing:
        """Remove and return the next result that can be delivered, or `NOTHING`."""
        if self._ordered:
            item = self._held.pop(self._taken, NOTHING)
            if item is NOTHING:
                return NOTHING
        elif self._arrived:
            item = self._arrived.popleft()
        else:
            return NOTHING
        self._taken += 1
        self.waiting -= 1
        return item

    def take_ready(self) -> list[T]:
        """Remove and return every result that can be delivered now, in the order of delivery."""
        ready: list[T] = []
        if self._ordered:
            held, index = self._held, self._taken
            while index in held:
                ready.append(held.pop(index))
                index += 1
        else:
            ready.extend(self._arrived)
            self._arrived.clear()
        self._taken += len(ready)
        self.waiting -= len(ready)
        return ready

    def exhaust(self) -> None:
        """Say that no further input will be started; saying it again changes nothing."""
        self._exhausted = True

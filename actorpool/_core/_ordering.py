# SPDX-License-Identifier: Apache-2.0
"""Reassembly: how far a map may run ahead, and in which order its results come out (pure).

One map owns one `Reassembly`. Inputs are counted from 0 in the order in which they start; each passes through
three states and is counted in exactly one of them:

    in flight ──finished──► waiting ──take──► taken

Two bounds hold at every moment: at most `in_flight` inputs are in flight, and at most `in_flight + buffered`
are in flight or waiting. So a slow consumer, or one slow input at the head of an ordered map, stops the map
at the second bound instead of letting results pile up. The map cannot stall for good: with nothing in
flight every waiting result can be taken, in its order, and taking makes room.

This is on the path of every input. An input is its own place in the order: an ordered map keeps its inputs in a queue
and looks whether the first of them has its outcome, so that nothing is sorted or looked up.
"""

from __future__ import annotations

from collections import deque
from typing import TYPE_CHECKING, Final

from actorpool._core._config import check_count
from actorpool._core._input import SUCCEEDED
from actorpool.exception import InternalError

if TYPE_CHECKING:
    from collections.abc import Sequence

    from actorpool._core._input import Input

__all__ = ["Reassembly"]

# A consumer that has to wait lets this many results gather, if that takes no longer than it may, in seconds, and no
# less than a timer is worth; and at most this part of what is in flight, which stands finished with nothing new in its
# place meanwhile.
_GATHER: Final = 16
_GATHER_S: Final = 0.0005
_GATHER_LEAST_S: Final = 0.0001
_GATHER_SHARE: Final = 1 / 16


class Reassembly:
    """The window and the reorder buffer of one map.

    Args:
        ordered: Whether results come out in input order; else in the order in which they finish.
        in_flight: Most inputs started and not finished (>= 1, inclusive).
        buffered: Results that may wait without narrowing the window (>= 0, inclusive); each one beyond takes
            the place of an input in flight, so never more than `in_flight + buffered` results wait.

    Attributes:
        started: How many inputs were started so far, which is the index of the next one.
        in_flight: How many inputs are started and not finished.
        waiting: How many results are finished and not taken.

    Raises:
        InvalidError: If a bound is out of range.
    """

    __slots__ = (
        "_bound",
        "_exhausted",
        "_finished",
        "_flying",
        "_looked_at",
        "_ordered",
        "_queue",
        "_window",
        "in_flight",
        "started",
        "waiting",
    )

    def __init__(self, *, ordered: bool, in_flight: int, buffered: int) -> None:
        self._ordered = ordered
        self._window = check_count("in_flight", in_flight, least=1)
        self._bound = in_flight + check_count("buffered", buffered, least=0)
        self._exhausted = False
        self.started = 0
        self.in_flight = 0
        self.waiting = 0
        # Ordered: what is not taken, in input order. Unordered: what waits, as it finished.
        self._queue: deque[Input] = deque()
        # Unordered only: {index: input in flight}.
        self._flying: dict[int, Input] = {}
        # How many had finished when the consumer last had to wait, and when that was.
        self._finished = 0
        self._looked_at: float | None = None

    def __repr__(self) -> str:
        order = "ordered" if self._ordered else "unordered"
        taken = self.started - self.in_flight - self.waiting
        return (
            f"<Reassembly {order} in_flight={self.in_flight}/{self._window} waiting={self.waiting} "
            f"taken={taken}{' exhausted' if self._exhausted else ''}>"
        )

    @property
    def done(self) -> bool:
        """Whether nothing more will come: no further inputs, none in flight, no result waiting."""
        return self._exhausted and not self.in_flight and not self.waiting

    @property
    def awaited(self) -> int | None:
        """The index of the last input whose outcome, handed in, brings the map forward; None if any may.

        One before it counts too: it may have been taken ahead of that, with what was handed in of another, to which
        its own gives way now.
        """
        if self._ordered and self._exhausted and self._queue:
            return self._queue[0].index
        return None

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

    def start(self, inputs: Sequence[Input]) -> None:
        """Count `inputs`, whose indices are the next ones, as in flight.

        Raises:
            InternalError: If there is no room for them; nothing is started then.
        """
        count = len(inputs)
        in_flight = self.in_flight + count
        if in_flight > self._window or in_flight + self.waiting > self._bound or self._exhausted:
            raise InternalError(f"{self!r} has room for {self.room()} inputs; {count} were started")
        self.started += count
        self.in_flight = in_flight
        if self._ordered:
            self._queue.extend(inputs)
        else:
            self._flying.update((input.index, input) for input in inputs)

    def finish(self, inputs: Sequence[Input]) -> None:
        """Count `inputs`, which have their outcomes, as waiting.

        Args:
            inputs: The record of the last attempt of each, in the order in which they finished.

        Raises:
            InternalError: If one of them is not in flight; which of an ordered map's are is for the caller to know.
        """
        count = len(inputs)
        if count > self.in_flight:
            raise InternalError(f"{self!r}: {count} inputs finished, more than are in flight")
        if not self._ordered:
            flying = self._flying
            for input in inputs:
                if flying.pop(input.index, None) is None:
                    raise InternalError(f"{self!r}: input {input.index} finished, but it is not in flight")
            self._queue.extend(inputs)
        self.in_flight -= count
        self.waiting += count

    def take(self) -> Input | None:
        """Remove and return the next input whose outcome can be delivered; None if there is none."""
        if not self.waiting:
            return None
        queue = self._queue
        input = queue[0]
        if self._ordered:
            # An attempt that was followed by another has its successor before its state says that it is over.
            while input.state >= SUCCEEDED and input.successor is not None:
                input = input.successor
            if input.state < SUCCEEDED:
                return None
        queue.popleft()
        self.waiting -= 1
        return input

    def pause(self, now: float) -> float:
        """Return for how many seconds a consumer that has to wait lets results gather before it asks to be woken.

        To be woken costs a thread more than to take a result, and at the expense of those that work. So a consumer to
        whom results come fast, by their rate since it last had to wait, does better to look now and then. 0 when they
        come slowly; when they come many at a time; and when so few are in flight that there might be no input for
        those that work meanwhile.

        Args:
            now: The time in seconds, of any clock that only goes forward.
        """
        finished = self.started - self.in_flight
        count, before = finished - self._finished, self._looked_at
        self._finished, self._looked_at = finished, now
        if before is None or now <= before or not 0 < count < 4 * _GATHER:
            return 0.0
        each = (now - before) / count
        pause = min(_GATHER_S, each * min(_GATHER, self.in_flight * _GATHER_SHARE))
        return pause if pause >= max(_GATHER_LEAST_S, each * _GATHER / 4) else 0.0

    def unfinished(self) -> list[Input]:
        """Return the inputs in flight."""
        if self._ordered:
            return [input for input in self._queue if not input.latest().done]
        return list(self._flying.values())

    def exhaust(self) -> None:
        """Say that no further input will be started; saying it again changes nothing."""
        self._exhausted = True

# SPDX-License-Identifier: Apache-2.0
"""The backlog: pending inputs, oldest first, with cancellation in O(1) amortised (pure).

A cancelled input stays in the deque as a tombstone (its state is no longer PENDING) and is passed
over when its turn comes. When tombstones outnumber the living, the deque is rebuilt, which costs
O(1) per cancellation on average and bounds the memory to twice the living (and a few).
"""

from __future__ import annotations

from collections import deque
from typing import TYPE_CHECKING, Final

from actorpool._core._input import CANCELLED, PENDING

if TYPE_CHECKING:
    from collections.abc import Iterator

    from actorpool._core._input import Input

__all__ = ["Backlog"]

# Below this many tombstones a rebuild is not worth its call.
_COMPACT_FROM: Final = 64


class Backlog:
    """Pending inputs in the order of their arrival.

    Attributes:
        count: How many inputs are pending.
        spawned: How many of them `spawn` accepted; a caller waits for each of the others.
    """

    __slots__ = ("_dead", "_queue", "count", "spawned")

    def __init__(self) -> None:
        self._queue: deque[Input] = deque()
        self._dead = 0
        self.count = 0
        self.spawned = 0

    def __len__(self) -> int:
        return self.count

    def __iter__(self) -> Iterator[Input]:
        """Yield the pending inputs, the oldest first."""
        return (input for input in self._queue if input.state == PENDING)

    def push(self, input: Input) -> None:
        """Add `input` behind all others; its state becomes PENDING."""
        input.state = PENDING
        self._queue.append(input)
        self.count += 1
        if input.spawned:
            self.spawned += 1

    def push_first(self, input: Input) -> None:
        """Add `input` before all others, because it was taken too early; its state becomes PENDING."""
        input.state = PENDING
        self._queue.appendleft(input)
        self.count += 1
        if input.spawned:
            self.spawned += 1

    def pop(self) -> Input:
        """Remove and return the oldest pending input; the backlog must not be empty."""
        # Invariant: the queue holds exactly `count` inputs that are PENDING.
        while True:
            input = self._queue.popleft()
            if input.state == PENDING:
                break
            self._dead -= 1
        self.count -= 1
        if input.spawned:
            self.spawned -= 1
        if self._dead > self.count:
            self._compact()
        return input

    def discard(self, input: Input) -> None:
        """Forget a pending `input`, whose state the caller makes final in the same step."""
        input.state = CANCELLED
        self.count -= 1
        if input.spawned:
            self.spawned -= 1
        self._dead += 1
        if self._dead > self.count:
            self._compact()

    def _compact(self) -> None:
        if self._dead >= _COMPACT_FROM:
            self._queue = deque(self)
            self._dead = 0

# SPDX-License-Identifier: Apache-2.0
"""The backlog: pending inputs, oldest first, with cancellation in O(1) amortised (pure).

A cancelled input stays in the deque as a tombstone (its state is no longer PENDING) and is passed
over when its turn comes. When tombstones outnumber the living, the deque is rebuilt, which costs
O(1) per cancellation on average and bounds the memory to twice the living (and a few).

Some of the oldest may be set aside for a container that is full: they go ahead to where they will run, so that it
need not ask for each. They are pending and counted like the others, but nobody else takes them.
"""

from __future__ import annotations

from collections import deque
from typing import TYPE_CHECKING, Final

from actorpool._core._input import CANCELLED, PENDING

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator, Sequence

    from actorpool._core._container import Container
    from actorpool._core._input import Input

__all__ = ["Backlog"]

# Below this many tombstones a rebuild is not worth its call.
_COMPACT_FROM: Final = 64


class Backlog:
    """Pending inputs in the order of their arrival.

    Attributes:
        count: How many inputs are pending.
        spawned: How many of them `spawn` accepted; a caller waits for each of the others.
        aside: How many of them are set aside for a container.
    """

    __slots__ = ("_dead", "_queue", "_set_aside", "aside", "count", "spawned")

    def __init__(self) -> None:
        self._queue: deque[Input] = deque()
        self._dead = 0
        self.count = 0
        self.spawned = 0
        # {container: what is set aside for it, tombstones included}; an input that is pending has a container then.
        self._set_aside: dict[Container, deque[Input]] = {}
        self.aside = 0

    def __len__(self) -> int:
        return self.count

    def __iter__(self) -> Iterator[Input]:
        """Yield the pending inputs that are not set aside, the oldest first."""
        return (input for input in self._queue if input.state == PENDING)

    def push(self, input: Input) -> None:
        """Add `input` behind all others; its state becomes PENDING."""
        input.state = PENDING
        self._queue.append(input)
        self.count += 1
        if input.spawned:
            self.spawned += 1

    def extend(self, inputs: Sequence[Input]) -> None:
        """Add `inputs`, none of them spawned, behind all others, in order; their states become PENDING."""
        for input in inputs:
            input.state = PENDING
        self._queue.extend(inputs)
        self.count += len(inputs)

    def push_first(self, input: Input) -> None:
        """Add `input` before all others, because it was taken too early; its state becomes PENDING."""
        input.state = PENDING
        self._queue.appendleft(input)
        self.count += 1
        if input.spawned:
            self.spawned += 1

    def pop(self) -> Input:
        """Remove and return the oldest pending input that is not set aside; there must be one."""
        # Invariant: the queue holds exactly `count - aside` inputs that are PENDING.
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
        if input.container is not None:
            self.aside -= 1
            return
        self._dead += 1
        if self._dead > self.count:
            self._compact()

    def set_aside(self, container: Container, most: int) -> list[Input]:
        """Set up to `most` of the oldest inputs aside for `container`; return them."""
        taken: list[Input] = []
        queue = self._queue
        while len(taken) < most and self.count > self.aside:
            input = queue.popleft()
            if input.state != PENDING:
                self._dead -= 1
                continue
            input.container = container
            taken.append(input)
            self.aside += 1
        if taken:
            self._set_aside.setdefault(container, deque()).extend(taken)
        return taken

    def pop_aside(self, container: Container) -> Input | None:
        """Remove and return the oldest input that is set aside for `container`; None if there is none."""
        queue = self._set_aside.get(container)
        while queue:
            input = queue.popleft()
            if input.state == PENDING:
                self.count -= 1
                self.aside -= 1
                if input.spawned:
                    self.spawned -= 1
                return input
        if queue is not None:
            del self._set_aside[container]
        return None

    def put_back(self, container: Container, inputs: Iterable[Input] | None = None) -> None:
        """Let anybody take what is set aside for `container`, before all others: `inputs`, or all of it."""
        queue = self._set_aside.pop(container, None)
        if queue is None:
            return
        chosen = set(queue if inputs is None else inputs)
        kept = deque(input for input in queue if input not in chosen)
        if kept:
            self._set_aside[container] = kept
        for input in reversed(queue):
            if input.state == PENDING and input in chosen:
                input.container = input.handle = None
                self._queue.appendleft(input)
                self.aside -= 1

    def put_all_back(self) -> None:
        """Let anybody take what is set aside."""
        for container in list(self._set_aside):
            self.put_back(container)

    def _compact(self) -> None:
        if self._dead >= _COMPACT_FROM:
            self._queue = deque(self)
            self._dead = 0

# SPDX-License-Identifier: Apache-2.0
"""Two threads that take turns, point by point, as a test chooses: what may happen between any two steps does."""

from __future__ import annotations

import threading
from collections import deque

__all__ = ["SteppedLock", "Turns"]


class Turns:
    """Lets one of two threads go on at a time; who is next is chosen whenever one comes to what both look at."""

    def __init__(self, choices: list[bool]) -> None:
        self._choices = deque(choices)
        self._gates = threading.Semaphore(1), threading.Semaphore(0)
        self._ended: set[int] = set()
        self._local = threading.local()

    def begin(self, side: int) -> None:
        self._local.side = side
        self._gates[side].acquire()

    def point(self) -> None:
        side = getattr(self._local, "side", None)
        if side is not None and self._choices and self._choices.popleft():
            self._pass(side)

    def let_other(self) -> None:
        """Let the other thread go on, which this one has to wait for."""
        self._pass(self._local.side)

    def end(self) -> None:
        side, self._local.side = self._local.side, None
        self._ended.add(side)
        self._gates[1 - side].release()

    def ended(self, side: int) -> bool:
        return side in self._ended

    def _pass(self, side: int) -> None:
        if 1 - side not in self._ended:
            self._gates[1 - side].release()
            self._gates[side].acquire()


class SteppedLock:
    """A lock whose waiting thread lets the other one go on; each step of it is a point."""

    def __init__(self, turns: Turns) -> None:
        self._turns = turns
        self._lock = threading.Lock()
        # Built in, as those of a lock are.
        self.__exit__ = self._lock.__exit__
        self.release = self._lock.release

    def acquire(self) -> bool:
        self._turns.point()
        while not self._lock.acquire(blocking=False):
            self._turns.let_other()
        self._turns.point()
        return True

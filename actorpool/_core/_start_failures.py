# SPDX-License-Identifier: Apache-2.0
"""Failures in a row: how long the next start waits, and when those who wait for it give up (pure).

Containers are told apart by their numbers, which count a pool's containers in the order of their starts.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from actorpool._core._config import Restart
    from actorpool._core._container import Container

__all__ = ["EarlyDeaths", "StartFailures"]


class StartFailures:
    """The present row of failed starts of one pool; a start that succeeds ends it."""

    __slots__ = ("_before_last", "_before_row", "_restart", "count", "until")

    def __init__(self, restart: Restart) -> None:
        self._restart = restart
        # The newest container there was when the last failure was counted, and when the first of the row was.
        self._before_last = 0
        self._before_row = 0
        self.count = 0
        """Failed starts in a row; those that were under way together fail together and count once."""
        self.until: float | None = None
        """When the pause after the last failure ends; None when there is no pause."""

    def add(self, number: int, newest: int, now: float) -> None:
        """Count the failed start of container `number`; `newest` is the last one that was asked for."""
        if number <= self._before_last:
            return
        if not self.count:
            self._before_row = newest
        self.count += 1
        self._before_last = newest
        self.until = now + self._restart.delay_s(self.count)

    def end(self) -> None:
        """End the row and its pause."""
        self.count, self.until = 0, None

    def pausing(self, now: float) -> bool:
        """Whether nothing is to be started now."""
        return self.pause_s(now) > 0

    def pause_s(self, now: float) -> float:
        """Return for how long nothing is to be started, in seconds."""
        return 0.0 if self.until is None else max(0.0, self.until - now)

    def conclusive(self, oldest: int | None) -> bool:
        """Whether the row is long enough to give up; `oldest` is the oldest container still under way, if any.

        A start that was under way before the row began may yet succeed, so its end is waited for.
        """
        return self.count >= self._restart.max_failures and (oldest is None or oldest > self._before_row)


class EarlyDeaths(StartFailures):
    """The present row of containers of one pool that died before an input ran in them.

    Such a death is like a failed start: what asked for the container asks for the next one at once. An input that
    ends, or a container that lived for longer than the longest pause, ends the row.
    """

    __slots__ = ("_ended_before",)

    def __init__(self, restart: Restart) -> None:
        super().__init__(restart)
        self._ended_before = 0

    def died(self, container: Container, newest: int, ended: int, now: float) -> None:
        """Count this death; `ended` inputs of the pool have ended, and `newest` is its last container."""
        if ended != self._ended_before or now - container.asked_at > self._restart.max_delay_s:
            self.end()
        self._ended_before = ended
        self.add(container.number, newest, now)

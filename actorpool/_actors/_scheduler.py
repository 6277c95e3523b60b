# SPDX-License-Identifier: Apache-2.0
"""The scheduler actor: fires the schedules of one app. When a schedule is due is decided in `_core._schedule`."""

from __future__ import annotations

import logging
from typing import TYPE_CHECKING, Final

from attrs import frozen

from actorpool._core._schedule import Timetable

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

    from actorpool._core._schedule import Cron, Period
    from actorpool._host._base import Host

__all__ = ["Scheduled", "Scheduler"]

logger = logging.getLogger("actorpool")

# The wall clock may be set, and a suspended machine's monotonic clock stands still: look at least this often.
_LOOK_S: Final = 60.0


@frozen
class Scheduled:
    """A function with a schedule."""

    name: str
    schedule: Cron | Period
    fire: Callable[[], object]
    """Hands one input without arguments to the function; must not block."""


class Scheduler:
    """The actor of one app's schedules."""

    __slots__ = ("_entries", "_host")

    def __init__(self, host: Host, scheduled: Sequence[Scheduled]) -> None:
        self._host = host
        anchor = host.wall_time()
        self._entries = [(entry, Timetable(entry.schedule, anchor)) for entry in scheduled]

    async def run(self) -> None:
        """Fire whatever is due, for ever; ends by cancellation."""
        host = self._host
        while self._entries:
            due = min(timetable.due for _, timetable in self._entries)
            pause = due - host.wall_time()
            if pause > 0:
                await host.sleep(min(pause, _LOOK_S))
            now = host.wall_time()
            for entry, timetable in self._entries:
                if timetable.poll(now):
                    self._fire(entry)
            await host.checkpoint()

    def _fire(self, entry: Scheduled) -> None:
        try:
            entry.fire()
        except Exception:
            # A refused run (a limit, a closed pool) is this run's loss, not the schedule's.
            logger.exception("scheduled run of function '%s' was refused", entry.name)

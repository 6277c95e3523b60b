# SPDX-License-Identifier: Apache-2.0
"""Which step a trio run is taking: what block detection sees there.

Importing this module imports trio, so only a trio run imports this module.

Theory of operation. trio tells no other thread which task it is running, so an instrument notes it before each
step, and forgets it before the run waits. A note is thus out of date only between two steps, where nothing of
anybody's runs. Each hook costs about half a microsecond, so there are no more than these two, and they are in
place only while asynchronous inputs run.
"""

from __future__ import annotations

import sys
import time
from collections.abc import Callable
from types import FrameType
from typing import TYPE_CHECKING
from weakref import ref

import trio

from ._errors import HostClosedError
from ._trio import TrioHost
from ._watchdog import Step, Steps, input_of

if TYPE_CHECKING:
    from ._base import Host

__all__ = ["TrioSteps", "trio_steps"]


def trio_steps(host: Host) -> Steps | None:
    """Return what sees the steps of this thread's trio run; None if its clock is a virtual one."""
    assert isinstance(host, TrioHost)
    # Nobody can have a MockClock without having imported this.
    testing = sys.modules.get("trio.testing")
    if testing is not None and isinstance(trio.lowlevel.current_clock(), testing.MockClock):
        return None
    return TrioSteps(host)


class TrioSteps(trio.abc.Instrument):
    """The `Steps` of a trio run."""

    __slots__ = ("_began_at", "_hooked", "_host", "_pinned", "_task")

    def __init__(self, host: TrioHost) -> None:
        self._host = host
        self._hooked = False
        self._task: trio.lowlevel.Task | None = None
        self._began_at = 0.0
        # The step whose end is to be noted.
        self._pinned: Step | None = None

    # -- the run's thread ------------------------------------------------------------------------

    def before_task_step(self, task: trio.lowlevel.Task) -> None:
        """Note the step; see `trio.abc.Instrument`."""
        if self._pinned is not None:
            self._end_pinned()
        self._began_at = time.monotonic()
        self._task = task

    def before_io_wait(self, timeout: float) -> None:
        """Forget the last step."""
        if self._pinned is not None:
            self._end_pinned()
        self._task = None

    def _end_pinned(self) -> None:
        step, self._pinned = self._pinned, None
        if step is not None:
            step.end()

    def hook(self, interval_s: float) -> None:
        if not self._hooked:
            self._hooked = True
            trio.lowlevel.add_instrument(self)

    def _unhook(self, still_wanted: Callable[[], bool]) -> None:
        if self._hooked and not still_wanted():
            self._hooked = False
            trio.lowlevel.remove_instrument(self)
            self._task = None
            self._end_pinned()

    # -- any thread ------------------------------------------------------------------------------

    @property
    def closed(self) -> bool:
        """Never: a trio run does not end without having ended the containers, and with them the watch."""
        return False

    def unhook(self, still_wanted: Callable[[], bool]) -> None:
        if self._host.bridge.is_current():
            self._unhook(still_wanted)
            return
        try:
            self._host.bridge.post(self._unhook, still_wanted)
        except HostClosedError:
            # The run has ended, and its instruments with it.
            return

    def look(self, last: Step | None) -> Step | None:
        task, began_at = self._task, self._began_at
        if task is None:
            return None
        if last is not None and last.ended_at is None and last.began_at == began_at and last.task() is task:
            return last
        input = input_of(task.context)
        return None if input is None else Step(ref(task), ref(input), input.target, began_at=began_at)

    def pin(self, step: Step) -> None:
        self._pinned = step
        # Set first, looked at then: had the step been over before, its end would never be noted.
        if self._task is None or self._task is not step.task() or self._began_at != step.began_at:
            self._pinned = None
            step.end()

    def root(self, step: Step) -> FrameType | None:
        task = step.task()
        return None if task is None else getattr(task.coro, "cr_frame", None)

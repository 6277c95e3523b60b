# SPDX-License-Identifier: Apache-2.0
"""Which step an asyncio loop is taking: what block detection sees there.

Theory of operation. asyncio tells any thread which task a loop is running, and costs nothing until asked. A
task seen twice may have suspended in between; so a callback, the *beat*, is posted when it is first seen. The
loop takes its callbacks in order, and a task can be queued again only after its present step: as long as the
beat has not run, the task is in the step in which it was seen *after* the beat was posted. A beat is posted
only when a step of an input is seen, so that a loop which waits is not woken. The same holds on uvloop, and
for the first step of an eager task, which runs inside another callback.

While asynchronous inputs run, a timer of the loop, the *pulse*, notes every so often that the loop is between two
steps. The thread that looks may be kept from it by one long step, or by thousands of short ones with a wait for
events after every few: only in the second case does the pulse go on.
"""

from __future__ import annotations

import asyncio
import gc
import time
from collections.abc import Callable
from contextlib import suppress
from contextvars import Context
from types import FrameType
from typing import TYPE_CHECKING, Any
from weakref import ref

from attrs import define, field

from ._asyncio import AsyncioHost
from ._virtual import VirtualTimeLoop
from ._watchdog import Step, Steps, input_of

if TYPE_CHECKING:
    from ._base import Host

__all__ = ["AsyncioSteps", "asyncio_steps"]


def asyncio_steps(host: Host) -> Steps | None:
    """Return what sees the steps of this host's loop; None if it is a virtual one."""
    assert isinstance(host, AsyncioHost)
    return None if isinstance(host.loop, VirtualTimeLoop) else AsyncioSteps(host.loop)


@define(eq=False)
class AsyncioSteps:
    """The `Steps` of an asyncio loop."""

    _loop: asyncio.AbstractEventLoop
    _turned_at: float = field(default=0.0, init=False)
    """When the loop was last known to be between two steps."""
    _pulse: asyncio.TimerHandle | None = field(default=None, init=False)

    @property
    def closed(self) -> bool:
        return self._loop.is_closed()

    def hook(self, interval_s: float) -> None:
        if self._pulse is not None:
            self._pulse.cancel()
        self._turned_at = time.monotonic()
        self._pulse = self._loop.call_later(interval_s, self.hook, interval_s)

    def unhook(self, still_wanted: Callable[[], bool]) -> None:
        if asyncio._get_running_loop() is self._loop:
            self._unhook(still_wanted)
            return
        # Else the loop was closed, and its timers with it.
        with suppress(RuntimeError):
            self._loop.call_soon_threadsafe(self._unhook, still_wanted)

    def _unhook(self, still_wanted: Callable[[], bool]) -> None:
        if self._pulse is not None and not still_wanted():
            self._pulse.cancel()
            self._pulse = None

    def look(self, last: Step | None) -> Step | None:
        task = asyncio.current_task(self._loop)
        if task is None:
            return None
        if last is not None and last.ended_at is None and last.task() is task:
            return last
        input = input_of(_context_of(task))
        return None if input is None else Step(ref(task), ref(input), input.target, turned_at=self._turned_at)

    def pin(self, step: Step) -> None:
        try:
            self._loop.call_soon_threadsafe(step.end)
        except RuntimeError:
            # The loop was closed.
            step.end()
        if asyncio.current_task(self._loop) is not step.task():
            step.end()

    def root(self, step: Step) -> FrameType | None:
        task = step.task()
        return None if task is None else getattr(task.get_coro(), "cr_frame", None)


def _context_of(task: asyncio.Task[Any]) -> Context | None:
    get_context = getattr(task, "get_context", None)
    if get_context is not None:
        context: Context = get_context()
        return context
    # Before Python 3.12 a task does not say; the collector knows what it refers to.
    return next((found for found in gc.get_referents(task) if isinstance(found, Context)), None)

# SPDX-License-Identifier: Apache-2.0
"""Which step an asyncio loop is taking: what block detection sees there.

Theory of operation. asyncio tells any thread which task a loop is running, and costs nothing until asked. A
task seen twice may have suspended in between; so a callback, the *beat*, is posted when it is first seen. The
loop takes its callbacks in order, and a task can be queued again only after its present step: as long as the
beat has not run, the task is in the step in which it was seen *after* the beat was posted. A beat is posted
only when a step of an input is seen, so that a loop which waits is not woken. The same holds on uvloop, and
for the first step of an eager task, which runs inside another callback.
"""

from __future__ import annotations

import asyncio
import gc
from collections.abc import Callable
from contextvars import Context
from types import FrameType
from typing import TYPE_CHECKING, Any
from weakref import ref

from attrs import define

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

    @property
    def closed(self) -> bool:
        return self._loop.is_closed()

    def hook(self) -> None:
        """Do nothing: the loop can be asked at any time."""

    def unhook(self, still_wanted: Callable[[], bool]) -> None:
        """Do nothing."""

    def look(self, last: Step | None) -> Step | None:
        task = asyncio.current_task(self._loop)
        if task is None:
            return None
        if last is not None and last.ended_at is None and last.task() is task:
            return last
        input = input_of(_context_of(task))
        return None if input is None else Step(ref(task), ref(input), input.target)

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

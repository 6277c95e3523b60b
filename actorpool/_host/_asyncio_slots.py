# SPDX-License-Identifier: Apache-2.0
"""Task slots on asyncio: one fresh task per input, in the input's own context.

The coroutine of such a task runs the user's code, reports the outcome and starts the input that takes the slot
next, all in one step: no callback and no turn of the loop lies between two inputs of a slot.

From Python 3.12 on tasks start eagerly: an input that never suspends costs no turn of the loop at all. So that
a run of such inputs does not keep the loop to itself, it is broken off after `_EAGER_RUN` of them; and so that
inputs which call inputs do not pile up on one stack, nothing is started `_EAGER_DEPTH` starts deep. What is put
off starts in the loop's next turn. Tasks that a task factory of the user's makes start when it pleases.
"""

from __future__ import annotations

import asyncio
import sys
from typing import TYPE_CHECKING, Any, Final

from actorpool._core._input import CANCELLED, RUNNING, SUCCEEDED, Input
from actorpool.exception import RemoteError

from ._bridge import AsyncioBridge, _running_loop
from ._context import current_input
from ._failures import failure_of

if TYPE_CHECKING:
    from collections.abc import Sequence

    from ._base import Bridge
    from ._slots import Calls, Complete
    from ._watchdog import Watch

__all__ = ["AsyncioTaskSlots"]

_EAGER: Final = sys.version_info >= (3, 12)
_EAGER_RUN: Final = 64
_EAGER_DEPTH: Final = 8

# Any: only newer interpreters know the keyword.
_Task: Final[Any] = asyncio.Task
_enter: Final = current_input.set


class AsyncioTaskSlots:
    """Runs inputs as asyncio tasks."""

    __slots__ = ("_bridge", "_calls", "_complete", "_loop", "_unbegun", "_watch")

    def __init__(self, bridge: Bridge, complete: Complete, calls: Calls, watch: Watch) -> None:
        assert isinstance(bridge, AsyncioBridge)
        self._bridge = bridge
        self._loop = asyncio.get_running_loop()
        self._complete = complete
        self._calls = calls
        self._watch = watch
        # {task: input}, of the tasks that the loop is yet to begin; none of those that start eagerly.
        self._unbegun: dict[asyncio.Task[Input | None], Input] = {}

    def send(self, input: Input) -> None:
        """Run `input` and then, as long as each ends at once, what takes its slot after it; see `TaskSlots.send`."""
        loop, bridge = self._loop, self._bridge
        if _running_loop() is not loop:
            bridge.post(self.send, input)
            return
        if self._watch.parked:
            self._watch.wake()
        if bridge.starts < _EAGER_DEPTH:
            eager = _EAGER and loop.get_task_factory() is None
            bridge.starts += 1
            try:
                for _ in range(_EAGER_RUN):
                    following = self._start(input, eager)
                    if following is None:
                        return
                    input = following
            finally:
                bridge.starts -= 1
        loop.call_soon(self.send, input)

    def cancel(self, input: Input) -> None:
        """Cancel the task of `input` once; see `TaskSlots.cancel`."""
        if _running_loop() is self._loop:
            _cancel(input)
        else:
            self._bridge.post(_cancel, input)

    async def returned(self, inputs: Sequence[Input]) -> None:
        """Wait until the work of `inputs` has returned; see `TaskSlots.returned`."""
        tasks = [input.handle for input in inputs if input.handle is not None]
        if tasks:
            await asyncio.wait(tasks)

    def _start(self, input: Input, eager: bool) -> Input | None:
        """Start `input`; if it has ended at once, return what takes its slot."""
        context, args, kwargs = input.context, input.args, input.kwargs
        if input.state != RUNNING:
            # Settled on its way here: there is nothing to run, but a slot to give back.
            return self._complete(input, CANCELLED, None)
        context = context.copy()
        context.run(_enter, input)
        work = self._work(input, args, kwargs)
        task: asyncio.Task[Input | None]
        if eager:
            task = _Task(work, loop=self._loop, context=context, eager_start=True)
        else:
            task = self._loop.create_task(work, context=context)
        if task.done():
            return task.result()
        input.handle = task
        if not (eager or getattr(work, "cr_suspended", True)):
            # Cancelled before its first step, it will never begin and cannot report anything.
            self._unbegun[task] = input
            task.add_done_callback(self._never_begun, context=context)
        return None

    async def _work(self, input: Input, args: tuple[Any, ...], kwargs: dict[str, Any] | None) -> Input | None:
        """Run `input` and report its outcome; what takes its slot is returned to `_start`, or else started here."""
        task: asyncio.Task[Input | None] | None = input.handle
        if task is not None:
            task.remove_done_callback(self._never_begun)
            del self._unbegun[task]
        value: Any
        try:
            call = self._calls[input.target]
            value = await (call(*args, **kwargs) if kwargs else call(*args))
            state = SUCCEEDED
        except asyncio.CancelledError:
            # Nobody who waits for a result may take this for a cancellation of its own.
            state, value = CANCELLED, _cancelled(input)
        except BaseException as error:
            if isinstance(error, GeneratorExit) and _running_loop() is not self._loop:
                # Dropped together with its loop, after which others answer for the input.
                raise
            # Whatever user code raises is this input's failure and nobody else's.
            state, value = failure_of(input, error)
        at_once = input.handle is None
        following = self._complete(input, state, value)
        # The traceback of an exception may refer to this frame.
        del value
        if at_once or following is None:
            return following
        self.send(following)
        return None

    def _never_begun(self, task: asyncio.Task[Input | None]) -> None:
        input = self._unbegun.pop(task)
        following = self._complete(input, CANCELLED, _cancelled(input))
        if following is not None:
            self.send(following)


def _cancelled(input: Input) -> RemoteError:
    return RemoteError(f"input of '{input.target}' was cancelled while it was running")


def _cancel(input: Input) -> None:
    task: asyncio.Task[Any] | None = input.handle
    if task is not None:
        task.cancel(f"input of '{input.target}' was cancelled")

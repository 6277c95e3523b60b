# SPDX-License-Identifier: Apache-2.0
"""Task slots on asyncio: one fresh task per input, in the input's own context.

From Python 3.12 on tasks start eagerly: an input that never suspends costs no turn of the loop. So that
a run of such inputs does not keep the loop to itself, the driver yields after `_EAGER_RUN` of them; and
so that inputs which call inputs do not pile up on one stack, it starts tasks the ordinary way below
`_EAGER_DEPTH` nested starts.
"""

from __future__ import annotations

import asyncio
import sys
from functools import partial
from typing import TYPE_CHECKING, Any, Final

from actorpool._core._input import CANCELLED, RUNNING, SUCCEEDED
from actorpool.exception import RemoteError

from ._context import current_input
from ._failures import failure_of

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence
    from contextvars import Context

    from actorpool._core._input import Input

    from ._base import Bridge
    from ._slots import Calls, Complete
    from ._watchdog import Watch

__all__ = ["AsyncioTaskSlots"]

_EAGER: Final = sys.version_info >= (3, 12)
_EAGER_RUN: Final = 64
_EAGER_DEPTH: Final = 8

# How many eager starts are nested right now: `{id of the loop: depth}`, an entry only while there are any.
_depths: dict[int, int] = {}


class _Escaped(Exception):
    """Carries an exception that asyncio would let stop the whole loop."""


async def _guarded(call: Callable[..., Any], args: tuple[Any, ...], kwargs: dict[str, Any]) -> Any:
    try:
        return await call(*args, **kwargs)
    except (KeyboardInterrupt, SystemExit) as error:
        # Raised by user code, not by a signal: it is this input's failure and nobody else's.
        raise _Escaped from error


class AsyncioTaskSlots:
    """Runs inputs as asyncio tasks."""

    __slots__ = ("_bridge", "_calls", "_complete", "_loop", "_watch")

    def __init__(self, bridge: Bridge, complete: Complete, calls: Calls, watch: Watch) -> None:
        self._bridge = bridge
        self._loop = asyncio.get_running_loop()
        self._complete = complete
        self._calls = calls
        self._watch = watch

    def send(self, input: Input) -> None:
        """Run `input`; see `TaskSlots.send`."""
        if self._bridge.is_current():
            self._run(input)
        else:
            self._bridge.post(self._run, input)

    def cancel(self, input: Input) -> None:
        """Cancel the task of `input` once; see `TaskSlots.cancel`."""
        if self._bridge.is_current():
            _cancel(input)
        else:
            self._bridge.post(_cancel, input)

    async def returned(self, inputs: Sequence[Input]) -> None:
        """Wait until the work of `inputs` has returned; see `TaskSlots.returned`."""
        tasks = [input.handle for input in inputs if input.handle is not None]
        if tasks:
            await asyncio.wait(tasks)

    def _run(self, first: Input) -> None:
        if self._watch.parked:
            self._watch.wake()
        input: Input | None = first
        run = 0
        while input is not None:
            context, args, kwargs = input.context, input.args, input.kwargs
            if input.state != RUNNING:
                # Settled on its way here: there is nothing to run, but a slot to give back.
                input = self._complete(input, CANCELLED, None)
                continue
            if run == _EAGER_RUN:
                self._loop.call_soon(self._run, input)
                return
            task = self._start(input, context, args, kwargs or {})
            if not task.done():
                input.handle = task
                task.add_done_callback(partial(self._done, input), context=context)
                return
            run += 1
            input = self._finish(input, task)

    def _start(
        self, input: Input, context: Context, args: tuple[Any, ...], kwargs: dict[str, Any]
    ) -> asyncio.Task[Any]:
        context.run(current_input.set, input)
        loop = self._loop
        coroutine = _guarded(self._calls[input.target], args, kwargs)
        if not _EAGER or loop.get_task_factory() is not None:
            return loop.create_task(coroutine, context=context)
        key = id(loop)
        depth = _depths.get(key, 0)
        if depth >= _EAGER_DEPTH:
            return loop.create_task(coroutine, context=context)
        _depths[key] = depth + 1
        try:
            return asyncio.Task(coroutine, loop=loop, context=context, eager_start=True)  # type: ignore[call-arg,unused-ignore]
        finally:
            if depth:
                _depths[key] = depth
            else:
                del _depths[key]

    def _done(self, input: Input, task: asyncio.Task[Any]) -> None:
        following = self._finish(input, task)
        if following is not None:
            self._run(following)

    def _finish(self, input: Input, task: asyncio.Task[Any]) -> Input | None:
        """Report the outcome of a task that is done."""
        if task.cancelled():
            # Nobody who waits for a result may take this for a cancellation of its own.
            error: BaseException = RemoteError(
                f"input of '{input.target}' was cancelled while it was running"
            )
            return self._complete(input, CANCELLED, error)
        failure = task.exception()
        if failure is None:
            return self._complete(input, SUCCEEDED, task.result())
        if failure.__class__ is _Escaped:
            assert failure.__cause__ is not None
            failure = failure.__cause__
        return self._complete(input, *failure_of(input, failure))


def _cancel(input: Input) -> None:
    task: asyncio.Task[Any] | None = input.handle
    if task is not None:
        task.cancel(f"input of '{input.target}' was cancelled")

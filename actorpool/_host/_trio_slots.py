# SPDX-License-Identifier: Apache-2.0
"""Task slots on trio: one task per input, in the input's own context.

trio's cancellation is level-triggered, so an input that is cancelled is cancelled at each of its
checkpoints until it has returned.

The tasks are system tasks and no children of their container's nursery: that would wait for an input which
refuses its cancellation, and closing the app would never end. They are cancelled with the trio run at the latest.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import trio

from actorpool._core._input import CANCELLED, RUNNING, SUCCEEDED
from actorpool.exception import RemoteError

from ._context import current_input
from ._failures import failure_of

if TYPE_CHECKING:
    from collections.abc import Sequence

    from actorpool._core._input import Input

    from ._base import Bridge
    from ._slots import Calls, Complete
    from ._watchdog import Watch

__all__ = ["TrioTaskSlots"]


class TrioTaskSlots:
    """Runs inputs as trio tasks."""

    __slots__ = ("_bridge", "_calls", "_complete", "_returned", "_watch")

    def __init__(self, bridge: Bridge, complete: Complete, calls: Calls, watch: Watch) -> None:
        self._bridge = bridge
        self._complete = complete
        self._calls = calls
        self._watch = watch
        self._returned = trio.Event()

    def send(self, input: Input) -> None:
        """Run `input`; see `TaskSlots.send`."""
        if self._bridge.is_current():
            self._start(input)
        else:
            self._bridge.post(self._start, input)

    def cancel(self, input: Input) -> None:
        """Cancel the scope of `input`; see `TaskSlots.cancel`."""
        if self._bridge.is_current():
            _cancel(input)
        else:
            self._bridge.post(_cancel, input)

    async def returned(self, inputs: Sequence[Input]) -> None:
        """Wait until the work of `inputs` has returned; see `TaskSlots.returned`."""
        while any(input.handle is not None for input in inputs):
            self._returned = trio.Event()
            await self._returned.wait()

    def _start(self, first: Input) -> None:
        if self._watch.parked:
            self._watch.wake()
        input: Input | None = first
        while input is not None:
            context, args, kwargs = input.context, input.args, input.kwargs
            if input.state == RUNNING:
                context = context.copy()
                context.run(current_input.set, input)
                trio.lowlevel.spawn_system_task(self._run, input, args, kwargs or {}, context=context)
                return
            # Settled on its way here: there is nothing to run, but a slot to give back.
            input = self._complete(input, CANCELLED, None)

    async def _run(self, input: Input, args: tuple[Any, ...], kwargs: dict[str, Any]) -> None:
        state, value = CANCELLED, None
        try:
            with trio.CancelScope() as scope:
                input.handle = scope
                if input.state != RUNNING:
                    # Cancelled before this task had its first turn.
                    scope.cancel()
                try:
                    value = await self._calls[input.target](*args, **kwargs)
                    state = SUCCEEDED
                except trio.Cancelled:
                    raise
                except BaseException as error:
                    # Whatever user code raises is this input's failure and nobody else's.
                    state, value = failure_of(input, error)
        finally:
            # Also when the run itself ends: each input gets its outcome, and a slot is given back.
            if state == CANCELLED and value is None:
                value = RemoteError(f"input of '{input.target}' was cancelled while it was running")
            following = self._complete(input, state, value)
            self._returned.set()
            if following is not None:
                self._start(following)


def _cancel(input: Input) -> None:
    scope: trio.CancelScope | None = input.handle
    if scope is not None:
        scope.cancel()

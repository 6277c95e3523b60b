# SPDX-License-Identifier: Apache-2.0
"""Cancellation on asyncio: how a scope cancels its own body, and how a cancellation is put off.

Only the asyncio driver's modules use this; trio needs none of it.

Theory of operation. asyncio cancels by edge: each `task.cancel()` throws once, and counts. A scope that
cancels the task it lives in takes its own request back with `uncancel()` when it ends, and swallows the
CancelledError only if no request from outside remains. This holds on every Python only if the request has
been delivered by then. It has been if the task was suspended when it was made; a request that a task makes to
itself is therefore put off until it is suspended, and dropped if the scope ends first (`BodyCanceller`).

A cancellation that came while something else had to be reported (a failure, an item that was sent) is put
off: it is requested anew one turn later, if by then more requests remain than before the operation began
(`cancel_later`). Not at once, because before Python 3.13 a scope that ends before the next checkpoint could
not take it back.
"""

from __future__ import annotations

import asyncio
from typing import Any

from attrs import define, field

from ._errors import HostNotRunningError

__all__ = ["BodyCanceller", "cancel_later", "this_task"]


def this_task() -> asyncio.Task[Any]:
    task = asyncio.current_task()
    if task is None:
        raise HostNotRunningError("this needs a running asyncio task; call it from an async function")
    return task


@define(eq=False)
class BodyCanceller:
    """Cancels the task of a scope's body, and takes that back when the scope ends."""

    task: asyncio.Task[Any]
    # Requests that the task had not taken back before the scope began, as in code that cleans up after one.
    before: int
    _requested: bool = field(default=False, init=False)
    _deferred: asyncio.Handle | None = field(default=None, init=False)

    def cancel(self) -> None:
        if self._requested or self._deferred is not None:
            return
        if asyncio.current_task() is self.task:
            self._deferred = self.task.get_loop().call_soon(self._deliver)
        else:
            self._deliver()

    def _deliver(self) -> None:
        self._deferred = None
        self._requested = True
        self.task.cancel()

    def end(self, exc: BaseException | None) -> bool:
        """End the scope; return True if `exc` is this scope's own cancellation and nobody else wants it."""
        if self._deferred is not None:
            self._deferred.cancel()
        if not self._requested:
            return False
        return self.task.uncancel() <= self.before and isinstance(exc, asyncio.CancelledError)


def cancel_later(error: asyncio.CancelledError, before: int) -> None:
    """Deliver a swallowed cancellation of this task at its next checkpoint, if it is still wanted then.

    Args:
        error: What was swallowed.
        before: What `cancelling()` was when the operation began that swallowed it.
    """
    task = this_task()

    def deliver() -> None:
        if task.cancelling() > before and not task.done():
            task.uncancel()
            task.cancel(*error.args)

    task.get_loop().call_soon(deliver)

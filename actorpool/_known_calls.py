# SPDX-License-Identifier: Apache-2.0
"""The calls that are found by their id: kept while they run, and their results for a bounded time and number.

A call is known from when its id is first given out, by the handle or inside the function. When its last input has
its outcome it is put on its function's shelf, where the oldest go first: after `Limits.results_kept_s`, or when
there are more than `Limits.results_kept` results. There is no timer: what is overdue goes when a call is next
asked for, comes in or ends, and is never found later than it should be.

Whoever asks for a call that was here gets None, as for one that never was; ids tell the two apart by themselves.
"""

from __future__ import annotations

import threading
import time
from collections import deque
from functools import partial
from typing import TYPE_CHECKING, Any, Final

from attrs import Factory, define

from actorpool._backends._inside import in_container

if TYPE_CHECKING:
    from actorpool._actors._way import Way
    from actorpool._core._input import Input

    from .call import FunctionCall

__all__ = ["KnownCalls", "known_calls"]


@define(eq=False)
class _Known:
    """One call, and how many of its inputs have no outcome yet."""

    call: FunctionCall[Any]
    left: int


@define(eq=False)
class _Shelf:
    """The ended calls of one function: `(instant of expiry, id)`, the oldest first; and how many results they have."""

    ended: deque[tuple[float, str]] = Factory(deque)
    results: int = 0


class KnownCalls:
    """The calls known by id, of all functions of the process."""

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._known: dict[str, _Known] = {}
        # Only functions that have ended calls.
        self._shelves: dict[Way, _Shelf] = {}
        # Nothing expires before this instant.
        self._due = float("inf")

    def __len__(self) -> int:
        return len(self._known)

    def add(self, identity: str, call: FunctionCall[Any]) -> None:
        """Let `call` be found under `identity`; nothing happens if one is already, or was until it expired."""
        inputs, dispatcher = call.inputs, call.dispatcher
        if inputs and inputs[0].target.is_far:
            from ._parent import parent

            parent().keep(identity, call)
            return
        with self._lock:
            if identity in self._known:
                return
            # One more, so that it does not end before all have been looked at.
            self._known[identity] = _Known(call, len(inputs) + 1)
        # It refers to the id only: a sink stays on its input, which the call refers to.
        sink = partial(self._input_ended, identity)
        for input in inputs:
            if not dispatcher.add_sink(input, sink):
                sink(input)
        sink(None)

    def find(self, identity: str) -> FunctionCall[Any] | None:
        """Return the call known under `identity`; None if there is none, or none any more."""
        with self._lock:
            expired = self._expire(time.monotonic())
            known = self._known.get(identity)
        # Outside the lock: a call that goes may have a failure to report.
        expired.clear()
        if known is None and in_container():
            from ._parent import parent

            return parent().find(identity)
        return None if known is None else known.call

    def _input_ended(self, identity: str, _input: Input | None) -> None:
        with self._lock:
            known = self._known[identity]
            known.left -= 1
            if known.left:
                return
            expired = self._call_ended(identity, known.call, time.monotonic())
        expired.clear()

    def _call_ended(self, identity: str, call: FunctionCall[Any], now: float) -> list[FunctionCall[Any]]:
        """Put a call on its shelf; return those that make way."""
        limits = call.dispatcher.limits
        shelf = self._shelves.setdefault(call.dispatcher, _Shelf())
        expires_at = now + limits.results_kept_s
        shelf.ended.append((expires_at, identity))
        shelf.results += len(call.inputs)
        self._due = min(self._due, expires_at)
        expired = self._expire(now)
        # The latest call stays, however many results it has.
        while shelf.results > limits.results_kept and len(shelf.ended) > 1:
            expired.append(self._take_oldest(shelf))
        return expired

    def _expire(self, now: float) -> list[FunctionCall[Any]]:
        """Forget what is overdue; return it."""
        expired: list[FunctionCall[Any]] = []
        if now < self._due:
            return expired
        self._due = float("inf")
        for dispatcher, shelf in list(self._shelves.items()):
            while shelf.ended and shelf.ended[0][0] <= now:
                expired.append(self._take_oldest(shelf))
            if shelf.ended:
                self._due = min(self._due, shelf.ended[0][0])
            else:
                del self._shelves[dispatcher]
        return expired

    def _take_oldest(self, shelf: _Shelf) -> FunctionCall[Any]:
        _, identity = shelf.ended.popleft()
        call = self._known.pop(identity).call
        shelf.results -= len(call.inputs)
        return call


known_calls: Final = KnownCalls()

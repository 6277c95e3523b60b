# SPDX-License-Identifier: Apache-2.0
"""Raising `InputCancellation` in the thread of a synchronous input: while it runs that input, and never else.

Theory of operation. CPython raises an exception asked for in another thread at that thread's next step of Python
code, whichever that is. So a call is known here from before its user code begins until after it has ended, and an
exception is asked for only while it is known, under the lock. Whoever ends the call has what was asked for arrive,
under the same lock: afterwards nothing can. Since nobody can tell whether it has arrived already, it is asked for once
more, which makes it one that is still to arrive. To take it back instead would leave Python 3.11 looking for it for
ever, at the start of a function that is traced. The exception may fall into the ending itself, which is why that is
tried again.

Code of ours that user code calls, such as the writing of a line, must not stop half-way. It runs shielded: what
was asked for before is raised before it begins, what is asked for meanwhile when it is over.
"""

from __future__ import annotations

import ctypes
import threading
from collections.abc import Callable, Hashable
from typing import Any, Final, TypeVar

from attrs import define, field

from actorpool.exception import InputCancellation

__all__ = ["Interruptions"]

T = TypeVar("T")

# PyDLL, which keeps the interpreter's lock: only Python's own can be asked.
_set_exception: Final = ctypes.pythonapi.PyThreadState_SetAsyncExc
_set_exception.argtypes = (ctypes.c_ulong, ctypes.c_void_p)
_set_exception.restype = ctypes.c_int


@define(eq=False)
class _Call:
    thread: int
    asked: bool = False
    """Whether an exception was asked for, arrived or not."""
    wanted: bool = False
    """Whether to interrupt it when its shields are down."""
    shields: int = 0


@define(eq=False)
class Interruptions:
    """The calls of one process that may be interrupted."""

    # Reentrant: a destructor that prints may run at any step, also of what holds it.
    _lock: threading.RLock = field(factory=threading.RLock, init=False)
    # {what the call is for: the call}, and {thread: the call}; both while user code runs.
    _calls: dict[Hashable, _Call] = field(factory=dict, init=False)
    _by_thread: dict[int, _Call] = field(factory=dict, init=False)

    def run(self, key: Hashable, function: Callable[[], T]) -> T:
        """Return `function()`, which `interrupt(key)` may end.

        Raises:
            InputCancellation: If it was interrupted.
            BaseException: Whatever `function` raises.
        """
        try:
            call = _Call(threading.get_ident())
            with self._lock:
                self._by_thread[call.thread] = call
                self._calls[key] = call
            return function()
        finally:
            while True:
                try:
                    self._end(key)
                    break
                except InputCancellation:
                    # Too late to matter: the call is over.
                    continue

    def interrupt(self, key: Hashable) -> bool:
        """Raise `InputCancellation` in the call for `key`; return whether there is one. Threads: any other."""
        with self._lock:
            call = self._calls.get(key)
            if call is None:
                return False
            if call.shields:
                call.wanted = True
            else:
                call.asked = True
                _ask(call.thread)
            return True

    def shielded(self, function: Callable[..., T], *args: Any) -> T:
        """Return `function(*args)`, which is not interrupted. Threads: any."""
        call = self._by_thread.get(threading.get_ident())
        if call is None:
            return function(*args)
        with self._lock:
            call.shields += 1
        try:
            _step()
            return function(*args)
        finally:
            with self._lock:
                call.shields -= 1
                if call.wanted and not call.shields:
                    call.wanted = False
                    call.asked = True
                    _ask(call.thread)

    def _end(self, key: Hashable) -> None:
        thread = threading.get_ident()
        with self._lock:
            self._calls.pop(key, None)
            call = self._by_thread.get(thread)
            if call is not None and call.asked:
                _meet(thread)
            self._by_thread.pop(thread, None)


def _step() -> None:
    """Let what was asked for arrive: Python looks for it when a function of Python's begins."""


def _ask(thread: int) -> None:
    _set_exception(thread, id(InputCancellation))


def _meet(thread: int) -> None:
    """Have one exception arrive here, in the thread that is given."""
    try:
        _ask(thread)
        while True:
            _step()
    except InputCancellation:
        return

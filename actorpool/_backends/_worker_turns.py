# SPDX-License-Identifier: Apache-2.0
"""Who reads the socket of a worker process: its loop, or its one thread while that has nothing to do.

Theory of operation. An input that the loop has read has to be handed to the thread that runs it, which costs two
switches between threads and a fight for the interpreter's lock. So a thread that waits for an input waits for the
socket as well, and runs what it has read itself. It has the *turn* meanwhile. It gives it back, and wakes the loop if
need be, before it runs anything of the user's; so what is said of a running input always finds the loop.

Messages keep their order, whoever reads them. The thread takes in the inputs with which a reading begins, under the
lock; all that follows goes to the loop, and until the loop has obeyed what it has got, the turn is its own.

The loop does not watch the socket, but an epoll set that has the socket in it, and looks for input only while the
turn is the loop's: one call of the system says whose turn it is, and a loop need not be woken for it.
"""

from __future__ import annotations

import os
import select
import sys
import threading
from collections import deque
from typing import TYPE_CHECKING, Any

from attrs import define, field

if TYPE_CHECKING:
    import asyncio
    from collections.abc import Callable

    from actorpool._wire._messages import Message

__all__ = ["Turns"]


@define(eq=False)
class Turns:
    """The queue of a container's one thread, which reads while that is empty. Threads: any, unless it says otherwise.

    Args:
        descriptor: The socket's.
        loop: The loop, which is not to watch the socket any more.
        heard: Called on the loop when there is something for it; it calls `begin`.
        read: Reads what has come.
        enter: Takes in the inputs that messages begin with; returns what runs them, and the other messages.
    """

    _descriptor: int
    _loop: asyncio.AbstractEventLoop
    _heard: Callable[[], object]
    _read: Callable[[], list[Message]]
    _enter: Callable[[list[Message]], tuple[Callable[[], object], list[Message]]]
    _lock: threading.Lock = field(factory=threading.Lock, init=False)
    _items: deque[Any] = field(factory=deque, init=False)
    # What the thread has read that is for the loop.
    _left: list[Message] = field(factory=list, init=False)
    _watched: select.epoll = field(init=False)
    _bell: int = field(init=False)
    _both: select.poll = field(factory=select.poll, init=False)
    _rung: select.poll = field(factory=select.poll, init=False)
    # Whether the thread waits; whether the turn is its own; whether the loop has not obeyed all that it has got.
    _idle: bool = field(default=False, init=False)
    _ours: bool = field(default=False, init=False)
    _kept: bool = field(default=False, init=False)

    def __attrs_post_init__(self) -> None:
        self._bell = os.eventfd(0, os.EFD_CLOEXEC | os.EFD_NONBLOCK)
        self._watched = select.epoll()
        self._watched.register(self._descriptor, select.EPOLLIN)
        self._loop.add_reader(self._watched, self._heard)
        self._rung.register(self._bell, select.POLLIN)
        self._both.register(self._bell, select.POLLIN)
        self._both.register(self._descriptor, select.POLLIN)

    @staticmethod
    def possible() -> bool:
        """Whether the system has what this needs."""
        return sys.platform == "linux"

    def close(self) -> None:
        """Give back what the system has lent. Threads: the loop's; the container's has ended."""
        self._loop.remove_reader(self._watched)
        self._watched.close()
        os.close(self._bell)

    # -- the loop's thread -------------------------------------------------------------------------------

    def begin(self) -> bool:
        """Keep the turn until `end`; return False if it is the thread's."""
        with self._lock:
            self._kept = not self._ours
            return self._kept

    def claim(self) -> None:
        """Keep the turn until `end`, whosever it is."""
        with self._lock:
            self._give_back()
            self._kept = True

    def left(self) -> list[Message]:
        """Return what the thread has read for the loop: it came before what is read next."""
        left, self._left = self._left, []
        return left

    def end(self) -> None:
        """Let the thread have the turn, if it has nothing to do."""
        with self._lock:
            self._kept = bool(self._left)
            if self._idle and not self._kept:
                os.eventfd_write(self._bell, 1)

    # -- the queue of the thread -------------------------------------------------------------------------

    def put(self, item: Any) -> None:
        """Add an item for the thread."""
        with self._lock:
            self._items.append(item)
            if self._idle:
                os.eventfd_write(self._bell, 1)

    def get(self) -> Any:
        """Return the next item; read meanwhile. Threads: the container's own."""
        while True:
            with self._lock:
                if self._items:
                    return self._items.popleft()
                self._idle = True
                if not self._kept and not self._ours:
                    self._ours = True
                    self._watched.modify(self._descriptor, 0)
                waiting = self._both if self._ours else self._rung
            ready = waiting.poll()
            with self._lock:
                self._idle = False
                for descriptor, _ in ready:
                    if descriptor == self._bell:
                        os.eventfd_read(self._bell)
                messages = self._read() if self._ours else []
                begin, self._left[len(self._left) :] = self._enter(messages)
                self._kept = self._kept or bool(self._left)
                self._give_back()
            if self._left:
                self._loop.call_soon_threadsafe(self._heard)
            begin()

    def _give_back(self) -> None:
        if self._ours:
            self._ours = False
            self._watched.modify(self._descriptor, select.EPOLLIN)

# SPDX-License-Identifier: Apache-2.0
"""A worker process's end of the socket to its pool, and the threads that speak through it.

The loop reads, or takes turns at that (`_worker_turns`). The loop's own messages of one turn share a write; other
threads write themselves. A destructor or the handler of a signal may have something to say amid a call of the
connection, which holds locks: it is said after that.
"""

from __future__ import annotations

import asyncio
import os
import select
import threading
from collections import deque
from typing import TYPE_CHECKING, Final

from attrs import define, field

from actorpool._wire._connection import Connection, ConnectionClosed
from actorpool._wire._faults import WireError

from ._worker_turns import Turns

if TYPE_CHECKING:
    import socket
    from collections.abc import Callable

    from actorpool._wire._messages import Message

__all__ = ["WorkerSocket"]

# Lines and records that wait to be read, in bytes, before whoever prints has to wait. Picked by feel.
_ROOM_BYTES: Final = 1 << 20
# How often a thread that has to wait looks for itself, should the loop be blocked.
_LOOK_S: Final = 0.1


@define(eq=False)
class WorkerSocket:
    """The worker's end. When the other end is gone, there is nobody left to work for: the process ends at once."""

    _loop: asyncio.AbstractEventLoop
    thread: int = field(factory=threading.get_ident, init=False)
    """The loop's."""
    _sock: socket.socket = field(init=False)
    _connection: Connection = field(init=False)
    # Threads that are in a call of the connection, which holds locks; and what they have to say after it.
    _busy: set[int] = field(factory=set, init=False)
    _late: deque[Message] = field(factory=deque, init=False)
    # Set when what waits to be read has become little.
    _room: threading.Event = field(factory=threading.Event, init=False)
    _writing: bool = field(default=False, init=False)

    def open(self, sock: socket.socket, readable: Callable[[], object]) -> None:
        """Speak through `sock` from now on; `readable` is called by the loop when something has come."""
        sock.setblocking(False)
        self._sock = sock
        self._connection = Connection(sock, self._wake)
        self._loop.add_reader(sock, readable)

    @property
    def pending_bytes(self) -> int:
        """How much of what was posted is not written yet."""
        return self._connection.pending_bytes

    def share(
        self,
        heard: Callable[[], object],
        enter: Callable[[list[Message]], tuple[Callable[[], object], list[Message]]],
    ) -> Turns:
        """Let the loop and the container's one thread take turns at reading; see `Turns`."""
        self._loop.remove_reader(self._sock)
        return Turns(self._sock.fileno(), self._loop, heard, self.read, enter)

    def read(self) -> list[Message]:
        """Return what has come. Threads: any, one at a time."""
        thread = threading.get_ident()
        self._busy.add(thread)
        try:
            return self._connection.read()
        except WireError:
            # The parent is gone, or out of its mind.
            os._exit(0)
        finally:
            self._busy.discard(thread)
            if self._late:
                self._post_late()

    def post(self, message: Message) -> bool:
        """Say `message`; return whether it is written. Never blocks. Threads: any."""
        thread = threading.get_ident()
        if thread in self._busy:
            self._late.append(message)
            return False
        self._busy.add(thread)
        written = False
        try:
            if thread == self.thread:
                self._connection.post(message)
            else:
                written = self._connection.post_now(message)
                if not written:
                    self._loop.call_soon_threadsafe(self._flush)
        except ConnectionClosed:
            # What the parent said before its end does not matter any more.
            os._exit(0)
        finally:
            self._busy.discard(thread)
        if self._late:
            self._post_late()
        return written

    def write(self) -> bool:
        """Write what the socket takes; return whether that is all. Threads: any, for the connection has a lock."""
        thread = threading.get_ident()
        if thread in self._busy:
            return False
        self._busy.add(thread)
        try:
            done = self._connection.flush()
        except WireError:
            # What the parent said before its end does not matter any more.
            os._exit(0)
        finally:
            self._busy.discard(thread)
        if not done and thread != self.thread:
            self._loop.call_soon_threadsafe(self._flush)
        return done

    def write_all(self) -> None:
        """Write until nothing is left. Threads: any but the loop's, save at the end of the process."""
        while self._connection.pending_bytes and not self.write():
            self._wait_writable()

    def say(self, message: Message) -> None:
        """Post what is not bounded by the number of slots; wait while too much of it is on its way. Threads: any.

        It is written at once: the process may end, or its loop be blocked, before the next turn.
        """
        self.post(message)
        thread = threading.get_ident()
        if thread in self._busy:
            return
        if thread == self.thread:
            self.write()
            self._post_late()
        while self._connection.pending_bytes > _ROOM_BYTES:
            if thread == self.thread:
                self._wait_writable()
                self._flush()
            else:
                self._room.clear()
                if self._connection.pending_bytes > _ROOM_BYTES:
                    self._room.wait(_LOOK_S)

    def wait(self) -> None:
        """Block the loop's thread until something has come, writing what there is meanwhile."""
        poll = select.poll()
        poll.register(self._sock, select.POLLIN if self.write() else select.POLLIN | select.POLLOUT)
        poll.poll()

    def _post_late(self) -> None:
        while self._late:
            try:
                message = self._late.popleft()
            except IndexError:
                # Another thread was faster.
                return
            self.post(message)

    def _wake(self) -> None:
        if threading.get_ident() == self.thread:
            # Once for all that this turn of the loop has to say. Other threads write themselves.
            self._loop.call_soon(self._flush)

    def _flush(self) -> None:
        done = self.write()
        if done == self._writing:
            self._writing = not done
            if done:
                self._loop.remove_writer(self._sock)
            else:
                self._loop.add_writer(self._sock, self._flush)
        if self._connection.pending_bytes <= _ROOM_BYTES:
            self._room.set()
        self._post_late()

    def _wait_writable(self) -> None:
        poll = select.poll()
        poll.register(self._sock, select.POLLOUT)
        poll.poll()

# SPDX-License-Identifier: Apache-2.0
"""A container's life, run through by a template before it forks: start, one input, stop.

Why: what runs for the first time in a process makes Python write all over its memory, where it notes what it has
learned of code and types; and a fork has to copy each page that is written to. Once it has run in the template, all
forks share what was learned, and run quicker for it.

It is the code of containers itself, save what would change the process as a whole: its output, its logging, its
port, its end. It runs before any module of the user's is imported; so nothing of theirs is run by it. What is left of
it is memory: its thread has ended, its descriptors are closed.
"""

from __future__ import annotations

import asyncio
import pickle
import socket
import threading
from typing import TYPE_CHECKING, Final

from attrs import define, field

from actorpool._wire._codec import encode, encode_arguments
from actorpool._wire._connection import Connection
from actorpool._wire._messages import VERSION, Ended, Ready, Run, Start, Stop

from ._process_worker import Worker
from ._workload import Target, Workload

if TYPE_CHECKING:
    from actorpool._wire._messages import Message

__all__ = ["rehearse"]

# How often. Python learns most from the second time that something runs.
_TIMES: Final = 2


def rehearse() -> int:
    """Run through it, and return how many inputs have ended. Threads: any in which no loop runs."""
    return sum(_rehearse_once() for _ in range(_TIMES))


def _rehearse_once() -> int:
    others = set(threading.enumerate())
    ours, theirs = socket.socketpair()
    ours.setblocking(False)
    with ours, theirs, asyncio.Runner(loop_factory=asyncio.SelectorEventLoop) as runner:
        ended = runner.run(_Rehearsal(lambda: theirs, ours).play())
    for thread in set(threading.enumerate()) - others:
        # It has said that it ends; no fork is to find it there.
        thread.join()
    return ended


def _same(x: object) -> object:
    return x


@define(eq=False)
class _Rehearsal(Worker):
    """The worker, and the other end of its socket, which its pool would have."""

    _ours: socket.socket
    _pool: Connection = field(init=False)
    _ended: int = field(default=0, init=False)

    async def play(self) -> int:
        """Be a container from its start to its stop; return how many inputs have ended."""
        self._begin()
        self._pool = Connection(self._ours, lambda: None)
        self._loop.add_reader(self._ours, self._hear_worker)
        sock = self._wait_for_socket()
        self._socket.open(sock, self._read)
        workload = Workload("rehearsal", (Target("rehearsal", _same, is_async=False),), max_inputs=1)
        code, ids = encode(pickle.dumps(workload)), encode((bytes(16), 0))
        self._tell_worker(Start(VERSION, "rehearsal", code, 1, 1.0, None, ids, encode({})))
        await self._over.wait()
        self._socket.write_all()
        self._loop.remove_reader(self._ours)
        if self._turns is None:
            self._loop.remove_reader(sock)
        else:
            self._turns.close()
        return self._ended

    def _tell_worker(self, message: Message) -> None:
        self._pool.post(message)
        self._pool.flush()

    def _hear_worker(self) -> None:
        for message in self._pool.read():
            if isinstance(message, Ready):
                self._tell_worker(Run(0, 0, encode_arguments((1,), {}), None, "", 0, 1, None))
            elif isinstance(message, Ended):
                self._ended += 1
                self._tell_worker(Stop(1.0))

    def _capture_logging(self, levels: dict[str, int]) -> None:
        """Leave the template's logging alone."""

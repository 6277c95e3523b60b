# SPDX-License-Identifier: Apache-2.0
"""The floors of processes: forked children, a socket pair or shared memory each, nothing that could fail gracefully."""

from __future__ import annotations

import mmap
import os
import pickle
import select
import socket
from collections import deque
from collections.abc import Callable, Iterable
from typing import Any, Final

__all__ = ["Children", "Echoes", "echo_once", "fork"]

_HEAD: Final = 4
_PART_BYTES: Final = 1 << 20


def fork(serve: Callable[[socket.socket], object]) -> tuple[int, socket.socket]:
    """Fork a child that runs `serve` at its end of a socket pair; return its pid and the other end."""
    ours, theirs = socket.socketpair()
    pid = os.fork()
    if not pid:
        ours.close()
        try:
            serve(theirs)
        finally:
            os._exit(0)
    theirs.close()
    return pid, ours


def reap(pid: int, sock: socket.socket) -> None:
    """End the child by shutting its socket down, of which a later child has a copy."""
    sock.shutdown(socket.SHUT_RDWR)
    sock.close()
    os.waitpid(pid, 0)


def echo_once(sock: socket.socket) -> None:
    """Send back whatever comes, a small message at a time."""
    while message := sock.recv(256):
        sock.send(message)


class Children:
    """Children that are each given one share of the inputs, and return all its results at once."""

    def __init__(self, processes: int, body: Callable[[int], int]) -> None:
        def serve(sock: socket.socket) -> None:
            while (numbers := _receive(sock)) is not None:
                _send(sock, [body(number) for number in numbers])

        self._children = [fork(serve) for _ in range(processes)]

    def run(self, n: int) -> list[int]:
        share = -(-n // len(self._children))
        for at, (_, sock) in enumerate(self._children):
            _send(sock, range(at * share, min(n, (at + 1) * share)))
        return [result for _, sock in self._children for result in _receive(sock)]

    def close(self) -> None:
        for child in self._children:
            reap(*child)


class Echoes:
    """Children that echo bytes through shared memory, one message of bytes in each at a time."""

    def __init__(self, processes: int, size: int) -> None:
        self._size = size
        self._memory = [(mmap.mmap(-1, size), mmap.mmap(-1, size)) for _ in range(processes)]
        self._children = [
            fork(lambda sock, there=there, back=back: self._serve(sock, there, back))  # type: ignore[misc]
            for there, back in self._memory
        ]

    def _serve(self, sock: socket.socket, there: mmap.mmap, back: mmap.mmap) -> None:
        while sock.recv(1):
            content = bytes(there[: self._size])
            back[: self._size] = content
            sock.send(b"x")

    def run(self, contents: Iterable[bytes]) -> list[bytes]:
        waiting = list(enumerate(contents))
        waiting.reverse()
        results: list[Any] = [None] * len(waiting)
        poll = select.epoll()
        busy: dict[int, tuple[int, int]] = {}

        def give(child: int) -> None:
            number, content = waiting.pop()
            self._memory[child][0][: self._size] = content
            sock = self._children[child][1]
            busy[sock.fileno()] = (child, number)
            sock.send(b"x")

        for child, (_, sock) in enumerate(self._children):
            poll.register(sock, select.EPOLLIN)
            if waiting:
                give(child)
        while busy:
            for descriptor, _ in poll.poll():
                child, number = busy.pop(descriptor)
                self._children[child][1].recv(1)
                results[number] = self._memory[child][1][: self._size]
                if waiting:
                    give(child)
        poll.close()
        return results

    def close(self) -> None:
        for child in self._children:
            reap(*child)
        for pair in self._memory:
            for memory in pair:
                memory.close()


def _send(sock: socket.socket, value: object) -> None:
    data = pickle.dumps(value, 5)
    sock.sendall(len(data).to_bytes(_HEAD, "big") + data)


def _receive(sock: socket.socket) -> Any:
    """Return the next value; None at the end."""
    head = sock.recv(_HEAD, socket.MSG_WAITALL)
    if not head:
        return None
    parts: deque[bytes] = deque()
    missing = int.from_bytes(head, "big")
    while missing:
        part = sock.recv(min(missing, _PART_BYTES))
        parts.append(part)
        missing -= len(part)
    return pickle.loads(b"".join(parts))

# SPDX-License-Identifier: Apache-2.0
"""A watch tells of bytes and of room on its host's thread, and of nothing after it was closed."""

from __future__ import annotations

import socket
from collections.abc import Callable, Iterator
from typing import Any

import pytest

from actorpool._host._current import current_host
from actorpool._host._sockets import SocketWatch, open_socket_watch
from tests.api.support import event
from tests.hosts import settle

Run = Callable[..., Any]


@pytest.fixture
def pair() -> Iterator[tuple[socket.socket, socket.socket]]:
    ours, theirs = socket.socketpair()
    with ours, theirs:
        ours.setblocking(False)
        yield ours, theirs


def test_bytes_and_the_end_are_told(run: Run, pair: tuple[socket.socket, socket.socket]) -> None:
    ours, theirs = pair

    async def main() -> None:
        came, ended = event(), event()
        read: list[bytes] = []

        def readable() -> None:
            data = ours.recv(100)
            read.append(data)
            (came if data else ended).set()
            if not data:
                watch.close()

        watch = open_socket_watch(current_host(), ours, readable, lambda: None)
        theirs.send(b"one")
        await came.wait()
        theirs.close()
        await ended.wait()
        assert [b"one", b""] == read
        watch.close()
        await settle()

    run(main)


def test_room_is_told_once_for_each_time_it_is_awaited(
    run: Run, pair: tuple[socket.socket, socket.socket]
) -> None:
    ours, theirs = pair

    def fill() -> None:
        try:
            while True:
                ours.send(b"x" * 65_536)
        except BlockingIOError:
            return

    def empty() -> None:
        theirs.setblocking(False)
        try:
            while True:
                theirs.recv(65_536)
        except BlockingIOError:
            return

    async def main() -> None:
        told = [event(), event()]
        times = 0

        def writable() -> None:
            nonlocal times
            told[times].set()
            times += 1

        watch: SocketWatch = open_socket_watch(current_host(), ours, lambda: None, writable)
        fill()
        watch.await_room()
        watch.await_room()
        await settle()
        assert 0 == times
        empty()
        await told[0].wait()
        await settle()
        assert 1 == times
        watch.await_room()
        await told[1].wait()
        watch.close()
        watch.await_room()
        await settle()
        assert 2 == times

    run(main)


def test_nothing_is_told_after_the_close(run: Run, pair: tuple[socket.socket, socket.socket]) -> None:
    ours, theirs = pair

    async def main() -> None:
        told: list[str] = []
        watch = open_socket_watch(
            current_host(), ours, lambda: told.append("readable"), lambda: told.append("writable")
        )
        await settle()
        watch.await_room()
        watch.close()
        theirs.send(b"late")
        await settle()
        assert [] == told

    run(main)

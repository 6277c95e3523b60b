# SPDX-License-Identifier: Apache-2.0
"""Watching a socket: what reads and writes it is called on the host's thread when there is something to do.

Here live the port, its lookup and the asyncio driver; the driver for trio is `_trio_sockets`. A watch owns neither
the socket nor what is done with it.
"""

from __future__ import annotations

import asyncio
from typing import TYPE_CHECKING, Protocol

if TYPE_CHECKING:
    import socket
    from collections.abc import Callable

    from ._base import Host

__all__ = ["AsyncioSocketWatch", "SocketWatch", "open_socket_watch"]


class SocketWatch(Protocol):
    """Watches one non-blocking socket; host thread only."""

    def await_room(self) -> None:
        """Call `writable` once, as soon as the socket takes bytes; nothing happens if that is awaited already."""
        ...

    def close(self) -> None:
        """Watch no more; idempotent. To be called before the socket is closed."""
        ...


def open_socket_watch(
    host: Host, sock: socket.socket, readable: Callable[[], object], writable: Callable[[], object]
) -> SocketWatch:
    """Return a watch over `sock`, on the thread of `host`.

    Args:
        host: Whose loop is to watch.
        sock: A non-blocking socket.
        readable: Called whenever there is something to read, or the other side has gone; to be read then.
        writable: Called once for each `await_room`.
    """
    if host.name == "asyncio":
        return AsyncioSocketWatch(sock, readable, writable)
    from ._trio_sockets import TrioSocketWatch

    return TrioSocketWatch(sock, readable, writable)


class AsyncioSocketWatch:
    """A watch by the running asyncio loop."""

    __slots__ = ("_awaiting", "_descriptor", "_loop", "_writable")

    def __init__(
        self, sock: socket.socket, readable: Callable[[], object], writable: Callable[[], object]
    ) -> None:
        self._loop = asyncio.get_running_loop()
        self._descriptor: int | None = sock.fileno()
        self._writable = writable
        self._awaiting = False
        self._loop.add_reader(self._descriptor, readable)

    def await_room(self) -> None:
        """Await it; see `SocketWatch.await_room`."""
        if self._descriptor is not None and not self._awaiting:
            self._awaiting = True
            self._loop.add_writer(self._descriptor, self._has_room)

    def close(self) -> None:
        """Watch no more; see `SocketWatch.close`."""
        descriptor, self._descriptor = self._descriptor, None
        if descriptor is not None and not self._loop.is_closed():
            self._loop.remove_reader(descriptor)
            self._loop.remove_writer(descriptor)

    def _has_room(self) -> None:
        self._awaiting = False
        if self._descriptor is not None:
            self._loop.remove_writer(self._descriptor)
            self._writable()

# SPDX-License-Identifier: Apache-2.0
"""Watching a socket in a trio run: one system task for each direction that is awaited.

Importing this module imports trio, so only a trio run imports this module.
"""

from __future__ import annotations

import contextvars
from contextlib import suppress
from typing import TYPE_CHECKING

import trio

if TYPE_CHECKING:
    import socket
    from collections.abc import Awaitable, Callable

__all__ = ["TrioSocketWatch"]


class TrioSocketWatch:
    """A watch by the running trio run; see `_sockets`."""

    __slots__ = ("_awaiting", "_readable", "_scope", "_sock", "_writable")

    def __init__(
        self, sock: socket.socket, readable: Callable[[], object], writable: Callable[[], object]
    ) -> None:
        self._sock = sock
        self._readable = readable
        self._writable = writable
        self._awaiting = False
        # Until it is closed, also when its run is ending: what ends with the run goes on being heard until it has.
        self._scope = trio.CancelScope(shield=True)
        _spawn(self._read)

    def await_room(self) -> None:
        """Await it; see `SocketWatch.await_room`."""
        if not self._awaiting and not self._scope.cancel_called:
            self._awaiting = True
            _spawn(self._write)

    def close(self) -> None:
        """Watch no more; see `SocketWatch.close`."""
        if not self._scope.cancel_called:
            self._scope.cancel()
            trio.lowlevel.notify_closing(self._sock)

    async def _read(self) -> None:
        with self._scope, suppress(trio.ClosedResourceError):
            while not self._scope.cancel_called:
                await trio.lowlevel.wait_readable(self._sock)
                self._readable()

    async def _write(self) -> None:
        # A scope of its own, for a scope is entered once; `close` wakes it by `notify_closing`.
        try:
            with trio.CancelScope(shield=True):
                await trio.lowlevel.wait_writable(self._sock)
        except trio.ClosedResourceError:
            return
        self._awaiting = False
        if not self._scope.cancel_called:
            self._writable()


def _spawn(function: Callable[[], Awaitable[None]]) -> None:
    # An empty context: what belongs to a caller is not to live as long as the watch.
    trio.lowlevel.spawn_system_task(function, name="actorpool socket watch", context=contextvars.Context())

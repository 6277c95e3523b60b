# SPDX-License-Identifier: Apache-2.0
"""The errors that both hosts share; values only."""

from __future__ import annotations

from actorpool.exception import Error

__all__ = [
    "BrokenResourceError",
    "ClosedResourceError",
    "EndOfChannel",
    "HostClosedError",
    "HostNotRunningError",
    "WouldBlock",
]


class EndOfChannel(Error):
    """Every sender has closed and nothing is left to receive: the regular end of a channel."""


class ClosedResourceError(Error):
    """The object was used after its own side closed it, or while closing it."""


class BrokenResourceError(Error):
    """The other side has gone for good, so what was sent can reach nobody."""


class WouldBlock(Error):
    """A `_nowait` operation could not be done at once; nothing has happened."""


class HostClosedError(Error):
    """The event loop has ended, so nothing can be handed to it any more."""


class HostNotRunningError(Error):
    """No asyncio loop and no trio run is running in this thread."""

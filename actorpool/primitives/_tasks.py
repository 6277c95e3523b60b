# SPDX-License-Identifier: Apache-2.0
"""Nurseries and memory channels of whatever event loop runs here; the hosts implement them."""

from __future__ import annotations

from contextlib import AbstractAsyncContextManager
from typing import Any

from actorpool._host._base import Nursery, ReceiveChannel, SendChannel
from actorpool._host._current import current_host

__all__ = ["open_memory_channel", "open_nursery"]


def open_nursery() -> AbstractAsyncContextManager[Nursery]:
    """Open a scope that owns tasks: it ends after the last of them has ended.

    `nursery.start_soon(function, *args)` starts a child. A child's failure cancels its siblings and the body,
    and is raised at the end of the `async with`, in an `ExceptionGroup`. `nursery.cancel()` cancels all of
    them and ends the scope without an error. A child always gets to its first checkpoint, also one that was
    cancelled before it started.

    Returns:
        An async context manager that yields a `Nursery`.

    Raises:
        HostNotRunningError: If no event loop runs in this thread.

    Cancellation: Cancels the children and waits for them. On asyncio each of them is cancelled once and may
    finish its cleanup; on trio its cleanup must be shielded. If a child failed as well, the failures are
    raised and the cancellation is delivered at the next checkpoint.

    Example:
        >>> async with open_nursery() as nursery:
        ...     nursery.start_soon(serve, 8080)
        ...     nursery.start_soon(serve, 8081)
    """
    return current_host().open_nursery()


def open_memory_channel(max_buffer_size: float) -> tuple[SendChannel[Any], ReceiveChannel[Any]]:
    """Open a channel between tasks of one event loop.

    If in doubt, use 0: a sender then waits until a receiver takes the item, and backlogs are seen where they
    arise. On asyncio, operations that can be done at once are no checkpoints.

    Args:
        max_buffer_size: Items that may wait in the channel (>= 0); `math.inf` for no bound.

    Returns:
        The sending and the receiving end. Both can be cloned; the channel ends for the receivers when all
        senders have closed, and breaks for the senders when all receivers have.

    Raises:
        HostNotRunningError: If no event loop runs in this thread.
        TypeError: If `max_buffer_size` is neither an integer nor `math.inf`.
        ValueError: If it is negative.

    Example:
        >>> send, receive = open_memory_channel(0)
        >>> async with send:
        ...     await send.send("hello")
    """
    return current_host().open_memory_channel(max_buffer_size)

# SPDX-License-Identifier: Apache-2.0
"""The producer's side of a stream whose consumer is in another process.

The consumer grants credits, one per item. The generator is suspended when it has used them up, and resumed when
the next come: as in one process, a slow consumer slows it. Items leave on the thread that makes them. Where the
generator is in a third process, its items are passed on, and the consumer's credits are what it gets.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from actorpool._host._stream import Stream, StreamClosed
from actorpool._wire._codec import HELD_ABOVE, Held, encode
from actorpool._wire._messages import Item

if TYPE_CHECKING:
    from collections.abc import Callable

    from actorpool._host._base import Bridge
    from actorpool._host._thread_waits import ThreadSignal

__all__ = ["WireStream"]


class WireStream(Stream):
    """Items on their way from one producer to the parent."""

    __slots__ = ("_credit", "_number", "_post", "_sent", "_shielded")

    def __init__(
        self,
        number: int,
        credit: int,
        post: Callable[[Item], object],
        shielded: Callable[[Callable[[Any], None], Any], None],
    ) -> None:
        super().__init__(credit, _nobody)
        self._number = number
        self._post = post
        self._shielded = shielded
        # Written by the loop alone, and by the producer alone: no lock.
        self._credit = credit
        self._sent = 0

    def grant(self, items: int) -> None:
        """Let the producer make `items` more. The loop's thread."""
        self._credit += items
        notify = self._to_producer
        if notify is not None:
            notify()

    @property
    def waiting(self) -> int:
        """How many items the consumer has not granted again."""
        return self._sent - (self._credit - self._bound)

    def feed(self, item: Any) -> None:
        """Send `item`, of a producer that keeps within the credits itself."""
        if not self._closed:
            self._send(item)

    def put(self, item: Any, signal: ThreadSignal) -> None:
        """Send `item`; block while there is no credit.

        Raises:
            EncodeError: If the item cannot be sent.
            StreamClosed: If the consumer has left.
        """
        self._to_producer = signal.notify
        self._shielded(self._send, item)
        while self._sent >= self._credit and not self._closed:
            signal.wait()
        if self._closed:
            raise StreamClosed

    async def put_async(self, item: Any, bridge: Bridge) -> None:
        """Send `item`; wait while there is no credit; raises as `put`."""
        self._send(item)
        if self._sent >= self._credit:
            signal = bridge.signal()
            self._to_producer = signal.notify
            while self._sent >= self._credit and not self._closed:
                await signal.wait()
        if self._closed:
            raise StreamClosed

    def _send(self, item: Any) -> None:
        if self._closed:
            raise StreamClosed
        self._post(Item(self._number, encode(item, share_above=HELD_ABOVE, share=Held)))
        self._sent += 1


def _nobody() -> None:
    """Tell no consumer: there is none in this process."""

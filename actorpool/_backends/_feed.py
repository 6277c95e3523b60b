# SPDX-License-Identifier: Apache-2.0
"""Back-pressure over a distance: how far a generator in another process may be ahead of its consumer here.

The producer has credit for as many items as the stream holds, and uses one for each item it sends. As the consumer
takes items the credit is given again, half a buffer at a time: fewer messages, and the producer never runs dry.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from actorpool._wire._codec import decode
from actorpool._wire._faults import WireError

if TYPE_CHECKING:
    from collections.abc import Callable

    from actorpool._host._stream import Stream
    from actorpool._wire._blobs import Payload

__all__ = ["Feed"]


class Feed:
    """The producer's end of a stream whose producer is in another process.

    Threads: `put` is the host's; credit is given on the consumer's.
    """

    __slots__ = ("_fed", "_give", "_given", "_stream", "failure")

    def __init__(self, stream: Stream, give: Callable[[int], object]) -> None:
        """Connect to `stream`, whose producer begins with credit for `stream.bound` items.

        Args:
            stream: Where the items go.
            give: Sends credit for that many further items. Threads: any.
        """
        self._stream = stream
        self._give = give
        self._given = stream.bound
        self._fed = 0
        self.failure: WireError | None = None
        """Why an item could not be handed over; the generator is to be ended then."""
        stream.connect(self._has_room)

    def put(self, item: Any) -> None:
        """Hand over an item that has come."""
        self._stream.feed(item)
        # Afterwards, so that the consumer's count of what it took is never too high.
        self._fed += 1

    def pass_on(self, item: Payload) -> bool:
        """Read and hand over an item; return whether that could be done. What comes later is dropped then."""
        if self.failure is None:
            try:
                self.put(decode(item))
            except WireError as error:
                # The user's objects say how they are read; and how they are sent further, in a third process.
                self.failure = error
                return False
        return True

    def _has_room(self) -> None:
        stream = self._stream
        taken = self._fed - stream.waiting
        credit = taken + stream.bound - self._given
        if credit > 0 and credit >= stream.bound // 2:
            self._given += credit
            self._give(credit)

# SPDX-License-Identifier: Apache-2.0
"""The stream of one generator input: from the producer in its container to its one consumer.

The buffer is bounded: the generator is not resumed while `bound` items wait, so a slow consumer slows
it. Producer and consumer may be on different threads or loops. The producer publishes an item and then
looks for room; the consumer takes an item and then notifies: whatever the interleaving, neither sleeps
while the other waits for it.
"""

from __future__ import annotations

from collections import deque
from typing import TYPE_CHECKING, Any, Final

from ._context import current_input
from ._thread_waits import ThreadSignal

if TYPE_CHECKING:
    from collections.abc import AsyncGenerator, Callable, Generator

    from ._base import Bridge

__all__ = ["NO_ITEM", "Stream", "StreamClosed", "async_producer", "producer"]

NO_ITEM: Final = object()
"""What `Stream.take` returns when no item waits."""


class StreamClosed(Exception):
    """The consumer has left, so the generator is to be closed."""


class Stream:
    """Items on their way from one producer to one consumer."""

    __slots__ = ("_bound", "_closed", "_items", "_to_consumer", "_to_producer")

    def __init__(self, bound: int, to_consumer: Callable[[], object]) -> None:
        self._bound = bound
        self._items: deque[Any] = deque()
        self._closed = False
        self._to_consumer = to_consumer
        self._to_producer: Callable[[], object] | None = None

    def take(self) -> Any:
        """Return the oldest item, or `NO_ITEM`. The consumer's side."""
        if not self._items:
            return NO_ITEM
        item = self._items.popleft()
        # Half a buffer at a time: fewer wake-ups, and the producer never runs dry of room.
        if self._to_producer is not None and len(self._items) <= self._bound // 2:
            self._to_producer()
        return item

    def close(self) -> None:
        """Let the producer stop at its next item. Threads: any."""
        self._closed = True
        if self._to_producer is not None:
            self._to_producer()

    @property
    def bound(self) -> int:
        """How many items may wait."""
        return self._bound

    @property
    def waiting(self) -> int:
        """How many items wait for the consumer."""
        return len(self._items)

    def connect(self, has_room: Callable[[], object]) -> None:
        """Have `has_room` called, by the consumer, when there is room for more; for a producer that uses `feed`."""
        self._to_producer = has_room

    def feed(self, item: Any) -> None:
        """Hand over `item` without waiting, for a producer that keeps within the bound itself."""
        if not self._closed:
            self._offer(item)

    def put(self, item: Any, signal: ThreadSignal) -> None:
        """Hand over `item`; block while the buffer is full.

        Raises:
            StreamClosed: If the consumer has left.
        """
        self._to_producer = signal.notify
        self._offer(item)
        while len(self._items) >= self._bound and not self._closed:
            signal.wait()
        if self._closed:
            raise StreamClosed

    async def put_async(self, item: Any, bridge: Bridge) -> None:
        """Hand over `item`; wait while the buffer is full.

        Raises:
            StreamClosed: If the consumer has left.
        """
        self._offer(item)
        if len(self._items) >= self._bound:
            signal = bridge.signal()
            self._to_producer = signal.notify
            while len(self._items) >= self._bound and not self._closed:
                await signal.wait()
        if self._closed:
            raise StreamClosed

    def _offer(self, item: Any) -> None:
        if self._closed:
            raise StreamClosed
        self._items.append(item)
        self._to_consumer()


def producer(function: Callable[..., Generator[Any, Any, Any]]) -> Callable[..., None]:
    """Return what a thread slot runs for a generator function."""

    def produce(*args: Any, **kwargs: Any) -> None:
        stream = _current_stream()
        signal = ThreadSignal()
        generator = function(*args, **kwargs)
        try:
            for item in generator:
                stream.put(item, signal)
        finally:
            generator.close()

    return produce


def async_producer(function: Callable[..., AsyncGenerator[Any, Any]], bridge: Bridge) -> Callable[..., Any]:
    """Return what a task slot runs for an asynchronous generator function."""

    async def produce(*args: Any, **kwargs: Any) -> None:
        stream = _current_stream()
        generator = function(*args, **kwargs)
        try:
            async for item in generator:
                await stream.put_async(item, bridge)
        finally:
            await generator.aclose()

    return produce


def _current_stream() -> Stream:
    input = current_input.get()
    assert input is not None
    assert isinstance(input.stream, Stream)
    return input.stream

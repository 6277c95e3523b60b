# SPDX-License-Identifier: Apache-2.0
"""Memory channels for the asyncio host, with the semantics of trio's.

Theory of operation. One `_Channel` is shared by all ends. `items` is the buffer; `receivers` and `senders`
map the futures of blocked tasks, oldest first, to the end they wait on (and to the item they wait to send).
Whoever can serve a blocked task takes it out of its map and sets its future. A cancelled task leaves its map
one turn after its future was cancelled, so whoever looks for a blocked task skips futures that are done. Not
counting those,

    Invariant: receivers is empty or items and senders are; senders is empty or the buffer is full.

(One exception, harmless: an item given back by a cancelled receiver may overfill the buffer by one.) A task
that finds its item or its room at once goes on without a checkpoint: items cost 0.5 us that way instead of 5.
It may run on only as far as the buffer goes.

asyncio may cancel a task whose future has been set already. A receiver then gives its item back to the head
of the queue and is cancelled: no item is lost. A sender's item may have been received meanwhile, so its
`send` has happened and returns, and the cancellation is delivered at the next checkpoint, as on trio.
"""

from __future__ import annotations

import asyncio
import math
from collections import OrderedDict, deque
from collections.abc import Iterable
from typing import Any, Final, Generic, TypeVar, cast

from attrs import define, field

from ._asyncio_cancel import cancel_later, this_task
from ._base import ChannelStatistics
from ._channel_ends import ChannelEnd, ReceivingEnd, broken_error, closed_error, end_error
from ._errors import WouldBlock

__all__ = ["AsyncioReceiveChannel", "AsyncioSendChannel", "open_asyncio_channel"]

T = TypeVar("T")


class _Mark:
    """What a blocked task is woken with in place of an item."""

    __slots__ = ()


_SENT: Final = _Mark()
_CLOSED: Final = _Mark()
_BROKEN: Final = _Mark()
_ENDED: Final = _Mark()


@define(eq=False)
class _Channel(Generic[T]):
    loop: asyncio.AbstractEventLoop
    max_buffer_size: float
    items: deque[T] = field(factory=deque, init=False)
    # {future of a blocked receiver: its end}
    receivers: OrderedDict[asyncio.Future[T | _Mark], AsyncioReceiveChannel[T]] = field(
        factory=OrderedDict, init=False
    )
    # {future of a blocked sender: (its end, its item)}
    senders: OrderedDict[asyncio.Future[_Mark], tuple[AsyncioSendChannel[T], T]] = field(
        factory=OrderedDict, init=False
    )
    open_send_channels: int = field(default=0, init=False)
    open_receive_channels: int = field(default=0, init=False)

    def hand_over(self, value: T) -> bool:
        """Give `value` to the receiver that is blocked longest; return False if none is."""
        while self.receivers:
            future, _ = self.receivers.popitem(last=False)
            if not future.done():
                future.set_result(value)
                return True
        return False

    def admit_sender(self) -> None:
        """Let the item of the sender that is blocked longest move up behind the buffer."""
        while self.senders:
            future, (_, value) = self.senders.popitem(last=False)
            if not future.done():
                future.set_result(_SENT)
                self.items.append(value)
                return

    def give_back(self, value: T) -> None:
        """Put back what a receiver was given and could not take."""
        if not self.hand_over(value) and self.open_receive_channels:
            self.items.appendleft(value)

    def statistics(self) -> ChannelStatistics:
        return ChannelStatistics(
            current_buffer_used=len(self.items),
            max_buffer_size=self.max_buffer_size,
            open_send_channels=self.open_send_channels,
            open_receive_channels=self.open_receive_channels,
            tasks_waiting_send=_count_pending(self.senders),
            tasks_waiting_receive=_count_pending(self.receivers),
        )


def open_asyncio_channel(
    loop: asyncio.AbstractEventLoop, max_buffer_size: float
) -> tuple[AsyncioSendChannel[T], AsyncioReceiveChannel[T]]:
    """Return the two ends of a new channel.

    Raises:
        TypeError: If `max_buffer_size` is neither an integer nor `math.inf`.
        ValueError: If it is negative.
    """
    if max_buffer_size != math.inf and not isinstance(max_buffer_size, int):
        raise TypeError(f"max_buffer_size must be an integer or math.inf, not {max_buffer_size!r}")
    if max_buffer_size < 0:
        raise ValueError(f"max_buffer_size must be >= 0, not {max_buffer_size!r}")
    channel = _Channel[T](loop, max_buffer_size)
    return AsyncioSendChannel(channel), AsyncioReceiveChannel(channel)


@define(eq=False, repr=False)
class AsyncioSendChannel(ChannelEnd, Generic[T]):
    """The sending end; see `SendChannel`."""

    _channel: _Channel[T]
    _closed: bool = field(default=False, init=False)

    def __attrs_post_init__(self) -> None:
        self._channel.open_send_channels += 1

    def __repr__(self) -> str:
        return _describe(self, self._channel, self._closed)

    def send_nowait(self, value: T) -> None:
        channel = self._channel
        if self._closed:
            raise closed_error("send")
        if channel.hand_over(value):
            return
        if channel.open_receive_channels == 0:
            raise broken_error()
        if len(channel.items) >= channel.max_buffer_size:
            raise WouldBlock(
                f"the channel is full: {len(channel.items)} items (limit {channel.max_buffer_size})"
            )
        channel.items.append(value)

    async def send(self, value: T) -> None:
        channel = self._channel
        # The fast path of send_nowait, spelled out: this is called for every item.
        if (
            not channel.receivers
            and len(channel.items) < channel.max_buffer_size
            and channel.open_receive_channels
            and not self._closed
        ):
            channel.items.append(value)
            return
        try:
            self.send_nowait(value)
            return
        except WouldBlock:
            pass
        before = this_task().cancelling()
        future: asyncio.Future[_Mark] = channel.loop.create_future()
        channel.senders[future] = (self, value)
        try:
            outcome = await future
        except asyncio.CancelledError as error:
            if future.cancelled() or future.result() is not _SENT:
                raise
            outcome = _SENT
            cancel_later(error, before)
        finally:
            channel.senders.pop(future, None)
        if outcome is _CLOSED:
            raise closed_error("send")
        if outcome is _BROKEN:
            raise broken_error()

    def clone(self) -> AsyncioSendChannel[T]:
        if self._closed:
            raise closed_error("clone")
        return AsyncioSendChannel(self._channel)

    def close(self) -> None:
        if self._closed:
            return
        self._closed = True
        channel = self._channel
        channel.open_send_channels -= 1
        for future in [future for future, (end, _) in channel.senders.items() if end is self]:
            del channel.senders[future]
            _wake(future, _CLOSED)
        if channel.open_send_channels == 0:
            while channel.receivers:
                _wake(channel.receivers.popitem(last=False)[0], _ENDED)

    async def aclose(self) -> None:
        self.close()
        await asyncio.sleep(0)

    def statistics(self) -> ChannelStatistics:
        return self._channel.statistics()


@define(eq=False, repr=False)
class AsyncioReceiveChannel(ReceivingEnd[T]):
    """The receiving end; see `ReceiveChannel`."""

    _channel: _Channel[T]
    _closed: bool = field(default=False, init=False)

    def __attrs_post_init__(self) -> None:
        self._channel.open_receive_channels += 1

    def __repr__(self) -> str:
        return _describe(self, self._channel, self._closed)

    def receive_nowait(self) -> T:
        channel = self._channel
        if self._closed:
            raise closed_error("receive")
        if channel.senders:
            channel.admit_sender()
        if channel.items:
            return channel.items.popleft()
        if channel.open_send_channels == 0:
            raise end_error()
        raise WouldBlock("the channel is empty")

    async def receive(self) -> T:
        channel = self._channel
        if self._closed:
            raise closed_error("receive")
        if channel.senders:
            channel.admit_sender()
        if channel.items:
            return channel.items.popleft()
        if channel.open_send_channels == 0:
            raise end_error()
        future: asyncio.Future[T | _Mark] = channel.loop.create_future()
        channel.receivers[future] = self
        try:
            outcome = await future
        except BaseException:
            channel.receivers.pop(future, None)
            if future.done() and not future.cancelled():
                outcome = future.result()
                if not isinstance(outcome, _Mark):
                    channel.give_back(outcome)
            raise
        if outcome is _ENDED:
            raise end_error()
        if outcome is _CLOSED:
            raise closed_error("receive")
        return cast(T, outcome)

    def clone(self) -> AsyncioReceiveChannel[T]:
        if self._closed:
            raise closed_error("clone")
        return AsyncioReceiveChannel(self._channel)

    def close(self) -> None:
        if self._closed:
            return
        self._closed = True
        channel = self._channel
        channel.open_receive_channels -= 1
        for future in [future for future, end in channel.receivers.items() if end is self]:
            del channel.receivers[future]
            _wake(future, _CLOSED)
        if channel.open_receive_channels == 0:
            while channel.senders:
                _wake(channel.senders.popitem(last=False)[0], _BROKEN)
            channel.items.clear()

    async def aclose(self) -> None:
        self.close()
        await asyncio.sleep(0)

    def statistics(self) -> ChannelStatistics:
        return self._channel.statistics()


def _wake(future: asyncio.Future[Any], mark: _Mark) -> None:
    if not future.done():
        future.set_result(mark)


def _count_pending(futures: Iterable[asyncio.Future[Any]]) -> int:
    return sum(not future.done() for future in futures)


def _describe(end: object, channel: _Channel[T], closed: bool) -> str:
    state = "closed" if closed else "open"
    used = f"{len(channel.items)}/{channel.max_buffer_size}"
    waiting = f"{_count_pending(channel.senders)} sending, {_count_pending(channel.receivers)} receiving"
    return f"<{type(end).__name__} {state} buffer={used} waiting: {waiting}>"

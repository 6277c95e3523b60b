# SPDX-License-Identifier: Apache-2.0
"""The memory channels of the trio host: trio's own, in shells that turn its exceptions into ours.

Nothing else lives here; the host is in `_trio`.
"""

from __future__ import annotations

from typing import Any, Generic, TypeVar

import trio
from attrs import define

from ._base import ChannelStatistics
from ._channel_ends import ChannelEnd, ReceivingEnd, broken_error, closed_error, end_error
from ._errors import WouldBlock

__all__ = ["TrioReceiveChannel", "TrioSendChannel"]

T = TypeVar("T")


@define(eq=False)
class TrioSendChannel(ChannelEnd, Generic[T]):
    """The sending end; see `SendChannel`."""

    _channel: trio.MemorySendChannel[T]

    def send_nowait(self, value: T) -> None:
        try:
            self._channel.send_nowait(value)
        except trio.WouldBlock:
            raise WouldBlock("the channel is full") from None
        except (trio.ClosedResourceError, trio.BrokenResourceError) as error:
            raise _translated(error, "send") from None

    async def send(self, value: T) -> None:
        try:
            await self._channel.send(value)
        except (trio.ClosedResourceError, trio.BrokenResourceError) as error:
            raise _translated(error, "send") from None

    def clone(self) -> TrioSendChannel[T]:
        try:
            return TrioSendChannel(self._channel.clone())
        except trio.ClosedResourceError as error:
            raise _translated(error, "clone") from None

    def close(self) -> None:
        self._channel.close()

    async def aclose(self) -> None:
        await self._channel.aclose()

    def statistics(self) -> ChannelStatistics:
        return _channel_statistics(self._channel)


@define(eq=False)
class TrioReceiveChannel(ReceivingEnd[T]):
    """The receiving end; see `ReceiveChannel`."""

    _channel: trio.MemoryReceiveChannel[T]

    def receive_nowait(self) -> T:
        try:
            return self._channel.receive_nowait()
        except trio.WouldBlock:
            raise WouldBlock("the channel is empty") from None
        except (trio.ClosedResourceError, trio.EndOfChannel) as error:
            raise _translated(error, "receive") from None

    async def receive(self) -> T:
        try:
            return await self._channel.receive()
        except (trio.ClosedResourceError, trio.EndOfChannel) as error:
            raise _translated(error, "receive") from None

    def clone(self) -> TrioReceiveChannel[T]:
        try:
            return TrioReceiveChannel(self._channel.clone())
        except trio.ClosedResourceError as error:
            raise _translated(error, "clone") from None

    def close(self) -> None:
        self._channel.close()

    async def aclose(self) -> None:
        await self._channel.aclose()

    def statistics(self) -> ChannelStatistics:
        return _channel_statistics(self._channel)


def _translated(error: Exception, verb: str) -> Exception:
    if isinstance(error, trio.ClosedResourceError):
        return closed_error(verb)
    if isinstance(error, trio.BrokenResourceError):
        return broken_error()
    return end_error()


def _channel_statistics(
    channel: trio.MemorySendChannel[Any] | trio.MemoryReceiveChannel[Any],
) -> ChannelStatistics:
    statistics = channel.statistics()
    return ChannelStatistics(
        current_buffer_used=statistics.current_buffer_used,
        max_buffer_size=statistics.max_buffer_size,
        open_send_channels=statistics.open_send_channels,
        open_receive_channels=statistics.open_receive_channels,
        tasks_waiting_send=statistics.tasks_waiting_send,
        tasks_waiting_receive=statistics.tasks_waiting_receive,
    )

# SPDX-License-Identifier: Apache-2.0
"""The memory channels of the trio host: trio's own, in shells that turn its exceptions into ours.

Nothing else lives here; the host is in `_trio`.
"""

from __future__ import annotations

from types import TracebackType
from typing import Any, Generic, TypeVar

import trio
from attrs import define

from ._base import BrokenResourceError, ChannelStatistics, ClosedResourceError, EndOfChannel, WouldBlock

__all__ = ["TrioReceiveChannel", "TrioSendChannel"]

T = TypeVar("T")


@define(eq=False)
class TrioSendChannel(Generic[T]):
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

    def __enter__(self) -> TrioSendChannel[T]:
        return self

    def __exit__(
        self,
        exc_type: type[BaseException] | None,
        exc: BaseException | None,
        traceback: TracebackType | None,
        /,
    ) -> None:
        self.close()

    async def __aenter__(self) -> TrioSendChannel[T]:
        return self

    async def __aexit__(
        self,
        exc_type: type[BaseException] | None,
        exc: BaseException | None,
        traceback: TracebackType | None,
        /,
    ) -> None:
        await self.aclose()


@define(eq=False)
class TrioReceiveChannel(Generic[T]):
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

    def __aiter__(self) -> TrioReceiveChannel[T]:
        return self

    async def __anext__(self) -> T:
        try:
            return await self.receive()
        except EndOfChannel:
            raise StopAsyncIteration from None

    def __enter__(self) -> TrioReceiveChannel[T]:
        return self

    def __exit__(
        self,
        exc_type: type[BaseException] | None,
        exc: BaseException | None,
        traceback: TracebackType | None,
        /,
    ) -> None:
        self.close()

    async def __aenter__(self) -> TrioReceiveChannel[T]:
        return self

    async def __aexit__(
        self,
        exc_type: type[BaseException] | None,
        exc: BaseException | None,
        traceback: TracebackType | None,
        /,
    ) -> None:
        await self.aclose()


def _translated(error: Exception, verb: str) -> Exception:
    if isinstance(error, trio.ClosedResourceError):
        return ClosedResourceError(f"this end of the memory channel is closed; do not {verb} after close()")
    if isinstance(error, trio.BrokenResourceError):
        return BrokenResourceError("every receiver of the memory channel has closed; nobody can get the item")
    return EndOfChannel("every sender of the memory channel has closed and nothing is left to receive")


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

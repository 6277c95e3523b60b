# SPDX-License-Identifier: Apache-2.0
"""What the ends of a memory channel have in common on every host: blocks that close them, iteration, their errors."""

from __future__ import annotations

from abc import ABC, abstractmethod
from typing import TYPE_CHECKING, Generic, TypeVar

from ._errors import BrokenResourceError, ClosedResourceError, EndOfChannel

if TYPE_CHECKING:
    from types import TracebackType
    from typing import Self

__all__ = ["ChannelEnd", "ReceivingEnd", "broken_error", "closed_error", "end_error"]

T = TypeVar("T")


class ChannelEnd(ABC):
    """An end that a `with` or `async with` block closes."""

    __slots__ = ()

    @abstractmethod
    def close(self) -> None:
        """Close this end."""

    @abstractmethod
    async def aclose(self) -> None:
        """Close this end; a checkpoint."""

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self,
        exc_type: type[BaseException] | None,
        exc: BaseException | None,
        traceback: TracebackType | None,
        /,
    ) -> None:
        self.close()

    async def __aenter__(self) -> Self:
        return self

    async def __aexit__(
        self,
        exc_type: type[BaseException] | None,
        exc: BaseException | None,
        traceback: TracebackType | None,
        /,
    ) -> None:
        await self.aclose()


class ReceivingEnd(ChannelEnd, Generic[T]):
    """An end whose items `async for` takes."""

    __slots__ = ()

    @abstractmethod
    async def receive(self) -> T:
        """Return the next item."""

    def __aiter__(self) -> Self:
        return self

    async def __anext__(self) -> T:
        try:
            return await self.receive()
        except EndOfChannel:
            raise StopAsyncIteration from None


def closed_error(verb: str) -> ClosedResourceError:
    """Return the error of one who uses an end that he has closed."""
    return ClosedResourceError(f"this end of the memory channel is closed; do not {verb} after close()")


def broken_error() -> BrokenResourceError:
    """Return the error of a sender without receivers."""
    return BrokenResourceError("every receiver of the memory channel has closed; nobody can get the item")


def end_error() -> EndOfChannel:
    """Return the error of a receiver for whom nothing comes any more."""
    return EndOfChannel("every sender of the memory channel has closed and nothing is left to receive")

# SPDX-License-Identifier: Apache-2.0
"""Slots: permits whose number may change while they are in use.

Who holds a permit, and for what, is not known here.

Theory of operation. A free permit is granted at once if nobody waits, otherwise to whoever waits longest, in
the step that made it free: a waiting task is never overtaken. Shrinking takes nothing away; it only keeps
freed permits from being granted again until no more than the new limit are in use.

    Invariant: nobody waits while in_use < limit; a grant never makes in_use exceed limit.
"""

from __future__ import annotations

from collections import OrderedDict
from types import TracebackType

from attrs import define, field, frozen

from actorpool._core._config import check_count
from actorpool._host._base import Waiter
from actorpool._host._current import current_bridge
from actorpool._host._errors import HostNotRunningError, WouldBlock
from actorpool.exception import InvalidError

__all__ = ["Slots", "SlotsStatistics"]


@frozen
class SlotsStatistics:
    """A snapshot of a `Slots`."""

    limit: int
    """Permits that may be in use (inclusive)."""
    in_use: int
    """Permits in use; above `limit` for a while after a shrinking."""
    waiting: int
    """Tasks blocked in `acquire`."""


@define(eq=False)
class _Claim:
    """A task that waits for a permit."""

    waiter: Waiter
    granted: bool = field(default=False, init=False)


@define(eq=False, repr=False)
class Slots:
    """A semaphore that can be resized while it is in use.

    `async with slots:` holds one permit for its body. It belongs to the event loop on which it is used.

    Args:
        limit: Permits at the start (>= 0; 0 lets nobody in until `resize`).

    Raises:
        InvalidError: If `limit` is no whole number of at least 0.
    """

    _limit: int
    _in_use: int = field(default=0, init=False)
    # {claim: None}, longest waiting first; granted claims have left.
    _claims: OrderedDict[_Claim, None] = field(factory=OrderedDict, init=False)

    def __attrs_post_init__(self) -> None:
        check_count("limit", self._limit, least=0)

    def __repr__(self) -> str:
        return f"<Slots in_use={self._in_use}/{self._limit} waiting={len(self._claims)}>"

    @property
    def limit(self) -> int:
        """Permits that may be in use (inclusive)."""
        return self._limit

    def statistics(self) -> SlotsStatistics:
        """Return a snapshot."""
        return SlotsStatistics(limit=self._limit, in_use=self._in_use, waiting=len(self._claims))

    def acquire_nowait(self) -> None:
        """Take a permit at once.

        Raises:
            WouldBlock: If none is free; nothing has happened.
        """
        if self._in_use >= self._limit:
            raise WouldBlock(f"all slots are taken: {self._in_use} in use (limit {self._limit})")
        self._in_use += 1

    async def acquire(self) -> None:
        """Take a permit, waiting for one; first come, first served. No checkpoint if one is free.

        Raises:
            HostNotRunningError: If it must wait and no event loop runs in this thread.

        Cancellation: No permit was taken.
        """
        if self._in_use < self._limit:
            self._in_use += 1
            return
        bridge = current_bridge()
        if bridge is None:
            raise HostNotRunningError("a slot can be waited for on a running event loop only")
        claim = _Claim(bridge.waiter())
        self._claims[claim] = None
        try:
            await claim.waiter.wait()
        except BaseException:
            if claim.granted:
                self.release()
            else:
                del self._claims[claim]
            raise

    def release(self) -> None:
        """Give a permit back; whoever waits longest gets it, if the limit allows.

        Raises:
            InvalidError: If no permit is in use.
        """
        if self._in_use == 0:
            raise InvalidError(f"release() without acquire(): no slot is in use (limit {self._limit})")
        self._in_use -= 1
        self._grant()

    def resize(self, limit: int) -> None:
        """Set the limit; growing lets waiting tasks in at once, shrinking takes no permit away.

        Raises:
            InvalidError: If `limit` is no whole number of at least 0; nothing changes then.
        """
        self._limit = check_count("limit", limit, least=0)
        self._grant()

    def _grant(self) -> None:
        while self._claims and self._in_use < self._limit:
            claim, _ = self._claims.popitem(last=False)
            claim.granted = True
            self._in_use += 1
            claim.waiter.notify()

    async def __aenter__(self) -> Slots:
        await self.acquire()
        return self

    async def __aexit__(
        self,
        exc_type: type[BaseException] | None,
        exc: BaseException | None,
        traceback: TracebackType | None,
        /,
    ) -> None:
        self.release()

# SPDX-License-Identifier: Apache-2.0
"""The gate to an app's threads: containers wait here when the app is at its ceiling.

Who is let in is decided by the pure `ThreadBudget`; the gate keeps the waiting containers' wake-ups.
Host thread only.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from attrs import define, field, frozen

from actorpool._core._threads import ThreadBudget

if TYPE_CHECKING:
    from collections.abc import Callable, Hashable

    from actorpool._host._base import Event, Host

__all__ = ["ThreadGate"]


@frozen(eq=False)
class _Ticket:
    """One container's place in the queue."""

    granted: Event


@define(eq=False)
class ThreadGate:
    """Lets containers have threads, up to the app's ceiling, fairly among functions."""

    _host: Host
    _budget: ThreadBudget[_Ticket]
    _crowded: Callable[[Hashable, bool], object]
    """Called with the owner that holds most, whenever somebody has to wait; and with False when nobody does."""
    _told: set[Hashable] = field(factory=set, init=False)
    _granted: set[_Ticket] = field(factory=set, init=False)

    async def enter(self, owner: Hashable, threads: int) -> None:
        """Wait until `owner` may have `threads` more threads.

        Raises:
            InvalidError: If that is more than the ceiling.
        Cancellation: Nothing is held.
        """
        ticket = _Ticket(self._host.event())
        if self._budget.request(owner, threads, ticket):
            return
        holder = self._budget.over_share()
        if holder is not None:
            self._told.add(holder)
            self._crowded(holder, True)
        try:
            await ticket.granted.wait()
        except BaseException:
            if ticket in self._granted:
                self._granted.discard(ticket)
                self.leave(owner, threads)
            else:
                self._let_in(self._budget.withdraw(ticket))
            raise
        self._granted.discard(ticket)

    def leave(self, owner: Hashable, threads: int) -> None:
        """Give `threads` back."""
        self._let_in(self._budget.release(owner, threads))

    def _let_in(self, tickets: list[_Ticket]) -> None:
        for ticket in tickets:
            self._granted.add(ticket)
            ticket.granted.set()
        if not self._budget.waiting:
            told, self._told = self._told, set()
            for owner in told:
                self._crowded(owner, False)

# SPDX-License-Identifier: Apache-2.0
"""The gate to an app's threads, or to its processes: containers wait here when the app is at its ceiling.

Who is let in is decided by the pure `ThreadBudget`; the gate keeps the waiting containers' wake-ups.
Host thread only.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

from attrs import define, field, frozen

from actorpool._core._threads import ThreadBudget

if TYPE_CHECKING:
    from collections.abc import Callable, Hashable

    from actorpool._host._base import Event, Host, TimerHandle

__all__ = ["ThreadGate"]

# How long a function holds more than its share while others wait. Picked by feel: long beside the start of a
# container, so that functions which must take turns get something done in theirs.
_TURN_S: Final = 1.0


@frozen(eq=False)
class _Ticket:
    """One container's place in the queue."""

    granted: Event


@define(eq=False)
class ThreadGate:
    """Lets containers have threads, up to the app's ceiling, fairly among functions; or processes, one each."""

    _host: Host
    _budget: ThreadBudget[_Ticket]
    _tell: Callable[[bool], object]
    """Called with True when somebody comes to wait, so that idle containers make way; with False when nobody does."""
    _take: Callable[[Hashable, int], object]
    """Called with an owner and a number of threads that it holds beyond its share while others wait."""
    crowded: bool = field(default=False, init=False)
    """Whether somebody waits."""
    _granted: set[_Ticket] = field(factory=set, init=False)
    # {owner: threads it was asked for and has not given back}
    _asked: dict[Hashable, int] = field(factory=dict, init=False)
    _timer: TimerHandle | None = field(default=None, init=False)

    @property
    def ceiling(self) -> int:
        """Most threads the app may hold."""
        return self._budget.ceiling

    async def enter(self, owner: Hashable, threads: int) -> None:
        """Wait until `owner` may have `threads` more threads.

        Raises:
            InvalidError: If that is more than the ceiling.
        Cancellation: Nothing is held.
        """
        ticket = _Ticket(self._host.event())
        if self._budget.request(owner, threads, ticket):
            return
        self._look()
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
        if owner in self._asked:
            self._asked[owner] = max(0, self._asked[owner] - threads)
        self._let_in(self._budget.release(owner, threads))

    def _let_in(self, tickets: list[_Ticket]) -> None:
        for ticket in tickets:
            self._granted.add(ticket)
            ticket.granted.set()
        self._look()

    def _look(self) -> None:
        """See whether anybody waits."""
        waiting = self._budget.waiting > 0
        if waiting != self.crowded:
            self.crowded = waiting
            self._tell(waiting)
        if waiting and self._timer is None:
            self._timer = self._host.call_at(self._host.now() + _TURN_S, self._redress)
        elif not waiting:
            self._asked.clear()
            if self._timer is not None:
                self._timer.cancel()
                self._timer = None

    def _redress(self) -> None:
        """See to those who have waited for a whole turn."""
        self._timer = None
        excess = self._budget.excess()
        if excess is not None:
            owner, threads = excess
            further = threads - self._asked.get(owner, 0)
            if further > 0:
                self._asked[owner] = threads
                self._take(owner, further)
        # Threads are kept for a container that needs many; the holders may be warm ones that give nothing back.
        self._let_in(self._budget.let_pass())

# SPDX-License-Identifier: Apache-2.0
"""The thread budget: one app's ceiling of threads, shared fairly by its functions (pure).

An owner (a function's supervisor) requests all threads of a container at once, under a ticket. The request is
granted at once or waits; every other call that may make room returns the tickets that are granted then.
Every ticket has one outcome: granted, withdrawn by its owner, or refused by a smaller ceiling.

**Order.** The owners that wait stand in a ring. Of one owner's tickets only the oldest, its head, can be
granted. Threads go to the first head in the ring that fits, and its owner goes to the end of the ring: one
ticket per owner and round, first come first served within an owner.

**A large request neither starves nor idles the app.** A head that does not fit lets the heads behind it pass,
but in all they may take no more threads past it than it asks for itself. From then on threads are kept for
it until it fits. One exception: while an owner's own threads leave no room for its head under the ceiling,
only its own releases can help; that head is barred, nothing is kept for it, what passes it is not counted.

Why every head that is not barred is granted in the end: the first of them in the ring can be passed by
boundedly many threads; then each release brings it nearer, and it is granted at the latest when the other
owners have released all they hold. A grant moves its owner to the end, so the other heads move forward
and become first.

This needs holders that release. If they do not (warm containers, or inputs that themselves wait for a
function that waits for threads), keeping threads could stop the app. So whoever has a clock looks at
`statistics().kept_for`, and when threads were kept for too long without a release, calls `let_pass`: each
head may be passed once more by as many threads as it asks for.

Why no thread idles otherwise: after every operation each waiting head either does not fit into the free
threads or may not pass a head that waits before it.
"""

from __future__ import annotations

from collections import OrderedDict
from collections.abc import Hashable
from typing import Generic, TypeVar

from attrs import define, frozen

from actorpool._core._config import check_count
from actorpool.exception import InternalError, InvalidError

__all__ = ["Resized", "ThreadBudget", "ThreadBudgetStatistics"]

TicketT = TypeVar("TicketT", bound=Hashable)


@frozen
class ThreadBudgetStatistics:
    """How an app's threads are shared at one moment."""

    ceiling: int
    """Most threads the app may hold (inclusive)."""
    held: int
    """Threads granted and not released; above the ceiling only after it was lowered."""
    waiting: int
    """Tickets that wait."""
    waiting_threads: int
    """Threads those tickets ask for."""
    holders: tuple[tuple[Hashable, int], ...]
    """Each owner that holds threads and how many, in the order in which they came to hold some."""
    kept_for: Hashable | None
    """The owner for whose head free threads are kept, while another head would fit; None if there is none."""


@frozen
class Resized(Generic[TicketT]):
    """What a new ceiling did to the tickets that waited."""

    granted: list[TicketT]
    """Granted now, in order."""
    refused: list[TicketT]
    """Removed, because each asks for more threads than the new ceiling."""


@define(eq=False)
class _Request(Generic[TicketT]):
    ticket: TicketT
    owner: Hashable
    count: int
    # Threads that heads behind this one took past it. Invariant: passed <= count.
    passed: int = 0


class ThreadBudget(Generic[TicketT]):
    """Shares at most `ceiling` threads among owners; see the module for the order of grants.

    Args:
        ceiling: Most threads held at once (>= 1, inclusive).

    Raises:
        InvalidError: If the ceiling is not a whole number of at least 1.
    """

    __slots__ = ("_ceiling", "_held", "_requests", "_ring", "_total")

    def __init__(self, ceiling: int) -> None:
        self._ceiling = check_count("ceiling", ceiling, least=1)
        # {owner: threads}, no zeros. Invariant: sum of the values == _total.
        self._held: dict[Hashable, int] = {}
        self._total = 0
        # {owner: {ticket: request}}, no empty queues; both in the order of their turns, O(1) at both ends.
        self._ring: OrderedDict[Hashable, OrderedDict[TicketT, _Request[TicketT]]] = OrderedDict()
        # {ticket: request}, all that wait.
        self._requests: dict[TicketT, _Request[TicketT]] = {}

    def __repr__(self) -> str:
        return f"<ThreadBudget held={self._total}/{self._ceiling} waiting={self.waiting}>"

    def __contains__(self, ticket: object) -> bool:
        """Whether `ticket` waits; False once it is granted, withdrawn or refused."""
        return ticket in self._requests

    @property
    def ceiling(self) -> int:
        """Most threads held at once (inclusive)."""
        return self._ceiling

    @property
    def waiting(self) -> int:
        """How many tickets wait."""
        return len(self._requests)

    def held(self, owner: Hashable) -> int:
        """Return how many threads `owner` holds."""
        return self._held.get(owner, 0)

    def request(self, owner: Hashable, count: int, ticket: TicketT) -> bool:
        """Ask for `count` threads; return whether they are granted at once, else the ticket waits.

        Raises:
            InvalidError: If `count` is below 1 or above the ceiling, so that it could never be granted.
            InternalError: If the ticket waits already.
        """
        check_count("count", count, least=1)
        if count > self._ceiling:
            raise InvalidError(
                f"{owner!r} asks for {count} threads at once, but the ceiling of its app is {self._ceiling}; "
                "ask for fewer (a lower max_inputs) or raise the ceiling"
            )
        if ticket in self._requests:
            raise InternalError(f"{self!r}: ticket {ticket!r} of {owner!r} waits already")
        request = self._requests[ticket] = _Request(ticket, owner, count)
        self._ring.setdefault(owner, OrderedDict())[ticket] = request
        # Nothing became free, so of all tickets only this one can be granted.
        return bool(self._grant())

    def release(self, owner: Hashable, count: int) -> list[TicketT]:
        """Give back `count` threads of `owner`; return the tickets granted now, in order.

        Raises:
            InternalError: If `count` is below 1 or more than the owner holds; nothing changes then.
        """
        held = self.held(owner)
        if not 1 <= count <= held:
            raise InternalError(f"{self!r}: {owner!r} releases {count} threads and holds {held}")
        if count == held:
            del self._held[owner]
        else:
            self._held[owner] = held - count
        self._total -= count
        return self._grant()

    def withdraw(self, ticket: TicketT) -> list[TicketT]:
        """Remove a ticket that waits; return the tickets granted now, which it may have held up.

        Raises:
            InternalError: If the ticket does not wait (ask `ticket in budget`): a granted one is released.
        """
        request = self._requests.get(ticket)
        if request is None:
            raise InternalError(f"{self!r}: ticket {ticket!r} is withdrawn, but it does not wait")
        self._remove(request)
        return self._grant()

    def resize(self, ceiling: int) -> Resized[TicketT]:
        """Set another ceiling; nobody loses threads, a lower one only holds back further grants.

        Raises:
            InvalidError: If the ceiling is not a whole number of at least 1; nothing changes then.
        """
        self._ceiling = check_count("ceiling", ceiling, least=1)
        refused = [request for request in self._requests.values() if request.count > ceiling]
        for request in refused:
            self._remove(request)
        return Resized(granted=self._grant(), refused=[request.ticket for request in refused])

    def let_pass(self) -> list[TicketT]:
        """Let every head be passed anew; return the tickets granted now out of the threads that were kept.

        For the case that threads are kept and nobody releases any. Calling it rarely is harmless: a large
        request is still granted once the others release all they hold between two calls.
        """
        for request in self._requests.values():
            request.passed = 0
        return self._grant()

    def over_share(self) -> Hashable | None:
        """Return the owner with the most threads, if others wait: the one to ask for its idle containers.

        None if nobody waits, or if only the largest holder itself does. Of several largest holders, the one
        that has held threads the longest.
        """
        most = max(self._held.values(), default=0)
        for owner, count in self._held.items():
            others_waiting = len(self._ring) - (owner in self._ring)
            if count == most and others_waiting:
                return owner
        return None

    def excess(self) -> tuple[Hashable, int] | None:
        """Return the owner with the most threads, and how many of them others that wait should have instead.

        None if all is fair, or nobody waits. With those threads moved, the poorest of the waiting owners has no more
        than the richest had; where the ceiling is too low for both of them, they take turns.
        """
        richest = self.over_share()
        if richest is None:
            return None
        poorest = min((owner for owner in self._ring if owner != richest), key=self.held)
        queue = self._ring[poorest].values()
        need = next(iter(queue)).count
        gap = self.held(richest) - self.held(poorest)
        if gap < need:
            return None
        return richest, max(need, min(gap // 2, sum(request.count for request in queue)))

    def statistics(self) -> ThreadBudgetStatistics:
        """Return a snapshot of who holds threads and who waits."""
        return ThreadBudgetStatistics(
            ceiling=self._ceiling,
            held=self._total,
            waiting=len(self._requests),
            waiting_threads=sum(request.count for request in self._requests.values()),
            holders=tuple(self._held.items()),
            kept_for=self._kept_for(),
        )

    def _kept_for(self) -> Hashable | None:
        free = self._ceiling - self._total
        strictest: _Request[TicketT] | None = None
        for queue in self._ring.values():
            head = next(iter(queue.values()))
            if head.count <= free:
                # Invariant: a head that fits and still waits may not pass one before it.
                assert strictest is not None
                return strictest.owner
            if not self._barred(head) and (
                strictest is None or head.count - head.passed < strictest.count - strictest.passed
            ):
                strictest = head
        return None

    def _barred(self, request: _Request[TicketT]) -> bool:
        """Whether the owner's own threads leave no room for the request, so that no other can help."""
        return self.held(request.owner) + request.count > self._ceiling

    def _grant(self) -> list[TicketT]:
        granted: list[TicketT] = []
        while (request := self._next_grant()) is not None:
            owner, count = request.owner, request.count
            self._remove(request)
            if owner in self._ring:
                self._ring.move_to_end(owner)
            self._held[owner] = self.held(owner) + count
            self._total += count
            granted.append(request.ticket)
        return granted

    def _next_grant(self) -> _Request[TicketT] | None:
        """Return the request that is granted next, having counted it against those it passes; or None."""
        free = self._ceiling - self._total
        passable = free
        passed: list[_Request[TicketT]] = []
        for queue in self._ring.values():
            # Invariant: a head behind those seen so far is granted if and only if it asks for <= passable.
            if passable <= 0:
                break
            head = next(iter(queue.values()))
            if head.count <= passable:
                for other in passed:
                    other.passed += head.count
                return head
            if head.count > free and not self._barred(head):
                passed.append(head)
                passable = min(passable, head.count - head.passed)
        return None

    def _remove(self, request: _Request[TicketT]) -> None:
        del self._requests[request.ticket]
        queue = self._ring[request.owner]
        del queue[request.ticket]
        if not queue:
            del self._ring[request.owner]

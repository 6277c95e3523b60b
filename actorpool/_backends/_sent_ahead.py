# SPDX-License-Identifier: Apache-2.0
"""Sending inputs ahead to a process, so that it need not wait for a message between two short ones.

Theory of operation. A process that has ended an input begins the next of those that were sent ahead by itself, after
its word of the end has been written, to the socket or to the journal. So this side knows, whenever and however the
process ends, which of them have begun: one for each end that came. The pool machine takes the same steps in the same
order (`Backlog.set_aside`).

How many go ahead, and when they are asked back, `Lookahead` decides; here are its clock, its timer, and what it has
done.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from actorpool._core._lookahead import SILENCE_S, Lookahead
from actorpool._wire._messages import Withdraw

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

    from actorpool._core._input import Input
    from actorpool._host._base import Host, TimerHandle
    from actorpool._wire._messages import Message

    from ._process_pool import ProcessPool
    from ._workload import ContainerOwner

__all__ = ["SentAhead"]


class SentAhead:
    """What was sent ahead to one process; host thread only.

    Args:
        host: Whose clock and timers it uses.
        pool: The pool of the container.
        owner: Who sets inputs aside and takes them back.
        post: Sends a message to the process.
    """

    __slots__ = ("_host", "_owner", "_pool", "_post", "_timer", "_timer_at", "lookahead", "take")

    def __init__(
        self, host: Host, pool: ProcessPool, owner: ContainerOwner, post: Callable[[Message], object]
    ) -> None:
        self._host = host
        self._pool = pool
        self._owner = owner
        self._post = post
        self._timer: TimerHandle | None = None
        self._timer_at = 0.0
        self.lookahead = Lookahead()
        """What decides."""
        self.take: Callable[[int], Input | None] = self.lookahead.take
        """Forget an input by its number, which has begun or was cancelled; None if it did not go ahead."""

    def measure(self, ended: int) -> None:
        """Take note that `ended` ends have come."""
        lookahead = self.lookahead
        now = self._host.now()
        lookahead.ended(ended, now)
        if self._timer is not None and lookahead and not lookahead.lasts(self._timer_at, now):
            self._timer.cancel()
            self._set_timer(now)

    def fill(self, give: Callable[[Sequence[Input]], tuple[list[tuple[int, Input]], int]]) -> None:
        """Send more inputs ahead, if the process is fast enough to need them.

        Args:
            give: Sends them, up to one that cannot be sent or `MOST_BYTES`; returns those that it did send, with
                their numbers, and how many bytes their arguments have.
        """
        wanted = self.lookahead.wanted()
        inputs = self._owner.look_ahead(wanted) if wanted else []
        if not inputs:
            return
        sent, size = give(inputs)
        if sent:
            self.lookahead.sent(sent, size // len(sent))
            self._pool.ahead[self] = None
            if self._timer is None:
                self._set_timer(self.lookahead.heard_at)
        if len(sent) < len(inputs):
            gone = {input for _, input in sent}
            # One of them may fail when its turn comes, as an input that did not go ahead.
            self._owner.give_back(tuple(input for input in inputs if input not in gone))

    def ask_back(self) -> None:
        """Have the process drop what has not begun."""
        first = self.lookahead.ask_back()
        if first is not None:
            self._post(Withdraw(first))
        elif not self.lookahead:
            # All have begun since.
            self._pool.ahead.pop(self, None)

    def withdrawn(self, above: int) -> list[int]:
        """Give back the inputs with numbers above this one, which were dropped; return their numbers."""
        gone = self.lookahead.withdrawn(above)
        if gone:
            self._owner.give_back(tuple(gone.values()))
        return list(gone)

    def clear(self) -> list[int]:
        """Forget all, because the process is gone; return the numbers."""
        self._pool.ahead.pop(self, None)
        if self._timer is not None:
            self._timer.cancel()
            self._timer = None
        return self.lookahead.clear()

    def _look(self) -> None:
        """Ask what is ahead back after a silence."""
        self._timer = None
        if not self.lookahead:
            return
        now = self._host.now()
        if self.lookahead.silent(now):
            self.ask_back()
            self._set_timer(now)
        else:
            self._set_timer(self.lookahead.heard_at)

    def _set_timer(self, begin: float) -> None:
        """Have `_look` called when it has been silent since `begin` for too long."""
        self._timer_at = begin + SILENCE_S
        self._timer = self._host.call_at(self._timer_at, self._look)

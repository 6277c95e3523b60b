# SPDX-License-Identifier: Apache-2.0
"""Sending inputs ahead to a process, so that it need not wait for a message between two short ones.

Theory of operation. A process that has ended an input begins the next of those that were sent ahead by itself, after
its word of the end has been written, to the socket or to the journal. So this side knows, whenever and however the
process ends, which of them have begun: one for each end that came. The pool machine takes the same steps in the same
order (`Backlog.set_aside`).

How many go ahead is what the process gets done in a moment, measured by the ends that come. Nobody is to wait behind
a long input while others have nothing to do: what is ahead is withdrawn when another container of the pool has run
out of work, and when no end has come for longer than it should. The process says which inputs have not begun and
drops them; only then may they run elsewhere.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

from actorpool._wire._messages import Withdraw

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

    from actorpool._core._input import Input
    from actorpool._host._base import Host, TimerHandle
    from actorpool._wire._messages import Message

    from ._process_pool import ProcessPool
    from ._workload import ContainerOwner

__all__ = ["MOST_BYTES", "Lookahead"]

MOST_BYTES: Final = 1 << 21
"""How much of arguments goes ahead, in bytes: beside what runs it has to have room in the ring of a connection."""

# All picked by feel, with `python -m benchmarks --only 'process-*'`: how much work goes ahead, in seconds and in
# inputs; up to which service time one input does, in seconds; and after which silence it is withdrawn. What is left
# when more is sent, half of it, has to last until that is read: where results are held for a while, the processors
# are taken, and a thread in Python code keeps the interpreter for 5 ms, that is several milliseconds.
_AHEAD_S: Final = 0.020
_MOST: Final = 256
_ONE_S: Final = 0.005
_SILENCE_S: Final = 0.01
# How much the newest measurement counts.
_WEIGHT: Final = 0.5


class Lookahead:
    """What was sent ahead to one process; host thread only.

    Args:
        host: Whose clock and timers it uses.
        pool: The pool of the container.
        owner: Who sets inputs aside and takes them back.
        post: Sends a message to the process.
    """

    __slots__ = (
        "_ahead",
        "_each_bytes",
        "_host",
        "_owner",
        "_pool",
        "_post",
        "_service_s",
        "_timer",
        "_timer_at",
        "_withdrawing",
        "heard_at",
    )

    def __init__(
        self, host: Host, pool: ProcessPool, owner: ContainerOwner, post: Callable[[Message], object]
    ) -> None:
        self._host = host
        self._pool = pool
        self._owner = owner
        self._post = post
        # {number of an input in messages: the input}, in the order in which they were sent.
        self._ahead: dict[int, Input] = {}
        self._withdrawing = False
        self._timer: TimerHandle | None = None
        self._timer_at = 0.0
        self.heard_at: float = 0.0
        """When an end came last, or work was sent to an idle process, which who sends it sets."""
        # How long one input takes it.
        self._service_s: float | None = None
        # How long the arguments of one were on average, of those that were sent ahead last.
        self._each_bytes = 0

    def __len__(self) -> int:
        return len(self._ahead)

    def __contains__(self, number: int) -> bool:
        return number in self._ahead

    def measure(self, ended: int) -> None:
        """Take note that `ended` ends have come."""
        now = self._host.now()
        service_s = (now - self.heard_at) / ended
        known = self._service_s
        self._service_s = service_s if known is None else known + _WEIGHT * (service_s - known)
        self.heard_at = now
        if self._ahead and self._timer is not None and self._timer_at - now < _SILENCE_S / 2:
            # Put off in good time: to be called only to find that there was no silence costs a turn of the loop.
            self._timer.cancel()
            self._set_timer(now)

    def fill(self, give: Callable[[Sequence[Input]], tuple[list[tuple[int, Input]], int]]) -> None:
        """Send more inputs ahead, if the process is fast enough to need them.

        Args:
            give: Sends them, up to one that cannot be sent or `MOST_BYTES`; returns those that it did send, with
                their numbers, and how many bytes their arguments have.
        """
        wanted = self._wanted()
        inputs = self._owner.look_ahead(wanted) if wanted else []
        if not inputs:
            return
        sent, size = give(inputs)
        if sent:
            self._sent(sent)
            self._each_bytes = size // len(sent)
        if len(sent) < len(inputs):
            gone = {input for _, input in sent}
            # One of them may fail when its turn comes, as an input that did not go ahead.
            self._owner.give_back(tuple(input for input in inputs if input not in gone))

    def _wanted(self) -> int:
        """Return how many more are to go ahead now."""
        service_s = self._service_s
        if service_s is None or self._withdrawing or service_s > _ONE_S:
            return 0
        most = min(_MOST, 1 + int(_AHEAD_S / service_s)) if service_s else _MOST
        if self._each_bytes * most > MOST_BYTES:
            most = 1 + MOST_BYTES // self._each_bytes
        # Many at a time: half of them have been used up.
        return most - len(self._ahead) if 2 * len(self._ahead) <= most else 0

    def _sent(self, sent: list[tuple[int, Input]]) -> None:
        if not self._ahead:
            self._pool.ahead[self] = None
            if self._timer is None:
                self._set_timer(self.heard_at)
        self._ahead.update(sent)

    def take(self, number: int) -> Input | None:
        """Forget an input, which has begun or was cancelled; None if it did not go ahead."""
        input = self._ahead.pop(number, None)
        if input is not None and not self._ahead:
            self._pool.ahead.pop(self, None)
        return input

    def ask_back(self) -> None:
        """Have the process drop what has not begun."""
        if self._ahead and not self._withdrawing:
            self._withdrawing = True
            self._post(Withdraw(next(iter(self._ahead))))

    def withdrawn(self, above: int) -> list[int]:
        """Give back the inputs with numbers above this one, which were dropped; return their numbers."""
        self._withdrawing = False
        numbers = [number for number in self._ahead if number > above]
        inputs = [input for input in map(self.take, numbers) if input is not None]
        if inputs:
            self._owner.give_back(tuple(inputs))
        return numbers

    def clear(self) -> list[int]:
        """Forget all, because the process is gone; return the numbers."""
        numbers = list(self._ahead)
        self._ahead.clear()
        self._pool.ahead.pop(self, None)
        if self._timer is not None:
            self._timer.cancel()
            self._timer = None
        return numbers

    def _look(self) -> None:
        """Withdraw after a silence: what runs takes longer than those before it."""
        self._timer = None
        if not self._ahead:
            return
        now = self._host.now()
        silence_s = now - self.heard_at
        if silence_s >= _SILENCE_S:
            self._service_s = max(self._service_s or 0.0, silence_s)
            self.ask_back()
            self._set_timer(now)
        else:
            self._set_timer(self.heard_at)

    def _set_timer(self, begin: float) -> None:
        """Have `_look` called when it has been silent since `begin` for too long."""
        self._timer_at = begin + _SILENCE_S
        self._timer = self._host.call_at(self._timer_at, self._look)

# SPDX-License-Identifier: Apache-2.0
"""When a process that runs inputs is asked to end, and made to (pure).

Theory of operation. A process ends by a ladder that only goes down, each step of which is bounded::

    RUNNING ─► RETIRED ─► TERMINATED (SIGTERM) ─► KILLED (SIGKILL) ─► gone, or LEFT
       └──────────┴─► ASKED (exit hooks) ─┘

Interrupted work has a grace period to return. When that is over, nothing but the end of the process ends it: the
process retires, so that it is given nothing more, and is terminated as soon as it runs nothing but such work. A stop
asks for the exit hooks first, which have a time of their own; it does not lead back up from a later step. A process
whose other end is heard no more is killed at once.

The shell carries out the steps that `advance` returns, in their order, and calls it again at `next_at`.
"""

from __future__ import annotations

from enum import Enum, IntEnum
from math import inf

__all__ = ["Ending", "Step"]


class Step(Enum):
    """What the shell is to do."""

    RETIRE = "retire"
    """Have the process given nothing more."""
    ASK = "ask"
    """Ask it to run its exit hooks and end."""
    TERMINATE = "terminate"
    """Send SIGTERM."""
    KILL = "kill"
    """Send SIGKILL."""
    LEAVE = "leave"
    """Wait no longer: it is not gone although it was killed."""


class _Phase(IntEnum):
    RUNNING = 0
    RETIRED = 1
    ASKED = 2
    TERMINATED = 3
    KILLED = 4
    LEFT = 5
    GONE = 6


class Ending:
    """The end of one process.

    Args:
        grace_s: How long interrupted work has to return, and a process to end after SIGTERM, in seconds.
        ask_s: How long a process that was asked to end may take, in seconds.
        kill_s: How long it may take to be gone after SIGKILL, in seconds.
    """

    __slots__ = (
        "_ask_s",
        "_deadlines",
        "_grace_s",
        "_kill_s",
        "_overdue",
        "_phase",
        "_until",
        "doomed",
        "interrupted",
    )

    def __init__(self, grace_s: float, *, ask_s: float, kill_s: float) -> None:
        self._grace_s = grace_s
        self._ask_s = ask_s
        self._kill_s = kill_s
        self._phase = _Phase.RUNNING
        # {number of an interrupted input: when its grace period ends}, in the order of these instants.
        self._deadlines: dict[int, float] = {}
        self._overdue: set[int] = set()
        # When the present step is over.
        self._until = inf
        # Plain attributes, as these are asked for every input.
        self.doomed: bool = False
        """Whether it is to be given nothing: it ends, or has ended."""
        self.interrupted: bool = False
        """Whether there is interrupted work in it that has not returned."""

    def __repr__(self) -> str:
        return f"<Ending {self._phase.name.lower()} overdue={len(self._overdue)}>"

    @property
    def overdue(self) -> bool:
        """Whether it runs interrupted work whose grace period is over."""
        return bool(self._overdue)

    @property
    def next_at(self) -> float:
        """When `advance` is due if nothing happens before; infinity for never."""
        first = inf if self.doomed else next(iter(self._deadlines.values()), inf)
        return min(self._until, first)

    def interrupt(self, number: int, now: float) -> None:
        """Note that input `number` was interrupted; its grace period begins, unless it has begun before."""
        self._deadlines.setdefault(number, now + self._grace_s)
        self.interrupted = True

    def returned(self, number: int) -> None:
        """Note that input `number` is over."""
        self._deadlines.pop(number, None)
        self._overdue.discard(number)
        self.interrupted = bool(self._deadlines or self._overdue)

    def stop(self, now: float, *, hooks: bool) -> list[Step]:
        """Begin the end that its owner wants; `hooks`: whether there is a process that is ready, to be asked."""
        if self.doomed:
            return []
        return [self._go(_Phase.ASKED, now)] if hooks else [self._go(_Phase.KILLED, now)]

    def unheard(self, now: float) -> list[Step]:
        """Note that nothing more will be heard of it but its end."""
        if self._phase >= _Phase.KILLED:
            return []
        return [self._go(_Phase.KILLED, now)]

    def gone(self) -> None:
        """Note that it has ended."""
        self._phase = _Phase.GONE
        self.doomed = True
        self._until = inf

    def advance(self, now: float, running: int) -> list[Step]:
        """Return what is due, given how many inputs it runs, interrupted ones among them."""
        steps: list[Step] = []
        if not self.doomed:
            for number in [number for number, until in self._deadlines.items() if until <= now]:
                del self._deadlines[number]
                self._overdue.add(number)
            if self._overdue and self._phase is _Phase.RUNNING:
                self._phase = _Phase.RETIRED
                steps.append(Step.RETIRE)
            if self._overdue and len(self._overdue) == running:
                steps.append(self._go(_Phase.TERMINATED, now))
        elif self._until <= now:
            steps.append(self._go(_NEXT[self._phase], now))
        return steps

    def _go(self, phase: _Phase, now: float) -> Step:
        # All of these steps are towards its end.
        self._phase = phase
        self.doomed = True
        step, seconds = {
            _Phase.ASKED: (Step.ASK, self._ask_s),
            _Phase.TERMINATED: (Step.TERMINATE, self._grace_s),
            _Phase.KILLED: (Step.KILL, self._kill_s),
            _Phase.LEFT: (Step.LEAVE, inf),
        }[phase]
        self._until = now + seconds
        return step


_NEXT = {_Phase.ASKED: _Phase.TERMINATED, _Phase.TERMINATED: _Phase.KILLED, _Phase.KILLED: _Phase.LEFT}

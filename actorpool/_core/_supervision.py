# SPDX-License-Identifier: Apache-2.0
"""Supervision: which children start, stop and restart when one of them exits (pure).

Here live the strategies, the restart intensity and the back-off. The tasks themselves, and the time a restart
waits, are the shell's.

Theory of operation. A child is RUNNING from the moment its start was ordered, STOPPING from the moment its
stop was ordered, and ENDED once its exit was reported; the shell reports each exit exactly once. An exit that
nobody ordered is judged by the child's restart rule. If it is to be restarted, it and those that the strategy
binds to it form the group: the running ones are stopped one at a time, the last started first, and when none
is left the whole group starts in order. More restarts than the intensity allows, or `stop()`, close the
machine: everything is stopped in the same way and `SupervisionEnded` follows. It ends for certain if every
stop that was ordered leads to an exit.
"""

from __future__ import annotations

import math
from collections import deque
from collections.abc import Mapping
from enum import Enum
from typing import Literal, TypeAlias, get_args

from attrs import define, field, frozen

from actorpool._core._config import check_count, check_seconds
from actorpool.exception import InvalidError

__all__ = [
    "Backoff",
    "ChildState",
    "RestartIntensity",
    "RestartRule",
    "StartChild",
    "StopChild",
    "Strategy",
    "Supervision",
    "SupervisionEffect",
    "SupervisionEnded",
]

Strategy: TypeAlias = Literal["one_for_one", "one_for_all", "rest_for_one"]
"""Who is restarted with a child: nobody else; all of them; those that were started after it."""

RestartRule: TypeAlias = Literal["permanent", "transient", "temporary"]
"""When a child is restarted: after every exit; after a failure; never."""


@frozen
class RestartIntensity:
    """How many restarts are normal; one more is a failure of the supervisor itself.

    Raises:
        InvalidError: If a value is out of range.
    """

    max_restarts: int = 3
    """Restarts allowed (inclusive) within any `window_s`."""
    window_s: float = 5.0
    """Length of the window in seconds (> 0). Choose it longer than `max_restarts` back-offs together."""

    def __attrs_post_init__(self) -> None:
        check_count("max_restarts", self.max_restarts, least=0)
        check_seconds("window_s", self.window_s)


@frozen
class Backoff:
    """How long a restart waits; it grows with the restarts already within the window.

    Raises:
        InvalidError: If a value is out of range.
    """

    initial_s: float = 0.05
    """Wait before the first restart, in seconds (>= 0)."""
    factor: float = 2.0
    """Factor from one wait to the next (>= 1)."""
    max_s: float = 5.0
    """Longest wait in seconds (>= 0)."""

    def __attrs_post_init__(self) -> None:
        check_seconds("initial_s", self.initial_s, zero=True)
        check_seconds("max_s", self.max_s, zero=True)
        if not 1 <= self.factor < math.inf:
            raise InvalidError(f"factor must be a finite number of at least 1, not {self.factor!r}")

    def delay_s(self, restarts: int) -> float:
        """Return the wait in seconds before a restart that is the `restarts`-th of its window (>= 1)."""
        assert restarts >= 1, restarts
        try:
            factor = float(self.factor) ** (restarts - 1)
        except OverflowError:
            factor = math.inf if self.initial_s else 0.0
        return min(self.initial_s * factor, self.max_s)


class ChildState(Enum):
    """Where a child stands in its life."""

    RUNNING = "running"
    """Its start was ordered and it has not exited; its back-off counts as well."""
    STOPPING = "stopping"
    """Its stop was ordered and it has not exited."""
    ENDED = "ended"
    """It has exited, or has not been started; it may be started again."""


@frozen
class StartChild:
    """Start the child `name` after `delay_s` seconds."""

    name: str
    delay_s: float


@frozen
class StopChild:
    """Cancel the child `name`, its back-off too, and report its exit."""

    name: str


@frozen
class SupervisionEnded:
    """Nothing runs and nothing will; the supervisor ends."""

    gave_up_on: str | None
    """The child whose exit went beyond the restart intensity; None after a regular end."""


SupervisionEffect: TypeAlias = StartChild | StopChild | SupervisionEnded


@define(eq=False)
class Supervision:
    """The machine of one supervisor.

    Args:
        rules: {name of a child: its restart rule}, in the order in which they start.
        strategy: Who is restarted with a child.
        intensity: How many restarts are normal.
        backoff: How long a restart waits.

    Raises:
        InvalidError: If the strategy or a rule is none of those known.
    """

    _rules: Mapping[str, RestartRule]
    _strategy: Strategy
    _intensity: RestartIntensity
    _backoff: Backoff
    _states: dict[str, ChildState] = field(init=False)
    # Names to be started once `_to_stop` is empty.
    _group: set[str] = field(factory=set, init=False)
    # Names to be stopped, in the order of their start. Invariant: only the last can be STOPPING.
    _to_stop: list[str] = field(factory=list, init=False)
    # When the restarts of the last `window_s` were decided, oldest first.
    _restarts: deque[float] = field(factory=deque, init=False)
    _closing: bool = field(default=False, init=False)
    _ended: bool = field(default=False, init=False)
    _gave_up_on: str | None = field(default=None, init=False)

    def __attrs_post_init__(self) -> None:
        if self._strategy not in get_args(Strategy):
            raise InvalidError(f"strategy must be one of {get_args(Strategy)}, not {self._strategy!r}")
        for name, rule in self._rules.items():
            if rule not in get_args(RestartRule):
                raise InvalidError(
                    f"restart of child {name!r} must be one of {get_args(RestartRule)}, not {rule!r}"
                )
        self._states = dict.fromkeys(self._rules, ChildState.ENDED)

    def states(self) -> dict[str, ChildState]:
        """Return {name of a child: its state}, in the order of their start."""
        return dict(self._states)

    def restarts_within_window(self, now: float) -> int:
        """Return how many restarts count towards the intensity at `now`."""
        return sum(now - restart <= self._intensity.window_s for restart in self._restarts)

    def start(self) -> list[SupervisionEffect]:
        """Start every child; call it once, first."""
        self._states = dict.fromkeys(self._rules, ChildState.RUNNING)
        return [StartChild(name, 0.0) for name in self._rules] or self._advance()

    def stop(self) -> list[SupervisionEffect]:
        """Stop every child, the last started first, and end."""
        if self._closing or self._ended:
            return []
        return self._close()

    def child_exited(self, name: str, *, failed: bool, now: float) -> list[SupervisionEffect]:
        """Take note that the child `name` has exited, by a failure or regularly."""
        assert self._states[name] is not ChildState.ENDED, name
        self._states[name] = ChildState.ENDED
        if name in self._to_stop:
            # Its stop was ordered, or it went before its turn came: no exit to judge.
            self._to_stop.remove(name)
            return self._advance()
        rule = self._rules[name]
        if rule == "temporary" or (rule == "transient" and not failed):
            return self._advance()
        while self._restarts and now - self._restarts[0] > self._intensity.window_s:
            self._restarts.popleft()
        if len(self._restarts) >= self._intensity.max_restarts:
            self._gave_up_on = name
            return self._close()
        self._restarts.append(now)
        running = self._running(self._bound_to(name))
        self._group.add(name)
        self._group.update(other for other in running if self._rules[other] != "temporary")
        self._to_stop = running
        return self._advance()

    def _bound_to(self, name: str) -> list[str]:
        names = list(self._rules)
        if self._strategy == "one_for_one":
            return []
        return names if self._strategy == "one_for_all" else names[names.index(name) :]

    def _running(self, names: list[str]) -> list[str]:
        return [name for name in names if self._states[name] is not ChildState.ENDED]

    def _close(self) -> list[SupervisionEffect]:
        self._closing = True
        self._group.clear()
        self._to_stop = self._running(list(self._rules))
        return self._advance()

    def _advance(self) -> list[SupervisionEffect]:
        """Order the next stop, or what was waiting for the last one."""
        if self._to_stop:
            last = self._to_stop[-1]
            if self._states[last] is ChildState.STOPPING:
                return []
            self._states[last] = ChildState.STOPPING
            return [StopChild(last)]
        if self._group:
            names = [name for name in self._rules if name in self._group]
            self._group.clear()
            self._states.update(dict.fromkeys(names, ChildState.RUNNING))
            delay_s = self._backoff.delay_s(len(self._restarts))
            return [StartChild(name, delay_s) for name in names]
        if all(state is ChildState.ENDED for state in self._states.values()):
            self._ended = True
            return [SupervisionEnded(self._gave_up_on)]
        return []

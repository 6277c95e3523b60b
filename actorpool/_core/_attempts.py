# SPDX-License-Identifier: Apache-2.0
"""Attempts: what becomes of an input that failed, ran too long, was interrupted or went ahead (pure).

A failed attempt frees its slot, so the same record waits for its next one. A timed-out attempt may
hold its slot for as long as it likes (a thread cannot be stopped), so the next attempt gets a record
of its own, the `successor`, which takes over the sink; the old record only waits for its slot.

A container to which inputs have a long way may have some sent ahead. They stay pending, set aside in the backlog;
each follows when a slot of that container is free, or is put back when it had better run elsewhere.
"""

from __future__ import annotations

import heapq
from typing import TYPE_CHECKING

from actorpool._core import _effects as fx
from actorpool._core._admission import SCALING
from actorpool._core._flow import Flow
from actorpool._core._input import DELAYED, RUNNING, TIMED_OUT, Input
from actorpool.exception import FunctionTimeoutError

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator

    from actorpool._core._container import Container

__all__ = ["Attempts"]


class Attempts(Flow):
    """The part of the control path that sees to deadlines, retries and interrupted work."""

    __slots__ = ()

    _grace_s: float
    # What this part moves of the data path's state.
    attention: int
    running: int

    def look_ahead(self, container: Container, most: int) -> list[Input]:
        """Set up to `most` pending inputs aside for `container`, whose slots are taken; they are to follow in order.

        Only a fair part of what is pending: at the end of a burst nobody is to have much while others have nothing.
        """
        backlog = self._backlog
        free = backlog.count - backlog.aside
        if not free or not container.ready or self._recycle_after is not None:
            return []
        fair = -(-free // (2 * self._placement.count))
        return backlog.set_aside(container, min(most, fair))

    def _given_back(self, event: fx.GivenBack, now: float, effects: list[fx.Effect]) -> None:
        self._give_back(event.container, event.inputs, now, effects)
        self.attention |= SCALING

    def _give_back(
        self, container: Container, inputs: Iterable[Input] | None, now: float, effects: list[fx.Effect]
    ) -> None:
        """Let others run what was set aside for `container`: `inputs`, or all of it."""
        backlog = self._backlog
        backlog.put_back(container, inputs)
        while backlog.count > backlog.aside and self._placement.has_room:
            self._take_slot(backlog.pop(), now, effects)

    def _attempt_instants(self) -> Iterator[float]:
        """Yield the instants at which a deadline, a retry or a grace period is due."""
        if self.timeout is not None:
            if self.running == self.abandoned:
                # Nobody has a deadline; whoever comes next asks for a tick.
                self._deadline_at = None
            elif self._deadline_at is None:
                starts = [
                    started
                    for container in self._live
                    for input, started in container.inputs.items()
                    if input.state == RUNNING
                ]
                self._deadline_at = min(starts) + self.timeout if starts else None
            if self._deadline_at is not None:
                yield self._deadline_at
        if self._delayed:
            yield self._delayed[0][0]
        if self._interrupted:
            yield self._interrupted[0][0] + self._grace_s

    def _retry_due(self, now: float, effects: list[fx.Effect]) -> None:
        """Let the inputs whose pause is over go on."""
        while self._delayed and (self._delayed[0][0] <= now or self._delayed[0][2].state != DELAYED):
            _, _, input = heapq.heappop(self._delayed)
            if input.state == DELAYED:
                self._leave_pause(input)
                self._requeue(input, now, effects)

    def _report_abandoned(self, now: float, effects: list[fx.Effect]) -> None:
        """Report interrupted work that outlived its grace period; forget what has returned."""
        queue = self._interrupted
        while queue:
            since, input = queue[0]
            assert input.container is not None
            returned = input not in input.container.inputs
            if not returned and since + self._grace_s > now:
                return
            queue.popleft()
            if not returned:
                effects.append(fx.ReportAbandoned(input))

    def _requeue(self, input: Input, now: float, effects: list[fx.Effect]) -> None:
        """Let an input whose pause is over take a slot, or wait at the end of the backlog."""
        if not self._take_slot(input, now, effects):
            input.container = None
            self._backlog.push(input)

    def _take_back(self, inputs: list[Input], now: float, effects: list[fx.Effect]) -> None:
        """Let inputs, the oldest first, whose container died before they ran take other slots, or be the next to."""
        left: list[Input] = []
        for input in inputs:
            input.container = None
            if not self._take_slot(input, now, effects):
                left.append(input)
        # The newest first, so that the oldest stands first in the end.
        for input in reversed(left):
            self._backlog.push_first(input)

    def _take_slot(self, input: Input, now: float, effects: list[fx.Effect]) -> bool:
        container = self._placement.take()
        if container is None:
            self.attention |= SCALING
            return False
        input.state = RUNNING
        input.container = container
        container.inputs[input] = now
        if not self.running:
            self._moved_at = now
        self.running += 1
        if self.running > self._demand_alarm:
            self.attention |= SCALING
        effects.append(fx.Deliver(container, (input,)))
        return True

    def _expire(self, now: float, effects: list[fx.Effect]) -> None:
        """Settle the inputs that have run for longer than the timeout; their work is interrupted."""
        if self.timeout is None or (self._deadline_at is not None and now < self._deadline_at):
            return
        # Those that go on have later deadlines, so the scan is due once in a timeout.
        self._deadline_at = None
        due = [
            input
            for container in self._live
            for input, started in container.inputs.items()
            if started + self.timeout <= now and input.state == RUNNING
        ]
        for input in due:
            error = FunctionTimeoutError(
                f"function '{input.target}' ran longer than its timeout of {self.timeout:g} s "
                f"(attempt {input.attempt})",
                timeout=self.timeout,
            )
            pause = self._pause_s(input)
            self.interrupted(input, now)
            if pause is not None:
                self._succeed(input, now + pause)
                counted = self.outcomes[TIMED_OUT]
                self.settle(input, TIMED_OUT, error)
                # One attempt is over, not the input.
                self.outcomes[TIMED_OUT] = counted
            else:
                self.settle(input, TIMED_OUT, error)
                effects.append(fx.Settle(input))
            effects.append(fx.CancelRun(input))

    def _succeed(self, input: Input, until: float) -> None:
        """Give a timed-out input, whose work still holds its slot, a record for its next attempt."""
        successor = input.again()
        self._delay(successor, until)

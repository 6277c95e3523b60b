# SPDX-License-Identifier: Apache-2.0
"""Losses: what becomes of containers that fail to start or die, and of the inputs they had (pure).

An input that ran in a container that died fails, or runs again if it may be retried; one that had not begun goes
back to where it stood. Nobody waits for ever on containers that never come: a row of failures ends the pending, and
what only waits for its own callers fails.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from actorpool._core import _effects as fx
from actorpool._core._admission import CONTROL, ROOM, SCALING
from actorpool._core._capacity import Capacity
from actorpool._core._container import Phase
from actorpool._core._input import DELAYED, FAILED, PENDING, RUNNING, Input
from actorpool.exception import ContainerDiedError, ContainerStartError

if TYPE_CHECKING:
    from actorpool._core._container import Container
    from actorpool._core._start_failures import EarlyDeaths, StartFailures

__all__ = ["Losses"]


class Losses(Capacity):
    """The part of the control path that answers for containers which end without having been told to."""

    __slots__ = ("_deaths", "_failures", "last_failure", "start_failures")

    _deaths: EarlyDeaths
    _failures: StartFailures
    last_failure: BaseException | None
    start_failures: int
    # What this part moves of the data path's state.
    abandoned: int
    attention: int
    running: int

    def _failed(self, event: fx.ContainerFailed, now: float, effects: list[fx.Effect]) -> None:
        container, error = event.container, event.error
        called_off = container.phase is not Phase.STARTING
        self._bury(container, now)
        self.attention |= SCALING
        if called_off:
            return
        self.start_failures += 1
        self.last_failure = error
        self._failures.add(container.number, self._number, now)
        self.attention |= CONTROL
        self._judge(self._failures, container, error, now, effects, died=False)

    def _judge(
        self,
        row: StartFailures,
        container: Container,
        error: BaseException,
        now: float,
        effects: list[fx.Effect],
        *,
        died: bool,
    ) -> None:
        """Report it; fail what is pending if this row is long enough and nobody else may come to serve it."""
        effects.append(fx.ReportLoss(container, error, died, row.count, row.pause_s(now)))
        oldest = next((container.number for container in self._starting), None)
        if not row.conclusive(oldest) or self._placement.count or not self.pending:
            return
        failures = row.count
        row.end()
        if died:
            what = f"ended {failures} times in a row before an input ran in them"
            remedy = "see what ends them"
        else:
            what = f"failed to start {failures} times in a row"
            remedy = "mend the enter hooks"
        for input in self._withdraw_pending():
            cause = ContainerStartError(
                f"containers of {self.title} {what}, the last time with "
                f"{type(error).__name__}: {error}; {remedy}, the next input tries again",
                failures=failures,
            )
            cause.__cause__ = error
            self.settle(input, FAILED, cause)
            effects.append(fx.Settle(input))

    def _exited(self, event: fx.ContainerExited, now: float, effects: list[fx.Effect]) -> None:
        container = event.container
        if container.phase is Phase.STOPPED:
            return
        # One that was told to stop, or is draining, may end as it likes.
        cause = event.error if container.ready else None
        if container.ready:
            self._placement.remove(container, len(container.inputs))
        else:
            self._outside -= len(container.inputs)
        never_run: list[Input] = []
        fruitful = container.served > 0
        # A container that stopped as it was told has left behind what did not return; with one that died it ended.
        left = {input for _, input in self._interrupted} if event.error is None else ()
        for input in container.inputs:
            self.running -= 1
            if input.state == RUNNING and event.run is not None and input not in event.run:
                never_run.append(input)
                continue
            fruitful = True
            if input.state != RUNNING:
                self.abandoned -= 1
                if input in left:
                    effects.append(fx.ReportAbandoned(input))
            else:
                error = self._loss(container, event.error)
                if not self._try_again(input, error, now):
                    self.settle(input, FAILED, error)
                    effects.append(fx.Settle(input))
        container.inputs.clear()
        self._give_back(container, None, now, effects)
        self._bury(container, now)
        self._take_back(never_run, now, effects)
        self.attention |= SCALING | CONTROL | ROOM
        if cause is None:
            return
        if fruitful:
            effects.append(fx.ReportLoss(container, cause, died=True))
        else:
            self._died_fruitless(container, cause, now, effects)

    def _died_fruitless(
        self, container: Container, error: BaseException, now: float, effects: list[fx.Effect]
    ) -> None:
        """Treat a death soon after the start, before any input ran, like a start that failed."""
        self._deaths.died(container, self._number, self.ended, now)
        self._judge(self._deaths, container, error, now, effects, died=True)

    def _hopeless(self, event: fx.Hopeless, now: float, effects: list[fx.Effect]) -> None:
        input = event.input
        if input.state != PENDING or input.container is not None:
            # Its caller has left, or there was room for it after all.
            return
        self._backlog.discard(input)
        self.settle(input, FAILED, event.error)
        effects.append(fx.Settle(input))
        self.attention |= SCALING | CONTROL | ROOM

    def _loss(self, container: Container, cause: BaseException | None) -> ContainerDiedError:
        how = cause if isinstance(cause, ContainerDiedError) else f"{type(cause).__name__}: {cause}"
        error = ContainerDiedError(
            f"container {container.number} of {self.title} ended while it ran this input"
            + (f": {how}" if cause else ""),
            exit_code=getattr(cause, "exit_code", None),
            signal=getattr(cause, "signal", None),
        )
        error.__cause__ = cause
        return error

    def _withdraw_pending(self) -> list[Input]:
        """Take all pending inputs out of the backlog and the heap, the oldest first."""
        inputs: list[Input] = []
        self._backlog.put_all_back()
        while self._backlog.count:
            inputs.append(self._backlog.pop())
        inputs.extend(entry[2] for entry in sorted(self._delayed) if entry[2].state == DELAYED)
        self._delayed.clear()
        self._to_retry = self._called_to_retry = 0
        self.attention |= ROOM
        return inputs

# SPDX-License-Identifier: Apache-2.0
"""Capacity: which containers start, drain and stop (pure).

How many there should be is decided elsewhere, by the policy and the contract; here are the moves, and which
container makes each: the latest start is called off first, the longest idle and the least loaded stop first.
"""

from __future__ import annotations

from actorpool._core import _effects as fx
from actorpool._core._admission import CONTROL, SCALING
from actorpool._core._attempts import Attempts
from actorpool._core._container import Container, Phase
from actorpool._core._input import CANCELLED, RUNNING, Input
from actorpool.exception import RemoteError

__all__ = ["Capacity"]


class Capacity(Attempts):
    """The part of the control path that starts and stops containers."""

    __slots__ = ("_asked_sum", "_closed_s", "_number", "_stopping")

    _number: int
    _asked_sum: float
    _closed_s: float
    _stopping: int
    # What this part moves of the data path's state.
    attention: int

    @property
    def size(self) -> int:
        """Containers that count as capacity: ready and starting."""
        return self._placement.count + len(self._starting)

    def container_seconds(self, now: float) -> float:
        """Return the seconds of all containers' lives so far."""
        return self._closed_s + len(self._live) * now - self._asked_sum

    def _start(self, now: float, effects: list[fx.Effect]) -> None:
        self._number += 1
        container = Container(self._number, now)
        self._live[container] = None
        self._starting[container] = None
        self._asked_sum += now
        effects.append(fx.StartContainer(container))

    def _stop(self, container: Container, effects: list[fx.Effect]) -> None:
        """Tell a container to stop, wherever it stands; the caller vouches that nothing is lost by it."""
        if container.phase is Phase.STARTING:
            del self._starting[container]
        elif container.ready:
            self._placement.remove(container, len(container.inputs))
            self._outside += len(container.inputs)
        container.move(Phase.STOPPING)
        self._stopping += 1
        effects.append(fx.StopContainer(container))

    def _make_way(self, effects: list[fx.Effect]) -> None:
        """While others wait for threads, an idle container beyond the minimum does not sit on its own."""
        if self.crowded:
            for container in self._oldest_idle(self.size - self.settings.min_containers):
                self._stop(container, effects)
                self.attention |= SCALING

    def _bury(self, container: Container, now: float) -> None:
        self._starting.pop(container, None)
        self._stopping -= container.phase is Phase.STOPPING
        container.move(Phase.STOPPED)
        del self._live[container]
        self._asked_sum -= container.asked_at
        self._closed_s += now - container.asked_at

    def _start_room(self) -> int | None:
        """Return how many may start. What is stopping still counts: its exit hooks end before another begins."""
        bound = self.settings.max_containers
        return None if bound is None else max(0, bound - self.size - self._stopping)

    def _hold_maximum(self, effects: list[fx.Effect]) -> None:
        """After the maximum was lowered: call off starts, stop idle containers, drain busy ones."""
        bound = self.settings.max_containers
        if bound is None:
            return
        while self.size > bound and self._starting:
            self._stop(next(reversed(self._starting)), effects)
        self._let_go(self.size - bound, effects)

    def _let_go(self, count: int, effects: list[fx.Effect]) -> None:
        """Stop `count` ready containers, the least loaded first; busy ones when they have drained."""
        for container in [c for _, c in zip(range(max(0, count)), self._placement, strict=False)]:
            if container.inputs:
                self._placement.remove(container, len(container.inputs))
                self.drain(container)
            else:
                self._stop(container, effects)

    def _terminate(self, event: fx.Terminated, now: float, effects: list[fx.Effect]) -> None:
        """Let containers take nothing further, move away what can be moved, and stop them when the rest is done."""
        inputs: list[Input] = []
        for container in event.containers:
            if container.ready:
                self._placement.remove(container, len(container.inputs))
                self.drain(container)
            if container.phase is Phase.DRAINING:
                self._terminated[container] = None
                inputs.extend(input for input in container.inputs if input.state == RUNNING)
        moved: list[Input] = []
        for input in inputs:
            wanted = self._wanted(input)
            if wanted and (input.stream is not None or not event.movable(input)):
                # The items of a generator may be out already; and a thread cannot be stopped, so that to start its
                # input elsewhere as well would do the work twice.
                continue
            self.interrupted(input, now)
            if wanted:
                successor = input.again()
                # The attempt was not the input's own failure: its retries are left to it.
                successor.attempt = input.attempt
                moved.append(successor)
            counted = self.outcomes[CANCELLED]
            self.settle(
                input, CANCELLED, RemoteError(f"the container of this input of {self.title} was terminated")
            )
            # One attempt is over, not the input.
            self.outcomes[CANCELLED] = counted
            effects.append(fx.CancelRun(input))
        # Only now: none of them is to land in another of these containers.
        for input in moved:
            self._requeue(input, now, effects)
        self._stop_terminated(effects)
        self.attention |= SCALING | CONTROL

    def _stop_terminated(self, effects: list[fx.Effect]) -> None:
        """Stop the terminated containers in which no input has an outcome to come."""
        for container in list(self._terminated):
            if container.phase is not Phase.DRAINING:
                del self._terminated[container]
            elif all(input.state != RUNNING for input in container.inputs):
                del self._terminated[container]
                self._stop(container, effects)

    def _wanted(self, input: Input) -> bool:
        """Whether somebody is to have the outcome of this running input."""
        return True

    def _oldest_idle(self, count: int) -> list[Container]:
        return [c for _, c in zip(range(count), self._placement.idle_containers(), strict=False)]

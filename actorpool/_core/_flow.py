# SPDX-License-Identifier: Apache-2.0
"""The data path of the pool machine: complete and cancel; see `_admission` for submit (pure).

Plain method calls that return plain values: no object is built per event. Shells call these
under the pool's lock, from whichever thread has an input in hand, and act on the answer afterwards.
What the control path must see to (a container to start, a timer to arm, a map waiting for room) is
left in `attention`, a set of bits that the shell looks at after each step.

Invariants, after every step:

* a free slot of a ready container and a pending input, not set aside for another one, never coexist;
* no container holds more than `max_inputs` inputs;
* pending called inputs <= `max_pending`, pending spawned ones <= `max_spawned`, and pending called
  plus running ones <= `max_inputs` at the moment an input is accepted;
* `running` is the number of inputs that hold slots, those included whose outcome is already settled
  (`abandoned`: a thread cannot be stopped, so its slot stays taken until it returns).
"""

from __future__ import annotations

import heapq
from typing import TYPE_CHECKING, Any

from actorpool._core._admission import CONTROL, ROOM, SCALING, Admission
from actorpool._core._container import Phase
from actorpool._core._input import CANCELLED, DELAYED, FAILED, PENDING, RUNNING

if TYPE_CHECKING:
    from actorpool._core._container import Container
    from actorpool._core._input import Input

__all__ = ["Flow"]


class Flow(Admission):
    """The data path of one pool."""

    __slots__ = ()

    # What this part moves of the state.
    abandoned: int
    attention: int
    ended: int
    running: int

    def complete(self, input: Input, state: int, value: Any, now: float) -> Input | None:
        """Free the slot of `input`, whose work has ended; return the input that takes the slot at once.

        Args:
            input: The input whose work has ended.
            state: SUCCEEDED, FAILED or CANCELLED; it does not count if the outcome is settled already.
            value: The result or the exception.
            now: The host's clock.
        """
        container = input.container
        assert container is not None
        started = container.inputs.pop(input, None)
        if started is None:
            # A thread that outlived its container: its slot went with it, and its input had its outcome then.
            return None
        self._served_s += now - started
        self._moved_at = now
        self.ended += 1
        input.handle = None
        if input.state == RUNNING:
            if state != FAILED or not self._try_again(input, value, now):
                self.settle(input, state, value)
        else:
            self.abandoned -= 1
        container.served += 1
        queue = self._backlog
        next_input = queue.pop_aside(container) if queue.aside else None  # which is there already
        if next_input is None:
            if queue.count <= queue.aside or not container.ready or container.served == self._recycle_after:
                self._vacate(container, now)
                return None
            next_input = queue.pop()
            next_input.container = container
        next_input.state = RUNNING
        container.inputs[next_input] = now
        if self._room_waiters:
            self.attention |= ROOM
        if self._deadline_at is None and self.timeout is not None:
            # All that ran was abandoned.
            self.attention |= CONTROL
        if self._spare_starts and not queue.count:
            self.attention |= SCALING
        return next_input

    def cancel(self, input: Input, now: float, error: BaseException) -> int:
        """Settle `input` as CANCELLED with `error`, unless it has an outcome; return the state it was in.

        A pending input leaves at once. A running one keeps its slot until its work has returned: the
        caller is to interrupt the work.
        """
        state = input.state
        if state == PENDING:
            self._backlog.discard(input)
        elif state == RUNNING:
            self.interrupted(input, now)
        elif state == DELAYED:
            self._leave_pause(input)
        else:
            return state
        self.settle(input, CANCELLED, error)
        if self._room_waiters:
            self.attention |= ROOM
        if not self.accepting and self.drained:
            self.attention |= CONTROL
        if not self._backlog.count and (self._spare_starts or not self.running):
            # The buffer is for an active function only, and starts under way may be for nobody now.
            self.attention |= SCALING
        return state

    # -- steps shared with the control path ------------------------------------------------------

    def _vacate(self, container: Container, now: float) -> None:
        """Let a slot of `container`, which an input has left, stay free."""
        if container.ready:
            load = len(container.inputs) + 1
            if container.served == self._recycle_after:
                self._placement.remove(container, load)
                self.drain(container)
            else:
                self._placement.lower(container, load)
                if load == 1:
                    self._became_idle(container, now)
        else:
            self._outside -= 1
            if not container.inputs:
                self._drained.append(container)
                self.attention |= CONTROL
            elif container in self._terminated:
                self.attention |= CONTROL
        self.running -= 1
        if self._room_waiters:
            self.attention |= ROOM
        if not self.accepting and self.drained:
            self.attention |= CONTROL

    def settle(self, input: Input, state: int, value: Any) -> None:
        """Give `input` its one outcome."""
        # The value stands before the state says so: a waiting caller looks without the lock.
        input.value = value
        input.state = state
        # A handle may keep the record for long: not its payload, its ancestors, nor its context, which
        # refers back to it. The state is set before: a worker reads the payload first and the state after.
        input.context = None
        input.args = ()
        input.kwargs = None
        input.parent = None
        self.outcomes[state] += 1
        if input.trace is not None:
            input.trace.end(input)

    def holder(self, input: Input) -> Input:
        """Return the record that takes the slot when `input` runs."""
        return input

    def place_of(self, input: Input) -> Container | None:
        """Return the container in whose slot `input` is, also when its outcome is settled; None for none."""
        holder = self.holder(input)
        container = holder.container
        return container if container is not None and holder in container.inputs else None

    def interrupted(self, input: Input, now: float) -> None:
        """Count a running input, about to be settled, whose work still holds its slot."""
        self.abandoned += 1
        self._interrupted.append((now, input))
        self.attention |= CONTROL

    def _became_idle(self, container: Container, now: float) -> None:
        container.idle_since = now
        if self.crowded:
            self.attention |= CONTROL
        # The policy looks again at `_idle_alarm` anyway; wake it only if this container is due before, or
        # if the function falls idle, so that the buffer is no longer due.
        if self._idle_alarm > now + self._patience_s or (
            self.settings.buffer_containers and self.running - self._outside == 1
        ):
            self.attention |= SCALING

    def drain(self, container: Container) -> None:
        """Let a container that has left the placement finish what it runs, and take nothing further."""
        container.move(Phase.DRAINING)
        self._outside += len(container.inputs)
        self.attention |= SCALING
        if not container.inputs:
            self._drained.append(container)
            self.attention |= CONTROL

    def _try_again(self, input: Input, error: object, now: float) -> bool:
        """Set `input` aside for its next attempt, if it has one."""
        pause = self._pause_s(input) if isinstance(error, Exception) else None
        if pause is None:
            return False
        input.attempt += 1
        self._delay(input, now + pause)
        return True

    def _pause_s(self, input: Input) -> float | None:
        """Return how long `input` waits for its next attempt, in seconds; None if it has none."""
        if self._retry is None or self._shutting_down or input.stream is not None:
            # Once all containers are to stop, nothing would take it; and a generator's items may be out already.
            return None
        return self._retry.delay_s(input.attempt)

    def _leave_pause(self, input: Input) -> None:
        self._to_retry -= 1
        if not input.spawned:
            self._called_to_retry -= 1

    def _delay(self, input: Input, until: float) -> None:
        input.state = DELAYED
        input.handle = None
        self._to_retry += 1
        if not input.spawned:
            self._called_to_retry += 1
        self._sequence += 1
        heapq.heappush(self._delayed, (until, self._sequence, input))
        self.attention |= CONTROL

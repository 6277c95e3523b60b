# SPDX-License-Identifier: Apache-2.0
"""The data path of the pool machine: submit, complete, cancel (pure).

Plain method calls that return plain values: no object is built per event here. Shells call these
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
from collections import deque
from typing import TYPE_CHECKING, Any, Final

from actorpool._core._backlog import Backlog
from actorpool._core._container import Phase
from actorpool._core._deadlock import check_lineage
from actorpool._core._input import CANCELLED, DELAYED, FAILED, PENDING, RUNNING
from actorpool._core._placement import Placement
from actorpool.exception import ClosedError, ResourceExhaustedError

if TYPE_CHECKING:
    from collections.abc import Sequence

    from actorpool._core._config import AutoscalerSettings, Concurrency, Limits
    from actorpool._core._container import Container
    from actorpool._core._input import Input
    from actorpool._core._retry import RetryPolicy

__all__ = ["CONTROL", "ROOM", "SCALING", "Flow"]

SCALING: Final = 1
"""Attention: the policy should look."""
CONTROL: Final = 2
"""Attention: the supervisor should tick (a timer to arm, a drained container to stop)."""
ROOM: Final = 4
"""Attention: somebody waits for room, and there is some."""


class Flow:
    """The state of one pool and its data path."""

    __slots__ = (
        "_backlog",
        "_called_to_retry",
        "_deadline_at",
        "_delayed",
        "_demand_alarm",
        "_drained",
        "_idle_alarm",
        "_interrupted",
        "_live",
        "_moved_at",
        "_outside",
        "_patience_s",
        "_pending_alarm",
        "_placement",
        "_recycle_after",
        "_retry",
        "_room_waiters",
        "_sequence",
        "_served_s",
        "_shutting_down",
        "_spare_starts",
        "_starting",
        "_terminated",
        "_to_retry",
        "abandoned",
        "aborted",
        "accepting",
        "arrived",
        "attention",
        "awaited_since_tick",
        "concurrency",
        "crowded",
        "ended",
        "limits",
        "name",
        "outcomes",
        "refused",
        "running",
        "settings",
        "timeout",
        "title",
    )

    def __init__(
        self,
        name: str,
        *,
        settings: AutoscalerSettings,
        concurrency: Concurrency,
        limits: Limits,
        timeout: float | None,
        retry: RetryPolicy | None,
        recycle_after: int | None,
        kind: str = "function",
    ) -> None:
        self.name: str = name
        self.title: str = f"{kind} '{name}'"
        """What messages call it."""
        self.settings: AutoscalerSettings = settings
        self.concurrency: Concurrency = concurrency
        self.limits: Limits = limits
        self.timeout: float | None = timeout
        self.attention: int = 0
        self.accepting: bool = True
        self.aborted: bool = False
        """Whether not even the inputs of accepted inputs are accepted any more."""
        self.awaited_since_tick: bool = False
        """Whether an input has come to wait that another input waits for; whoever looks sets it back."""
        self.crowded: bool = False
        """Whether others wait for threads that this pool's containers hold."""
        self.running: int = 0
        self.abandoned: int = 0
        self.arrived: int = 0
        self.refused: int = 0
        self.ended: int = 0
        """Inputs that left their slots."""
        self.outcomes: list[int] = [0] * 8
        """How many inputs ended in each final state, by its number."""
        self._retry = retry
        self._recycle_after = recycle_after
        self._backlog = Backlog()
        self._placement = Placement(target=concurrency.target, max_inputs=concurrency.max_inputs)
        self._live: dict[Container, None] = {}
        self._starting: dict[Container, None] = {}
        self._drained: list[Container] = []
        # A heap of `(instant, sequence, input)`; an entry whose input is no longer DELAYED is a tombstone.
        self._delayed: list[tuple[float, int, Input]] = []
        self._to_retry = 0
        self._called_to_retry = 0
        self._sequence = 0
        self._room_waiters: deque[Any] = deque()
        # Inputs that were interrupted, with the instant of it, until they leave their slots.
        self._interrupted: deque[tuple[float, Input]] = deque()
        # Containers that stop as soon as no input with an outcome to come is left in them.
        self._terminated: dict[Container, None] = {}
        # Inputs that hold slots of containers which take no further ones.
        self._outside: int = 0
        self._served_s = 0.0
        self._moved_at = 0.0
        # No deadline falls before this instant; None when that is to be found out.
        self._deadline_at: float | None = None
        self._shutting_down = False
        # The policy looks when one of these is passed; the control path sets them after each decision.
        self._demand_alarm: float = 0
        self._pending_alarm: float = 0
        self._idle_alarm = float("inf")
        # How long a container may idle before the policy looks.
        self._patience_s = settings.scaledown_window
        # Whether some starts under way are for the backlog alone.
        self._spare_starts = False

    # -- what the shells read --------------------------------------------------------------------

    @property
    def pending(self) -> int:
        """Inputs accepted that no slot has taken, those that wait for a further attempt included."""
        return self._backlog.count + self._to_retry

    @property
    def drained(self) -> bool:
        """Whether no accepted input is without an outcome (an abandoned one has its outcome)."""
        return self.running == self.abandoned and not self.pending

    @property
    def free_slots(self) -> int:
        """Slots of ready containers that nothing holds."""
        return self._placement.count * self.concurrency.max_inputs - (self.running - self._outside)

    def awaited(self) -> list[Input]:
        """Return the pending inputs that no container has yet and that inputs have called, the oldest first."""
        backlog = self._backlog
        if backlog.count == backlog.spawned:
            return []
        return [input for input in backlog if input.parent is not None and not input.spawned]

    def room(self) -> int:
        """Return how many further called inputs would be accepted now."""
        limits = self.limits
        backlog = self._backlog
        called = backlog.count - backlog.spawned
        in_all = limits.max_inputs - self.running - called - self._called_to_retry
        # While anything is pending there is no free slot, so counting slots is only due in an idle hour.
        waiting = limits.max_pending - called + (0 if backlog.count else self.free_slots)
        return max(0, min(in_all, waiting))

    def wait_for_room(self, waiter: Any) -> bool:
        """Remember `waiter` until there is room for a called input; False if there is room already."""
        if self.room() > 0 or self.aborted:
            return False
        self._room_waiters.append(waiter)
        return True

    def forget_room_waiter(self, waiter: Any) -> None:
        """Forget a waiter that gave up; if it was called already, its room goes to the next."""
        try:
            self._room_waiters.remove(waiter)
        except ValueError:
            if self._room_waiters:
                self.attention |= ROOM

    def take_room_waiters(self) -> list[Any]:
        """Return those who may try again now, the longest waiting first, and forget them."""
        self.attention &= ~ROOM
        waiters = self._room_waiters
        if not self.accepting:
            called = list(waiters)
            waiters.clear()
            return called
        return [waiters.popleft() for _ in range(min(len(waiters), self.room()))]

    # -- the data path ---------------------------------------------------------------------------

    def submit(self, input: Input, now: float) -> Container | None:
        """Accept `input`; return the container that takes it at once, or None when it is pending.

        Raises:
            ClosedError: If the pool accepts nothing any more.
            ResourceExhaustedError: If a limit is reached.
            DeadlockError: If the input's caller waits, and only its ancestors hold the slots it needs.
        """
        if not self.accepting and (input.parent is None or self.aborted):
            raise ClosedError(
                f"{self.title} takes no more inputs: its app was closed; call it while the app runs"
            )
        backlog = self._backlog
        if (
            not input.spawned
            and self.running + backlog.count - backlog.spawned + self._called_to_retry
            >= self.limits.max_inputs
        ):
            raise self._refusal("max_inputs", self.limits.max_inputs, "inputs in all")
        # Where one is pending that is not set aside no slot is free.
        container = None if backlog.count > backlog.aside else self._placement.take()
        if container is not None:
            self.arrived += 1
            input.state = RUNNING
            input.container = container
            container.inputs[input] = now
            if not self.running:
                self._moved_at = now
            self.running += 1
            if self.running > self._demand_alarm:
                self.attention |= SCALING
            if self._deadline_at is None and self.timeout is not None:
                self.attention |= CONTROL
            return container
        if input.spawned:
            if backlog.spawned + self._to_retry - self._called_to_retry >= self.limits.max_spawned:
                raise self._refusal("max_spawned", self.limits.max_spawned, "pending spawned inputs")
        elif backlog.count - backlog.spawned >= self.limits.max_pending:
            raise self._refusal("max_pending", self.limits.max_pending, "pending inputs")
        elif input.parent is not None:
            self._check_deadlock(input)
            self.awaited_since_tick = True
            self.attention |= CONTROL
        self.arrived += 1
        backlog.push(input)
        if backlog.count > self._pending_alarm:
            self.attention |= SCALING
        return None

    def submit_many(self, inputs: Sequence[Input], now: float) -> tuple[int, list[Input]]:
        """Accept `inputs` in order until a limit is reached.

        Returns:
            How many were accepted, and those of them that a container took at once.

        Raises:
            ClosedError: As for `submit`. If all inputs have the same caller, then before any is accepted.
            DeadlockError: Likewise.
        """
        taken: list[Input] = []
        accepted = 0
        for input in inputs:
            try:
                if self.submit(input, now) is not None:
                    taken.append(input)
            except ResourceExhaustedError:
                # A map waits instead of failing: nothing was refused to anybody.
                self.refused -= 1
                break
            accepted += 1
        return accepted, taken

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

    def _refusal(self, limit_name: str, limit: int, what: str) -> ResourceExhaustedError:
        self.refused += 1
        pending, running = self.pending, self.running
        # One round of the running slots, once it is known how long an input takes.
        rounds = (1 + pending / max(1, running)) * self._served_s / self.ended if self.ended else 1.0
        retry_after = max(0.01, min(60.0, rounds))
        return ResourceExhaustedError(
            f"Resource Exhausted: {self.title} has {limit} {what}, its limit ({limit_name}={limit}; "
            f"{pending} pending, {running} running); try again in about {retry_after:.2g} s or raise {limit_name}",
            limit=limit,
            limit_name=limit_name,
            pending=pending,
            running=running,
            retry_after=retry_after,
        )

    def _check_deadlock(self, input: Input) -> None:
        """Refuse an input whose caller waits for a slot that only the caller's own ancestors hold."""
        bound = self.settings.max_containers
        ready = self._placement.count
        if bound is not None and not self._starting and ready >= bound:
            slots = ready * self.concurrency.max_inputs
            check_lineage(input, self._live, self.title, ready, slots, bound)

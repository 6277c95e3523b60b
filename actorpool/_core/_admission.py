# SPDX-License-Identifier: Apache-2.0
"""The state of the pool machine, and what it accepts (pure).

A called input is accepted if a slot is free, or as long as the backlog and the pool have room; beyond that it is
refused with the limit that was reached, and a map, which waits instead, is told when there is room again. Spawned
inputs have a limit of their own.

The inputs of a map come many at a time, and are accepted in one go.
"""

from __future__ import annotations

from collections import deque
from typing import TYPE_CHECKING, Any, ClassVar, Final

from actorpool._core._backlog import Backlog
from actorpool._core._deadlock import check_lineage
from actorpool._core._input import RUNNING
from actorpool._core._placement import Placement
from actorpool.exception import ClosedError, ResourceExhaustedError

if TYPE_CHECKING:
    from collections.abc import Sequence

    from actorpool._core._config import AutoscalerSettings, Concurrency, Limits
    from actorpool._core._container import Container
    from actorpool._core._input import Input
    from actorpool._core._retry import RetryPolicy

__all__ = ["CONTROL", "ROOM", "SCALING", "Admission"]

SCALING: Final = 1
"""Attention: the policy should look."""
CONTROL: Final = 2
"""Attention: the supervisor should tick (a timer to arm, a drained container to stop)."""
ROOM: Final = 4
"""Attention: somebody waits for room, and there is some."""


class Admission:
    """The state of one pool, and who is let in."""

    # Whether many inputs may be accepted without a call of `submit` for each: not where that does more than here.
    _in_one_go: ClassVar[bool] = True

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

    # -- accepting -------------------------------------------------------------------------------

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
            self._took_slots(1, now)
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

        Args:
            inputs: Of one call: their caller is the same, and all are spawned or none is.
            now: The host's clock.

        Returns:
            How many were accepted, and those of them that a container took at once.

        Raises:
            ClosedError: As for `submit`. If all inputs have the same caller, then before any is accepted.
            DeadlockError: Likewise.
        """
        taken: list[Input] = []
        first = inputs[0] if inputs else None
        if (
            first is not None
            and first.parent is None
            and not first.spawned
            and self.accepting
            and self._in_one_go
        ):
            return self._submit_called(inputs, now, taken), taken
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

    def _submit_called(self, inputs: Sequence[Input], now: float, taken: list[Input]) -> int:
        """Accept called inputs, of no input's, as `submit` does, in one go; return how many there was room for."""
        backlog = self._backlog
        called = backlog.count - backlog.spawned
        most = min(len(inputs), self.limits.max_inputs - self.running - called - self._called_to_retry)
        begun = 0
        if backlog.count <= backlog.aside:
            placement = self._placement
            while begun < most and (found := placement.take_many(most - begun)) is not None:
                container, count = found
                holds = container.inputs
                for _ in range(count):
                    input = inputs[begun]
                    input.state = RUNNING
                    input.container = container
                    holds[input] = now
                    begun += 1
            if begun:
                taken += inputs[:begun]
                self._took_slots(begun, now)
        accepted = begun + max(0, min(most - begun, self.limits.max_pending - called))
        if accepted > begun:
            backlog.extend(inputs[begun:accepted])
            if backlog.count > self._pending_alarm:
                self.attention |= SCALING
        self.arrived += accepted
        return accepted

    def _took_slots(self, count: int, now: float) -> None:
        """Count inputs that have taken free slots."""
        if not self.running:
            self._moved_at = now
        self.running += count
        if self.running > self._demand_alarm:
            self.attention |= SCALING
        if self._deadline_at is None and self.timeout is not None:
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

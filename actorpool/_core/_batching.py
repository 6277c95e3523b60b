# SPDX-License-Identifier: Apache-2.0
"""Dynamic batching: single inputs in, batches in slots (pure).

An accepted input waits in the forming batch. The batch closes when it is full, or `wait_s` after its
oldest input came, or when the pool accepts nothing more; it then takes one slot as one `Batch`, or
waits for one in the backlog like any input. Limits and counts speak of its members.

A member's state follows its batch: PENDING until a slot takes the batch, then RUNNING. A member that is
cancelled gets its outcome at once; a batch that is closed goes on for its other members, without any it is
called off if it has not started. A member's `handle` is its batch.
"""

from __future__ import annotations

from collections import deque
from typing import TYPE_CHECKING, Any, Required, TypedDict, Unpack

from attrs import evolve

from actorpool._core import _effects as fx
from actorpool._core._admission import CONTROL, ROOM, SCALING
from actorpool._core._backlog import Backlog
from actorpool._core._batch import Batch, Batching
from actorpool._core._input import CANCELLED, FAILED, PENDING, RUNNING, SUCCEEDED, Input
from actorpool._core._pool import Pool
from actorpool.exception import ClosedError, InvalidError

if TYPE_CHECKING:
    from collections.abc import Callable

    from actorpool._core._config import AutoscalerSettings, Concurrency, Limits, Restart
    from actorpool._core._container import Container
    from actorpool._core._counts import PoolCounts
    from actorpool._core._retry import RetryPolicy
    from actorpool._core._scaling import Snapshot

__all__ = ["Batch", "Batching", "BatchingPool", "PoolOptions"]


class _BatchBacklog(Backlog):
    """A backlog of batches, whose members it counts and whose members' state it sets."""

    __slots__ = ("members",)

    def __init__(self) -> None:
        super().__init__()
        self.members = 0

    def push(self, input: Input) -> None:
        """Add a batch behind all others."""
        super().push(input)
        self.members += len(_members(input))

    def push_first(self, input: Input) -> None:
        """Add a batch before all others."""
        super().push_first(input)
        self.members += len(_members(input))

    def discard(self, input: Input) -> None:
        """Forget a pending batch."""
        super().discard(input)
        self.members -= len(_members(input))

    def pop(self) -> Input:
        """Remove and return the oldest batch, which is about to take a slot."""
        input = super().pop()
        self.members -= len(_members(input))
        _begin(input)
        return input


class PoolOptions(TypedDict, total=False):
    """The keyword arguments of a `Pool`, for whoever passes them on."""

    settings: Required[AutoscalerSettings]
    concurrency: Required[Concurrency]
    limits: Required[Limits]
    restart: Required[Restart]
    timeout: float | None
    retry: RetryPolicy | None
    recycle_after: int | None
    grace_s: float
    startup_hint_s: float
    kind: str


class BatchingPool(Pool):
    """The pool of a batched function."""

    _in_one_go = False
    __slots__ = ("_batching", "_forming", "_in_forming", "_names", "distribute")

    def __init__(
        self, name: str, *, batching: Batching, names: tuple[str, ...], **options: Unpack[PoolOptions]
    ) -> None:
        super().__init__(name, **options)
        self._batching = batching
        self._names = names
        self._backlog: _BatchBacklog = _BatchBacklog()
        # Who waits for others, with the instant of its coming; one that is not PENDING is a tombstone.
        self._forming: deque[tuple[float, Input]] = deque()
        self._in_forming = 0
        self.distribute: Callable[[Input], object] | None = None
        """The shell's sink for batches: it asks for `outcomes_of` and tells the members."""

    @property
    def pending(self) -> int:
        """Inputs that no slot has taken."""
        return self._in_forming + self._backlog.members + self._to_retry

    def room(self) -> int:
        """Return how many further called inputs would be accepted now."""
        return max(0, self.limits.max_pending - self.pending)

    def submit(self, input: Input, now: float) -> Container | None:
        """Accept `input` into the forming batch; always None."""
        if not self.accepting and (input.parent is None or self.aborted):
            raise ClosedError(
                f"{self.title} takes no more inputs: its app was closed; call it while the app runs"
            )
        limit = self.limits.max_spawned if input.spawned else self.limits.max_pending
        if self.pending >= limit:
            name = "max_spawned" if input.spawned else "max_pending"
            raise self._refusal(name, limit, "pending inputs")
        self.arrived += 1
        input.state = PENDING
        self._forming.append((now, input))
        self._in_forming += 1
        if self._in_forming == 1 or self._in_forming >= self._batching.max_batch_size:
            # A timer to arm, or a batch to close; and a container may be wanted by then.
            self.attention |= CONTROL | SCALING
        return None

    def look_ahead(self, container: Container, most: int) -> list[Input]:
        """Return nothing: a batch is many inputs already."""
        return []

    def cancel(self, input: Input, now: float, error: BaseException) -> int:
        """Settle `input` as CANCELLED; see `Flow.cancel`. A running batch goes on for its other members."""
        state = input.state
        if isinstance(input, Batch) or state not in (PENDING, RUNNING):
            return super().cancel(input, now, error)
        self.settle(input, CANCELLED, error)
        batch = input.handle
        if batch is None:
            self._in_forming -= 1
        elif batch.state == PENDING and all(member.done for member in batch.members):
            super().cancel(batch, now, error)
        self.attention |= CONTROL
        return state

    def settle(self, input: Input, state: int, value: Any) -> None:
        """Give `input` its one outcome; a batch is not counted, its members are."""
        super().settle(input, state, value)
        if isinstance(input, Batch):
            self.outcomes[state] -= 1

    def outcomes_of(self, batch: Input) -> list[Input]:
        """Give each member of a batch that has ended its own outcome; return those that had none."""
        results, fault = batch.value, None
        members = _members(batch)
        if batch.state == SUCCEEDED and (not isinstance(results, list) or len(results) != len(members)):
            got = f"a list of {len(results)}" if isinstance(results, list) else type(results).__name__
            fault = InvalidError(
                f"batched function '{self.name}' must return a list with one result for each of its {len(members)} "
                f"inputs, in their order; it returned {got}"
            )
        settled: list[Input] = []
        for place, member in enumerate(members):
            if member.state not in (PENDING, RUNNING):
                continue
            if fault is not None:
                self.settle(member, FAILED, fault)
            elif batch.state == SUCCEEDED:
                self.settle(member, SUCCEEDED, results[place])
            else:
                member.attempt = batch.attempt
                self.settle(member, batch.state, batch.value)
            settled.append(member)
        return settled

    def holder(self, input: Input) -> Input:
        """Return the batch of a member."""
        batch = input.handle
        return batch if isinstance(batch, Batch) else input

    def _wanted(self, input: Input) -> bool:
        return not all(member.done for member in _members(input))

    def counts(self, now: float) -> PoolCounts:
        """Return the counts of this instant, in inputs, not in batches."""
        running = sum(len(_members(batch)) for container in self._live for batch in container.inputs)
        return evolve(super().counts(now), running=running)

    def snapshot(self, now: float) -> Snapshot:
        """Return what the policy sees, in batches: the forming ones are about to want slots."""
        seen = super().snapshot(now)
        forming = -(-self._in_forming // self._batching.max_batch_size)
        return evolve(seen, pending=seen.pending + forming) if forming else seen

    def next_tick(self) -> float | None:
        """Return the instant at which a `Ticked` is due although nothing happens."""
        due = super().next_tick()
        if not self._forming:
            return due
        # Of a tombstone, at worst: then the tick finds nothing to do, and the next one is due later.
        closing = self._forming[0][0] + self._batching.wait_ms / 1000
        return closing if due is None else min(due, closing)

    def _ticked(self, event: fx.Ticked, now: float, effects: list[fx.Effect]) -> None:
        super()._ticked(event, now, effects)
        while members := self._closed_batch(now):
            batch = Batch(members)
            batch.sink = self.distribute
            try:
                batch.args, batch.kwargs = self._merged(members)
            except InvalidError as error:
                for member in members:
                    self.settle(member, FAILED, error)
                    effects.append(fx.Settle(member))
                continue
            self._enter(batch, now, effects)

    def _closed_batch(self, now: float) -> list[Input]:
        """Return the members of the oldest batch that is full or has waited long enough, if there is one."""
        forming, size = self._forming, self._batching.max_batch_size
        while forming and forming[0][1].state != PENDING:
            forming.popleft()
        if not forming:
            return []
        waited = forming[0][0] + self._batching.wait_ms / 1000 <= now
        if self._in_forming < size and not waited and self.accepting:
            return []
        members: list[Input] = []
        while forming and len(members) < size:
            _, input = forming.popleft()
            if input.state == PENDING:
                members.append(input)
        self._in_forming -= len(members)
        return members

    def _enter(self, batch: Batch, now: float, effects: list[fx.Effect]) -> None:
        """Let a batch take a slot, or wait for one."""
        self._requeue(batch, now, effects)
        if batch.state == RUNNING:
            _begin(batch)
        self.attention |= SCALING

    def _aborted(self, event: fx.Aborted, now: float, effects: list[fx.Effect]) -> None:
        super()._aborted(event, now, effects)
        while self._forming:
            _, input = self._forming.popleft()
            if input.state == PENDING:
                self._in_forming -= 1
                self.settle(input, CANCELLED, event.error)
                effects.append(fx.Settle(input))

    def _closed(self, event: fx.Closed, now: float, effects: list[fx.Effect]) -> None:
        super()._closed(event, now, effects)
        self.attention |= CONTROL | ROOM

    def _merged(self, members: list[Input]) -> tuple[tuple[Any, ...], dict[str, Any] | None]:
        """Return the arguments of a batch: one list per parameter.

        Raises:
            InvalidError: If the members do not all give the same parameters.
        """
        bound = [self._bound(member) for member in members]
        given = set(bound[0])
        if any(set(values) != given for values in bound):
            raise InvalidError(
                f"the inputs of one batch of '{self.name}' must all give the same arguments; some gave "
                f"{sorted(given)}, others did not"
            )
        missing = [name for name in self._names if name not in given]
        if missing:
            raise InvalidError(
                f"an input of batched function '{self.name}' lacks its argument '{missing[0]}'"
            )
        return (), {name: [values[name] for values in bound] for name in self._names}

    def _bound(self, member: Input) -> dict[str, Any]:
        if len(member.args) > len(self._names):
            raise InvalidError(
                f"an input of batched function '{self.name}' has {len(member.args)} positional arguments, "
                f"it takes {len(self._names)}"
            )
        values = dict(zip(self._names, member.args, strict=False))
        for name, value in (member.kwargs or {}).items():
            if name in values:
                raise InvalidError(f"an input of batched function '{self.name}' gives '{name}' twice")
            if name not in self._names:
                raise InvalidError(
                    f"an input of batched function '{self.name}' has an unknown argument '{name}'"
                )
            values[name] = value
        return values


def _members(input: Input) -> list[Input]:
    assert isinstance(input, Batch)
    return input.members


def _begin(batch: Input) -> None:
    """Tell the members that a slot has taken their batch."""
    for member in _members(batch):
        if member.state == PENDING:
            member.state = RUNNING

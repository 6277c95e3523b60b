# SPDX-License-Identifier: Apache-2.0
"""Pools that note what their policy wants to be told (pure).

Only the pool of a policy with methods for events is of such a class; every other pool pays nothing for them.
What is noted goes to the policy with the next snapshot. If none is taken for long, because nothing calls for
a decision, one is asked for, so that the notes stay few.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, Final, Unpack

from attrs import evolve

from actorpool._core._admission import SCALING
from actorpool._core._batching import BatchingPool
from actorpool._core._container import Phase
from actorpool._core._pool import Pool
from actorpool._core._scaling import takes_events

if TYPE_CHECKING:
    from actorpool._core import _effects as fx
    from actorpool._core._batching import Batching, PoolOptions
    from actorpool._core._container import Container
    from actorpool._core._input import Input
    from actorpool._core._scaling import EventName, ScalingPolicy, Snapshot

__all__ = ["make_pool"]

_MOST_NOTES: Final = 1_024


class _Observed(Pool):
    """What both kinds of pools have in common; a mixin, so that each keeps its own layout."""

    __slots__ = ()

    _notes: list[tuple[EventName, float, float]]

    def complete(self, input: Input, state: int, value: Any, now: float) -> Input | None:
        assert input.container is not None
        since = input.container.inputs.get(input)
        if since is not None:
            self._note("completed", now, now - since)
        return super().complete(input, state, value, now)

    def snapshot(self, now: float) -> Snapshot:
        events = tuple(self._notes)
        self._notes.clear()
        return evolve(super().snapshot(now), events=events)

    def _note(self, event: EventName, now: float, seconds: float) -> None:
        notes = self._notes
        notes.append((event, now, seconds))
        if len(notes) >= _MOST_NOTES:
            self.attention |= SCALING

    def _requeue(self, input: Input, now: float, effects: list[fx.Effect]) -> None:
        # A further attempt, or a batch.
        self._note("arrived", now, 0.0)
        super()._requeue(input, now, effects)

    def _ready(self, event: fx.ContainerReady, now: float, effects: list[fx.Effect]) -> None:
        if event.container.phase is Phase.STARTING:
            self._note("ready", now, now - event.container.asked_at)
        super()._ready(event, now, effects)

    def _failed(self, event: fx.ContainerFailed, now: float, effects: list[fx.Effect]) -> None:
        if event.container.phase is Phase.STARTING:
            self._note("failed", now, now - event.container.asked_at)
        super()._failed(event, now, effects)

    def _exited(self, event: fx.ContainerExited, now: float, effects: list[fx.Effect]) -> None:
        if event.container.phase in (Phase.READY, Phase.DRAINING):
            self._note("failed", now, now - event.container.asked_at)
        super()._exited(event, now, effects)


class _ObservedPool(_Observed):
    """The pool of a function whose policy takes events."""

    _in_one_go = False
    __slots__ = ("_notes",)

    def __init__(self, name: str, **options: Unpack[PoolOptions]) -> None:
        super().__init__(name, **options)
        self._notes = []

    def submit(self, input: Input, now: float) -> Container | None:
        container = super().submit(input, now)
        self._note("arrived", now, 0.0)
        return container


class _ObservedBatchingPool(_Observed, BatchingPool):
    """The pool of a batched function whose policy takes events; they speak of batches, as its snapshots do."""

    __slots__ = ("_notes",)

    def __init__(
        self, name: str, *, batching: Batching, names: tuple[str, ...], **options: Unpack[PoolOptions]
    ) -> None:
        super().__init__(name, batching=batching, names=names, **options)
        self._notes = []


def make_pool(
    name: str,
    policy: ScalingPolicy,
    *,
    batching: Batching | None = None,
    names: tuple[str, ...] = (),
    **options: Unpack[PoolOptions],
) -> Pool:
    """Return a pool for `policy`, one that notes events if it takes any.

    Args:
        name: The function's.
        policy: Who will be asked.
        batching: How inputs are put together, if they are.
        names: The parameters of a batched function.
        options: What every pool takes.
    """
    observed = takes_events(policy)
    if batching is None:
        return (_ObservedPool if observed else Pool)(name, **options)
    return (_ObservedBatchingPool if observed else BatchingPool)(
        name, batching=batching, names=names, **options
    )

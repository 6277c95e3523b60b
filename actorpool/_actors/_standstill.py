# SPDX-License-Identifier: Apache-2.0
"""Sees to it that inputs which hold all an app may have, and wait for others that need some, do not wait for ever.

Looked at once for every turn in which containers wait at a gate. The pools are read one after the other, while
inputs come and go; so only what stands still at two looks in a row did so at some instant between them. One input
fails then, the one that came last; its callers' ends give others what they wait for.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, Final

from actorpool._core import _effects as fx
from actorpool._core._batching import BatchingPool
from actorpool._core._container import Phase
from actorpool._core._standstill import Place, Position, standing_still, why

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping

    from actorpool._core._container import Container
    from actorpool._core._input import Input
    from actorpool._core._pool import Pool

    from ._supervisor import Supervisor

__all__ = ["Standstills"]

_TAKING: Final = frozenset({Phase.STARTING, Phase.READY})


class Standstills:
    """Looks for inputs of one app that wait for each other; the host's thread only."""

    def __init__(self) -> None:
        # What stood still at the last look: {input: whether it was pending}.
        self._seen: dict[Input, bool] = {}

    def look(self, supervisors: Iterable[Supervisor], ceilings: Mapping[Any, int]) -> None:
        """Fail an input that has stood still since the last look."""
        # {what is known of a pool: whose it is}
        positions = {_position_of(supervisor): supervisor for supervisor in supervisors}
        found = standing_still(list(positions), ceilings)
        seen, self._seen = self._seen, {input: position is not None for input, position in found.items()}
        if not seen.items() <= self._seen.items():
            return
        waiting = [(input, at) for input, at in found.items() if at is not None and input in seen]
        if not waiting:
            return
        leaving = {
            input
            for position in positions
            for place in position.places
            if not place.takes
            for input in place.inputs
        }
        # The last of those that wait for what the app has no more of; first, one whose caller's end gives some back.
        input, position = max(
            reversed(waiting), key=lambda one: (one[1].amount > 0, one[0].parent in leaving)
        )
        self._seen = {}
        positions[position].tell(fx.Hopeless(input, why(input, position, ceilings)))


def _position_of(supervisor: Supervisor) -> Position:
    position: Position = supervisor.dispatcher.read(lambda pool: _position(pool, supervisor))
    return position


def _position(pool: Pool, supervisor: Supervisor) -> Position:
    containers = [container for container in pool.containers() if _has_its_share(container, supervisor)]
    # The members of a batch are not to be seen from here; those who wait for them are taken to go on.
    batching = isinstance(pool, BatchingPool)
    return Position(
        title=pool.title,
        resource=supervisor.resource,
        amount=supervisor.amount,
        slots=pool.concurrency.max_inputs,
        most=pool.settings.max_containers,
        places=tuple(
            Place(
                () if batching else tuple(container.inputs),
                container.phase in _TAKING,
            )
            for container in containers
        ),
        pending=() if batching else tuple(pool.awaited()),
    )


def _has_its_share(container: Container, supervisor: Supervisor) -> bool:
    return not supervisor.amount or (container.handle is not None and container.handle.admitted)

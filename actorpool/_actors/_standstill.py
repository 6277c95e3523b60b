# SPDX-License-Identifier: Apache-2.0
"""Sees to it that inputs which hold all an app may have, and wait for others that need some, do not wait for ever.

Looked for every second, from when an input has to wait for a slot while its caller, an input too, waits for it, until
none does; and only if one of their pools has ended nothing since the last time. The pools are read one after the
other, while inputs come and go in other threads; but they only ever go forward, so what stands still at two looks in a
row did so at the instant between them. One input fails then, the one that came last; its callers' ends give others
what they wait for.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, Final

from actorpool._core import _effects as fx
from actorpool._core._batching import BatchingPool
from actorpool._core._container import Phase
from actorpool._core._standstill import Place, Position, standing_still, why

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Mapping

    from actorpool._core._container import Container
    from actorpool._core._input import Input
    from actorpool._core._pool import Pool
    from actorpool._host._base import Host, TimerHandle

    from ._supervisor import Supervisor

__all__ = ["Standstills"]

_TAKING: Final = frozenset({Phase.STARTING, Phase.READY})
# How long nothing must have ended for a look to be worth its while, in seconds. Picked by feel: short beside a
# timeout, and a look at 25,000 inputs takes about 20 ms.
_LOOK_S: Final = 1.0


class Standstills:
    """Looks for inputs of one app that wait for each other; the host's thread only."""

    def __init__(
        self,
        host: Host,
        supervisors: Callable[[], Iterable[Supervisor]],
        ceilings: Callable[[], Mapping[Any, int]],
    ) -> None:
        self._host = host
        self._supervisors = supervisors
        self._ceilings = ceilings
        self._timer: TimerHandle | None = None
        # {pool with pending inputs that inputs wait for: how many it had ended at the last look}
        self._ended: dict[Supervisor, int] = {}
        self._closed = False

    def watch(self) -> None:
        """Look every second, until no pending input has a caller that waits for it."""
        if self._timer is None and not self._closed:
            self._timer = self._host.call_at(self._host.now() + _LOOK_S, self._look)

    def close(self) -> None:
        """Look no more."""
        self._closed = True
        if self._timer is not None:
            self._timer.cancel()

    def _look(self) -> None:
        self._timer = None
        supervisors = list(self._supervisors())
        before, self._ended = self._ended, {}
        for supervisor in supervisors:
            if supervisor.dispatcher.read(_waited_for):
                self._ended[supervisor] = supervisor.dispatcher.read(_ended)
        if self._ended:
            if not before.items().isdisjoint(self._ended.items()):
                self._look_closely(supervisors)
            self.watch()

    def _look_closely(self, supervisors: Iterable[Supervisor]) -> None:
        """Fail an input if there are some that stand still."""
        ceilings = self._ceilings()
        seen, _ = _standing_still(supervisors, ceilings)
        if not seen:
            return
        found, positions = _standing_still(supervisors, ceilings)
        # Less than before: something has moved on, and it may be what the rest waits for.
        if any(input not in found or (found[input] is None) != (at is None) for input, at in seen.items()):
            return
        waiting = [(input, at) for input, at in found.items() if at is not None and input in seen]
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
        positions[position].tell(fx.Hopeless(input, why(input, position, ceilings)))


def _standing_still(
    supervisors: Iterable[Supervisor], ceilings: Mapping[Any, int]
) -> tuple[dict[Input, Position | None], dict[Position, Supervisor]]:
    """Return what stands still, and {what is known of a pool: whose it is}."""
    positions = {_position_of(supervisor): supervisor for supervisor in supervisors}
    return standing_still(list(positions), ceilings), positions


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


def _waited_for(pool: Pool) -> bool:
    return bool(pool.awaited())


def _ended(pool: Pool) -> int:
    return pool.ended


def _has_its_share(container: Container, supervisor: Supervisor) -> bool:
    return not supervisor.amount or (container.handle is not None and container.handle.admitted)

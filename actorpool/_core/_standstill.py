# SPDX-License-Identifier: Apache-2.0
"""Whether inputs of an app wait for each other in a ring, so that none of them ever ends (pure).

A pool has a most of containers, and an app a ceiling of what they hold: threads, processes. Inputs that hold all of
it, and wait for others that need some, wait for ever. Who does is found by elimination: whatever could still end, if
all that could end did, is crossed out, until nothing changes; what is left stands still.

Told too little, it finds too little: an input that is not shown is taken to end some time. An input is taken to wait
for whatever it has called and not spawned.
"""

from __future__ import annotations

from collections.abc import Collection, Hashable, Mapping, Sequence
from typing import TYPE_CHECKING

from attrs import frozen

from actorpool._core._counts import counted
from actorpool.exception import DeadlockError

if TYPE_CHECKING:
    from actorpool._core._input import Input

__all__ = ["Place", "Position", "standing_still", "why"]


@frozen(eq=False)
class Place:
    """One container, as far as others wait for it."""

    inputs: tuple[Input, ...]
    """What holds its slots."""
    takes: bool
    """Whether it takes further inputs: it is ready, or about to be and holds what it needs."""


@frozen(eq=False)
class Position:
    """One pool, as far as others wait for it."""

    title: str
    """What messages call it."""
    resource: Hashable
    """What its containers hold some of."""
    amount: int
    """How much of it each holds."""
    slots: int
    """Most inputs in one container."""
    most: int | None
    """Most containers; None for as many as there may be."""
    places: tuple[Place, ...]
    """Its containers, save those that still wait for what they need."""
    pending: tuple[Input, ...]
    """Inputs that no slot has taken and whose callers wait for them, the oldest first."""


def standing_still(
    positions: Sequence[Position], ceilings: Mapping[Hashable, int]
) -> dict[Input, Position | None]:
    """Return the inputs that never end: the pending ones with their pool, then with None those that hold slots.

    Args:
        positions: The app's pools.
        ceilings: How much there is of each resource.
    """
    running = {input for position in positions for place in position.places for input in place.inputs}
    pending = {input: position for position in positions for input in position.pending}
    # {caller: what it waits for}; their ends are known to whoever looks later.
    calls: dict[Input, list[Input]] = {}
    for input in (*running, *pending):
        if input.parent is not None and not input.spawned:
            calls.setdefault(input.parent, []).append(input)
    stuck = running | pending.keys()
    while True:
        held = dict.fromkeys(ceilings, 0)
        for position in positions:
            held[position.resource] += position.amount * _blocked(position, stuck)
        closed = {position for position in positions if not _opens(position, stuck, held, ceilings)}
        left = {input for input in pending if input in stuck and pending[input] in closed}
        left |= {input for input in running & stuck if not stuck.isdisjoint(calls.get(input, ()))}
        if len(left) == len(stuck):
            break
        stuck = left
    found: dict[Input, Position | None] = {
        input: position for input, position in pending.items() if input in stuck
    }
    found.update((input, None) for input in running & stuck)
    return found


def _blocked(position: Position, stuck: Collection[Input]) -> int:
    """Return how many containers of the pool never end."""
    return sum(any(input in stuck for input in place.inputs) for place in position.places)


def _opens(
    position: Position,
    stuck: Collection[Input],
    held: Mapping[Hashable, int],
    ceilings: Mapping[Hashable, int],
) -> bool:
    """Return whether the pool will have a slot for a pending input."""
    for place in position.places:
        if place.takes and sum(input in stuck for input in place.inputs) < position.slots:
            return True
    if position.most is not None and _blocked(position, stuck) >= position.most:
        return False
    return held[position.resource] + position.amount <= ceilings[position.resource]


def why(input: Input, position: Position, ceilings: Mapping[Hashable, int]) -> DeadlockError:
    """Return the error of a pending input that stands still."""
    chain = tuple(str(member.target) for member in input.lineage())
    if position.most is not None and len(position.places) >= position.most:
        held = f"all slots of its {counted(position.most, 'container')} (max_containers={position.most})"
        remedy = "max_containers"
    else:
        ceiling = f"max_{position.resource}"
        held = f"the {position.resource} of its app ({ceiling}={ceilings[position.resource]})"
        remedy = f"{ceiling} in the app's limits"
    return DeadlockError(
        f"{position.title} would never run this input ({' -> '.join(chain)}): {held} are held by inputs that wait for "
        f"others; raise {remedy}, or use spawn where the result is not awaited",
        chain=chain,
    )

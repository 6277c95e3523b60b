# SPDX-License-Identifier: Apache-2.0
"""Whether an input would wait for itself (pure).

Its caller waits for it while holding a slot, and so may the caller's caller. If all slots there can be are held by
such ancestors, none becomes free before the input has run, which is never.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from actorpool._core._counts import counted
from actorpool.exception import DeadlockError

if TYPE_CHECKING:
    from collections.abc import Collection

    from actorpool._core._container import Container
    from actorpool._core._input import Input

__all__ = ["check_lineage"]


def check_lineage(
    input: Input, live: Collection[Container], title: str, ready: int, slots: int, bound: int
) -> None:
    """Raise if ancestors of `input` hold all slots of its pool.

    Args:
        input: About to be accepted, with nobody to take it.
        live: The pool's containers.
        title: What messages call the pool.
        ready: How many of them are ready: as many as there may be.
        slots: How many slots these have, all taken.
        bound: Most containers it may have.

    Raises:
        DeadlockError: If they do.
    """
    own = 0
    ancestor = input.parent
    while ancestor is not None:
        place = ancestor.container
        if place is not None and place.ready and ancestor in place.inputs and place in live:
            own += 1
        # Who spawned an ancestor does not wait for it, and so gives its slot back.
        ancestor = None if ancestor.spawned else ancestor.parent
    if own < slots:
        return
    chain = tuple(str(member.target) for member in input.lineage())
    held = "its only slot is" if slots == 1 else f"all its {slots} slots are"
    raise DeadlockError(
        f"{title} would wait for itself: {held} held by the callers of this input "
        f"({' -> '.join(chain)}), in {counted(ready, 'container')} (max_containers={bound}); "
        "raise max_containers, or use spawn where the result is not awaited",
        chain=chain,
    )

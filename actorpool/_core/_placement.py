# SPDX-License-Identifier: Apache-2.0
"""Which ready container takes the next input: the packing rule, in O(1) (pure).

The fullest container below `target` takes it (ties: the one that got to this load last); if there
is none, the least loaded one below `max_inputs` (a burst). Packing is what lets containers fall
idle, so that they can be stopped.

Containers stand in one insertion-ordered bucket per load, and an integer's bits say which buckets
are occupied, so that finding the bucket costs two bit operations whatever the number of containers.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Iterator

    from actorpool._core._container import Container

__all__ = ["Placement"]


class Placement:
    """The ready containers of one pool, by load.

    Invariant: a container with `n` inputs in its slots stands in bucket `n` and in no other, and bit
    `n` of the mask is set exactly when bucket `n` is occupied.
    """

    __slots__ = ("_below_max", "_below_target", "_buckets", "_mask", "_target", "count")

    def __init__(self, *, target: int, max_inputs: int) -> None:
        self._buckets: list[dict[Container, None]] = [{} for _ in range(max_inputs + 1)]
        self._mask = 0
        self._target = target
        self._below_target = (1 << target) - 1
        self._below_max = (1 << max_inputs) - 1
        self.count = 0
        """Ready containers."""

    @property
    def idle(self) -> int:
        """How many ready containers run nothing."""
        return len(self._buckets[0])

    @property
    def has_room(self) -> bool:
        """Whether `take` would find a container."""
        return bool(self._mask & self._below_max)

    def __iter__(self) -> Iterator[Container]:
        """Yield the ready containers, the least loaded and longest unused first."""
        for bucket in self._buckets:
            yield from bucket

    def idle_containers(self) -> Iterator[Container]:
        """Yield the idle containers, the longest idle first; do not change the placement meanwhile."""
        return iter(self._buckets[0])

    def take(self) -> Container | None:
        """Choose the container for one more input and move it up one load; None if all are full."""
        mask = self._mask & self._below_target
        if mask:
            load = mask.bit_length() - 1
        else:
            mask = self._mask & self._below_max
            if not mask:
                return None
            load = (mask & -mask).bit_length() - 1
        buckets = self._buckets
        bucket = buckets[load]
        container, _ = bucket.popitem()
        if not bucket:
            self._mask ^= 1 << load
        load += 1
        buckets[load][container] = None
        self._mask |= 1 << load
        return container

    def take_many(self, most: int) -> tuple[Container, int] | None:
        """Choose as `take` would, up to `most` times (>= 1), for as long as that is the same container.

        Returns:
            The container, moved up, and how many inputs it takes (>= 1); None if all are full.
        """
        mask = self._mask & self._below_target
        if not mask:
            container = self.take()
            return None if container is None else (container, 1)
        # The fullest below the target stays the fullest until it is there.
        load = mask.bit_length() - 1
        buckets = self._buckets
        bucket = buckets[load]
        container, _ = bucket.popitem()
        if not bucket:
            self._mask ^= 1 << load
        count = min(most, self._target - load)
        load += count
        buckets[load][container] = None
        self._mask |= 1 << load
        return container, count

    def lower(self, container: Container, load: int) -> None:
        """Move a container that gave up one of `load` inputs down by one."""
        bucket = self._buckets[load]
        del bucket[container]
        if not bucket:
            self._mask ^= 1 << load
        load -= 1
        self._buckets[load][container] = None
        self._mask |= 1 << load

    def add(self, container: Container, load: int) -> None:
        """Admit a container that has become ready with `load` inputs."""
        self._buckets[load][container] = None
        self._mask |= 1 << load
        self.count += 1

    def remove(self, container: Container, load: int) -> None:
        """Take out a container with `load` inputs, so that it takes no further ones."""
        bucket = self._buckets[load]
        del bucket[container]
        if not bucket:
            self._mask ^= 1 << load
        self.count -= 1

# SPDX-License-Identifier: Apache-2.0
"""When a container has done enough by its age or its size (pure); by the number of inputs the pool's machine tells."""

from __future__ import annotations

from math import inf

__all__ = ["Age", "Weight"]


class Age:
    """The age at which one container is replaced.

    Args:
        limit_s: Seconds since it was ready; None for any age.
    """

    __slots__ = ("_limit_s", "retire_at")

    def __init__(self, limit_s: float | None) -> None:
        self._limit_s = inf if limit_s is None else limit_s
        self.retire_at: float = inf
        """When it is to be replaced; infinity for never, and before it is ready."""

    def ready(self, now: float) -> None:
        """Note that it takes inputs from now on."""
        self.retire_at = now + self._limit_s


class Weight:
    """The size at which one container is replaced; looked at now and then, since a look costs something.

    Args:
        limit: Bytes of memory above which it is replaced; None for any number.
        every_s: How often it is looked at, at most, in seconds.
    """

    __slots__ = ("_every_s", "_limit", "_look_at")

    def __init__(self, limit: int | None, *, every_s: float) -> None:
        self._limit = inf if limit is None else limit
        self._every_s = every_s
        # Infinity when there is nothing more to decide.
        self._look_at = inf if limit is None else -inf

    def due(self, now: float) -> bool:
        """Whether its size is to be looked at, now that an input of it has ended; true is said once."""
        if now < self._look_at:
            return False
        self._look_at = now + self._every_s
        return True

    def exceeded(self, size: int | None) -> bool:
        """Whether it is to be replaced, as its size is this, in bytes; None if nobody knows. True is said once."""
        if size is None or size <= self._limit or self._look_at == inf:
            return False
        self._look_at = inf
        return True

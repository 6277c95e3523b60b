# SPDX-License-Identifier: Apache-2.0
"""What a batch is, and how inputs are put together (pure); the machine that does it is in `_batching`."""

from __future__ import annotations

from attrs import frozen

from actorpool._core._config import check_count
from actorpool._core._input import Input
from actorpool.exception import InvalidError

__all__ = ["Batch", "Batching"]


@frozen
class Batching:
    """How inputs of a function are put together.

    Raises:
        InvalidError: If a value is out of range.
    """

    max_batch_size: int
    """Most inputs in one batch (1 to 1,000, inclusive)."""
    wait_ms: int
    """Longest time the oldest input waits for others, in milliseconds (0 to 600,000)."""

    def __attrs_post_init__(self) -> None:
        for name, least, most in (("max_batch_size", 1, 1_000), ("wait_ms", 0, 600_000)):
            value = check_count(name, getattr(self, name), least=least)
            if value > most:
                raise InvalidError(f"{name} must be at most {most}, not {value}")


class Batch(Input):
    """Inputs that run as one."""

    __slots__ = ("members",)

    def __init__(self, members: list[Input]) -> None:
        first = members[0]
        super().__init__(first.target, (), None, first.context, parent=first.parent, index=first.index)
        self.members = members
        self.identity = first.identity
        for member in members:
            member.handle = self

    def again(self) -> Input:
        """Return the record of the next attempt."""
        successor = Batch(self.members)
        self.hand_over(successor)
        for member in self.members:
            member.handle = successor
        return successor

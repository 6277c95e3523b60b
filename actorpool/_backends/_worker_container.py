# SPDX-License-Identifier: Apache-2.0
"""The local container inside a container's process, and what stands there for what only the parent has."""

from __future__ import annotations

from functools import partial
from typing import TYPE_CHECKING, Any

from attrs import frozen

from actorpool._host._context import current_input
from actorpool._wire._vouchers import id_of

from ._local import LocalContainer

if TYPE_CHECKING:
    from collections.abc import Callable

    from ._interruptions import Interruptions

__all__ = ["CallName", "InterruptibleContainer", "Place"]


class CallName:
    """The call that an input belongs to, as `actorpool.context` and the calls of its code know it.

    Args:
        said: What the message said of it: its id, or the first half of that.
        key: What the other half is made with.
    """

    # By hand: one is made for each call.
    __slots__ = ("_key", "_said")

    def __init__(self, said: str, key: bytes) -> None:
        self._said = said
        self._key = key

    @property
    def value(self) -> str:
        """The id."""
        return id_of(self._said, self._key)


@frozen
class Place:
    """Stands for the container's actor: code asks it for the container's name."""

    name: str


class InterruptibleContainer(LocalContainer):
    """The container, whose synchronous calls may be interrupted."""

    __slots__ = ("_interruptions",)

    def __init__(self, interruptions: Interruptions, *args: Any) -> None:
        super().__init__(*args)
        self._interruptions = interruptions

    async def start(self) -> None:
        await super().start()
        for target, call in self._calls.items():
            if not target.is_async:
                self._calls[target] = _interruptible(call, self._interruptions)


def _interruptible(call: Callable[..., Any], interruptions: Interruptions) -> Callable[..., Any]:
    def run(*args: Any, **kwargs: Any) -> Any:
        return interruptions.run(current_input.get(), partial(call, *args, **kwargs))

    return run

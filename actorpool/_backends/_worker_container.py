# SPDX-License-Identifier: Apache-2.0
"""The local container inside a container's process, and what stands there for what only the parent has."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from attrs import frozen

from actorpool._host._context import current_input

from ._local import LocalContainer

if TYPE_CHECKING:
    from collections.abc import Callable

    from ._interruptions import Interruptions

__all__ = ["CallName", "InterruptibleContainer", "Place"]


@frozen
class CallName:
    """The id of the call that an input belongs to, as `actorpool.context` reads it."""

    value: str


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
        return interruptions.run(current_input.get(), lambda: call(*args, **kwargs))

    return run

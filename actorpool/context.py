# SPDX-License-Identifier: Apache-2.0
"""What running code may ask about itself: is it inside a function, and which input is it running?"""

from __future__ import annotations

import secrets
import threading
from typing import TYPE_CHECKING, Final

from actorpool._core._batching import Batch
from actorpool._host._context import current_input

if TYPE_CHECKING:
    from actorpool._core._input import Input

__all__ = ["current_container_id", "current_function_call_id", "current_input_id", "is_local"]


# The caller and the input may ask for the id at once, on two threads: both are to get the same.
_naming: Final = threading.Lock()


class CallIdentity:
    """The id of a function call, made up when it is first asked for; the inputs of a map share one."""

    __slots__ = ("_value",)

    def __init__(self) -> None:
        self._value: str | None = None

    @property
    def value(self) -> str:
        """The id: "fc-" and 24 hexadecimal digits."""
        with _naming:
            if self._value is None:
                self._value = f"fc-{secrets.token_hex(12)}"
            return self._value


def call_id_of(input: Input) -> str:
    """Return the id of the function call that `input` belongs to; a batch shows that of its first input."""
    if isinstance(input, Batch):
        input = input.members[0]
    with _naming:
        if input.identity is None:
            input.identity = CallIdentity()
        identity: CallIdentity = input.identity
    return identity.value


def input_id_of(input: Input) -> str:
    """Return the id of `input`: that of its call, and its place in it."""
    return f"in-{call_id_of(input)[3:]}-{input.index}"


def is_local() -> bool:
    """Return False inside a running function, True elsewhere."""
    return current_input.get() is None


def current_input_id() -> str | None:
    """Return the id of the input that the calling code runs, None outside of functions."""
    input = current_input.get()
    return None if input is None else input_id_of(input)


def current_function_call_id() -> str | None:
    """Return the id of the function call that the calling code runs, None outside of functions.

    It is the `object_id` of the `FunctionCall` that `spawn` returned; all inputs of one map share it.
    """
    input = current_input.get()
    return None if input is None else call_id_of(input)


def current_container_id() -> str | None:
    """Return the id of the container that the calling code runs in, None outside of functions.

    It names the function and counts its containers from 1, such as "resize/3".
    """
    input = current_input.get()
    if input is None or input.container is None:
        return None
    name = input.container.handle.name
    return name if isinstance(name, str) else None

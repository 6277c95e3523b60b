# SPDX-License-Identifier: Apache-2.0
"""What running code may ask about itself: is it inside a function, and which input is it running?"""

from __future__ import annotations

from actorpool._actors._call_tree import container_name_of
from actorpool._actors._identity import call_id_of, input_id_of
from actorpool._host._context import current_input

from .call import keep_call_of

__all__ = ["current_container_id", "current_function_call_id", "current_input_id", "is_local"]


def is_local() -> bool:
    """Return False inside a running function, True elsewhere."""
    return current_input.get() is None


def current_input_id() -> str | None:
    """Return the id of the input that the calling code runs, None outside of functions."""
    input = current_input.get()
    return None if input is None else input_id_of(input)


def current_function_call_id() -> str | None:
    """Return the id of the function call that the calling code runs, None outside of functions.

    It is the `object_id` of the `FunctionCall` that `spawn` returned; all inputs of one map share it. A spawned
    call whose id was asked for can be found by it, as `FunctionCall.from_id` says.
    """
    input = current_input.get()
    if input is None:
        return None
    keep_call_of(input)
    return call_id_of(input)


def current_container_id() -> str | None:
    """Return the id of the container that the calling code runs in, None outside of functions.

    It names the function and counts its containers from 1, such as "resize/3".
    """
    input = current_input.get()
    return None if input is None else container_name_of(input)

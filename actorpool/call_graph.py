# SPDX-License-Identifier: Apache-2.0
"""What `FunctionCall.get_call_graph` returns: one `InputInfo` per input, in a tree; values only."""

from __future__ import annotations

from enum import IntEnum

from attrs import field, frozen

__all__ = ["InputInfo", "InputStatus"]


class InputStatus(IntEnum):
    """What has become of an input."""

    PENDING = 0
    """It has no outcome yet: it waits for a slot or for its next attempt, or it runs."""
    SUCCESS = 1
    """It has a result."""
    FAILURE = 2
    """It raised, or its container was lost."""
    TERMINATED = 3
    """It was cancelled, or the app was closed before it had an outcome."""
    TIMEOUT = 4
    """Its last attempt ran longer than the function's `timeout`."""
    INIT_FAILURE = 5
    """No container for it could be started."""


@frozen
class InputInfo:
    """One input in a call graph, as it was when the graph was asked for."""

    input_id: str
    """What `current_input_id()` returns inside it."""
    function_call_id: str
    """What `current_function_call_id()` returns inside it; the `object_id` of a spawned call."""
    task_id: str
    """The id of the container that runs it, or ran it last, such as "resize/3"; "" before."""
    status: InputStatus
    function_name: str
    """The name of the function; "Class.method" of a method."""
    module_name: str
    """The module in which the function is defined."""
    children: list[InputInfo] = field(factory=list)
    """The inputs that its code made, in the order in which they were accepted."""

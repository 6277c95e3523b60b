# SPDX-License-Identifier: Apache-2.0
"""Builds call graphs: from the recorded nodes, or from the inputs alone where nothing is recorded of them."""

from __future__ import annotations

from collections.abc import Iterable
from typing import TYPE_CHECKING, Final

from actorpool._actors._call_tree import CallNode, container_name_of
from actorpool._actors._identity import identity_of, input_id
from actorpool._core._input import CANCELLED, FAILED, SUCCEEDED, TIMED_OUT
from actorpool.exception import ContainerStartError

from .call_graph import InputInfo, InputStatus

if TYPE_CHECKING:
    from actorpool._actors._identity import CallIdentity
    from actorpool._core._input import Input

__all__ = ["graph_of", "graph_of_async"]

_STATUS: Final = {
    SUCCEEDED: InputStatus.SUCCESS,
    FAILED: InputStatus.FAILURE,
    CANCELLED: InputStatus.TERMINATED,
    TIMED_OUT: InputStatus.TIMEOUT,
}


def graph_of(inputs: Iterable[Input]) -> list[InputInfo]:
    """Return the roots of the trees that `inputs` belong to, each root once, in the order of `inputs`."""
    inputs = tuple(inputs)
    if inputs and inputs[0].target.is_far:
        from ._parent import parent

        return parent().graph_of(inputs[0])
    infos: list[InputInfo] = []
    # {root: None}, for its order.
    roots: dict[CallNode, None] = {}
    for input in inputs:
        input = input.latest()
        node: CallNode | None = input.trace
        if node is None:
            infos.append(_info_of_input(input))
        elif node.root not in roots:
            roots[node.root] = None
            infos.append(_tree_of(node.root))
    return infos


async def graph_of_async(inputs: Iterable[Input]) -> list[InputInfo]:
    """Do the same, and block the running loop for nothing: not for an answer of another process either."""
    inputs = tuple(inputs)
    if inputs and inputs[0].target.is_far:
        from ._parent import parent

        return await parent().graph_of_async(inputs[0])
    return graph_of(inputs)


def _tree_of(root: CallNode) -> InputInfo:
    # Without recursion: a chain of calls may be longer than Python's stack.
    info = _info_of_node(root)
    todo = [(root, info)]
    while todo:
        node, above = todo.pop()
        # A copy: inputs may come in meanwhile.
        for child in tuple(node.children):
            below = _info_of_node(child)
            above.children.append(below)
            todo.append((child, below))
    return info


def _info_of_node(node: CallNode) -> InputInfo:
    # In this order: the node lets go of its input when it has taken down the rest.
    input = node.input
    if input is not None:
        state, container, value = input.state, container_name_of(input), input.value
        failure = type(value) if isinstance(value, BaseException) else None
    else:
        state, container, failure = node.state, node.container, node.failure
    return _info(node.identity, node.index, node.target, state, container, failure)


def _info_of_input(input: Input) -> InputInfo:
    state, value = input.state, input.value
    failure = type(value) if isinstance(value, BaseException) else None
    return _info(identity_of(input), input.index, input.target, state, container_name_of(input), failure)


def _info(
    identity: CallIdentity,
    index: int,
    target: object,
    state: int,
    container: str | None,
    failure: type[BaseException] | None,
) -> InputInfo:
    status = _STATUS.get(state, InputStatus.PENDING)
    if state == FAILED and failure is not None and issubclass(failure, ContainerStartError):
        status = InputStatus.INIT_FAILURE
    return InputInfo(
        input_id=input_id(identity, index),
        function_call_id=identity.value,
        task_id=container or "",
        status=status,
        function_name=str(target),
        module_name=getattr(getattr(target, "function", None), "__module__", ""),
    )

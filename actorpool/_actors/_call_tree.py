# SPDX-License-Identifier: Apache-2.0
"""Which input made which: the records behind `FunctionCall.get_call_graph`.

Only a `FunctionCall` can be asked for its graph, so a tree is recorded from the first spawned input in it on: a
spawned input is recorded, so is whatever a recorded input makes, and so are the ancestors of a spawned input. A
program that spawns nothing, or whose spawned inputs call nothing, has no record at all.

A node stands for one input, over all its attempts. While the input has no outcome the node refers to it; then the
node is told and keeps what the graph shows, not the input and its result. A tree lives as long as an input or a
handle of it does, and holds at most `MOST_NODES` nodes; what comes after is not recorded.

Recording takes place in the turn of whoever submits, under the pool's lock: so no input has its outcome before its
node is there. An ancestor may, in another pool: its state is looked at again once its node is in place.
"""

from __future__ import annotations

import threading
from typing import TYPE_CHECKING, Final

from actorpool._core._batch import Batch

from ._identity import identity_of

if TYPE_CHECKING:
    from collections.abc import Sequence

    from actorpool._core._input import Input

    from ._identity import CallIdentity

__all__ = ["MOST_NODES", "CallNode", "container_name_of", "record"]

MOST_NODES: Final = 1_000
"""Inputs recorded of one tree."""

# Ancestors get their nodes late, and two of their inputs may be about to see to that. The garbage collector may run
# anything in the middle of it, also code that submits.
_recording: Final = threading.RLock()


class CallNode:
    """One input in its tree."""

    __slots__ = (
        "children",
        "container",
        "failure",
        "identity",
        "index",
        "input",
        "parent",
        "state",
        "target",
        "tree",
    )

    def __init__(self, input: Input, parent: CallNode | None) -> None:
        self.parent = parent
        self.tree: list[int] = [0] if parent is None else parent.tree
        """How many nodes the tree has; one list for all of them."""
        self.tree[0] += 1
        self.children: list[CallNode] = []
        self.input: Input | None = input
        """The record of the present attempt; None once there is an outcome."""
        self.identity: CallIdentity = identity_of(input)
        self.index: int = input.index
        self.target: object = input.target
        self.state: int = input.state
        self.container: str | None = None
        self.failure: type[BaseException] | None = None
        """What kind of exception the outcome is."""

    @property
    def root(self) -> CallNode:
        """The node of the input from outside that everything in the tree comes from."""
        node = self
        while node.parent is not None:
            node = node.parent
        return node

    def end(self, input: Input) -> None:
        """Keep what the graph shows of `input`, which has its outcome."""
        self.container = container_name_of(input)
        value = input.value
        self.failure = type(value) if isinstance(value, BaseException) else None
        self.state = input.state
        self.input = None


def record(inputs: Sequence[Input], parent: Input) -> None:
    """Take down that `parent` made `inputs`, if the tree they belong to is recorded."""
    parent = _first(parent)
    if parent.trace is None and not parent.spawned and not inputs[0].spawned:
        return
    with _recording:
        above = _node_of(parent)
        if above is not None:
            for input in inputs:
                _add(input, above)


def container_name_of(input: Input) -> str | None:
    """Return the name of the container that `input` runs in, or ran in last; None before."""
    holder = input.handle if isinstance(input.handle, Batch) else input
    handle = None if holder.container is None else holder.container.handle
    name = getattr(handle, "name", None)
    return name if isinstance(name, str) else None


def _node_of(input: Input) -> CallNode | None:
    """Return the node of `input`, made now if there is none; None if its tree is full."""
    missing: list[Input] = []
    ancestor: Input | None = input
    while ancestor is not None and ancestor.trace is None:
        missing.append(ancestor)
        ancestor = None if ancestor.parent is None else _first(ancestor.parent)
    node: CallNode | None = None if ancestor is None else ancestor.trace
    while missing:
        input = missing.pop()
        node = _add(input, node)
        if node is None:
            return None
        if input.done:
            # It got its outcome before it had a node to be told.
            node.end(input)
    return node


def _add(input: Input, above: CallNode | None) -> CallNode | None:
    """Give `input` a node below `above`, or at the root; None if the tree is full."""
    if above is not None and above.tree[0] >= MOST_NODES:
        return None
    node = CallNode(input, above)
    input.trace = node
    if above is not None:
        above.children.append(node)
    return node


def _first(input: Input) -> Input:
    """Return the record that stands for `input`: of a batch its first member, of an attempt the latest."""
    return input.members[0] if isinstance(input, Batch) else input.latest()

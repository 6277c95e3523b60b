# SPDX-License-Identifier: Apache-2.0
"""One input: the record that travels from the caller through the pool to its one outcome (pure).

The record is queue entry, running entry and result holder in one, so that accepting an input builds
one object. The pool machine alone moves `state`; shells read it, and set what only they know
(`handle`). What `args`, `context`, `sink`, `target` and `handle` are is the shells' business: the
machines never look inside.

States and who moves them::

    NEW ──submit──► PENDING ──take──► RUNNING ──complete──► SUCCEEDED | FAILED
     └──────────submit──────────────────▲ │ └──cancel──► CANCELLED   (slot held until the work returns)
                       DELAYED ─retry───┘ └──timeout──► TIMED_OUT   (likewise)

A state of `SUCCEEDED` or above is final: an input gets exactly one outcome, whoever is first.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, ClassVar, Final

if TYPE_CHECKING:
    from collections.abc import Callable

    from actorpool._core._container import Container

__all__ = [
    "CANCELLED",
    "DELAYED",
    "FAILED",
    "NEW",
    "PENDING",
    "RUNNING",
    "STATE_NAMES",
    "SUCCEEDED",
    "TIMED_OUT",
    "BlockingInput",
    "Input",
]

# Plain integers, because the data path compares them for every input.
NEW: Final = 0
PENDING: Final = 1
RUNNING: Final = 2
DELAYED: Final = 3
SUCCEEDED: Final = 4
FAILED: Final = 5
CANCELLED: Final = 6
TIMED_OUT: Final = 7

STATE_NAMES: Final = ("new", "pending", "running", "delayed", "succeeded", "failed", "cancelled", "timed out")


class Input:
    """One unit of work and, once it has ended, its outcome."""

    __slots__ = (
        "__weakref__",
        "args",
        "attempt",
        "container",
        "context",
        "handle",
        "identity",
        "index",
        "kwargs",
        "parent",
        "sink",
        "spawned",
        "state",
        "stream",
        "successor",
        "target",
        "trace",
        "value",
    )

    early: ClassVar[bool] = False
    """Whether `sink` may be called a little before the outcome stands, under the lock that the machine is used with."""

    # Any: user's payloads and the shells' own objects pass through untouched.
    def __init__(
        self,
        target: Any,
        args: tuple[Any, ...],
        kwargs: dict[str, Any] | None,
        context: Any,
        sink: Callable[[Input], object] | None = None,
        parent: Input | None = None,
        spawned: bool = False,
        index: int = 0,
        identity: Any = None,
    ) -> None:
        self.target: Any = target
        """The function or method it is for; messages show it by `str`."""
        self.args: tuple[Any, ...] = args
        self.kwargs: dict[str, Any] | None = kwargs
        self.context: Any = context
        """The context variables of its caller; each attempt runs in a copy of its own."""
        self.sink = sink
        """Called once with this input when its outcome is known, by whoever brought that about."""
        self.parent: Input | None = parent
        """The input whose code made this one; None from outside, and once this one has its outcome."""
        self.spawned: bool = spawned
        """Whether nobody waits for it: such inputs have a limit of their own."""
        self.index: int = index
        """Its place among the inputs of one call, such as a map."""
        self.state: int = NEW
        self.attempt: int = 1
        """Which attempt this is, counted from 1."""
        self.value: Any = None
        """The result (SUCCEEDED) or the exception (any other final state)."""
        self.container: Container | None = None
        """Where it runs, or ran last."""
        self.handle: Any = None
        """The backend's means to reach the running work; None before and after."""
        self.successor: Input | None = None
        """The record of the next attempt, when a timed-out attempt still holds its slot."""
        self.identity: Any = identity
        """The id of its call, which the inputs of one call share; None until somebody asks for it."""
        self.stream: Any = None
        """Where the items of a generator go, if that is what it is; such an input is never tried again."""
        self.trace: Any = None
        """Its place in the tree of calls, told by `end` when the outcome is known; None where none is recorded."""

    @property
    def done(self) -> bool:
        """Whether the outcome is known: not of an attempt that another one has followed."""
        # In this order: a record has its successor before its state says that this attempt is over.
        return self.state >= SUCCEEDED and self.successor is None

    def again(self) -> Input:
        """Return a record for the next attempt, which takes over whoever waits; this one keeps its slot alone."""
        successor = Input(self.target, self.args, self.kwargs, None, parent=self.parent, spawned=self.spawned)
        self.hand_over(successor)
        return successor

    def hand_over(self, successor: Input) -> None:
        """Make `successor` the record of the next attempt."""
        successor.args, successor.kwargs = self.args, self.kwargs
        successor.context = self.context
        successor.index, successor.identity = self.index, self.identity
        successor.attempt = self.attempt + 1
        successor.sink, self.sink = self.sink, None
        if self.trace is not None:
            successor.trace, self.trace = self.trace, None
            successor.trace.input = successor
        self.successor = successor

    def latest(self) -> Input:
        """Return the record of the present attempt."""
        input = self
        while input.successor is not None:
            input = input.successor
        return input

    def lineage(self) -> list[Input]:
        """Return this input's ancestors, the oldest first, and the input itself."""
        chain: list[Input] = [self]
        ancestor = self.parent
        while ancestor is not None:
            chain.append(ancestor)
            ancestor = ancestor.parent
        chain.reverse()
        return chain

    def __repr__(self) -> str:
        return f"<Input of {self.target} {STATE_NAMES[self.state]} attempt={self.attempt}>"


class BlockingInput(Input):
    """One whose caller's thread is blocked, which takes its time to wake up; its sink does that and nothing else."""

    __slots__ = ()

    early = True

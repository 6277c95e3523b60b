# SPDX-License-Identifier: Apache-2.0
"""The messages between a pool and the worker process of one container; their form is `_bodies`.

Messages are values like any frozen ones; only, freezing costs more than all else that is done with them.
"""

from __future__ import annotations

from typing import ClassVar, Final, TypeAlias

from attrs import define

from ._blobs import Payload

__all__ = [
    "CALLED",
    "MAPPED",
    "SPAWNED",
    "VERSION",
    "Answer",
    "Ask",
    "Call",
    "Cancel",
    "CloseStream",
    "Credit",
    "Ended",
    "Ends",
    "Item",
    "Memory",
    "Message",
    "Output",
    "Ready",
    "Record",
    "Ring",
    "Run",
    "Runs",
    "Start",
    "StartFailed",
    "Stop",
    "Stopped",
    "Withdraw",
    "Withdrawn",
]

CALLED: Final = 1
MAPPED: Final = 2
SPAWNED: Final = 3

VERSION: Final = 2
"""Version of frames, messages and payloads. Both ends are of one installation, so there is no negotiation."""

ENDED_STATES: Final = frozenset({4, 5, 6})
"""SUCCEEDED, FAILED and CANCELLED of the input states."""


@define
class Start:
    """The first message: what the container runs."""

    KIND: ClassVar[int] = 1

    version: int
    name: str
    """The container's name."""
    code: Payload
    max_inputs: int
    """Number of slots."""
    grace_s: float
    block_warning_s: float | None
    ids: Payload
    """What the worker makes ids of calls from."""
    levels: Payload
    """{name of a logger: its level}, where the pool's process has set one; "" is the root."""


@define
class Run:
    """Run an input."""

    KIND: ClassVar[int] = 2

    number: int
    """Names the input in the messages about it, as long as it runs; given by the pool."""
    target: int
    """Which of the workload's methods."""
    arguments: Payload
    """Positional arguments as a tuple, keyword arguments as a dict."""
    context: Payload | None
    """Context variables of the caller's."""
    call_id: str
    """The id of its call, or the first half of that, which with the key that was lent makes the id."""
    index: int
    attempt: int
    credit: int | None
    """How many items a generator may be ahead; None if it is no generator."""


@define
class Cancel:
    """Cancel an input, which is settled by its `Ended` as any other; or a call, of which nothing more is told."""

    KIND: ClassVar[int] = 3

    number: int


@define
class Credit:
    """A generator may send that many further items."""

    KIND: ClassVar[int] = 4

    number: int
    items: int


@define
class CloseStream:
    """Nobody takes the items of this generator any more."""

    KIND: ClassVar[int] = 5

    number: int


@define
class Stop:
    """Run the exit hooks and end."""

    KIND: ClassVar[int] = 6

    grace_s: float


@define
class Answer:
    """The answer to an `Ask` of the worker's; or, with an error, to a `Call` that was not accepted."""

    KIND: ClassVar[int] = 7

    number: int
    state: int
    value: Payload


@define
class Withdraw:
    """Drop what has not begun of the inputs from this number on, which were sent ahead; answered by `Withdrawn`."""

    KIND: ClassVar[int] = 8

    number: int


@define
class Runs:
    """As many `Run`s of one call, whose numbers and indices follow one another."""

    KIND: ClassVar[int] = 9

    number: int
    """Of the first one."""
    target: int
    arguments: Payload
    """A batch of what is a payload's each in `Run`."""
    context: Payload | None
    call_id: str
    index: int
    """Of the first one."""
    attempt: int


@define
class Ready:
    """The enter hooks have run."""

    KIND: ClassVar[int] = 33

    version: int
    pid: int


@define
class StartFailed:
    """The code could not be loaded, or an enter hook failed."""

    KIND: ClassVar[int] = 34

    error: Payload


@define
class Ended:
    """The one outcome of an input."""

    KIND: ClassVar[int] = 35

    number: int
    state: int
    value: Payload
    """The result, or the error."""


@define
class Ends:
    """As many `Ended`s of inputs that have succeeded."""

    KIND: ClassVar[int] = 43

    results: Payload
    """A batch of number, result, number, result and so on."""


@define
class Memory:
    """Where the worker's `Ends` are found if it ends before it has said them; comes before the first of them."""

    KIND: ClassVar[int] = 44

    journal: Payload


@define
class Ring:
    """Where blobs of the sender's are from now on; either side sends one, at most once."""

    KIND: ClassVar[int] = 45

    memory: Payload


@define
class Item:
    """An item of a generator; it uses up one credit."""

    KIND: ClassVar[int] = 36

    number: int
    value: Payload


@define
class Output:
    """A line that was printed, without its newline."""

    KIND: ClassVar[int] = 37

    stream: int
    """1: standard output, 2: standard error."""
    line: str


@define
class Record:
    """A logging record."""

    KIND: ClassVar[int] = 38

    fields: Payload


@define
class Call:
    """Call a function of the pool's process; its items and its end are told as those of an input are."""

    KIND: ClassVar[int] = 39

    number: int
    """Names the call in the messages about it; given by the worker."""
    caller: int | None
    """The number of the input that calls; None if it is not an input that does."""
    pool: int
    """What is called: the number of the question "bind"."""
    mode: int
    """1: called, 2: called by a map, which waits for room, 3: spawned, and handed over by the question "spawn"."""
    call_id: str
    index: int
    arguments: Payload
    context: Payload | None
    credit: int | None
    """How many items a generator may be ahead; None if it is no generator."""


@define
class Ask:
    """Ask the pool's process something; not every question has an answer."""

    KIND: ClassVar[int] = 41

    number: int
    """Names the question in its `Answer`; given by the worker."""
    question: str
    value: Payload


@define
class Stopped:
    """The exit hooks have run; the last message."""

    KIND: ClassVar[int] = 40


@define
class Withdrawn:
    """Of the inputs that were sent ahead before the `Withdraw`, those with numbers above this one were dropped."""

    KIND: ClassVar[int] = 42

    number: int


Message: TypeAlias = (
    Start
    | Run
    | Cancel
    | Credit
    | CloseStream
    | Stop
    | Answer
    | Withdraw
    | Runs
    | Ready
    | StartFailed
    | Ended
    | Item
    | Output
    | Record
    | Call
    | Ask
    | Stopped
    | Withdrawn
    | Ends
    | Memory
    | Ring
)

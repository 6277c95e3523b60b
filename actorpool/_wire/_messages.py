# SPDX-License-Identifier: Apache-2.0
"""The messages between a pool and the worker process of one container, and their form in a frame.

A message is packed as one msgpack array, `[kind, field, ...]`, with the fields in the order of their class. A payload
is a binary, or `[binary, size, ...]` with the size of each of its blobs. So the blobs of a frame are counted in it:
they are taken, in order, from the descriptors that came with it, and have to have these sizes.

Messages are values like any frozen ones; only, freezing costs more than all else that is done with them.

Unpacking checks number, types and ranges of all fields, and touches the content of no payload. Whatever is wrong
is a `WireError`; what it may allocate is bounded by the size of the frame.
"""

from __future__ import annotations

from collections import deque
from itertools import product
from operator import attrgetter
from typing import TYPE_CHECKING, Any, ClassVar, Final, TypeAlias, get_args

import msgpack
from attrs import define, fields

from ._blobs import MAX_BLOBS, Blob, Payload
from ._faults import WireError

if TYPE_CHECKING:
    from collections.abc import Sequence

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
    "Item",
    "Message",
    "Output",
    "Ready",
    "Record",
    "Run",
    "Start",
    "StartFailed",
    "Stop",
    "Stopped",
    "Withdraw",
    "Withdrawn",
    "pack",
    "unpack",
]

CALLED: Final = 1
MAPPED: Final = 2
SPAWNED: Final = 3

VERSION: Final = 1
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
)


def pack(message: Message) -> tuple[bytes, tuple[Blob, ...]]:
    """The body of a message's frame, and the blobs that have to come with it.

    Raises:
        TypeError: If a field is of another type than its class says.
        OverflowError: If a number is beyond 64 bits.

    Threads: Any.
    """
    try:
        packer = _idle.pop()
    except IndexError:
        packer = _Packer()
    body, blobs = packer.pack(message)
    if len(body) <= _KEPT_BYTES and len(_idle) < _KEPT_PACKERS:
        _idle.append(packer)
    return body, blobs


def unpack(body: bytes | bytearray | memoryview, blobs: Sequence[Blob] = ()) -> Message:
    """The message in the body of a frame; it owns the blobs from then on.

    Raises:
        WireError: If it is garbage, of an unknown kind or version, or has other blobs than these.

    Threads: Any.
    """
    waiting = deque(blobs)
    message = unpack_next(body, waiting)
    if waiting:
        raise WireError(f"{len(waiting)} blobs came with a {type(message).__name__} that does not name them")
    return message


def unpack_next(body: bytes | bytearray | memoryview, waiting: deque[Blob]) -> Message:
    """As `unpack`, taking from `waiting`, which is in the order of frames, as many blobs as the frame counts."""
    try:
        parts = msgpack.unpackb(
            body,
            max_array_len=MAX_BLOBS + 1,
            max_map_len=0,
            max_ext_len=0,
            strict_map_key=False,
            unicode_errors="surrogatepass",
        )
    except Exception as error:
        # msgpack's errors have no common base, and garbage may also fail as a value, key or type error.
        raise WireError(f"a frame of {len(body)} bytes is no msgpack: {_text(error)}") from None
    if type(parts) is not list or not parts or type(parts[0]) is not int:
        raise WireError("a frame is no array that begins with the kind of its message")
    layout = _LAYOUTS.get(parts[0])
    if layout is None:
        raise WireError(f"a frame is of the unknown kind {parts[0]}")
    del parts[0]
    return layout.message(parts, waiting)


class _Packer:
    """A packer and the blobs of the message in its hands; for one thread at a time."""

    __slots__ = ("_blobs", "_pack")

    def __init__(self) -> None:
        self._blobs: list[Blob] = []
        # A line of output may hold bytes that are no UTF-8, as surrogates.
        packer = msgpack.Packer(default=self._payload, strict_types=True, unicode_errors="surrogatepass")
        self._pack = packer.pack

    def pack(self, message: Message) -> tuple[bytes, tuple[Blob, ...]]:
        body = self._pack(_LAYOUTS[message.KIND].values(message))
        if not self._blobs:
            return body, ()
        blobs = tuple(self._blobs)
        self._blobs.clear()
        return body, blobs

    def _payload(self, value: object) -> object:
        if type(value) is not Payload:
            raise TypeError(f"a field of a message is of type {type(value).__qualname__}")
        if not value.blobs:
            return value.data
        self._blobs += value.blobs
        return [value.data, *(blob.size for blob in value.blobs)]


class _Layout:
    """How the fields of one kind of message are written, read and checked."""

    __slots__ = ("_checks", "_getter", "_maybes", "_numbers", "_payloads", "_type", "_types")

    def __init__(self, kind: type[Message]) -> None:
        self._type = kind
        names = [field.name for field in fields(kind)]
        annotations = [str(field.type) for field in fields(kind)]
        # Every combination of types that a message may have, so that a single lookup checks them all.
        self._types = frozenset(product(*(_TYPES[annotation] for annotation in annotations)))
        self._payloads = tuple(at for at, name in enumerate(annotations) if name.startswith("Payload"))
        ranges = {"mode": _MODES, "state": ENDED_STATES, "stream": _STREAMS, "version": _VERSIONS}
        self._checks = tuple((at, ranges[name]) for at, name in enumerate(names) if name in ranges)
        self._numbers = tuple(at for at, name in enumerate(annotations) if name in ("int", "float"))
        self._maybes = tuple(
            at for at, name in enumerate(annotations) if name in ("int | None", "float | None")
        )
        self._getter = attrgetter(*names) if names else None

    def values(self, message: Message) -> list[object]:
        if self._getter is None:
            return [message.KIND]
        values = self._getter(message)
        return [message.KIND, *values] if type(values) is tuple else [message.KIND, values]

    def message(self, values: list[Any], waiting: deque[Blob]) -> Message:
        name = self._type.__name__
        if tuple(map(type, values)) not in self._types:
            raise WireError(f"a frame has other fields than a {name}")
        for at in self._numbers:
            # Said so that it is true of what is no number as well.
            if not values[at] >= 0:
                raise WireError(f"field {at + 1} of a {name} is {values[at]}")
        for at in self._maybes:
            if values[at] is not None and not values[at] >= 0:
                raise WireError(f"field {at + 1} of a {name} is {values[at]}")
        for at, allowed in self._checks:
            if values[at] not in allowed:
                raise WireError(f"field {at + 1} of a {name} is {values[at]}")
        for at in self._payloads:
            value = values[at]
            if type(value) is bytes:
                values[at] = Payload(value)
            elif value is not None:
                values[at] = _with_blobs(value, waiting, name)
        return self._type(*values)


def _with_blobs(value: list[Any], waiting: deque[Blob], name: str) -> Payload:
    if len(value) < 2 or type(value[0]) is not bytes:
        raise WireError(f"a payload of a {name} is malformed")
    if len(value) - 1 > len(waiting):
        raise WireError(f"a payload of a {name} names {len(value) - 1} blobs, but {len(waiting)} came")
    blobs = tuple(waiting.popleft() for _ in value[1:])
    if [blob.size for blob in blobs] != value[1:]:
        raise WireError(f"a payload of a {name} names blobs of other sizes than those that came")
    return Payload(value[0], blobs)


def _text(error: Exception) -> str:
    return f"{type(error).__name__}: {error}"[:200]


_MODES: Final = frozenset({1, 2, 3})
_STREAMS: Final = frozenset({1, 2})
_VERSIONS: Final = frozenset({VERSION})
_NONE: Final = type(None)
_TYPES: Final[dict[str, tuple[type, ...]]] = {
    "int": (int,),
    "int | None": (int, _NONE),
    "str": (str,),
    "float": (float, int),
    "float | None": (float, int, _NONE),
    "Payload": (bytes, list),
    "Payload | None": (bytes, list, _NONE),
}
_LAYOUTS: Final[dict[int, _Layout]] = {kind.KIND: _Layout(kind) for kind in get_args(Message)}

# Packers are kept for the next message, but not those whose buffers have grown. Both sizes were picked by feel.
_idle: list[_Packer] = []
_KEPT_BYTES: Final = 1 << 16
_KEPT_PACKERS: Final = 16

# SPDX-License-Identifier: Apache-2.0
"""The form of a message in a frame: its body.

A message is packed as one msgpack array, `[kind, field, ...]`, with the fields in the order of their class. A payload
is a binary, or `[binary, form, ...]` with a form for each of its blobs: its size if it comes as a descriptor,
`[place, size]` if it is in the sender's ring, or the blob itself, a binary. So the descriptors of a frame are counted
in it: they are taken, in order, from those that came with it, and have to have these sizes.

Unpacking checks number, types and ranges of all fields, and touches the content of no payload. Whatever is wrong
is a `WireError`; what it may allocate is bounded by the size of the frame.
"""

from __future__ import annotations

from collections import deque
from itertools import product
from operator import attrgetter
from typing import TYPE_CHECKING, Any, Final, get_args

import msgpack
from attrs import fields

from ._blobs import MAX_BLOBS, Blob, Held, Payload
from ._faults import WireError
from ._messages import ENDED_STATES, VERSION, Memory, Message, Ring

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Sequence

    from ._memory import RingReader

    Place = Callable[[Held], "Blob | bytes | list[int]"]

__all__ = ["NoPlaceError", "pack", "unpack", "unpack_next"]


def pack(message: Message, place: Place | None = None) -> tuple[bytes, tuple[Blob, ...]]:
    """The body of a message's frame, and the blobs that have to come with it as descriptors.

    Args:
        message: What to pack.
        place: Finds a place for blobs that are not in a memory file yet.

    Raises:
        NoPlaceError: If a place is needed, and there is no `place` to find one.
        TypeError: If a field is of another type than its class says.
        OverflowError: If a number is beyond 64 bits.

    Threads: Any.
    """
    try:
        packer = _idle.pop()
    except IndexError:
        packer = _Packer()
    body, blobs = packer.pack(message, place)
    if len(body) <= _KEPT_BYTES and len(_idle) < _KEPT_PACKERS:
        _idle.append(packer)
    return body, blobs


def unpack(
    body: bytes | bytearray | memoryview, blobs: Sequence[Blob] = (), ring: RingReader | None = None
) -> Message:
    """The message in the body of a frame; it owns the blobs from then on.

    Raises:
        WireError: If it is garbage, of an unknown kind or version, or has other blobs than these.

    Threads: Any.
    """
    waiting = deque(blobs)
    message = unpack_next(body, waiting, ring)
    if waiting:
        raise WireError(f"{len(waiting)} blobs came with a {type(message).__name__} that does not name them")
    return message


def unpack_next(
    body: bytes | bytearray | memoryview, waiting: deque[Blob], ring: RingReader | None
) -> Message:
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
    return layout.message(parts, waiting, ring)


class NoPlaceError(Exception):
    """A blob has no place yet in which it could be sent."""


class _Packer:
    """A packer and the blobs of the message in its hands; for one thread at a time."""

    __slots__ = ("_blobs", "_pack", "_place")

    def __init__(self) -> None:
        self._blobs: list[Blob] = []
        self._place: Place | None = None
        # A line of output may hold bytes that are no UTF-8, as surrogates.
        packer = msgpack.Packer(default=self._payload, strict_types=True, unicode_errors="surrogatepass")
        self._pack = packer.pack

    def pack(self, message: Message, place: Place | None) -> tuple[bytes, tuple[Blob, ...]]:
        self._place = place
        body = self._pack([*_LAYOUTS[message.KIND].values(message)])
        if not self._blobs:
            return body, ()
        blobs = tuple(self._blobs)
        self._blobs.clear()
        return body, blobs

    def _payload(self, value: object) -> object:
        if type(value) is not Payload:
            raise TypeError(f"a field of a message is of type {type(value).__qualname__}")
        return [value.data, *map(self._form, value.blobs)] if value.blobs else value.data

    def _form(self, blob: Blob) -> object:
        form: object = blob
        if isinstance(blob, Held):
            if self._place is None:
                raise NoPlaceError
            form = self._place(blob)
        if isinstance(form, Blob):
            self._blobs.append(form)
            return form.size
        return form


class _Layout:
    """How the fields of one kind of message are written, read and checked."""

    __slots__ = ("_checks", "_maybes", "_numbers", "_payloads", "_shared", "_type", "_types", "values")

    def __init__(self, kind: type[Message]) -> None:
        self._type = kind
        self._shared = kind in (Memory, Ring)
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
        self.values: Callable[[Message], Iterable[object]] = (
            attrgetter("KIND", *names) if names else lambda _: (kind.KIND,)
        )
        """Returns what a message is packed as."""

    def message(self, values: list[Any], waiting: deque[Blob], ring: RingReader | None) -> Message:
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
                values[at] = payload = _with_blobs(value, waiting, ring, name)
                if any(blob.shared is not self._shared for blob in payload.blobs):
                    raise WireError(
                        f"a {name} came with memory that its sender may {_NOT[self._shared]}change"
                    )
        return self._type(*values)


def _with_blobs(value: list[Any], waiting: deque[Blob], ring: RingReader | None, name: str) -> Payload:
    if len(value) < 2 or type(value[0]) is not bytes:
        raise WireError(f"a payload of a {name} is malformed")
    named = sum(type(form) is int for form in value)
    if named > len(waiting):
        raise WireError(f"a payload of a {name} names {named} blobs, but {len(waiting)} came")
    return Payload(value[0], tuple([_blob(form, waiting, ring, name) for form in value[1:]]))


def _blob(form: Any, waiting: deque[Blob], ring: RingReader | None, name: str) -> Blob:
    if type(form) is int:
        blob = waiting.popleft()
        if blob.size != form:
            raise WireError(f"a payload of a {name} names blobs of other sizes than those that came")
        return blob
    if type(form) is bytes:
        return Held(form)
    if type(form) is not list or len(form) != 2 or {type(part) for part in form} != {int} or min(form) < 0:
        raise WireError(f"a payload of a {name} is malformed")
    if ring is None:
        raise WireError(f"a payload of a {name} is said to be in a ring, but there is none")
    return Held(ring.take(*form))


def _text(error: Exception) -> str:
    return f"{type(error).__name__}: {error}"[:200]


_NOT: Final = {False: "", True: "not "}
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

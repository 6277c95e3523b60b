# SPDX-License-Identifier: Apache-2.0
"""A Python value as bytes and blobs, and back.

msgpack packs what it knows, strictly by type, and calls `_Encoder._default` for the rest: a tuple, an extension type
(`_natives`), or an object that has to be pickled. Such objects are gathered and pickled together, so two references
to one object arrive as two references to one object, and a reference stands for each in the packed *tree*. What is
big goes into blobs. If there are objects or blobs, the payload is an *envelope* around the tree; else it is the tree.

The plain case is one call of msgpack's packer. msgpack packs a bytearray or memoryview as if it were bytes, and
knows no threshold; both show in what it packed, by a header byte or by its length. Only then the value is walked.
Whatever msgpack refuses as a whole (nested deeper than 511, among others because it contains itself; surrogates
in strings) is pickled as a whole.

Decoding checks the frame of an envelope before anything is unpickled. A list of lists may claim as many items as the
payload has bytes, at each of 1,024 levels of depth; nothing else allocates beyond what has come.
"""

from __future__ import annotations

import pickle
import reprlib
import sys
from typing import TYPE_CHECKING, Any, Final

import msgpack
from msgpack import ExtType

from . import _natives
from ._blobs import MAX_BLOBS, Blob, Held, Payload, share
from ._faults import DecodeError, EncodeError, WireError
from ._natives import BUILDERS, READERS, TAG, TAGS, WRITERS, Tag
from ._pickling import dumps

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

    Content = bytes | bytearray | memoryview

__all__ = [
    "BYTES",
    "HELD_ABOVE",
    "SHARE_ABOVE",
    "Blob",
    "DecodeError",
    "EncodeError",
    "Held",
    "Payload",
    "WireError",
    "decode",
    "decode_arguments",
    "encode",
    "encode_arguments",
    "holds_bytes",
    "is_big",
]

BYTES: Final = frozenset({bytes, bytearray})
"""The types of what may be big."""
SHARE_ABOVE: Final = 1 << 17
"""Longest bytes that travel through the socket, unless told otherwise (inclusive)."""
HELD_ABOVE: Final = 1 << 14
"""The same where the connection has a ring for what is longer: picked by feel."""


def encode(
    value: object,
    *,
    share_above: int = SHARE_ABOVE,
    share: Callable[[Content], Blob | None] = share,
    name: str = "the value",
) -> Payload:
    """Encode a value.

    Args:
        value: Anything that msgpack, `_natives` or pickle know. It must not change meanwhile.
        share_above: Bytes, buffers and encoded parts longer than this go into blobs, up to `MAX_BLOBS` of them.
        share: Makes a blob; None where that is not possible.
        name: What an error calls the value.

    Raises:
        EncodeError: If a part of it cannot be pickled; it says which.

    Threads: Any.
    """
    big = type(value) in BYTES and is_big(value, share_above)
    return _encode(value, share_above, share, big, False, name)


def encode_arguments(
    args: tuple[object, ...],
    kwargs: dict[str, object],
    *,
    share_above: int = SHARE_ABOVE,
    share: Callable[[Content], Blob | None] = share,
) -> Payload:
    """Encode arguments for `decode_arguments`; an `EncodeError` tells the argument, such as `argument 2['lock']`.

    Positional arguments count from 0; an argument given by keyword is told by its name, `argument 'x'`.
    """
    big = False
    for value in args:
        if type(value) in BYTES and is_big(value, share_above):
            big = True
    # One list, and no tuple, which msgpack would ask us about.
    return _encode([*args, kwargs], share_above, share, big, True, "the arguments")


def decode_arguments(payload: Payload) -> tuple[tuple[Any, ...], dict[str, Any]]:
    """Return what `encode_arguments` was given; as `decode`."""
    values = decode(payload)
    if type(values) is not list or not values or type(values[-1]) is not dict:
        raise WireError("a payload holds no arguments")
    kwargs = values.pop()
    return tuple(values), kwargs


def decode(payload: Payload) -> Any:
    """Decode a value. Runs pickle: only for what comes from processes of our own.

    Raises:
        WireError: If the payload is malformed.
        DecodeError: If an object in it cannot be unpickled here, for example because its module is missing.

    Threads: Any.
    """
    data = payload.data
    if data.startswith(_ENVELOPE):
        return _open_envelope(payload)
    try:
        return _unpackb(data, ext_hook=_ext_hook, list_hook=_list_hook, strict_map_key=False)
    except WireError:
        raise
    except Exception as error:
        # msgpack's errors have no common base; a garbled value may fail in the constructor of any type.
        raise _malformed(error) from error


def _malformed(error: Exception) -> WireError:
    return WireError(f"a value is malformed: {f'{type(error).__name__}: {error}'[:200]}")


def is_big(value: Any, share_above: int) -> bool:
    """Whether the value is to be replaced by a reference at once, rather than after it was packed for nothing.

    On the path of every value, whoever asks looks first whether it is of one of the types of `BYTES`.
    """
    return type(value) in BYTES and len(value) > share_above


def _encode(
    value: Any,
    share_above: int,
    share: Callable[[Content], Blob | None],
    big: bool,
    arguments: bool,
    name: str,
) -> Payload:
    try:
        encoder = _idle.pop()
    except IndexError:
        encoder = _Encoder()
    try:
        payload = encoder.encode(value, share_above, share, big)
    except Exception as error:
        # Pickling runs methods of the user's classes, which raise what they like.
        encoder.reset()
        path, cause = _culprits(value, name, arguments) or (name, error)
        raise EncodeError(
            f"{path} cannot be sent to another process: {_reason(cause)}", path=path, cause=cause
        ) from cause
    if encoder.packed <= _KEPT_BYTES and len(_idle) < _KEPT_ENCODERS:
        _idle.append(encoder)
    return payload


def _reason(error: Exception) -> str:
    return f"{type(error).__name__}: {error}"


class _Encoder:
    """A packer and what belongs to the value in its hands; for one value at a time."""

    __slots__ = ("_blobs", "_objects", "_pack", "_share", "_share_above", "packed")

    def __init__(self) -> None:
        self.packed: int = 0
        """How long the last value was when it was packed."""
        self._pack = msgpack.Packer(default=self._default, strict_types=True).pack
        self._objects: list[object] = []
        self._blobs: list[Blob] = []
        self._share_above = 0
        self._share: Callable[[Content], Blob | None] = share

    def reset(self) -> None:
        if self._objects:
            self._objects.clear()
        if self._blobs:
            self._blobs.clear()

    def encode(
        self, value: object, share_above: int, share: Callable[[Content], Blob | None], big: bool
    ) -> Payload:
        self._share_above = share_above
        self._share = share
        try:
            tree = self._pack(self._replaced(value) if big else value)
            # The headers of binaries; where none of these bytes is, there is none.
            binary = len(tree) > share_above or 0xC4 in tree or 0xC5 in tree or 0xC6 in tree
            if binary and not big and holds_bytes(value, share_above):
                self.reset()
                tree = self._pack(self._replaced(value))
        except Exception:
            self.reset()
            tree = self._pack(self._object(value))
        self.packed = len(tree)
        if not self._objects and not self._blobs and len(tree) <= share_above:
            return Payload(tree)
        payload = self._envelope(tree)
        self.reset()
        return payload

    def _default(self, value: object) -> object:
        kind = type(value)
        if kind is tuple:
            return [_TUPLE, *value]  # type: ignore[misc]
        writer = WRITERS.get(kind)
        if writer is not None:
            packed = writer(value)
        elif _natives.is_numpy(kind):
            packed = _natives.write_numpy(value, self._buffer)
        else:
            packed = None
        return self._object(value) if packed is None else packed

    def _object(self, value: object) -> ExtType:
        self._objects.append(value)
        return _reference(_natives.PICKLED, len(self._objects) - 1)

    def _shared(self, content: Content) -> int | None:
        """The number of the blob that holds this; None if it has to go inline."""
        if len(content) <= self._share_above or len(self._blobs) >= MAX_BLOBS:
            return None
        blob = self._share(content)
        if blob is None:
            return None
        self._blobs.append(blob)
        return len(self._blobs) - 1

    def _buffer(self, content: memoryview) -> object:
        at = self._shared(content)
        return bytes(content) if at is None else _reference(_natives.BLOB_MAP, at)

    def _replaced(self, value: Any) -> object:
        """The value with what msgpack would not pack as it is meant replaced by what it would."""
        kind = type(value)
        if kind is bytes or kind is bytearray:
            at = self._shared(value)
            # Any other way to say "bytes" would have msgpack call the array's own buffer bytes as well.
            content = bytes(value) if at is None else _reference(_natives.BLOB_BYTES, at)
            return content if kind is bytes else [TAG[_natives.BYTEARRAY], content]
        if kind is list:
            return [self._replaced(item) for item in value]
        if kind is tuple:
            return tuple([self._replaced(item) for item in value])
        if kind is dict:
            _refuse_views(value)
            return {key: self._replaced(item) for key, item in value.items()}
        if kind is set or kind is frozenset:
            _refuse_views(value)
        elif kind is memoryview:
            return self._object(value)
        return value

    def _envelope(self, tree: bytes) -> Payload:
        pickled: object = None
        buffers: list[object] = []
        if self._objects:
            data, raw = dumps(self._objects, self._share_above)
            pickled = self._part(data)
            buffers = [self._part(buffer.raw()) for buffer in raw]
        parts = [TAG[_natives.ENVELOPE], self._part(tree), pickled, buffers]
        envelope: bytes = msgpack.packb(parts)
        return Payload(envelope, tuple(self._blobs))

    def _part(self, content: bytes | memoryview) -> object:
        at = self._shared(content)
        return content if at is None else at


def _reference(code: int, at: int) -> ExtType:
    return ExtType(code, at.to_bytes(4, "big"))


def holds_bytes(value: object, above: int) -> bool:
    """Whether there is a bytearray, a memoryview, or bytes longer than this."""
    pending = [value]
    while pending:
        item: Any = pending.pop()
        kind = type(item)
        if kind is dict:
            children = [*item, *item.values()]
        elif kind in _SEQUENCES:
            children = item
        elif kind is bytes:
            if len(item) > above:
                return True
            continue
        elif kind is bytearray or kind is memoryview:
            return True
        else:
            continue
        if not _SCALARS.issuperset(map(type, children)):
            pending.extend(children)
    return False


def _refuse_views(keys: Any) -> None:
    """Of what msgpack packs as bytes, only a memoryview can be in a key or a set; it cannot be replaced there."""
    if holds_bytes([*keys], sys.maxsize):
        raise TypeError("a memoryview is no key")


def _culprits(value: Any, name: str, arguments: bool) -> tuple[str, Exception] | None:
    if not arguments:
        return _culprit(value, name, set())
    *args, kwargs = value
    found = (
        _culprit(argument, f"argument {at!r}", set()) for at, argument in [*enumerate(args), *kwargs.items()]
    )
    return next(filter(None, found), None)


def _culprit(value: Any, path: str, above: set[int]) -> tuple[str, Exception] | None:
    """The first part of a value that cannot be pickled, and why. For values that have been refused: it is slow."""
    kind = type(value)
    if kind in _PACKED or id(value) in above:
        return None
    try:
        if kind is dict or kind in _SEQUENCES:
            above = {*above, id(value)}
            found = (_culprit(part, place, above) for part, place in _parts(value, path))
            return next(filter(None, found), None)
        dumps([value], sys.maxsize)
    except Exception as error:
        return path, error
    return None


def _parts(value: Any, path: str) -> Iterator[tuple[object, str]]:
    if type(value) is dict:
        for key, item in value.items():
            yield key, f"{path} key {reprlib.repr(key)}"
            yield item, f"{path}[{reprlib.repr(key)}]"
    elif type(value) is list or type(value) is tuple:
        for at, item in enumerate(value):
            yield item, f"{path}[{at}]"
    else:
        for item in value:
            yield item, f"{path} item {reprlib.repr(item)}"


def _ext_hook(code: int, data: bytes) -> object:
    """What an extension stands for outside of envelopes."""
    tag = TAGS.get(code)
    if tag is not None:
        if data:
            raise WireError(f"a value has a tag (extension {code}) with content")
        return tag
    reader = READERS.get(code)
    if reader is not None:
        return reader(data)
    if code in _RESERVED:
        raise WireError(f"a value has the unknown extension {code}")
    # Somebody sends msgpack's own type.
    return ExtType(code, data)


def _list_hook(items: list[Any]) -> Any:
    if items:
        tag = items[0]
        if tag is _TUPLE_TAG:
            del items[0]
            return tuple(items)
        if type(tag) is Tag:
            return BUILDERS[tag.code](items)
    return items


def _open_envelope(payload: Payload) -> object:
    blobs = payload.blobs
    try:
        parts = _unpackb(payload.data, max_map_len=0, max_array_len=_MAX_BUFFERS, max_ext_len=0)
    except Exception as error:
        raise _malformed(error) from error
    if len(parts) != 4 or type(parts[3]) is not list:
        raise WireError("an envelope has other parts than tree, pickle and buffers")
    _, tree, pickled, buffers = parts
    # Everything is checked before anything is unpickled.
    tree = _content(tree, blobs)
    buffers = [_content(part, blobs, writable=True) for part in buffers]
    objects: Any = ()
    if pickled is not None:
        pickled = _content(pickled, blobs)
        try:
            objects = pickle.loads(pickled, buffers=buffers)
        except Exception as error:
            # Unpickling imports modules and runs constructors; any may fail in its own way.
            raise DecodeError(f"a value cannot be unpickled here: {_reason(error)}") from error

    def ext_hook(code: int, data: bytes) -> object:
        if code == _natives.PICKLED:
            return objects[int.from_bytes(data, "big")]
        if code == _natives.BLOB_BYTES:
            return blobs[int.from_bytes(data, "big")].read()
        if code == _natives.BLOB_MAP:
            return blobs[int.from_bytes(data, "big")].map()
        return _ext_hook(code, data)

    try:
        return _unpackb(tree, ext_hook=ext_hook, list_hook=_list_hook, strict_map_key=False)
    except WireError:
        raise
    except Exception as error:
        # As in `decode`; an object that has come may also refuse to be hashed.
        raise _malformed(error) from error


def _content(part: object, blobs: tuple[Blob, ...], *, writable: bool = False) -> Any:
    if type(part) is bytes:
        return bytearray(part) if writable else part
    if type(part) is not int or not 0 <= part < len(blobs):
        raise WireError("an envelope refers to a blob that it does not have")
    return blobs[part].map() if writable else blobs[part].view()


_unpackb: Final = msgpack.unpackb
_TUPLE: Final = TAG[_natives.TUPLE]
_TUPLE_TAG: Final = TAGS[_natives.TUPLE]
_RESERVED: Final = range(100, 128)
_MAX_BUFFERS: Final = 1 << 16
# An array of four that begins with the tag.
_ENVELOPE: Final = b"\x94" + msgpack.packb(TAG[_natives.ENVELOPE])

_SEQUENCES: Final = frozenset({list, tuple, set, frozenset})
_SCALARS: Final = frozenset({str, int, float, bool, type(None)})
_PACKED: Final = _SCALARS | {bytes, bytearray}

# Encoders are kept for the next value, but not those whose buffers have grown. Both numbers were picked by feel.
_idle: list[_Encoder] = []
_KEPT_BYTES: Final = 1 << 16
_KEPT_ENCODERS: Final = 16

# SPDX-License-Identifier: Apache-2.0
"""Many small values in one payload, each packed on its own: a *batch*, which is decoded in one go.

Plain values only: what msgpack and `_natives` know, without objects to pickle, buffers or much else of size. Reading
one runs no code of anybody's, so that the values of a batch cannot stand in each other's way. What is not plain
travels alone, as `_codec` encodes it.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, Final

import msgpack
from msgpack import ExtType

from ._blobs import Payload
from ._codec import BYTES, decode, holds_bytes, is_big
from ._faults import WireError
from ._natives import TAG, TUPLE, WRITERS

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence

__all__ = ["LARGEST", "batch", "batch_of", "pack_arguments", "pack_plain", "values_of"]

LARGEST: Final = 4_096
"""Longest packed value that is put into a batch, in bytes (inclusive)."""


def pack_plain(value: object) -> bytes | None:
    """Pack `value` for a batch; return None if it has to travel alone. Threads: any."""
    if type(value) in BYTES and is_big(value, LARGEST):
        return None
    try:
        packer = _idle.pop()
    except IndexError:
        packer = msgpack.Packer(default=_default, strict_types=True)
    try:
        packed: bytes = packer.pack(value)
    except Exception:
        # Not plain, or what msgpack refuses, such as what is nested too deep.
        return None
    _idle.append(packer)
    if len(packed) > LARGEST:
        return None
    # The headers of binaries; where none of these bytes is, there is none.
    if (0xC4 in packed or 0xC5 in packed) and holds_bytes(value, LARGEST):
        return None
    return packed


def pack_arguments(args: tuple[object, ...], kwargs: dict[str, object]) -> bytes | None:
    """Pack arguments for a batch, as `_codec.encode_arguments` has them; as `pack_plain`."""
    for value in args:
        if type(value) in BYTES and is_big(value, LARGEST):
            return None
    return pack_plain([*args, kwargs])


def batch(packed: Sequence[bytes]) -> Payload:
    """Return the payload that `values_of` reads."""
    return Payload(b"".join((_ARRAY, len(packed).to_bytes(4, "big"), *packed)))


def batch_of(packed: bytes) -> Payload:
    """Return the payload that `values_of` reads, of values that are joined already.

    Raises:
        WireError: If that is not what they are.
    """
    unpacker = msgpack.Unpacker(max_buffer_size=max(1, len(packed)))
    unpacker.feed(packed)
    count = 0
    try:
        while unpacker.tell() < len(packed):
            unpacker.skip()
            count += 1
    except Exception as error:
        raise _malformed(error) from None
    return Payload(b"".join((_ARRAY, count.to_bytes(4, "big"), packed)))


def values_of(payload: Payload) -> list[Any]:
    """Return the values of a batch; in place of one that cannot be read here the `WireError` that says why.

    Raises:
        WireError: If it is no batch.
    """
    if payload.blobs or not payload.data.startswith(_ARRAY):
        raise WireError("a payload holds no batch")
    try:
        values: list[Any] = decode(payload)
    except WireError:
        return list(_one_by_one(payload.data))
    return values


def _one_by_one(data: bytes) -> Iterator[Any]:
    unpacker = msgpack.Unpacker(max_buffer_size=len(data))
    unpacker.feed(data)
    try:
        count, begin = unpacker.read_array_header(), unpacker.tell()
        for _ in range(count):
            unpacker.skip()
            end = unpacker.tell()
            try:
                yield decode(Payload(data[begin:end]))
            except WireError as error:
                yield error
            begin = end
    except Exception as error:
        raise _malformed(error) from None
    if begin != len(data):
        raise WireError(f"a batch has {len(data) - begin} bytes more than values")


def _malformed(error: Exception) -> WireError:
    return WireError(f"a batch is malformed: {f'{type(error).__name__}: {error}'[:200]}")


class _NotPlainError(Exception):
    pass


def _default(value: Any) -> object:
    kind = type(value)
    if kind is tuple:
        return [_TUPLE, *value]
    writer = WRITERS.get(kind)
    packed = None if writer is None else writer(value)
    if packed is None:
        raise _NotPlainError
    return packed


_TUPLE: Final[ExtType] = TAG[TUPLE]
# The header of an array whose length has four bytes.
_ARRAY: Final = b"\xdd"
_idle: list[msgpack.Packer] = []

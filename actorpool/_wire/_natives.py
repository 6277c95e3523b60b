# SPDX-License-Identifier: Apache-2.0
"""The extension types of the wire: what the standard library and numpy commonly send, without pickle.

Two forms. A *scalar* is a msgpack extension with its content as payload. A *tagged array* is a msgpack array whose
first item is an extension without payload, the tag; so tuples and sets are packed and read in one pass with their
items, and nested as deep as msgpack itself allows. Here is how each type is written and read; `_codec` applies it.

Only exact types: a subclass may hold more than its base. numpy is never imported to send something, only to receive
an array or a scalar of it.
"""

from __future__ import annotations

import importlib
import struct
import sys
from datetime import date, datetime, time, timedelta, timezone, tzinfo
from decimal import Decimal
from typing import TYPE_CHECKING, Any, Final
from uuid import UUID, SafeUUID
from zoneinfo import ZoneInfo

from msgpack import ExtType

from ._faults import WireError

if TYPE_CHECKING:
    from collections.abc import Callable

__all__ = ["BUILDERS", "READERS", "TAG", "TAGS", "WRITERS", "Tag", "is_numpy", "write_numpy"]

# Tags.
TUPLE: Final = 100
SET: Final = 101
FROZENSET: Final = 102
BYTEARRAY: Final = 103
NDARRAY: Final = 104
NUMPY_SCALAR: Final = 105
ENVELOPE: Final = 106

# References, which only an envelope gives a meaning: four bytes, big-endian.
PICKLED: Final = 110
BLOB_BYTES: Final = 111
BLOB_MAP: Final = 112

# Scalars.
INT: Final = 115
COMPLEX: Final = 116
DECIMAL: Final = 117
DATETIME: Final = 118
DATE: Final = 119
TIME: Final = 120
TIMEDELTA: Final = 121
UUID_: Final = 122


class Tag:
    """The first item of a tagged array, while it is read."""

    __slots__ = ("code",)

    def __init__(self, code: int) -> None:
        self.code = code

    # A tag has no business in a key or a set.
    __hash__ = None  # type: ignore[assignment]


TAGS: Final = {code: Tag(code) for code in (TUPLE, SET, FROZENSET, BYTEARRAY, NDARRAY, NUMPY_SCALAR)}
TAG: Final = {code: ExtType(code, b"") for code in (*TAGS, ENVELOPE)}

_COMPLEX: Final = struct.Struct(">dd")
_DATE: Final = struct.Struct(">HBB")
_TIME: Final = struct.Struct(">BBBIB")
_TIMEDELTA: Final = struct.Struct(">iII")
_OFFSET: Final = struct.Struct(">q")
_MICROSECOND: Final = timedelta(microseconds=1)


def _write_int(value: int) -> ExtType:
    return ExtType(INT, value.to_bytes(value.bit_length() // 8 + 1, "big", signed=True))


def _read_int(data: bytes) -> int:
    return int.from_bytes(data, "big", signed=True)


def _write_complex(value: complex) -> ExtType:
    return ExtType(COMPLEX, _COMPLEX.pack(value.real, value.imag))


def _read_complex(data: bytes) -> complex:
    return complex(*_COMPLEX.unpack(data))


def _write_decimal(value: Decimal) -> ExtType:
    return ExtType(DECIMAL, str(value).encode("ascii"))


def _read_decimal(data: bytes) -> Decimal:
    return Decimal(data.decode("ascii"))


def _write_zone(zone: tzinfo | None) -> bytes | None:
    """A time zone of the standard library's; None for any other, which is to be pickled."""
    if zone is None:
        return b""
    if type(zone) is timezone:
        offset, *name = zone.__getinitargs__()  # type: ignore[attr-defined]
        kind = b"n" if name else b"o"
        return kind + _OFFSET.pack(offset // _MICROSECOND) + "".join(name).encode()
    # A zone that was read from a file may have a key, and yet be another one than its namesake.
    if type(zone) is ZoneInfo and zone.key and ZoneInfo(zone.key) is zone:
        return b"z" + zone.key.encode()
    return None


def _read_zone(data: bytes) -> tzinfo | None:
    if not data:
        return None
    if data[:1] == b"z":
        return ZoneInfo(data[1:].decode())
    offset = _OFFSET.unpack_from(data, 1)[0] * _MICROSECOND
    return timezone(offset, data[9:].decode()) if data[:1] == b"n" else timezone(offset)


def _time_of(value: datetime | time) -> bytes:
    return _TIME.pack(value.hour, value.minute, value.second, value.microsecond, value.fold)


def _write_datetime(value: datetime) -> ExtType | None:
    zone = _write_zone(value.tzinfo)
    if zone is None:
        return None
    return ExtType(DATETIME, _DATE.pack(value.year, value.month, value.day) + _time_of(value) + zone)


def _read_datetime(data: bytes) -> datetime:
    year, month, day = _DATE.unpack_from(data)
    hour, minute, second, microsecond, fold = _TIME.unpack_from(data, _DATE.size)
    zone = _read_zone(data[_DATE.size + _TIME.size :])
    return datetime(year, month, day, hour, minute, second, microsecond, zone, fold=fold)


def _write_date(value: date) -> ExtType:
    return ExtType(DATE, _DATE.pack(value.year, value.month, value.day))


def _read_date(data: bytes) -> date:
    return date(*_DATE.unpack(data))


def _write_time(value: time) -> ExtType | None:
    zone = _write_zone(value.tzinfo)
    return None if zone is None else ExtType(TIME, _time_of(value) + zone)


def _read_time(data: bytes) -> time:
    hour, minute, second, microsecond, fold = _TIME.unpack_from(data)
    return time(hour, minute, second, microsecond, _read_zone(data[_TIME.size :]), fold=fold)


def _write_timedelta(value: timedelta) -> ExtType:
    return ExtType(TIMEDELTA, _TIMEDELTA.pack(value.days, value.seconds, value.microseconds))


def _read_timedelta(data: bytes) -> timedelta:
    return timedelta(*_TIMEDELTA.unpack(data))


def _write_uuid(value: UUID) -> ExtType | None:
    # How safely it was made is no part of its value, but of its state.
    return ExtType(UUID_, value.bytes) if value.is_safe is SafeUUID.unknown else None


def _read_uuid(data: bytes) -> UUID:
    return UUID(bytes=data)


WRITERS: Final[dict[type, Callable[[Any], object]]] = {
    int: _write_int,
    complex: _write_complex,
    Decimal: _write_decimal,
    datetime: _write_datetime,
    date: _write_date,
    time: _write_time,
    timedelta: _write_timedelta,
    UUID: _write_uuid,
    set: lambda value: [TAG[SET], *value],
    frozenset: lambda value: [TAG[FROZENSET], *value],
}
"""What msgpack is given for a value of exactly this type; None if it has to be pickled."""

READERS: Final[dict[int, Callable[[bytes], object]]] = {
    INT: _read_int,
    COMPLEX: _read_complex,
    DECIMAL: _read_decimal,
    DATETIME: _read_datetime,
    DATE: _read_date,
    TIME: _read_time,
    TIMEDELTA: _read_timedelta,
    UUID_: _read_uuid,
}
"""From the payload of a scalar."""


def is_numpy(kind: type) -> bool:
    """Whether values of this type are worth a look at by `write_numpy`."""
    return "numpy" in sys.modules and kind.__module__ == "numpy"


def write_numpy(value: Any, data: Callable[[memoryview], object]) -> object:
    """An array or a scalar of numpy's as a tagged array; None for what has to be pickled.

    Args:
        value: Something of numpy's.
        data: Makes of the content of an array what stands for it in the tagged array.
    """
    numpy: Any = sys.modules["numpy"]  # which has types only where it is installed
    if not isinstance(value, numpy.ndarray | numpy.generic):
        return None
    dtype = value.dtype
    # Not: objects, records, and types of other libraries, whose names numpy does not know.
    if (
        dtype.kind not in "biufcmMSU"
        or not dtype.itemsize
        or dtype.metadata
        or numpy.dtype(dtype.str) != dtype
    ):
        return None
    if isinstance(value, numpy.generic):
        # A numpy string loses what looks like padding when it is read back.
        return None if dtype.kind in "SU" else [TAG[NUMPY_SCALAR], dtype.str, value.tobytes()]
    if type(value) is not numpy.ndarray:
        return None
    in_columns = value.flags.f_contiguous and not value.flags.c_contiguous
    flat = (value.T if in_columns else numpy.ascontiguousarray(value)).reshape(-1).view(numpy.uint8)
    flags = in_columns | (not value.flags.writeable) << 1
    return [TAG[NDARRAY], dtype.str, list(value.shape), int(flags), data(memoryview(flat))]


def _build_ndarray(items: list[Any]) -> object:
    numpy: Any = importlib.import_module("numpy")
    _, name, shape, flags, data = items
    dtype = numpy.dtype(name)
    # Without a buffer numpy would allocate whatever the shape says.
    if dtype.hasobject or not isinstance(data, bytes | memoryview):
        raise WireError("a numpy array is malformed")
    buffer = bytearray(data) if type(data) is bytes else data
    array: Any = numpy.ndarray(tuple(shape), dtype, buffer, order="F" if flags & 1 else "C")
    if flags & 2:
        array.flags.writeable = False
    return array


def _build_numpy_scalar(items: list[Any]) -> object:
    numpy: Any = importlib.import_module("numpy")
    _, name, data = items
    dtype = numpy.dtype(name)
    if dtype.hasobject or len(data) != dtype.itemsize:
        raise WireError("a numpy scalar is malformed")
    scalar: object = numpy.frombuffer(data, dtype)[0]
    return scalar


def _build_bytearray(items: list[Any]) -> bytearray:
    _, data = items
    if type(data) is not bytes:
        raise WireError("a bytearray is malformed")
    return bytearray(data)


BUILDERS: Final[dict[int, Callable[[list[Any]], object]]] = {
    SET: lambda items: set(items[1:]),
    FROZENSET: lambda items: frozenset(items[1:]),
    BYTEARRAY: _build_bytearray,
    NDARRAY: _build_ndarray,
    NUMPY_SCALAR: _build_numpy_scalar,
}
"""From all items of a tagged array, the tag included."""

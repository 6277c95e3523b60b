# SPDX-License-Identifier: Apache-2.0
"""The file of a recording: msgpack objects, one after the other, version 1.

1. `{"format": "actorpool-trace", "version": 1, "app": NAME, "began": UNIX_SECONDS}`
2. Any number of these, in any order but that a function is named before it is spoken of:

   * `["function", ID, NAME]`
   * `["inputs", ID, ARRIVALS, WAITS, SERVICES, CONTAINERS]`: equally long columns, one entry per input that has left
     its slot: when it came, how long it waited for a slot, how long it held it, the number of its container.
   * `["containers", ID, NUMBERS, ASKED, READY, ENDED]`: likewise, one entry per container: when its start was asked
     for, when it was ready (NaN if never), when it ended (NaN if it has not).
   * `["settings", ID, {NAME: VALUE}]`: the autoscaler's bounds, `max_inputs`, `target_inputs`, and `startup_s`, the
     mean start-up time as the pool estimates it. The last one counts.
3. `["end", DURATION, COUNTS]`: seconds, and how many inputs there are, by ID; without it the file is not whole.

Columns are binary: 64-bit floats, little-endian, seconds since the recording began. What began before it has an
instant below 0.
"""

from __future__ import annotations

import math
import sys
from array import array
from collections.abc import Iterator
from os import PathLike, fspath
from typing import Any, Final, NoReturn

import msgpack
from attrs import define, field

from actorpool.exception import TraceError

__all__ = ["FORMAT", "VERSION", "Columns", "FunctionRecords", "Records", "column", "read_records", "refusal"]

FORMAT: Final = "actorpool-trace"
VERSION: Final = 1

_CHUNK_BYTES: Final = 1 << 20


def column(values: object) -> bytes:
    """Return a column as it stands in the file."""
    if not isinstance(values, array):
        raise TypeError(f"a recording holds no {type(values).__name__}")
    if sys.byteorder == "big":
        values = values[:]
        values.byteswap()
    return values.tobytes()


def _floats(data: object, reader: _Reader) -> array[float]:
    if not isinstance(data, bytes) or len(data) % 8:
        reader.refuse("a column of it is not one of 64-bit floats")
    values = array("d", data)
    if sys.byteorder == "big":
        values.byteswap()
    return values


class Columns:
    """Rows of four numbers, kept as columns."""

    __slots__ = ("parts",)

    def __init__(self) -> None:
        self.parts: tuple[array[float], array[float], array[float], array[float]] = (
            array("d"),
            array("d"),
            array("d"),
            array("d"),
        )

    def __len__(self) -> int:
        return len(self.parts[0])

    def __iter__(self) -> Iterator[tuple[float, float, float, float]]:
        return zip(*self.parts, strict=True)

    def add(self, first: float, second: float, third: float, fourth: float) -> None:
        """Add a row."""
        a, b, c, d = self.parts
        a.append(first)
        b.append(second)
        c.append(third)
        d.append(fourth)

    def extend(self, others: list[array[float]]) -> None:
        """Add rows."""
        for part, other in zip(self.parts, others, strict=True):
            part.extend(other)


@define
class FunctionRecords:
    """What was recorded of one pool."""

    name: str
    inputs: Columns = field(factory=Columns)
    """Arrival, wait, service, container number."""
    containers: Columns = field(factory=Columns)
    """Number, asked, ready, ended."""
    # Any: numbers, and None for no bound.
    settings: dict[str, Any] = field(factory=dict)


@define
class Records:
    """What a file holds."""

    path: str
    app: str
    began: float
    duration_s: float = 0.0
    functions: dict[int, FunctionRecords] = field(factory=dict)


def read_records(path: str | PathLike[str]) -> Records:
    """Read a file.

    Raises:
        TraceError: If it is not a recording, or not a whole one, or one of a later version.
        OSError: If it cannot be read.
    """
    return _Reader(fspath(path)).read()


def refusal(path: str, why: str) -> TraceError:
    """Return the error that says why a file is no recording."""
    message = f"'{path}' is no whole recording of actorpool: {why}; record it anew with `actorpool record`"
    return TraceError(message, path=path)


class _Reader:
    def __init__(self, path: str) -> None:
        self._path = path

    def refuse(self, why: str) -> NoReturn:
        raise refusal(self._path, why)

    def read(self) -> Records:
        objects = self._objects()
        records = self._header(next(objects, None))
        for item in objects:
            if not isinstance(item, list) or not item or not isinstance(item[0], str):
                self.refuse("it holds something else")
            try:
                ended = self._take(records, item)
            except (TypeError, ValueError, KeyError, IndexError) as error:
                self.refuse(f"one of its '{item[0]}' records is damaged ({type(error).__name__})")
            if ended:
                if next(objects, None) is not None:
                    self.refuse("something follows its end")
                return records
        self.refuse("its end is missing, perhaps the program was killed while it was recorded")

    def _objects(self) -> Iterator[Any]:
        unpacker = msgpack.Unpacker(raw=False, strict_map_key=False, max_buffer_size=0)
        with open(self._path, "rb") as file:
            while chunk := file.read(_CHUNK_BYTES):
                unpacker.feed(chunk)
                try:
                    yield from unpacker
                except (TypeError, ValueError, msgpack.UnpackException) as error:
                    self.refuse(f"it is not msgpack ({type(error).__name__})")

    def _header(self, header: object) -> Records:
        if not isinstance(header, dict) or header.get("format") != FORMAT:
            self.refuse("it does not begin like one")
        version = header.get("version")
        if version != VERSION:
            self.refuse(f"its version is {version!r}, and this actorpool reads version {VERSION}")
        app, began = header.get("app"), header.get("began")
        if not isinstance(app, str) or not isinstance(began, float):
            self.refuse("its header is damaged")
        return Records(self._path, app, began)

    def _take(self, records: Records, item: list[Any]) -> bool:
        """Add what `item` says; return whether it is the end."""
        match item:
            case ["function", int() as identity, str() as name]:
                records.functions[identity] = FunctionRecords(name)
            case ["inputs", int() as identity, *parts]:
                records.functions[identity].inputs.extend(self._rows(parts))
            case ["containers", int() as identity, *parts]:
                records.functions[identity].containers.extend(self._rows(parts))
            case ["settings", int() as identity, dict() as settings]:
                records.functions[identity].settings = settings
            case ["end", float() as duration, dict() as counts]:
                records.duration_s = duration
                found = {identity: len(function.inputs) for identity, function in records.functions.items()}
                if not 0 <= duration < math.inf or found != counts:
                    self.refuse("it holds another number of inputs than its end says")
                return True
            case _:
                self.refuse(f"a '{item[0]}' record of it is not of version {VERSION}")
        return False

    def _rows(self, parts: list[object]) -> list[array[float]]:
        rows = [_floats(part, self) for part in parts]
        if len(rows) != 4 or len({len(row) for row in rows}) != 1:
            self.refuse("its columns are of different lengths")
        return rows

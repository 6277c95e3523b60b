# SPDX-License-Identifier: Apache-2.0
"""What the tests of the wire send: strategies for values, one message of each kind, connected sockets."""

from __future__ import annotations

import datetime as dt
import socket
from collections.abc import Callable
from zoneinfo import ZoneInfo

import numpy as np
from hypothesis import strategies as st

from actorpool._wire._batches import batch
from actorpool._wire._blobs import Payload
from actorpool._wire._connection import Connection
from actorpool._wire._messages import (
    VERSION,
    Answer,
    Ask,
    Call,
    Cancel,
    CloseStream,
    Credit,
    Ended,
    Ends,
    Item,
    Memory,
    Message,
    Output,
    Ready,
    Record,
    Ring,
    Run,
    Runs,
    Start,
    StartFailed,
    Stop,
    Stopped,
    Withdraw,
    Withdrawn,
)

MESSAGES: tuple[Message, ...] = (
    Start(VERSION, "f/1", Payload(b"code"), 4, 5.0, 0.1, Payload(b"ids"), Payload(b"levels")),
    Start(VERSION, "f/2", Payload(b""), 1, 0.0, None, Payload(b"ids"), Payload(b"levels")),
    Run(1, 0, Payload(b"arguments"), Payload(b"context"), "fc-1", 0, 1, 10),
    Run((1 << 64) - 1, 7, Payload(b"arguments"), None, "fc-2", 3, 2, None),
    Runs(5, 0, batch([b"\x01", b"\x02"]), Payload(b"context"), "fc-1", 0, 1),
    Runs(7, 0, batch([]), None, "fc-2", 3, 2),
    Cancel(1),
    Credit(1, 100),
    CloseStream(1),
    Stop(2.5),
    Answer(3, 4, Payload(b"value")),
    Ready(VERSION, 4711),
    StartFailed(Payload(b"error")),
    Ended(1, 5, Payload(b"error")),
    Ends(batch([b"\x01", b"\xc0", b"\x02", b"\xc2"])),
    Memory(Payload(b"")),
    Item(1, Payload(b"item")),
    Output(2, "a line, with bytes that are no text: \udcff"),
    Record(Payload(b"record")),
    Call(1, 2, 3, 1, "fc-1", 0, Payload(b"arguments"), Payload(b"context"), 1024),
    Call(2, None, 3, 3, "fc-2", 7, Payload(b"arguments"), None, None),
    Ask(4, "bind", Payload(b"value")),
    Stopped(),
    Withdraw(number=3),
    Withdrawn(number=2),
)

# With that which is between connections alone.
ALL_MESSAGES: tuple[Message, ...] = (*MESSAGES, Ring(Payload(b"")))

_ZONES = st.one_of(
    st.none(),
    st.just(dt.UTC),
    st.builds(dt.timezone, st.timedeltas(dt.timedelta(hours=-23), dt.timedelta(hours=23))),
    st.builds(dt.timezone, st.timedeltas(dt.timedelta(hours=-9), dt.timedelta(hours=9)), st.text(max_size=5)),
    st.sampled_from([ZoneInfo("Europe/Berlin"), ZoneInfo("America/New_York")]),
)

KEYS = st.one_of(
    st.none(),
    st.booleans(),
    st.integers(),
    st.floats(allow_nan=False),
    st.text(st.characters()),
    st.binary(),
    st.complex_numbers(allow_nan=False),
    st.decimals(allow_nan=False),
    st.dates(),
    st.datetimes(timezones=_ZONES, allow_imaginary=True),
    st.times(timezones=_ZONES),
    st.timedeltas(),
    st.uuids(),
    st.just(...),
    st.builds(range, st.integers(-9, 9)),
)

_HASHABLE = st.recursive(
    KEYS,
    lambda inner: st.one_of(
        st.lists(inner, max_size=3).map(tuple), st.frozensets(inner, max_size=3), st.tuples(inner, inner)
    ),
    max_leaves=4,
)

VALUES = st.recursive(
    st.one_of(KEYS, st.binary().map(bytearray), st.binary(min_size=40, max_size=80)),
    lambda inner: st.one_of(
        st.lists(inner, max_size=4),
        st.lists(inner, max_size=4).map(tuple),
        st.dictionaries(_HASHABLE, inner, max_size=4),
        st.sets(_HASHABLE, max_size=4),
        st.frozensets(_HASHABLE, max_size=4),
    ),
    max_leaves=12,
)

ARRAYS = st.builds(
    lambda kind, shape, in_columns: np.asarray(
        (np.arange(int(np.prod(shape))) % 100).astype(kind).reshape(shape), order="F" if in_columns else "C"
    ),
    st.sampled_from(
        ["?", "<i1", ">i4", "<u8", "<f2", ">f8", "<c16", "<M8[ns]", "<m8[s]", "S3", "<U5", "O", "i4,f8"]
    ),
    st.lists(st.integers(0, 4), max_size=3).map(tuple),
    st.booleans(),
)


def connected(
    wake: Callable[[], object] = lambda: None, *, max_frame: int = 1 << 20
) -> tuple[Connection, Connection]:
    """Two ends; `wake` is that of the first."""
    here, there = socket_pair()
    return Connection(here, wake, max_frame=max_frame), Connection(there, lambda: None, max_frame=max_frame)


def socket_pair() -> tuple[socket.socket, socket.socket]:
    here, there = socket.socketpair()
    here.setblocking(False)
    there.setblocking(False)
    return here, there


def exactly(value: object) -> object:
    """A value in which types, order of dicts and signs show, so that comparing is strict."""
    kind = type(value)
    if isinstance(value, dict):
        return kind, [(exactly(key), exactly(item)) for key, item in value.items()]
    if isinstance(value, list | tuple):
        return kind, [exactly(item) for item in value]
    if isinstance(value, set | frozenset):
        return kind, sorted(repr(exactly(item)) for item in value)
    if isinstance(value, dt.datetime | dt.time):
        return kind, repr(value), value.fold
    if isinstance(value, np.ndarray):
        return (
            kind,
            value.dtype.str,
            value.shape,
            value.flags.f_contiguous,
            value.flags.writeable,
            value.tolist(),
        )
    return kind, repr(value)

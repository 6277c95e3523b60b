# SPDX-License-Identifier: Apache-2.0
"""The ring of a connection: what is too long for a frame goes through memory that both ends share."""

from __future__ import annotations

import random
from collections.abc import Iterator
from typing import Any

import msgpack
import numpy as np
import pytest

from actorpool._wire import _connection
from actorpool._wire._blobs import Blob, Held, Payload
from actorpool._wire._bodies import NoPlaceError, pack, unpack
from actorpool._wire._codec import decode, encode
from actorpool._wire._connection import Connection
from actorpool._wire._faults import WireError
from actorpool._wire._memory import Ring, RingReader
from actorpool._wire._messages import Item, Message
from actorpool._wire._messages import Ring as RingMessage
from tests.wire.values import connected

KIB = 1024


@pytest.fixture
def ends() -> Iterator[tuple[Connection, Connection]]:
    here, there = connected()
    yield here, there
    here.close()
    there.close()


def _ring(size: int) -> tuple[Ring, RingReader]:
    made = Ring.make(size)
    assert made is not None
    ring, memory = made
    return ring, RingReader(memory)


def _held(value: object) -> Payload:
    return encode(value, share_above=100, share=Held)


def _through(here: Connection, there: Connection, *payloads: Payload) -> list[Any]:
    for number, payload in enumerate(payloads):
        here.post(Item(number, payload))
    messages: list[Message] = []
    while not here.flush():
        messages += there.read()
    messages += there.read()
    return [decode(message.value) for message in messages if isinstance(message, Item)]


def test_what_was_put_in_is_taken_out_whatever_the_sizes() -> None:
    chance = random.Random(7)
    ring, reader = _ring(1_000)
    waiting: list[tuple[int, bytes]] = []
    put = 0
    for _ in range(5_000):
        content = chance.randbytes(chance.randrange(1, 600))
        place = ring.put(content)
        if place is not None:
            waiting.append((place, content))
            put += 1
        if place is None or chance.random() < 0.3:
            for place, content in waiting:
                assert content == reader.take(place, len(content))
            waiting.clear()
            reader.free()
    assert put > 2_000


def test_what_was_not_taken_is_not_overwritten() -> None:
    ring, reader = _ring(100)
    assert 0 == ring.put(b"a" * 60)
    assert ring.put(b"b" * 60) is None
    assert 60 == ring.put(b"c" * 40)
    assert ring.put(b"d") is None
    assert b"a" * 60 == reader.take(0, 60)
    reader.free()
    # Nothing goes across the end.
    assert 100 == ring.put(b"e" * 60)
    assert [b"c" * 40, b"e" * 60] == [reader.take(60, 40), reader.take(100, 60)]


def test_what_follows_alone_uses_the_same_memory() -> None:
    ring, reader = _ring(100)
    for turn in range(10):
        place = ring.put(b"x" * 70)
        assert 100 * turn == place
        reader.take(place, 70)
        reader.free()


def test_what_is_longer_than_the_ring_has_no_place() -> None:
    ring, _ = _ring(100)
    assert ring.put(b"x" * 101) is None
    assert 0 == ring.put(b"x" * 100)


def test_big_values_of_all_kinds_arrive(ends: tuple[Connection, Connection]) -> None:
    here, there = ends
    array = np.arange(1_000)
    value = [b"b" * 500, bytearray(b"c" * 500), "s" * 500, array, {"k": list(range(500))}]

    first, second = _through(here, there, _held(value), _held(value))

    for got in (first, second):
        assert value[:3] == got[:3]
        assert {"k": list(range(500))} == got[4]
        got[3][0] = 5  # its own, and may be written to
        assert array.tolist()[1:] == got[3].tolist()[1:]
        got[1][:1] = b"d"


def test_what_the_ring_has_no_room_for_goes_in_the_frame_or_as_a_memory_file(
    ends: tuple[Connection, Connection],
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(_connection, "_RING_BYTES", 300 * KIB)
    here, there = ends
    values = [bytes([x]) * size * KIB for x, size in enumerate((200, 90, 100, 200, 100, 5))]

    assert values == _through(here, there, *(_held(value) for value in values))


def test_without_memory_files_all_goes_in_the_frame(
    ends: tuple[Connection, Connection], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.delattr("os.memfd_create")
    here, there = ends
    values = [b"a" * 200 * KIB, b"b" * 20 * KIB]

    assert values == _through(here, there, *(_held(value) for value in values))


def test_no_place_is_looked_for_after_the_connection_was_closed(
    ends: tuple[Connection, Connection],
) -> None:
    here, _ = ends
    here.close()
    here.post(Item(1, _held(b"x" * 500)))
    assert 0 == here.pending_bytes


def test_a_message_whose_blobs_have_no_place_is_not_packed_without_one() -> None:
    with pytest.raises(NoPlaceError):
        pack(Item(1, _held(b"x" * 500)))


def _body(*forms: object) -> bytes:
    body: bytes = msgpack.packb([Item.KIND, 1, [b"", *forms]])
    return body


@pytest.mark.parametrize(
    ("form", "reason"),
    [
        ([0], "malformed"),
        ([0, 1, 2], "malformed"),
        ([0, -1], "malformed"),
        ([0, True], "malformed"),
        ("x", "malformed"),
        ([0, 101], "101 bytes are said to be at 0 of a ring of 100"),
        ([95, 6], "6 bytes are said to be at 95 of a ring of 100"),
    ],
    ids=repr,
)
def test_a_form_that_makes_no_sense_is_refused(form: object, reason: str) -> None:
    _, reader = _ring(100)
    with pytest.raises(WireError, match=reason):
        unpack(_body(form), (), reader)


def test_a_place_in_no_ring_is_refused() -> None:
    with pytest.raises(WireError, match="there is none"):
        unpack(_body([0, 1]))


@pytest.mark.parametrize("rings", [1, 2])
def test_a_second_ring_and_one_without_memory_are_refused(
    rings: int, ends: tuple[Connection, Connection]
) -> None:
    here, there = ends
    made = Ring.make(100)
    assert made is not None
    for _ in range(rings):
        here.post(RingMessage(made[1] if rings == 2 else Payload(b"")))
    here.flush()
    with pytest.raises(WireError, match="a second ring" if rings == 2 else "without its memory"):
        there.read()


def test_bytes_that_are_held_are_a_blob() -> None:
    held = Held(bytearray(b"content"))
    assert isinstance(held, Blob)
    copy = held.map()
    copy[0] = 0
    assert (b"content", b"content", 7) == (held.read(), bytes(held.view()), held.size)

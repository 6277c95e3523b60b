# SPDX-License-Identifier: Apache-2.0
"""Batches of small plain values, and the journal in which they outlive their process."""

from __future__ import annotations

import datetime as dt
from typing import Any

import msgpack
import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from actorpool._wire._batches import LARGEST, batch, batch_of, pack_plain, values_of
from actorpool._wire._blobs import Payload, share
from actorpool._wire._bodies import pack, unpack
from actorpool._wire._faults import WireError
from actorpool._wire._memory import Journal, JournalReader
from actorpool._wire._messages import Memory
from tests.wire.values import KEYS, exactly


@given(st.lists(st.one_of(KEYS, st.lists(KEYS), st.tuples(KEYS), st.dictionaries(st.integers(), KEYS))))
def test_plain_values_arrive_as_they_were(values: list[object]) -> None:
    plain = [(value, packed) for value in values if (packed := pack_plain(value)) is not None]

    assert exactly([value for value, _ in plain]) == exactly(
        values_of(batch([packed for _, packed in plain]))
    )


@pytest.mark.parametrize(
    "value",
    [
        object(),
        [1, {2: object()}],
        print,
        bytearray(b"x"),
        [memoryview(b"x")],
        b"x" * LARGEST,
        "x" * LARGEST,
        np.zeros(2),
        "\udcff",
    ],
    ids=lambda value: type(value).__name__,
)
def test_what_is_not_plain_or_not_small_travels_alone(value: object) -> None:
    assert pack_plain(value) is None


def test_a_value_that_cannot_be_read_stands_in_nobodys_way() -> None:
    bad = msgpack.packb(msgpack.ExtType(118, b"no date"))
    good = pack_plain(dt.date(2026, 1, 2))
    assert good is not None

    first, second, third = values_of(batch([good, bad, good]))

    assert [dt.date(2026, 1, 2)] * 2 == [first, third]
    assert isinstance(second, WireError)


@pytest.mark.parametrize(
    "payload",
    [
        Payload(b""),
        Payload(b"\x91\x01"),
        Payload(b"\xdd\x00\x00\x00\x02\x01"),
        Payload(b"\xdd\x00\x00\x00\x01\x01\x02"),
        Payload(b"\xdd\x00\x00\x00\x01\xc1"),
    ],
    ids=lambda payload: payload.data.hex(),
)
def test_what_is_no_batch_is_refused(payload: Payload) -> None:
    with pytest.raises(WireError):
        values_of(payload)


def test_joined_values_are_a_batch() -> None:
    assert [1, None, [2]] == values_of(batch_of(b"\x01\xc0\x91\x02"))
    assert [] == values_of(batch_of(b""))
    with pytest.raises(WireError):
        batch_of(b"\x92\x01")


def _journal(size: int) -> tuple[Journal, JournalReader]:
    made = Journal.make(size)
    assert made is not None
    journal, memory = made
    message: Any = unpack(*pack(Memory(memory)))
    return journal, JournalReader(message.journal)


def test_a_journal_holds_what_was_put_in_since_it_was_cleared() -> None:
    journal, reader = _journal(64)
    assert b"" == reader.read()
    assert journal.put(b"one")
    assert journal.put(b"two")
    assert b"onetwo" == reader.read()
    journal.clear()
    assert b"" == reader.read()
    assert journal.put(b"three")
    assert b"three" == reader.read()
    reader.close()
    assert b"" == reader.read()


def test_a_full_journal_takes_no_more() -> None:
    journal, reader = _journal(16)
    assert journal.put(b"12345678")
    assert not journal.put(b"9")
    assert b"12345678" == reader.read()


def test_a_journal_that_claims_more_than_there_is_is_refused() -> None:
    journal, reader = _journal(64)
    journal._memory[:8] = (57).to_bytes(8, "little")
    with pytest.raises(WireError, match="holds 57"):
        reader.read()


def test_memory_that_may_be_written_to_is_for_the_journal_alone() -> None:
    made = Journal.make(64)
    sealed = share(b"sealed")
    assert made is not None
    assert sealed is not None
    with pytest.raises(WireError, match="without its memory"):
        JournalReader(Payload(b"", (sealed,)))
    with pytest.raises(WireError, match="without its memory"):
        JournalReader(Payload(b""))

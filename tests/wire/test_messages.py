# SPDX-License-Identifier: Apache-2.0
"""A message arrives as it was sent; whatever is not a message is refused by name."""

from __future__ import annotations

from typing import Any

import msgpack
import pytest
from attrs import evolve

from actorpool._core._input import CANCELLED, FAILED, SUCCEEDED
from actorpool._wire import _bodies, _messages
from actorpool._wire._blobs import MAX_BLOBS, Blob, Payload, share
from actorpool._wire._bodies import pack, unpack
from actorpool._wire._faults import WireError
from actorpool._wire._memory import Journal
from actorpool._wire._messages import (
    Call,
    Cancel,
    Credit,
    Ended,
    Item,
    Memory,
    Message,
    Output,
    Ready,
    Run,
    Stop,
)
from tests.wire.values import ALL_MESSAGES


def _blob(content: bytes) -> Blob:
    blob = share(content)
    assert blob is not None
    return blob


@pytest.mark.parametrize("message", ALL_MESSAGES, ids=lambda message: type(message).__name__)
def test_a_message_arrives_as_it_was_sent(message: Message) -> None:
    body, blobs = pack(message)

    assert (message, ()) == (unpack(body), blobs)


def test_the_samples_are_of_all_kinds_and_each_kind_has_a_number_of_its_own() -> None:
    kinds = {type(message) for message in ALL_MESSAGES}

    assert len(kinds) == len({kind.KIND for kind in kinds}) == len(_bodies._LAYOUTS)


def test_the_final_states_are_those_of_an_input() -> None:
    assert {SUCCEEDED, FAILED, CANCELLED} == _messages.ENDED_STATES


def test_payloads_keep_their_blobs_apart() -> None:
    arguments = Payload(b"a", (_blob(b"one"), _blob(b"two!")))
    context = Payload(b"c", (_blob(b"three"),))
    sent = Run(1, 0, arguments, context, "fc-1", 0, 1, None)

    body, blobs = pack(sent)
    message = unpack(body, blobs)

    assert sent == message
    assert (*arguments.blobs, *context.blobs) == blobs


@pytest.mark.parametrize(
    ("body", "reason"),
    [
        (b"", "no msgpack"),
        (b"\x93\x01", "no msgpack"),
        (b"\xc1", "no msgpack"),
        (b"\x91\x28\x00", "no msgpack: ExtraData"),
        (b"\x91" * 2000, "no msgpack: StackError"),
        (b"\xdd\xff\xff\xff\xff", "no msgpack: ValueError"),
        (b"\xdb\xff\xff\xff\xff", "no msgpack: ValueError"),
        (b"\xdf\x00\x00\x00\x09", "no msgpack: ValueError"),
        (msgpack.packb(5), "no array"),
        (msgpack.packb([]), "no array"),
        (msgpack.packb([[1]]), "no array"),
        (msgpack.packb([True, 1]), "no array"),
        (msgpack.packb([99]), "unknown kind 99"),
        (msgpack.packb([-1]), "unknown kind -1"),
        (msgpack.packb([Cancel.KIND]), "other fields than a Cancel"),
        (msgpack.packb([Cancel.KIND, 1, 2]), "other fields than a Cancel"),
        (msgpack.packb([Cancel.KIND, "1"]), "other fields than a Cancel"),
        (msgpack.packb([Cancel.KIND, True]), "other fields than a Cancel"),
        (msgpack.packb([Cancel.KIND, {}]), "other fields than a Cancel"),
        (msgpack.packb([Cancel.KIND, -1]), "field 1 of a Cancel is -1"),
        (msgpack.packb([Credit.KIND, 1, -5]), "field 2 of a Credit is -5"),
        (msgpack.packb([Stop.KIND, float("nan")]), "field 1 of a Stop is nan"),
        (msgpack.packb([Ready.KIND, 3, 1]), "field 1 of a Ready is 3"),
        (msgpack.packb([Output.KIND, 3, "x"]), "field 1 of a Output is 3"),
        (msgpack.packb([Ended.KIND, 1, 7, b""]), "field 2 of a Ended is 7"),
        (msgpack.packb([Ended.KIND, 1, 4, [b""]]), "payload of a Ended is malformed"),
        (msgpack.packb([Ended.KIND, 1, 4, ["", 1]]), "payload of a Ended is malformed"),
        (msgpack.packb([Ended.KIND, 1, 4, [b"", 1]]), "names 1 blobs, but 0 came"),
        (msgpack.packb([Ended.KIND, 1, 4, [b"", *range(MAX_BLOBS + 1)]]), "no msgpack: ValueError"),
    ],
    ids=lambda value: repr(value)[:40],
)
def test_what_is_no_message_is_refused(body: bytes, reason: str) -> None:
    with pytest.raises(WireError, match=reason):
        unpack(body)


def test_every_end_of_a_message_before_its_end_is_refused() -> None:
    for message in ALL_MESSAGES:
        body, _ = pack(message)
        for length in range(len(body)):
            with pytest.raises(WireError):
                unpack(body[:length])


def test_blobs_that_do_not_match_are_refused() -> None:
    body, _ = pack(Ended(1, 4, Payload(b"", (_blob(b"one"),))))

    with pytest.raises(WireError, match="other sizes"):
        unpack(body, (_blob(b"four"),))
    with pytest.raises(WireError, match="1 blobs came with a Ended that does not name them"):
        unpack(body, (_blob(b"two"), _blob(b"too")))


def test_memory_that_may_be_written_to_comes_as_that_alone() -> None:
    made = Journal.make(64)
    assert made is not None
    body, blobs = pack(Item(1, made[1]))
    for blob in blobs:
        blob.verify()
    with pytest.raises(WireError, match="its sender may change"):
        unpack(body, blobs)
    body, blobs = pack(Memory(Payload(b"", (_blob(b"sealed"),))))
    with pytest.raises(WireError, match="its sender may not change"):
        unpack(body, blobs)


def test_a_field_of_a_wrong_type_is_the_senders_error() -> None:
    wrong: Any = object()
    message = Cancel(wrong)

    with pytest.raises(TypeError, match="of type object"):
        pack(message)

    assert Cancel(2) == unpack(pack(Cancel(2))[0])


def test_a_call_is_of_one_of_three_modes() -> None:
    call = Call(1, 2, 3, 3, "fc-1", 0, Payload(b""), None, None)

    assert call == unpack(pack(call)[0])
    with pytest.raises(WireError, match="field 4 of a Call is 4"):
        unpack(pack(evolve(call, mode=4))[0])

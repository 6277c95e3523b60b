# SPDX-License-Identifier: Apache-2.0
"""A message that its thread writes itself: behind what was posted before, and never lost when the socket is full."""

from __future__ import annotations

import pytest

from actorpool._wire._blobs import Held, Payload
from actorpool._wire._codec import decode, encode
from actorpool._wire._connection import ConnectionClosed
from actorpool._wire._faults import WireError
from actorpool._wire._messages import Cancel, Item, Message, Stopped
from tests.wire.values import MESSAGES, connected


def test_it_is_written_at_once_and_wakes_nobody() -> None:
    wakes: list[None] = []
    here, there = connected(lambda: wakes.append(None))
    for message in MESSAGES:
        assert here.post_now(message)
        assert [message] == there.read()
    assert ([], 0) == (wakes, here.pending_bytes)
    here.close()
    there.close()


def test_it_comes_after_what_was_posted_before() -> None:
    here, there = connected()
    here.post(Cancel(1))
    assert here.post_now(Cancel(2))
    here.post(Cancel(3))
    assert here.flush()
    assert [Cancel(1), Cancel(2), Cancel(3)] == there.read()
    here.close()
    there.close()


def test_what_the_socket_does_not_take_waits_for_a_flush_and_keeps_its_place() -> None:
    wakes: list[None] = []
    here, there = connected(lambda: wakes.append(None))
    sent = 0
    while here.post_now(Item(sent, Payload(bytes(50_000)))):
        sent += 1
    left = here.pending_bytes
    assert 0 < left <= 50_020
    # The owner is told by who posts, and not once more by others.
    here.post(Cancel(sent + 1))
    assert not here.post_now(Cancel(sent + 2))
    assert [] == wakes
    assert here.pending_bytes > left

    received: list[Message] = []
    while not here.flush():
        received += there.read()
    while came := there.read():
        received += came
    assert list(range(sent + 3)) == [
        message.number for message in received if isinstance(message, (Item, Cancel))
    ]
    assert 0 == here.pending_bytes
    # From now on a post wakes its owner again.
    here.post(Stopped())
    assert [None] == wakes
    here.close()
    there.close()


@pytest.mark.parametrize("above", [100, 20_000])
def test_big_contents_go_the_way_that_they_always_go(above: int) -> None:
    here, there = connected()
    content = bytes(range(256)) * 200
    for number in range(3):
        assert here.post_now(Item(number, encode(content, share_above=above, share=Held)))
    items = [message for message in there.read() if isinstance(message, Item)]
    assert [content] * 3 == [decode(item.value) for item in items]
    here.close()
    there.close()


def test_what_is_too_long_is_refused_and_nothing_of_it_is_sent() -> None:
    here, there = connected(max_frame=100)
    with pytest.raises(WireError, match="longer than a frame may be"):
        here.post_now(Item(1, Payload(bytes(200))))
    assert here.post_now(Stopped())
    assert [Stopped()] == there.read()
    here.close()
    there.close()


def test_after_the_other_end_is_closed_it_says_so_and_after_this_one_it_is_dropped() -> None:
    here, there = connected()
    there.close()
    with pytest.raises(ConnectionClosed):
        here.post_now(Stopped())
    here.close()
    assert here.post_now(Stopped())

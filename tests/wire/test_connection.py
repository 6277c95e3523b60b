# SPDX-License-Identifier: Apache-2.0
"""Frames on a socket: order, batches, descriptors, back pressure, and every way to break them."""

from __future__ import annotations

import array
import gc
import os
import resource
import select
import socket
import struct
import tempfile
import threading
from collections import Counter

import numpy as np
import pytest

from actorpool._wire._blobs import Blob, Payload, share
from actorpool._wire._bodies import pack
from actorpool._wire._codec import decode, encode
from actorpool._wire._connection import Connection, ConnectionClosed
from actorpool._wire._faults import WireError
from actorpool._wire._messages import Cancel, Ended, Item, Message, Stopped
from tests.wire.values import MESSAGES, connected, socket_pair


def _descriptors() -> int:
    gc.collect()
    return len(os.listdir("/proc/self/fd"))


def _all(connection: Connection) -> list[Message]:
    messages: list[Message] = []
    while came := connection.read():
        messages += came
    return messages


def _frame(message: Message) -> bytes:
    body, _ = pack(message)
    return len(body).to_bytes(4, "big") + body


def test_messages_arrive_in_order_with_one_wake_up_and_one_write() -> None:
    wakes: list[None] = []
    here, there = connected(lambda: wakes.append(None))

    for message in MESSAGES:
        here.post(message)
    written = here.pending_bytes
    assert here.flush()

    assert sum(len(_frame(message)) for message in MESSAGES) == written
    assert [None] == wakes
    assert list(MESSAGES) == there.read()
    assert [] == there.read()
    assert 0 == here.pending_bytes
    here.post(Stopped())
    assert [None, None] == wakes
    here.close()
    there.close()


def test_a_frame_arrives_however_it_is_cut() -> None:
    sock, end = socket_pair()
    connection = Connection(end, lambda: None)
    frames = b"".join(map(_frame, MESSAGES))

    messages = []
    for at in range(len(frames)):
        sock.send(frames[at : at + 1])
        messages += connection.read()

    assert list(MESSAGES) == messages
    sock.close()
    connection.close()


def test_what_the_socket_does_not_take_waits() -> None:
    wakes: list[None] = []
    here, there = connected(lambda: wakes.append(None), max_frame=8 << 20)
    sizes = [5 << 20, 3, 70_000, 1 << 20, 10]
    for size in sizes:
        here.post(Item(1, Payload(bytes(size))))

    received: list[Message] = []
    while not here.flush():
        here.post(Cancel(1)) if len(received) == 1 else None
        assert here.pending_bytes > 0
        received += there.read()
    received += _all(there)

    assert sizes == [len(message.value.data) for message in received if isinstance(message, Item)]
    assert [None] == wakes
    assert 0 == here.pending_bytes
    here.close()
    there.close()


def test_a_flush_ends_though_the_socket_would_take_more() -> None:
    here, there = connected(max_frame=8 << 20)
    received: list[Message] = []

    def read() -> None:
        while not received:
            select.select([there], [], [], 0.01)
            received.extend(there.read())

    reader = threading.Thread(target=read)
    reader.start()
    here.post(Item(1, Payload(bytes(8_000_000))))
    flushes = 1
    while not here.flush():
        select.select([], [here], [])
        flushes += 1
    reader.join()

    assert flushes > 7
    assert [8_000_000] == [len(item.value.data) for item in received if isinstance(item, Item)]
    here.close()
    there.close()


def test_blobs_travel_with_their_frames_and_leave_nothing_behind() -> None:
    before = _descriptors()
    here, there = connected()
    values = [bytes([n]) * 100 if n % 3 else np.full(50, n) for n in range(60)]

    for number, value in enumerate(values):
        here.post(Item(number, encode(value, share_above=90)))
        here.post(Cancel(number))
    received: list[Message] = []
    while not here.flush():
        received += there.read()
    received += _all(there)

    items = [message for message in received if isinstance(message, Item)]
    assert [[1] * 60, [*range(60)]] == [
        [len(item.value.blobs) for item in items],
        [m.number for m in received if isinstance(m, Cancel)],
    ]
    assert all(np.array_equal(value, decode(item.value)) for value, item in zip(values, items, strict=True))
    here.close()
    there.close()
    del items, received
    assert before == _descriptors()


def test_a_frame_with_blobs_that_finds_no_room_goes_later() -> None:
    here, there = connected()
    here.post(Item(0, Payload(bytes(1 << 19))))
    assert not here.flush()
    here.post(Item(1, encode(b"x" * 100, share_above=10)))

    received: list[Message] = []
    while not here.flush():
        received += there.read()
    received += _all(there)

    last = received[-1]
    assert isinstance(last, Item)
    assert b"x" * 100 == decode(last.value)
    here.close()
    there.close()


def test_a_frame_with_blobs_that_finds_the_socket_full_goes_whole_and_later() -> None:
    sock, end = socket_pair()
    here, there = Connection(sock, lambda: None), Connection(end, lambda: None)
    filled = 0
    with pytest.raises(BlockingIOError):
        while True:
            filled += sock.send(bytes(1 << 16))
    here.post(Item(1, encode(b"x" * 100, share_above=10)))
    here.post(Cancel(1))

    assert [False, False] == [here.flush(), here.flush()]
    while filled:
        filled -= len(end.recv(filled))
    assert here.flush()

    item, cancel = _all(there)
    assert isinstance(item, Item)
    assert (b"x" * 100, Cancel(1)) == (decode(item.value), cancel)
    here.close()
    there.close()


def test_descriptors_that_find_no_room_in_this_process_are_missed() -> None:
    here, there = connected()
    payload = encode([b"x" * 100] * 9, share_above=99)
    here.post(Item(1, payload))
    here.flush()
    limits = resource.getrlimit(resource.RLIMIT_NOFILE)
    lowest_free = os.dup(here.fileno())
    os.close(lowest_free)
    resource.setrlimit(resource.RLIMIT_NOFILE, (lowest_free + 1, limits[1]))
    try:
        with pytest.raises(WireError, match="too many files are open"):
            there.read()
    finally:
        resource.setrlimit(resource.RLIMIT_NOFILE, limits)
    assert 9 == len(payload.blobs)
    here.close()
    there.close()


def test_a_connection_that_was_reset_is_closed() -> None:
    here, there = connected()
    there.post(Stopped())
    there.flush()

    # What the other end did not read makes its closing a reset.
    here.close()

    with pytest.raises(ConnectionClosed, match="the other end of the connection is gone"):
        there.read()
    there.close()


def test_blobs_that_were_not_sent_are_closed_with_the_connection() -> None:
    before = _descriptors()
    here, there = connected()
    for _ in range(5):
        here.post(Item(1, encode(b"x" * 100, share_above=10)))
    assert before + 2 + 5 == _descriptors()

    here.close()
    there.close()

    assert before == _descriptors()


def test_a_payload_may_be_sent_twice() -> None:
    here, there = connected()
    payload = encode(b"x" * 100, share_above=10)

    here.post(Item(1, payload))
    here.post(Item(2, payload))
    here.flush()

    assert [b"x" * 100] * 2 == [
        decode(message.value) for message in there.read() if isinstance(message, Item)
    ]
    here.close()
    there.close()


def test_the_end_of_the_other_side_is_told_after_all_it_sent() -> None:
    here, there = connected()
    here.post(Stopped())
    here.flush()
    here.close()

    assert [Stopped()] == there.read()
    with pytest.raises(ConnectionClosed):
        there.read()
    there.post(Stopped())
    with pytest.raises(ConnectionClosed):
        there.flush()
    there.close()


def test_an_end_within_a_frame_is_told_as_that() -> None:
    sock, end = socket_pair()
    connection = Connection(end, lambda: None)
    sock.send(_frame(MESSAGES[0])[:-1])
    sock.close()

    with pytest.raises(ConnectionClosed, match=r"within a frame, of which \d+ bytes came"):
        connection.read()
    connection.close()


def test_closing_is_idempotent_and_drops_what_is_posted_after() -> None:
    here, there = connected()

    here.close()
    here.close()
    here.post(Stopped())

    assert (0, True) == (here.pending_bytes, here.flush())
    with pytest.raises(ConnectionClosed):
        here.read()
    assert "<Connection closed pending_bytes=0>" == repr(here)
    there.close()


def test_a_length_beyond_the_limit_is_refused_before_anything_of_it_has_come() -> None:
    sock, end = socket_pair()
    connection = Connection(end, lambda: None, max_frame=1000)
    sock.send(_frame(Stopped()) + struct.pack(">I", 1001))

    assert [Stopped()] == connection.read()
    assert ([end], [], []) == select.select([end], [], [], 0)
    for _ in range(2):
        with pytest.raises(WireError, match=r"a frame of 1001 bytes is announced \(limit 1000\)"):
            connection.read()
    sock.close()
    connection.close()


def test_a_message_beyond_the_limit_is_not_sent() -> None:
    here, there = connected(max_frame=100)

    with pytest.raises(WireError, match="a Item of"):
        here.post(Item(1, Payload(bytes(100))))

    assert 0 == here.pending_bytes
    here.close()
    there.close()


def test_garbage_ends_the_connection() -> None:
    sock, end = socket_pair()
    connection = Connection(end, lambda: None)
    sock.send(b"\x00\x00\x00\x03abc")

    with pytest.raises(WireError, match="a frame of 3 bytes is no msgpack"):
        connection.read()
    assert b"" == sock.recv(1)
    sock.close()
    connection.close()


def _send_with(sock: socket.socket, data: bytes, descriptors: list[int]) -> None:
    sock.sendmsg([data], [(socket.SOL_SOCKET, socket.SCM_RIGHTS, array.array("i", descriptors))])


def test_descriptors_that_are_no_blobs_are_refused_and_closed() -> None:
    before = _descriptors()
    sock, end = socket_pair()
    connection = Connection(end, lambda: None)
    with tempfile.TemporaryFile() as file:
        _send_with(sock, _frame(Stopped()), [file.fileno()] * 3)

    with pytest.raises(WireError, match="no sealed memory file"):
        connection.read()
    sock.close()
    connection.close()
    assert before == _descriptors()


def test_descriptors_that_no_frame_names_are_refused_and_closed() -> None:
    before = _descriptors()
    sock, end = socket_pair()
    connection = Connection(end, lambda: None)
    blob = share(b"content")
    assert blob is not None
    _send_with(sock, _frame(Stopped()), [blob.fileno()] * 2)

    assert [Stopped()] == connection.read()
    with pytest.raises(WireError, match="2 descriptors came that no frame names"):
        connection.read()
    sock.close()
    connection.close()
    blob.close()
    assert before == _descriptors()


def test_descriptors_for_frames_that_never_end_are_bounded() -> None:
    before = _descriptors()
    sock, end = socket_pair()
    connection = Connection(end, lambda: None)
    blob = share(b"content")
    assert blob is not None
    _send_with(sock, b"\x00", [blob.fileno()] * 200)
    _send_with(sock, b"\x00", [blob.fileno()] * 54)

    with pytest.raises(WireError, match="254 descriptors came"):
        connection.read()
    sock.close()
    connection.close()
    blob.close()
    assert before == _descriptors()


def test_a_blob_that_was_closed_is_not_sent() -> None:
    here, there = connected()
    blob = Blob(-1, 5)
    here.post(Ended(1, 4, Payload(b"", (blob,))))

    with pytest.raises(WireError, match="after it was closed"):
        here.flush()
    here.close()
    there.close()


def test_threads_post_while_the_owner_flushes() -> None:
    flushable = threading.Semaphore(0)
    here, there = connected(flushable.release)

    def send(thread: int) -> None:
        for number in range(500):
            here.post(Ended(thread, 4, Payload(str(number).encode())))

    threads = [threading.Thread(target=send, args=(thread,)) for thread in range(6)]
    for thread in threads:
        thread.start()
    received: list[Message] = []
    while len(received) < 3000:
        assert flushable.acquire(timeout=5)
        while not here.flush():
            received += there.read()
        received += _all(there)
    for thread in threads:
        thread.join()

    numbers = {
        at: [int(m.value.data) for m in received if isinstance(m, Ended) and m.number == at]
        for at in range(6)
    }
    assert {at: list(range(500)) for at in range(6)} == numbers
    assert Counter({4: 3000}) == Counter(m.state for m in received if isinstance(m, Ended))
    here.close()
    there.close()

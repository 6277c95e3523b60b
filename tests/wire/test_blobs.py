# SPDX-License-Identifier: Apache-2.0
"""Shared memory: sealed, private to who writes to it, gone with the last reference."""

from __future__ import annotations

import errno
import gc
import mmap
import os
import threading
from pathlib import Path

import numpy as np
import pytest

from actorpool._wire._blobs import MAX_BLOBS, Blob, share
from actorpool._wire._codec import EncodeError, decode, encode
from actorpool._wire._faults import WireError


def _shared(content: bytes) -> Blob:
    blob = share(content)
    assert blob is not None
    return blob


def _memory_files() -> int:
    """How many memory files this process has open or mapped."""
    gc.collect()
    links = []
    for name in os.listdir("/proc/self/fd"):
        try:
            links.append(os.readlink(f"/proc/self/fd/{name}"))
        except FileNotFoundError:
            pass  # the directory's own
    return sum(
        "memfd:actorpool" in text for text in [*links, *Path("/proc/self/maps").read_text().splitlines()]
    )


def test_a_blob_holds_what_was_put_into_it() -> None:
    blob = _shared(b"content")

    assert (b"content", b"content", 7) == (blob.read(), bytes(blob.map()), blob.size)
    assert ("<Blob 7 bytes>", "actorpool") == (
        repr(blob),
        os.readlink(f"/proc/self/fd/{blob.fileno()}")[7:16],
    )


def test_nobody_can_change_a_blob() -> None:
    blob = _shared(b"content")

    for change in (
        lambda: os.pwrite(blob.fileno(), b"x", 0),
        lambda: os.ftruncate(blob.fileno(), 1),
        lambda: os.ftruncate(blob.fileno(), 100),
        lambda: mmap.mmap(blob.fileno(), 7),
    ):
        with pytest.raises(OSError, match="not permitted"):
            change()


def test_what_is_written_to_a_mapping_stays_with_it() -> None:
    blob = _shared(b"content")
    mapping = blob.map()

    mapping[0] = ord("C")

    assert (b"Content", b"content", b"content") == (bytes(mapping), bytes(blob.map()), blob.read())


def test_a_mapping_outlives_its_blob() -> None:
    blob = _shared(b"content")
    mapping = blob.map()

    blob.close()
    blob.close()

    assert b"content" == bytes(mapping)
    assert "<Blob 7 bytes closed>" == repr(blob)
    with pytest.raises(WireError, match="after it was closed"):
        blob.read()


def test_memory_is_freed_with_the_last_reference() -> None:
    assert 0 == _memory_files()
    payload = encode((b"x" * 1000, np.zeros(1000), {"tree": list(range(1000))}), share_above=100)
    assert 3 == len(payload.blobs)

    value = decode(payload)
    array = value[1]
    del value, payload
    # An array lives in its mapping.
    assert 0 < _memory_files() <= 2
    del array

    assert 0 == _memory_files()


def test_memory_is_freed_when_encoding_fails() -> None:
    with pytest.raises(EncodeError):
        encode([b"x" * 1000, threading.Lock()], share_above=100)

    assert 0 == _memory_files()


@pytest.mark.parametrize("share_above", [0, 99, 100])
def test_the_threshold_is_inclusive(share_above: int) -> None:
    assert [share_above < 100] == [
        bool(encode(b"x" * 97, share_above=share_above).blobs)
    ] or share_above == 99
    assert (len(encode(b"x" * 100, share_above=99).blobs), encode(b"x" * 97, share_above=99).blobs) == (1, ())


def test_what_is_beyond_the_number_of_blobs_goes_inline() -> None:
    values = [bytes([number]) * 50 for number in range(MAX_BLOBS + 20)]

    payload = encode(values, share_above=40)

    assert MAX_BLOBS == len(payload.blobs)
    assert values == decode(payload)


@pytest.mark.parametrize("failure", [errno.EMFILE, errno.ENOMEM, errno.ENOSYS])
def test_without_memory_files_everything_goes_inline(failure: int, monkeypatch: pytest.MonkeyPatch) -> None:
    def refuse(*_: object) -> int:
        raise OSError(failure, os.strerror(failure))

    monkeypatch.setattr("os.memfd_create", refuse)
    value = [b"x" * 100, bytearray(b"y" * 100), list(range(100))]

    payload = encode((*value, np.arange(50), _Buffered()), share_above=40)
    first, second, third, array, buffered = decode(payload)

    assert () == payload.blobs
    assert value == [first, second, third]
    assert list(range(50)) == array.tolist() == buffered.array["a"].tolist()


def test_where_the_system_has_no_memory_files_everything_goes_inline(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delattr("os.memfd_create")

    assert None is share(b"content")
    assert () == encode(b"x" * 100, share_above=40).blobs


def test_without_descriptors_for_mappings_the_content_is_copied(monkeypatch: pytest.MonkeyPatch) -> None:
    def refuse(*_: object, **__: object) -> object:
        raise OSError(errno.EMFILE, "too many open files")

    payload = encode((b"x" * 100, np.arange(50)), share_above=40)
    monkeypatch.setattr("actorpool._wire._blobs.mmap.mmap", refuse)

    content, array = decode(payload)

    assert (b"x" * 100, list(range(50))) == (content, array.tolist())


def test_an_empty_blob_is_empty() -> None:
    blob = Blob(os.memfd_create("empty"), 0)

    assert (b"", b"") == (blob.read(), bytes(blob.map()))


def test_a_file_that_could_shrink_is_refused() -> None:
    blob = Blob(os.memfd_create("unsealed", os.MFD_ALLOW_SEALING), 0)

    with pytest.raises(WireError, match="no sealed memory file"):
        blob.verify()


class _Buffered:
    """An object that pickle takes apart into a small part and a big buffer."""

    def __init__(self) -> None:
        self.array = np.zeros(50, dtype=[("a", "<i8")])
        self.array["a"] = np.arange(50)


def test_the_buffers_of_an_object_are_shared() -> None:
    payload = encode([_Buffered()], share_above=390)

    assert [400] == [blob.size for blob in payload.blobs]
    array = decode(payload)[0].array
    array["a"][0] = -1
    assert [-1, *range(1, 50)] == array["a"].tolist()

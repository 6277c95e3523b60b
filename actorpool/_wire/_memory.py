# SPDX-License-Identifier: Apache-2.0
"""Memory that two processes share: what one of them has written there outlives it.

As a blob it is a memory file without a name, so nothing is left behind; but it is of one size for ever and may be
written to as long as it lives. One process makes it and writes, the other maps it and reads.
"""

from __future__ import annotations

import mmap
import os
import sys
from typing import Final

from ._blobs import Blob, Payload
from ._faults import WireError

__all__ = ["Journal", "JournalReader", "Ring", "RingReader"]

_HEAD: Final = 8


def _make(size: int) -> Blob | None:
    """Return a memory file of that many bytes, all 0; None where that is not possible now."""
    if sys.platform != "linux" or not hasattr(os, "memfd_create"):
        return None
    import fcntl

    try:
        blob = Blob(os.memfd_create("actorpool", os.MFD_CLOEXEC | os.MFD_ALLOW_SEALING), size)
        os.ftruncate(blob.fileno(), size)
        fcntl.fcntl(
            blob.fileno(), fcntl.F_ADD_SEALS, fcntl.F_SEAL_SHRINK | fcntl.F_SEAL_GROW | fcntl.F_SEAL_SEAL
        )
    except OSError:
        # Too many open files, no memory for them, or a sandbox without the call.
        return None
    blob.shared = True
    return blob


def _map(blob: Blob) -> mmap.mmap | None:
    try:
        return mmap.mmap(blob.fileno(), blob.size)
    except OSError:
        return None


class Journal:
    """What a process is about to say, written where the other one finds it should this one end before it has.

    Only what was put in since the last `clear` is there. Threads: one at a time.
    """

    __slots__ = ("_memory", "_room", "_used")

    def __init__(self, memory: mmap.mmap) -> None:
        self._memory = memory
        self._room = len(memory) - _HEAD
        self._used = 0

    @classmethod
    def make(cls, size: int) -> tuple[Journal, Payload] | None:
        """Return an empty one of that many bytes, and what the reader is to be sent; None where there can be none."""
        blob = _make(size)
        memory = None if blob is None else _map(blob)
        return None if blob is None or memory is None else (cls(memory), Payload(b"", (blob,)))

    def put(self, entry: bytes) -> bool:
        """Add `entry`; return whether there was room for it."""
        begin = _HEAD + self._used
        used = self._used + len(entry)
        if used > self._room:
            return False
        self._memory[begin : begin + len(entry)] = entry
        # Only now: this may be the last that the process does.
        self._memory[:_HEAD] = used.to_bytes(_HEAD, sys.byteorder)
        self._used = used
        return True

    def clear(self) -> None:
        """Forget what was put in."""
        if self._used:
            self._used = 0
            self._memory[:_HEAD] = _NOTHING


class JournalReader:
    """The other end of a `Journal`."""

    __slots__ = ("_memory",)

    def __init__(self, memory: Payload) -> None:
        """Open what `Journal.make` returned.

        Raises:
            WireError: If it is something else.
        """
        if len(memory.blobs) != 1 or memory.blobs[0].size < _HEAD or not memory.blobs[0].shared:
            raise WireError("a journal came without its memory")
        self._memory = _map(memory.blobs[0])

    def read(self) -> bytes:
        """Return the entries, joined; the writer has ended."""
        memory = self._memory
        if memory is None:
            # No room for it was left here when it came.
            return b""
        used = int.from_bytes(memory[:_HEAD], sys.byteorder)
        if used > len(memory) - _HEAD:
            raise WireError(f"a journal of {len(memory)} bytes says that it holds {used}")
        return memory[_HEAD : _HEAD + used]

    def close(self) -> None:
        """Let go of the memory, and of the descriptor that it takes before Python 3.13; nothing is left to read."""
        memory, self._memory = self._memory, None
        if memory is not None:
            memory.close()


class Ring:
    """Bytes on their way, one after the other, until the reader has taken them; then their place is free again.

    Threads: one at a time.
    """

    __slots__ = ("_head", "_memory", "_since", "_size", "_tail")

    def __init__(self, memory: mmap.mmap) -> None:
        self._memory = memory
        self._size = len(memory) - _HEAD
        # Places are counted on and on; where one is in memory, is its remainder.
        self._head = 0
        # Where it was when all had been taken for the last time.
        self._since = 0
        self._tail = memoryview(memory)[:_HEAD].cast("Q")

    @classmethod
    def make(cls, size: int) -> tuple[Ring, Payload] | None:
        """Return one with room for that many bytes, and what the reader is to be sent; None where there can be none.

        Memory that was never written to is none.
        """
        blob = _make(size + _HEAD)
        memory = None if blob is None else _map(blob)
        return None if blob is None or memory is None else (cls(memory), Payload(b"", (blob,)))

    def put(self, content: bytes | bytearray | memoryview) -> int | None:
        """Add `content`; return its place, or None if there is no room for it now."""
        size, length, begin = self._size, len(content), self._head
        if begin == self._tail[0]:
            # All was taken. From the beginning, whose memory is there already.
            self._since = begin = begin + -begin % size
        tail = max(self._since, self._tail[0])
        if begin % size + length > size:
            begin += -begin % size
        if begin + length - tail > size:
            return None
        at = _HEAD + begin % size
        self._memory[at : at + length] = content
        self._head = begin + length
        return begin

    def close(self) -> None:
        """Let go of the memory."""
        self._tail.release()
        self._memory.close()


class RingReader:
    """The other end of a `Ring`."""

    __slots__ = ("_memory", "_tail", "_taken")

    def __init__(self, memory: Payload) -> None:
        """Open what `Ring.make` returned.

        Raises:
            WireError: If it is something else, or there is no room for it here.
        """
        if len(memory.blobs) != 1 or memory.blobs[0].size <= _HEAD or not memory.blobs[0].shared:
            raise WireError("a ring came without its memory")
        mapped = _map(memory.blobs[0])
        if mapped is None:
            raise WireError(
                "there is no room for the memory of a ring: too many files are open in this process"
            )
        self._memory = mapped
        self._tail = memoryview(mapped)[:_HEAD].cast("Q")
        self._taken = 0

    def take(self, place: int, length: int) -> bytes:
        """Return what was put there; in the order in which it was put."""
        size = len(self._memory) - _HEAD
        at = place % size
        if at + length > size:
            raise WireError(f"{length} bytes are said to be at {at} of a ring of {size}")
        self._taken = place + length
        return self._memory[_HEAD + at : _HEAD + at + length]

    def free(self) -> None:
        """Let the writer use the place of what was taken."""
        self._tail[0] = self._taken

    def close(self) -> None:
        """Let go of the memory."""
        self._tail.release()
        self._memory.close()


_NOTHING: Final = bytes(_HEAD)

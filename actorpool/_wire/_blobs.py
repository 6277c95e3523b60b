# SPDX-License-Identifier: Apache-2.0
"""Bytes in shared memory, for what is too big to go through a socket; and `Payload`, which refers to them.

A blob is a memory file without a name (memfd): it lives as long as somebody holds a descriptor or a mapping of it.
So it cannot be left behind, whichever process dies at whatever point, and nothing appears in a file system. The
sender writes it once and seals it; the receiver makes sure of the seals, because a file that could still shrink
would end with SIGBUS whoever reads a mapping of it.

A `Blob` owns its descriptor and closes it with the last reference: a payload may be sent several times, or never.
Where the system has no memory files, or no descriptors are left, there are no blobs and everything goes inline.
"""

from __future__ import annotations

import mmap
import os
import sys
from typing import Final

from attrs import define

from ._faults import WireError

__all__ = ["MAX_BLOBS", "Blob", "Held", "Payload", "share"]

MAX_BLOBS: Final = 64
"""Most blobs of one payload (inclusive); a message has two payloads, and Linux passes 253 descriptors at once."""


class Blob:
    """A sealed memory file and its size in bytes.

    Threads: Any, but `close` must not run beside the other methods.
    """

    __slots__ = ("_fd", "shared", "size")

    def __init__(self, fd: int, size: int) -> None:
        self._fd = fd
        self.size = size
        self.shared: bool = False
        """Whether its maker may still write to it; see `_memory`."""

    def __repr__(self) -> str:
        return f"<Blob {self.size} bytes{' closed' if self._fd < 0 else ''}>"

    def __del__(self) -> None:
        self.close()

    def fileno(self) -> int:
        """The descriptor, which stays the blob's own."""
        if self._fd < 0:
            raise WireError("a blob was used after it was closed")
        return self._fd

    def close(self) -> None:
        """Close the descriptor; mappings live on. Idempotent."""
        fd, self._fd = self._fd, -1
        if fd >= 0:
            os.close(fd)

    def verify(self) -> None:
        """Take the size of a file that came through a socket; WireError if it is no sealed memory file."""
        fd = self.fileno()
        if sys.platform == "linux":
            import fcntl

            try:
                seals = fcntl.fcntl(fd, fcntl.F_GET_SEALS)
            except OSError:
                seals = 0
            if ~seals & (fcntl.F_SEAL_SHRINK | fcntl.F_SEAL_GROW):
                raise WireError("a descriptor came that is no sealed memory file")
            self.shared = not seals & fcntl.F_SEAL_WRITE
        self.size = os.fstat(fd).st_size

    def read(self) -> bytes:
        """A copy of the content."""
        fd = self.fileno()
        if not self.size:
            return b""
        try:
            with mmap.mmap(fd, self.size, access=mmap.ACCESS_READ) as mapping:
                return mapping[:]
        except OSError:
            return bytes(_copy(fd, self.size))

    def view(self) -> memoryview:
        """The content as memory to be read."""
        return self.map()

    def map(self) -> memoryview:
        """The content as writable memory: what is written stays with this process, and costs a page each.

        The mapping is freed with the last reference to the view and what was made of it. Before Python 3.13 it
        takes a descriptor as long; when there is none left, the content is copied.
        """
        fd = self.fileno()
        try:
            return memoryview(_mapping(fd, self.size) if self.size else bytearray())
        except OSError:
            return memoryview(_copy(fd, self.size))


class Held(Blob):
    """Bytes that are in no memory file: to be sent in the way that suits their connection, or come in another way."""

    __slots__ = ("content",)

    def __init__(self, content: bytes | bytearray | memoryview) -> None:
        """Refer to `content`, which must not change until it is sent."""
        super().__init__(-1, len(content))
        self.content = content

    def read(self) -> bytes:
        """The content; a copy if it is not bytes."""
        return bytes(self.content)

    def view(self) -> memoryview:
        """The content."""
        return memoryview(self.content)

    def map(self) -> memoryview:
        """A copy of the content."""
        return memoryview(bytearray(self.content))


@define
class Payload:
    """An encoded value; `actorpool._wire._codec` makes it and reads it."""

    data: bytes
    """The value, or what says in which blobs it is."""
    blobs: tuple[Blob, ...] = ()
    """What did not go into `data`, in the order in which `data` counts them."""


def share(content: bytes | bytearray | memoryview) -> Blob | None:
    """Put bytes (of which there must be some) into a new blob; None where that is not possible now."""
    if sys.platform != "linux" or not hasattr(os, "memfd_create"):
        return None
    import fcntl

    view = memoryview(content).cast("B")
    try:
        blob = Blob(os.memfd_create("actorpool", os.MFD_CLOEXEC | os.MFD_ALLOW_SEALING), len(view))
        fd = blob.fileno()
        written = 0
        while written < len(view):
            written += os.write(fd, view[written:])
        fcntl.fcntl(fd, fcntl.F_ADD_SEALS, _seals() | fcntl.F_SEAL_SEAL)
    except OSError:
        # Too many open files, no memory for them, or a sandbox without the call: the bytes go inline.
        return None
    return blob


def _seals() -> int:
    """Nobody may change the content or the size any more; private mappings may still be written to."""
    import fcntl

    return fcntl.F_SEAL_SHRINK | fcntl.F_SEAL_GROW | fcntl.F_SEAL_WRITE


def _mapping(fd: int, size: int) -> mmap.mmap:
    flags, prot = mmap.MAP_PRIVATE, mmap.PROT_READ | mmap.PROT_WRITE
    if sys.version_info >= (3, 13):
        return mmap.mmap(fd, size, flags=flags, prot=prot, trackfd=False)
    return mmap.mmap(fd, size, flags=flags, prot=prot)


def _copy(fd: int, size: int) -> bytearray:
    content = bytearray(size)
    view = memoryview(content)
    done = 0
    while done < size:
        count = os.preadv(fd, [view[done:]], done)
        if not count:
            raise WireError(f"a blob of {size} bytes ended after {done}")
        done += count
    return content

# SPDX-License-Identifier: Apache-2.0
"""Frames over one end of a socket pair: many small ones in a write, descriptors beside those that have blobs.

A frame is its length, four bytes big-endian, and its body (`_bodies`). Descriptors are passed by SCM_RIGHTS with
the first byte of the frame that counts them; so they are there no later than its end, and in the order of frames.

A connection has an owner, which waits for the socket and calls `read` and `flush` on its thread, and any number of
threads that post. `post` calls `wake` when the owner has nothing left to flush, once; from then on the owner flushes,
at the latest whenever the socket is writable, until `flush` says that nothing is left. So a burst of messages costs
one wake-up and few writes. A thread with a message that somebody waits for writes it itself, with `post_now`.

What a peer may claim is bounded: a length is checked when its four bytes are there; a buffer grows with what has
come, never to what was announced; descriptors that no frame counts are an error. After garbage nothing further is
read: what came before it is returned, the socket is shut down, which makes it readable, and the next read raises.
"""

from __future__ import annotations

import array
import socket
import threading
from collections import deque
from typing import TYPE_CHECKING, Final

from . import _memory
from ._blobs import Blob, Held, share
from ._bodies import NoPlaceError, pack, unpack_next
from ._faults import ConnectionClosed, WireError
from ._messages import Ring

if TYPE_CHECKING:
    from collections.abc import Callable

    from ._messages import Message

__all__ = ["Connection", "ConnectionClosed", "WireError"]

MAX_FRAME: Final = 1 << 30
"""Longest body of a frame in bytes (inclusive), unless told otherwise."""

# Sizes picked by feel: a write that copies is cheaper than many calls up to about this size, and a socket of Linux
# holds about 200 KiB.
_JOINED_BYTES: Final = 1 << 17
_FIRST_BYTES: Final = 1 << 13
_CHUNK_BYTES: Final = 1 << 18
_READ_BYTES: Final = 1 << 20
_WRITE_BYTES: Final = 1 << 20
# How much can be on its way in a ring; and up to which size a blob goes in the frame when the ring is full.
_RING_BYTES: Final = 1 << 22
_INLINE_BYTES: Final = 1 << 17

_MAX_FDS: Final = 253
_FD_BYTES: Final = array.array("i").itemsize


class Connection:
    """One end of a socket pair.

    Args:
        sock: A connected, non-blocking AF_UNIX stream socket; the connection owns and closes it.
        wake: Called after a post when the owner has to call `flush`. On the thread that posts, without a lock held;
            it must not block.
        max_frame: Longest body of a frame in either direction, in bytes (inclusive).

    Threads: all but `read` is for any thread; that is for one at a time.
    """

    __slots__ = (
        "_ancillary",
        "_blobs",
        "_buffer",
        "_chunk",
        "_closed",
        "_cut",
        "_error",
        "_io",
        "_lock",
        "_max_frame",
        "_pending_bytes",
        "_placing",
        "_queue",
        "_ring",
        "_ring_made",
        "_rings",
        "_sock",
        "_unsent",
        "_wake",
        "_woken",
    )

    def __init__(
        self, sock: socket.socket, wake: Callable[[], object], *, max_frame: int = MAX_FRAME
    ) -> None:
        self._sock = sock
        self._wake = wake
        self._max_frame = max_frame
        self._lock = threading.Lock()
        # Held over calls of the socket, which do not block: `close` on another thread must not give its descriptor
        # away under them. Taken before `_lock`.
        self._io = threading.Lock()
        # Held while blobs are placed, and until their message is queued: they are taken in their order. Before `_lock`.
        self._placing = threading.Lock()
        self._ring: _memory.Ring | None = None
        self._ring_made = False
        self._rings: _memory.RingReader | None = None
        self._closed = False
        self._cut = False
        self._queue: deque[tuple[bytes, tuple[Blob, ...]]] = deque()
        self._unsent = memoryview(b"")
        self._pending_bytes = 0
        # Invariant: True from a wake-up until a flush leaves nothing.
        self._woken = False
        # Grows with the first read that fills it: most connections never need more.
        self._chunk = memoryview(bytearray(_FIRST_BYTES))
        self._ancillary = socket.CMSG_SPACE(_MAX_FDS * _FD_BYTES) if hasattr(socket, "CMSG_SPACE") else 0
        self._buffer = bytearray()
        self._blobs: deque[Blob] = deque()
        self._error: WireError | None = None

    def __repr__(self) -> str:
        return f"<Connection{' closed' if self._closed else ''} pending_bytes={self._pending_bytes}>"

    @property
    def pending_bytes(self) -> int:
        """Bytes that are queued and not yet in the socket; blobs do not count."""
        return self._pending_bytes

    def fileno(self) -> int:
        """The socket's descriptor, to wait for; -1 after `close`."""
        return self._sock.fileno()

    def post(self, message: Message) -> None:
        """Queue a message. Never blocks.

        After `close` it is dropped: whoever waits for an answer learns from the end of the connection.

        Raises:
            WireError: If the message is longer than `max_frame`; nothing is queued.
        """
        try:
            woken = self._enqueue(message, *pack(message))
        except NoPlaceError:
            with self._placing:
                woken = self._enqueue(message, *pack(message, self._place))
        if not woken:
            self._wake()

    def post_now(self, message: Message) -> bool:
        """Queue a message and write as much as the socket takes; `wake` is not called.

        Returns:
            Whether nothing is left. If something is, the owner is to be told to flush.

        Raises:
            WireError: As `post`.
            ConnectionClosed: As `flush`.
        """
        try:
            body, blobs = pack(message)
        except NoPlaceError:
            with self._placing:
                self._enqueue(message, *pack(message, self._place))
            return self.flush()
        size = len(body)
        if not blobs and size <= _JOINED_BYTES and size <= self._max_frame:
            with self._io:
                # What this thread has posted before is seen here; what others post just now may follow.
                if not (self._queue or self._unsent or self._closed):
                    frame = size.to_bytes(4, "big") + body
                    try:
                        count = self._sock.send(frame)
                    except (BlockingIOError, InterruptedError):
                        count = 0
                    except OSError as error:
                        raise _gone(error) from None
                    if count == len(frame):
                        return True
                    self._unsent = memoryview(frame)[count:]
                    with self._lock:
                        self._pending_bytes += len(self._unsent)
                        self._woken = True
                    return False
        self._enqueue(message, body, blobs)
        return self.flush()

    def _enqueue(self, message: Message, body: bytes, blobs: tuple[Blob, ...]) -> bool:
        """Queue a frame; return whether somebody was told to flush."""
        size = len(body)
        if size > self._max_frame:
            kind = type(message).__name__
            raise WireError(f"a {kind} of {size} bytes is longer than a frame may be ({self._max_frame})")
        length = size.to_bytes(4, "big")
        with self._lock:
            if self._closed:
                return True
            if size <= _JOINED_BYTES:
                self._queue.append((length + body, blobs))
            else:
                self._queue.append((length, blobs))
                self._queue.append((body, ()))
            self._pending_bytes += size + 4
            woken, self._woken = self._woken, True
        return woken

    def _place(self, held: Held) -> Blob | bytes | list[int]:
        """Find a place for bytes that have none yet: in the ring, in the frame or in a memory file."""
        if self._closed:
            return b""
        if not self._ring_made:
            self._make_ring()
        place = None if self._ring is None else self._ring.put(held.content)
        if place is not None:
            return [place, held.size]
        blob = share(held.content) if held.size > _INLINE_BYTES else None
        return held.read() if blob is None else blob

    def _make_ring(self) -> None:
        self._ring_made = True
        made = _memory.Ring.make(_RING_BYTES)
        if made is not None:
            self._ring, memory = made
            message = Ring(memory)
            if not self._enqueue(message, *pack(message)):
                # It is told again, when what follows is queued.
                with self._lock:
                    self._woken = False

    def flush(self) -> bool:
        """Write as much as the socket takes, up to about 1 MiB at a time, so that the owner comes to read as well.

        Returns:
            Whether nothing is left. If something is, call again when the socket is writable.

        Raises:
            ConnectionClosed: If the other end is closed; what it sent before can still be read.
        """
        written = 0
        with self._io:
            try:
                while written < _WRITE_BYTES:
                    blobs: tuple[Blob, ...] | None = ()
                    if not self._unsent:
                        blobs = self._next_batch()
                    if blobs is None:
                        return True
                    count = self._send_with(blobs) if blobs else self._sock.send(self._unsent)
                    self._unsent = self._unsent[count:]
                    with self._lock:
                        self._pending_bytes -= count
                        if not self._unsent and not self._queue:
                            self._woken = False
                            return True
                    written += count
            except (BlockingIOError, InterruptedError):
                pass
            except OSError as error:
                raise _gone(error) from None
        return False

    def _next_batch(self) -> tuple[Blob, ...] | None:
        """Move what goes into the next write from the queue to `_unsent`; the blobs that go with its first byte."""
        with self._lock:
            queue = self._queue
            if not queue or self._closed:
                self._woken = False
                return None
            data, blobs = queue.popleft()
            if len(data) < _JOINED_BYTES and queue:
                batch = [data]
                size = len(data)
                # A frame with blobs opens a write, for its descriptors go with the first byte.
                while queue and not queue[0][1] and (size := size + len(queue[0][0])) <= _JOINED_BYTES:
                    batch.append(queue.popleft()[0])
                data = b"".join(batch)
            self._unsent = memoryview(data)
            return blobs

    def _send_with(self, blobs: tuple[Blob, ...]) -> int:
        descriptors = array.array("i", [blob.fileno() for blob in blobs])
        try:
            return self._sock.sendmsg([self._unsent], [(socket.SOL_SOCKET, socket.SCM_RIGHTS, descriptors)])
        except (BlockingIOError, InterruptedError):
            # Nothing went, so the blobs have to go with the same first byte again.
            with self._lock:
                self._queue.appendleft((bytes(self._unsent), blobs))
                self._unsent = memoryview(b"")
            raise

    def read(self) -> list[Message]:
        """Return the messages that have come, in order; at most about 1 MiB at a time, the rest when called again.

        Returns:
            What has come; nothing if no message is complete.

        Raises:
            ConnectionClosed: If the other end is closed and all it sent has been read.
            WireError: If garbage came; every further call raises the same.
        """
        messages: list[Message] = []
        total = 0
        with self._io:
            if self._error is None:
                try:
                    while total < _READ_BYTES and (count := self._receive()):
                        total += count
                        if self._buffer:
                            self._take_more(count, messages)
                        elif (done := self._frames(self._chunk[:count], messages)) < count:
                            self._buffer += self._chunk[done:count]
                        if self._blobs and not self._buffer:
                            raise WireError(f"{len(self._blobs)} descriptors came that no frame names")
                        # Short means empty, for the present; but a read also ends after descriptors.
                        if count < len(self._chunk) and not self._buffer and not self._cut:
                            break
                        if count == len(self._chunk) < _CHUNK_BYTES:
                            self._chunk = memoryview(bytearray(_CHUNK_BYTES))
                except WireError as error:
                    self._fail(error)
            if self._rings is not None:
                self._rings.free()
            if self._error is not None and not messages:
                raise type(self._error)(str(self._error))
        return messages

    def _receive(self) -> int:
        """How many bytes came into the chunk; 0 if none are there now."""
        if self._closed:
            raise ConnectionClosed("the connection was closed at this end")
        try:
            count, ancillary, flags, _ = self._sock.recvmsg_into(
                [self._chunk], self._ancillary, _RECEIVE_FLAGS
            )
        except (BlockingIOError, InterruptedError):
            return 0
        except OSError as error:
            raise ConnectionClosed(f"the other end of the connection is gone: {error}") from None
        self._cut = bool(ancillary)
        if ancillary:
            self._take_descriptors(ancillary)
        if flags & _CUT_FLAG:
            raise WireError("descriptors were lost on their way: too many files are open in this process")
        if not count:
            inside = f" within a frame, of which {len(self._buffer)} bytes came" if self._buffer else ""
            raise ConnectionClosed(f"the other end has closed the connection{inside}")
        return count

    def _take_descriptors(self, ancillary: list[tuple[int, int, bytes]]) -> None:
        descriptors = array.array("i")
        for level, kind, data in ancillary:
            if level == socket.SOL_SOCKET and kind == socket.SCM_RIGHTS:
                descriptors.frombytes(data[: len(data) - len(data) % _FD_BYTES])
        # Each is owned by a blob before any is looked at, so that all are closed if one is refused.
        blobs = [Blob(fd, 0) for fd in descriptors]
        self._blobs += blobs
        for blob in blobs:
            blob.verify()
        if len(self._blobs) > _MAX_FDS:
            raise WireError(f"{len(self._blobs)} descriptors came, more than a frame can have")

    def _take_more(self, count: int, messages: list[Message]) -> None:
        """Take the complete frames from what is buffered and what has come."""
        self._buffer += self._chunk[:count]
        with memoryview(self._buffer) as view:
            done = self._frames(view, messages)
        del self._buffer[:done]

    def _frames(self, view: memoryview, messages: list[Message]) -> int:
        at, size = 0, len(view)
        while size - at >= 4:
            length = int.from_bytes(view[at : at + 4], "big")
            if length > self._max_frame:
                raise WireError(f"a frame of {length} bytes is announced (limit {self._max_frame})")
            end = at + 4 + length
            if end > size:
                break
            message = unpack_next(view[at + 4 : end], self._blobs, self._rings)
            at = end
            if not isinstance(message, Ring):
                messages.append(message)
            elif self._rings is None:
                self._rings = _memory.RingReader(message.memory)
            else:
                raise WireError("a second ring came")
        return at

    def _fail(self, error: WireError) -> None:
        # Without its traceback, whose frames would keep blobs open; each read raises one of its own.
        self._error = error.with_traceback(None)
        self._blobs.clear()
        self._buffer = bytearray()
        try:
            # Whoever waits for the socket to be readable is woken, and asks again.
            self._sock.shutdown(socket.SHUT_RDWR)
        except OSError:
            pass

    def close(self) -> None:
        """Close the socket and drop what was not sent or not read. Idempotent.

        The owner stops waiting for the socket before: its descriptor may be given to another file at once.
        """
        with self._placing, self._io, self._lock:
            self._closed = True
            for ring in (self._ring, self._rings):
                if ring is not None:
                    ring.close()
            self._ring = self._rings = None
            self._queue.clear()
            self._pending_bytes = 0
            self._unsent = memoryview(b"")
            self._blobs.clear()
            self._buffer = bytearray()
            self._sock.close()


def _gone(error: OSError) -> ConnectionClosed:
    return ConnectionClosed(f"the other end of the connection is closed: {error}")


# Numbers, whose operators are not written in Python.
_RECEIVE_FLAGS: Final = int(getattr(socket, "MSG_CMSG_CLOEXEC", 0))
_CUT_FLAG: Final = int(socket.MSG_CTRUNC)

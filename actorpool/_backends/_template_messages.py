# SPDX-License-Identifier: Apache-2.0
"""What a template and its parent say to each other, and the channel they say it over.

A frame is a length of four bytes, big-endian, then a msgpack array of a kind and the message's fields. The one
descriptor of a `Fork` travels beside its frame; the kernel hands descriptors over no later than the bytes they came
with, and in order, so the n-th `Fork` gets the n-th descriptor.

Nothing here knows of containers or loops. Used by both sides.
"""

from __future__ import annotations

import array
import os
import select
import socket
import struct
from collections import deque
from collections.abc import Callable, Iterable
from typing import Any, Final, TypeAlias

import msgpack
from attrs import astuple, field, frozen

from actorpool.exception import InternalError

__all__ = [
    "Control",
    "ControlClosed",
    "ControlMessage",
    "Exited",
    "Fork",
    "ForkFailed",
    "Forked",
    "Kill",
    "Preload",
    "Preloaded",
]

_LENGTH: Final = struct.Struct(">I")
# Far above any list of modules; a longer one is not ours.
_LONGEST: Final = 1 << 24
_CHUNK: Final = 1 << 16
_DESCRIPTORS: Final = 16


def _texts(paths: Iterable[str | bytes | os.PathLike[str]]) -> tuple[str, ...]:
    return tuple(map(os.fsdecode, paths))


class ControlClosed(Exception):
    """The other side is gone."""


@frozen
class Preload:
    """To the template: import these, before the forks that follow."""

    modules: tuple[str, ...]
    sys_path: tuple[str, ...] = field(converter=_texts)
    argv: tuple[str, ...]
    cwd: str | None = None


@frozen
class Preloaded:
    """From the template: the modules of one `Preload` are imported, as far as they can be."""

    failures: tuple[tuple[str, str], ...]
    """(module, traceback) of each that cannot be imported; the containers that need it say so themselves."""
    bare: bool
    """Whether nothing is imported after all, because a module has started threads, which no fork survives."""


@frozen
class Fork:
    """To the template: make a container; its end of the socket pair comes with this."""

    number: int


@frozen
class Forked:
    """From the template: the container of that `Fork` is this process."""

    number: int
    pid: int


@frozen
class ForkFailed:
    """From the template: the machine has no process for that `Fork`."""

    number: int
    reason: str


@frozen
class Exited:
    """From the template: this process has ended and is reaped; comes after its `Forked`."""

    pid: int
    status: int
    """As `os.waitpid` gives it: `os.waitstatus_to_exitcode(status)` is the exit code, or minus the signal."""


@frozen
class Kill:
    """To the template: send a signal to one of its processes; nothing happens if it has ended."""

    pid: int
    signal: int


ControlMessage: TypeAlias = Preload | Preloaded | Fork | Forked | ForkFailed | Exited | Kill

_KINDS: Final[tuple[Callable[..., ControlMessage], ...]] = (
    Preload,
    Preloaded,
    Fork,
    Forked,
    ForkFailed,
    Exited,
    Kill,
)
_NUMBERS: Final = {kind: number for number, kind in enumerate(_KINDS)}


def _packed(message: ControlMessage) -> bytes:
    fields = astuple(message, recurse=False)
    # Paths and arguments need not be UTF-8.
    body: bytes = msgpack.packb([_NUMBERS[type(message)], *fields], unicode_errors="surrogateescape")
    return _LENGTH.pack(len(body)) + body


def _unpacked(body: bytes) -> ControlMessage:
    number, *fields = msgpack.unpackb(body, use_list=False, unicode_errors="surrogateescape")
    message: ControlMessage = _KINDS[number](*fields)
    return message


class Control:
    """One end of the control socket. One thread at a time."""

    __slots__ = ("_buffer", "_descriptors", "sock")

    def __init__(self, sock: socket.socket, received: bytes = b"", descriptors: tuple[int, ...] = ()) -> None:
        sock.setblocking(False)
        self.sock = sock
        self._buffer = bytearray(received)
        self._descriptors: deque[int] = deque(descriptors)

    def fileno(self) -> int:
        """The socket's descriptor, to wait on."""
        return self.sock.fileno()

    def send(self, message: ControlMessage, descriptor: int | None = None) -> None:
        """Send `message`, and a copy of `descriptor` with it; waits only while the other side reads nothing at all.

        Raises:
            ControlClosed: If the other side is gone.
        """
        data = memoryview(_packed(message))
        beside: list[tuple[int, int, Any]] = []
        if descriptor is not None:
            beside.append((socket.SOL_SOCKET, socket.SCM_RIGHTS, array.array("i", [descriptor])))
        while data:
            try:
                sent = self.sock.sendmsg([data], beside)
            except BlockingIOError:
                # poll and not select: a descriptor may be above 1,023.
                poll = select.poll()
                poll.register(self.sock, select.POLLOUT)
                poll.poll()
                continue
            except OSError as error:
                raise ControlClosed from error
            data = data[sent:]
            beside = []

    def receive(self) -> list[ControlMessage]:
        """Return what has come, which may be nothing. A `Fork` is followed by `take_descriptor`.

        Raises:
            ControlClosed: If the other side is gone; what it said before has been returned by then.
        """
        messages: list[ControlMessage] = []
        while not messages:
            try:
                data, beside, flags, _address = self.sock.recvmsg(
                    _CHUNK, socket.CMSG_SPACE(_DESCRIPTORS * array.array("i").itemsize)
                )
            except BlockingIOError:
                break
            except OSError as error:
                raise ControlClosed from error
            self._keep_descriptors(beside)
            if flags & socket.MSG_CTRUNC:
                raise InternalError("a template has no room for a descriptor: too many files are open in it")
            if not data:
                raise ControlClosed
            self._buffer += data
            messages = self.read_frames()
        return messages

    def read_frames(self) -> list[ControlMessage]:
        """Return what has come whole already, without asking the socket."""
        messages: list[ControlMessage] = []
        buffer = self._buffer
        while len(buffer) >= _LENGTH.size:
            (length,) = _LENGTH.unpack_from(buffer)
            if length > _LONGEST:
                raise InternalError(f"a template was sent a frame of {length} bytes (limit {_LONGEST})")
            end = _LENGTH.size + length
            if len(buffer) < end:
                break
            messages.append(_unpacked(bytes(buffer[_LENGTH.size : end])))
            del buffer[:end]
        return messages

    def take_descriptor(self) -> int:
        """Return the descriptor that came with the oldest `Fork` not asked for yet; it is the caller's to close."""
        descriptor = self._descriptors.popleft()
        os.set_inheritable(descriptor, False)
        return descriptor

    def leftovers(self, waiting: list[ControlMessage]) -> tuple[bytes, tuple[int, ...]]:
        """Return what has come and is not done, `waiting` first, for a `Control` that goes on where this one stops."""
        return b"".join(map(_packed, waiting)) + self._buffer, tuple(self._descriptors)

    def close(self) -> None:
        """Close the socket and the descriptors nobody took. Idempotent."""
        self.sock.close()
        while self._descriptors:
            os.close(self._descriptors.popleft())

    def _keep_descriptors(self, beside: list[tuple[int, int, bytes]]) -> None:
        for level, kind, data in beside:
            if (level, kind) == (socket.SOL_SOCKET, socket.SCM_RIGHTS):
                descriptors = array.array("i")
                descriptors.frombytes(data[: len(data) - len(data) % descriptors.itemsize])
                self._descriptors.extend(descriptors)

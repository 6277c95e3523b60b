# SPDX-License-Identifier: Apache-2.0
"""The container's side of what a test and its inputs share: stand-ins, and the connection to the test's process."""

from __future__ import annotations

import asyncio
import functools
import itertools
import os
import pickle
import socket
import struct
import threading
from collections.abc import Iterator
from concurrent.futures import Future
from typing import Any

import cloudpickle

from actorpool._backends._inside import in_container

# The environment variable that has the path of the test's socket.
ADDRESS = "ACTORPOOL_TESTS_SHARED"
# The name of a call that is answered once its object has been set, or (target 0) a time has passed.
AWAIT = "await"


class StandIn:
    """Calls the methods of an object in the test's process."""

    def __init__(self, number: int) -> None:
        self._number = number

    def __getattr__(self, name: str) -> Any:
        if name.startswith("__"):
            raise AttributeError(name)
        return functools.partial(_client().call, self._number, name)

    def __reduce__(self) -> Any:
        return StandIn, (self._number,)

    def extend(self, items: Any) -> None:
        _client().call(self._number, "extend", list(items))

    def __enter__(self) -> Any:
        return _client().call(self._number, "__enter__")

    def __exit__(self, *_: object) -> None:
        _client().call(self._number, "__exit__", None, None, None)

    def __len__(self) -> int:
        return int(_client().call(self._number, "__len__"))

    def __getitem__(self, index: Any) -> Any:
        return _client().call(self._number, "__getitem__", index)

    def __setitem__(self, index: Any, value: Any) -> None:
        _client().call(self._number, "__setitem__", index, value)

    def __contains__(self, value: Any) -> bool:
        return bool(_client().call(self._number, "__contains__", value))

    def __iter__(self) -> Iterator[Any]:
        return iter(_client().call(self._number, "copy"))


class EventStandIn(StandIn):
    """Of what an asynchronous input waits for: an event by `wait`, a latch by `opened`."""

    async def wait(self) -> None:
        await _client().wait(self._number)

    def __reduce__(self) -> Any:
        return EventStandIn, (self._number,)


class LatchStandIn(StandIn):
    async def opened(self) -> None:
        await _client().wait(self._number)

    def __reduce__(self) -> Any:
        return LatchStandIn, (self._number,)


class _Client:
    """A container's connection to the test's process."""

    def __init__(self, address: str) -> None:
        self._socket = socket.socket(socket.AF_UNIX)
        self._socket.connect(address)
        self._numbers = itertools.count(1)
        self._lock = threading.Lock()
        self._answers: dict[int, Future[Any]] = {}
        threading.Thread(target=self._read, daemon=True).start()

    def call(self, target: int, name: str, *args: Any) -> Any:
        return self._ask(target, name, args).result()

    async def wait(self, target: int, *args: Any) -> None:
        """Wait for an event, or (0) for a time."""
        answer = self._ask(target, AWAIT, args)
        try:
            await asyncio.wrap_future(answer)
        except asyncio.CancelledError:
            self.call(0, "leave", answer.number)  # type: ignore[attr-defined]
            raise

    def _ask(self, target: int, name: str, args: tuple[Any, ...]) -> Future[Any]:
        number = next(self._numbers)
        answer: Future[Any] = Future()
        answer.number = number  # type: ignore[attr-defined]
        self._answers[number] = answer
        with self._lock:
            send(self._socket, (number, target, name, args))
        return answer

    def _read(self) -> None:
        for number, result, error in received(self._socket):
            answer = self._answers.pop(number)
            if not answer.set_running_or_notify_cancel():
                continue
            if error is None:
                answer.set_result(result)
            else:
                answer.set_exception(error)


_clients: dict[int, _Client] = {}
_clients_lock = threading.Lock()


def _client() -> _Client:
    with _clients_lock:
        pid = os.getpid()
        if pid not in _clients:
            _clients[pid] = _Client(os.environ[ADDRESS])
        return _clients[pid]


def elsewhere() -> bool:
    """Whether this is a container's process, whose test is in another one."""
    return in_container() and ADDRESS in os.environ


def now_there() -> float:
    """Return the clock of the test, which is in another process."""
    return float(_client().call(0, "now"))


def wall_time_there() -> float:
    """Return the wall clock of the test, which is in another process, in Unix seconds."""
    return float(_client().call(0, "wall_time"))


async def sleep_there(seconds: float) -> None:
    """Sleep on the clock of the test, which is in another process."""
    await _client().wait(0, seconds)


# -- both sides ---------------------------------------------------------------------------------------------


def send(sock: socket.socket, message: object) -> None:
    try:
        data = pickle.dumps(message)
    except Exception:
        data = cloudpickle.dumps(message)
    sock.sendall(struct.pack("!I", len(data)) + data)


def received(sock: socket.socket) -> Iterator[Any]:
    with sock.makefile("rb") as file:
        try:
            while head := file.read(4):
                yield pickle.loads(file.read(struct.unpack("!I", head)[0]))
        except (OSError, EOFError):
            # The other process has ended.
            return

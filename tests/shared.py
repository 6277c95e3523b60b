# SPDX-License-Identifier: Apache-2.0
"""What a test and its inputs share, also when those run in other processes.

The object stays where the test is; a container gets a stand-in, whose method calls are made there. So do the clock
and `sleep` of `tests.api.support`: an input in another process lives on the clock of its test, virtual or not.

A list is wrapped by `shared`; what tests wait with (`threading.Event`, `threading.Barrier`, locks, the events of
`support`) needs no wrapping. All this is set up by `serve`, once per test run with process containers; without it
nothing here does anything.

Theory of operation. A container's process makes one connection to a Unix socket of the test's process, over which it
sends numbered calls; the answers may come in any order. A call of a method that blocks has a thread here. While an
asynchronous input waits, for a time or for an event, it holds no virtual clock, as it would not in the test's own
process; `quiet` tells when all inputs in other processes wait so, or are blocked in their threads.
"""

from __future__ import annotations

import copyreg
import functools
import itertools
import os
import socket
import tempfile
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Any, TypeVar, cast

from actorpool._core._ending import Ending
from actorpool._host._asyncio import AsyncioHost
from actorpool._host._base import Event, Host, TimerHandle
from actorpool._host._current import current_host
from actorpool._host._errors import HostClosedError
from actorpool._host._trio import TrioHost
from tests.stand_ins import ADDRESS, AWAIT, EventStandIn, StandIn, received, send

T = TypeVar("T")

# How long an interrupted input is expected to react, in seconds; one that takes longer does not mean to.
_REACTION_S = 1.0


class SharedList(list[Any]):
    """A list whose stand-in in a container adds to it."""

    def __reduce__(self) -> Any:
        return _reduced(self)


class SharedDict(dict[Any, Any]):
    """A dict whose stand-in in a container changes it."""

    def __reduce__(self) -> Any:
        return _reduced(self)


class Shared:
    """Base of what a test keeps and its inputs call the methods of."""

    def __reduce__(self) -> Any:
        return _reduced(self)


def shared(value: T) -> T:
    """Return a list or dict that is the test's in every process."""
    result: Any = SharedDict(value) if isinstance(value, dict) else SharedList(cast("list[Any]", value))
    return result


class SharedEvent(Shared):
    """An event of the running host that inputs in other processes can set and wait for."""

    stand_in = EventStandIn

    def __init__(self) -> None:
        self._host = current_host()
        self._event: Event = self._host.event()
        self._set = threading.Event()
        self._lock = threading.Lock()
        self._waiting: list[Callable[[], object]] = []

    def set(self) -> None:
        """Set it and wake whoever waits. Threads: any."""
        with self._lock:
            self._set.set()
            waiting, self._waiting = self._waiting, []
        for wake in waiting:
            wake()
        if self._host.bridge.is_current():
            self._event.set()
        else:
            self._host.bridge.post(SharedEvent._tell, self)

    def _tell(self) -> None:
        self._event.set()

    def is_set(self) -> bool:
        return self._set.is_set()

    async def wait(self) -> None:
        await self._event.wait()

    def when_set(self, wake: Callable[[], object]) -> None:
        """Call `wake` once it is set, now if it is."""
        with self._lock:
            if not self._set.is_set():
                self._waiting.append(wake)
                return
        wake()


class _Wait:
    """An asynchronous input that waits, and so does not hold the clock."""

    def __init__(self, host: Host, answer: Callable[[], object]) -> None:
        self._host = host
        self._answer = answer
        self._lock = threading.Lock()
        self._over = False
        self.timer: TimerHandle | None = None

    def begin(self) -> None:
        """Let go of the clock; whoever is to end it knows it by now."""
        self._host.release()

    def end(self) -> None:
        with self._lock:
            if self._over:
                return
            self._over = True
        self._host.hold()
        if self.timer is not None:
            self._host.bridge.post(type(self.timer).cancel, self.timer)
        self._answer()


class _Server:
    """Has the calls of stand-ins made on their objects."""

    def __init__(self, address: str) -> None:
        self._numbers = itertools.count(1)
        self.objects: dict[int, Any] = {}
        self._number_of: dict[int, int] = {}
        self.held = 0
        self.blocked = 0
        # {an interrupted input: when it was}
        self._interrupted: dict[tuple[Ending, int], float] = {}
        self.host: Host | None = None
        self._lock = threading.Lock()
        self._listener = socket.socket(socket.AF_UNIX)
        self._listener.bind(address)
        self._listener.listen(100)
        threading.Thread(target=self._accept, name="shared objects", daemon=True).start()

    def number_of(self, value: Any) -> int:
        with self._lock:
            number = self._number_of.get(id(value))
            if number is None:
                number = self._number_of[id(value)] = next(self._numbers)
                # The reference keeps the id from being used again.
                self.objects[number] = value
            return number

    def forget(self) -> None:
        with self._lock:
            self.objects.clear()
            self._number_of.clear()
            self._interrupted.clear()

    def count(self, host: Host, by: int) -> None:
        with self._lock:
            self.held += by
            self.host = host

    def interrupted(self, ending: Ending, number: int, since: float | None) -> None:
        """Note that an input in another process was interrupted, or (None) has returned."""
        with self._lock:
            if since is None:
                self._interrupted.pop((ending, number), None)
            else:
                self._interrupted[ending, number] = since

    @property
    def quiet(self) -> bool:
        """Whether all that runs in other processes waits, and what was interrupted there has returned."""
        with self._lock:
            patience = time.monotonic() - _REACTION_S
            stubborn = all(since < patience for since in self._interrupted.values())
            return self.held <= self.blocked and stubborn

    def _accept(self) -> None:
        while True:
            connection, _ = self._listener.accept()
            threading.Thread(target=self._serve, args=(connection,), daemon=True).start()

    def _serve(self, connection: socket.socket) -> None:
        try:
            self._serve_until_it_ends(connection)
        except HostClosedError:
            # The container has outlived the loop of its test.
            return

    def _serve_until_it_ends(self, connection: socket.socket) -> None:
        lock = threading.Lock()
        waits: dict[int, _Wait] = {}

        def answer(number: int, result: Any = None, error: BaseException | None = None) -> None:
            with lock:
                try:
                    send(connection, (number, result, error))
                except OSError:
                    # The container has ended.
                    return

        with connection:
            for number, target, name, args in received(connection):
                reply = functools.partial(answer, number)
                if name == AWAIT:
                    assert self.host is not None
                    wait = waits[number] = _Wait(self.host, reply)
                    if target:
                        self.objects[target].when_set(wait.end)
                    else:
                        self.host.bridge.post(_arm, (self.host, wait, args[0]))
                    wait.begin()
                elif not target and name == "leave":
                    waits[args[0]].end()
                    reply()
                elif not target:
                    assert self.host is not None
                    reply(self.host.now() if name == "now" else self.host.wall_time())
                elif name in ("wait", "acquire", "__enter__", "get"):
                    threading.Thread(
                        target=self._block, args=(reply, target, name, args), daemon=True
                    ).start()
                else:
                    self._make(reply, target, name, args)
            for wait in waits.values():
                wait.end()

    def _block(self, reply: Callable[..., None], target: int, name: str, args: tuple[Any, ...]) -> None:
        with self._lock:
            self.blocked += 1

        def unblocked(*outcome: Any) -> None:
            with self._lock:
                self.blocked -= 1
            reply(*outcome)

        self._make(unblocked, target, name, args)

    def _make(self, reply: Callable[..., None], target: int, name: str, args: tuple[Any, ...]) -> None:
        try:
            result = getattr(self.objects[target], name)(*args)
        except Exception as error:
            reply(None, error)
        else:
            reply(result)


def _arm(what: tuple[Host, _Wait, float]) -> None:
    host, wait, seconds = what
    wait.timer = host.call_at(host.now() + seconds, wait.end)


_server: _Server | None = None


def serve() -> None:
    """Have what tests share be found by containers in other processes, from now on."""
    global _server
    address = os.path.join(tempfile.mkdtemp(prefix="actorpool-tests-"), "shared")
    os.environ[ADDRESS] = address
    _server = _Server(address)
    for kind in (threading.Event, threading.Barrier, threading.Condition, type(threading.Lock())):
        copyreg.pickle(kind, _reduced)
    for host in (AsyncioHost, TrioHost):
        _count_holds(host)
    _count_interruptions(_server)


def _count_holds(host_type: Any) -> None:
    hold, release = host_type.hold, host_type.release
    server = _server
    assert server is not None

    def counted_hold(self: Any) -> None:
        server.count(self, 1)
        hold(self)

    def counted_release(self: Any) -> None:
        release(self)
        server.count(self, -1)

    @contextmanager
    def hold_clock(self: Any) -> Iterator[None]:
        counted_hold(self)
        try:
            yield
        finally:
            counted_release(self)

    host_type.hold, host_type.release, host_type.hold_clock = counted_hold, counted_release, hold_clock


def _count_interruptions(server: _Server) -> None:
    # To a type checker these are methods, which cannot be replaced.
    ending: Any = Ending
    interrupt, returned = ending.interrupt, ending.returned

    def counted_interrupt(self: Ending, number: int, now: float) -> None:
        server.interrupted(self, number, time.monotonic())
        interrupt(self, number, now)

    def counted_returned(self: Ending, number: int) -> None:
        returned(self, number)
        server.interrupted(self, number, None)

    ending.interrupt, ending.returned = counted_interrupt, counted_returned


def _reduced(value: Any) -> Any:
    if _server is None:
        raise TypeError(f"cannot pickle {type(value).__name__!r} object")
    stand_in = getattr(value, "stand_in", StandIn)
    return stand_in, (_server.number_of(value),)


def quiet() -> bool:
    """Whether all inputs in other processes wait, or are blocked in their threads."""
    return _server is None or _server.quiet


def forget() -> None:
    """Let go of what a test has shared; its containers have ended."""
    if _server is not None:
        _server.forget()
        _server.held = _server.blocked = 0

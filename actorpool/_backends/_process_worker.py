# SPDX-License-Identifier: Apache-2.0
"""The process of one container: speaks with its pool over a socket, and runs inputs in a container like any other.

Theory of operation. Everything that decides is in the parent. Here a loop reads messages, and a `LocalContainer`
runs what they bring, with the same slots, threads, hooks and streams as in the parent's process. What
becomes of an input is `_worker_inputs`; how it is said, `_worker_socket`; and when a thread reads in place of the
loop, `_worker_turns`.

The process ends in three ways: after `Stop` or a failed start, in good order; when the socket ends, at once; by a
signal, which is the parent's affair. It ends by `os._exit`: what a fork has inherited of its template is not
finalized a second time.
"""

from __future__ import annotations

import asyncio
import atexit
import os
import select
import socket
import sys
import threading
import traceback
from functools import partial
from typing import TYPE_CHECKING, Any, NoReturn

from attrs import define, field

from actorpool._core._container import Container, Phase
from actorpool._core._threads import ThreadBudget
from actorpool._host import _asyncio_slots, _asyncio_watchdog  # noqa: F401 - so that forks share what they import
from actorpool._host._current import current_host
from actorpool._host._traceback import trimmed
from actorpool._host._watchdog import open_watch
from actorpool._wire._codec import decode
from actorpool._wire._errors import encode_error
from actorpool._wire._messages import (
    VERSION,
    Cancel,
    CloseStream,
    Credit,
    Ready,
    Run,
    Runs,
    Start,
    StartFailed,
    Stop,
    Stopped,
    Withdraw,
)

from ._child_process import begin_container, interpreter_command, quiet_stdin, reset_signals
from ._code import unpack_workload
from ._inside import become, open_port
from ._interruptions import Interruptions
from ._process_child_io import LineWriter, capture_logging, capture_output
from ._process_stream import WireStream
from ._thread_gate import ThreadGate
from ._worker_arrivals import Arrivals
from ._worker_container import InterruptibleContainer, Place
from ._worker_inputs import WorkerInputs
from ._worker_slots import Batched
from ._worker_socket import WorkerSocket
from ._worker_turns import Turns

if TYPE_CHECKING:
    from collections.abc import Callable

    from actorpool._core._input import Input
    from actorpool._host._base import Host
    from actorpool._wire._messages import Message

__all__ = ["Worker", "main", "run_worker", "worker_command"]


def worker_command(descriptor: int) -> list[str]:
    """Return the command line of a container whose socket is `descriptor`, for where a template cannot fork."""
    return interpreter_command(__name__, f"main({descriptor}, {sys.argv!r})")


def main(descriptor: int, argv: list[str]) -> NoReturn:
    """Be the container of the socket `descriptor`, in a fresh interpreter."""
    sys.argv[:] = argv
    quiet_stdin()
    reset_signals()
    begin_container()
    os.set_inheritable(descriptor, False)
    sock = socket.socket(fileno=descriptor)
    # There is no template to end this process when the parent is gone and the loop is blocked.
    threading.Thread(target=_end_with, args=(sock,), name="actorpool end", daemon=True).start()
    run_worker(lambda: sock)


def run_worker(sock: Callable[[], socket.socket]) -> NoReturn:
    """Be the container at the other end of the socket that `sock` returns, perhaps after a while; ends the process."""
    become("container")
    # What the template's modules want done at its end is not for each container to do.
    atexit._clear()
    status = 1
    try:
        asyncio.Runner(loop_factory=asyncio.SelectorEventLoop).run(Worker(sock).run())
        status = 0
    except BaseException:
        # A bug of ours: what stands for the standard error now may not work any more.
        traceback.print_exc(file=sys.__stderr__)
    finally:
        os._exit(status)


def _end_with(sock: socket.socket) -> None:
    poll = select.poll()
    poll.register(sock, 0)
    # Asked for nothing, it reports the end alone.
    poll.poll()
    os._exit(0)


def _ignore(*_: object) -> None:
    """Tell nobody: a gate of one's own has no queue, and what was not called has no end."""


@define(eq=False)
class Worker:
    """All of the process's state."""

    _wait_for_socket: Callable[[], socket.socket]
    _interruptions: Interruptions = field(factory=Interruptions, init=False)
    _loop: asyncio.AbstractEventLoop = field(init=False)
    _socket: WorkerSocket = field(init=False)
    _writers: tuple[LineWriter, ...] = field(default=(), init=False)
    # Both from the start on.
    _container: InterruptibleContainer | None = field(default=None, init=False)
    _inputs: WorkerInputs | None = field(default=None, init=False)
    _arrivals: Arrivals = field(factory=Arrivals, init=False)
    # None where only the loop reads.
    _turns: Turns | None = field(default=None, init=False)
    # What hears the messages about calls of the parent's functions.
    hear: Callable[[Any], None] = field(default=_ignore, init=False)
    host: Host = field(init=False)
    ids: tuple[bytes, int] = field(init=False)
    _over: asyncio.Event = field(factory=asyncio.Event, init=False)
    _task: asyncio.Task[None] | None = field(default=None, init=False)

    async def run(self) -> None:
        """Serve until it is over, then see to it that all is said."""
        self._begin()
        open_port(self)
        self._writers = capture_output(self._socket.say, self._interruptions)
        # Nothing else is on the loop yet.
        self._socket.open(self._wait_for_socket(), self._read)
        await self._over.wait()
        atexit._run_exitfuncs()
        for writer in self._writers:
            writer.finish()
        self._socket.write_all()
        os._exit(0)

    def _begin(self) -> None:
        self._loop = asyncio.get_running_loop()
        self.host = current_host()
        self._socket = WorkerSocket(self._loop)

    # -- messages --------------------------------------------------------------------------------

    def _read(self) -> None:
        turns = self._turns
        if turns is None or turns.begin():
            self._take()
            self._obey_all()
            if turns is not None:
                turns.end()

    def _take(self) -> None:
        """Take in what has come; what is said of calls is passed on at once."""
        left = [] if self._turns is None else self._turns.left()
        self._arrivals.take([*left, *self._socket.read()], self.hear)

    def _obey_all(self) -> None:
        while self._arrivals.to_obey:
            self._obey(self._arrivals.to_obey.popleft())

    def _obey(self, message: Message) -> None:
        if isinstance(message, Start):
            self._task = self._loop.create_task(self._start(message))
        elif isinstance(message, Stop):
            self._task = self._loop.create_task(self._stop(message.grace_s, self._task))
        elif self._inputs is not None:
            self._obey_about_inputs(message, self._inputs)

    def _obey_about_inputs(self, message: Message, inputs: WorkerInputs) -> None:
        if isinstance(message, (Run, Runs)):
            inputs.run(inputs.enter(message))
        elif isinstance(message, Withdraw):
            inputs.withdraw(message)
        elif isinstance(message, Cancel):
            inputs.cancel(message.number)
        elif isinstance(message, Credit):
            input = inputs.of_number(message.number)
            if input is not None and isinstance(input.stream, WireStream):
                input.stream.grant(message.items)
        elif isinstance(message, CloseStream):
            input = inputs.of_number(message.number)
            if input is not None and input.stream is not None:
                input.stream.close()

    def _enter(self, messages: list[Message]) -> tuple[Callable[[], None], list[Message]]:
        """Take in the inputs that messages begin with; return what runs them, and the other messages."""
        assert self._inputs is not None
        entered: list[Run | Batched] = []
        count = 0
        for message in messages:
            if not isinstance(message, (Run, Runs)):
                break
            entered += self._inputs.enter(message)
            count += 1
        return partial(self._inputs.run, entered), messages[count:]

    # -- the port: see `_inside.Port` ----------------------------------------------------------

    def tell(self, message: Message) -> None:
        self._interruptions.shielded(self._tell, message)

    def _tell(self, message: Message) -> None:
        if self._inputs is not None:
            # The parent knows from the end of one input that the next, which may be who tells this, has begun.
            self._inputs.say_held()
        self._socket.post(message)

    def shielded(self, function: Callable[..., Any], *args: Any) -> Any:
        return self._interruptions.shielded(function, *args)

    def number_of(self, input: Input) -> int | None:
        return None if self._inputs is None else self._inputs.number_of(input)

    def wait(self, event: threading.Event) -> None:
        if threading.get_ident() != self._socket.thread:
            event.wait()
            return
        if self._turns is not None:
            self._turns.claim()
        # The loop stands still meanwhile: what is for it waits for its next turn.
        while not event.is_set():
            self._socket.wait()
            self._take()
        self._loop.call_soon(self._read)

    # -- life ------------------------------------------------------------------------------------

    async def _start(self, message: Start) -> None:
        try:
            self.ids = _ids(decode(message.ids))
            self._capture_logging(_levels(decode(message.levels)))
            workload = unpack_workload(_bytes(decode(message.code)))
            record = Container(1, self._loop.time())
            record.handle = Place(message.name)
            record.move(Phase.READY)
            host = current_host()
            inputs = WorkerInputs(
                self._socket, self._interruptions, self._writers, workload, record, self.ids[0]
            )
            watch = open_watch(
                host,
                message.block_warning_s,
                owns=lambda input: inputs.number_of(input) is not None,
                busy=lambda: inputs.busy,
            )
            self._inputs = inputs
            if workload.one_thread and Turns.possible():
                self._turns = self._socket.share(self._read, self._enter)
            gate = ThreadGate(host, ThreadBudget(max(1, workload.threads)), _ignore, _ignore)
            container = inputs.container = self._container = InterruptibleContainer(
                self._interruptions, message.name, workload, host, inputs.complete, gate, watch, self._turns
            )
            await container.start()
        except asyncio.CancelledError:
            raise
        except BaseException as error:
            # The user's modules and hooks may raise anything: it is the parent's to know.
            self._socket.post(StartFailed(encode_error(trimmed(error))))
            self._over.set()
        else:
            self._socket.post(Ready(VERSION, os.getpid()))

    def _capture_logging(self, levels: dict[str, int]) -> None:
        capture_logging(self._socket.say, self._interruptions, levels)

    async def _stop(self, grace_s: float, starting: asyncio.Task[None] | None) -> None:
        if starting is not None and not starting.done():
            starting.cancel()
            await asyncio.wait((starting,))
        if self._inputs is not None and self._container is not None:
            self._inputs.cancel_all()
            await self._container.stop(self._inputs.running, grace_s)
        self._socket.post(Stopped())
        self._over.set()


def _bytes(value: object) -> bytes:
    assert isinstance(value, (bytes, bytearray, memoryview))
    return bytes(value)


def _levels(value: object) -> dict[str, int]:
    assert isinstance(value, dict)
    return value


def _ids(value: object) -> tuple[bytes, int]:
    assert isinstance(value, tuple)
    key, first = value
    return _bytes(key), int(first)

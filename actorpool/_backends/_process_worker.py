# SPDX-License-Identifier: Apache-2.0
"""The process of one container: speaks with its pool over a socket, and runs inputs in a container like any other.

Theory of operation. Everything that decides is in the parent. Here a loop reads messages, and a `LocalContainer`
runs what they bring, with the same slots, threads, hooks and streams as in the parent's process. An input is known
by its number from its `Run` to its `Ended`, exactly one of which answers it, however it ends and on whatever thread.
Results leave from the thread that made them; the loop writes them out.

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
from collections import deque
from typing import TYPE_CHECKING, Any, Final, NoReturn

from attrs import define, field

from actorpool._core._container import Container, Phase
from actorpool._core._input import CANCELLED, FAILED, RUNNING, SUCCEEDED, Input
from actorpool._core._threads import ThreadBudget
from actorpool._host import _asyncio_slots, _asyncio_watchdog  # noqa: F401 - so that forks share what they import
from actorpool._host._base import current_host
from actorpool._host._stream import StreamClosed
from actorpool._host._traceback import trimmed
from actorpool._host._watchdog import open_watch
from actorpool._wire._codec import decode, decode_arguments, encode
from actorpool._wire._connection import Connection
from actorpool._wire._errors import encode_error
from actorpool._wire._faults import WireError
from actorpool._wire._messages import (
    VERSION,
    Cancel,
    CloseStream,
    Credit,
    Ended,
    Ready,
    Run,
    Start,
    StartFailed,
    Stop,
    Stopped,
    Withdraw,
    Withdrawn,
)
from actorpool.exception import ExecutionError, InputCancellation, RemoteError

from ._child_process import begin_container, interpreter_command, quiet_stdin, reset_signals
from ._code import unpack_workload
from ._inside import become, open_port
from ._interruptions import Interruptions
from ._process_child_io import LineWriter, capture_logging, capture_output
from ._process_stream import WireStream
from ._thread_gate import ThreadGate
from ._variables import unpack_context
from ._worker_arrivals import Arrivals
from ._worker_container import CallName, InterruptibleContainer, Place
from ._worker_slots import WorkerSlots

if TYPE_CHECKING:
    from collections.abc import Callable

    from actorpool._host._base import Host
    from actorpool._wire._messages import Message

    from ._workload import Workload

__all__ = ["main", "run_worker", "worker_command"]

# Lines and records that wait to be read, in bytes, before whoever prints has to wait. Picked by feel.
_ROOM_BYTES: Final = 1 << 20
# How often a thread that has to wait looks for itself, should the loop be blocked.
_LOOK_S: Final = 0.1


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
    run_worker(sock)


def run_worker(sock: socket.socket) -> NoReturn:
    """Be the container at the other end of `sock`; ends the process."""
    become("container")
    # What the template's modules want done at its end is not for each container to do.
    atexit._clear()
    status = 1
    try:
        asyncio.Runner(loop_factory=asyncio.SelectorEventLoop).run(_Worker(sock).run())
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
class _Worker:
    """All of the process's state."""

    _sock: socket.socket
    _interruptions: Interruptions = field(factory=Interruptions, init=False)
    _loop: asyncio.AbstractEventLoop = field(init=False)
    _thread: int = field(factory=threading.get_ident, init=False)
    _connection: Connection = field(init=False)
    # Threads that are in a call of the connection, which holds locks; and what they have to say after it.
    _busy: set[int] = field(factory=set, init=False)
    _late: deque[Message] = field(factory=deque, init=False)
    # Set when what waits to be read has become little.
    _room: threading.Event = field(factory=threading.Event, init=False)
    _writing: bool = field(default=False, init=False)
    _writers: tuple[LineWriter, ...] = field(default=(), init=False)
    _container: InterruptibleContainer | None = field(default=None, init=False)
    _workload: Workload | None = field(default=None, init=False)
    _record: Container = field(init=False)
    # Without any until it is known how many there are.
    _slots: WorkerSlots = field(factory=lambda: WorkerSlots(0), init=False)
    # {number: input} and back, from Run to Ended.
    _inputs: dict[int, Input] = field(factory=dict, init=False)
    _numbers: dict[Input, int] = field(factory=dict, init=False)
    _arrivals: Arrivals = field(factory=Arrivals, init=False)
    # What hears the messages about calls of the parent's functions.
    hear: Callable[[Any], None] = field(default=_ignore, init=False)
    host: Host = field(init=False)
    ids: tuple[bytes, int] = field(init=False)
    _over: asyncio.Event = field(factory=asyncio.Event, init=False)
    _task: asyncio.Task[None] | None = field(default=None, init=False)

    async def run(self) -> None:
        """Serve until it is over, then see to it that all is said."""
        self._loop = asyncio.get_running_loop()
        self.host = current_host()
        open_port(self)
        self._sock.setblocking(False)
        self._connection = Connection(self._sock, self._wake)
        self._writers = capture_output(self._say, self._interruptions)
        self._loop.add_reader(self._sock, self._read)
        await self._over.wait()
        atexit._run_exitfuncs()
        for writer in self._writers:
            writer.finish()
        while not self._write():
            self._wait_writable()
        os._exit(0)

    # -- the socket ------------------------------------------------------------------------------

    def _read(self) -> None:
        self._take()
        self._obey_all()

    def _take(self) -> None:
        """Take in what has come; what is said of calls is passed on at once."""
        self._busy.add(self._thread)
        try:
            messages = self._connection.read()
        except WireError:
            # The parent is gone, or out of its mind: there is nobody left to work for.
            os._exit(0)
        finally:
            self._busy.discard(self._thread)
        self._post_late()
        self._arrivals.take(messages, self.hear)

    def _obey_all(self) -> None:
        while self._arrivals.to_obey:
            self._obey(self._arrivals.to_obey.popleft())

    def _obey(self, message: Message) -> None:
        if isinstance(message, Run):
            self._run(message)
        elif isinstance(message, Credit):
            input = self._inputs.get(message.number)
            if input is not None and isinstance(input.stream, WireStream):
                input.stream.grant(message.items)
        elif isinstance(message, Cancel):
            self._cancel(message.number)
        elif isinstance(message, Withdraw):
            self._post(Withdrawn(self._slots.withdraw(message.number)))
        elif isinstance(message, CloseStream):
            input = self._inputs.get(message.number)
            if input is not None and input.stream is not None:
                input.stream.close()
        elif isinstance(message, Start):
            self._task = self._loop.create_task(self._start(message))
        elif isinstance(message, Stop):
            self._task = self._loop.create_task(self._stop(message.grace_s, self._task))

    def _wake(self) -> None:
        if threading.get_ident() == self._thread:
            # Once for all that this turn of the loop has to say. Other threads write themselves.
            self._loop.call_soon(self._flush)

    def _post(self, message: Message) -> None:
        """Say `message`. Threads: any."""
        thread = threading.get_ident()
        if thread in self._busy:
            # A destructor or the handler of a signal, amid a call of the connection in this very thread.
            self._late.append(message)
            return
        self._busy.add(thread)
        try:
            self._connection.post(message)
        finally:
            self._busy.discard(thread)
        if thread != self._thread:
            self._write()
        self._post_late()

    def _post_late(self) -> None:
        while self._late:
            try:
                message = self._late.popleft()
            except IndexError:
                # Another thread was faster.
                return
            self._post(message)

    def _write(self) -> bool:
        """Write what the socket takes; return whether that is all. Threads: any, for the connection has a lock."""
        thread = threading.get_ident()
        if thread in self._busy:
            return False
        self._busy.add(thread)
        try:
            done = self._connection.flush()
        except WireError:
            # What the parent said before its end does not matter any more.
            os._exit(0)
        finally:
            self._busy.discard(thread)
        if not done and thread != self._thread:
            self._loop.call_soon_threadsafe(self._flush)
        return done

    def _flush(self) -> None:
        done = self._write()
        if done == self._writing:
            self._writing = not done
            if done:
                self._loop.remove_writer(self._sock)
            else:
                self._loop.add_writer(self._sock, self._flush)
        if self._connection.pending_bytes <= _ROOM_BYTES:
            self._room.set()
        self._post_late()

    def _say(self, message: Message) -> None:
        """Post what is not bounded by the number of slots; wait while too much of it is on its way. Threads: any.

        It is written at once: the process may end, or its loop be blocked, before the next turn.
        """
        self._post(message)
        thread = threading.get_ident()
        if thread in self._busy:
            return
        if thread == self._thread:
            self._write()
            self._post_late()
        while self._connection.pending_bytes > _ROOM_BYTES:
            if thread == self._thread:
                self._wait_writable()
                self._flush()
            else:
                self._room.clear()
                if self._connection.pending_bytes > _ROOM_BYTES:
                    self._room.wait(_LOOK_S)

    def _wait_writable(self) -> None:
        poll = select.poll()
        poll.register(self._sock, select.POLLOUT)
        poll.poll()

    # -- the port: see `_inside.Port` ----------------------------------------------------------

    def tell(self, message: Message) -> None:
        self._interruptions.shielded(self._post, message)

    def shielded(self, function: Callable[..., Any], *args: Any) -> Any:
        return self._interruptions.shielded(function, *args)

    def number_of(self, input: Input) -> int | None:
        return self._numbers.get(input)

    def wait(self, event: threading.Event) -> None:
        if threading.get_ident() != self._thread:
            event.wait()
            return
        # The loop stands still meanwhile: what is for it waits for its next turn.
        while not event.is_set():
            poll = select.poll()
            poll.register(self._sock, select.POLLIN if self._write() else select.POLLIN | select.POLLOUT)
            poll.poll()
            self._take()
        if self._arrivals.to_obey:
            self._loop.call_soon(self._obey_all)

    # -- life ------------------------------------------------------------------------------------

    async def _start(self, message: Start) -> None:
        try:
            self.ids = _ids(decode(message.ids))
            capture_logging(self._say, self._interruptions, _levels(decode(message.levels)))
            self._workload = workload = unpack_workload(_bytes(decode(message.code)))
            self._record = Container(1, self._loop.time())
            self._record.handle = Place(message.name)
            self._record.move(Phase.READY)
            host = current_host()
            watch = open_watch(host, message.block_warning_s, owns=self._owns, busy=self._is_busy)
            gate = ThreadGate(host, ThreadBudget(max(1, workload.threads)), _ignore, _ignore)
            container = InterruptibleContainer(
                self._interruptions, message.name, workload, host, self._complete, gate, watch
            )
            self._container = container
            self._slots = WorkerSlots(workload.max_inputs)
            await container.start()
        except asyncio.CancelledError:
            raise
        except BaseException as error:
            # The user's modules and hooks may raise anything: it is the parent's to know.
            self._post(StartFailed(encode_error(trimmed(error))))
            self._over.set()
        else:
            self._post(Ready(VERSION, os.getpid()))

    async def _stop(self, grace_s: float, starting: asyncio.Task[None] | None) -> None:
        if starting is not None and not starting.done():
            starting.cancel()
            await asyncio.wait((starting,))
        for number in [*self._slots.ahead, *self._inputs]:
            self._cancel(number)
        leftover = list(self._inputs.values())
        if self._container is not None:
            await self._container.stop(leftover, grace_s)
        self._post(Stopped())
        self._over.set()

    # -- inputs ----------------------------------------------------------------------------------

    def _run(self, message: Run) -> None:
        container = self._container
        assert container is not None
        input = self._next(message) if self._slots.enter(message) else None
        if input is not None:
            try:
                container.send(input)
            except RuntimeError as error:
                # The machine has no thread left for it.
                self._complete(input, FAILED, error)

    def _next(self, message: Run | None) -> Input | None:
        """Return the input of `message`, which has a slot, or of the first after it that can be made."""
        while message is not None:
            try:
                return self._begin(message)
            except Exception as error:
                # Unpickling runs the user's code.
                number, message = message.number, self._slots.take()
                self._say_at_once(Ended(number, FAILED, encode_error(error)))
        return None

    def _begin(self, message: Run) -> Input:
        workload = self._workload
        assert workload is not None
        number = message.number
        args, kwargs = decode_arguments(message.arguments)
        context = unpack_context(message.context)
        target = workload.targets[message.target]
        input = Input(target, args, kwargs or None, context, index=message.index)
        input.attempt = message.attempt
        input.identity = CallName(message.call_id)
        input.container = self._record
        if message.credit is not None:
            input.stream = WireStream(number, message.credit, self._say, self._interruptions.shielded)
        self._numbers[input] = number
        self._record.inputs[input] = 0.0
        input.state = RUNNING if self._slots.begin(number, self._inputs, input) else CANCELLED
        return input

    def _say_at_once(self, message: Message) -> None:
        """Post `message` and, unless this is the loop's thread, return when it is written."""
        self._post(message)
        if threading.get_ident() != self._thread:
            # What follows here begins when the parent can know of it.
            while self._connection.pending_bytes and not self._write():
                self._wait_writable()

    def _cancel(self, number: int) -> None:
        if self._slots.cancel(number, self._inputs):
            self._post(Ended(number, CANCELLED, encode_error(RemoteError("the input was cancelled"))))
            return
        input, container, workload = self._inputs.get(number), self._container, self._workload
        if input is None or container is None or workload is None:
            return
        # What has not begun does not begin.
        input.state = CANCELLED
        container.cancel(input)
        if not input.target.is_async and workload.max_inputs == 1:
            self._interruptions.interrupt(input)

    def _complete(self, input: Input, state: int, value: Any) -> Input | None:
        """Tell the parent what became of `input`. Threads: any."""
        thread = threading.get_ident()
        if thread != self._thread:
            # The next input of this thread begins on a line of its own.
            for writer in self._writers:
                writer.finish_line(thread)
        number = self._numbers.pop(input)
        self._inputs.pop(number, None)
        self._record.inputs.pop(input, None)
        # Before the parent knows of the end: what it takes to have begun then is not to be withdrawn.
        message = self._slots.take()
        self._tell(number, input, state, value)
        return self._next(message)

    def _tell(self, number: int, input: Input, state: int, value: Any) -> None:
        if state == SUCCEEDED:
            try:
                self._say_at_once(Ended(number, SUCCEEDED, encode(value)))
            except Exception as error:
                # Objects of the user's say how they are pickled.
                failure = ExecutionError(
                    f"the result of '{input.target}' cannot be sent to its caller: {error}"
                )
                failure.__cause__ = error
                self._say_at_once(Ended(number, FAILED, encode_error(failure)))
            return
        if input.state == CANCELLED and (
            value is None or isinstance(value, (InputCancellation, StreamClosed))
        ):
            state, value = CANCELLED, RemoteError(f"input of '{input.target}' was cancelled")
        self._say_at_once(Ended(number, state, encode_error(value)))

    def _owns(self, input: Input) -> bool:
        return input in self._numbers

    def _is_busy(self) -> bool:
        return any(input.target.is_async for input in list(self._numbers))


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

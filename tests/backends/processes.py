# SPDX-License-Identifier: Apache-2.0
"""The parent of templates and workers, as plain blocking code: what a test says to them, and what they answer."""

from __future__ import annotations

import os
import select
import signal
import socket
import subprocess
import sys
import time
from collections.abc import Callable
from pathlib import Path
from types import TracebackType
from typing import Any, TypeVar

from actorpool._backends._code import pack_workload
from actorpool._backends._template import template_command
from actorpool._backends._template_messages import (
    Control,
    ControlClosed,
    ControlMessage,
    Exited,
    Fork,
    Forked,
    Kill,
    Preload,
    Preloaded,
)
from actorpool._backends._worker_output import logger_levels
from actorpool._backends._workload import Target, Workload
from actorpool._core._input import SUCCEEDED
from actorpool._wire._codec import decode, encode, encode_arguments
from actorpool._wire._connection import Connection, ConnectionClosed
from actorpool._wire._errors import decode_error
from actorpool._wire._messages import VERSION, Ended, Item, Message, Output, Ready, Run, Start, Stop, Stopped

T = TypeVar("T")
MessageT = TypeVar("MessageT")

PATIENCE_S = 10.0
CALL_ID = "fc-0123456789abcdef01234567"


def workload_of(handle: Any, *, max_inputs: int = 1) -> Workload:
    """Return the workload of a function of an app, or of an instance of a class."""
    if hasattr(handle, "get_raw_f"):
        entry = handle._source.life()._contents.functions[handle.name]
        return Workload(handle.name, (entry.target,), max_inputs)
    cls, _ = handle._resolve()
    workload: Workload = cls._spec_for(handle._values).workload
    workload.max_inputs = max_inputs
    return workload


def workload_for(function: Callable[..., Any]) -> Workload:
    """Return the workload of a plain synchronous function."""
    return Workload(function.__name__, (Target(function.__name__, function, False),), 1)


def waited_for(sock: Any, events: int = select.POLLIN) -> None:
    poll = select.poll()
    poll.register(sock, events)
    assert poll.poll(PATIENCE_S * 1_000), "nothing came"


def gone(pid: int) -> bool:
    """Whether no process has this number, not even one that is not reaped."""
    return not Path(f"/proc/{pid}").exists()


def over(pid: int) -> bool:
    """Whether the process has ended, reaped or not: whoever inherits an orphan may take its time."""
    try:
        return Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[0] in "ZX"
    except (FileNotFoundError, ProcessLookupError):
        return True


def until(condition: Callable[[], object]) -> None:
    """Return when `condition()` holds: of another process, so it has to be looked at."""
    deadline = time.monotonic() + PATIENCE_S
    while not condition():
        assert time.monotonic() < deadline
        time.sleep(0.002)


def children_of(parents: set[int]) -> dict[int, str]:
    """Return {process: state} of the children of `parents`."""
    found: dict[int, str] = {}
    for entry in os.listdir("/proc"):
        if entry.isdigit():
            try:
                fields = Path(f"/proc/{entry}/stat").read_text().rpartition(")")[2].split()
            except OSError:
                continue
            if int(fields[1]) in parents:
                found[int(entry)] = fields[0]
    return found


def containers() -> list[int]:
    """Return the processes of this process's containers."""
    return list(children_of(set(children_of({os.getpid()}))))


class Template:
    """A template and what it says."""

    def __init__(self, *modules: str, env: dict[str, str] | None = None) -> None:
        ours, theirs = socket.socketpair()
        with theirs:
            self.process = subprocess.Popen(
                template_command(theirs.fileno()),
                stdin=subprocess.DEVNULL,
                pass_fds=[theirs.fileno()],
                env={**os.environ, **(env or {})},
            )
        self.control = Control(ours)
        self.said: list[ControlMessage] = []
        self._forks = 0
        self.control.send(Preload(modules, tuple(sys.path), ("program", "--option"), os.getcwd()))

    def __enter__(self) -> Template:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.control.close()
        try:
            self.process.wait(PATIENCE_S)
        finally:
            self.process.kill()
            self.process.wait()

    def hear(
        self, kind: Callable[..., MessageT], test: Callable[[MessageT], bool] = lambda _: True
    ) -> MessageT:
        """Return the oldest message of this kind that passes the test, and forget it."""
        while True:
            for message in self.said:
                if isinstance(message, kind) and test(message):  # type: ignore[arg-type]
                    self.said.remove(message)
                    return message  # type: ignore[return-value]
            waited_for(self.control)
            self.said += self.control.receive()

    def preloaded(self) -> Preloaded:
        return self.hear(Preloaded)

    def fork(self) -> Worker:
        self._forks += 1
        number = self._forks
        ours, theirs = socket.socketpair()
        with theirs:
            self.control.send(Fork(number), theirs.fileno())
        pid = self.hear(Forked, lambda message: message.number == number).pid
        return Worker(ours, pid)

    def kill(self, pid: int, number: int = signal.SIGKILL) -> None:
        self.control.send(Kill(pid, number))

    def status_of(self, pid: int) -> int:
        """Wait for the end of the process; return its exit code, or minus the signal."""
        return os.waitstatus_to_exitcode(self.hear(Exited, lambda message: message.pid == pid).status)

    def ended(self) -> bool:
        """Whether the template has closed its end."""
        try:
            self.said += self.control.receive()
        except ControlClosed:
            return True
        return False


class Worker:
    """A container's process, and what it says."""

    def __init__(self, sock: socket.socket, pid: int) -> None:
        sock.setblocking(False)
        self._sock = sock
        self.pid = pid
        self._connection = Connection(sock, lambda: None)
        self._unread: list[Message] = []
        self.lines: list[str] = []
        """What it has printed, until the latest message that was asked for."""
        self._runs = 0

    def __enter__(self) -> Worker:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._connection.close()

    close = __exit__

    def post(self, message: Message) -> None:
        self._connection.post(message)
        while not self._connection.flush():
            waited_for(self._sock, select.POLLOUT)

    def hear(self) -> Message:
        """Return the next message."""
        while not self._unread:
            waited_for(self._sock)
            self._unread += self._connection.read()
        message = self._unread.pop(0)
        if isinstance(message, Output):
            self.lines.append(message.line)
        return message

    def wait(self, kind: type[MessageT]) -> MessageT:
        """Return the next message of this kind; what comes before is dropped, but for the lines."""
        while True:
            message = self.hear()
            if isinstance(message, kind):
                return message

    def hear_end(self) -> None:
        """Read to the end of the connection."""
        try:
            while True:
                self.hear()
        except ConnectionClosed:
            return

    def start(self, workload: Workload, *, name: str = "f/1", block_warning_s: float | None = None) -> None:
        code, ids, levels = encode(pack_workload(workload)), encode((b"key", 1)), encode(logger_levels())
        self.post(Start(VERSION, name, code, workload.max_inputs, 1.0, block_warning_s, ids, levels))

    def ready(self, workload: Workload, **options: Any) -> Worker:
        self.start(workload, **options)
        assert self.pid == self.wait(Ready).pid
        return self

    def run(
        self, *args: Any, target: int = 0, credit: int | None = None, context: Any = None, **kwargs: Any
    ) -> int:
        self._runs += 1
        number = self._runs
        arguments = encode_arguments(args, kwargs)
        self.post(Run(number, target, arguments, context, CALL_ID, 7, 1, credit))
        return number

    def outcome(self, number: int) -> Any:
        """Return the result of input `number`, or raise what it raised."""
        ended = self.wait(Ended)
        assert number == ended.number
        if ended.state == SUCCEEDED:
            return decode(ended.value)
        raise decode_error(ended.value)

    def call(self, *args: Any, **kwargs: Any) -> Any:
        return self.outcome(self.run(*args, **kwargs))

    def items(self, most: int) -> list[Any]:
        """Return the next items, as many as there must be."""
        return [decode(self.wait(Item).value) for _ in range(most)]

    def wait_for_line(self, line: str) -> None:
        while line not in self.lines:
            self.hear()

    def quiet(self) -> bool:
        """Whether nothing is to be read right now."""
        self._unread += self._connection.read()
        return not self._unread

    def stop(self, grace_s: float = 5.0) -> None:
        self.post(Stop(grace_s))
        self.wait(Stopped)

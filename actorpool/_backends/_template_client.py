# SPDX-License-Identifier: Apache-2.0
"""The parent's side of a template: starts one, has it fork, and hears who has ended.

There is one for each run of an app, started with the first container that needs it, and used on the host's thread.
When it ends, whatever way, the kernel and the template itself see to it that none of its containers lives on.
"""

from __future__ import annotations

import logging
import os
import signal
import socket
import subprocess
import threading
from typing import TYPE_CHECKING, Final

from actorpool._host._sockets import open_socket_watch
from actorpool.exception import ExecutionError

from ._template import template_command
from ._template_messages import (
    Control,
    ControlClosed,
    Exited,
    Fork,
    Forked,
    ForkFailed,
    Kill,
    Preload,
    Preloaded,
)

if TYPE_CHECKING:
    from collections.abc import Callable

    from actorpool._host._base import Host, Waiter

__all__ = ["Template"]

logger = logging.getLogger("actorpool")

# How long a template may take to end once its control socket has, in seconds.
_END_S: Final = 2.0


class _Asked:
    """A question to the template, and its answer."""

    __slots__ = ("answer", "exited", "waiter")

    def __init__(self, waiter: Waiter, exited: Callable[[int | None], object] | None = None) -> None:
        self.waiter = waiter
        self.exited = exited
        self.answer: Forked | ForkFailed | None = None

    def give(self, answer: Forked | ForkFailed | None) -> None:
        self.answer = answer
        self.waiter.notify()


class Template:
    """One template process; made on the host's thread."""

    __slots__ = ("_asked", "_control", "_exits", "_host", "_number", "_process", "_watch", "closed")

    def __init__(self, host: Host) -> None:
        """Start the process; `host` is whose loop hears of it."""
        ours, theirs = socket.socketpair()
        with theirs:
            try:
                self._process = subprocess.Popen(
                    template_command(theirs.fileno()), pass_fds=(theirs.fileno(),), stdin=subprocess.DEVNULL
                )
            except BaseException:
                ours.close()
                raise
        self._host = host
        self._control = Control(ours)
        self._number = 0
        self.closed: bool = False
        """Whether it is gone, so that another one is needed."""
        self._asked: dict[int, _Asked] = {}
        # {process: whom to tell its wait status; None if nobody will ever know}
        self._exits: dict[int, Callable[[int | None], object]] = {}
        self._watch = open_socket_watch(host, ours, self._readable, _nothing)

    @property
    def ended(self) -> bool:
        """Whether its process is gone, and the system's record of it too."""
        return self._process.poll() is not None

    def preload(self, message: Preload) -> None:
        """Have modules imported for the forks that follow; those that need one that cannot be will say so.

        Raises:
            ExecutionError: If the template is gone.
        """
        self._send(message)

    async def fork(self, sock: socket.socket, exited: Callable[[int | None], object]) -> int:
        """Return the number of a fresh container process, which has `sock`.

        Args:
            sock: Its end of the socket pair; still the caller's to close.
            exited: Called once with its wait status, as of `os.waitpid`; with None if the template ended first.

        Raises:
            ExecutionError: If the template is gone, or the machine has no further process.
        Cancellation: The process ends as soon as the other end of `sock` is closed.
        """
        self._number += 1
        number = self._number
        asked = self._asked[number] = _Asked(self._host.bridge.waiter(), exited)
        try:
            self._send(Fork(number), sock.fileno())
            await asked.waiter.wait()
        finally:
            self._asked.pop(number, None)
        answer = asked.answer
        if isinstance(answer, ForkFailed):
            raise ExecutionError(f"there is no process for a container: {answer.reason}")
        if answer is None:
            raise _gone()
        assert isinstance(answer, Forked)
        return answer.pid

    def kill(self, pid: int, number: int) -> None:
        """Send a signal to a container process; nothing happens if it has ended."""
        if not self.closed:
            try:
                self._control.send(Kill(pid, number))
            except ControlClosed:
                self._lose()

    def abandon(self) -> None:
        """Let it end, and all its containers, without the loop, which is gone. Threads: any."""
        self.closed = True
        self._control.close()
        self._await_end(_nothing)

    def _await_end(self, notify: Callable[[], object]) -> None:
        try:
            self._process.wait(_END_S)
        except subprocess.TimeoutExpired:
            self._process.kill()
            self._process.wait()
        notify()

    async def close(self) -> None:
        """Let it end, and wait for that; containers that are left are killed."""
        self._lose()
        waiter = self._host.bridge.waiter()
        # A thread, which costs less than to look again and again, and takes no virtual time.
        thread = threading.Thread(
            target=self._await_end, args=(waiter.notify,), name="actorpool template end"
        )
        thread.start()
        with self._host.hold_clock():
            await waiter.wait()
        thread.join()

    # -- what it says ----------------------------------------------------------------------------

    def _send(self, message: Preload | Fork, descriptor: int | None = None) -> None:
        if self.closed:
            raise _gone()
        try:
            self._control.send(message, descriptor)
        except ControlClosed:
            self._lose()
            raise _gone() from None

    def _readable(self) -> None:
        try:
            messages = self._control.receive()
        except ControlClosed:
            logger.error("the template process of process containers has ended; its containers end with it")
            self._end_groups()
            self._lose()
            return
        for message in messages:
            match message:
                case Preloaded(failures=failures):
                    for module, trace in failures:
                        logger.debug("module '%s' cannot be imported by a template:\n%s", module, trace)
                case Forked(number=number) | ForkFailed(number=number):
                    self._answer(number, message)
                case Exited(pid=pid, status=status):
                    exited = self._exits.pop(pid, None)
                    if exited is not None:
                        exited(status)

    def _answer(self, number: int, message: Forked | ForkFailed) -> None:
        asked = self._asked.get(number)
        if asked is None:
            # Who asked was cancelled, and has closed the other end.
            return
        if isinstance(message, Forked) and asked.exited is not None:
            # Here and not by who asked: it may have ended in the meantime.
            self._exits[message.pid] = asked.exited
        asked.give(message)

    def _end_groups(self) -> None:
        """End what the containers have started, which a template does that is not killed itself.

        Right away: a group keeps its number as long as anything of it lives, and one of which nothing does is not
        soon followed by another of that number.
        """
        for pid in self._exits:
            try:
                os.killpg(pid, signal.SIGKILL)
            except OSError:
                # Nothing is left of it.
                continue

    def _lose(self) -> None:
        """Wait for no answer any more."""
        if self.closed:
            return
        self.closed = True
        self._watch.close()
        self._control.close()
        exits, self._exits = self._exits, {}
        for exited in exits.values():
            exited(None)
        for asked in self._asked.values():
            asked.give(None)


def _gone() -> ExecutionError:
    return ExecutionError(
        "the template process of process containers has ended; the next start makes another one"
    )


def _nothing() -> None:
    """Do nothing: nobody waits for room on the control socket, nor for the end of what is abandoned."""

# SPDX-License-Identifier: Apache-2.0
"""The template: a process that has imported everything once, and makes containers by forking.

Theory of operation. It is a fresh interpreter, so nothing of the user's process is in it, and has one thread, so a
fork is whole. It waits for two things: messages of its parent, and the end of its children. Each child is reaped
here, and only a child that is not reaped is ever killed: a number that another process has got meanwhile is not.
When the control socket ends, whoever is left is killed and the template ends.

Each child leads a process group, which its signals go to, and which is killed before it is reaped, as long as its
number is taken: what the user's code has started there ends with it. The template has a group of its own as well, so
that no terminal ends it before it has ended them.

To fork takes most of a container's start: much of what a fresh fork touches has to be copied first. So there is a
spare, forked when nothing else was to do, which has done so and waits for the socket of the next container. It is
nobody's until then; when modules are imported, it is replaced. And before it imports anything of the user's, the
template runs through a container's life itself (`_rehearsal`), so that its forks have less to copy.

The user's modules run here while they are imported, and nothing else of the user's. One that cannot be imported is
no failure of the template: its containers import it themselves, and say why they cannot start. One that hangs
must not keep the template alive: a timer looks after the parent meanwhile. One that starts threads would leave
its locks held for ever in every fork; then the template begins anew, and imports nothing.
"""

from __future__ import annotations

import _thread
import gc
import importlib
import json
import os
import select
import signal
import socket
import sys
import threading
import traceback
import warnings
from functools import partial
from typing import TYPE_CHECKING, Any, Final, NoReturn

from actorpool._wire._pickling import cloudpickle
from actorpool.exception import InvalidError

from . import _process_worker
from ._child_process import (
    adopt_settings,
    begin_container,
    die_with,
    interpreter_command,
    lead_group,
    prepare_to_fork,
    quiet_stdin,
    reset_signals,
)
from ._inside import become
from ._rehearsal import rehearse
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

    from ._template_messages import ControlMessage

__all__ = ["main", "template_command"]

# How often an import is interrupted to look after the parent. Well below the 2 s in which all must have ended.
_LOOK_S: Final = 0.5
# How long a template that ends waits for those that it has killed.
_REAP_S: Final = 1.0


def template_command(descriptor: int) -> list[str]:
    """Return the command line of a template whose control socket is `descriptor`, which it must inherit."""
    return interpreter_command(__name__, f"main({descriptor})")


def main(descriptor: int, resumed: str = "") -> NoReturn:
    """Be the template of the control socket `descriptor` until that ends; started as `interpreter_command` says.

    Args:
        descriptor: A connected socket of AF_UNIX, SOCK_STREAM.
        resumed: What a template that begins anew knows from before.
    """
    become("template")
    lead_group()
    quiet_stdin()
    reset_signals()
    known: dict[str, Any] = json.loads(resumed) if resumed else {}
    sock = socket.socket(fileno=descriptor)
    os.set_inheritable(descriptor, False)
    control = Control(sock, bytes.fromhex(known.get("received", "")), tuple(known.get("descriptors", ())))
    template = _Template(control, known.get("children", ()), bare=bool(known))
    try:
        template.run()
    except ControlClosed:
        template.end()
    except BaseException:
        traceback.print_exc()
        template.end()


class _Template:
    def __init__(self, control: Control, children: tuple[int, ...], *, bare: bool) -> None:
        self._control = control
        self._children: set[int] = set(children)
        self._bare = bare
        # A container's process without a socket, and where it waits for one.
        self._spare: tuple[int, socket.socket] | None = None
        self._wants_spare = False
        self._waiting: list[ControlMessage] = []
        self._told, self._tell = socket.socketpair()
        self._told.setblocking(False)
        self._tell.setblocking(False)

    def run(self) -> NoReturn:
        """Do what is asked, and report who has ended, until the parent is gone."""
        gc.disable()
        try:
            cloudpickle()
        except InvalidError:
            # An extra: who needs it is told so where the code is packed.
            pass
        rehearse()
        prepare_to_fork()
        self._listen_to_children()
        self._waiting += self._control.read_frames()
        # Those that ended before their signals were heard.
        self._reap()
        poll = select.poll()
        poll.register(self._control, select.POLLIN)
        poll.register(self._told, select.POLLIN)
        while True:
            while self._waiting:
                self._obey(self._waiting.pop(0))
            if self._wants_spare and not poll.poll(0):
                self._make_spare()
            ready = {descriptor for descriptor, _ in poll.poll()}
            if self._told.fileno() in ready:
                self._hear()
                self._reap()
            if self._control.fileno() in ready:
                self._waiting += self._control.receive()

    def end(self) -> NoReturn:
        """Kill and reap whoever is left, and end."""
        left = set(self._children)
        if self._spare is not None:
            left.add(self._spare[0])
        for pid in left:
            # Not reaped, so the number is its own.
            _signal_group(pid, signal.SIGKILL)
        # One that the kernel cannot end does not keep this process.
        signal.signal(signal.SIGALRM, signal.SIG_DFL)
        signal.setitimer(signal.ITIMER_REAL, _REAP_S)
        for pid in left:
            try:
                os.waitpid(pid, 0)
            except ChildProcessError:
                # A module of the user's has waited for all children.
                continue
        os._exit(0)

    def _obey(self, message: ControlMessage) -> None:
        if isinstance(message, Fork):
            self._fork(message.number)
        elif isinstance(message, Kill):
            if message.pid in self._children:
                _signal_group(message.pid, message.signal)
        elif isinstance(message, Preload):
            self._preload(message)

    # -- children --------------------------------------------------------------------------------

    def _fork(self, number: int) -> None:
        descriptor = self._control.take_descriptor()
        try:
            pid = self._hand_to_spare(descriptor) or self._make(partial(_socket_of, descriptor))
        except OSError as error:
            self._control.send(ForkFailed(number, str(error)))
            return
        finally:
            os.close(descriptor)
        self._children.add(pid)
        self._control.send(Forked(number, pid))
        self._wants_spare = True

    def _make(self, sock: Callable[[], socket.socket]) -> int:
        """Fork a container's process, whose socket is that of `sock`, called there; return its number."""
        template = os.getpid()
        with warnings.catch_warnings():
            # From Python 3.12 on it warns of threads: none is Python's, and libraries with others expect forks.
            warnings.simplefilter("ignore", DeprecationWarning)
            pid = os.fork()
        if pid == 0:
            self._become_container(sock, template)
        # As it does itself: whoever is first.
        lead_group(pid)
        return pid

    def _make_spare(self) -> None:
        self._wants_spare = False
        ours, theirs = socket.socketpair()
        with theirs:
            try:
                self._spare = self._make(partial(_receive_socket, ours, theirs)), ours
            except OSError:
                # Then the next one is forked when it is asked for, and says why it cannot be.
                ours.close()

    def _hand_to_spare(self, descriptor: int) -> int | None:
        """Let the spare be the container of that socket; return its number, or None if there is none."""
        if self._spare is None:
            return None
        (pid, sock), self._spare = self._spare, None
        with sock:
            try:
                socket.send_fds(sock, [b"."], [descriptor])
            except OSError:
                # It has ended.
                os.waitpid(pid, 0)
                return None
        return pid

    def _drop_spare(self) -> None:
        """End the spare."""
        if self._spare is not None:
            (pid, sock), self._spare = self._spare, None
            sock.close()
            _signal_group(pid, signal.SIGKILL)
            os.waitpid(pid, 0)
            self._wants_spare = True

    def _become_container(self, sock: Callable[[], socket.socket], template: int) -> NoReturn:
        try:
            become("container")
            lead_group()
            # All that is left of those there were before the imports, and of those of the modules.
            signal.set_wakeup_fd(-1)
            signal.signal(signal.SIGCHLD, signal.SIG_DFL)
            die_with(template)
            self._told.close()
            self._tell.close()
            self._control.close()
            begin_container()
            _process_worker.run_worker(sock)
        except BaseException:
            # A bug of ours: never back into the template's loop.
            traceback.print_exc()
        finally:
            os._exit(1)

    def _listen_to_children(self) -> None:
        signal.signal(signal.SIGCHLD, _nothing)
        signal.set_wakeup_fd(self._tell.fileno(), warn_on_full_buffer=False)

    def _hear(self) -> None:
        try:
            while self._told.recv(4_096):
                pass
        except BlockingIOError:
            pass

    def _reap(self) -> None:
        if self._spare is not None and _status_of(self._spare[0]) is not None:
            # Somebody has killed it.
            self._spare[1].close()
            self._spare = None
            self._wants_spare = True
        # One by one: other children are those of the user's modules.
        for pid in sorted(self._children):
            try:
                status = _status_of(pid)
            except ChildProcessError:
                # A module of the user's has waited for all children: how it ended nobody knows.
                status = 0
            if status is not None:
                self._children.discard(pid)
                self._control.send(Exited(pid, status))

    # -- the user's modules ----------------------------------------------------------------------

    def _preload(self, message: Preload) -> None:
        self._drop_spare()
        adopt_settings(message.sys_path, message.argv, message.cwd)
        failures: list[tuple[str, str]] = []
        if not self._bare:
            self._look_after_parent(_LOOK_S)
            for module in message.modules:
                try:
                    importlib.import_module(module)
                except BaseException:
                    # Whatever it is, SystemExit included: the containers that need the module say so.
                    failures.append((module, traceback.format_exc()))
            self._look_after_parent(0)
            _flush()
            if threading.active_count() > 1 or _thread._count():
                self._begin_anew(message)
            # A module may have taken the signals for itself.
            reset_signals()
            self._listen_to_children()
            prepare_to_fork()
        self._control.send(Preloaded(tuple(failures), self._bare))

    def _look_after_parent(self, every_s: float) -> None:
        signal.signal(signal.SIGALRM, self._look if every_s else signal.SIG_DFL)
        signal.setitimer(signal.ITIMER_REAL, every_s, every_s)

    def _look(self, *_: object) -> None:
        poll = select.poll()
        poll.register(self._control, 0)
        # Asked for nothing, it reports the end alone.
        if poll.poll(0):
            self.end()

    def _begin_anew(self, message: Preload) -> NoReturn:
        """Become a template that imports nothing of the user's; the children stay this process's."""
        received, descriptors = self._control.leftovers([message, *self._waiting])
        for descriptor in (self._control.fileno(), *descriptors):
            os.set_inheritable(descriptor, True)
        known = {
            "received": received.hex(),
            "descriptors": descriptors,
            "children": sorted(self._children),
        }
        command = interpreter_command(__name__, f"main({self._control.fileno()}, {json.dumps(known)!r})")
        os.execv(command[0], command)


def _status_of(child: int) -> int | None:
    """Reap a child that has ended, after what it has started; None if it has not."""
    if hasattr(os, "waitid"):
        if os.waitid(os.P_PID, child, os.WEXITED | os.WNOHANG | os.WNOWAIT) is None:
            return None
        _signal_group(child, signal.SIGKILL)
        return os.waitpid(child, 0)[1]
    # On macOS, before Python 3.13: the number is free for a moment.
    reaped, status = os.waitpid(child, os.WNOHANG)
    if not reaped:
        return None
    _signal_group(child, signal.SIGKILL)
    return status


def _signal_group(leader: int, number: int) -> None:
    """Send a signal to a child that is not reaped, and to what it has started."""
    try:
        os.killpg(leader, number)
    except OSError:
        # It has ended, and nothing that may be signalled is left of its group.
        return


def _socket_of(descriptor: int) -> socket.socket:
    return socket.socket(fileno=descriptor)


def _receive_socket(theirs: socket.socket, ours: socket.socket) -> socket.socket:
    """Return the socket that comes through `ours`, whose other end, `theirs`, is a copy to be closed."""
    theirs.close()
    with ours:
        _, descriptors, _, _ = socket.recv_fds(ours, 1, 1)
    if not descriptors:
        # The template does not need it any more.
        os._exit(0)
    os.set_inheritable(descriptors[0], False)
    return _socket_of(descriptors[0])


def _flush() -> None:
    for stream in (sys.stdout, sys.stderr):
        try:
            stream.flush()
        except (AttributeError, OSError, ValueError):
            # None, closed, or nobody reads it any more.
            pass


def _nothing(*_: object) -> None:
    """Hear of a signal: the wake-up descriptor is what counts."""

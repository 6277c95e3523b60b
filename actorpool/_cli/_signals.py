# SPDX-License-Identifier: Apache-2.0
"""SIGINT and SIGTERM: the first drains the app, a second one stops the process.

Phases, moved by the main thread:

1. LOADING: user code is imported. A signal is a KeyboardInterrupt.
2. STARTING: `begin` was called; a signal waits until the app runs, a second one is a KeyboardInterrupt.
3. RUNNING: the app runs. The first signal lets it drain: nothing more is accepted, what was accepted is
   finished within the grace, the exit hooks run. The entrypoint goes on meanwhile, gets the results of its calls,
   and is interrupted when the grace is over. A second signal cancels what still runs, interrupts the entrypoint,
   and ends the process if that takes longer than a second: user code in a thread cannot be stopped otherwise.
4. OVER: nothing is left; signals are the process's own again.

Who hears a signal. Python runs handlers in the main thread, between two bytecodes: late if that thread is in C code,
not at all if the signal comes just before a lock puts it to sleep, and maybe while it holds a lock of ours. So the
first hand is the interpreter's wakeup descriptor, on which a thread of its own, the watcher, reads the number of each
signal in any case; the handlers take no lock and do next to nothing. To interrupt a synchronous entrypoint the watcher
sends the main thread SIGURG, as often as it takes for that handler to run, which raises.
"""

from __future__ import annotations

import enum
import os
import signal
import socket
import sys
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from types import FrameType, TracebackType
from typing import TYPE_CHECKING, Any, Final

from actorpool._host._errors import HostClosedError
from actorpool.exception import ClosedError, ExecutionError

if TYPE_CHECKING:
    from actorpool._lifecycle import Lifecycle

__all__ = ["STOP_S", "Interruption"]

STOP_S: Final = 1.0
"""How long cancelled work and exit hooks may take after a second signal, in seconds."""

_SIGNALS: Final = (signal.SIGINT, signal.SIGTERM)
# Ignored by default and used by nobody, so that one too many does no harm. Windows has none, and wakes up sleepers.
_KICK: Final = signal.SIGINT if sys.platform == "win32" else signal.SIGURG
_KICK_EVERY_S: Final = 0.02
# Not the number of a signal.
_OVER: Final = 0


class _Phase(enum.Enum):
    LOADING = enum.auto()
    STARTING = enum.auto()
    RUNNING = enum.auto()
    OVER = enum.auto()


class Interruption:
    """Listens for signals while its block lasts; outside the main thread it does nothing.

    Args:
        grace_s: How long an app may drain, and its entrypoint go on, after the first signal.
        report: Told what happens, in a sentence.
    """

    def __init__(self, grace_s: float, report: Callable[[str], object]) -> None:
        self._grace_s = grace_s
        self._report = report
        self._phase = _Phase.LOADING
        self._first: int | None = None
        # How often the handler ran, which may be less often than signals came.
        self._handled = 0
        self._stopping = False
        self._running = threading.Event()
        self._life: Lifecycle | None = None
        self._interrupt_body: Callable[[], None] | None = None
        # Raised by the watcher, lowered by the handler that has seen to it.
        self._kicking = False
        self._in_sync_body = False
        self._handlers_before: dict[int, Any] = {}
        self._wakeup_before = -1
        self._numbers, self._wakeup = socket.socketpair()
        self._watcher: threading.Thread | None = None

    # -- the main thread -------------------------------------------------------------------------

    @property
    def status(self) -> int:
        """The exit status that the signals ask for; 0 without any."""
        return 0 if self._first is None else 128 + self._first

    def caused(self, error: BaseException) -> bool:
        """Whether `error` is how a signal made itself felt: an interruption, or a call refused since."""
        if self._first is None:
            return False
        if isinstance(error, BaseExceptionGroup):
            return all(map(self.caused, error.exceptions))
        return isinstance(error, (ClosedError, KeyboardInterrupt))

    def begin(self, life: Lifecycle) -> None:
        """From now on signals are for the app of `life`, which is about to run."""
        self._life = life
        self._phase = _Phase.STARTING

    @contextmanager
    def body(self, interrupt: Callable[[], None] | None = None) -> Iterator[None]:
        """Wrap the entrypoint, with the app running; swallows the end that a signal brings it.

        What is raised by a signal must not end the drain, as an exception in the app's own block would.

        Args:
            interrupt: Interrupts the entrypoint, from any thread; default: a KeyboardInterrupt in the main thread.
        """
        self._interrupt_body = interrupt
        self._phase = _Phase.RUNNING
        self._running.set()
        try:
            self._in_sync_body = interrupt is None
            yield
        except BaseException as error:
            if not self.caused(error):
                raise
        finally:
            self._in_sync_body = False
            self._interrupt_body = None

    def __enter__(self) -> Interruption:
        if threading.current_thread() is not threading.main_thread():
            return self
        self._watcher = threading.Thread(target=self._watch, name="actorpool signals", daemon=True)
        self._watcher.start()
        self._wakeup.setblocking(False)
        self._wakeup_before = signal.set_wakeup_fd(self._wakeup.fileno(), warn_on_full_buffer=False)
        _present.append(self)
        for number in _SIGNALS:
            # Whoever started the process may have chosen to ignore it, as nohup does.
            if signal.getsignal(number) is not signal.SIG_IGN:
                self._handlers_before[number] = signal.signal(number, self._on_signal)
        if sys.platform != "win32":
            self._handlers_before[_KICK] = signal.signal(_KICK, self._on_kick)
        return self

    def __exit__(
        self,
        exc_type: type[BaseException] | None,
        exc: BaseException | None,
        traceback: TracebackType | None,
        /,
    ) -> None:
        if self._stopping:
            # The watcher ends the process if what is left to do, such as joining threads of the user's, takes long.
            return
        self._phase = _Phase.OVER
        self._running.set()
        if self._watcher is not None:
            self._wakeup.send(bytes([_OVER]))
            self._watcher.join()
            self.let_go()
        self._numbers.close()
        self._wakeup.close()

    def let_go(self) -> None:
        """Leave signals to whoever had them before."""
        _present.remove(self)
        signal.set_wakeup_fd(self._wakeup_before)
        for number, handler in self._handlers_before.items():
            signal.signal(number, handler)

    def forget_watcher(self) -> None:
        """Have no watcher any more: threads do not survive a fork."""
        self._watcher = None

    def _on_signal(self, number: int, _frame: FrameType | None) -> None:
        self._handled += 1
        if self._first is None:
            self._first = number
        # A loop that runs in this thread may have taken the descriptor; then the watcher has not been told.
        ours = self._wakeup.fileno()
        present = signal.set_wakeup_fd(ours, warn_on_full_buffer=False)
        if present != ours:
            self._wakeup.send(bytes([number]))
            if present != -1:
                signal.set_wakeup_fd(present)
        if self._phase is _Phase.LOADING or (self._phase is _Phase.STARTING and self._handled > 1):
            raise KeyboardInterrupt

    def _on_kick(self, _number: int, _frame: FrameType | None) -> None:
        if self._kicking:
            self._kicking = False
            if self._in_sync_body:
                raise KeyboardInterrupt

    # -- the watcher -----------------------------------------------------------------------------

    def _watch(self) -> None:
        number = self._next(None)
        if not number:
            return
        if self._first is None:
            self._first = number
        self._running.wait()
        if self._phase is _Phase.OVER:
            # It never came to run.
            return
        self._drain(number)
        number = self._next(time.monotonic() + self._grace_s)
        if number is None:
            number = self._interrupt(None)
        if number == _OVER:
            return
        self._stopping = True
        self._report("stopping at once")
        self._ask_close(drain=False)
        if self._interrupt(time.monotonic() + STOP_S) != _OVER:
            _end_process(self.status)

    def _next(self, until: float | None) -> int | None:
        """Return the number of the next signal, or that it is over, or None if nothing has come by `until`."""
        while True:
            left = None if until is None else min(max(until - time.monotonic(), 0.0), threading.TIMEOUT_MAX)
            if left == 0.0:
                return None
            self._numbers.settimeout(left)
            try:
                number = self._numbers.recv(1)[0]
            except TimeoutError:
                return None
            if number == _OVER or number in _SIGNALS:
                return number

    def _drain(self, number: int) -> None:
        inputs = self._ask_close(drain=True)
        plural = "" if inputs == 1 else "s"
        self._report(
            f"{signal.Signals(number).name}: accepting nothing more; finishing {inputs} input{plural}, for up to "
            f"{self._grace_s:g} s (a second one stops at once)"
        )

    def _ask_close(self, *, drain: bool) -> int:
        """Let the app close; return how many inputs it has on board."""
        assert self._life is not None
        try:
            runtime = self._life.runtime()
        except ExecutionError:
            # It has ended in the same moment.
            return 0
        runtime.ask_close(drain=drain)
        counts = [supervisor.dispatcher.counts() for supervisor in runtime.supervisors().values()]
        return sum(count.pending + count.running for count in counts)

    def _interrupt(self, until: float | None) -> int | None:
        """Interrupt the entrypoint; return what comes next, or None if nothing has come by `until`."""
        interrupt = self._interrupt_body
        if interrupt is not None:
            try:
                interrupt()
            except HostClosedError:
                # The entrypoint's loop has ended in the same moment, and it with it.
                pass
        elif self._in_sync_body:
            self._kicking = True
            while self._kicking and (until is None or time.monotonic() < until):
                _kick_main_thread()
                number = self._next(time.monotonic() + _KICK_EVERY_S)
                if number is not None:
                    return number
        return self._next(until)


def _kick_main_thread() -> None:
    if sys.platform == "win32":
        import _thread

        _thread.interrupt_main(_KICK)
    else:
        main = threading.main_thread().ident
        assert main is not None
        signal.pthread_kill(main, _KICK)


def _end_process(status: int) -> None:
    """End the process now, with what has been printed; whoever blocks the streams does not hold it up."""

    def flush() -> None:
        for stream in (sys.stdout, sys.stderr):
            try:
                stream.flush()
            except (OSError, ValueError):
                # Closed, or nobody reads it.
                continue

    try:
        flusher = threading.Thread(target=flush, daemon=True)
        flusher.start()
        flusher.join(0.2)
    finally:
        # The interpreter, if it is ending already, starts no thread any more.
        os._exit(status)


# The one that listens. A forked child must not: it would speak to its parent's watcher, and end nobody.
_present: Final[list[Interruption]] = []


def _let_go_in_child() -> None:
    while _present:
        interruption = _present[-1]
        interruption.forget_watcher()
        interruption.let_go()


if sys.platform != "win32":
    os.register_at_fork(after_in_child=_let_go_in_child)

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

The handler runs between any two bytecodes of the main thread, maybe under a lock of ours. So it takes none: it only
counts, and puts a note into a queue made for that. A thread of its own, the watcher, carries out. To interrupt a
synchronous entrypoint the watcher sends the signal once more; the handler then raises.
"""

from __future__ import annotations

import enum
import os
import signal
import sys
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from queue import Empty, SimpleQueue
from types import FrameType, TracebackType
from typing import TYPE_CHECKING, Any, Final

from actorpool._host._base import HostClosedError
from actorpool.exception import ClosedError, ExecutionError

if TYPE_CHECKING:
    from actorpool._lifecycle import Lifecycle

__all__ = ["STOP_S", "Interruption"]

STOP_S: Final = 1.0
"""How long cancelled work and exit hooks may take after a second signal, in seconds."""

_SIGNALS: Final = (signal.SIGINT, signal.SIGTERM)


class _Phase(enum.Enum):
    LOADING = enum.auto()
    STARTING = enum.auto()
    RUNNING = enum.auto()
    OVER = enum.auto()


class _Note(enum.Enum):
    SIGNAL = enum.auto()
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
        self._received: list[int] = []
        self._notes: SimpleQueue[_Note] = SimpleQueue()
        self._running = threading.Event()
        self._life: Lifecycle | None = None
        self._interrupt_body: Callable[[], None] | None = None
        # Raised by the watcher before it sends a signal that is to interrupt a synchronous body.
        self._interrupting = False
        self._in_sync_body = False
        self._before: dict[int, Any] = {}
        self._watcher: threading.Thread | None = None

    # -- the main thread -------------------------------------------------------------------------

    @property
    def status(self) -> int:
        """The exit status that the signals ask for; 0 without any."""
        return 128 + self._received[0] if self._received else 0

    def caused(self, error: BaseException) -> bool:
        """Whether `error` is how a signal made itself felt: an interruption, or a call refused since."""
        if not self._received:
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
        self._interrupt_body = self._interrupt_main if interrupt is None else interrupt
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
        if threading.current_thread() is threading.main_thread():
            self._watcher = threading.Thread(target=self._watch, name="actorpool signals", daemon=True)
            self._watcher.start()
            for number in _SIGNALS:
                # Whoever started the process may have chosen to ignore it, as nohup does.
                if signal.getsignal(number) is not signal.SIG_IGN:
                    self._before[number] = signal.signal(number, self._on_signal)
        return self

    def __exit__(
        self,
        exc_type: type[BaseException] | None,
        exc: BaseException | None,
        traceback: TracebackType | None,
        /,
    ) -> None:
        if len(self._received) > 1 and self._phase is _Phase.RUNNING:
            # The watcher ends the process if what is left to do, such as joining threads of the user's, takes long.
            return
        self._phase = _Phase.OVER
        self._running.set()
        self._notes.put(_Note.OVER)
        if self._watcher is not None:
            self._watcher.join()
        for number, handler in self._before.items():
            signal.signal(number, handler)

    def _on_signal(self, number: int, _frame: FrameType | None) -> None:
        if self._interrupting:
            self._interrupting = False
            if self._in_sync_body:
                raise KeyboardInterrupt
            return
        self._received.append(number)
        if self._phase is _Phase.LOADING or (self._phase is _Phase.STARTING and len(self._received) > 1):
            raise KeyboardInterrupt
        self._notes.put(_Note.SIGNAL)

    # -- the watcher -----------------------------------------------------------------------------

    def _watch(self) -> None:
        if self._notes.get() is _Note.OVER:
            return
        self._running.wait()
        if self._phase is _Phase.OVER:
            # It never came to run.
            return
        self._drain()
        try:
            note = self._notes.get(timeout=min(self._grace_s, threading.TIMEOUT_MAX))
        except Empty:
            self._interrupt()
            note = self._notes.get()
        if note is _Note.OVER:
            return
        self._report("stopping at once")
        self._ask_close(drain=False)
        self._interrupt()
        try:
            note = self._notes.get(timeout=STOP_S)
        except Empty:
            note = _Note.SIGNAL
        if note is _Note.SIGNAL:
            _end_process(self.status)

    def _drain(self) -> None:
        name = signal.Signals(self._received[0]).name
        inputs = self._ask_close(drain=True)
        plural = "" if inputs == 1 else "s"
        self._report(
            f"{name}: accepting nothing more; finishing {inputs} input{plural}, for up to {self._grace_s:g} s "
            "(a second one stops at once)"
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

    def _interrupt(self) -> None:
        interrupt = self._interrupt_body
        if interrupt is not None:
            try:
                interrupt()
            except HostClosedError:
                # The entrypoint's loop has ended in the same moment, and it with it.
                return

    def _interrupt_main(self) -> None:
        self._interrupting = True
        number = self._received[0]
        if sys.platform == "win32":
            import _thread

            _thread.interrupt_main(number)
        else:
            main = threading.main_thread().ident
            assert main is not None
            # A real signal, sent to that thread: it ends a blocking call there.
            signal.pthread_kill(main, number)


def _end_process(status: int) -> None:
    """End the process now, with what has been printed; whoever blocks the streams does not hold it up."""

    def flush() -> None:
        for stream in (sys.stdout, sys.stderr):
            try:
                stream.flush()
            except (OSError, ValueError):
                # Closed, or nobody reads it.
                continue

    flusher = threading.Thread(target=flush, daemon=True)
    flusher.start()
    flusher.join(0.2)
    os._exit(status)

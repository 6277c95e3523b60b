# SPDX-License-Identifier: Apache-2.0
"""What became of the time of a loop's thread: computed, spent on garbage, or spent waiting for a processor.

Block detection asks here what is not a function's fault; what follows from the answers is decided there.

Theory of operation. Every clock counts from the start of the watch and is read by the watch's thread. The first is
the thread's own CPU clock. Pauses of the garbage collector are timed by a callback of the collector, which runs
once for each collection and not for each input. How long the thread was ready to run and got no processor is said
by Linux alone. What a platform cannot tell is None, or zero where that means "nothing to excuse".
"""

from __future__ import annotations

import gc
import os
import threading
import time
from contextlib import suppress
from types import TracebackType
from typing import Any

from attrs import frozen

__all__ = ["LoopClocks", "Reading"]


@frozen
class Reading:
    """The clocks at one instant, in seconds."""

    now: float
    """The monotonic clock."""
    computed_s: float | None
    """How long the loop's thread has computed in all; None if unknown."""
    paused_s: float = 0.0
    """How long it has collected garbage in all; part of what it has computed."""
    denied_s: float = 0.0
    """How long it has been ready to run while the machine ran something else, in all."""


class LoopClocks:
    """The clocks of one loop's thread; made on that thread, read by another one."""

    __slots__ = (
        "_collecting_since",
        "_cpu_clock",
        "_denied_s",
        "_native_id",
        "_paused_s",
        "_schedstat",
        "_thread",
    )

    def __init__(self) -> None:
        self._thread = threading.get_ident()
        # Only for a thread that lives may one ask for its clock; the clock itself may be asked at any time.
        clock_of = getattr(time, "pthread_getcpuclockid", None)
        self._cpu_clock: int | None = None if clock_of is None else clock_of(self._thread)
        self._native_id = threading.get_native_id()
        self._schedstat: int | None = None
        self._denied_s = 0.0
        self._paused_s = 0.0
        self._collecting_since: float | None = None

    @property
    def thread(self) -> int:
        """The identifier of the loop's thread."""
        return self._thread

    def __enter__(self) -> LoopClocks:
        # Kept open, because to open a file each time would let go of the interpreter's lock once more.
        with suppress(OSError):
            self._schedstat = os.open(
                f"/proc/self/task/{self._native_id}/schedstat", os.O_RDONLY | os.O_CLOEXEC
            )
        gc.callbacks.append(self._on_collection)
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, traceback: TracebackType | None
    ) -> None:
        gc.callbacks.remove(self._on_collection)
        if self._schedstat is not None:
            os.close(self._schedstat)

    def read(self) -> Reading:
        """Read all clocks."""
        now, paused_s, since = time.monotonic(), self._paused_s, self._collecting_since
        # A collection lets other threads run while it calls finalizers.
        if since is not None:
            paused_s += now - since
        return Reading(now, self._read_computed_s(), paused_s, self._read_denied_s())

    # Any: the collector's own dictionary; see `gc.callbacks`.
    def _on_collection(self, phase: str, info: dict[str, Any]) -> None:
        if threading.get_ident() != self._thread:
            # Held up by another thread, the loop's does not compute, which is excused in any case.
            return
        if phase == "start":
            self._collecting_since = time.monotonic()
        elif self._collecting_since is not None:
            since, self._collecting_since = self._collecting_since, None
            self._paused_s += time.monotonic() - since

    def _read_computed_s(self) -> float | None:
        if self._cpu_clock is None:
            return None
        try:
            return time.clock_gettime(self._cpu_clock)
        except OSError:
            # The thread has ended, and the loop is run by another one, or by nobody.
            self._cpu_clock = None
            return None

    def _read_denied_s(self) -> float:
        if self._schedstat is not None:
            # Else the thread has ended, or the kernel does not count.
            with suppress(OSError, IndexError, ValueError):
                self._denied_s = int(os.pread(self._schedstat, 128, 0).split()[1]) / 1e9
        return self._denied_s

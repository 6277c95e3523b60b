# SPDX-License-Identifier: Apache-2.0
"""What a thread waits with: the `Waiter` and the `Signal` of `_base`, whose `wait` blocks.

No event loop has a part in them, so this module is loaded without one.
"""

from __future__ import annotations

import threading

__all__ = ["ThreadSignal", "ThreadWaiter"]


class ThreadWaiter:
    """The `Waiter` of a thread: `wait` blocks it."""

    # By hand, as the one below: one is made for each call, or for each map.
    __slots__ = ("_lock", "_notified")

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._lock.acquire()
        self._notified = False

    def notify(self, by: object = None, /) -> None:
        """Let `wait` return, now and for ever; idempotent; see `Waiter.notify`. Threads: any."""
        if self._notified:
            return
        self._notified = True
        try:
            self._lock.release()
        except RuntimeError:
            # Another notifier released it first.
            return

    def wait(self, timeout: float | None = None) -> bool:
        """Block until notified, at most `timeout` seconds; return whether notified.

        A KeyboardInterrupt gets through; `wait` may then be called again.
        """
        if self._notified:
            return True
        if not self._lock.acquire(timeout=-1 if timeout is None else _lock_timeout(timeout)):
            return self._notified
        # Left open for others who wait on the same object.
        _release(self._lock)
        return True


class ThreadSignal:
    """The `Signal` of a thread: `wait` blocks it. One thread waits at a time."""

    __slots__ = ("_lock",)

    def __init__(self) -> None:
        # Free = notified. A binary semaphore is all that an auto-reset event is.
        self._lock = threading.Lock()
        self._lock.acquire()

    def notify(self) -> None:
        """Let one `wait`, this one or the next, return; several before that count as one. Threads: any."""
        if self._lock.locked():
            _release(self._lock)

    def wait(self, timeout: float | None = None) -> bool:
        """Block until notified since the last return, at most `timeout` seconds; return whether notified.

        A KeyboardInterrupt gets through and consumes nothing.
        """
        return self._lock.acquire(timeout=-1 if timeout is None else _lock_timeout(timeout))


def _release(lock: threading.Lock) -> None:
    try:
        lock.release()
    except RuntimeError:
        # Another notifier released it first.
        pass


def _lock_timeout(timeout: float) -> float:
    return min(max(timeout, 0.0), threading.TIMEOUT_MAX)

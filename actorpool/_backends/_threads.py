# SPDX-License-Identifier: Apache-2.0
"""Thread slots: the part of a container that runs synchronous inputs, each in a thread of its own.

A worker thread that has finished an input takes the next one in the same step, so a loaded container
makes no round trip through the loop. Threads are started when inputs come to need them, and live as
long as the container; a container of one slot runs everything on its one thread.
"""

from __future__ import annotations

import threading
from typing import TYPE_CHECKING, Any, Protocol

from actorpool._core._input import CANCELLED, RUNNING, SUCCEEDED, Input
from actorpool._host._context import current_input
from actorpool._host._failures import failure_of

if TYPE_CHECKING:
    from collections.abc import Callable

    from actorpool._host._base import Host
    from actorpool._host._slots import Calls, Complete

    _Item = Input | Callable[[], None]

__all__ = ["SlotQueue", "ThreadSlots"]


class SlotQueue(Protocol):
    """What the threads of a container wait for. Threads: any."""

    def put(self, item: _Item | None) -> None:
        """Add an item for one of the threads; None ends it."""
        ...

    def get(self) -> _Item | None:
        """Wait for an item, and return it."""
        ...


class ThreadSlots:
    """Runs inputs in up to `most` threads, which wait for them at `queue`."""

    __slots__ = (
        "_calls",
        "_closed",
        "_complete",
        "_gone",
        "_host",
        "_left",
        "_lock",
        "_most",
        "_name",
        "_queue",
        "_threads",
    )

    def __init__(
        self, name: str, most: int, host: Host, complete: Complete, calls: Calls, queue: SlotQueue
    ) -> None:
        self._name = name
        self._most = most
        self._host = host
        self._complete = complete
        self._calls = calls
        self._queue = queue
        self._threads: list[threading.Thread] = []
        self._lock = threading.Lock()
        self._gone: list[threading.Thread] = []
        self._left = 0
        self._closed: Callable[[], None] | None = None

    @property
    def alive(self) -> int:
        """How many of the threads have not ended."""
        return sum(thread.is_alive() for thread in self._threads)

    def send(self, input: Input) -> None:
        """Run `input` in a thread of this container. Threads: any."""
        threads = self._threads
        if len(threads) < self._most:
            container = input.container
            # Only inputs in slots are counted, so this never starts more threads than slots.
            if (container is None or len(container.inputs) > len(threads)) and self._grow(input):
                return
        self._host.hold()
        self._queue.put(input)

    def run(self, function: Callable[[], Any], done: Callable[[Any, BaseException | None], None]) -> None:
        """Run `function` on a thread of this container, then `done(result, error)` there."""

        def job() -> None:
            try:
                result, error = function(), None
            except BaseException as raised:
                # A hook of the user's: whatever it raises is the outcome of this job.
                result, error = None, raised
            done(result, error)

        if self._threads or not self._grow(job):
            self._host.hold()
            self._queue.put(job)

    def close(self, closed: Callable[[], None]) -> None:
        """Let each thread end after what it is running, then call `closed` in the last one to end."""
        self._left = len(self._threads)
        self._closed = closed
        if not self._threads:
            closed()
        for _ in self._threads:
            self._host.hold()
            self._queue.put(None)

    def join(self) -> None:
        """Wait for the threads that have said they ended: a matter of microseconds."""
        for thread in self._gone:
            thread.join(0.05)

    def _grow(self, first: _Item) -> bool:
        """Start a thread that begins with `first`; return False if there is none to be had beside those there are."""
        with self._lock:
            number = len(self._threads) + 1
            if number > self._most:
                return False
            # In a list that it empties: a thread keeps its arguments for life.
            thread = threading.Thread(
                target=self._work, args=([first],), name=f"{self._name}-{number}", daemon=True
            )
            self._host.hold()
            try:
                thread.start()
            except RuntimeError:
                # The machine has no further thread for this process: those there are serve the queue.
                self._host.release()
                if not self._threads:
                    raise
                return False
            self._threads.append(thread)
        return True

    def _ended(self) -> None:
        with self._lock:
            self._gone.append(threading.current_thread())
            self._left -= 1
            left = self._left
        if not left and self._closed is not None:
            self._closed()

    def _work(self, begin: list[_Item]) -> None:
        get, execute, release = self._queue.get, self._execute, self._host.release
        item: _Item | None = begin.pop()
        while True:
            if item is None:
                self._ended()
                release()
                return
            if isinstance(item, Input):
                following = execute(item)
                while following is not None:
                    following = execute(following)
            else:
                item()
            # A parked thread must not keep its last input alive.
            item = None
            release()
            item = get()

    def _execute(self, input: Input) -> Input | None:
        """Run one input and report its outcome; return the input that takes its slot at once."""
        # The payload is read before the state: whoever settles an input sets the state first.
        context, args, kwargs = input.context, input.args, input.kwargs
        if input.state != RUNNING:
            return self._complete(input, CANCELLED, None)
        context = context.copy()
        try:
            context.run(current_input.set, input)
            call = self._calls[input.target]
            value = context.run(call, *args, **kwargs) if kwargs else context.run(call, *args)
        except BaseException as error:
            # Whatever user code raises is this input's failure and nobody else's.
            return self._complete(input, *failure_of(input, error))
        return self._complete(input, SUCCEEDED, value)

# SPDX-License-Identifier: Apache-2.0
"""The floors: what Python needs at least for correct results, with no feature beyond them."""

from __future__ import annotations

import asyncio
import sys
import threading
from collections import deque
from collections.abc import Callable, Coroutine, Iterator
from contextvars import copy_context
from functools import partial
from queue import SimpleQueue
from typing import Any, Final

__all__ = ["EAGER", "LoopThread", "Task", "TaskWindow", "Worker", "Workers", "run_tasks"]

EAGER: Final = sys.version_info >= (3, 12)
# A floor too lets the loop turn now and then: nobody could live with less.
_TURN_AFTER: Final = 256

# Any: only newer interpreters know the keyword.
Task: Any = asyncio.Task
if EAGER:
    Task = partial(Task, eager_start=True)


class TaskWindow:
    """At most `window` tasks, each in a context of its own; the end of one starts the next."""

    def __init__(
        self,
        body: Callable[[int], Coroutine[Any, Any, int]],
        n: int,
        window: int,
        finished: Callable[[], object],
    ) -> None:
        self._body = body
        self._loop = asyncio.get_running_loop()
        self._context = copy_context()
        self._numbers = iter(range(n))
        self._left = n
        self._window = window
        self._finished = finished
        self.results: list[Any] = [None] * n

    def start(self) -> None:
        for _ in range(min(self._window, len(self.results))):
            self._next()

    def _next(self) -> None:
        body, context, loop, results = self._body, self._context, self._loop, self.results
        for at_once, number in enumerate(self._numbers, 1):
            task = Task(body(number), loop=loop, context=context.copy())
            if not task.done():
                task.add_done_callback(partial(self._done, number))
                return
            results[number] = task.result()
            self._left -= 1
            if at_once == _TURN_AFTER:
                loop.call_soon(self._next)
                return
        if not self._left:
            self._left = -1
            self._finished()

    def _done(self, number: int, task: asyncio.Task[int]) -> None:
        self.results[number] = task.result()
        self._left -= 1
        self._next()


class Worker:
    """One thread, fed with functions without arguments."""

    def __init__(self) -> None:
        self._queue: SimpleQueue[Callable[[], object] | None] = SimpleQueue()
        self.put = self._queue.put
        self._thread = threading.Thread(target=self._work, daemon=True)
        self._thread.start()

    def _work(self) -> None:
        get = self._queue.get
        while (job := get()) is not None:
            job()

    def close(self) -> None:
        self._queue.put(None)
        self._thread.join()


class Workers:
    """Threads that take numbers from one iterator."""

    def __init__(self, threads: int) -> None:
        self._workers = [Worker() for _ in range(threads)]

    def run(self, body: Callable[[int], int], n: int, finished: Callable[[], object]) -> list[Any]:
        """Return the list that the threads fill; the last of them calls `finished`."""
        # Taking from a range iterator is atomic.
        numbers: Iterator[int] = iter(range(n))
        results: list[Any] = [None] * n
        last = len(self._workers)
        ends = iter(range(1, last + 1))

        def work() -> None:
            for number in numbers:
                results[number] = body(number)
            if next(ends) == last:
                finished()

        for worker in self._workers:
            worker.put(work)
        return results

    def close(self) -> None:
        for worker in self._workers:
            worker.close()


async def run_tasks(body: Callable[[int], Coroutine[Any, Any, int]], n: int, tasks: int) -> list[Any]:
    """Let `tasks` tasks take numbers from one iterator."""
    numbers = iter(range(n))
    results: list[Any] = [None] * n

    async def work() -> None:
        for number in numbers:
            results[number] = await body(number)

    await asyncio.gather(*(work() for _ in range(tasks)))
    return results


class LoopThread:
    """A loop in a thread, and a queue of results that wakes its one reader only when it waits."""

    def __init__(self) -> None:
        self.loop = asyncio.new_event_loop()
        self._thread = threading.Thread(target=self.loop.run_forever, daemon=True)
        self._thread.start()

    def map(self, body: Callable[[int], Coroutine[Any, Any, int]], n: int, window: int) -> Iterator[int]:
        """Yield results in order, at most `window` of them ahead of the reader."""
        arrived: deque[tuple[int, int]] = deque()
        wanted: deque[int] = deque()
        wake = threading.Lock()
        wake.acquire()
        armed = False
        context = copy_context()
        tasks: set[asyncio.Task[int]] = set()

        def run() -> None:
            nonlocal armed
            armed = False
            while wanted:
                number = wanted.popleft()
                task = Task(body(number), loop=self.loop, context=context.copy())
                if task.done():
                    arrived.append((number, task.result()))
                else:
                    tasks.add(task)
                    task.add_done_callback(partial(done, number))
            if wake.locked():
                wake.release()

        def done(number: int, task: asyncio.Task[int]) -> None:
            tasks.discard(task)
            arrived.append((number, task.result()))
            if wake.locked():
                wake.release()

        held: dict[int, int] = {}
        given = 0
        for due in range(n):
            if given < n and given - due <= window // 2:
                more = range(given, min(n, due + window))
                wanted.extend(more)
                given = more.stop
                if not armed:
                    armed = True
                    self.loop.call_soon_threadsafe(run)
            while due not in held:
                while arrived:
                    number, result = arrived.popleft()
                    held[number] = result
                if due not in held:
                    wake.acquire()
            yield held.pop(due)

    def close(self) -> None:
        self.loop.call_soon_threadsafe(self.loop.stop)
        self._thread.join()
        self.loop.close()

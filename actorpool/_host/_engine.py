# SPDX-License-Identifier: Apache-2.0
"""The engine thread: a daemon thread with an asyncio loop, for callers who have no loop of their own.

What runs on it is none of this module's business, and neither is when to start or stop one.
"""

from __future__ import annotations

import asyncio
import contextvars
import logging
import sys
import threading
from collections.abc import Awaitable, Callable
from typing import Any, TypeVar, cast

from attrs import define, field

from actorpool.exception import InvalidError

from ._asyncio import AsyncioHost
from ._bridge import AsyncioBridge, post_quietly
from ._errors import HostClosedError
from ._thread_waits import ThreadWaiter

__all__ = ["EngineThread"]

T = TypeVar("T")

logger = logging.getLogger("actorpool")


def _new_loop() -> asyncio.AbstractEventLoop:
    # Not the policy's loop: whoever installed uvloop or another one did so for loops of their own.
    if sys.platform == "win32":
        return asyncio.ProactorEventLoop()
    return asyncio.SelectorEventLoop()


@define(eq=False)
class _Run:
    """One call of `EngineThread.run`, from the waiting thread to the loop and back."""

    function: Callable[..., Awaitable[Any]]
    args: tuple[Any, ...]
    context: contextvars.Context = field(factory=contextvars.copy_context, init=False, repr=False)
    ended: ThreadWaiter = field(factory=ThreadWaiter, init=False, repr=False)
    task: asyncio.Task[None] | None = field(default=None, init=False, repr=False)
    result: Any = field(default=None, init=False, repr=False)
    error: BaseException | None = field(default=None, init=False)

    def start(self) -> None:
        if self.error is not None:
            return
        self.task = asyncio.Task(self._carry(), context=self.context)
        self.task.add_done_callback(self._finish)

    async def _carry(self) -> None:
        try:
            self.result = await self.function(*self.args)
        except BaseException as error:  # raised in the waiting thread instead
            self.error = error

    def _finish(self, task: asyncio.Task[None]) -> None:
        if task.cancelled():
            self.error = asyncio.CancelledError()
        self.ended.notify()

    def cancel(self) -> None:
        # The interrupt may have come before the post of `start`, or between it and its run.
        if self.task is None:
            self.fail(asyncio.CancelledError())
        else:
            self.task.cancel()

    def fail(self, error: BaseException) -> None:
        # Its thread may have an outcome and not have taken it yet.
        if not self.ended.wait(0):
            self.error = error
            self.ended.notify()


@define(eq=False)
class EngineThread:
    """A daemon thread that runs a fresh asyncio loop from `start` to `stop`.

    1. Made: nothing runs.
    2. `start()` returns when the loop runs; `host` and `bridge` may be used from then on.
    3. `run(...)` serves any number of threads at a time.
    4. `stop()` cancels what is left, closes the loop and joins the thread. It is not started again.

    Args:
        name: Name of the thread.
    """

    _name: str
    _lock: threading.Lock = field(factory=threading.Lock, init=False, repr=False)
    _thread: threading.Thread | None = field(default=None, init=False, repr=False)
    _ready: ThreadWaiter = field(factory=ThreadWaiter, init=False, repr=False)
    _host: AsyncioHost | None = field(default=None, init=False, repr=False)
    # Why the thread has ended before its loop ran.
    _failure: OSError | None = field(default=None, init=False, repr=False)
    _stopping: bool = field(default=False, init=False)
    _leaving: bool = field(default=False, init=False)
    # Calls whose thread still waits; None once nobody may be added.
    _runs: set[_Run] | None = field(factory=set, init=False, repr=False)

    @property
    def host(self) -> AsyncioHost:
        """The host of the engine's loop; use it on that loop's thread.

        Raises:
            HostClosedError: If the engine has not been started.
        """
        if self._host is None:
            raise HostClosedError(f"engine thread {self._name!r} has not been started; call start() first")
        return self._host

    @property
    def bridge(self) -> AsyncioBridge:
        """The door to the engine's loop, for any thread."""
        bridge = self.host.bridge
        assert isinstance(bridge, AsyncioBridge)
        return bridge

    def start(self) -> None:
        """Start the thread and return when its loop runs; nothing if it was started already.

        Raises:
            OSError: If no loop can be made, for want of file descriptors for example.
        Threads: Any.
        """
        with self._lock:
            if self._thread is None:
                self._thread = threading.Thread(target=self._main, name=self._name, daemon=True)
                self._thread.start()
        self._ready.wait()
        if self._failure is not None:
            raise self._failure

    def run(self, function: Callable[..., Awaitable[T]], *args: Any) -> T:
        """Run `await function(*args)` on the engine's loop, in a copy of this context, and return its result.

        Raises:
            InvalidError: If called on the engine's own thread, which would wait for itself.
            HostClosedError: If the engine is not running, or is stopped meanwhile.
            BaseException: What `function` raises.
        Cancellation: A KeyboardInterrupt here cancels the coroutine and is raised after it has ended.
        Threads: Any but the engine's.
        """
        bridge = self.bridge
        if bridge.is_current():
            raise InvalidError(
                f"run() was called on engine thread {self._name!r} itself and would never end; await it"
            )
        run = _Run(function, args)
        with self._lock:
            if self._runs is None:
                raise self._closed_error()
            self._runs.add(run)
        try:
            bridge.post(_Run.start, run)
            run.ended.wait()
        except HostClosedError:
            raise self._closed_error() from None
        except BaseException:
            post_quietly(bridge, _Run.cancel, run)
            run.ended.wait()
            raise
        finally:
            with self._lock:
                if self._runs is not None:
                    self._runs.discard(run)
        try:
            if run.error is None:
                return cast(T, run.result)
            if self._stopping and isinstance(run.error, asyncio.CancelledError):
                raise self._closed_error() from run.error
            raise run.error
        finally:
            # The error's traceback refers to this frame: do not make it a cycle.
            del run

    def stop(self, *, patience_s: float | None = None) -> None:
        """Cancel all tasks, wait for them, close the loop and join the thread; idempotent.

        Args:
            patience_s: How long a task that refuses its cancellation is waited for, in seconds; the thread, a daemon,
                then ends with that task. None for as long as it takes.

        Raises:
            InvalidError: If called on the engine's own thread, which would wait for itself.
        Threads: Any but the engine's.
        """
        if self._thread is None or self._host is None:
            return
        if self.bridge.is_current():
            raise InvalidError(
                f"stop() was called on engine thread {self._name!r} itself and would never end; use another"
            )
        self._stopping = True
        post_quietly(self.bridge, EngineThread._stop_loop, self)
        self._thread.join(patience_s)
        if self._thread.is_alive():
            logger.warning(
                "%s still runs a coroutine that refused its cancellation; it ends when that returns",
                self._name,
            )

    def _stop_loop(self) -> None:
        self._leaving = True
        self.host.loop.stop()

    def _main(self) -> None:
        try:
            loop = _new_loop()
        except OSError as error:
            self._failure = error
            self._ready.notify()
            return
        # The runner's exit cancels what is left, ends async generators and the executor, and closes the loop.
        with asyncio.Runner(loop_factory=lambda: loop):
            self._host = AsyncioHost(loop)
            loop.call_soon(self._ready.notify)
            # Left by `_stop_loop` alone: a stop still to come would break into the runner's exit.
            while not self._leaving:
                try:
                    loop.run_forever()
                except (KeyboardInterrupt, SystemExit):
                    # asyncio lets these two out of a task; they end that task but not the engine, others live
                    # on it.
                    logger.exception(
                        "a task of engine thread %r asked the process to exit; ignored", self._name
                    )
        with self._lock:
            runs, self._runs = self._runs or set(), None
        for run in runs:
            run.fail(self._closed_error())

    def _closed_error(self) -> HostClosedError:
        return HostClosedError(f"engine thread {self._name!r} has been stopped; start a new one")

# SPDX-License-Identifier: Apache-2.0
"""The asyncio host: nursery, scopes, timers and root tasks on one running asyncio loop.

Cancellation is explained in `_asyncio_cancel`; channels live in `_asyncio_channel`, the bridge in `_bridge`,
virtual time in `_virtual`. Nothing here decides anything about containers or inputs.
"""

from __future__ import annotations

import asyncio
import contextvars
import functools
import math
import sys
import time
import weakref
from collections.abc import Awaitable, Callable, Coroutine, Iterator
from contextlib import contextmanager
from types import TracebackType
from typing import Any, TypeVar, cast

from attrs import define, field

from ._asyncio_cancel import BodyCanceller, cancel_later, this_task
from ._asyncio_channel import AsyncioReceiveChannel, AsyncioSendChannel, open_asyncio_channel
from ._base import Bridge, RootHandle, TimerHandle
from ._bridge import AsyncioBridge
from ._current import bridge_of
from ._errors import ClosedResourceError
from ._virtual import VirtualTimeLoop, call_closed

__all__ = ["AsyncioHost", "run_async"]

T = TypeVar("T")


@define(eq=False)
class AsyncioNursery:
    """The `Nursery` of asyncio, on `asyncio.TaskGroup`.

    The TaskGroup owns the tasks and sees to it that none outlives it. It gets to see no failure and no
    cancellation: it would drop children that were cancelled before their first step, and treats a
    cancellation that meets a failure differently in Python 3.11, 3.12 and 3.13. Those rules are trio's here.
    """

    _group: asyncio.TaskGroup = field(factory=asyncio.TaskGroup, init=False, repr=False)
    _body: BodyCanceller | None = field(default=None, init=False, repr=False)
    # In the order of their starts, in which they are also cancelled: a run must not depend on addresses.
    _tasks: dict[asyncio.Task[None], None] = field(factory=dict, init=False)
    _errors: list[BaseException] = field(factory=list, init=False)
    _cancelled: bool = field(default=False, init=False)
    _closed: bool = field(default=False, init=False)
    _idle: asyncio.Future[None] | None = field(default=None, init=False, repr=False)

    def start_soon(
        self, function: Callable[..., Awaitable[object]], *args: object, name: str | None = None
    ) -> None:
        if self._closed:
            raise ClosedResourceError("the nursery has ended and takes no new children; open another")
        task = self._group.create_task(self._run_child(function, args), name=name or _name_of(function))
        self._tasks[task] = None
        task.add_done_callback(self._child_ended)

    def cancel(self) -> None:
        if self._cancelled:
            return
        self._cancelled = True
        for task in self._tasks:
            if _has_started(task):
                task.cancel()
        if self._body is not None:
            self._body.cancel()

    async def _run_child(self, function: Callable[..., Awaitable[object]], args: tuple[object, ...]) -> None:
        task = this_task()
        cancelled_before_start = self._cancelled
        if task.get_loop().get_task_factory() is not None:
            # An eager factory runs this first step inside start_soon.
            try:
                await asyncio.sleep(0)
            except asyncio.CancelledError:
                task.uncancel()
                cancelled_before_start = True
        if cancelled_before_start:
            # Delivered at the child's own first checkpoint.
            task.cancel()
        try:
            await function(*args)
        except (asyncio.CancelledError, KeyboardInterrupt, SystemExit):
            raise
        except BaseException as error:
            self._errors.append(error)
            self.cancel()

    def _child_ended(self, task: asyncio.Task[None]) -> None:
        del self._tasks[task]
        if not self._tasks and self._idle is not None and not self._idle.done():
            self._idle.set_result(None)

    async def __aenter__(self) -> AsyncioNursery:
        task = this_task()
        await self._group.__aenter__()
        self._body = BodyCanceller(task, task.cancelling())
        return self

    async def __aexit__(
        self,
        exc_type: type[BaseException] | None,
        exc: BaseException | None,
        traceback: TracebackType | None,
        /,
    ) -> bool:
        assert self._body is not None
        body, self._body = self._body, None
        own = body.end(exc)
        outside: asyncio.CancelledError | None = None
        if isinstance(exc, asyncio.CancelledError):
            outside = None if own else exc
        elif exc is not None:
            self._errors.append(exc)
        if exc is not None:
            self.cancel()
        while self._tasks:
            self._idle = body.task.get_loop().create_future()
            try:
                await self._idle
            except asyncio.CancelledError as error:
                outside = error
                self.cancel()
        self._closed = True
        try:
            # Raises only the KeyboardInterrupt or SystemExit of a child, which asyncio does not wrap.
            await self._group.__aexit__(None, None, None)
            if self._errors:
                if outside is not None:
                    # The failures go first.
                    cancel_later(outside, body.before)
                raise BaseExceptionGroup("unhandled errors in a nursery", self._errors) from None
            if outside is not None and outside is not exc:
                raise outside
            return own
        finally:
            # A raised group refers to this frame: do not make it a cycle.
            del self, body, outside, exc


def _has_started(task: asyncio.Task[None]) -> bool:
    coroutine = task.get_coro()
    return getattr(coroutine, "cr_suspended", True) or getattr(coroutine, "cr_running", True)


def _name_of(function: Callable[..., object]) -> str:
    while isinstance(function, functools.partial):
        function = cast("Callable[..., object]", function.func)
    return getattr(function, "__qualname__", None) or repr(function)


@define(eq=False)
class AsyncioCancelScope:
    """The scope of `AsyncioHost.move_on_after`; enter it once, with a plain `with`."""

    _seconds: float
    _body: BodyCanceller | None = field(default=None, init=False, repr=False)
    _timer: asyncio.TimerHandle | None = field(default=None, init=False, repr=False)
    _caught: bool = field(default=False, init=False)

    def cancel(self) -> None:
        if self._body is not None:
            self._body.cancel()

    @property
    def cancelled_caught(self) -> bool:
        return self._caught

    def __enter__(self) -> AsyncioCancelScope:
        task = this_task()
        self._body = BodyCanceller(task, task.cancelling())
        if self._seconds <= 0:
            # Not call_later(0): that would let one checkpoint pass.
            self._body.cancel()
        elif self._seconds != math.inf:
            self._timer = task.get_loop().call_later(self._seconds, self._body.cancel)
        return self

    def __exit__(
        self,
        exc_type: type[BaseException] | None,
        exc: BaseException | None,
        traceback: TracebackType | None,
        /,
    ) -> bool:
        assert self._body is not None
        if self._timer is not None:
            self._timer.cancel()
        body, self._body = self._body, None
        self._caught = body.end(exc)
        return self._caught


@define(eq=False)
class AsyncioEvent:
    """The `Event` of asyncio, whose `wait` is always a checkpoint."""

    _event: asyncio.Event = field(factory=asyncio.Event, init=False)

    def set(self) -> None:
        self._event.set()

    def is_set(self) -> bool:
        return self._event.is_set()

    async def wait(self) -> None:
        if self._event.is_set():
            await asyncio.sleep(0)
        else:
            await self._event.wait()


@define(eq=False)
class AsyncioRoot:
    """The `RootHandle` of asyncio."""

    _task: asyncio.Task[None] = field(init=False)
    _exception: BaseException | None = field(default=None, init=False)

    def start(
        self, bridge: AsyncioBridge, host: AsyncioHost, function: Callable[[], Awaitable[None]], name: str
    ) -> None:
        # Task() and not create_task(): an eager task factory would run the first step inline.
        self._task = asyncio.Task(
            self._run(function), loop=host.loop, name=name, context=contextvars.Context()
        )
        bridge.keep(self._task)

    async def _run(self, function: Callable[[], Awaitable[None]]) -> None:
        try:
            await function()
        except (asyncio.CancelledError, KeyboardInterrupt, SystemExit):
            raise
        except BaseException as error:  # kept for the owner, who asks through exception()
            self._exception = error

    def done(self) -> bool:
        return self._task.done()

    async def wait(self) -> None:
        if self._task.done():
            await asyncio.sleep(0)
        else:
            await asyncio.wait((self._task,))

    def cancel(self) -> None:
        self._task.cancel()

    def exception(self) -> BaseException | None:
        return self._exception


class LoopGuard:
    """Calls back when its loop is closed; made by `AsyncioHost.when_closed`.

    A loop tells nobody that it is closed, but it drops its timers then. So the guard leaves a sentinel behind, as
    the callback of a timer that is never due, and takes the end of the sentinel for the end of the loop.
    """

    # Longer than any process lives, and short enough for every loop's arithmetic.
    _NEVER_S = 50 * 365 * 86_400.0

    __slots__ = ("_armed", "_timer")

    def __init__(self, loop: asyncio.AbstractEventLoop, callback: Callable[[], object]) -> None:
        self._armed = [callback]
        # Weak: nobody but the loop may keep the sentinel.
        self._timer = weakref.ref(loop.call_later(self._NEVER_S, _Sentinel(self._armed)))

    def cancel(self) -> None:
        """Call nobody."""
        self._armed.clear()
        timer = self._timer()
        if timer is not None:
            timer.cancel()


class _Sentinel:
    __slots__ = ("_armed",)

    def __init__(self, armed: list[Callable[[], object]]) -> None:
        self._armed = armed

    def __call__(self) -> None:
        """Do nothing: never called."""

    def __del__(self) -> None:
        # An interpreter that ends takes everything with it, also whoever waits.
        if not sys.is_finalizing():
            call_closed(self._armed)


@define(eq=False)
class AsyncioHost:
    """The `Host` of one asyncio loop; make it on the loop's thread, usually by `current_host()`."""

    loop: asyncio.AbstractEventLoop
    bridge: Bridge = field(init=False)
    now: Callable[[], float] = field(init=False, repr=False)
    _virtual: VirtualTimeLoop | None = field(init=False, repr=False)

    def __attrs_post_init__(self) -> None:
        self.bridge = bridge_of(self.loop)
        # Asked twice for every input: without the loop's own method in between, where that adds nothing.
        usual = getattr(type(self.loop), "time", None) is asyncio.BaseEventLoop.time
        self.now = time.monotonic if usual else self.loop.time
        self._virtual = self.loop if isinstance(self.loop, VirtualTimeLoop) else None

    @property
    def name(self) -> str:
        return "asyncio"

    def wall_time(self) -> float:
        return time.time() if self._virtual is None else self._virtual.wall_time()

    def hold(self) -> None:
        if self._virtual is not None:
            self._virtual.hold()

    def release(self) -> None:
        if self._virtual is not None:
            self._virtual.release()

    @contextmanager
    def hold_clock(self) -> Iterator[None]:
        self.hold()
        try:
            yield
        finally:
            self.release()

    def call_at(self, when: float, callback: Callable[[], object]) -> TimerHandle:
        return self.loop.call_at(when, callback)

    def event(self) -> AsyncioEvent:
        return AsyncioEvent()

    def open_nursery(self) -> AsyncioNursery:
        return AsyncioNursery()

    def open_memory_channel(
        self, max_buffer_size: float
    ) -> tuple[AsyncioSendChannel[Any], AsyncioReceiveChannel[Any]]:
        return open_asyncio_channel(self.loop, max_buffer_size)

    async def sleep(self, seconds: float) -> None:
        await asyncio.sleep(seconds)

    def move_on_after(self, seconds: float) -> AsyncioCancelScope:
        return AsyncioCancelScope(seconds)

    async def shielded(self, function: Callable[[], Awaitable[T]], seconds: float) -> bool:
        # A task of its own is what a cancellation of this one cannot reach.
        task = asyncio.Task(self._run_for(function, seconds), loop=self.loop)
        before = this_task().cancelling()
        outside: asyncio.CancelledError | None = None
        while not task.done():
            try:
                await asyncio.wait((task,))
            except asyncio.CancelledError as error:
                outside = error
        if outside is None:
            return task.result()
        failure = None if task.cancelled() else task.exception()
        if failure is None:
            raise outside
        cancel_later(outside, before)
        raise failure

    async def _run_for(self, function: Callable[[], Awaitable[T]], seconds: float) -> bool:
        with self.move_on_after(seconds) as scope:
            await function()
        return not scope.cancelled_caught

    def when_closed(self, callback: Callable[[], object]) -> TimerHandle:
        if self._virtual is not None:
            return self._virtual.when_closed(callback)
        return LoopGuard(self.loop, callback)

    def start_root(self, function: Callable[[], Awaitable[None]], name: str) -> RootHandle:
        root = AsyncioRoot()
        assert isinstance(self.bridge, AsyncioBridge)
        root.start(self.bridge, self, function, name)
        return root

    async def checkpoint(self) -> None:
        await asyncio.sleep(0)


def run_async(function: Callable[[], Coroutine[Any, Any, T]]) -> T:
    """Run `await function()` on a fresh asyncio loop in this thread and return its result.

    The loop is the one that the process's event loop policy makes, as for `asyncio.run`.
    """
    return asyncio.run(function())

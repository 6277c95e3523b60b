# SPDX-License-Identifier: Apache-2.0
"""What joins threads and loops: the bridge of an asyncio loop, its waiters and signals.

Nothing here knows of actors, containers or inputs. The trio bridge is in `_trio`, what a thread waits with in
`_thread_waits`.

Theory of operation. A bridge owns a deque and a flag "armed". `post` appends, then arms the loop unless it is
armed already, so a burst costs one wake-up. The loop's drain first clears the flag and then runs what was
there when it began: whoever appends later finds the flag cleared and arms again, so nothing is forgotten and
a drain is bounded.

A signal is a flag plus the future of the one task that waits; a waiter is a flag and that future in one. The waiting
side publishes its future, or the callback that resumes its task, and then looks at the flag; the notifying side raises
the flag and then looks for what is published. Whatever the interleaving, one of them sees the other.
"""

from __future__ import annotations

import asyncio
import logging
from abc import ABC, abstractmethod
from collections import deque
from collections.abc import Awaitable, Callable, Generator
from contextvars import Context
from typing import Any, Final, TypeVar
from weakref import ref

from attrs import define, field

from ._base import FeederHandle, Signal, Waiter
from ._errors import HostClosedError

__all__ = ["AsyncioBridge", "Inbox"]

T = TypeVar("T")

logger = logging.getLogger("actorpool")

_CLOSED: Final = "the asyncio loop is closed, nothing can be posted to it; start a new loop"

_running_loop: Callable[[], asyncio.AbstractEventLoop | None] = asyncio._get_running_loop


@define(eq=False)
class Inbox(ABC):
    """The queue of posts of one loop, and the flag that batches its wake-ups."""

    _queue: deque[tuple[Callable[[Any], object], Any]] = field(factory=deque, init=False, repr=False)
    _armed: bool = field(default=False, init=False)

    def post(self, callback: Callable[[T], object], argument: T) -> None:
        self._queue.append((callback, argument))
        try:
            if self._armed:
                self.check_open()
            else:
                self._arm()
        except HostClosedError:
            self._queue.clear()
            raise

    @property
    def has_posts(self) -> bool:
        """Whether something is posted that the loop has not come to."""
        return bool(self._queue)

    @property
    @abstractmethod
    def name(self) -> str:
        """The kind of loop, for messages."""

    @abstractmethod
    def check_open(self) -> None:
        """Raise `HostClosedError` if the loop has ended."""

    @abstractmethod
    def _wake_loop(self) -> None:
        """Have the loop call `_drain` soon. Threads: any."""

    def _arm(self) -> None:
        # The flag goes up before the wake-up: the drain, which may run at once on its thread, must clear it
        # after us.
        try:
            self._armed = True
            self._wake_loop()
        except BaseException:
            # A KeyboardInterrupt may fall in between; an armed flag without a wake-up would silence the
            # bridge.
            self._armed = False
            raise

    def _drain(self) -> None:
        self._armed = False
        queue = self._queue
        try:
            for _ in range(len(queue)):
                callback, argument = queue.popleft()
                try:
                    callback(argument)
                except Exception:  # a callback's failure belongs to its poster alone; the others must run
                    logger.exception("a callback posted to a %s loop failed: %r", self.name, callback)
        except BaseException:
            # It leaves the loop. The others are for the loop's next turn, if it has one.
            post_quietly(self, _do_nothing, None)
            raise


def _do_nothing(_: None) -> None:
    pass


def post_quietly(bridge: Inbox, callback: Callable[[T], object], argument: T) -> None:
    """Post, or do nothing if the loop has ended: then nobody can be waiting there."""
    try:
        bridge.post(callback, argument)
    except HostClosedError:
        pass


@define(eq=False)
class AsyncioBridge(Inbox):
    """The `Bridge` of one asyncio loop; get it from `current_bridge()`, there is one per loop."""

    # Weak: the registry of bridges must not keep a loop alive.
    _loop: ref[asyncio.AbstractEventLoop] = field(repr=False)
    # asyncio itself holds tasks weakly.
    _tasks: set[asyncio.Task[None]] = field(factory=set, init=False, repr=False)
    starts: int = field(default=0, init=False)
    """How many starts of inputs are nested on the loop's stack right now; loop's thread only."""

    @property
    def name(self) -> str:
        return "asyncio"

    def _open_loop(self) -> asyncio.AbstractEventLoop:
        loop = self._loop()
        if loop is None or loop.is_closed():
            raise HostClosedError(_CLOSED)
        return loop

    def check_open(self) -> None:
        # Asked for each input of a process: without a further call in between.
        loop = self._loop()
        if loop is None or loop.is_closed():
            self._open_loop()

    def _wake_loop(self) -> None:
        loop = self._loop() or self._open_loop()
        try:
            if _running_loop() is loop:
                loop.call_soon(self._drain)
            else:
                loop.call_soon_threadsafe(self._drain)
        except RuntimeError:
            # A closed one is all that it refuses for.
            raise HostClosedError(_CLOSED) from None

    def is_current(self) -> bool:
        loop = _running_loop()
        return loop is not None and loop is self._loop()

    def waiter(self) -> Waiter:
        return _AsyncioWaiter(self, self._loop() or self._open_loop())

    def signal(self) -> Signal:
        return _AsyncioSignal(self, self._loop() or self._open_loop())

    def create_feeder(self, function: Callable[[], Awaitable[None]]) -> FeederHandle:
        # Task() and not create_task(): an eager task factory would run the first step inline.
        task: asyncio.Task[None] = asyncio.Task(_run_feeder(function), loop=self._open_loop())
        self.keep(task)
        return _AsyncioFeeder(task)

    def keep(self, task: asyncio.Task[None]) -> None:
        """Hold a strong reference to `task` until it has ended."""
        self._tasks.add(task)
        task.add_done_callback(self._tasks.discard)


async def _run_feeder(function: Callable[[], Awaitable[None]]) -> None:
    try:
        await function()
    except Exception:  # nobody awaits a feeder
        logger.exception("a feeder failed: %r", function)


@define(eq=False)
class _AsyncioFeeder:
    _task: asyncio.Task[None]

    def cancel(self) -> None:
        self._task.cancel()

    def done(self) -> bool:
        return self._task.done()


class _AsyncioWaiter:
    """It is itself the future that its task awaits (asyncio takes any that behaves like one).

    What has come from another thread so resumes the task in the turn in which the loop hears of it. A future of
    asyncio's would have its result set in that turn, and resume the task in the next: two looks at the selector and at
    the pipe in between.
    """

    # By hand, as the signal below: one is made for each call, or for each map.
    __slots__ = (
        "_asyncio_future_blocking",
        "_bridge",
        "_cancelled",
        "_context",
        "_loop",
        "_notified",
        "_resume",
    )

    _context: Context

    def __init__(self, bridge: AsyncioBridge, loop: asyncio.AbstractEventLoop) -> None:
        self._bridge = bridge
        self._loop = loop
        self._notified = False
        # The task's own callback while it waits; whoever takes it away resumes the task. Loop's thread only.
        self._resume: Callable[[_AsyncioWaiter], object] | None = None
        # The arguments of the error, where the wait was cancelled.
        self._cancelled: tuple[object, ...] | None = None

    def notify(self, by: object = None, /) -> None:
        if self._notified:
            return
        try:
            self._notified = True
            if self._resume is None:
                return
            if _running_loop() is self._loop:
                self._resume_soon()
            else:
                post_quietly(self._bridge, _AsyncioWaiter._wake, self)
        except BaseException:
            # A KeyboardInterrupt may fall in between; later notifiers rely on the wake-up that the flag
            # promises.
            post_quietly(self._bridge, _AsyncioWaiter._wake, self)
            raise

    async def wait(self) -> None:
        if self._notified:
            return
        try:
            await self
        finally:
            self._resume = None

    def _wake(self) -> None:
        if self._bridge.has_posts:
            # A step of a task may take its time, or run the loop: not before what else has been posted.
            self._resume_soon()
        elif self._resume is not None:
            resume, self._resume = self._resume, None
            # Nothing else runs: this is called by the loop itself.
            self._context.run(resume, self)

    def _resume_soon(self) -> None:
        if self._resume is not None:
            resume, self._resume = self._resume, None
            self._loop.call_soon(resume, self, context=self._context)

    # -- what a task wants of the future that it awaits ------------------------------------------

    def __await__(self) -> Generator[_AsyncioWaiter, None, None]:
        self._asyncio_future_blocking = True
        yield self

    def get_loop(self) -> asyncio.AbstractEventLoop:
        return self._loop

    def add_done_callback(self, callback: Callable[[_AsyncioWaiter], object], *, context: Context) -> None:
        # Publish the callback, then look again: see the module's theory of operation.
        self._context = context
        self._resume = callback
        if self._notified:
            self._resume_soon()

    def cancel(self, msg: object = None) -> bool:
        if self._resume is None:
            # The task is being resumed already; it raises the cancellation itself.
            return False
        self._cancelled = () if msg is None else (msg,)
        self._resume_soon()
        return True

    def result(self) -> None:
        cancelled, self._cancelled = self._cancelled, None
        if cancelled is not None:
            raise asyncio.CancelledError(*cancelled)


class _AsyncioSignal:
    __slots__ = ("_bridge", "_future", "_loop", "_notified")

    def __init__(self, bridge: AsyncioBridge, loop: asyncio.AbstractEventLoop) -> None:
        self._bridge = bridge
        self._loop = loop
        self._future: asyncio.Future[None] | None = None
        self._notified = False

    def notify(self) -> None:
        if self._notified:
            return
        try:
            self._notified = True
            future = self._future
            if future is None:
                return
            if _running_loop() is self._loop:
                if not future.done():
                    future.set_result(None)
            else:
                post_quietly(self._bridge, _AsyncioSignal._wake, self)
        except BaseException:
            # A KeyboardInterrupt may fall in between; later notifiers rely on the wake-up that the flag
            # promises.
            post_quietly(self._bridge, _AsyncioSignal._wake, self)
            raise

    def _wake(self) -> None:
        future = self._future
        # A wake-up may come late, after another wait consumed the flag: it must not end this one.
        if self._notified and future is not None and not future.done():
            future.set_result(None)

    async def wait(self) -> None:
        if not self._notified:
            future = self._future = self._loop.create_future()
            try:
                # Publish the future, then look again: see the module's theory of operation.
                if not self._notified:
                    await future
            finally:
                self._future = None
        self._notified = False

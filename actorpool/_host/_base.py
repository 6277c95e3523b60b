# SPDX-License-Identifier: Apache-2.0
"""The host port: what an actor may ask of the event loop it lives on.

Here live the protocols that both hosts obey. No driver lives here: `_asyncio` and `_trio` implement the port,
`_bridge` joins threads and loops, `_current` finds what runs in this thread.
trio is imported by nobody but `_trio`, and only when a trio run asks for its host.

A `Host` speaks for one running loop and is used on that loop's thread, save where a method says otherwise. A
`Bridge` is the one door through which other threads and other loops reach a loop; there is one per loop.
"""

from __future__ import annotations

from collections.abc import Awaitable, Callable
from contextlib import AbstractAsyncContextManager, AbstractContextManager
from types import TracebackType
from typing import Any, Protocol, Self, TypeVar

from attrs import frozen

__all__ = [
    "Bridge",
    "CancelScope",
    "ChannelStatistics",
    "Event",
    "FeederHandle",
    "Host",
    "Nursery",
    "ReceiveChannel",
    "RootHandle",
    "SendChannel",
    "Signal",
    "TimerHandle",
    "Waiter",
]

T = TypeVar("T")
T_co = TypeVar("T_co", covariant=True)
T_contra = TypeVar("T_contra", contravariant=True)


@frozen
class ChannelStatistics:
    """A snapshot of one memory channel."""

    current_buffer_used: int
    """Items sent and not received yet, those of waiting senders not counted."""
    max_buffer_size: float
    """Items the buffer may hold (inclusive), `math.inf` if unbounded."""
    open_send_channels: int
    """Send ends not closed yet, clones included."""
    open_receive_channels: int
    """Receive ends not closed yet, clones included."""
    tasks_waiting_send: int
    """Tasks blocked in `send`."""
    tasks_waiting_receive: int
    """Tasks blocked in `receive`."""


class TimerHandle(Protocol):
    """What `Host.call_at` returns."""

    def cancel(self) -> None:
        """Keep the callback from running; nothing happens if it ran already."""
        ...


class Event(Protocol):
    """A flag that is set once; host thread only."""

    def set(self) -> None:
        """Set the flag and wake every waiting task."""
        ...

    def is_set(self) -> bool:
        """Return whether the flag is set."""
        ...

    async def wait(self) -> None:
        """Return once the flag is set; always a checkpoint."""
        ...


class CancelScope(Protocol):
    """The scope of `Host.move_on_after`."""

    def cancel(self) -> None:
        """Cancel the body now, as if the time were up."""
        ...

    @property
    def cancelled_caught(self) -> bool:
        """Whether the body was cut short by this scope; known after the `with` ended."""
        ...


class Nursery(Protocol):
    """The scope that owns tasks: its `async with` ends after its last child has ended."""

    def start_soon(
        self, function: Callable[..., Awaitable[object]], *args: object, name: str | None = None
    ) -> None:
        """Start `await function(*args)` as a child, never before the caller's next checkpoint.

        A child always gets to its first checkpoint, also if the nursery is cancelled before it started. An
        error raised by calling `function(*args)` is the child's failure.

        Raises:
            ClosedResourceError: If the nursery has ended.
        """
        ...

    def cancel(self) -> None:
        """Cancel all children and the body; the `async with` then ends without an error of its own."""
        ...


class _ChannelEnd(Protocol):
    def close(self) -> None:
        """Close this end; idempotent. Items left when the last receiver closes are dropped."""
        ...

    async def aclose(self) -> None:
        """Close this end, then pass a checkpoint."""
        ...

    def statistics(self) -> ChannelStatistics:
        """Return a snapshot of the channel."""
        ...

    def __enter__(self) -> Self: ...

    def __exit__(
        self,
        exc_type: type[BaseException] | None,
        exc: BaseException | None,
        traceback: TracebackType | None,
        /,
    ) -> None: ...

    async def __aenter__(self) -> Self: ...

    async def __aexit__(
        self,
        exc_type: type[BaseException] | None,
        exc: BaseException | None,
        traceback: TracebackType | None,
        /,
    ) -> None: ...


class SendChannel(_ChannelEnd, Protocol[T_contra]):
    """The sending end of a memory channel; host thread only."""

    async def send(self, value: T_contra) -> None:
        """Send `value`, waiting for room.

        Raises:
            BrokenResourceError: If every receiver has closed.
            ClosedResourceError: If this end is closed, also while waiting.
        Cancellation: Nothing was sent.
        """
        ...

    def send_nowait(self, value: T_contra) -> None:
        """Send `value` at once or raise `WouldBlock`."""
        ...

    def clone(self) -> SendChannel[T_contra]:
        """Return another sending end of the same channel; the channel ends when all ends have closed."""
        ...


class ReceiveChannel(_ChannelEnd, Protocol[T_co]):
    """The receiving end of a memory channel; host thread only."""

    async def receive(self) -> T_co:
        """Return the oldest item, waiting for one.

        Raises:
            EndOfChannel: If every sender has closed and the buffer is empty.
            ClosedResourceError: If this end is closed, also while waiting.
        Cancellation: No item was taken.
        """
        ...

    def receive_nowait(self) -> T_co:
        """Return the oldest item at once or raise `WouldBlock`."""
        ...

    def clone(self) -> ReceiveChannel[T_co]:
        """Return another receiving end of the same channel; each item reaches one of them."""
        ...

    def __aiter__(self) -> Self: ...

    async def __anext__(self) -> T_co: ...


class Waiter(Protocol):
    """A one-shot wake-up for one task."""

    def notify(self, by: object = None, /) -> None:
        """Let `wait` return, now and for ever; idempotent. It may stand as the sink of the input waited for, `by`.

        Threads: Any. Nothing happens if the loop has ended.
        """
        ...

    async def wait(self) -> None:
        """Return once notified; a checkpoint unless that has happened.

        Cancellation: Nothing is left behind; `wait` may be called again.
        """
        ...


class Signal(Protocol):
    """An auto-reset wake-up for one task."""

    def notify(self) -> None:
        """Let one `wait`, this one or the next, return; several before that count as one.

        Threads: Any. Nothing happens if the loop has ended.
        """
        ...

    async def wait(self) -> None:
        """Return when notified since the last return; no checkpoint if that has happened already.

        One task at a time. What the notifier wrote before `notify` is visible after `wait`.

        Cancellation: A notification that came meanwhile is kept for the next `wait`.
        """
        ...


class FeederHandle(Protocol):
    """A background task of a loop."""

    def cancel(self) -> None:
        """Cancel the task; host thread only, idempotent."""
        ...

    def done(self) -> bool:
        """Return whether the task has ended."""
        ...


class RootHandle(Protocol):
    """The task that carries an app's root nursery."""

    def done(self) -> bool:
        """Return whether the task has ended."""
        ...

    async def wait(self) -> None:
        """Return once the task has ended; never raises its exception.

        Cancellation: The task goes on.
        """
        ...

    def cancel(self) -> None:
        """Cancel the task; host thread only."""
        ...

    def exception(self) -> BaseException | None:
        """Return what escaped from the task; None while it runs, after its end and after a cancellation."""
        ...


class Bridge(Protocol):
    """The one door through which other threads and loops reach a loop."""

    @property
    def name(self) -> str:
        """The host library: "asyncio" or "trio"."""
        ...

    def post(self, callback: Callable[[T], object], argument: T) -> None:
        """Run `callback(argument)` soon on the loop's thread, in order, never inline.

        Posts of one burst share one wake-up of the loop. An exception in a callback is logged and stops
        nothing. What was posted but not run when the loop ends is dropped.

        Raises:
            HostClosedError: If the loop has ended.
        Threads: Any, but no signal handler: it may interrupt the loop's own sleep without ending it.
        """
        ...

    def check_open(self) -> None:
        """Raise `HostClosedError` if the loop has ended. Threads: any."""
        ...

    def is_current(self) -> bool:
        """Return whether this thread is the one that is running this loop right now."""
        ...

    def waiter(self) -> Waiter:
        """Return a one-shot wake-up whose `wait` belongs to this loop."""
        ...

    def signal(self) -> Signal:
        """Return an auto-reset wake-up whose `wait` belongs to this loop."""
        ...

    def create_feeder(self, function: Callable[[], Awaitable[None]]) -> FeederHandle:
        """Start a background task in a copy of the current context; loop's thread only.

        It starts soon, never inline. An exception that escapes is logged.
        """
        ...


class Host(Protocol):
    """The adapter to one running loop."""

    @property
    def name(self) -> str:
        """The host library: "asyncio" or "trio"."""
        ...

    @property
    def bridge(self) -> Bridge:
        """The door to this host's loop."""
        ...

    def now(self) -> float:
        """Return the loop's monotonic clock in seconds. Threads: any."""
        ...

    def wall_time(self) -> float:
        """Return Unix seconds; on a virtual clock a chosen start plus what elapsed there. Threads: any."""
        ...

    def hold(self) -> None:
        """Keep a virtual clock from jumping until `release`; counts. Real clocks ignore it. Threads: any."""
        ...

    def release(self) -> None:
        """Undo one `hold`. Threads: any."""
        ...

    def hold_clock(self) -> AbstractContextManager[None]:
        """Return a context manager over `hold` and `release`. Threads: any."""
        ...

    def call_at(self, when: float, callback: Callable[[], object]) -> TimerHandle:
        """Run `callback` on the loop when `now()` reaches `when`, in a copy of the caller's context."""
        ...

    def event(self) -> Event:
        """Return a new unset event."""
        ...

    def open_nursery(self) -> AbstractAsyncContextManager[Nursery]:
        """Return a nursery to be entered with `async with`."""
        ...

    def open_memory_channel(self, max_buffer_size: float) -> tuple[SendChannel[Any], ReceiveChannel[Any]]:
        """Return the two ends of a channel of `max_buffer_size` items (>= 0, `math.inf` for no bound)."""
        ...

    async def sleep(self, seconds: float) -> None:
        """Sleep for `seconds`."""
        ...

    def move_on_after(self, seconds: float) -> AbstractContextManager[CancelScope]:
        """Cancel the body of the `with` after `seconds` and go on behind it; `math.inf` for never."""
        ...

    async def shielded(self, function: Callable[[], Awaitable[T]], seconds: float) -> bool:
        """Run `function` to its end, or cancel it after `seconds`; return whether it came to its end.

        A cancellation from outside is held back until `function` has ended, then delivered. A `function` that
        refuses its own cancellation is waited for.
        """
        ...

    def when_closed(self, callback: Callable[[], object]) -> TimerHandle:
        """Call `callback` if the loop is closed before the returned handle is cancelled; host thread only.

        A closed loop never runs its tasks again, not even to cancel them, so whoever waits for one of them would wait
        for ever. The callback runs once, in the thread that closes the loop, and may use no part of the loop.
        A trio run cannot end without having ended its tasks: there it is never called.
        """
        ...

    def start_root(self, function: Callable[[], Awaitable[None]], name: str) -> RootHandle:
        """Run `function` in a task of its own that belongs to nobody, in an empty context."""
        ...

    async def checkpoint(self) -> None:
        """Let others run, and let a cancellation in."""
        ...

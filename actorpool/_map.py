# SPDX-License-Identifier: Apache-2.0
"""One map: inputs drawn lazily from the caller's iterator, results in order, a bounded window between.

The consumer drives it: asking for the next result first sends on as many inputs as the window has room
for, so a slow consumer slows the map, and the iterator runs in the caller's thread. What may be in
flight and what is delivered next is decided by the pure `Reassembly`. Results arrive, from whichever
thread, in a deque that only the consumer empties.
"""

from __future__ import annotations

import time
from collections import deque
from collections.abc import AsyncGenerator, Callable, Iterable, Iterator
from contextlib import aclosing
from contextvars import copy_context
from typing import TYPE_CHECKING, Any, Final

from attrs import frozen

from actorpool._actors._identity import CallIdentity
from actorpool._core._input import NEW, SUCCEEDED, Input
from actorpool._core._ordering import Reassembly
from actorpool._host._context import current_input
from actorpool._host._current import current_host
from actorpool._host._errors import HostClosedError
from actorpool._host._thread_waits import ThreadSignal
from actorpool.exception import ExecutionError

from ._binding import annotated

if TYPE_CHECKING:
    from actorpool._host._base import Bridge, FeederHandle

    from ._binding import Binding

__all__ = ["Dropped", "MapOptions", "iterate", "iterate_async"]

# Drawing from the caller's iterator pauses after this long, so that first results are not held up.
_DRAW_S: Final = 0.001
# A source that refuses its cancellation is waited for this long.
_LEAVE_S: Final = 10.0
# An asynchronous consumer that never has to wait lets others run after this many results.
_YIELD_EVERY: Final = 256
# The window is filled up when this share of it may be empty, or there is nothing to deliver: a refill has its price.
_REFILL: Final = 8


@frozen(kw_only=True)
class MapOptions:
    """What a map verb was asked for."""

    kwargs: dict[str, Any] | None
    """Keyword arguments of every input."""
    ordered: bool
    """Whether results come in input order, or as they finish."""
    return_exceptions: bool
    """Whether a failed input's exception takes its place in the results, or is raised there."""


class MapRun:
    """The window of one map, its inputs in flight and its finished results."""

    def __init__(self, binding: Binding, options: MapOptions, notify: Callable[[], object]) -> None:
        limits = binding.dispatcher.limits
        self._dispatcher = binding.dispatcher
        self._target = binding.target
        self._kwargs = options.kwargs
        self._return_exceptions = options.return_exceptions
        self._notify = notify
        self._context = copy_context()
        self._parent = current_input.get()
        self._identity = CallIdentity()
        self.window = Reassembly(
            ordered=options.ordered, in_flight=limits.map_in_flight, buffered=limits.map_buffered
        )
        self.finished: deque[Input] = deque()
        # Accepted by the window, but refused by the pool, whose backlog is full.
        self._held: list[Input] = []
        self._asked_for_room = False
        # Why the pool refused the last inputs drawn, and how many; the window counts them as in flight.
        self._refusal: ExecutionError | None = None
        self._refused = 0
        self.waiting = False
        """Raised by the consumer, with `expect`, before it looks at `finished` for the last time and then waits."""
        # While that is raised: the index of the last input that is of use; None if each is.
        self._awaited: int | None = None
        self.feeder: Feeder | None = None
        self.refill: int = max(1, limits.map_in_flight // _REFILL)
        """After how many results the consumer is to refill the window."""

    def room(self) -> int:
        """Return how many inputs may be drawn now; 0 while some are held back."""
        return 0 if self._held else self.window.room()

    def draw(self, arguments: Iterator[tuple[Any, ...]]) -> None:
        """Draw as many inputs as there is room for, for about a millisecond, and send them on.

        Raises:
            BaseException: Whatever the caller's iterator raises; what was drawn with it is not sent on.
        """
        room = self.room()
        if room <= 0:
            return
        drawn: list[Input] = []
        target, kwargs, context, parent = self._target, self._kwargs, self._context, self._parent
        sink, identity, now = self._sink, self._identity, time.monotonic
        index = self.window.started
        ended = False
        until = now() + _DRAW_S
        for args in arguments:
            drawn.append(Input(target, args, kwargs, context, sink, parent, False, index, identity))
            index += 1
            room -= 1
            if not room or now() > until:
                break
        else:
            ended = self.feeder is None or self.feeder.ended
        self.window.start(drawn)
        self.send(drawn)
        if ended:
            self.window.exhaust()

    def absorb(self, arguments: Iterator[tuple[Any, ...]]) -> None:
        """Take in what has finished, and send on what there is room for now."""
        self.collect()
        if self._held:
            self.resend()
        self.draw(arguments)

    @property
    def stalled(self) -> bool:
        """Whether only a notification can bring the map forward."""
        return not self.finished and (self._held != [] or self.window.room() <= 0) and not self.window.done

    def send(self, inputs: list[Input]) -> None:
        """Hand inputs to the pool; what it has no room for is held back until it has.

        If the pool refuses them for good, what it has accepted before still has its results.
        """
        if not inputs:
            return
        try:
            accepted = self._dispatcher.submit_many(inputs)
        except ExecutionError as error:
            self._held = []
            self._refusal = error
            self._refused = sum(input.state == NEW for input in inputs)
            self.window.exhaust()
            return
        self._held = inputs[accepted:] if accepted < len(inputs) else []

    def expect(self) -> None:
        """Have `notify` called for the next outcome that is of use."""
        self._awaited = self.window.awaited
        self.waiting = True

    def check_refusal(self) -> None:
        """Raise why the pool refused inputs, once there is no other result to wait for."""
        if self._refusal is not None and not self.finished and self.window.in_flight == self._refused:
            raise self._refusal

    def resend(self) -> None:
        """Try again what was held back; `notify` is called when there is room."""
        while self._held:
            before = len(self._held)
            self.send(self._held)
            if len(self._held) < before:
                continue
            if self._asked_for_room:
                return
            # Raised before it is asked for: the answer may come at once, from another thread.
            self._asked_for_room = True
            if self._dispatcher.wait_for_room(self._room_found):
                return
            self._asked_for_room = False

    def _room_found(self) -> None:
        self._asked_for_room = False
        self._notify()

    def collect(self) -> None:
        """Move what has finished into the window."""
        finished = self.finished
        if finished:
            # What comes in meanwhile, from another thread, is for the next time.
            self.window.finish([finished.popleft() for _ in range(len(finished))])

    def failure_of(self, input: Input) -> Exception:
        """Return the exception of an input that failed if the caller asked for that; else raise it."""
        error = annotated(input)
        if self._return_exceptions and isinstance(error, Exception):
            return error
        raise error

    def close(self, reason: str) -> None:
        """Cancel whatever is still in flight: nobody will take its result."""
        waiter = self._room_found if self._asked_for_room or self._held else None
        self._held = []
        unfinished = self.window.unfinished()
        if unfinished or waiter is not None:
            self._dispatcher.abandon(unfinished, reason, waiter)

    def _sink(self, input: Input) -> None:
        self.finished.append(input)
        if self.waiting and (self._awaited is None or input.index <= self._awaited):
            # One call is enough; the consumer raises it again before it next waits.
            self.waiting = False
            self._notify()


def iterate(binding: Binding, arguments: Iterable[tuple[Any, ...]], options: MapOptions) -> Iterator[Any]:
    """Run the map in this thread, which is blocked between results."""
    signal = ThreadSignal()
    run = MapRun(binding, options, signal.notify)
    window, take, refill = run.window, run.window.take, run.refill
    taken = 0
    try:
        source = iter(arguments)
        run.absorb(source)
        while True:
            item = take()
            if item is None:
                if window.done:
                    return
                run.expect()
                run.absorb(source)
                if (item := take()) is None:
                    run.check_refusal()
                    if run.stalled:
                        pause = window.pause(time.monotonic())
                        if pause:
                            # Nobody is to wake it then, save for what is no result.
                            run.waiting = False
                        signal.wait(pause or None)
                    continue
                run.waiting = False
            yield item.value if item.state == SUCCEEDED else run.failure_of(item)
            taken += 1
            if taken % refill == 0:
                run.absorb(source)
    finally:
        run.close(_left(binding))


async def iterate_async(
    binding: Binding,
    arguments: Iterable[tuple[Any, ...]] | AsyncGenerator[tuple[Any, ...], None],
    options: MapOptions,
) -> AsyncGenerator[Any, None]:
    """Run the map on the running loop, whichever that is."""
    host = current_host()
    signal = host.bridge.signal()
    run = MapRun(binding, options, signal.notify)
    window, take, refill = run.window, run.window.take, run.refill
    feeder: Feeder | None = None
    taken = 0
    dropped = False
    try:
        if isinstance(arguments, AsyncGenerator):
            feeder = run.feeder = Feeder(arguments, host.bridge, signal.notify)
            source: Iterator[tuple[Any, ...]] = feeder
        else:
            source = iter(arguments)
        run.absorb(source)
        while True:
            item = take()
            if item is None:
                if window.done:
                    return
                run.expect()
                run.absorb(source)
                if (item := take()) is None:
                    run.check_refusal()
                    if run.stalled or (feeder is not None and not window.done):
                        await signal.wait()
                    continue
                run.waiting = False
            yield item.value if item.state == SUCCEEDED else run.failure_of(item)
            taken += 1
            if taken % refill == 0:
                run.absorb(source)
            if taken % _YIELD_EVERY == 0:
                await host.checkpoint()
    except Dropped:
        dropped = True
        raise
    finally:
        run.close(_left(binding))
        if feeder is not None:
            feeder.close()
            if feeder.running and not dropped:
                # Whoever leaves may close what the source reads from: it is not to be in the middle of that.
                await host.shielded(feeder.left.wait, _LEAVE_S)


class Dropped(BaseException):
    """Thrown into the generator of a map that nobody refers to any more: it ends without waiting for anything."""


class Feeder(Iterator[tuple[Any, ...]]):
    """Draws from an asynchronous iterator in a task of its own, one input ahead, so that results do not wait for it.

    It is itself the source of the map: iterating it yields what has been drawn so far, then stops; it may be
    iterated again when more has been drawn, and is exhausted when it also says `ended`.
    """

    __slots__ = (
        "_arguments",
        "_bridge",
        "_drawn",
        "_failure",
        "_handle",
        "_left",
        "_notify",
        "_signal",
        "ended",
        "left",
        "running",
    )

    def __init__(
        self, arguments: AsyncGenerator[tuple[Any, ...], None], bridge: Bridge, notify: Callable[[], object]
    ) -> None:
        self._arguments = arguments
        self._drawn: tuple[Any, ...] | None = None
        self._failure: BaseException | None = None
        self._notify = notify
        self._bridge = bridge
        self._signal = bridge.signal()
        self._left = False
        self.running = False
        self.ended = False
        self.left = bridge.waiter()
        """Notified when nothing is drawn any more."""
        self._handle = bridge.create_feeder(self._feed)

    def __next__(self) -> tuple[Any, ...]:
        if self._drawn is not None:
            drawn, self._drawn = self._drawn, None
            self._signal.notify()
            return drawn
        if self._failure is not None:
            raise self._failure
        raise StopIteration

    def close(self) -> None:
        """Stop drawing. Threads: any, for the garbage collector's sake."""
        self._left = True
        if self._bridge.is_current():
            self._handle.cancel()
        elif not self.ended:
            try:
                self._bridge.post(_cancel, self._handle)
            except HostClosedError:
                # The loop ended, and with it the feeder.
                return

    async def _feed(self) -> None:
        if self._left:
            return
        self.running = True
        try:
            async with aclosing(self._arguments) as arguments:
                async for args in arguments:
                    self._drawn = args
                    self._notify()
                    while self._drawn is not None:
                        await self._signal.wait()
        except BaseException as error:
            # The caller's iterator failed, or was cancelled from within: the consumer raises it.
            self._failure = error
            if not isinstance(error, (Exception, KeyboardInterrupt, SystemExit)):
                raise
        finally:
            self.running = False
            self.ended = True
            self.left.notify()
            self._notify()


def _cancel(handle: FeederHandle) -> None:
    handle.cancel()


def _left(binding: Binding) -> str:
    return f"the map over '{binding.target}' was left before this input had a result"

# SPDX-License-Identifier: Apache-2.0
"""`FunctionCall`: the handle to an input that was spawned."""

from __future__ import annotations

import logging
import math
import threading
import time
from collections import OrderedDict
from collections.abc import AsyncIterator, Callable, Iterator, Sequence
from typing import TYPE_CHECKING, Any, Final, Generic, TypeVar, cast

from actorpool._core._config import check_seconds
from actorpool._core._input import FAILED, STATE_NAMES, SUCCEEDED, TIMED_OUT, Input
from actorpool._host._base import current_host
from actorpool._host._bridge import ThreadWaiter
from actorpool.exception import InvalidError, NotFoundError

from ._binding import check_blocking, outcome_of
from .context import CallIdentity, call_id_of

if TYPE_CHECKING:
    from actorpool._actors._dispatch import Dispatcher

__all__ = ["FunctionCall"]

R_co = TypeVar("R_co", covariant=True)
T = TypeVar("T")

logger: logging.Logger = logging.getLogger("actorpool")


class _Get(Generic[R_co]):
    """The verb `FunctionCall.get`."""

    __slots__ = ("_call",)

    def __init__(self, call: FunctionCall[R_co]) -> None:
        self._call = call

    def __call__(self, timeout: float | None = None, *, index: int = 0) -> R_co:
        """Return the result, waiting up to `timeout` seconds for it; may be called again.

        Args:
            timeout: Longest wait in seconds; None for no bound, 0 to look once.
            index: Which input's result, where the call has several.

        Raises:
            TimeoutError: The builtin one, if there is no result in time; the input goes on.
            RemoteError: If the input was cancelled.
            ValueError: If there is no input of that index.
            BaseException: Whatever the function raised.
        """
        call = self._call
        input = call._at(index)
        if timeout is not None:
            check_seconds("timeout", timeout, zero=True)
        if not input.done and timeout != 0:
            check_blocking(call._dispatcher, "function_call", "get")
            waiter = ThreadWaiter()

            def sink(_input: Input) -> None:
                waiter.notify()

            if call._dispatcher.add_sink(input, sink):
                try:
                    waiter.wait(timeout)
                finally:
                    call._dispatcher.remove_sink(input, sink)
        return call._outcome(index, timeout)

    async def aio(self, timeout: float | None = None, *, index: int = 0) -> R_co:
        """Do the same on the running loop.

        Cancellation: The input goes on.
        """
        call = self._call
        input = call._at(index)
        if timeout is not None:
            check_seconds("timeout", timeout, zero=True)
        if not input.done and timeout != 0:
            host = current_host()
            waiter = host.bridge.waiter()

            def sink(_input: Input) -> None:
                waiter.notify()

            if call._dispatcher.add_sink(input, sink):
                try:
                    with host.move_on_after(math.inf if timeout is None else timeout):
                        await waiter.wait()
                finally:
                    call._dispatcher.remove_sink(input, sink)
        return call._outcome(index, timeout)


class _Iter(Generic[R_co]):
    """The verb `FunctionCall.iter`."""

    __slots__ = ("_call",)

    def __init__(self, call: FunctionCall[R_co]) -> None:
        self._call = call

    def __call__(self, *, start: int = 0, end: int | None = None) -> Iterator[R_co]:
        """Yield the results of the inputs from `start` up to `end` (exclusive), in their order, waiting for each.

        Raises:
            ValueError: If the range goes beyond the call's inputs.
        """
        return (self._call.get(index=index) for index in self._call._range(start, end))

    def aio(self, *, start: int = 0, end: int | None = None) -> AsyncIterator[R_co]:
        """Yield them to `async for`."""
        indices = self._call._range(start, end)

        async def results() -> AsyncIterator[R_co]:
            for index in indices:
                yield await self._call.get.aio(index=index)

        return results()


class _Cancel:
    """The verb `FunctionCall.cancel`."""

    __slots__ = ("_call",)

    def __init__(self, call: FunctionCall[Any]) -> None:
        self._call = call

    def __call__(self) -> None:
        """Cancel every input: a pending one never starts, a running asynchronous one is cancelled once.

        A thread cannot be stopped: its result is dropped, and its slot stays taken until it returns. A later
        `get` raises `RemoteError`. What has finished stays as it is. Never blocks.
        """
        call = self._call
        for input in call._inputs:
            call._dispatcher.cancel(input, f"the call of '{input.target}' was cancelled")

    async def aio(self) -> None:
        """Do the same; this never waits."""
        self()


class _Gather:
    """The verb `FunctionCall.gather`."""

    __slots__ = ()

    def __call__(self, *calls: FunctionCall[T]) -> list[T]:
        """Return the results of `calls` in their order; raise the first failure at once, the others go on.

        Of calls that had failed before, the one named first is raised.
        """
        for call in calls:
            if not call._at(0).done:
                check_blocking(call._dispatcher, "FunctionCall", "gather")
        waiter = ThreadWaiter()
        race = _Race(calls, waiter.notify)
        try:
            waiter.wait()
        finally:
            race.leave()
        return race.results()

    async def aio(self, *calls: FunctionCall[T]) -> list[T]:
        """Do the same on the running loop.

        Cancellation: The inputs go on.
        """
        waiter = current_host().bridge.waiter()
        race = _Race(calls, waiter.notify)
        try:
            await waiter.wait()
        finally:
            race.leave()
        return race.results()


class _Race(Generic[T]):
    """Notifies once, when every one of several calls has its result or the first of them has failed."""

    def __init__(self, calls: tuple[FunctionCall[T], ...], notify: Callable[[], object]) -> None:
        self._calls = calls
        self._notify = notify
        self._lock = threading.Lock()
        self._left = len(calls)
        self._failed: Input | None = None
        # One object, so that it can be taken away again.
        self._sink = self._ended
        if not calls:
            notify()
        for call in calls:
            input = call._at(0)
            if not call._dispatcher.add_sink(input, self._sink):
                self._ended(input.latest())

    def leave(self) -> None:
        """Wait no more for those that go on."""
        for call in self._calls:
            call._dispatcher.remove_sink(call._at(0), self._sink)

    def results(self) -> list[T]:
        """Return the results, or raise the first failure."""
        for call in self._calls:
            if call._at(0) is self._failed:
                return [call._outcome(0, None)]
        return [call._outcome(0, None) for call in self._calls]

    def _ended(self, input: Input) -> None:
        with self._lock:
            self._left -= 1
            if input.state != SUCCEEDED and self._failed is None:
                self._failed = input
            is_over = self._failed is not None or not self._left
        if is_over:
            self._notify()


class FunctionCall(Generic[R_co]):
    """A handle to one or many spawned inputs; get it from `spawn`, `experimental_spawn_map` or `from_id`.

    Attributes:
        get: Waits for the result; has an `.aio` twin.
        iter: Iterates over the results of many inputs; has an `.aio` twin.
        cancel: Cancels the input; has an `.aio` twin.
        gather: Waits for several calls; has an `.aio` twin.
    """

    __slots__ = ("__weakref__", "_dispatcher", "_identity", "_inputs", "_observed")

    gather: Final = _Gather()

    def __init__(
        self, dispatcher: Dispatcher, inputs: Sequence[Input], identity: CallIdentity | None = None
    ) -> None:
        self._dispatcher = dispatcher
        self._inputs = inputs
        # Given where there may be no input to carry it.
        self._identity = identity
        # The indices whose outcome somebody has seen.
        self._observed: set[int] | None = None

    def __del__(self) -> None:
        # Nobody can ask for the results any more: a failure must not pass unseen. No lock is taken here, since the
        # garbage collector may call this anywhere; a failure in this very moment may be reported twice or not.
        for index, first in enumerate(self._inputs):
            input = first.latest()
            if not input.done:
                if input.sink is None:
                    input.sink = self._report_unseen
            elif self._observed is None or index not in self._observed:
                self._report_unseen(input)

    @staticmethod
    def _report_unseen(input: Input) -> None:
        """Log the failure of a spawned input that nobody can ask for."""
        if input.state in (FAILED, TIMED_OUT):
            logger.error(
                "a spawned input of function '%s' failed, and nobody asked for it",
                input.target,
                exc_info=input.value,
            )

    @property
    def get(self) -> _Get[R_co]:
        """Wait for the result."""
        return _Get(self)

    @property
    def iter(self) -> _Iter[R_co]:
        """Iterate over the results."""
        return _Iter(self)

    @property
    def cancel(self) -> _Cancel:
        """Cancel the inputs."""
        return _Cancel(self)

    @property
    def done(self) -> bool:
        """Whether the outcome of every input is known."""
        return all(input.latest().done for input in self._inputs)

    def num_inputs(self) -> int:
        """Return how many inputs the call has: 1 for `spawn`."""
        return len(self._inputs)

    @property
    def object_id(self) -> str:
        """The id of this call, for `from_id`; results asked for by id are kept as `from_id` says."""
        return _known_calls.id_of(self)

    @staticmethod
    def from_id(function_call_id: str) -> FunctionCall[Any]:
        """Return the call with this id.

        A call is known in its own process, for an hour after its `object_id` was first asked for; of the
        calls known, the latest 100,000.

        Raises:
            InvalidError: If it is not the id of a function call.
            NotFoundError: If no such call is known.
        """
        return _known_calls.find(function_call_id)

    def _at(self, index: int) -> Input:
        self._range(index, index + 1)
        return self._inputs[index].latest()

    def _range(self, start: int, end: int | None) -> range:
        count = len(self._inputs)
        end = count if end is None else end
        if not 0 <= start <= end <= count:
            raise ValueError(
                f"this call has {count} inputs, counted from 0; {start} up to {end} goes beyond them"
            )
        return range(start, end)

    def _outcome(self, index: int, timeout: float | None) -> R_co:
        input = self._inputs[index].latest()
        if not input.done:
            raise TimeoutError(f"the call of '{input.target}' has no result after {timeout:g} s; it goes on")
        if self._observed is None:
            self._observed = set()
        self._observed.add(index)
        return cast("R_co", outcome_of(input))

    def __repr__(self) -> str:
        if not self._inputs:
            return "<FunctionCall with 0 inputs>"
        states = {STATE_NAMES[input.latest().state] for input in self._inputs}
        many = f" {len(self._inputs)} inputs" if len(self._inputs) > 1 else ""
        return f"<FunctionCall of '{self._inputs[0].target}'{many} {', '.join(sorted(states))}>"


class _KnownCalls:
    """The calls whose id somebody asked for: kept for a bounded time and number."""

    _KEPT_S: Final = 3600.0
    _KEPT: Final = 100_000

    def __init__(self) -> None:
        self._lock = threading.Lock()
        # {id: (the call, when its id was asked for first)}, the oldest first.
        self._calls: OrderedDict[str, tuple[FunctionCall[Any], float]] = OrderedDict()

    def id_of(self, call: FunctionCall[Any]) -> str:
        """Return the id of `call`, given now if it has none."""
        now = time.monotonic()
        with self._lock:
            known = call._identity
            identity = call_id_of(call._inputs[0].latest()) if known is None else known.value
            self._calls.setdefault(identity, (call, now))
            self._forget(now)
            return identity

    def find(self, identity: str) -> FunctionCall[Any]:
        """Return the call known under `identity`."""
        if not str(identity).startswith("fc-"):
            raise InvalidError(f"{identity!r} is not the id of a function call; ids begin with 'fc-'")
        with self._lock:
            self._forget(time.monotonic())
            found = self._calls.get(identity)
        if found is None:
            raise NotFoundError(
                f"no function call '{identity}' is known in this process; calls are kept for {self._KEPT_S:g} s "
                f"after their id was asked for, the latest {self._KEPT}"
            )
        return found[0]

    def _forget(self, now: float) -> None:
        calls = self._calls
        while calls:
            identity, (_, asked_at) = next(iter(calls.items()))
            if len(calls) <= self._KEPT and asked_at + self._KEPT_S > now:
                return
            del calls[identity]


_known_calls = _KnownCalls()

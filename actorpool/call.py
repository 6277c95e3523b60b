# SPDX-License-Identifier: Apache-2.0
"""`FunctionCall`: the handle to one or many inputs that were spawned.

A handle has its results for as long as somebody holds it. Found by its id a call is known for a bounded time
(`_known_calls`); after that `from_id` returns a handle that only says so.
"""

from __future__ import annotations

import logging
import math
from collections.abc import AsyncIterator, Callable, Iterator, Sequence
from typing import TYPE_CHECKING, Any, Final, Generic, NoReturn, TypeVar, cast

from actorpool._actors._identity import call_id_of, identity_of, is_genuine
from actorpool._backends._inside import in_container
from actorpool._core._batch import Batch
from actorpool._core._config import check_seconds
from actorpool._core._input import FAILED, STATE_NAMES, SUCCEEDED, TIMED_OUT, Input
from actorpool._host._current import current_host
from actorpool._host._thread_waits import ThreadWaiter
from actorpool.exception import InvalidError, NotFoundError, OutputExpiredError

from ._binding import check_blocking, outcome_of
from ._known_calls import known_calls
from ._race import Race

if TYPE_CHECKING:
    from actorpool._actors._identity import CallIdentity
    from actorpool._actors._way import Way
    from actorpool._core._container import Container

    from ._binding import Reduced
    from .call_graph import InputInfo

__all__ = ["FunctionCall", "keep_call_of"]

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
            OutputExpiredError: If the call was found by an id whose results are no longer kept.
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
            # One object: `remove_sink` looks for the very same.
            sink = waiter.notify
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
            # One object: `remove_sink` looks for the very same.
            sink = waiter.notify
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
            OutputExpiredError: As for `get`.
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

    def __call__(self, terminate_containers: bool = False) -> None:
        """Cancel every input: a pending one never starts, a running asynchronous one is cancelled once.

        A thread cannot be stopped: its result is dropped, and its slot stays taken until it returns. A later
        `get` raises `RemoteError`. What has finished stays as it is, and is not tried again. Never blocks.

        Args:
            terminate_containers: Whether the containers in which the inputs run are to end too, with their exit
                hooks; others take their place as there is demand. No other input is lost: one of an asynchronous
                function, and any in a process container, is cancelled there and started again elsewhere, with the
                retries it had left; one in a thread, and a generator, may finish, and its container ends after it.
                A container in which only threads of cancelled inputs are left ends without them.
        """
        call = self._call
        places: set[Container] | None = set() if terminate_containers else None
        for input in call.inputs:
            call._dispatcher.cancel(input, f"the call of '{input.target}' was cancelled", places)
        if places:
            call._dispatcher.terminate(places)

    async def aio(self, terminate_containers: bool = False) -> None:
        """Do the same; this never waits."""
        self(terminate_containers)


class _NumInputs:
    """The verb `FunctionCall.num_inputs`."""

    __slots__ = ("_call",)

    def __init__(self, call: FunctionCall[Any]) -> None:
        self._call = call

    def __call__(self) -> int:
        """Return how many inputs the call has: 1 for `spawn`.

        Raises:
            OutputExpiredError: As for `get`.
        """
        return len(self._call._range(0, None))

    async def aio(self) -> int:
        """Do the same; this never waits."""
        return self()


class _GetCallGraph:
    """The verb `FunctionCall.get_call_graph`."""

    __slots__ = ("_call",)

    def __init__(self, call: FunctionCall[Any]) -> None:
        self._call = call

    def __call__(self) -> list[InputInfo]:
        """Return the roots of the tree of inputs that this call belongs to, as it is now.

        Recorded are what spawned inputs make, and who made them: so the tree of a call that was spawned from
        outside is whole, and of one spawned inside of another call it shows the ancestors and what came after.
        Of each tree the first 1,000 inputs are recorded.

        Raises:
            OutputExpiredError: As for `get`.
        """
        call = self._call
        call._range(0, None)
        # Here and below, because few programs ask for one.
        from ._call_graph import graph_of

        return graph_of(call.inputs)

    async def aio(self) -> list[InputInfo]:
        """Do the same; this waits for nothing but, in a process container, the answer of the app's process."""
        call = self._call
        call._range(0, None)
        from ._call_graph import graph_of_async

        return await graph_of_async(call.inputs)


class _Gather:
    """The verb `FunctionCall.gather`."""

    __slots__ = ()

    def __call__(self, *calls: FunctionCall[T]) -> list[T]:
        """Return the results of `calls` in their order; raise the first failure at once, the others go on.

        Of calls that had failed before, the one named first is raised. A list of calls is an `InvalidError`.
        """
        waiter = ThreadWaiter()
        race = _race(calls, waiter.notify)
        try:
            for call in calls:
                if not call._at(0).done:
                    check_blocking(call._dispatcher, "FunctionCall", "gather")
            waiter.wait()
        finally:
            race.leave()
        return _results(calls, race)

    async def aio(self, *calls: FunctionCall[T]) -> list[T]:
        """Do the same on the running loop.

        Cancellation: The inputs go on.
        """
        waiter = current_host().bridge.waiter()
        race = _race(calls, waiter.notify)
        try:
            await waiter.wait()
        finally:
            race.leave()
        return _results(calls, race)


def _race(calls: tuple[FunctionCall[T], ...], notify: Callable[[], object]) -> Race:
    for thing in calls:
        if not isinstance(thing, FunctionCall):
            kind = type(thing).__name__
            raise InvalidError(f"gather takes calls, not a {kind}; write FunctionCall.gather(*calls)")
    # In this order: what is left of an expired call has no pool, and says so when it is asked for its input.
    inputs = [call._at(0) for call in calls]
    return Race([(call._dispatcher, input) for call, input in zip(calls, inputs, strict=True)], notify)


def _results(calls: tuple[FunctionCall[T], ...], race: Race) -> list[T]:
    for call in calls:
        if call._at(0) is race.failed:
            return [call._outcome(0, None)]
    return [call._outcome(0, None) for call in calls]


class FunctionCall(Generic[R_co]):
    """A handle to one or many spawned inputs; get it from `spawn`, `experimental_spawn_map` or `from_id`.

    Attributes:
        get: Waits for the result; has an `.aio` twin.
        iter: Iterates over the results of many inputs; has an `.aio` twin.
        cancel: Cancels the inputs; has an `.aio` twin.
        gather: Waits for several calls; has an `.aio` twin.
        num_inputs: Counts the inputs; has an `.aio` twin.
        get_call_graph: Shows which inputs made which; has an `.aio` twin.
    """

    __slots__ = ("__weakref__", "_dispatcher", "_identity", "_observed", "_of")

    gather: Final = _Gather()

    def __init__(
        self, dispatcher: Way, of: Input | Sequence[Input], identity: CallIdentity | None = None
    ) -> None:
        self._dispatcher = dispatcher
        # The one input of `spawn` stands by itself: of each pending call that is one object less to be kept, and for
        # the garbage collector to look at.
        self._of = of
        # Given where there may be no input to carry it.
        self._identity = identity
        # The indices whose outcome somebody has seen.
        self._observed: set[int] | None = None

    def __del__(self) -> None:
        # Nobody can ask for the results any more: a failure must not pass unseen. No lock is taken here, since the
        # garbage collector may call this anywhere; a failure in this very moment may be reported twice or not.
        for index, first in enumerate(self.inputs):
            input = first.latest()
            if not input.done:
                if input.sink is None:
                    input.sink = self._report_unseen
            elif self._observed is None or index not in self._observed:
                self._report_unseen(input)

    @property
    def dispatcher(self) -> Way:
        """The way to the pool."""
        return self._dispatcher

    @property
    def inputs(self) -> Sequence[Input]:
        """The first record of each input."""
        of = self._of
        return (of,) if isinstance(of, Input) else of

    def __reduce__(self) -> Reduced:
        # Whoever has the id finds the call: in a process container it is one of the app's own process.
        return FunctionCall.from_id, (self.object_id,)

    @staticmethod
    def _report_unseen(input: Input) -> None:
        """Log the failure of a spawned input that nobody can ask for."""
        if input.target.is_far:
            # There may be handles in the process in which it runs, which is told of those that are gone.
            return
        identity: CallIdentity | None = input.identity
        if identity is not None and not identity.observe(input.index):
            # It was seen through another handle.
            return
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
    def num_inputs(self) -> _NumInputs:
        """Count the inputs."""
        return _NumInputs(self)

    @property
    def get_call_graph(self) -> _GetCallGraph:
        """Show which inputs made which."""
        return _GetCallGraph(self)

    @property
    def done(self) -> bool:
        """Whether the outcome of every input is known."""
        return all(input.latest().done for input in self.inputs)

    @property
    def object_id(self) -> str:
        """The id of this call, for `from_id`; from now on the call can be found by it."""
        identity = self._identity
        call_id = call_id_of(self.inputs[0].latest()) if identity is None else identity.value
        known_calls.add(call_id, self)
        return call_id

    @staticmethod
    def from_id(function_call_id: str) -> FunctionCall[Any]:
        """Return the call with this id.

        A spawned call is known in its own process from when its id is first asked for: by `object_id`, or by
        `current_function_call_id()` inside. Once it has ended it is kept for `Limits.results_kept_s` (an hour), of
        each function the latest `Limits.results_kept` results (100,000). After that, the handle returned raises
        `OutputExpiredError` for its results. A handle that was found before goes on having them.

        Raises:
            InvalidError: If it is not the id of a function call.
            NotFoundError: If there never was such a call in this process.
        """
        if not str(function_call_id).startswith("fc-"):
            raise InvalidError(f"{function_call_id!r} is not the id of a function call; ids begin with 'fc-'")
        found = known_calls.find(function_call_id)
        if found is not None:
            return found
        if not is_genuine(function_call_id):
            raise NotFoundError(
                f"no function call '{function_call_id}' is known in this process; ids are valid in the process in "
                "which the call was made"
            )
        return _ExpiredCall(function_call_id)

    def _at(self, index: int) -> Input:
        self._range(index, index + 1)
        return self.inputs[index].latest()

    def _range(self, start: int, end: int | None) -> range:
        count = len(self.inputs)
        end = count if end is None else end
        if not 0 <= start <= end <= count:
            raise ValueError(
                f"this call has {count} inputs, counted from 0; {start} up to {end} goes beyond them"
            )
        return range(start, end)

    def _outcome(self, index: int, timeout: float | None) -> R_co:
        input = self.inputs[index].latest()
        if not input.done:
            raise TimeoutError(f"the call of '{input.target}' has no result after {timeout:g} s; it goes on")
        if self._observed is None:
            self._observed = set()
        self._observed.add(index)
        identity: CallIdentity | None = input.identity
        if identity is not None and identity.observe(index) and input.target.is_far:
            self._tell_seen(identity, input)
        return cast("R_co", outcome_of(input))

    @staticmethod
    def _tell_seen(identity: CallIdentity, input: Input) -> None:
        if input.state != SUCCEEDED:
            from ._parent import parent

            parent().tell("seen", (identity.value, input.index))

    def __repr__(self) -> str:
        if not self.inputs:
            return "<FunctionCall with 0 inputs>"
        states = {STATE_NAMES[input.latest().state] for input in self.inputs}
        many = f" {len(self.inputs)} inputs" if len(self.inputs) > 1 else ""
        return f"<FunctionCall of '{self.inputs[0].target}'{many} {', '.join(sorted(states))}>"


class _ExpiredCall(FunctionCall[Any]):
    """What is left of a call whose results are no longer kept: its id."""

    __slots__ = ("_call_id",)

    def __init__(self, call_id: str) -> None:
        self._call_id = call_id
        self._of = ()

    @property
    def object_id(self) -> str:
        """The id of this call."""
        return self._call_id

    def _range(self, start: int, end: int | None) -> NoReturn:
        raise OutputExpiredError(
            f"the results of function call '{self._call_id}' are no longer kept: those of spawned calls are kept for "
            "Limits.results_kept_s after the call has ended, the latest Limits.results_kept of each function; hold the "
            "handle where they are needed for longer"
        )

    def __repr__(self) -> str:
        return f"<FunctionCall '{self._call_id}', expired>"


def keep_call_of(input: Input) -> None:
    """Let the call of a running `input` be found by its id, if it was spawned and can be."""
    holder = input
    if in_container():
        from ._parent import parent

        if parent().keep_caller(input):
            return
    if isinstance(input, Batch):
        input = input.members[0]
    if not input.spawned or holder.container is None:
        return
    identity = identity_of(input)
    if identity.handle is None:
        # `spawn` makes no identity: it is one input, and whoever has the handle may never ask for its id.
        dispatcher: Way = holder.container.handle.dispatcher
        call: FunctionCall[Any] | None = FunctionCall(dispatcher, input)
    else:
        call = identity.handle()
    if call is not None:
        known_calls.add(identity.value, call)

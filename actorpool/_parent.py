# SPDX-License-Identifier: Apache-2.0
"""Calls from inside a process container: the verbs' way to pools in the process that has started this one.

Theory of operation. The verbs and maps run here unchanged. What they hand inputs to is a `FarPool`, which sends each
as a `Call`; `_served` makes it an input of the parent's there, child of the input that called. Its items and its
outcome come back as those of an input in a container do, and are put into the record here, which has its one outcome
from whoever takes it out of `_live` first: the message, or its cancellation here.

An input that is only called is not waited for until its outcome: a refusal comes as that. What is spawned is
accepted when the question "spawn" is answered. A thread blocks for an answer, save that the `.aio` verbs
wait for theirs. The loop's thread hears nothing else while it blocks: the parent answers at once.
"""

from __future__ import annotations

import itertools
import threading
import weakref
from contextlib import contextmanager
from contextvars import Context
from typing import TYPE_CHECKING, Any, Final

from attrs import define, field

from actorpool._actors._identity import CallIdentity, borrow_ids, call_id_of, identity_of
from actorpool._actors._way import Way
from actorpool._backends._feed import Feed
from actorpool._backends._inside import port
from actorpool._backends._variables import pack_context
from actorpool._backends._workload import Target
from actorpool._core._input import CANCELLED, FAILED, NEW, PENDING, SUCCEEDED, Input
from actorpool._host._current import current_host
from actorpool._wire._codec import decode, encode, encode_arguments
from actorpool._wire._errors import decode_error
from actorpool._wire._faults import EncodeError, WireError
from actorpool._wire._messages import (
    CALLED,
    MAPPED,
    SPAWNED,
    Answer,
    Ask,
    Call,
    Cancel,
    CloseStream,
    Credit,
    Ended,
    Item,
)
from actorpool.exception import ExecutionError, InvalidError, RemoteError

from ._binding import Binding
from .call import FunctionCall

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Iterator, Sequence

    from actorpool._backends._inside import Port
    from actorpool._core._config import Limits
    from actorpool._core._container import Container
    from actorpool._host._base import Waiter

    from ._binding import Source
    from .call_graph import InputInfo

__all__ = ["FarPool", "Parent", "parent"]


class FarPool(Way):
    """A pool of the parent's, for callers in this process."""

    __slots__ = ("__weakref__", "_parent", "number", "refusal", "target")

    def __init__(self, parent: Parent, number: int, target: Target, limits: Limits) -> None:
        super().__init__(parent.host, limits)
        self._parent = parent
        self.number: int = number
        """What messages call it."""
        self.target: Target = target
        self.refusal: BaseException | None = None
        """Why it takes no more inputs of maps."""

    def submit(self, input: Input) -> None:
        """Hand `input` to the pool; if it is only called, a refusal is its outcome."""
        if input.spawned:
            self._parent.spawn(self, (input,), many=False)
        else:
            self._parent.call(self, input, CALLED)

    async def submit_async(self, input: Input) -> None:
        """Do the same without blocking the running loop."""
        if input.spawned:
            await self._parent.spawn_async(self, input)
        else:
            self.submit(input)

    def submit_many(self, inputs: Sequence[Input]) -> int:
        """Hand `inputs` to the pool in order; those of a map wait there for room."""
        if inputs[0].spawned:
            return self._parent.spawn(self, inputs, many=True)
        for input in inputs:
            if self.refusal is not None:
                raise self.refusal
            self._parent.call(self, input, MAPPED)
        return len(inputs)

    def cancel(self, input: Input, reason: str, places: set[Container] | None = None) -> bool:
        """Cancel `input`; what it has led to there is none of the caller's business any more."""
        return self._parent.cancel(self, input, reason, places)

    def terminate(self, containers: Iterable[Container]) -> None:
        """Cancel the inputs that `cancel` has taken down, and let the containers end that they are in."""
        self._parent.tell("terminate", [place.number for place in containers])

    def wait_for_room(self, notify: Callable[[], object]) -> bool:
        """Return False: whoever has a place in the window has room."""
        return False

    def abandon(
        self, inputs: Sequence[Input], reason: str, waiter: Callable[[], object] | None = None
    ) -> None:
        """Cancel `inputs`, whose caller has left; on the loop's thread, in its next turn."""
        self.host.bridge.post(self._abandon, (inputs, reason))

    def _abandon(self, what: tuple[Sequence[Input], str]) -> None:
        inputs, reason = what
        for input in inputs:
            self.cancel(input, reason)

    def settle(self, input: Input, state: int, value: Any) -> None:
        """Give `input` its outcome, for whoever has taken it out of what is under way."""
        with self._lock:
            # In this order: whoever waits looks without the lock.
            input.value = value
            input.state = state
            sink = input.sink
        if sink is not None:
            sink(input)


@define(eq=False)
class _Question:
    """One question, and its answer."""

    waiter: Waiter | None = None
    """Whom to notify of it, where no thread is blocked for it."""
    answered: threading.Event = field(factory=threading.Event, init=False)
    answer: Answer | None = field(default=None, init=False)


class Parent:
    """What code in this process calls in the process that has started it. Threads: any."""

    def __init__(self, port: Port) -> None:
        self.host = port.host
        self._port = port
        self._numbers = itertools.count(1)
        self._questions: dict[int, _Question] = {}
        # {number of a call: its pool and input}, until its outcome is known.
        self._live: dict[int, tuple[FarPool, Input]] = {}
        self._feeds: dict[int, Feed] = {}
        # {what finds it: pool}, as long as handles or inputs refer to the pool.
        self._pools: weakref.WeakValueDictionary[bytes, FarPool] = weakref.WeakValueDictionary()
        # Ids of the spawned calls that the parent keeps for handles here.
        self._kept: set[str] = set()
        # {id: the handle} of calls that were found here, or that others may find.
        self._handles: weakref.WeakValueDictionary[str, FunctionCall[Any]] = weakref.WeakValueDictionary()
        borrow_ids(*port.ids)
        port.hear = self._hear

    # -- pools -----------------------------------------------------------------------------------

    def bind(self, source: Source) -> Binding:
        """Return the way to the pool that `source` is about.

        Raises:
            ExecutionError: If its app is not running.
            NotFoundError: If a lookup by name finds nothing.
        """
        recipe = encode(source.reduced(None))
        pool = self._pools.get(recipe.data)
        if pool is None or pool.retired:
            number = next(self._numbers)
            pool = self._pool(number, self._ask(number, "bind", recipe))
            _when_gone(pool, self._forget, "forget pool", number)
            self._pools[recipe.data] = pool
        return Binding(pool, pool.target)

    def _pool(self, number: int, described: Any) -> FarPool:
        name, is_async, is_generator, limits = described
        return FarPool(self, number, Target(name, _elsewhere, is_async, is_generator, is_far=True), limits)

    # -- calls -----------------------------------------------------------------------------------

    def call(self, pool: FarPool, input: Input, mode: int) -> None:
        """Send `input`; one that cannot be sent has that for its outcome."""
        try:
            message = self._message(pool, input, mode)
        except InvalidError as error:
            pool.settle(input, FAILED, error)
            return
        self._port.shielded(self._send, pool, input, message)

    def spawn(self, pool: FarPool, inputs: Sequence[Input], *, many: bool) -> int:
        """Send spawned inputs of one call; return how many were accepted.

        Raises:
            InvalidError: If one cannot be sent: none is.
            ResourceExhaustedError: If there is no room, unless there are `many`.
        """
        with self._spawning(pool, inputs) as accepted:
            accepted[0] = int(self.ask("spawn", (call_id_of(inputs[0]), many)))
        return accepted[0]

    async def spawn_async(self, pool: FarPool, input: Input) -> None:
        """Send a spawned input of a call of its own; the running loop goes on meanwhile. See `spawn`."""
        with self._spawning(pool, (input,)) as accepted:
            accepted[0] = int(await self.ask_async("spawn", (call_id_of(input), False)))

    @contextmanager
    def _spawning(self, pool: FarPool, inputs: Sequence[Input]) -> Iterator[list[int]]:
        """Send `inputs`; what is put into the list says how many were accepted, the others are taken back."""
        messages = [self._message(pool, input, SPAWNED) for input in inputs]
        identity = identity_of(inputs[0])
        accepted = [0]
        try:
            for input, message in zip(inputs, messages, strict=True):
                self._port.shielded(self._send, pool, input, message)
            if identity.value not in self._kept:
                self._kept.add(identity.value)
                _when_gone(identity, self._forget, "forget call", identity.value)
            yield accepted
        finally:
            for input, message in zip(inputs[accepted[0] :], messages[accepted[0] :], strict=True):
                self._live.pop(message.number, None)
                input.state = NEW

    def _message(self, pool: FarPool, input: Input, mode: int) -> Call:
        caller = None if input.parent is None else self._port.number_of(input.parent)
        stream = input.stream
        try:
            return Call(
                next(self._numbers),
                caller,
                pool.number,
                mode,
                call_id_of(input),
                input.index,
                encode_arguments(input.args, input.kwargs or {}),
                pack_context(input.context),
                None if stream is None else stream.bound,
            )
        except EncodeError as error:
            raise InvalidError(
                f"an input of '{input.target}' cannot be sent from a process container: {error}"
            ) from error

    def _send(self, pool: FarPool, input: Input, message: Call) -> None:
        number = message.number
        input.state = PENDING
        input.handle = number
        if input.stream is not None:
            self._feeds[number] = Feed(input.stream, lambda items: self._port.tell(Credit(number, items)))
        self._live[number] = (pool, input)
        try:
            self._port.tell(message)
        except WireError as error:
            self._live.pop(number)
            refusal = InvalidError(
                f"an input of '{input.target}' cannot be sent from a process container: {error}"
            )
            pool.settle(input, FAILED, refusal)

    def cancel(self, pool: FarPool, input: Input, reason: str, places: set[Any] | None) -> bool:
        """Cancel `input` here and there; return whether it had no outcome yet."""
        return bool(self._port.shielded(self._cancel, pool, input, reason, places))

    def _cancel(self, pool: FarPool, input: Input, reason: str, places: set[Any] | None) -> bool:
        number = input.handle
        if number is None or self._live.pop(number, None) is None:
            return False
        if self._feeds.pop(number, None) is not None:
            self._port.tell(CloseStream(number))
        if places is None:
            self._port.tell(Cancel(number))
        else:
            # The question "terminate" cancels it.
            places.add(_Place(number))
        pool.settle(input, CANCELLED, RemoteError(reason))
        return True

    # -- calls by their id -----------------------------------------------------------------------

    def find(self, call_id: str) -> FunctionCall[Any] | None:
        """Return a handle to the spawned call that the parent knows by this id."""
        handle = self._handles.get(call_id)
        found = self.ask("find", (call_id, handle is not None))
        if found is None or handle is not None:
            return None if found is None else handle
        indices, described = found
        pool = self._pool(0, described)
        identity = CallIdentity(value=call_id)
        inputs: list[Input] = []
        numbers: list[int] = []
        for index in indices:
            input = Input(pool.target, (), None, Context(), spawned=True, index=index)
            input.identity = identity
            input.state = PENDING
            input.handle = next(self._numbers)
            numbers.append(input.handle)
            inputs.append(input)
            self._live[input.handle] = (pool, input)
        handle = self._handles[call_id] = FunctionCall(pool, inputs, identity)
        # Whose handle is gone is not heard: a result may have a handle to its own call, which would be found anew.
        _when_gone(handle, self._unwatch, numbers)
        # Those that have ended have their outcome when this is answered.
        self.ask("watch", (call_id, numbers))
        return handle

    def _unwatch(self, numbers: Sequence[int]) -> None:
        watched = [number for number in numbers if self._live.pop(number, None) is not None]
        if watched:
            self.tell("unwatch", watched)

    def keep(self, call_id: str, call: FunctionCall[Any]) -> None:
        """Let a call be found by its id, wherever that arrives from now on."""
        if self._handles.get(call_id) is None:
            self._handles[call_id] = call
            self.ask("keep", call_id)

    def keep_caller(self, input: Input) -> bool:
        """Let the call of an input that runs here be found by its id; return whether it runs here for the parent."""
        number = self._port.number_of(input)
        if number is None:
            return False
        self.tell("keep caller", number)
        return True

    def graph_of(self, input: Input) -> list[InputInfo]:
        """Return the roots of the trees that the call of `input` belongs to."""
        graph: list[InputInfo] = self.ask("graph", call_id_of(input))
        return graph

    async def graph_of_async(self, input: Input) -> list[InputInfo]:
        """Do the same; the running loop goes on meanwhile."""
        graph: list[InputInfo] = await self.ask_async("graph", call_id_of(input))
        return graph

    def _forget(self, question: str, what: object) -> None:
        if isinstance(what, str):
            self._kept.discard(what)
        self.tell(question, what)

    # -- questions -------------------------------------------------------------------------------

    def tell(self, question: str, value: object) -> None:
        """Ask something that has no answer."""
        self._port.tell(Ask(next(self._numbers), question, encode(value)))

    def ask(self, question: str, value: object) -> Any:
        """Return the answer, for which this thread is blocked; raise what it says was raised."""
        return self._ask(next(self._numbers), question, encode(value))

    def _ask(self, number: int, question: str, value: Any) -> Any:
        asked = self._questions[number] = _Question()
        try:
            self._port.tell(Ask(number, question, value))
            self._port.wait(asked.answered)
        finally:
            self._questions.pop(number, None)
        return self._answer_to(asked)

    async def ask_async(self, question: str, value: object) -> Any:
        """Return the answer, or raise what it says was raised; the running loop goes on meanwhile."""
        number = next(self._numbers)
        waiter = current_host().bridge.waiter()
        asked = self._questions[number] = _Question(waiter)
        try:
            self._port.tell(Ask(number, question, encode(value)))
            await waiter.wait()
        finally:
            self._questions.pop(number, None)
        return self._answer_to(asked)

    def _answer_to(self, asked: _Question) -> Any:
        assert asked.answer is not None
        if asked.answer.state != SUCCEEDED:
            raise decode_error(asked.answer.value)
        return decode(asked.answer.value)

    # -- what the parent says: the loop's thread ---------------------------------------------------

    def _hear(self, message: Answer | Item | Ended) -> None:
        if isinstance(message, Item):
            self._pass_on(message)
            return
        if isinstance(message, Answer):
            asked = self._questions.get(message.number)
            if asked is not None:
                asked.answer = message
                asked.answered.set()
                if asked.waiter is not None:
                    asked.waiter.notify()
                return
        pool, input = self._live.pop(message.number, (None, None))
        self._feeds.pop(message.number, None)
        if pool is None or input is None:
            # It was cancelled here before.
            return
        state, value = _outcome(message)
        if isinstance(message, Answer) and isinstance(value, ExecutionError):
            # Other inputs will fare no better.
            pool.refusal = value
            pool.retired = True
        pool.settle(input, state, value)

    def _pass_on(self, message: Item) -> None:
        number = message.number
        feed = self._feeds.get(number)
        if feed is None or feed.pass_on(message.value):
            return
        del self._feeds[number]
        pool, input = self._live.pop(number, (None, None))
        if pool is not None and input is not None:
            self._port.tell(CloseStream(number))
            self._port.tell(Cancel(number))
            pool.settle(input, FAILED, feed.failure)


@define(frozen=True)
class _Place:
    """Stands for the container that an input is in, which only the parent knows."""

    number: int


def _outcome(message: Answer | Ended) -> tuple[int, Any]:
    if message.state != SUCCEEDED:
        return message.state, decode_error(message.value)
    try:
        return SUCCEEDED, decode(message.value)
    except WireError as error:
        return FAILED, error


def _when_gone(thing: object, function: Callable[..., object], *args: object) -> None:
    weakref.finalize(thing, function, *args).atexit = False


def _elsewhere(*_: object, **__: object) -> None:
    """Stand for a function that runs in another process."""


_making: Final = threading.Lock()
_parents: Final[list[Parent]] = []


def parent() -> Parent:
    """Return the one of this process, which is a container's."""
    with _making:
        if not _parents:
            _parents.append(Parent(port()))
        return _parents[0]

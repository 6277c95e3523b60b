# SPDX-License-Identifier: Apache-2.0
"""The parent's side of calls from inside process containers: `_parent` is the other.

Theory of operation. Each `Call` of a container becomes an input like any other, child of the input that called: so
limits, lineage, deadlocks and the call graph are what they are in one process. Its sink sends the outcome. The
container names a pool by how it would remake the handle; that handle is made here once, and finds the pool anew when
it has to, as every handle does.

Whose caller waits no more is cancelled: when the container says so, when a synchronous caller is interrupted, when
the container is gone. A spawned call goes on; for the handles that the container has, it is kept in `_spawned`,
until the container says that they are gone.

Everything happens on the host's thread, save the sinks and the streams, which only send.
"""

from __future__ import annotations

import weakref
from contextvars import Context
from functools import partial
from typing import TYPE_CHECKING, Any, Final

from attrs import define, field, frozen

from actorpool._actors._identity import CallIdentity, identity_of
from actorpool._backends._process_stream import WireStream
from actorpool._backends._variables import unpack_context
from actorpool._core._input import CANCELLED, FAILED, NEW, SUCCEEDED, Input
from actorpool._host._errors import HostClosedError
from actorpool._wire._codec import decode, decode_arguments, encode
from actorpool._wire._errors import encode_error
from actorpool._wire._messages import (
    MAPPED,
    SPAWNED,
    Answer,
    Ask,
    Call,
    Cancel,
    CloseStream,
    Credit,
    Ended,
)
from actorpool.exception import ExecutionError, InternalError, NotFoundError, RemoteError

from . import _deployments
from ._binding import PoolBinding, annotated
from ._call_graph import graph_of
from ._known_calls import known_calls
from .call import FunctionCall, keep_call_of
from .function import Function

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping

    from actorpool._actors._runtime import AppRuntime
    from actorpool._actors._way import Way
    from actorpool._core._config import Limits
    from actorpool._core._container import Container
    from actorpool._wire._blobs import Payload
    from actorpool._wire._messages import Message

    from ._binding import Source
    from ._controls import Controls

__all__ = ["ServedCalls"]


@frozen(eq=False)
class _Under:
    """One input under way, where, and what its outcome is told."""

    way: Way
    input: Input
    sink: Callable[[Input], object]


@define(eq=False)
class _Queue:
    """Inputs of one map, with their numbers, that the pool has no room for, the oldest first."""

    held: list[tuple[int, _Under]] = field(factory=list)
    waiter: Callable[[], object] | None = None
    """What the pool is to call when there is room, once it was asked."""


class _Spawned:
    """One spawned call of the container's."""

    def __init__(self, way: Way, call_id: str) -> None:
        self.identity = CallIdentity(value=call_id)
        self.inputs: list[Input] = []
        self.call: FunctionCall[Any] = FunctionCall(way, self.inputs, self.identity)
        self.identity.handle = weakref.ref(self.call)
        # What is to be handed over by the next question "spawn".
        self.group: list[tuple[int, _Under]] = []


class ServedCalls:
    """The calls of one process container."""

    def __init__(
        self, runtime: AppRuntime, post: Callable[[Message], None], running: Mapping[int, Input]
    ) -> None:
        self._runtime = runtime
        self._post = post
        self._running = running
        # {number of a pool: what finds it}, and the way found last.
        self._sources: dict[int, Source] = {}
        self._bindings: dict[int, PoolBinding] = {}
        # {number of a call: its input}, until its outcome is known.
        self._under: dict[int, _Under] = {}
        # {id of a map's call, and its pool: inputs}; only those that wait for room.
        self._queues: dict[tuple[str, Way], _Queue] = {}
        # {id: the call}, as long as there are handles in the container; and why one cannot be.
        self._spawned: dict[str, _Spawned] = {}
        self._failed: dict[str, Exception] = {}
        # {id: a call that was asked for, once for each handle that is being made}, until it is watched.
        self._found: dict[str, list[FunctionCall[Any]]] = {}
        self._closed = False

    def receive(self, message: Message) -> bool:
        """Take a message of the container; return whether it is about calls."""
        match message:
            case Call():
                self._call(message)
            case Ask(number=number, question=question, value=value):
                self._answer(number, question, value)
            case Cancel(number=number):
                under = self._under.pop(number, None)
                if under is not None:
                    self._drop(under, f"the caller of '{under.input.target}' has left")
            case Credit(number=number, items=items):
                under = self._under.get(number)
                if under is not None and isinstance(under.input.stream, WireStream):
                    under.input.stream.grant(items)
            case CloseStream(number=number):
                under = self._under.get(number)
                if under is not None and under.input.stream is not None:
                    under.input.stream.close()
            case _:
                return False
        return True

    def interrupted(self, caller: Input) -> None:
        """Hear that an input is interrupted: a thread that waits for its calls is to come back."""
        if caller.target.is_async:
            # Its tasks leave by themselves.
            return
        for number, under in list(self._under.items()):
            if under.input.parent is caller and not under.input.spawned:
                reason = f"the caller of '{under.input.target}' was cancelled"
                if self._under.pop(number, None) is not None:
                    self._say(Ended(number, CANCELLED, encode_error(RemoteError(reason))))
                    self._drop(under, reason)

    def close(self) -> None:
        """Cancel what the container waits for; it is gone."""
        if self._closed:
            return
        self._closed = True
        for number, under in list(self._under.items()):
            if self._under.pop(number, None) is None:
                continue
            if under.input.spawned:
                under.way.remove_sink(under.input, under.sink)
            else:
                self._drop(under, f"the container of the caller of '{under.input.target}' is gone")
        # Their handles report what failed unseen, if they are the last.
        self._spawned.clear()
        self._found.clear()

    # -- pools -----------------------------------------------------------------------------------

    def _bind(self, number: int) -> PoolBinding:
        binding = self._bindings.get(number)
        if binding is None or binding.dispatcher.retired:
            with _deployments.looked_up_for(_deployments.app_of(self._runtime)):
                binding = self._bindings[number] = self._sources[number].bind()
        return binding

    def _open(self, number: int, recipe: Any) -> Any:
        make, args = recipe
        with _deployments.looked_up_for(_deployments.app_of(self._runtime)):
            handle = make(*args)
        if not isinstance(handle, Function):
            raise NotFoundError(f"{handle!r}, which a process container wants to call, is no function here")
        self._sources[number] = handle.source
        binding = self._bind(number)
        return _described(binding.target, binding.dispatcher)

    def _control(self, recipe: Any, question: Callable[[Controls], Any]) -> Any:
        make, args = recipe
        with _deployments.looked_up_for(_deployments.app_of(self._runtime)):
            return question(make(*args).__actorpool_controls__)

    # -- calls -----------------------------------------------------------------------------------

    def _call(self, message: Call) -> None:
        number = message.number
        try:
            under = self._input_of(message)
        except Exception as error:
            # Unpickling runs the user's code; and the app may be closed by now.
            if message.mode == SPAWNED:
                self._failed[message.call_id] = error
            else:
                self._say(Answer(number, FAILED, encode_error(error)))
            return
        if message.mode == SPAWNED:
            self._spawned[message.call_id].group.append((number, under))
            return
        self._under[number] = under
        if message.mode == MAPPED:
            key = (message.call_id, under.way)
            queue = self._queues.setdefault(key, _Queue())
            queue.held.append((number, under))
            self._advance(key)
            return
        try:
            under.way.submit(under.input)
        except Exception as error:
            # A limit, a deadlock, a closed app.
            self._refuse(number, error)

    def _input_of(self, message: Call) -> _Under:
        binding = self._bind(message.pool)
        caller = None if message.caller is None else self._running.get(message.caller)
        # What the container could not be told of is still here.
        context = Context() if caller is None or caller.context is None else caller.context.copy()
        args, kwargs = decode_arguments(message.arguments)
        spawned = message.mode == SPAWNED
        sink = partial(self._ended, message.number)
        input = Input(
            binding.target,
            args,
            kwargs or None,
            unpack_context(message.context, context),
            sink,
            parent=caller,
            spawned=spawned,
            index=message.index,
        )
        if not spawned:
            input.identity = CallIdentity(value=message.call_id)
        else:
            call = self._spawned.get(message.call_id)
            if call is None:
                call = self._spawned[message.call_id] = _Spawned(binding.dispatcher, message.call_id)
            input.identity = call.identity
        if message.credit is not None:
            input.stream = WireStream(message.number, message.credit, self._say, _directly)
        return _Under(binding.dispatcher, input, sink)

    def _advance(self, key: tuple[str, Way]) -> None:
        """Hand over what there is room for; what is left goes on when the pool says that there is."""
        _, way = key
        queue = self._queues[key]
        while queue.held and queue.waiter is None:
            try:
                accepted = way.submit_many([under.input for _, under in queue.held])
            except Exception as error:
                refused, queue.held = queue.held, []
                for number, under in refused:
                    if under.input.state == NEW:
                        self._refuse(number, error)
                break
            del queue.held[:accepted]
            if queue.held:
                queue.waiter = partial(self._room_found, key)
                if not way.wait_for_room(queue.waiter):
                    queue.waiter = None
        if not queue.held:
            del self._queues[key]
            if queue.waiter is not None:
                way.abandon((), "", queue.waiter)

    def _room_found(self, key: tuple[str, Way]) -> None:
        try:
            self._runtime.host.bridge.post(self._resume, key)
        except HostClosedError:
            # Nothing runs there any more.
            return

    def _resume(self, key: tuple[str, Way]) -> None:
        queue = self._queues.get(key)
        if queue is not None:
            queue.waiter = None
            self._advance(key)

    def _drop(self, under: _Under, reason: str) -> None:
        """Cancel an input, or take it back."""
        if under.input.state != NEW:
            under.way.cancel(under.input, reason)
            return
        key = (identity_of(under.input).value, under.way)
        queue = self._queues.get(key)
        if queue is not None:
            queue.held = [item for item in queue.held if item[1] is not under]
            if not queue.held:
                self._advance(key)

    def _refuse(self, number: int, error: Exception) -> None:
        if self._under.pop(number, None) is not None:
            self._say(Answer(number, FAILED, encode_error(error)))

    # -- what is told: any thread ----------------------------------------------------------------

    def _ended(self, number: int, input: Input) -> None:
        if self._under.pop(number, None) is None:
            return
        if input.state != SUCCEEDED:
            state = CANCELLED if input.state == CANCELLED else FAILED
            self._say(Ended(number, state, encode_error(annotated(input))))
            return
        try:
            self._say(Ended(number, SUCCEEDED, encode(input.value)))
        except Exception as error:
            # Objects of the user's say how they are pickled.
            failure = ExecutionError(
                f"the result of '{input.target}' cannot be sent to its caller, in a process container: {error}"
            )
            failure.__cause__ = error
            self._say(Ended(number, FAILED, encode_error(failure)))

    def _say(self, message: Message) -> None:
        if not self._closed:
            try:
                self._post(message)
            except HostClosedError:
                # Its loop has ended, and the container with it.
                return

    # -- questions -------------------------------------------------------------------------------

    def _answer(self, number: int, question: str, value: Payload) -> None:
        try:
            answer = Answer(number, SUCCEEDED, encode(self._asked(number, question, decode(value))))
        except Exception as error:
            # Whatever was asked for is not to be had; the container raises it.
            answer = Answer(number, FAILED, encode_error(error))
        if question not in _TOLD:
            self._say(answer)

    def _asked(self, number: int, question: str, value: Any) -> Any:
        match question:
            case "bind":
                return self._open(number, value)
            case "control":
                return self._control(*value)
            case "spawn":
                return self._spawn(*value)
            case "find":
                return self._find(*value)
            case "watch":
                self._watch(*value)
            case "unwatch":
                self._unwatch(value)
            case "graph":
                return graph_of(self._call_named(value).inputs)
            case "keep":
                known_calls.add(value, self._call_named(value))
            case "keep caller":
                caller = self._running.get(value)
                if caller is not None:
                    keep_call_of(caller)
            case "seen":
                self._note_seen(*value)
            case "terminate":
                self._terminate(value)
            case "forget pool":
                self._sources.pop(value, None)
                self._bindings.pop(value, None)
            case "forget call":
                self._spawned.pop(value, None)
            case _:
                raise InternalError(f"'{question}' is no question of a process container")
        return None

    def _spawn(self, call_id: str, many: bool) -> int:
        """Hand over what was sent of a spawned call since the last time; return how many inputs were accepted."""
        failure = self._failed.pop(call_id, None)
        spawned = self._spawned.get(call_id)
        group, way = [], None
        if spawned is not None:
            group, spawned.group = spawned.group, []
        if failure is not None:
            raise failure
        assert spawned is not None
        inputs = [under.input for _, under in group]
        way = group[0][1].way
        # Before they are accepted: they may end at once.
        self._under.update(group)
        spawned.inputs += inputs
        accepted = 0
        try:
            if many:
                accepted = way.submit_many(inputs)
            else:
                way.submit(inputs[0])
                accepted = 1
        finally:
            for number, _ in group[accepted:]:
                self._under.pop(number, None)
            del spawned.inputs[len(spawned.inputs) - len(inputs) + accepted :]
        return accepted

    def _call_named(self, call_id: str) -> FunctionCall[Any]:
        spawned = self._spawned.get(call_id)
        call = known_calls.find(call_id) if spawned is None else spawned.call
        if call is None:
            raise NotFoundError(f"no function call '{call_id}' is known any more")
        return call

    def _find(self, call_id: str, has_handle: bool) -> Any:
        call = known_calls.find(call_id)
        if call is None or has_handle:
            return None if call is None else True
        self._found.setdefault(call_id, []).append(call)
        target = call.inputs[0].target if call.inputs else None
        return [input.index for input in call.inputs], _described(target, call.dispatcher)

    def _watch(self, call_id: str, numbers: list[int]) -> None:
        calls = self._found[call_id]
        call = calls.pop()
        if not calls:
            del self._found[call_id]
        for number, input in zip(numbers, call.inputs, strict=False):
            sink = partial(self._ended, number)
            self._under[number] = _Under(call.dispatcher, input, sink)
            if not call.dispatcher.add_sink(input, sink):
                self._ended(number, input.latest())

    def _unwatch(self, numbers: list[int]) -> None:
        for number in numbers:
            under = self._under.pop(number, None)
            if under is not None:
                under.way.remove_sink(under.input, under.sink)

    def _note_seen(self, call_id: str, index: int) -> None:
        for input in self._call_named(call_id).inputs:
            if input.index == index:
                identity_of(input).observe(index)

    def _terminate(self, numbers: list[int]) -> None:
        # {pool: containers}
        places: dict[Way, set[Container]] = {}
        for number in numbers:
            under = self._under.pop(number, None)
            if under is not None:
                found = places.setdefault(under.way, set())
                under.way.cancel(under.input, f"the call of '{under.input.target}' was cancelled", found)
        for way, containers in places.items():
            way.terminate(containers)


# Questions that have no answer.
_TOLD: Final = frozenset({"forget call", "forget pool", "keep caller", "seen", "terminate", "unwatch"})


def _described(target: Any, way: Way) -> tuple[str, bool, bool, Limits]:
    if target is None:
        return "", False, False, way.limits
    return str(target), target.is_async, target.is_generator, way.limits


def _directly(send: Callable[[Any], None], item: Any) -> None:
    # No thread of this process is interrupted.
    send(item)

# SPDX-License-Identifier: Apache-2.0
"""The inputs of a worker process, from `Run` to `Ended`.

An input is known by its number meanwhile, and exactly one `Ended` answers it, or its place in an `Ends`, however it
ends and on whatever thread. Its result leaves from the thread that made it; that thread takes the next one.
"""

from __future__ import annotations

import threading
from contextvars import Context
from typing import TYPE_CHECKING, Any

from attrs import define, field

from actorpool._core._input import CANCELLED, FAILED, RUNNING, SUCCEEDED, Input
from actorpool._host._stream import StreamClosed
from actorpool._wire._batches import values_of
from actorpool._wire._codec import HELD_ABOVE, Held, decode_arguments, encode
from actorpool._wire._errors import encode_error
from actorpool._wire._faults import WireError
from actorpool._wire._messages import Ended, Run, Runs, Withdraw, Withdrawn
from actorpool.exception import ExecutionError, InputCancellation, RemoteError

from ._process_stream import WireStream
from ._variables import unpack_context
from ._worker_container import CallName
from ._worker_results import HeldResults
from ._worker_slots import Batched, WorkerSlots

if TYPE_CHECKING:
    from collections.abc import Iterable

    from actorpool._core._container import Container

    from ._interruptions import Interruptions
    from ._process_child_io import LineWriter
    from ._worker_container import InterruptibleContainer
    from ._worker_socket import WorkerSocket
    from ._workload import Workload

__all__ = ["WorkerInputs"]


@define(eq=False)
class WorkerInputs:
    """What runs, and what is to run. Threads: `cancel` and `withdraw` are the loop's."""

    _socket: WorkerSocket
    _interruptions: Interruptions
    _writers: tuple[LineWriter, ...]
    _workload: Workload
    _record: Container
    # What ids of calls are made with.
    _key: bytes
    container: InterruptibleContainer = field(init=False)
    """What runs them; set before the first one comes."""
    _slots: WorkerSlots = field(init=False)
    _results: HeldResults = field(init=False)
    # {number: input} and back, from Run to Ended.
    _inputs: dict[int, Input] = field(factory=dict, init=False)
    _numbers: dict[Input, int] = field(factory=dict, init=False)
    # Of the last `Runs` that one was begun of, for the others.
    _shared: tuple[Runs, Context, CallName] | None = field(default=None, init=False)

    def __attrs_post_init__(self) -> None:
        self._slots = WorkerSlots(self._workload.max_inputs)
        self._results = HeldResults(self._socket.post, lambda: self._socket.pending_bytes)

    @property
    def running(self) -> list[Input]:
        """Those that have begun and not ended."""
        return list(self._inputs.values())

    def number_of(self, input: Input) -> int | None:
        """Return what messages call a running input; None if it has ended."""
        return self._numbers.get(input)

    def of_number(self, number: int) -> Input | None:
        """Return the running input of that number; None if it has ended."""
        return self._inputs.get(number)

    @property
    def busy(self) -> bool:
        """Whether an asynchronous one runs."""
        return any(input.target.is_async for input in list(self._numbers))

    def enter(self, message: Run | Runs) -> list[Run | Batched]:
        """Take in what has come; return what has a slot, for `run`. Runs no code of the user's. Threads: any."""
        arrivals = self._arrivals_of(message) if isinstance(message, Runs) else (message,)
        return self._slots.enter(arrivals)

    def run(self, entered: Iterable[Run | Batched]) -> None:
        """Run what has a slot. Threads: any."""
        for arrival in entered:
            input = self._next(arrival)
            if input is not None:
                try:
                    self.container.send(input)
                except RuntimeError as error:
                    # The machine has no thread left for it.
                    self.complete(input, FAILED, error)

    def cancel(self, number: int) -> None:
        """Cancel an input, whether it has begun or not; nothing happens if it has ended."""
        if self._slots.cancel(number, self._inputs):
            self._end(Ended(number, CANCELLED, encode_error(RemoteError("the input was cancelled"))))
            return
        input = self._inputs.get(number)
        if input is None:
            return
        # What has not begun does not begin.
        input.state = CANCELLED
        self.container.cancel(input)
        if not input.target.is_async and self._workload.max_inputs == 1:
            self._interruptions.interrupt(input)

    def cancel_all(self) -> None:
        """Cancel everything."""
        for number in [*self._slots.ahead, *self._inputs]:
            self.cancel(number)

    def withdraw(self, message: Withdraw) -> None:
        """Drop what has not begun, and say so."""
        self._results.release()
        self._slots.withdraw(message.number, lambda above: self._socket.post(Withdrawn(above)))

    def say_held(self) -> None:
        """Say which inputs have ended, before one that has begun since says something of its own. Threads: any."""
        self._results.release()

    def complete(self, input: Input, state: int, value: Any) -> Input | None:
        """Tell the parent what became of `input`; return the one that takes its slot. Threads: any."""
        thread = threading.get_ident()
        if thread != self._socket.thread:
            # The next input of this thread begins on a line of its own.
            for writer in self._writers:
                if writer.parts:
                    writer.finish_line(thread)
        number = self._numbers.pop(input)
        self._inputs.pop(number, None)
        self._record.inputs.pop(input, None)
        # Before the parent knows of the end: what it takes to have begun then is not to be withdrawn.
        following = self._slots.take()
        if state != SUCCEEDED:
            self._tell_failure(number, input, state, value)
        elif (following is None and not self._results.parts) or not self._hold(number, value, following):
            # Alone, as is usual for the result of a single call.
            self._tell_result(number, input, value)
        return self._next(following)

    # -- the beginning ---------------------------------------------------------------------------

    def _arrivals_of(self, message: Runs) -> Iterable[Batched]:
        for number, arguments in enumerate(values_of(message.arguments), message.number):
            if type(arguments) is list and arguments and type(arguments[-1]) is dict:
                kwargs = arguments.pop()
                yield Batched(number, tuple(arguments), kwargs, message)
            else:
                error = arguments if isinstance(arguments, WireError) else WireError("no arguments came")
                self._end(Ended(number, FAILED, encode_error(error)))

    def _next(self, arrival: Run | Batched | None) -> Input | None:
        """Return the input of `arrival`, which has a slot, or of the first after it that can be made."""
        while arrival is not None:
            try:
                return self._begin(arrival)
            except BaseException as error:
                # Unpickling runs the user's code; whatever it raises, this thread has further inputs to run.
                number, arrival = arrival.number, self._slots.take()
                self._end(Ended(number, FAILED, encode_error(error)))
        return None

    def _begin(self, arrival: Run | Batched) -> Input:
        number = arrival.number
        if isinstance(arrival, Batched):
            input = self._input_of(arrival)
        else:
            args, kwargs = decode_arguments(arrival.arguments)
            context = Context() if arrival.context is None else unpack_context(arrival.context)
            target = self._workload.targets[arrival.target]
            input = Input(target, args, kwargs or None, context, index=arrival.index)
            input.attempt = arrival.attempt
            input.identity = CallName(arrival.call_id, self._key)
            if arrival.credit is not None:
                say, shielded = self._socket.say, self._interruptions.shielded
                input.stream = WireStream(number, arrival.credit, say, shielded)
        input.container = self._record
        self._numbers[input] = number
        self._record.inputs[input] = 0.0
        input.state = RUNNING if self._slots.begin(number, self._inputs, input) else CANCELLED
        return input

    def _input_of(self, arrival: Batched) -> Input:
        runs = arrival.runs
        shared = self._shared
        if shared is None or shared[0] is not runs:
            # Whoever runs an input has a copy of the context for it.
            shared = self._shared = runs, unpack_context(runs.context), CallName(runs.call_id, self._key)
        index = runs.index + arrival.number - runs.number
        target = self._workload.targets[runs.target]
        input = Input(target, arrival.args, arrival.kwargs or None, shared[1], index=index)
        input.attempt = runs.attempt
        input.identity = shared[2]
        return input

    # -- the end ---------------------------------------------------------------------------------

    def _hold(self, number: int, value: Any, following: Run | Batched | None) -> bool:
        """Have the result share a write with others; return False if it has to go alone."""
        if not self._results.keep(number, value):
            return False
        if following is None or self._results.due:
            self._write()
        return True

    def _tell_result(self, number: int, input: Input, value: Any) -> None:
        try:
            self._end(Ended(number, SUCCEEDED, encode(value, share_above=HELD_ABOVE, share=Held)))
        except Exception as error:
            # Objects of the user's say how they are pickled.
            failure = ExecutionError(f"the result of '{input.target}' cannot be sent to its caller: {error}")
            failure.__cause__ = error
            self._end(Ended(number, FAILED, encode_error(failure)))

    def _tell_failure(self, number: int, input: Input, state: int, value: Any) -> None:
        if input.state == CANCELLED and (
            value is None or isinstance(value, (InputCancellation, StreamClosed))
        ):
            state, value = CANCELLED, RemoteError(f"input of '{input.target}' was cancelled")
        self._end(Ended(number, state, encode_error(value)))

    def _end(self, message: Ended) -> None:
        """Say it after what was held back and, unless this is the loop's thread, return when it is written."""
        if self._results.parts:
            self._results.release()
        written = self._socket.post(message)
        if not written or self._results.noted:
            self._see_written()

    def _write(self) -> None:
        self._results.release()
        self._see_written()

    def _see_written(self) -> None:
        if threading.get_ident() != self._socket.thread:
            # What follows here begins when the parent can know of it.
            self._socket.write_all()
            self._results.written()

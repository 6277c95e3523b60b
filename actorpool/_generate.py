# SPDX-License-Identifier: Apache-2.0
"""The verb `remote_gen`: one input whose items are streamed to the caller."""

from __future__ import annotations

from collections.abc import AsyncGenerator, Generator
from typing import Any, Final, Generic, ParamSpec, TypeVar

from actorpool._core._input import Input
from actorpool._host._stream import NO_ITEM, Stream
from actorpool._host._thread_waits import ThreadSignal
from actorpool.exception import InvalidError

from ._binding import Binding, Verb, bridge_here, check_blocking, new_input, outcome_of

__all__ = ["RemoteGen"]

P = ParamSpec("P")
R_co = TypeVar("R_co", covariant=True)

# Items of one generator that wait in its container for a slow consumer.
_BUFFER: Final = 1_024


class RemoteGen(Verb, Generic[P, R_co]):
    """Run a generator function on one input in its pool and iterate over what it yields."""

    __slots__ = ()

    def __call__(self, *args: P.args, **kwargs: P.kwargs) -> Generator[R_co, None, None]:
        """Yield the generator's items as they come; nothing happens before the first is asked for.

        At most 1,024 items wait: a slow consumer slows the generator. Leaving early closes it. An exception
        of the generator's is raised after the items made before it. It is never retried.

        Raises:
            InvalidError: If it is no generator function, or on the thread of the loop that serves it.
            ResourceExhaustedError: At the first item, if a limit of the function is reached.
        """
        binding = self._bind_generator()

        def results() -> Generator[Any, None, None]:
            check_blocking(binding.dispatcher, self._name, "remote_gen")
            signal = ThreadSignal()
            input, stream = _begin(binding, args, kwargs, signal)
            try:
                while (item := _next(input, stream)) is not _END:
                    if item is NO_ITEM:
                        signal.wait()
                    else:
                        yield item
            finally:
                _leave(binding, input, stream)
            outcome_of(input)

        return results()

    def aio(self, *args: P.args, **kwargs: P.kwargs) -> AsyncGenerator[R_co, None]:
        """Yield the items to `async for`; otherwise as the blocking form.

        Cancellation: The input is cancelled too, and the generator closed.
        """
        binding = self._bind_generator()

        async def results() -> AsyncGenerator[Any, None]:
            signal = bridge_here(self._name, "remote_gen").signal()
            input, stream = _begin(binding, args, kwargs, signal)
            try:
                while (item := _next(input, stream)) is not _END:
                    if item is NO_ITEM:
                        await signal.wait()
                    else:
                        yield item
            finally:
                _leave(binding, input, stream)
            outcome_of(input)

        return results()

    def _bind_generator(self) -> Binding:
        binding = self._bind()
        if not binding.target.is_generator:
            raise InvalidError(
                f"'{self._name}' is not a generator function: remote_gen has nothing to iterate over; use remote"
            )
        return binding


_END: Final = object()


def _begin(binding: Binding, args: Any, kwargs: Any, signal: Any) -> tuple[Input, Stream]:
    input = new_input(binding.target, args, kwargs)
    input.stream = stream = Stream(_BUFFER, signal.notify)
    input.sink = lambda _: signal.notify()
    binding.dispatcher.submit(input)
    return input, stream


def _next(input: Input, stream: Stream) -> Any:
    """Return the next item, NO_ITEM if it is not there yet, _END if there is none."""
    item = stream.take()
    if item is NO_ITEM and input.done:
        # What was put before the end is there by now.
        item = stream.take()
        return _END if item is NO_ITEM else item
    return item


def _leave(binding: Binding, input: Input, stream: Stream) -> None:
    if not input.done:
        stream.close()
        binding.dispatcher.abandon((input,), f"the consumer of '{binding.target}' left before its end")

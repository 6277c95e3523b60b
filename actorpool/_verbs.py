# SPDX-License-Identifier: Apache-2.0
"""The call verbs: `remote`, `map`, `starmap`, `for_each`, `spawn`, each an object with an `.aio` twin.

A verb checks how it is used, makes inputs and waits; what becomes of them is decided in the pool.
"""

from __future__ import annotations

import logging
from _thread import allocate_lock
from collections.abc import (
    AsyncGenerator,
    AsyncIterable,
    AsyncIterator,
    Callable,
    Generator,
    Iterable,
    Iterator,
)
from contextlib import AsyncExitStack, aclosing
from itertools import count
from typing import Any, Final, Generic, ParamSpec, TypeVar

from actorpool._core._input import SUCCEEDED, BlockingInput
from actorpool._host._current import current_bridge, current_host
from actorpool.exception import InvalidError

from ._binding import Verb, bridge_here, check_blocking, new_input, outcome_of, twin_of
from ._map import Dropped, MapOptions, iterate, iterate_async
from .call import FunctionCall

__all__ = ["AnyIterable", "ForEach", "Map", "MapResults", "Remote", "Spawn", "Starmap"]

P = ParamSpec("P")
R = TypeVar("R")
R_co = TypeVar("R_co", covariant=True)

AnyIterable = Iterable[Any] | AsyncIterable[Any]

logger = logging.getLogger("actorpool")

# Calls of functions that never wait may be done without the loop having a turn. After so many of them it gets one,
# or a caller in a loop would starve everything else there: the actors, cancellation, closing.
_YIELD_EVERY: Final = 64
_done_at_once: Final = count(1)


class Remote(Verb, Generic[P, R_co]):
    """Run the function on one input in its pool and wait for the result."""

    __slots__ = ()

    def __call__(self, *args: P.args, **kwargs: P.kwargs) -> R_co:
        """Run the function in its pool; block this thread until it has returned, and return its result.

        Raises:
            ResourceExhaustedError: If a limit of the function is reached; try again later.
            ExecutionError: If its app is not running.
            InvalidError: On the thread of the event loop that serves the function; write `.aio` there.
            BaseException: Whatever the function raises, as its own type.
        Threads: Any.
        """
        binding = self._binding
        # What `_bind_one` finds out, without a further call for each input.
        if binding is None or binding.dispatcher.retired or binding.target.is_generator:
            binding = self._bind_one("remote")
        dispatcher = binding.dispatcher
        if current_bridge() is not None:
            check_blocking(dispatcher, self._name, "remote")
        input = new_input(binding.target, args, kwargs, kind=BlockingInput)
        # A lock and no more: there is one outcome, and one thread that waits for it. To leave a lock, as the end of a
        # `with` does, is to release it, whatever the arguments.
        ended = allocate_lock()
        ended.acquire()
        input.sink = ended.__exit__  # type: ignore[assignment]
        dispatcher.submit(input)
        try:
            ended.acquire()
        except BaseException:
            dispatcher.cancel(input, f"the caller of '{self._name}' was interrupted")
            raise
        if input.state == SUCCEEDED:
            result: R_co = input.value
            return result
        dispatcher.settled()
        return outcome_of(input)  # type: ignore[no-any-return]

    async def aio(self, *args: P.args, **kwargs: P.kwargs) -> R_co:
        """Run the function in its pool and return its result; on asyncio or trio, whichever loop is running.

        Raises:
            ResourceExhaustedError: If a limit of the function is reached; try again later.
            ExecutionError: If its app is not running.
            BaseException: Whatever the function raises, as its own type.
        Cancellation: The input is cancelled too: a pending one leaves at once; a running asynchronous one is
            cancelled once; a thread runs on, its result is dropped.
        """
        binding = self._binding
        # What `_bind_one` finds out, without a further call for each input.
        if binding is None or binding.dispatcher.retired or binding.target.is_generator:
            binding = self._bind_one("remote")
        waiter = (current_bridge() or bridge_here(self._name, "remote")).waiter()
        input = new_input(binding.target, args, kwargs)
        input.sink = waiter.notify
        binding.dispatcher.submit(input)
        if input.state < SUCCEEDED or input.successor is not None:
            try:
                await waiter.wait()
            except BaseException:
                binding.dispatcher.cancel(input, f"the caller of '{self._name}' was cancelled")
                raise
        elif next(_done_at_once) % _YIELD_EVERY == 0:
            await current_host().checkpoint()
        return outcome_of(input)  # type: ignore[no-any-return]


class Spawn(Verb, Generic[P, R_co]):
    """Hand one input to the function's pool without waiting for it."""

    __slots__ = ()

    def __call__(self, *args: P.args, **kwargs: P.kwargs) -> FunctionCall[R_co]:
        """Return as soon as the input is accepted, with a handle to its result.

        Never blocks, so it may be used anywhere. The input has its own allowance of pending inputs
        (`Limits.max_spawned`).

        Raises:
            ResourceExhaustedError: If that many spawned inputs are pending already.
            ExecutionError: If the app is not running.
        Threads: Any.
        """
        binding = self._bind_one("spawn")
        input = new_input(binding.target, args, kwargs, spawned=True)
        binding.dispatcher.submit(input)
        return FunctionCall(binding.dispatcher, input)

    async def aio(self, *args: P.args, **kwargs: P.kwargs) -> FunctionCall[R_co]:
        """Do the same; this waits for nothing but, in a process container, the answer of the app's process.

        Cancellation: While it waits there, the input may have been accepted, and goes on.
        """
        binding = self._bind_one("spawn")
        input = new_input(binding.target, args, kwargs, spawned=True)
        await binding.dispatcher.submit_async(input)
        return FunctionCall(binding.dispatcher, input)


class MapResults(Generic[R_co]):
    """The results of a map: iterate over it, with `for` or, from `.aio`, with `async for`.

    Nothing happens before the first result is asked for. Leaving the loop early cancels what is in flight: when
    the results are closed, by `contextlib.closing` or `aclosing`, or else when they are collected as garbage.
    """

    __slots__ = ("_name", "_results", "_started")

    def __init__(self, name: str, results: Any) -> None:
        self._name = name
        self._results = results
        self._started = False

    def __del__(self) -> None:
        if not self._started:
            logger.warning(
                "%s(...) was never iterated, so nothing was run; use %s",
                self._name,
                "async for" if self._name.endswith(".aio") else "a for loop, list(...), or for_each",
            )

    def __repr__(self) -> str:
        return f"<results of {self._name}, {'under way' if self._started else 'not started'}>"


class SyncMapResults(MapResults[R_co], Iterator[R_co]):
    """Results in this thread, which is blocked between them."""

    __slots__ = ("_twin",)

    _results: Generator[R_co, None, None]

    def __init__(self, name: str, results: Any, twin: Callable[[], AsyncMapResults[R_co]]) -> None:
        super().__init__(name, results)
        self._twin = twin

    def __aiter__(self) -> AsyncIterator[R_co]:
        # Users of Modal leave the `.aio` out here, and what they mean is plain.
        self._started = True
        return self._twin()

    def __iter__(self) -> Iterator[R_co]:
        self._started = True
        return self._results

    def __next__(self) -> R_co:
        self._started = True
        return next(self._results)

    def close(self) -> None:
        """Cancel what is in flight; there are no further results. Idempotent."""
        self._started = True
        self._results.close()


class AsyncMapResults(MapResults[R_co], AsyncIterator[R_co]):
    """Results on the running loop."""

    __slots__ = ()

    _results: AsyncGenerator[R_co, None]

    def __aiter__(self) -> AsyncIterator[R_co]:
        # Not the generator itself: one that is left unfinished is the event loop's to close, some time later, and
        # trio complains of it.
        self._started = True
        return self

    def __anext__(self) -> Any:
        self._started = True
        return self._results.__anext__()

    async def aclose(self) -> None:
        """Cancel what is in flight; there are no further results. Idempotent."""
        self._started = True
        await self._results.aclose()

    def __del__(self) -> None:
        super().__del__()
        if self._started and getattr(self._results, "ag_frame", None) is not None:
            try:
                self._results.athrow(Dropped()).send(None)
            except (Dropped, RuntimeError):
                # It has ended; or somebody still awaits its next result.
                return


class MapVerb(Verb):
    """What `map`, `starmap` and `for_each` share."""

    __slots__ = ()

    def _results(
        self, verb: str, sources: tuple[AnyIterable, ...], options: MapOptions, *, star: bool
    ) -> Generator[Any, None, None]:
        """Return the generator behind a blocking map."""
        arguments = self._arguments(verb, sources, star=star)
        binding = self._bind_one(verb)

        def results() -> Generator[Any, None, None]:
            check_blocking(binding.dispatcher, self._name, verb)
            yield from iterate(binding, arguments, options)

        return results()

    def _results_async(
        self, verb: str, sources: tuple[AnyIterable, ...], options: MapOptions, *, star: bool
    ) -> AsyncGenerator[Any, None]:
        """Return the generator behind an asynchronous map."""
        arguments = self._any_arguments(verb, sources, star=star)
        return iterate_async(self._bind_one(verb), arguments, options)

    def _later(
        self, verb: str, sources: tuple[AnyIterable, ...], options: MapOptions, *, star: bool
    ) -> AsyncMapResults[Any]:
        """Return what an asynchronous map gives to iterate over."""
        results = self._results_async(verb, sources, options, star=star)
        return AsyncMapResults(f"{self._name}.{verb}.aio", results)

    def _arguments(
        self, verb: str, sources: tuple[AnyIterable, ...], *, star: bool = False
    ) -> Iterable[tuple[Any, ...]]:
        """Return the positional arguments of each input, of sources that this thread can iterate over."""
        self._check_sources(verb, sources)
        for source in sources:
            if not isinstance(source, Iterable):
                raise InvalidError(
                    f"{self._name}.{verb}(...) got an asynchronous iterator ({type(source).__name__}); "
                    f"write {twin_of(self._name, verb)}"
                )
        return _arguments(sources, star=star)

    def _any_arguments(
        self, verb: str, sources: tuple[AnyIterable, ...], *, star: bool = False
    ) -> Iterable[tuple[Any, ...]] | AsyncGenerator[tuple[Any, ...], None]:
        """Return the positional arguments of each input; asynchronously if a source is asynchronous."""
        self._check_sources(verb, sources)
        if all(isinstance(source, Iterable) for source in sources):
            return _arguments(sources, star=star)
        return _async_arguments(sources, star=star)

    def _check_sources(self, verb: str, sources: tuple[AnyIterable, ...]) -> None:
        if not sources:
            raise InvalidError(
                f"{self._name}.{verb}() got no iterator, so it would never end; give it one, such as "
                f"{self._name}.{verb}(range(10))"
            )
        for source in sources:
            if not isinstance(source, (Iterable, AsyncIterable)):
                raise InvalidError(
                    f"{self._name}.{verb}(...) needs iterators, but {source!r} cannot be iterated over"
                )


class Map(MapVerb, Generic[R_co]):
    """Run the function on every input, in parallel across containers."""

    __slots__ = ()

    def __call__(
        self,
        *input_iterators: AnyIterable,
        kwargs: dict[str, Any] | None = None,
        order_outputs: bool = True,
        return_exceptions: bool = False,
        wrap_returned_exceptions: bool | None = None,
    ) -> SyncMapResults[R_co]:
        """Yield the result of the function for each input, in input order.

        Args:
            input_iterators: Iterables of positional arguments, zipped; read lazily, in this thread.
            kwargs: Keyword arguments passed to every input.
            order_outputs: False yields results as they finish.
            return_exceptions: True yields a failed input's exception in its place; else it is raised there,
                and what is in flight is cancelled.
            wrap_returned_exceptions: Accepted for Modal's sake; exceptions are always returned plain.
        Yields:
            Results. At most `Limits.map_in_flight` inputs are in flight, and a slow consumer slows the map.
            Leaving the loop early cancels what is in flight.
        Raises:
            InvalidError: Without an iterator, or on the thread of the event loop that serves the function.
        """
        options = MapOptions(kwargs=kwargs, ordered=order_outputs, return_exceptions=return_exceptions)
        return SyncMapResults(
            f"{self._name}.map",
            self._results("map", input_iterators, options, star=False),
            lambda: self._later("map", input_iterators, options, star=False),
        )

    def aio(
        self,
        *input_iterators: AnyIterable,
        kwargs: dict[str, Any] | None = None,
        order_outputs: bool = True,
        return_exceptions: bool = False,
        wrap_returned_exceptions: bool | None = None,
    ) -> AsyncMapResults[R_co]:
        """Yield results to `async for`; the iterators may be asynchronous. Otherwise as the blocking form."""
        options = MapOptions(kwargs=kwargs, ordered=order_outputs, return_exceptions=return_exceptions)
        return self._later("map", input_iterators, options, star=False)


class Starmap(MapVerb, Generic[R_co]):
    """Run the function on every input, each an iterable of positional arguments."""

    __slots__ = ()

    def __call__(
        self,
        input_iterator: AnyIterable,
        *,
        kwargs: dict[str, Any] | None = None,
        order_outputs: bool = True,
        return_exceptions: bool = False,
        wrap_returned_exceptions: bool | None = None,
    ) -> SyncMapResults[R_co]:
        """Yield the result of the function for each input, unpacked; otherwise as `map`."""
        options = MapOptions(kwargs=kwargs, ordered=order_outputs, return_exceptions=return_exceptions)
        return SyncMapResults(
            f"{self._name}.starmap",
            self._results("starmap", (input_iterator,), options, star=True),
            lambda: self._later("starmap", (input_iterator,), options, star=True),
        )

    def aio(
        self,
        input_iterator: AnyIterable,
        *,
        kwargs: dict[str, Any] | None = None,
        order_outputs: bool = True,
        return_exceptions: bool = False,
        wrap_returned_exceptions: bool | None = None,
    ) -> AsyncMapResults[R_co]:
        """Yield results to `async for`; the iterator may be asynchronous. Otherwise as the blocking form."""
        options = MapOptions(kwargs=kwargs, ordered=order_outputs, return_exceptions=return_exceptions)
        return self._later("starmap", (input_iterator,), options, star=True)


class ForEach(MapVerb):
    """Run the function on every input for its effects."""

    __slots__ = ()

    def __call__(
        self,
        *input_iterators: AnyIterable,
        kwargs: dict[str, Any] | None = None,
        ignore_exceptions: bool = False,
    ) -> None:
        """Run everything and return when all is done; results are dropped.

        Args:
            input_iterators: Iterables of positional arguments, zipped.
            kwargs: Keyword arguments passed to every input.
            ignore_exceptions: Whether failed inputs are passed over; else the first failure is raised.
        """
        options = MapOptions(kwargs=kwargs, ordered=False, return_exceptions=ignore_exceptions)
        for _ in self._results("for_each", input_iterators, options, star=False):
            pass

    async def aio(
        self,
        *input_iterators: AnyIterable,
        kwargs: dict[str, Any] | None = None,
        ignore_exceptions: bool = False,
    ) -> None:
        """Do the same on the running loop; the iterators may be asynchronous.

        Cancellation: What is in flight is cancelled too.
        """
        options = MapOptions(kwargs=kwargs, ordered=False, return_exceptions=ignore_exceptions)
        async with aclosing(self._results_async("for_each", input_iterators, options, star=False)) as results:
            async for _ in results:
                pass


def _arguments(sources: tuple[AnyIterable, ...], *, star: bool) -> Iterable[tuple[Any, ...]]:
    """Return the positional arguments of each input."""
    if star:
        return map(_unpacked, sources[0])  # type: ignore[arg-type]
    return zip(*sources, strict=False)  # type: ignore[arg-type,unused-ignore]


def _unpacked(item: Any) -> tuple[Any, ...]:
    """Return the arguments that an input of `starmap` holds."""
    try:
        arguments = iter(item)
    except TypeError:
        raise TypeError(
            f"starmap unpacks each input into arguments, and one of type {type(item).__name__} is not iterable; "
            "write map for single arguments"
        ) from None
    return tuple(arguments)


async def _async_arguments(
    sources: tuple[AnyIterable, ...], *, star: bool
) -> AsyncGenerator[tuple[Any, ...], None]:
    """Yield the positional arguments of each input, where a source is asynchronous; close those sources."""
    async with AsyncExitStack() as stack:
        iterators = [await stack.enter_async_context(aclosing(_as_async(source))) for source in sources]
        while True:
            args: list[Any] = []
            for iterator in iterators:
                try:
                    args.append(await iterator.__anext__())
                except StopAsyncIteration:
                    return
            yield _unpacked(args[0]) if star else tuple(args)


async def _as_async(source: AnyIterable) -> AsyncGenerator[Any, None]:
    if isinstance(source, AsyncGenerator):
        # Nobody else can: the user's expression is the map's alone, and trio complains of one left open.
        async with aclosing(source):
            async for item in source:
                yield item
    elif isinstance(source, AsyncIterable):
        async for item in source:
            yield item
    else:
        for item in source:
            yield item

# SPDX-License-Identifier: Apache-2.0
"""The verbs `spawn_map` and `experimental_spawn_map`: spawn one input per item, waiting where there is no room."""

from __future__ import annotations

import logging
import time
import weakref
from collections.abc import AsyncGenerator, Iterable, Iterator
from contextlib import aclosing
from contextvars import copy_context
from itertools import islice
from typing import Any, Final, Generic, TypeVar

from actorpool._actors._identity import CallIdentity
from actorpool._core._input import Input
from actorpool._core._room_wait import RoomWait
from actorpool._host._context import current_input
from actorpool._host._current import current_host

from ._binding import Binding, check_blocking
from ._verbs import AnyIterable, MapVerb
from .call import FunctionCall

__all__ = ["SpawnEach", "SpawnMap"]

R_co = TypeVar("R_co", covariant=True)

logger = logging.getLogger("actorpool")

# Inputs handed over at a time.
_GROUP: Final = 256


class _Spawning:
    """One spawned map: its inputs so far, and those the backlog had no room for."""

    def __init__(self, name: str, binding: Binding, kwargs: dict[str, Any] | None) -> None:
        self._name = name
        self._binding = binding
        self._kwargs = kwargs
        self._context = copy_context()
        self._parent = current_input.get()
        # The handle is made when all inputs are accepted.
        self._identity = CallIdentity(handle=lambda: None)
        self._wait = RoomWait()
        self.inputs: list[Input] = []

    def group(self, arguments: list[tuple[Any, ...]]) -> Iterator[float]:
        """Hand over a group; yield the seconds to wait before going on, as often as the backlog is full."""
        group: list[Input] = []
        target = self._binding.target
        for args in arguments:
            index = len(self.inputs) + len(group)
            input = Input(target, args, self._kwargs, self._context, None, self._parent, True, index)
            input.identity = self._identity
            group.append(input)
        self.inputs.extend(group)
        self._wait.begin()
        while True:
            accepted = self._binding.dispatcher.submit_many(group)
            group = group[accepted:]
            if not group:
                return
            wait = self._wait.next(accepted)
            if wait.warn:
                limit = self._binding.dispatcher.limits.max_spawned
                logger.warning(
                    "%s waits for room: function '%s' has %d pending spawned inputs, its limit (max_spawned)",
                    self._name,
                    self._binding.target,
                    limit,
                )
            yield wait.pause_s

    def call(self) -> FunctionCall[Any]:
        """Return the handle to all inputs."""
        call: FunctionCall[Any] = FunctionCall(self._binding.dispatcher, self.inputs, self._identity)
        # The inputs refer to the identity, and are not to keep the handle.
        self._identity.handle = weakref.ref(call)
        return call


class _SpawningVerb(MapVerb):
    """What both verbs share."""

    __slots__ = ()

    def _spawn(self, verb: str, sources: tuple[AnyIterable, ...], kwargs: dict[str, Any] | None) -> _Spawning:
        arguments = iter(self._arguments(verb, sources))
        binding = self._bind_one(verb)
        check_blocking(binding.dispatcher, self._name, verb)
        spawning = _Spawning(f"{self._name}.{verb}", binding, kwargs)
        while group := list(islice(arguments, _GROUP)):
            for pause in spawning.group(group):
                time.sleep(pause)
        return spawning

    async def _spawn_async(
        self, verb: str, sources: tuple[AnyIterable, ...], kwargs: dict[str, Any] | None
    ) -> _Spawning:
        host = current_host()
        spawning = _Spawning(f"{self._name}.{verb}.aio", self._bind_one(verb), kwargs)
        async with aclosing(_groups(self._any_arguments(verb, sources))) as groups:
            async for group in groups:
                for pause in spawning.group(group):
                    await host.sleep(pause)
                await host.checkpoint()
        return spawning


class SpawnMap(_SpawningVerb):
    """Spawn the function on every input."""

    __slots__ = ()

    def __call__(self, *input_iterators: AnyIterable, kwargs: dict[str, Any] | None = None) -> None:
        """Return when every input is accepted; while the backlog is full it waits and tries again.

        Args:
            input_iterators: Iterables of positional arguments, zipped.
            kwargs: Keyword arguments passed to every input.

        Raises:
            ExecutionError: If the app is not running, or is closed meanwhile.
            InvalidError: Without an iterator, or on the thread of the loop that serves the function.
        """
        self._spawn("spawn_map", input_iterators, kwargs).call()

    async def aio(self, *input_iterators: AnyIterable, kwargs: dict[str, Any] | None = None) -> None:
        """Do the same on the running loop; the iterators may be asynchronous.

        Cancellation: What was accepted stays accepted.
        """
        (await self._spawn_async("spawn_map", input_iterators, kwargs)).call()


class SpawnEach(_SpawningVerb, Generic[R_co]):
    """Spawn the function on every input and keep a handle to all results."""

    __slots__ = ()

    def __call__(
        self, *input_iterators: AnyIterable, kwargs: dict[str, Any] | None = None
    ) -> FunctionCall[R_co]:
        """Return a handle to all inputs when every one is accepted; otherwise as `spawn_map`."""
        return self._spawn("experimental_spawn_map", input_iterators, kwargs).call()

    async def aio(
        self, *input_iterators: AnyIterable, kwargs: dict[str, Any] | None = None
    ) -> FunctionCall[R_co]:
        """Do the same on the running loop; the iterators may be asynchronous."""
        return (await self._spawn_async("experimental_spawn_map", input_iterators, kwargs)).call()


async def _groups(
    arguments: Iterable[Any] | AsyncGenerator[Any, None],
) -> AsyncGenerator[list[tuple[Any, ...]], None]:
    """Yield the arguments in groups; close an asynchronous generator of them."""
    if isinstance(arguments, Iterable):
        drawn = iter(arguments)
        while group := list(islice(drawn, _GROUP)):
            yield group
        return
    group = []
    async with aclosing(arguments):
        async for args in arguments:
            group.append(args)
            if len(group) == _GROUP:
                yield group
                group = []
    if group:
        yield group

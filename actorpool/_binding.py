# SPDX-License-Identifier: Apache-2.0
"""Where a handle's inputs go right now, and how a caller waits there.

A handle (a function, a method of an instance) outlives runs and deployments. It asks its source for a
binding when it has none or when the present one was retired, so the usual call costs one comparison.
"""

from __future__ import annotations

import os
import sys
import warnings
from collections.abc import Callable
from contextvars import Context, copy_context
from typing import TYPE_CHECKING, Any, Final, Protocol

from attrs import define

from actorpool._actors._identity import input_id_of
from actorpool._core._input import SUCCEEDED, Input
from actorpool._host._context import current_input
from actorpool._host._current import current_bridge
from actorpool.exception import AsyncUsageWarning, InvalidError

from ._deployments import RunsElsewhereError

if TYPE_CHECKING:
    from actorpool._actors._supervisor import Supervisor
    from actorpool._actors._way import Way
    from actorpool._backends._workload import Target
    from actorpool._core._config import AutoscalerSettings
    from actorpool._host._base import Bridge

    from ._spec import Variation

__all__ = [
    "Binding",
    "ChangeSettings",
    "PoolBinding",
    "Reduced",
    "Source",
    "Verb",
    "annotated",
    "bind",
    "bridge_here",
    "check_blocking",
    "new_input",
    "outcome_of",
    "twin_of",
]

_PACKAGE: Final = os.path.dirname(__file__) + os.sep
_NO_VARIABLES: Final = Context()


@define(eq=False)
class Binding:
    """A handle's present way to its pool."""

    dispatcher: Way
    target: Target


@define(eq=False)
class PoolBinding(Binding):
    """The same where the pool is in this process."""

    supervisor: Supervisor


Reduced = tuple[Callable[..., Any], tuple[Any, ...]]
"""What `__reduce__` returns: what to call, and with what."""

ChangeSettings = Callable[["AutoscalerSettings"], "AutoscalerSettings"]


class Source(Protocol):
    """Finds the pool of a handle."""

    def bind(self) -> PoolBinding:
        """Return the present binding.

        Raises:
            RunsElsewhereError: If the app runs in the process that has started this one.
            ExecutionError: If the app is not running.
            NotFoundError: If a lookup by name finds nothing.
        """
        ...

    def update(self, change: ChangeSettings) -> AutoscalerSettings:
        """Change the pool's settings and return them.

        Raises:
            InvalidError: If the result would be contradictory, or the handle shares its pool with others.
        """
        ...

    def varied(self, variation: Variation) -> Source:
        """Return the source of a variant with a pool of its own.

        Raises:
            InvalidError: If the handle shares its pool with others.
        """
        ...

    def reduced(self, raw: Callable[..., Any] | None) -> Reduced:
        """Return how pickle is to remake the handle, whose plain function is `raw`, in another process."""
        ...


class Verb:
    """What the verbs of one handle share: the way to the pool, and the name for messages."""

    __slots__ = ("_binding", "_name", "_source")

    def __init__(self, name: str, source: Source) -> None:
        self._name = name
        self._source = source
        self._binding: Binding | None = None

    def _bind(self) -> Binding:
        binding = self._binding
        if binding is None or binding.dispatcher.retired:
            binding = self._binding = bind(self._source)
        return binding

    def _bind_one(self, verb: str) -> Binding:
        """Return the binding for a verb that wants one result per input."""
        binding = self._binding
        if binding is None or binding.dispatcher.retired:
            # Only here, because this is asked for each input.
            binding = self._bind()
        if binding.target.is_generator:
            raise InvalidError(
                f"'{self._name}' is a generator function: {verb} wants one result; use remote_gen"
            )
        return binding

    def __repr__(self) -> str:
        return f"<{type(self).__name__.lower()} of '{self._name}'>"


def bind(source: Source) -> Binding:
    """Return a handle's present way to its pool, in whichever process that is.

    Raises:
        ExecutionError: If the app is not running.
        NotFoundError: If a lookup by name finds nothing.
    """
    try:
        return source.bind()
    except RunsElsewhereError:
        # Here, because this is a process container's affair.
        from ._parent import parent

        return parent().bind(source)


def check_blocking(dispatcher: Way, name: str, verb: str) -> None:
    """Refuse to block the loop that would serve the call; warn if another loop would stand still.

    Raises:
        InvalidError: On the thread of the loop that serves the function.
    """
    bridge = current_bridge()
    if bridge is None:
        return
    if bridge is dispatcher.host.bridge:
        raise InvalidError(
            f"{name}.{verb}(...) would block the event loop that is to serve it, for ever; "
            f"write {twin_of(name, verb)} here"
        )
    warnings.warn(
        f"{name}.{verb}(...) blocks the running event loop until it is done; write {twin_of(name, verb)} in async code",
        AsyncUsageWarning,
        stacklevel=_users_level(),
    )


def bridge_here(name: str, verb: str) -> Bridge:
    """Return the bridge of the loop that runs in this thread, for an `.aio` verb.

    Raises:
        InvalidError: If there is none.
    """
    bridge = current_bridge()
    if bridge is None:
        raise InvalidError(f"{name}.{verb}.aio(...) needs a running asyncio loop or trio run")
    return bridge


def _users_level() -> int:
    """Return the `stacklevel` that stands for the nearest frame outside actorpool, for a warning of the caller's."""
    level, frame = 1, sys._getframe(1)
    while frame.f_code.co_filename.startswith(_PACKAGE) and frame.f_back is not None:
        level, frame = level + 1, frame.f_back
    return level


def twin_of(name: str, verb: str) -> str:
    """Return what to write in async code instead of a blocking verb."""
    if verb in {"map", "starmap", "remote_gen"}:
        return f"`async for ... in {name}.{verb}.aio(...)`"
    return f"`await {name}.{verb}.aio(...)`"


def new_input(
    target: Target,
    args: tuple[Any, ...],
    kwargs: dict[str, Any],
    *,
    context: Context | None = None,
    spawned: bool = False,
    kind: type[Input] = Input,
) -> Input:
    """Return a new input of the running code's: in a copy of its context, child of its input."""
    if context is None:
        # Where no variable is set one snapshot does for all: nothing ever runs in a snapshot, but in copies of it.
        context = copy_context() or _NO_VARIABLES
    return kind(target, args, kwargs or None, context, None, current_input.get(), spawned)


def outcome_of(input: Input) -> Any:
    """Return the result of an input that is done, or raise what it raised."""
    if input.state != SUCCEEDED:
        input = input.latest()
        if input.state != SUCCEEDED:
            raise annotated(input)
    return input.value


def annotated(input: Input) -> BaseException:
    """Return the exception of a failed input, with a note that says where it comes from."""
    error: BaseException = input.value
    if input.target.is_far:
        return error
    attempts = "" if input.attempt == 1 else f", attempt {input.attempt}"
    note = f"raised by function '{input.target}' (input {input_id_of(input)}{attempts})"
    if note not in getattr(error, "__notes__", ()):
        error.add_note(note)
    return error

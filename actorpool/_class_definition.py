# SPDX-License-Identifier: Apache-2.0
"""A user's class, read once: its parameters, methods and hooks, and how an object of it is made."""

from __future__ import annotations

import inspect
import threading
import typing
from collections.abc import Callable, Mapping
from typing import TYPE_CHECKING, Any, Final

from actorpool._backends._workload import Hook, Target
from actorpool._core._batch import Batching
from actorpool._host._current import current_host
from actorpool.exception import InvalidError

from ._marks import marks_of
from ._method import HANDLE_ATTRIBUTE, MISSING, Method, Parameter, hook_kind

if TYPE_CHECKING:
    from actorpool._host._base import Waiter

__all__ = ["ClassDefinition", "LocalObject", "is_hashable"]

_CHECKED_TYPES: Final = (str, int, float, bool, bytes)


class ClassDefinition:
    """A user's class, read once: its parameters, methods and hooks."""

    def __init__(self, user_cls: type) -> None:
        self.user_cls = user_cls
        self.name: str = user_cls.__name__
        self.parameters: dict[str, tuple[Parameter, Any]] = _parameters(user_cls)
        self.methods: dict[str, Method[..., Any, Any]] = {
            name: value for name, value in _members(user_cls) if isinstance(value, Method)
        }
        self.targets: dict[str, Target] = {
            name: Target(f"{self.name}.{name}", method.function, method.is_async, method.is_generator)
            for name, method in self.methods.items()
        }
        self.batching: Batching | None = self._find_batching()
        hooks = [value for _, value in _members(user_cls)]
        self.enter: tuple[Hook, ...] = tuple(
            _as_hook(value) for value in hooks if hook_kind(value) == "enter"
        )
        self.exit: tuple[Hook, ...] = tuple(_as_hook(value) for value in hooks if hook_kind(value) == "exit")
        self.has_init: bool = "__init__" in {name for base in user_cls.__mro__[:-1] for name in vars(base)}
        if self.has_init and self.parameters:
            raise InvalidError(
                f"class '{self.name}' has parameters and an __init__; drop the __init__ and use "
                "an @modal.enter() method"
            )
        for name, (parameter, _) in self.parameters.items():
            if parameter.init and not is_hashable(parameter.default):
                raise InvalidError(
                    f"parameter '{name}' of class '{self.name}' has the default {parameter.default!r}; a parameter "
                    "tells pools apart, so its values must be hashable"
                )
        for name, method in self.methods.items():
            if marks_of(method.function).concurrency is not None:
                raise InvalidError(
                    f"@modal.concurrent does not go on a method ('{self.name}.{name}'): decorate the class, "
                    "its methods share the slots"
                )

    def _find_batching(self) -> Batching | None:
        found = [
            name for name, method in self.methods.items() if marks_of(method.function).batching is not None
        ]
        if found and len(self.methods) > 1:
            raise InvalidError(
                f"class '{self.name}' has the batched method '{found[0]}' and {len(self.methods) - 1} other methods; a "
                "batched method stands alone, put the others into a class of their own"
            )
        return marks_of(self.methods[found[0]].function).batching if found else None

    @property
    def needs_parameters(self) -> bool:
        """Whether there is no instance without parameters."""
        if self.has_init:
            wanted = list(inspect.signature(self.user_cls).parameters.values())
            return any(
                p.default is p.empty and p.kind not in (p.VAR_POSITIONAL, p.VAR_KEYWORD) for p in wanted
            )
        return any(
            parameter.default is MISSING for parameter, _ in self.parameters.values() if parameter.init
        )

    def bind(self, args: tuple[Any, ...], kwargs: dict[str, Any]) -> dict[str, Any]:
        """Return the values of all constructor parameters, checked.

        Raises:
            InvalidError: For positional arguments, or a missing or unknown parameter.
            TypeError: If a value is not of its annotation's type.
            ValueError: If a value cannot be hashed.
        """
        if self.has_init:
            try:
                bound = inspect.signature(self.user_cls).bind(*args, **kwargs)
            except TypeError as error:
                raise InvalidError(f"{self.name}(...): {error}") from None
            bound.apply_defaults()
            values = dict(bound.arguments)
        else:
            values = self._values(args, kwargs)
        for name, value in values.items():
            if not is_hashable(value):
                raise ValueError(
                    f"{self.name}({name}={value!r}): a parameter tells pools apart, so it must be hashable"
                )
        return values

    def _values(self, args: tuple[Any, ...], kwargs: dict[str, Any]) -> dict[str, Any]:
        declared = {name: pair for name, pair in self.parameters.items() if pair[0].init}
        if args:
            raise InvalidError(
                f"{self.name}(...) takes its parameters by keyword: {', '.join(declared) or 'it has none'}"
            )
        unknown = [name for name in kwargs if name not in declared]
        if unknown:
            # Only a mistake is worth loading this for.
            from difflib import get_close_matches

            near = get_close_matches(unknown[0], declared, n=1)
            advice = (
                f"did you mean '{near[0]}'?"
                if near
                else f"declare it in the class: {unknown[0]}: str = modal.parameter()"
            )
            raise InvalidError(f"{self.name}(...) has no parameter '{unknown[0]}'; {advice}")
        values: dict[str, Any] = {}
        for name, (parameter, annotation) in declared.items():
            value = kwargs.get(name, parameter.default)
            if value is MISSING:
                raise InvalidError(
                    f"{self.name}(...) needs its parameter '{name}': write {self.name}({name}=...)"
                )
            if annotation in _CHECKED_TYPES and not _is_a(value, annotation):
                raise TypeError(f"{self.name}({name}=...) must be {annotation.__name__}, not {value!r}")
            values[name] = value
        return values

    def build(self, values: Mapping[str, Any], handle: object) -> Any:
        """Make an object of the user's class with the parameters' values."""
        if self.has_init:
            instance: Any = object.__new__(self.user_cls)
            vars(instance)[HANDLE_ATTRIBUTE] = handle
            bound = inspect.signature(self.user_cls).bind_partial()
            bound.arguments.update(values)
            instance.__init__(*bound.args, **bound.kwargs)
            return instance
        instance = self.user_cls()
        vars(instance)[HANDLE_ATTRIBUTE] = handle
        for name, (parameter, _) in self.parameters.items():
            value = values.get(name, parameter.default)
            if value is not MISSING:
                setattr(instance, name, value)
        return instance


class LocalObject:
    """The object that an instance's handle makes for local use: made at its first use, entered before its first call.

    Enter hooks run once, in the caller's thread; where one has failed, the next call runs them again.
    """

    def __init__(self, definition: ClassDefinition, values: Mapping[str, Any], handle: object) -> None:
        self._definition = definition
        self._values = values
        self._handle = handle
        self._made: Any = None
        self._is_entered = False
        self._lock = threading.RLock()
        # Those who come while an asynchronous hook runs; None while none does.
        self._waiters: list[Waiter] | None = None

    def get(self) -> Any:
        """Return the object; enter hooks are not run by this."""
        with self._lock:
            if self._made is None:
                self._made = self._definition.build(self._values, self._handle)
            return self._made

    def call(self, method: Method[..., Any, Any], args: tuple[Any, ...], kwargs: dict[str, Any]) -> Any:
        """Call a method on the object, entered; an asynchronous method gives its coroutine.

        Raises:
            InvalidError: If a hook is asynchronous, and the method nothing to be awaited.
        """
        hook_needs_loop = any(hook.is_async for hook in self._definition.enter)
        if not self._is_entered and hook_needs_loop:
            if not method.is_async or method.is_generator:
                raise InvalidError(
                    f"'{self._definition.name}' has an asynchronous enter hook, which .local cannot run for "
                    f"'{method.name}', as that is not awaited; await .local of another method first, make the hook "
                    "synchronous, or call the method through its pool"
                )
            return self._call_async(method, args, kwargs)
        with self._lock:
            if not self._is_entered:
                for hook in self._definition.enter:
                    hook.function(self.get())
                self._is_entered = True
        return method.function(self.get(), *args, **kwargs)

    async def _call_async(
        self, method: Method[..., Any, Any], args: tuple[Any, ...], kwargs: dict[str, Any]
    ) -> Any:
        while not self._is_entered:
            waiter = self._turn()
            if waiter is None:
                await self._enter()
            else:
                await waiter.wait()
        return await method.function(self.get(), *args, **kwargs)

    def _turn(self) -> Waiter | None:
        """Return None to the one who is to run the hooks, and to everybody else what wakes them afterwards."""
        with self._lock:
            if self._waiters is None:
                self._waiters = []
                return None
            waiter = current_host().bridge.waiter()
            self._waiters.append(waiter)
            return waiter

    async def _enter(self) -> None:
        try:
            if not self._is_entered:
                for hook in self._definition.enter:
                    result = hook.function(self.get())
                    if hook.is_async:
                        await result
                self._is_entered = True
        finally:
            with self._lock:
                waiters, self._waiters = self._waiters, None
            for waiter in waiters or ():
                waiter.notify()


def _members(user_cls: type) -> list[tuple[str, Any]]:
    """Return the class's attributes, base classes first, each name once, in order of definition."""
    members: dict[str, Any] = {}
    for base in reversed(user_cls.__mro__[:-1]):
        members.update(vars(base))
    return list(members.items())


def _parameters(user_cls: type) -> dict[str, tuple[Parameter, Any]]:
    """Return `{name: (parameter, annotation)}` of the class and its bases."""
    found = {name: value for name, value in _members(user_cls) if isinstance(value, Parameter)}
    if not found:
        return {}
    try:
        annotations = typing.get_type_hints(user_cls)
    except NameError:
        # An annotation that only a type checker can resolve: its values are not checked.
        annotations = dict.fromkeys(
            (name for base in user_cls.__mro__ for name in vars(base).get("__annotations__", ())), Any
        )
    for name in found:
        if name not in annotations:
            raise InvalidError(
                f"parameter '{name}' of class '{user_cls.__name__}' needs an annotation: "
                f"{name}: str = modal.parameter()"
            )
    return {name: (value, annotations[name]) for name, value in found.items()}


def _is_a(value: object, annotation: type) -> bool:
    if annotation is not bool and isinstance(value, bool):
        return False
    if annotation is float:
        return isinstance(value, (int, float))
    return isinstance(value, annotation)


def is_hashable(value: object) -> bool:
    """Return whether `value` can tell pools apart."""
    try:
        hash(value)
    except TypeError:
        return False
    return True


def _as_hook(function: Callable[..., Any]) -> Hook:
    return Hook(function, inspect.iscoroutinefunction(function))

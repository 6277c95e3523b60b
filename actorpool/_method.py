# SPDX-License-Identifier: Apache-2.0
"""What stands in the body of a class under `@app.cls`: `method`, `enter`, `exit`, `parameter`."""

from __future__ import annotations

import inspect
from collections.abc import AsyncIterator, Callable, Coroutine, Iterator
from typing import TYPE_CHECKING, Any, Concatenate, Generic, ParamSpec, TypeVar, cast, overload

from attrs import frozen

from actorpool.exception import ExecutionError, InvalidError

if TYPE_CHECKING:
    from .function import Function

__all__ = ["HookMark", "Method", "Parameter", "enter", "exit", "method", "parameter"]

P = ParamSpec("P")
R = TypeVar("R")
R_co = TypeVar("R_co", covariant=True)
L_co = TypeVar("L_co", covariant=True)
S = TypeVar("S")
F = TypeVar("F", bound=Callable[..., Any])

HANDLE_ATTRIBUTE = "__actorpool_handle__"
_HOOK_ATTRIBUTE = "__actorpool_hook__"


class Method(Generic[P, R_co, L_co]):
    """A method that inputs may be for; on an instance it is a `Function`."""

    def __init__(self, function: Callable[..., Any]) -> None:
        self.function = function
        self.name: str = function.__name__
        self.is_async: bool = inspect.iscoroutinefunction(function) or inspect.isasyncgenfunction(function)
        self.is_generator: bool = inspect.isgeneratorfunction(function) or inspect.isasyncgenfunction(
            function
        )
        self.__doc__ = function.__doc__

    @property
    def __actorpool_target__(self) -> Callable[..., Any]:
        # What stands behind the name that this mark has taken.
        return self.function

    def __reduce__(self) -> tuple[Callable[..., Any], tuple[Any, ...]]:
        return _method_named, (self.function, self.name)

    def __set_name__(self, owner: type, name: str) -> None:
        self.name = name

    @overload
    def __get__(self, instance: None, owner: type) -> Method[P, R_co, L_co]: ...
    @overload
    def __get__(self, instance: object, owner: type) -> Function[P, R_co, L_co]: ...
    def __get__(self, instance: object | None, owner: type) -> Any:
        if instance is None:
            return self
        handle = vars(instance).get(HANDLE_ATTRIBUTE)
        if handle is None:
            raise ExecutionError(
                f"'{owner.__name__}' was made without an app, so its method '{self.name}' has no pool; put @app.cls() "
                "on the class, and make it by the name that this returns"
            )
        return handle.bound_method(self.name, self.function.__get__(instance))

    def __getattr__(self, name: str) -> Any:
        if name in {"remote", "map", "starmap", "for_each", "spawn", "local", "remote_gen", "spawn_map"}:
            raise AttributeError(
                f"'{self.name}.{name}' needs an instance; did you forget to make one? "
                f"Write MyClass().{self.name}.{name}(...)"
            )
        raise AttributeError(f"method '{self.name}' has no attribute '{name}'")

    def __repr__(self) -> str:
        return f"<method '{self.name}'>"


def _method_named(function: Callable[..., Any], name: str) -> Method[..., Any, Any]:
    made: Method[..., Any, Any] = Method(function)
    made.name = name
    return made


def is_in_class_body(function: Any) -> bool:
    """Return whether `function` is being defined as a method."""
    parts = getattr(function, "__qualname__", "").split(".")
    return inspect.isfunction(function) and len(parts) > 1 and parts[-2] != "<locals>"


class _MethodDecorator:
    def __init__(self, is_generator: bool | None) -> None:
        self._is_generator = is_generator

    @overload
    def __call__(
        self, function: Callable[Concatenate[S, P], Coroutine[Any, Any, R]]
    ) -> Method[P, R, Coroutine[Any, Any, R]]: ...
    @overload
    def __call__(
        self, function: Callable[Concatenate[S, P], AsyncIterator[R]]
    ) -> Method[P, R, AsyncIterator[R]]: ...
    @overload
    def __call__(self, function: Callable[Concatenate[S, P], Iterator[R]]) -> Method[P, R, Iterator[R]]: ...
    @overload
    def __call__(self, function: Callable[Concatenate[S, P], R]) -> Method[P, R, R]: ...
    def __call__(self, function: Any) -> Any:
        if isinstance(function, Method) or not inspect.isfunction(function):
            raise TypeError(f"@modal.method() goes on a plain method of a class, not on {function!r}")
        if hasattr(function, _HOOK_ATTRIBUTE):
            raise InvalidError(f"'{function.__name__}' cannot be both a method and an enter or exit hook")
        made: Method[..., Any, Any] = Method(function)
        if self._is_generator not in (None, made.is_generator):
            raise InvalidError(
                f"is_generator={self._is_generator!r} contradicts method '{made.name}', which is "
                f"{'a' if made.is_generator else 'no'} generator function; leave is_generator out"
            )
        return made


def method(*, is_generator: bool | None = None) -> _MethodDecorator:
    """Make a method of a class under `@app.cls` callable through its pool: `obj.m.remote(...)` and so on.

    Args:
        is_generator: What the method is found to be anyway; a value that contradicts it is refused.

    Raises:
        InvalidError: On an enter or exit hook, and where `is_generator` is wrong.
        TypeError: On anything but a plain method.
    """
    return _MethodDecorator(is_generator)


@frozen
class HookMark:
    """Whether a function is an enter or an exit hook."""

    kind: str


def _hook(kind: str) -> Callable[[F], F]:
    def decorate(function: F) -> F:
        if isinstance(function, Method):
            raise InvalidError(f"'{function.name}' cannot be both a method and an {kind} hook")
        if not inspect.isfunction(function):
            raise TypeError(f"@modal.{kind}() goes on a plain method of a class, not on {function!r}")
        setattr(function, _HOOK_ATTRIBUTE, HookMark(kind))
        return cast("F", function)

    return decorate


def hook_kind(thing: object) -> str | None:
    """Return "enter" or "exit" if `thing` is such a hook."""
    mark = getattr(thing, _HOOK_ATTRIBUTE, None)
    return mark.kind if isinstance(mark, HookMark) else None


def enter(*, snap: bool = False) -> Callable[[F], F]:
    """Run the method once in each container before its first input; several run in order of definition.

    Args:
        snap: False; snapshots of a container's memory exist in Modal's cloud only.

    Raises:
        InvalidError: If `snap` is true.
    """
    if snap:
        raise InvalidError(
            "@modal.enter got snap=True, which only means something in Modal's cloud: there are no snapshots of "
            "this process; remove snap="
        )
    return _hook("enter")


def exit() -> Callable[[F], F]:  # noqa: A001 - the name users know
    """Run the method once in each container when it stops: scaled down, or its app closed or deployed anew."""
    return _hook("exit")


class _Missing:
    def __reduce__(self) -> str:
        # There is one.
        return "MISSING"

    def __repr__(self) -> str:
        return "<required>"


MISSING = _Missing()


@frozen
class Parameter:
    """What `parameter()` leaves in the class body."""

    default: Any
    init: bool


def parameter(*, default: Any = MISSING, init: bool = True) -> Any:
    """Declare a parameter of a class under `@app.cls`: `x: str = modal.parameter(default="a")`.

    Each set of values has a pool of its own. Values must be hashable; str, int, float, bool and bytes
    are checked against the annotation.

    Args:
        default: The value where none is given; without it the parameter is required.
        init: False makes it a plain attribute that the constructor does not take.
    """
    return cast("Any", Parameter(default=default, init=init))

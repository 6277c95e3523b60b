# SPDX-License-Identifier: Apache-2.0
"""`Cls` and `Obj`: classes with a pool per set of parameters.

The pool of a parameter set exists while it has containers or inputs, or while a handle refers to it.
One that has scaled to zero and that nobody refers to is forgotten: any number of sets may come and go.
"""

from __future__ import annotations

import inspect
import threading
import typing
from collections.abc import Callable, Hashable, Mapping
from typing import TYPE_CHECKING, Any, Final
from weakref import WeakValueDictionary

from actorpool._backends._workload import Hook, Target, Workload
from actorpool._core._config import AutoscalerSettings
from actorpool.exception import ExecutionError, InvalidError, NotFoundError

from ._binding import Binding
from ._marks import marks_of
from ._method import HANDLE_ATTRIBUTE, MISSING, Method, Parameter, hook_kind
from .function import Function, UpdateAutoscaler

if TYPE_CHECKING:
    from actorpool._actors._autoscaler import Autoscaler
    from actorpool._actors._runtime import AppRuntime
    from actorpool._actors._supervisor import Supervisor

    from ._spec import PoolSpec

__all__ = ["Cls", "Obj"]

_CHECKED_TYPES: Final = (str, int, float, bool, bytes)


class ClassDefinition:
    """A user's class, read once: its parameters, methods and hooks."""

    def __init__(self, user_cls: type) -> None:
        self.user_cls = user_cls
        self.name = user_cls.__name__
        self.parameters = _parameters(user_cls)
        self.methods = {name: value for name, value in _members(user_cls) if isinstance(value, Method)}
        hooks = [value for _, value in _members(user_cls)]
        self.enter = tuple(_as_hook(value) for value in hooks if hook_kind(value) == "enter")
        self.exit = tuple(_as_hook(value) for value in hooks if hook_kind(value) == "exit")
        self.has_init = "__init__" in {name for base in user_cls.__mro__[:-1] for name in vars(base)}
        if self.has_init and self.parameters:
            raise InvalidError(
                f"class '{self.name}' has parameters and an __init__; drop the __init__ and use "
                "an @modal.enter() method"
            )
        for name, (parameter, _) in self.parameters.items():
            if parameter.init and not _is_hashable(parameter.default):
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
            if not _is_hashable(value):
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
            raise InvalidError(
                f"{self.name}(...) has no parameter '{unknown[0]}'; declare it in the class: "
                f"{unknown[0]}: str = modal.parameter()"
            )
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

    def build(self, values: Mapping[str, Any], handle: Obj) -> Any:
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


class _InstancePool:
    """The pool of one parameter set: what handles hold on to, so that it is not forgotten under them."""

    __slots__ = ("__weakref__", "_cls", "_supervisor", "key", "values")

    def __init__(self, cls: Cls, key: Hashable, values: dict[str, Any]) -> None:
        self._cls = cls
        self._supervisor: Supervisor | None = None
        self.key = key
        self.values = values

    def __del__(self) -> None:
        # The last handle is gone: the supervisor, if it idles without containers, may end.
        if self._supervisor is not None:
            self._supervisor.look()

    def supervisor(self) -> Supervisor:
        """Return the supervisor, made if there is none."""
        runtime = self._cls.runtime()
        self._supervisor = runtime.supervisor(self.key, lambda: self._make(runtime))
        return self._supervisor

    def _make(self, runtime: AppRuntime) -> Supervisor:
        cls, key, values = self._cls, self.key, self.values
        definition = cls.definition

        def build() -> Any:
            # The container's object has a handle of its own only while the container lives.
            return definition.build(values, cls.instance(values))

        workload = Workload(
            name=definition.name,
            targets=tuple(cls.targets.values()),
            max_inputs=cls.spec.concurrency.max_inputs,
            build=build,
            enter=definition.enter,
            exit=definition.exit,
        )
        spec = cls.spec.with_workload(workload)
        return spec.supervisor(
            runtime, settings=runtime.overrides.get(key), referenced=lambda: cls.is_referenced(key)
        )


class _MethodSource:
    """The way of one method of one instance to its pool."""

    __slots__ = ("_method", "_pool", "_targets")

    def __init__(self, pool: _InstancePool, targets: Mapping[str, Target], method: str) -> None:
        self._pool = pool
        self._targets = targets
        self._method = method

    def bind(self) -> Binding:
        supervisor = self._pool.supervisor()
        return Binding(supervisor, supervisor.dispatcher, self._targets[self._method])


class Obj:
    """A handle to an instance of a class: its methods run in the pool of its parameter set.

    Its attributes are the methods, each a `Function`; any other attribute is read from an object made here,
    in this process, for local use.

    Attributes:
        update_autoscaler: Changes the settings of this parameter set's pool alone.
    """

    _actorpool_handle = True

    def __init__(self, cls: Cls | _LookedUpCls, args: tuple[Any, ...], kwargs: dict[str, Any]) -> None:
        self._cls = cls
        self._args = args
        self._kwargs = kwargs
        self._resolved: tuple[Cls, _InstancePool] | None = None
        self._functions: dict[str, Function[..., Any, Any]] = {}
        self._local: Any = None
        self._local_lock = threading.RLock()
        self._entered = False
        self.update_autoscaler = UpdateAutoscaler(self._bind_any)

    def _resolve(self) -> tuple[Cls, _InstancePool]:
        cls = self._cls.resolve()
        if self._resolved is None or self._resolved[0] is not cls:
            values = cls.definition.bind(self._args, self._kwargs)
            self._resolved = (cls, cls.pool(values))
            self._functions.clear()
        return self._resolved

    def _bind_any(self) -> Binding:
        _, pool = self._resolve()
        supervisor = pool.supervisor()
        runtime = self._cls.resolve().runtime()

        return Binding(
            _Remembering(supervisor, runtime, pool.key), supervisor.dispatcher, Target("", _nothing, False)
        )

    def bound_method(self, name: str, instance: Any) -> Function[..., Any, Any]:
        """Return the handle of method `name`, whose `.local` runs on `instance`."""
        cls, pool = self._resolve()
        method = cls.definition.methods[name]
        raw = method.function.__get__(instance)
        return Function(
            f"{cls.definition.name}.{name}",
            _MethodSource(pool, cls.targets, name),
            raw,
            owner=cls.definition.name,
        )

    def __getattr__(self, name: str) -> Any:
        if name.startswith("__"):
            raise AttributeError(name)
        cls, pool = self._resolve()
        method = cls.definition.methods.get(name)
        if method is None:
            if isinstance(self._cls, _LookedUpCls):
                raise NotFoundError(
                    f"class '{cls.definition.name}' has no method '{name}'; its attributes live elsewhere"
                )
            return getattr(self._local_object(), name)
        function = self._functions.get(name)
        if function is None:

            def local(*args: Any, **kwargs: Any) -> Any:
                return method.function(self._entered_object(), *args, **kwargs)

            local.__doc__ = method.function.__doc__
            raw = None if isinstance(self._cls, _LookedUpCls) else local
            function = self._functions[name] = Function(
                f"{cls.definition.name}.{name}",
                _MethodSource(pool, cls.targets, name),
                raw,
                owner=cls.definition.name,
            )
        return function

    def _local_object(self) -> Any:
        """Return the object for local use, made at the first call; enter hooks are not run by this."""
        with self._local_lock:
            if self._local is None:
                cls, pool = self._resolve()
                self._local = cls.definition.build(pool.values, self)
            return self._local

    def _entered_object(self) -> Any:
        """Return the object for local use, entered: its enter hooks have run once, in the caller's thread."""
        with self._local_lock:
            local = self._local_object()
            if not self._entered:
                self._entered = True
                for hook in self._resolve()[0].definition.enter:
                    if hook.is_async:
                        raise InvalidError(
                            f"'{self._cls.name}' has an asynchronous enter hook, which .local cannot run; "
                            "make the hook synchronous or call the method through its pool"
                        )
                    hook.function(local)
            return local

    def __repr__(self) -> str:
        given = ", ".join(f"{name}={value!r}" for name, value in self._kwargs.items())
        return f"<{self._cls.name}({given})>"


class _Remembering:
    """A supervisor whose changed settings outlast it, for when its pool is forgotten and comes again."""

    def __init__(self, supervisor: Supervisor, runtime: AppRuntime, key: Hashable) -> None:
        self._supervisor = supervisor
        self._runtime = runtime
        self._key = key

    @property
    def name(self) -> str:
        return self._supervisor.name

    @property
    def autoscaler(self) -> Autoscaler | None:
        return self._supervisor.autoscaler

    def update(self, change: Callable[[AutoscalerSettings], AutoscalerSettings]) -> AutoscalerSettings:
        settings = self._supervisor.update(change)
        self._runtime.overrides[self._key] = settings
        return settings


class Cls:
    """A class under `@app.cls`; calling it gives a handle to an instance, not an object of the class."""

    _actorpool_handle = True

    def __init__(
        self, definition: ClassDefinition, spec: PoolSpec, runtime: Callable[[], AppRuntime]
    ) -> None:
        self.definition = definition
        self.spec = spec
        self.runtime = runtime
        self.name = definition.name
        self.targets = {
            name: Target(f"{definition.name}.{name}", method.function, method.is_async, method.is_generator)
            for name, method in definition.methods.items()
        }
        self._pools: WeakValueDictionary[Hashable, _InstancePool] = WeakValueDictionary()
        self._lock = threading.Lock()
        self.__doc__ = definition.user_cls.__doc__

    @staticmethod
    def from_name(app_name: str, name: str) -> Any:
        """Return a handle to a deployed class; looked up at its first use, and it follows later deployments.

        Raises:
            NotFoundError: At its first use, if there is no such app or class.
        """
        return _LookedUpCls(app_name, name)

    def __call__(self, *args: Any, **kwargs: Any) -> Obj:
        """Return a handle to the instance with these parameters; the same parameters share one pool."""
        for value in (*args, *kwargs.values()):
            if not _is_hashable(value):
                raise ValueError(
                    f"{self.name}(...): a parameter tells pools apart, so it must be hashable, not {value!r}"
                )
        return Obj(self, args, kwargs)

    def resolve(self) -> Cls:
        """Return the class itself."""
        return self

    def instance(self, values: Mapping[str, Any]) -> Obj:
        """Return a handle for values that are bound already."""
        return Obj(self, (), dict(values))

    def pool(self, values: dict[str, Any]) -> _InstancePool:
        """Return the pool of a parameter set."""
        key = (self.name, tuple((name, type(value), value) for name, value in sorted(values.items())))
        with self._lock:
            pool = self._pools.get(key)
            if pool is None:
                pool = self._pools[key] = _InstancePool(self, key, values)
            return pool

    def is_referenced(self, key: Hashable) -> bool:
        """Whether a handle to this parameter set exists."""
        with self._lock:
            return key in self._pools

    def __getattr__(self, name: str) -> Any:
        if name.startswith("__"):
            raise AttributeError(name)
        return getattr(self.definition.user_cls, name)

    def __repr__(self) -> str:
        return f"<Cls '{self.name}'>"


class _LookedUpCls:
    """A class that is looked up by name whenever an instance is used."""

    _actorpool_handle = True

    def __init__(self, app_name: str, name: str) -> None:
        self._app_name = app_name
        self.name = name

    def __call__(self, *args: Any, **kwargs: Any) -> Obj:
        return Obj(self, args, kwargs)

    def resolve(self) -> Cls:
        from ._deployments import deployed_app

        return deployed_app(self._app_name, "class", self.name).class_named(self.name)

    def hydrate(self) -> _LookedUpCls:
        """Look the class up now; return itself."""
        self.resolve()
        return self

    def __repr__(self) -> str:
        return f"<Cls '{self.name}' of app '{self._app_name}'>"


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


def _is_hashable(value: object) -> bool:
    try:
        hash(value)
    except TypeError:
        return False
    return True


def _as_hook(function: Callable[..., Any]) -> Hook:
    return Hook(function, inspect.iscoroutinefunction(function))


def _nothing() -> None:
    raise ExecutionError("this target takes no inputs")

# SPDX-License-Identifier: Apache-2.0
"""`Cls` and `Obj`: classes with a pool per set of parameters.

The pool of a parameter set exists while it has containers or inputs, or while a handle refers to it.
One that has scaled to zero and that nobody refers to is forgotten: any number of sets may come and go.
"""

from __future__ import annotations

import threading
from abc import ABC, abstractmethod
from collections.abc import Callable, Mapping
from typing import TYPE_CHECKING, Any, Generic, NoReturn, Protocol, TypeVar, cast
from weakref import WeakValueDictionary

from actorpool._backends._places import handle_at, place_of_handle
from actorpool._backends._workload import Workload
from actorpool._core._batch import Batching
from actorpool.exception import InvalidError, NotFoundError

from ._binding import ChangeSettings, PoolBinding, Reduced, Source
from ._class_definition import ClassDefinition, LocalObject, is_hashable
from ._controls import Autoscaling, Controls, UpdateAutoscaler
from ._deployments import AppRef, RunsElsewhereError
from ._marks import concurrency_of
from ._pool_ref import PoolRef, PoolRefs
from ._spec import Variation, check_options
from .function import Function

if TYPE_CHECKING:
    from actorpool._actors._runtime import AppRuntime
    from actorpool._actors._supervisor import Supervisor
    from actorpool._backends._parts import MakeContainer
    from actorpool._backends._workload import Target
    from actorpool._core._config import AutoscalerSettings

    from ._spec import PoolSpec
    from .retries import Retries

__all__ = ["Cls", "Obj"]


class _MethodSource:
    """The way of one method of one instance to its pool."""

    __slots__ = ("_cls", "_method", "_pool", "_targets", "_values")

    def __init__(self, cls: Cls, values: dict[str, Any], pool: PoolRef, method: str) -> None:
        self._cls = cls
        self._values = values
        self._pool = pool
        self._targets = cls.targets
        self._method = method

    def bind(self) -> PoolBinding:
        supervisor = self._pool.supervisor()
        return PoolBinding(supervisor.dispatcher, self._targets[self._method], supervisor)

    def update(self, change: ChangeSettings) -> AutoscalerSettings:
        method = self._targets[self._method].name
        raise InvalidError(
            f"'{method}' is a method, which shares the pool of its instance; change the settings of the instance: "
            f"obj.update_autoscaler(...)"
        )

    def varied(self, variation: Variation) -> Source:
        method = self._targets[self._method].name
        raise InvalidError(
            f"'{method}' is a method, which shares the pool of its instance; make a variant of the class: "
            f"MyClass.with_options(...)"
        )

    def reduced(self, raw: Callable[..., Any] | None) -> Reduced:
        return _method_of, (self._cls, self._values, self._method)


class _FarMethod:
    """The way of a method of a class that is not known in this process: its app's own knows whether there is one."""

    __slots__ = ("_method", "_object")

    def __init__(self, owner: Obj, method: str) -> None:
        self._object = owner
        self._method = method

    def bind(self) -> PoolBinding:
        function: Function[..., Any, Any] = getattr(self._object, self._method)
        if function.source is self:
            raise RunsElsewhereError(f"'{function.name}' runs in the process that has started this one")
        return function.source.bind()

    def update(self, change: ChangeSettings) -> AutoscalerSettings:
        return self.bind().supervisor.update(change)

    def varied(self, variation: Variation) -> Source:
        raise InvalidError(
            f"'{self._method}' is a method, which shares the pool of its instance; make a variant of the class: "
            f"MyClass.with_options(...)"
        )

    def reduced(self, raw: Callable[..., Any] | None) -> Reduced:
        return getattr, (self._object, self._method)


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
        self._resolved: tuple[Cls, PoolRef] | None = None
        self._functions: dict[str, Function[..., Any, Any]] = {}
        self._values: dict[str, Any] = {}
        self._local: LocalObject | None = None
        self._local_lock = threading.RLock()
        self.__actorpool_controls__: Controls = Controls(self._supervisor, self._update, self.__reduce__)
        self.update_autoscaler: UpdateAutoscaler = UpdateAutoscaler(self.__actorpool_controls__)
        self.autoscaler: Autoscaling = Autoscaling(self.__actorpool_controls__)

    def _resolve(self) -> tuple[Cls, PoolRef]:
        cls = self._cls.resolve()
        if self._resolved is None or self._resolved[0] is not cls:
            self._values = cls.definition.bind(self._args, self._kwargs)
            self._resolved = (cls, cls.pool(self._values))
            self._functions.clear()
        return self._resolved

    def _supervisor(self) -> Supervisor:
        return self._resolve()[1].supervisor()

    def _update(self, change: ChangeSettings) -> AutoscalerSettings:
        return self._resolve()[1].update(change)

    def bound_method(self, name: str, raw: Callable[..., Any]) -> Function[..., Any, Any]:
        """Return the handle of method `name`, whose `.local` is `raw`: of `super()` that of the base class."""
        cls, pool = self._resolve()
        return Function(f"{cls.definition.name}.{name}", _MethodSource(cls, self._values, pool, name), raw)

    def __reduce__(self) -> Reduced:
        return Obj, (self._cls, self._args, self._kwargs)

    def __getattr__(self, name: str) -> Any:
        if name.startswith("__"):
            raise AttributeError(name)
        function = self._functions.get(name)
        try:
            cls, pool = self._resolve()
        except RunsElsewhereError:
            if function is None:
                function = Function(f"{self._cls.name}.{name}", _FarMethod(self, name), None)
                self._functions[name] = function
            return function
        method = cls.definition.methods.get(name)
        if method is None:
            if isinstance(self._cls, _LookedUpCls):
                raise NotFoundError(
                    f"class '{cls.definition.name}' has no method '{name}'; its attributes live elsewhere"
                )
            return getattr(self._local_object().get(), name)
        function = self._functions.get(name)
        if function is None:

            def local(*args: Any, **kwargs: Any) -> Any:
                return self._local_object().call(method, args, kwargs)

            local.__doc__ = method.function.__doc__
            raw = None if isinstance(self._cls, _LookedUpCls) else local
            function = self._functions[name] = Function(
                f"{cls.definition.name}.{name}", _MethodSource(cls, self._values, pool, name), raw
            )
        return function

    def _local_object(self) -> LocalObject:
        with self._local_lock:
            if self._local is None:
                self._local = LocalObject(self._resolve()[0].definition, self._values, self)
            return self._local

    def __repr__(self) -> str:
        given = ", ".join(f"{name}={value!r}" for name, value in self._kwargs.items())
        return f"<{self._cls.name}({given})>"


class _Life(Protocol):
    """What a class asks of its app."""

    @property
    def ref(self) -> AppRef: ...
    def runtime(self, wanted: str) -> AppRuntime: ...


_VariedT = TypeVar("_VariedT")


class _Variable(ABC, Generic[_VariedT]):
    """What a class and the lookup of one have in common: they have variants, and nothing inherits from them."""

    _actorpool_handle = True

    name: str

    @abstractmethod
    def varied(self, variation: Variation) -> _VariedT:
        """Return the variant with `variation` over what is varied already."""

    def with_options(
        self,
        *,
        retries: int | Retries | None = None,
        max_containers: int | None = None,
        buffer_containers: int | None = None,
        scaledown_window: float | None = None,
        timeout: float | None = None,
        backend: str | MakeContainer | None = None,
        **cloud_only: object,
    ) -> _VariedT:
        """Return a class whose instances have pools of their own with these options; see `Function.with_options`."""
        check_options("with_options", cloud_only)
        return self.varied(
            Variation(
                retries=retries,
                max_containers=max_containers,
                buffer_containers=buffer_containers,
                scaledown_window=scaledown_window,
                timeout=timeout,
                backend=backend,
            )
        )

    def with_concurrency(self, *, max_inputs: int, target_inputs: int | None = None) -> _VariedT:
        """Return a class as if decorated with `concurrent`; see `Function.with_concurrency`."""
        return self.varied(Variation(concurrency=concurrency_of(max_inputs, target_inputs)))

    def with_batching(self, *, max_batch_size: int, wait_ms: int) -> _VariedT:
        """Return a class whose one method is batched; see `Function.with_batching`."""
        return self.varied(Variation(batching=Batching(max_batch_size=max_batch_size, wait_ms=wait_ms)))

    def __mro_entries__(self, bases: tuple[object, ...]) -> NoReturn:
        # Python asks this of a base that is no class.
        raise InvalidError(
            f"'{self.name}' is a class of an app, which nothing can inherit from; put what is common into a plain "
            "class, and @app.cls() on each class that inherits from that"
        )


class Cls(_Variable["Cls"]):
    """A class under `@app.cls`; calling it gives a handle to an instance, not an object of the class."""

    def __init__(
        self,
        definition: ClassDefinition,
        spec: PoolSpec,
        life: _Life,
        *,
        refs: PoolRefs | None = None,
        variation: Variation | None = None,
    ) -> None:
        self.definition = definition
        self.spec = spec
        self._life = life
        self.name: str = definition.name
        self.targets: dict[str, Target] = definition.targets
        self._refs = PoolRefs(life.runtime) if refs is None else refs
        self._variation = Variation() if variation is None else variation
        self._variants: WeakValueDictionary[Variation, Cls] = WeakValueDictionary()
        self.__doc__ = definition.user_cls.__doc__

    @staticmethod
    def from_name(app_name: str, name: str, **cloud_only: object) -> Any:
        """Return a handle to a deployed class; looked up at its first use, and it follows later deployments.

        Raises:
            NotFoundError: At its first use, if there is no such app or class.
        """
        check_options("Cls.from_name", cloud_only)
        return _LookedUpCls(AppRef(app_name), name)

    def __call__(self, *args: Any, **kwargs: Any) -> Obj:
        """Return a handle to the instance with these parameters; the same parameters share one pool."""
        for value in (*args, *kwargs.values()):
            if not is_hashable(value):
                raise ValueError(
                    f"{self.name}(...): a parameter tells pools apart, so it must be hashable, not {value!r}"
                )
        return Obj(self, args, kwargs)

    def varied(self, variation: Variation) -> Cls:
        """Return this class with `variation` over what it varies already; the same variation, the same class."""
        merged = self._variation.merged(variation)
        found = self._variants.get(merged)
        if found is None:
            spec = self.spec.varied(variation)
            found = Cls(self.definition, spec, self._life, refs=self._refs, variation=merged)
            self._variants[merged] = found
        return found

    def resolve(self) -> Cls:
        """Return the class itself."""
        return self

    def instance(self, values: Mapping[str, Any]) -> Obj:
        """Return a handle for values that are bound already."""
        return Obj(self, (), dict(values))

    def pool(self, values: dict[str, Any]) -> PoolRef:
        """Return the pool of a parameter set."""
        parameters = tuple((name, type(value), value) for name, value in sorted(values.items()))
        key = (self.definition, parameters, self._variation)
        return self._refs.ref(key, self.name, lambda: self._spec_for(values))

    def _spec_for(self, values: dict[str, Any]) -> PoolSpec:
        definition = self.definition
        workload = Workload(
            name=definition.name,
            targets=tuple(self.targets.values()),
            bound=True,
            max_inputs=self.spec.concurrency.max_inputs,
            build=_Build(self, values),
            enter=definition.enter,
            exit=definition.exit,
        )
        return self.spec.with_workload(workload)

    @property
    def kind(self) -> tuple[type, AppRef, Variation]:
        """What makes it in another process: the user's class, its app, and what is varied."""
        return self.definition.user_cls, self._life.ref, self._variation

    @property
    def __actorpool_target__(self) -> type:
        # What stands behind the name that this handle has taken.
        return self.definition.user_cls

    def __reduce__(self) -> Reduced:
        # The very handle where its module can be imported, else one that looks the class up.
        place = place_of_handle(self, self.definition.user_cls)
        return (
            (_LookedUpCls, (self._life.ref, self.name, self._variation))
            if place is None
            else (handle_at, place)
        )

    def __getattr__(self, name: str) -> Any:
        if name.startswith("__"):
            raise AttributeError(name)
        return getattr(self.definition.user_cls, name)

    def __repr__(self) -> str:
        return f"<Cls '{self.name}'>"


class _Build:
    """Makes the object of a container; goes to another process with the class and the parameters' values."""

    __slots__ = ("_cls", "_values")

    def __init__(self, cls: Cls, values: dict[str, Any]) -> None:
        self._cls = cls
        self._values = values

    def __call__(self) -> Any:
        # The object's own handle, for methods that call each other, lives no longer than the container.
        return self._cls.definition.build(self._values, self._cls.instance(self._values))

    def __reduce__(self) -> Reduced:
        return _build_of, (*self._cls.kind, self._values)


class _Elsewhere:
    """The app of a class that has come from another process, where its pools are."""

    def __init__(self, ref: AppRef) -> None:
        self.ref = ref

    def runtime(self, wanted: str) -> AppRuntime:
        return self.ref.life("class", wanted).runtime(wanted)


# {(app, name of the class): {variation: the class}}, of those that have come from another process.
_came: dict[tuple[AppRef, str], dict[Variation, Cls]] = {}


def _build_of(user_cls: type, ref: AppRef, variation: Variation, values: dict[str, Any]) -> _Build:
    came = _came.setdefault((ref, user_cls.__name__), {})
    cls = came.get(variation)
    if cls is None or cls.definition.user_cls is not user_cls:
        # It makes no pools here, so nobody asks for its settings.
        spec = cast("PoolSpec", None)
        cls = came[variation] = Cls(ClassDefinition(user_cls), spec, _Elsewhere(ref), variation=variation)
    return _Build(cls, values)


def _method_of(cls: Cls | _LookedUpCls, values: dict[str, Any], method: str) -> Function[..., Any, Any]:
    found: Function[..., Any, Any] = getattr(Obj(cls, (), values), method)
    return found


class _LookedUpCls(_Variable["_LookedUpCls"]):
    """A class that is looked up by name whenever an instance is used."""

    def __init__(self, ref: AppRef, name: str, variation: Variation | None = None) -> None:
        self._ref = ref
        self.name = name
        self._variation = Variation() if variation is None else variation

    def __call__(self, *args: Any, **kwargs: Any) -> Obj:
        return Obj(self, args, kwargs)

    def resolve(self) -> Cls:
        came = _came.get((self._ref, self.name), {}).get(self._variation)
        if came is not None:
            return came
        cls: Cls = self._ref.life("class", self.name).class_named(self.name)
        return cls if self._variation == Variation() else cls.varied(self._variation)

    def varied(self, variation: Variation) -> _LookedUpCls:
        return _LookedUpCls(self._ref, self.name, self._variation.merged(variation))

    def hydrate(self) -> _LookedUpCls:
        """Look the class up now; return itself."""
        self.resolve()
        return self

    def __repr__(self) -> str:
        return f"<Cls '{self.name}' of app '{self._ref.name}'>"

# SPDX-License-Identifier: Apache-2.0
"""`App`: functions and classes under one name, and the ways to run them."""

from __future__ import annotations

import inspect
import logging
from collections.abc import AsyncIterator, Callable, Coroutine, Iterator
from typing import TYPE_CHECKING, Any, Generic, ParamSpec, TypeVar, cast, dataclass_transform, overload

from actorpool._backends._places import handle_at
from actorpool._backends._workload import Target, Workload
from actorpool._core._config import Concurrency, Limits, Recycle, check_seconds
from actorpool.exception import InvalidError

from ._class_definition import ClassDefinition
from ._contents import Contents, Entry
from ._lifecycle import Deploy, Lifecycle, Run, Stop
from ._marks import marks_of
from ._method import Method, is_in_class_body, parameter
from ._sources import FunctionSource
from ._spec import PoolSpec, check_backend, check_options, pool_spec
from .cls import Cls
from .function import Function

if TYPE_CHECKING:
    from actorpool._backends._parts import MakeContainer
    from actorpool._core._scaling import PolicyChoice
    from actorpool._core._schedule import Cron, Period

    from .retries import Retries

__all__ = ["App", "LocalEntrypoint"]

P = ParamSpec("P")
R = TypeVar("R")
T = TypeVar("T")

logger: logging.Logger = logging.getLogger("actorpool")


class LocalEntrypoint(Generic[P, R]):
    """A function that runs in the caller, inside `app.run()`, when started by `actorpool run`.

    Called from Python it is the plain function.
    """

    def __init__(self, app: App, name: str, function: Callable[P, R]) -> None:
        self.app = app
        self.name = name
        self.function = function
        self.is_async: bool = inspect.iscoroutinefunction(function)
        self.__doc__ = function.__doc__

    @property
    def __actorpool_target__(self) -> Callable[P, R]:
        # What stands behind the name that this object has taken.
        return self.function

    def __call__(self, *args: P.args, **kwargs: P.kwargs) -> R:
        """Call the plain function."""
        return self.function(*args, **kwargs)

    def __repr__(self) -> str:
        return f"<LocalEntrypoint '{self.name}'>"


class _FunctionDecorator:
    def __init__(self, decorate: Callable[[Any], Any]) -> None:
        self._decorate = decorate

    @overload
    def __call__(
        self, function: Callable[P, Coroutine[Any, Any, R]]
    ) -> Function[P, R, Coroutine[Any, Any, R]]: ...
    @overload
    def __call__(self, function: Callable[P, AsyncIterator[R]]) -> Function[P, R, AsyncIterator[R]]: ...
    @overload
    def __call__(self, function: Callable[P, Iterator[R]]) -> Function[P, R, Iterator[R]]: ...
    @overload
    def __call__(self, function: Callable[P, R]) -> Function[P, R, R]: ...
    def __call__(self, function: Any) -> Any:
        return self._decorate(function)


class App:
    """A named collection of functions and classes, each with an autoscaled pool of its own.

    Args:
        name: The app's name, for messages and for lookups once it is deployed.
        limits: Limits of its functions, and the ceilings of its threads and processes.
        policy: The scaling policy of each function, default `WindowPolicy()`: a policy, of which each pool gets a
            copy, or what is called to make one for each pool.
        block_warning: Log a warning when an asynchronous function blocks the event loop for this long, in
            seconds (> 0): with its name, the time, and the line. None turns that off.
        backend: Where the containers of its functions are: "local" in this process, "process" in processes of their
            own; or a function that makes containers of your own (`actorpool.backends.MakeContainer`).

    Attributes:
        run: Runs the app for the length of a `with` or `async with` block.
        deploy: Starts the app and keeps it running; has an `.aio` twin.
        stop: Stops a running or deployed app; has an `.aio` twin.

    Raises:
        InvalidError: If the name is not a string, or an argument means something in Modal's cloud only.
    """

    def __init__(
        self,
        name: str | None = None,
        *,
        limits: Limits | None = None,
        policy: PolicyChoice | None = None,
        block_warning: float | None = 0.1,
        backend: str | MakeContainer = "local",
        **cloud_only: object,
    ) -> None:
        if name is not None and not isinstance(name, str):
            raise InvalidError(f"an app's name must be a string, not {name!r}")
        check_options("App", cloud_only)
        self._policy = policy
        check_backend(backend)
        self._backend = backend
        if block_warning is not None:
            check_seconds("block_warning", block_warning)
        self._contents = Contents(name, Limits() if limits is None else limits, block_warning)
        self._functions: dict[str, Function[..., Any, Any]] = {}
        self._entrypoints: dict[str, LocalEntrypoint[..., Any]] = {}
        self._life = Lifecycle(self._contents)
        self.run: Run[App] = Run(self, self._life)
        self.deploy: Deploy[App] = Deploy(self, self._life)
        self.stop: Stop = Stop(self._life)

    @property
    def __actorpool_contents__(self) -> Contents:
        # By which it is found in its module.
        return self._contents

    @property
    def __actorpool_life__(self) -> Lifecycle:
        # By which its functions are found from process containers.
        return self._life

    # -- what it holds ---------------------------------------------------------------------------

    @property
    def name(self) -> str | None:
        """The app's name: the one given to the constructor, or by the latest `run(name=)`."""
        return self._contents.name

    @property
    def registered_functions(self) -> dict[str, Function[..., Any, Any]]:
        """The functions by name, in the order of their definition."""
        return dict(self._functions)

    @property
    def registered_classes(self) -> dict[str, Cls]:
        """The classes by name, in the order of their definition."""
        return dict(self._contents.classes)

    @property
    def registered_entrypoints(self) -> dict[str, LocalEntrypoint[..., Any]]:
        """The local entrypoints by name, in the order of their definition."""
        return dict(self._entrypoints)

    def function(
        self,
        _misplaced: object = None,
        *,
        name: str | None = None,
        min_containers: int | None = None,
        max_containers: int | None = None,
        buffer_containers: int | None = None,
        scaledown_window: float | None = None,
        retries: int | Retries | None = None,
        timeout: float = 300,
        startup_timeout: float | None = None,
        schedule: Cron | Period | None = None,
        is_generator: bool | None = None,
        single_use_containers: bool = False,
        recycle: Recycle | None = None,
        limits: Limits | None = None,
        policy: PolicyChoice | None = None,
        backend: str | MakeContainer | None = None,
        **cloud_only: object,
    ) -> _FunctionDecorator:
        """Make a Python function a `Function` with an autoscaled pool.

        Args:
            name: The function's name in the app; default its own.
            min_containers: Containers kept warm although there is nothing to do; default 0.
            max_containers: Never more containers than this (inclusive); default no bound.
            buffer_containers: Containers kept ready beyond those needed, while active; default 0.
            scaledown_window: Longest time a container stays idle, in seconds (> 0); default 60.
            retries: How often a failed or timed-out input is tried again: a number, or a `Retries`.
            timeout: Longest execution of one attempt, in seconds, from the moment a slot takes the input.
            startup_timeout: Longest start of a container, in seconds; default `timeout`, for processes at least 10.
            schedule: Run without arguments at these times, while the app is running.
            is_generator: What the function is found to be anyway; a value that contradicts it is refused.
            single_use_containers: Whether a container ends after one input.
            recycle: When a container is replaced: after so many inputs, at an age, or above a size; default never.
            limits: Limits of this function; default the app's.
            policy: The function's scaling policy, as for `App`; default the app's.
            backend: Where its containers are, as for `App`; default the app's.
            cloud_only: None; what only Modal's cloud has is refused by name.

        Raises:
            InvalidError: For contradictory or out-of-range settings, and for what only Modal's cloud has.
            TypeError: On a class: use `@app.cls()`.
        """
        if _misplaced is not None:
            raise InvalidError("@app.function needs parentheses: write @app.function()")
        check_options("@app.function", cloud_only)

        def decorate(raw: Any) -> Function[..., Any, Any]:
            return self._add_function(
                raw,
                name=name,
                schedule=schedule,
                is_generator=is_generator,
                options={
                    "min_containers": min_containers,
                    "max_containers": max_containers,
                    "buffer_containers": buffer_containers,
                    "scaledown_window": scaledown_window,
                    "retries": retries,
                    "timeout": timeout,
                    "startup_timeout": startup_timeout,
                    "single_use_containers": single_use_containers,
                    "recycle": recycle,
                    "limits": self._contents.limits if limits is None else limits,
                    "policy": self._policy if policy is None else policy,
                    "backend": self._backend if backend is None else backend,
                },
            )

        # What does not depend on the function is refused where the user wrote it.
        if name is not None:
            _check_name(name)
        if schedule is not None:
            _check_schedule(schedule)
        return _FunctionDecorator(decorate)

    def _add_function(
        self,
        raw: Any,
        *,
        name: str | None,
        schedule: Cron | Period | None,
        is_generator: bool | None,
        options: dict[str, Any],
    ) -> Function[..., Any, Any]:
        if inspect.isclass(raw):
            raise TypeError(
                f"@app.function is for functions, and '{raw.__name__}' is a class; use @app.cls()"
            )
        if isinstance(raw, Function):
            raise InvalidError(f"{raw!r} is a function of an app already; decorate the plain function once")
        if isinstance(raw, Method) or is_in_class_body(raw):
            raise InvalidError(
                f"@app.function does not go on a method ('{getattr(raw, '__qualname__', raw)}'); put @app.cls() on the "
                "class and @modal.method() on the method"
            )
        if not callable(raw):
            raise TypeError(f"@app.function is for functions, not for {raw!r}")
        found = inspect.isgeneratorfunction(raw) or inspect.isasyncgenfunction(raw)
        if is_generator not in (None, found):
            raise InvalidError(
                f"is_generator={is_generator!r} contradicts function '{getattr(raw, '__name__', raw)}', which is "
                f"{'a' if found else 'no'} generator function; leave is_generator out"
            )
        is_generator = found
        called = str(name or getattr(raw, "__name__", type(raw).__name__))
        if schedule is not None and (required := _required_parameters(raw)):
            raise InvalidError(
                f"function '{called}' has a schedule, which calls it without arguments, but needs {required}; "
                "give them defaults"
            )
        if is_generator and options["retries"] is not None:
            raise InvalidError(
                f"retries do not go with a generator function ('{called}'): its items may be out already"
            )
        marks = marks_of(raw)
        concurrency = marks.concurrency or Concurrency()
        is_async = inspect.iscoroutinefunction(raw) or inspect.isasyncgenfunction(raw)
        target = Target(called, raw, is_async, is_generator)
        workload = Workload(name=called, targets=(target,), max_inputs=concurrency.max_inputs)
        spec = pool_spec(workload, batching=marks.batching, concurrency=concurrency, **options)
        self._check_threads(spec)
        if called in self._functions:
            logger.warning(
                "function '%s' is defined twice in app '%s'; the newer one wins", called, self.name
            )
        self._contents.functions[called] = Entry(spec, target, schedule)
        function: Function[..., Any, Any] = Function(called, FunctionSource(lambda: self._life, called), raw)
        self._functions[called] = function
        return function

    @dataclass_transform(kw_only_default=True, field_specifiers=(parameter,))
    def cls(
        self,
        _misplaced: object = None,
        *,
        min_containers: int | None = None,
        max_containers: int | None = None,
        buffer_containers: int | None = None,
        scaledown_window: float | None = None,
        retries: int | Retries | None = None,
        timeout: float = 300,
        startup_timeout: float | None = None,
        single_use_containers: bool = False,
        recycle: Recycle | None = None,
        limits: Limits | None = None,
        policy: PolicyChoice | None = None,
        backend: str | MakeContainer | None = None,
        **cloud_only: object,
    ) -> Callable[[type[T]], type[T]]:
        """Make a class a `Cls`: each set of parameters has an autoscaled pool, each container an object.

        The arguments are those of `function`; they hold for each pool.

        Raises:
            InvalidError: For contradictory or out-of-range settings, and for what only Modal's cloud has.
            TypeError: On anything but a class.
        """
        if _misplaced is not None:
            raise InvalidError("@app.cls needs parentheses: write @app.cls()")
        check_options("@app.cls", cloud_only)

        def decorate(user_cls: type[T]) -> type[T]:
            if not inspect.isclass(user_cls):
                raise TypeError(
                    f"@app.cls is for classes, not for {user_cls!r}; use @app.function() for functions"
                )
            definition = ClassDefinition(user_cls)
            concurrency = marks_of(user_cls).concurrency or Concurrency()
            workload = Workload(
                name=definition.name,
                targets=tuple(definition.targets.values()),
                bound=True,
                max_inputs=concurrency.max_inputs,
                enter=definition.enter,
                exit=definition.exit,
            )
            spec = pool_spec(
                workload,
                batching=definition.batching,
                concurrency=concurrency,
                min_containers=min_containers,
                max_containers=max_containers,
                buffer_containers=buffer_containers,
                scaledown_window=scaledown_window,
                retries=retries,
                timeout=timeout,
                startup_timeout=startup_timeout,
                single_use_containers=single_use_containers,
                recycle=recycle,
                limits=self._contents.limits if limits is None else limits,
                policy=self._policy if policy is None else policy,
                backend=self._backend if backend is None else backend,
            )
            self._check_threads(spec)
            if definition.name in self._contents.classes:
                logger.warning(
                    "class '%s' is defined twice in app '%s'; the newer one wins", definition.name, self.name
                )
            handle = self._contents.classes[definition.name] = Cls(definition, spec, self._life)
            # To a type checker the handle looks like the class, so that methods and parameters are checked.
            return cast("type[T]", handle)

        return decorate

    def _check_threads(self, spec: PoolSpec) -> None:
        ceiling = self._contents.limits.max_threads
        workload = spec.workload
        if spec.backend == "local" and workload.threads > ceiling:
            raise InvalidError(
                f"a container of '{workload.name}' needs {workload.threads} threads, one for each slot, but "
                f"its app may have {ceiling} in all (Limits.max_threads); lower the one or raise the other"
            )

    def local_entrypoint(
        self, _misplaced: object = None, *, name: str | None = None
    ) -> Callable[[Callable[P, R]], LocalEntrypoint[P, R]]:
        """Make a function one that `actorpool run FILE` starts, inside `app.run()`; it stays callable.

        Args:
            name: Its name on the command line; default the function's own.

        Raises:
            InvalidError: If the app has an entrypoint of that name.
        """
        if _misplaced is not None:
            raise InvalidError("@app.local_entrypoint needs parentheses: write @app.local_entrypoint()")

        def decorate(function: Callable[P, R]) -> LocalEntrypoint[P, R]:
            if isinstance(function, Function):
                raise InvalidError(f"{function!r} is a function of an app; an entrypoint is a plain function")
            called = name or function.__name__
            if called in self._entrypoints:
                raise InvalidError(
                    f"app '{self.name}' has a local entrypoint '{called}' already; name this one anew"
                )
            entrypoint = LocalEntrypoint(self, called, function)
            self._entrypoints[called] = entrypoint
            return entrypoint

        return decorate

    def include(self, other: App) -> App:
        """Take over the functions and classes of `other`; return this app.

        Where a name clashes, a warning is logged and the newer one wins. The handles made for `other` go on
        belonging to `other`.
        """
        for called, entry in other._contents.functions.items():
            if called in self._functions:
                logger.warning(
                    "function '%s' of app '%s' replaces one of app '%s'", called, other.name, self.name
                )
            self._contents.functions[called] = entry
            self._functions[called] = Function(
                called, FunctionSource(lambda: self._life, called), entry.target.function
            )
        for called, cls in other._contents.classes.items():
            if called in self._contents.classes:
                logger.warning(
                    "class '%s' of app '%s' replaces one of app '%s'", called, other.name, self.name
                )
            self._contents.classes[called] = Cls(cls.definition, cls.spec, self._life)
        return self

    def __reduce__(self) -> tuple[Callable[..., Any], tuple[Any, ...]]:
        # The very app where it can be imported, else an empty one of its name.
        place = self._contents.place()
        return (App, (self.name,)) if place is None else (handle_at, place)

    def __repr__(self) -> str:
        state = (
            "not running" if not self._life.running else "deployed" if self._life.deployed_as else "running"
        )
        return f"<App '{self.name}' {state} functions={len(self._functions)} classes={len(self._contents.classes)}>"


def _check_name(name: object) -> None:
    if not isinstance(name, str) or not name:
        raise InvalidError(f"name must be a string that is not empty, not {name!r}")


def _check_schedule(schedule: object) -> None:
    # Here, because most programs have no schedules.
    from actorpool._core._schedule import Cron, Period

    if not isinstance(schedule, (Cron, Period)):
        raise InvalidError(f"schedule must be a Cron or a Period, not {schedule!r}")


def _required_parameters(raw: Callable[..., Any]) -> str:
    parameters = inspect.signature(raw).parameters.values()
    needed = [
        p.name for p in parameters if p.default is p.empty and p.kind not in (p.VAR_POSITIONAL, p.VAR_KEYWORD)
    ]
    return ", ".join(f"'{name}'" for name in needed)

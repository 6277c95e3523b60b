# SPDX-License-Identifier: Apache-2.0
"""`App`: functions and classes under one name, and the ways to run them."""

from __future__ import annotations

import atexit
import inspect
import logging
import math
import threading
from collections.abc import Callable, Coroutine
from contextvars import Context
from functools import partial
from types import TracebackType
from typing import TYPE_CHECKING, Any, Generic, ParamSpec, TypeVar, cast, overload

from actorpool._actors._runtime import AppRuntime
from actorpool._actors._scheduler import Scheduled
from actorpool._backends._workload import Target, Workload
from actorpool._core._config import Concurrency, Limits, check_seconds
from actorpool._core._input import SUCCEEDED, Input
from actorpool._core._schedule import Cron, Period
from actorpool._host._base import Host, current_bridge, current_host
from actorpool._host._bridge import ThreadWaiter
from actorpool._host._engine import EngineThread
from actorpool.exception import ConflictError, ExecutionError, InvalidError, NotFoundError

from . import _deployments
from ._binding import Binding
from ._marks import marks_of
from ._method import Method
from ._spec import PoolSpec, check_options, pool_spec
from .cls import ClassDefinition, Cls
from .function import Function

if TYPE_CHECKING:
    from actorpool._actors._dispatch import Dispatcher
    from actorpool._core._scaling import ScalingPolicy

    from .retries import Retries

__all__ = ["App", "LocalEntrypoint"]

P = ParamSpec("P")
R = TypeVar("R")
T = TypeVar("T")

logger = logging.getLogger("actorpool")

PolicyFactory = Callable[[], "ScalingPolicy"]


class LocalEntrypoint(Generic[P, R]):
    """A function that runs in the caller, inside `app.run()`, when started by `actorpool run`.

    Called from Python it is the plain function.
    """

    def __init__(self, app: App, name: str, function: Callable[P, R]) -> None:
        self.app = app
        self.name = name
        self.function = function
        self.is_async = inspect.iscoroutinefunction(function)
        self.__doc__ = function.__doc__

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
    def __call__(self, function: Callable[P, R]) -> Function[P, R, R]: ...
    def __call__(self, function: Any) -> Any:
        return self._decorate(function)


class AppRun:
    """What `app.run()` returns: enter it with `with` or `async with`; it yields the app."""

    def __init__(self, app: App, grace: float) -> None:
        self._app = app
        self._grace = check_seconds("grace", grace, zero=True)

    def __enter__(self) -> App:
        self._app._start_engine(self._grace)
        return self._app

    def __exit__(
        self, exc_type: type[BaseException] | None, exc: BaseException | None, traceback: TracebackType | None, /
    ) -> None:
        self._app._stop_engine(drain=exc_type is None)

    async def __aenter__(self) -> App:
        await self._app._start(self._grace)
        return self._app

    async def __aexit__(
        self, exc_type: type[BaseException] | None, exc: BaseException | None, traceback: TracebackType | None, /
    ) -> None:
        await self._app._close(drain=exc_type is None)


class _Run:
    """The verb `App.run`."""

    def __init__(self, app: App) -> None:
        self._app = app

    def __call__(self, *, grace: float = 10.0) -> AppRun:
        """Run the app for the length of a `with` or `async with` block.

        `async with` puts the actors on the running loop, asyncio or trio; `with` starts one engine thread for
        them. On leaving, accepted inputs are finished for up to `grace` seconds, what is left is cancelled, and
        nothing remains; after an exception, and on cancellation, they are cancelled at once.

        Args:
            grace: Longest drain, and longest time for interrupted work and each exit hook to end, in seconds.

        Raises:
            ConflictError: On entering, if the app is running already.
        """
        return AppRun(self._app, grace)

    def aio(self, *, grace: float = 10.0) -> AppRun:
        """Do the same."""
        return AppRun(self._app, grace)


class _Deploy:
    """The verb `App.deploy`."""

    def __init__(self, app: App) -> None:
        self._app = app

    def __call__(self, *, name: str | None = None, strategy: str = "rolling", grace: float = 10.0) -> App:
        """Start the app and keep it running until `stop`, or until this process ends; return it.

        A deployment of the same name is replaced: handles from `from_name` follow, the decorators' settings are
        back in force, and the old containers finish what they have.

        Args:
            name: The name for lookups; default the app's own.
            strategy: "rolling" lets the old containers drain, "recreate" ends them first.
            grace: As for `run`.

        Raises:
            InvalidError: Without any name, or on the thread of a running loop that the old deployment lives on.
        """
        app, name = self._app, self._app._deploy_name(name, strategy)
        if current_bridge() is not None:
            raise InvalidError(
                f"app.deploy(...) would start app '{name}' on a thread of its own and block the running event loop "
                f"meanwhile; write `await app.deploy.aio(...)` here"
            )
        retired = app._detach()
        if strategy == "recreate" and retired is not None:
            retired.close(drain=True)
            retired = None
        app._start_engine(grace)
        self._replace(name, retired)
        return app

    async def aio(self, *, name: str | None = None, strategy: str = "rolling", grace: float = 10.0) -> App:
        """Do the same, with the actors on the running loop. Stop the app before that loop ends."""
        app, name = self._app, self._app._deploy_name(name, strategy)
        retired = app._detach()
        if strategy == "recreate" and retired is not None:
            await retired.close_async(drain=True)
            retired = None
        await app._start(grace)
        self._replace(name, retired)
        return app

    def _replace(self, name: str, retired: _Running | None) -> None:
        app = self._app
        app._deployed_as = name
        replaced = _deployments.register(name, app)
        if retired is not None:
            retired.close_in_background()
        if replaced is not None and replaced is not app:
            old = replaced._detach()
            if old is not None:
                old.close_in_background()


class _Stop:
    """The verb `App.stop`."""

    def __init__(self, app: App) -> None:
        self._app = app

    def __call__(self) -> None:
        """Stop the app: drain, cancel what is left, run the exit hooks; nothing remains. Idempotent."""
        self._app._stop_blocking()

    async def aio(self) -> None:
        """Do the same without blocking the running loop."""
        await self._app._close(drain=True)


class _Running:
    """One life of an app: its runtime, and the engine thread if it has one of its own."""

    def __init__(self, runtime: AppRuntime, engine: EngineThread | None) -> None:
        self.runtime = runtime
        self._engine = engine

    @property
    def owns_thread(self) -> bool:
        """Whether it lives on an engine thread of its own."""
        return self._engine is not None

    def retire(self) -> None:
        """Send handles elsewhere: this life accepts nothing from outside any more."""
        for supervisor in self.runtime.supervisors().values():
            supervisor.dispatcher.retired = True

    def close(self, *, drain: bool) -> None:
        """Close it, blocking this thread; an interruption here ends the drain."""
        waiter = ThreadWaiter()
        self.runtime.when_ended(waiter.notify)
        self.runtime.ask_close(drain=drain)
        try:
            waiter.wait()
        except BaseException:
            self.runtime.ask_close(drain=False)
            waiter.wait()
            raise
        finally:
            self._end()

    async def close_async(self, *, drain: bool) -> None:
        """Close it without blocking the running loop, whichever that is.

        Cancellation: Ends the drain; it is delivered when nothing is left.
        """
        host = current_host()
        waiter = host.bridge.waiter()
        self.runtime.when_ended(waiter.notify)
        self.runtime.ask_close(drain=drain)
        try:
            await waiter.wait()
        except BaseException:
            self.runtime.ask_close(drain=False)
            await host.shielded(waiter.wait, math.inf)
            raise
        finally:
            self._end()

    def close_in_background(self) -> None:
        """Let it drain and end, without waiting for that."""
        if self._engine is None:
            self.runtime.ask_close(drain=True)
        else:
            threading.Thread(
                target=self.close, kwargs={"drain": True}, name=f"retiring app {self.runtime.name}", daemon=True
            ).start()

    def _end(self) -> None:
        if self._engine is not None:
            self._engine.stop()


class App:
    """A named collection of functions and classes, each with an autoscaled pool of its own.

    Args:
        name: The app's name, for messages and for lookups once it is deployed.
        limits: Limits of its functions, and the ceiling of its threads.
        policy: Makes the scaling policy of each function; default `WindowPolicy`.

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
        policy: PolicyFactory | None = None,
        **cloud_only: object,
    ) -> None:
        if name is not None and not isinstance(name, str):
            raise InvalidError(f"an app's name must be a string, not {name!r}")
        check_options("App", cloud_only)
        self._name = name
        self._limits = Limits() if limits is None else limits
        self._policy = policy
        self._functions: dict[str, Function[..., Any, Any]] = {}
        self._specs: dict[str, tuple[PoolSpec, Target, Cron | Period | None]] = {}
        self._classes: dict[str, Cls] = {}
        self._entrypoints: dict[str, LocalEntrypoint[..., Any]] = {}
        self._running: _Running | None = None
        self._deployed_as: str | None = None
        self.run = _Run(self)
        self.deploy = _Deploy(self)
        self.stop = _Stop(self)

    # -- what it holds ---------------------------------------------------------------------------

    @property
    def name(self) -> str | None:
        """The name given to the constructor."""
        return self._name

    @property
    def registered_functions(self) -> dict[str, Function[..., Any, Any]]:
        """The functions by name, in the order of their definition."""
        return dict(self._functions)

    @property
    def registered_classes(self) -> dict[str, Cls]:
        """The classes by name, in the order of their definition."""
        return dict(self._classes)

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
        single_use_containers: bool = False,
        limits: Limits | None = None,
        policy: PolicyFactory | None = None,
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
            startup_timeout: Longest start of a container, in seconds; default `timeout`.
            schedule: Run without arguments at these times, while the app is running.
            single_use_containers: Whether a container ends after one input.
            limits: Limits of this function; default the app's.
            policy: Makes the function's scaling policy; default the app's.

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
                options={
                    "min_containers": min_containers,
                    "max_containers": max_containers,
                    "buffer_containers": buffer_containers,
                    "scaledown_window": scaledown_window,
                    "retries": retries,
                    "timeout": timeout,
                    "startup_timeout": startup_timeout,
                    "single_use_containers": single_use_containers,
                    "limits": self._limits if limits is None else limits,
                    "policy": self._policy if policy is None else policy,
                },
            )

        # What does not depend on the function is refused where the user wrote it.
        if schedule is not None and not isinstance(schedule, (Cron, Period)):
            raise InvalidError(f"schedule must be a Cron or a Period, not {schedule!r}")
        return _FunctionDecorator(decorate)

    def _add_function(
        self, raw: Any, *, name: str | None, schedule: Cron | Period | None, options: dict[str, Any]
    ) -> Function[..., Any, Any]:
        if inspect.isclass(raw):
            raise TypeError(f"@app.function is for functions, and '{raw.__name__}' is a class; use @app.cls()")
        if isinstance(raw, Function):
            raise InvalidError(f"{raw!r} is a function of an app already; decorate the plain function once")
        if isinstance(raw, Method) or _is_in_class_body(raw):
            raise InvalidError(
                f"@app.function does not go on a method ('{getattr(raw, '__qualname__', raw)}'); put @app.cls() on the "
                "class and @modal.method() on the method"
            )
        if not callable(raw):
            raise TypeError(f"@app.function is for functions, not for {raw!r}")
        is_generator = inspect.isgeneratorfunction(raw) or inspect.isasyncgenfunction(raw)
        called = name or getattr(raw, "__name__", type(raw).__name__)
        if schedule is not None and (required := _required_parameters(raw)):
            raise InvalidError(
                f"function '{called}' has a schedule, which calls it without arguments, but needs {required}; "
                "give them defaults"
            )
        if is_generator and options["retries"] is not None:
            raise InvalidError(f"retries do not go with a generator function ('{called}'): its items may be out already")
        concurrency = marks_of(raw).concurrency or Concurrency()
        is_async = inspect.iscoroutinefunction(raw) or inspect.isasyncgenfunction(raw)
        target = Target(called, raw, is_async, is_generator)
        workload = Workload(name=called, targets=(target,), max_inputs=concurrency.max_inputs)
        spec = pool_spec(workload, concurrency=concurrency, **options)
        if called in self._functions:
            logger.warning("function '%s' is defined twice in app '%s'; the newer one wins", called, self._name)
        self._specs[called] = (spec, target, schedule)
        function: Function[..., Any, Any] = Function(called, _AppFunction(self, called), raw)
        self._functions[called] = function
        return function

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
        limits: Limits | None = None,
        policy: PolicyFactory | None = None,
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
                raise TypeError(f"@app.cls is for classes, not for {user_cls!r}; use @app.function() for functions")
            definition = ClassDefinition(user_cls)
            concurrency = marks_of(user_cls).concurrency or Concurrency()
            workload = Workload(
                name=definition.name,
                targets=(),
                max_inputs=concurrency.max_inputs,
                enter=definition.enter,
                exit=definition.exit,
            )
            spec = pool_spec(
                workload,
                concurrency=concurrency,
                min_containers=min_containers,
                max_containers=max_containers,
                buffer_containers=buffer_containers,
                scaledown_window=scaledown_window,
                retries=retries,
                timeout=timeout,
                startup_timeout=startup_timeout,
                single_use_containers=single_use_containers,
                limits=self._limits if limits is None else limits,
                policy=self._policy if policy is None else policy,
            )
            if definition.name in self._classes:
                logger.warning("class '%s' is defined twice in app '%s'; the newer one wins", definition.name, self._name)
            handle = self._classes[definition.name] = Cls(definition, spec, self._runtime)
            # To a type checker the handle looks like the class, so that methods and parameters are checked.
            return cast("type[T]", handle)

        return decorate

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
                raise InvalidError(f"app '{self._name}' has a local entrypoint '{called}' already; name this one anew")
            entrypoint = self._entrypoints[called] = LocalEntrypoint(self, called, function)
            return entrypoint

        return decorate

    def include(self, other: App) -> App:
        """Take over the functions and classes of `other`; return this app.

        Where a name clashes, a warning is logged and the newer one wins. The handles made for `other` go on
        belonging to `other`.
        """
        for called, (spec, target, schedule) in other._specs.items():
            if called in self._functions:
                logger.warning("function '%s' of app '%s' replaces one of app '%s'", called, other._name, self._name)
            self._specs[called] = (spec, target, schedule)
            self._functions[called] = Function(called, _AppFunction(self, called), target.function)
        for called, cls in other._classes.items():
            if called in self._classes:
                logger.warning("class '%s' of app '%s' replaces one of app '%s'", called, other._name, self._name)
            self._classes[called] = Cls(cls.definition, cls.spec, self._runtime)
        return self

    def class_named(self, name: str) -> Cls:
        """Return the class called `name`.

        Raises:
            NotFoundError: If there is none.
        """
        cls = self._classes.get(name)
        if cls is None:
            raise NotFoundError(
                f"app '{self._deployed_as or self._name}' has no class '{name}'; it has: {', '.join(self._classes) or 'none'}"
            )
        return cls

    # -- how it runs -----------------------------------------------------------------------------

    def bind_function(self, name: str) -> Binding:
        """Return the present way to the pool of function `name`.

        Raises:
            NotFoundError: If there is no such function.
            ExecutionError: If the app is not running.
        """
        found = self._specs.get(name)
        if found is None:
            raise NotFoundError(
                f"app '{self._deployed_as or self._name}' has no function '{name}'; it has: "
                f"{', '.join(self._functions) or 'none'}"
            )
        spec, target, _ = found
        runtime = self._runtime(name)
        supervisor = runtime.supervisor(name, lambda: spec.supervisor(runtime))
        return Binding(supervisor, supervisor.dispatcher, target)

    def _runtime(self, wanted: str = "a class") -> AppRuntime:
        running = self._running
        if running is None:
            raise ExecutionError(
                f"'{wanted}' cannot be called: app '{self._name}' is not running; call it inside "
                "`with app.run():` or `async with app.run():`, or after app.deploy()"
            )
        return running.runtime

    def _new_runtime(self, host: Host, grace: float) -> AppRuntime:
        name = self._name or "unnamed"
        return AppRuntime(name, host, max_threads=self._limits.max_threads, grace_s=grace)

    def _check_not_running(self) -> None:
        if self._running is not None and not self._running.runtime.closed:
            raise ConflictError(f"app '{self._name}' is already running; stop it first, or use the one that runs")

    async def _begin(self, runtime: AppRuntime) -> None:
        """Start the runtime: supervisors of all functions, warm default instances, schedules."""
        scheduled: list[Scheduled] = []
        for name, (spec, target, schedule) in self._specs.items():
            supervisor = runtime.supervisor(name, partial(spec.supervisor, runtime))
            if schedule is not None:
                scheduled.append(Scheduled(name, schedule, partial(_fire, supervisor.dispatcher, target)))
        await runtime.start(scheduled)

    def _warm(self) -> None:
        """Make the default instances of classes whose containers are to be kept warm."""
        for cls in self._classes.values():
            if cls.spec.settings.min_containers and not cls.definition.needs_parameters:
                cls.pool(cls.definition.bind((), {})).supervisor()

    async def _start(self, grace: float) -> None:
        self._check_not_running()
        check_seconds("grace", grace, zero=True)
        runtime = self._new_runtime(current_host(), grace)
        self._running = _Running(runtime, None)
        try:
            await self._begin(runtime)
            self._warm()
        except BaseException:
            running, self._running = self._running, None
            await running.close_async(drain=False)
            raise

    def _start_engine(self, grace: float) -> None:
        self._check_not_running()
        check_seconds("grace", grace, zero=True)
        engine = EngineThread(f"actorpool {self._name or 'app'}")
        engine.start()
        try:
            runtime = self._new_runtime(engine.host, grace)
            engine.run(self._begin, runtime)
        except BaseException:
            engine.stop()
            raise
        self._running = _Running(runtime, engine)
        self._warm()

    def _detach(self) -> _Running | None:
        """Let go of the present life; the caller closes it."""
        running, self._running = self._running, None
        if running is not None:
            running.retire()
        return running

    def _stop_engine(self, *, drain: bool) -> None:
        running = self._running
        if running is None:
            return
        try:
            running.close(drain=drain)
        finally:
            self._finish(running)

    async def _close(self, *, drain: bool) -> None:
        running = self._running
        if running is None:
            return
        try:
            await running.close_async(drain=drain)
        finally:
            self._finish(running)

    def _finish(self, running: _Running) -> None:
        running.retire()
        if self._running is running:
            self._running = None
            if self._deployed_as is not None:
                _deployments.unregister(self._deployed_as, self)
                self._deployed_as = None

    def _stop_blocking(self) -> None:
        running = self._running
        if running is None:
            return
        if current_bridge() is running.runtime.host.bridge:
            raise InvalidError(
                f"app.stop() would block the event loop that app '{self._name}' lives on, for ever; "
                "write `await app.stop.aio()` here"
            )
        self._stop_engine(drain=True)

    def _deploy_name(self, name: str | None, strategy: str) -> str:
        called = name or self._name
        if called is None:
            raise InvalidError("an app without a name cannot be deployed; write App('my-app') or app.deploy(name=...)")
        if strategy not in ("rolling", "recreate"):
            raise InvalidError(f"strategy must be 'rolling' or 'recreate', not {strategy!r}")
        if self._running is not None and self._deployed_as is None:
            self._check_not_running()
        return called

    def __repr__(self) -> str:
        state = "deployed" if self._deployed_as else "running" if self._running else "not running"
        return f"<App '{self._name}' {state} functions={len(self._functions)} classes={len(self._classes)}>"


class _AppFunction:
    """The source of a function's own handle: its app, whenever that runs."""

    __slots__ = ("_app", "_name")

    def __init__(self, app: App, name: str) -> None:
        self._app = app
        self._name = name

    def bind(self) -> Binding:
        return self._app.bind_function(self._name)


def _fire(dispatcher: Dispatcher, target: Target) -> None:
    """Hand a scheduled function its input; whatever becomes of it is logged."""

    def report(input: Input) -> None:
        if input.state != SUCCEEDED:
            logger.error("scheduled run of function '%s' failed", target, exc_info=input.value)

    dispatcher.submit(Input(target, (), None, Context(), report, spawned=True))


def _is_in_class_body(raw: Any) -> bool:
    parts = getattr(raw, "__qualname__", "").split(".")
    return inspect.isfunction(raw) and len(parts) > 1 and parts[-2] != "<locals>"


def _required_parameters(raw: Callable[..., Any]) -> str:
    parameters = inspect.signature(raw).parameters.values()
    needed = [p.name for p in parameters if p.default is p.empty and p.kind not in (p.VAR_POSITIONAL, p.VAR_KEYWORD)]
    return ", ".join(f"'{name}'" for name in needed)


@atexit.register
def _stop_deployed_apps() -> None:
    """Stop what was deployed on engine threads: nothing outlives the process half done."""
    for app in _deployments.deployed():
        running = app._running
        if running is not None and running.owns_thread:
            app._stop_blocking()

# SPDX-License-Identifier: Apache-2.0
"""How an app runs: its present life, and the verbs `run`, `deploy` and `stop` that begin and end one.

An app has at most one life at a time: a runtime on the caller's loop, or on an engine thread of its own. A
redeployment begins a new life and lets the old one drain in the background.
"""

from __future__ import annotations

import atexit
import logging
import threading
from contextvars import Context
from functools import partial
from types import TracebackType
from typing import TYPE_CHECKING, Generic, TypeVar

from actorpool._backends._workload import Target
from actorpool._core._config import check_seconds
from actorpool._core._input import SUCCEEDED, Input
from actorpool._host._current import current_bridge, current_host
from actorpool.exception import ConflictError, InvalidError, NotFoundError

from . import _deployments
from ._binding import PoolBinding
from ._contents import Contents, Entry
from ._deployments import AppRef
from ._pool_ref import PoolRef, PoolRefs
from ._running import Running
from ._spec import check_options

if TYPE_CHECKING:
    from actorpool._actors._dispatch import Dispatcher
    from actorpool._actors._runtime import AppRuntime
    from actorpool._actors._scheduler import Scheduled
    from actorpool._host._base import Host

    from ._spec import Variation
    from .cls import Cls

__all__ = ["AppRun", "Deploy", "Lifecycle", "Run", "Stop"]

AppT = TypeVar("AppT")

logger = logging.getLogger("actorpool")


class AppRun(Generic[AppT]):
    """What `app.run()` returns: enter it with `with` or `async with`; it yields the app."""

    def __init__(self, app: AppT, life: Lifecycle, grace: float, name: str | None = None) -> None:
        self._app = app
        self._life = life
        self._name = name
        self._grace = check_seconds("grace", grace, zero=True)
        self._running: Running | None = None

    def __enter__(self) -> AppT:
        self._rename()
        self._running = self._life.start_engine(self._grace)
        return self._app

    def __exit__(
        self,
        exc_type: type[BaseException] | None,
        exc: BaseException | None,
        traceback: TracebackType | None,
        /,
    ) -> None:
        # What this block has started, and no life that came after it.
        self._life.close_blocking(self._running, drain=exc_type is None)

    async def __aenter__(self) -> AppT:
        self._rename()
        self._running = await self._life.start(self._grace)
        return self._app

    def _rename(self) -> None:
        if self._name is not None and not self._life.running:
            self._life.rename(self._name)

    async def __aexit__(
        self,
        exc_type: type[BaseException] | None,
        exc: BaseException | None,
        traceback: TracebackType | None,
        /,
    ) -> None:
        await self._life.close(self._running, drain=exc_type is None)


class Run(Generic[AppT]):
    """The verb `App.run`."""

    def __init__(self, app: AppT, life: Lifecycle) -> None:
        self._app = app
        self._life = life

    def __call__(self, *, name: str | None = None, grace: float = 10.0, **cloud_only: object) -> AppRun[AppT]:
        """Run the app for the length of a `with` or `async with` block.

        `async with` puts the actors on the running loop, asyncio or trio; `with` starts one engine thread for
        them. On leaving, accepted inputs are finished for up to `grace` seconds, what is left is cancelled, and
        nothing remains; after an exception, and on cancellation, they are cancelled at once.

        Args:
            name: The app's name from here on; default the one it has.
            grace: Longest drain, and longest time for interrupted work and each exit hook to end, in seconds.
            cloud_only: None; what only Modal's cloud has is refused by name.

        Raises:
            ConflictError: On entering, if the app is running already.
            InvalidError: For what only Modal's cloud has.
        """
        check_options("app.run", cloud_only)
        return AppRun(self._app, self._life, grace, name)

    def aio(self, *, name: str | None = None, grace: float = 10.0, **cloud_only: object) -> AppRun[AppT]:
        """Do the same."""
        return self(name=name, grace=grace, **cloud_only)


class Deploy(Generic[AppT]):
    """The verb `App.deploy`."""

    def __init__(self, app: AppT, life: Lifecycle) -> None:
        self._app = app
        self._life = life

    def __call__(
        self, *, name: str | None = None, strategy: str = "rolling", grace: float = 10.0, **cloud_only: object
    ) -> AppT:
        """Start the app and keep it running until `stop`, or until this process ends; return it.

        A deployment of the same name is replaced: handles from `from_name` follow, the decorators' settings are
        back in force, and the old containers finish what they have.

        Args:
            name: The name for lookups; default the app's own.
            strategy: "rolling" lets the old containers drain, "recreate" ends them first.
            grace: As for `run`.
            cloud_only: None; what only Modal's cloud has is refused by name.

        Raises:
            InvalidError: Without any name, or on the thread of a running loop that the old deployment lives on.
        """
        check_options("app.deploy", cloud_only)
        name = self._life.deploy_name(name, strategy)
        if current_bridge() is not None:
            raise InvalidError(
                f"app.deploy(...) would start app '{name}' on a thread of its own and block the running event loop "
                f"meanwhile; write `await app.deploy.aio(...)` here"
            )
        self._life.deploy_on_engine(name, grace, recreate=strategy == "recreate")
        return self._app

    async def aio(
        self, *, name: str | None = None, strategy: str = "rolling", grace: float = 10.0, **cloud_only: object
    ) -> AppT:
        """Do the same, with the actors on the running loop. Stop the app before that loop ends."""
        check_options("app.deploy.aio", cloud_only)
        name = self._life.deploy_name(name, strategy)
        await self._life.deploy(name, grace, recreate=strategy == "recreate")
        return self._app


class Stop:
    """The verb `App.stop`."""

    def __init__(self, life: Lifecycle) -> None:
        self._life = life

    def __call__(self) -> None:
        """Stop the app: drain, cancel what is left, run the exit hooks; nothing remains. Idempotent."""
        self._life.stop_blocking()

    async def aio(self) -> None:
        """Do the same without blocking the running loop."""
        await self._life.stop()


class Lifecycle:
    """An app's present life, if it has one."""

    def __init__(self, contents: Contents) -> None:
        self._contents = contents
        self._running: Running | None = None
        self._starting = False
        self._lock = threading.Lock()
        self._variants = PoolRefs(self.runtime)
        self.deployed_as: str | None = None

    @property
    def running(self) -> bool:
        """Whether the app has a life now."""
        return self._running is not None and not self._running.runtime.closed

    @property
    def owns_thread(self) -> bool:
        """Whether the app lives on an engine thread of its own."""
        return self._running is not None and self._running.owns_thread

    def rename(self, name: str) -> None:
        """Give the app another name for its next life."""
        self._contents.name = name

    @property
    def called(self) -> str | None:
        """The app's name, as it is deployed or else its own."""
        return self.deployed_as or self._contents.name

    @property
    def ref(self) -> AppRef:
        """What other processes know the app by."""
        return AppRef(self.called, self._contents.place())

    def bind_function(self, name: str) -> PoolBinding:
        """Return the present way to the pool of function `name`.

        Raises:
            NotFoundError: If there is no such function.
            ExecutionError: If the app is not running.
        """
        entry = self._function(name)
        runtime = self.runtime(name)
        supervisor = runtime.supervisor(name, partial(entry.spec.supervisor, runtime))
        return PoolBinding(supervisor.dispatcher, entry.target, supervisor)

    def _function(self, name: str) -> Entry:
        found = self._contents.functions.get(name)
        if found is None:
            raise NotFoundError(
                f"app '{self.called}' has no function '{name}'; it has: "
                f"{', '.join(self._contents.functions) or 'none'}"
            )
        return found

    def variant(self, name: str, variation: Variation) -> tuple[PoolRef, Target]:
        """Return the pool of a variant of function `name`, and its target.

        Raises:
            NotFoundError: If there is no such function.
        """
        entry = self._function(name)
        pool = self._variants.ref((name, variation), name, partial(entry.spec.varied, variation))
        return pool, entry.target

    def runtime(self, wanted: str | None = None) -> AppRuntime:
        """Return the runtime of the present life, which the function or class `wanted` needs.

        Raises:
            ExecutionError: If the app is not running.
        """
        running = self._running
        if running is None:
            raise _deployments.not_running(wanted, self._contents.name)
        return running.runtime

    def _new_runtime(self, host: Host, grace: float) -> AppRuntime:
        # Here, because importing the package runs nothing yet.
        from actorpool._actors._runtime import AppRuntime

        name = self._contents.name or "unnamed"
        runtime = AppRuntime(
            name,
            host,
            max_threads=self._contents.limits.max_threads,
            max_processes=self._contents.limits.max_processes,
            grace_s=grace,
            block_warning_s=self._contents.block_warning_s,
            observers=self._contents.observers,
        )
        _deployments.began(runtime, self)
        return runtime

    def _claim(self, *, redeploy: bool = False) -> None:
        """Become the one who starts the next life; at most one does so at a time.

        Raises:
            ConflictError: If the app is running, or is being started.
        """
        with self._lock:
            present = self._running
            replaceable = (
                present is None or present.runtime.closed or (redeploy and self.deployed_as is not None)
            )
            if self._starting or not replaceable:
                raise ConflictError(
                    f"app '{self._contents.name}' is already running; stop it first, or use the one that runs"
                )
            self._starting = True

    def _release(self) -> None:
        with self._lock:
            self._starting = False

    def _install(self, running: Running) -> Running | None:
        """Make a life the present one; return the former, which handles leave from now on."""
        with self._lock:
            former, self._running = self._running, running
        if former is not None:
            former.retire()
        return former

    async def _begin(self, runtime: AppRuntime) -> None:
        """Start the runtime: supervisors of all functions, warm default instances, schedules."""
        from actorpool._actors._scheduler import Scheduled

        scheduled: list[Scheduled] = []
        for name, entry in self._contents.functions.items():
            supervisor = runtime.supervisor(name, partial(entry.spec.supervisor, runtime))
            if entry.schedule is not None:
                fire = partial(_fire, supervisor.dispatcher, entry.target)
                scheduled.append(Scheduled(name, entry.schedule, fire))
        for cls in self._contents.classes.values():
            if cls.spec.settings.min_containers and not cls.definition.needs_parameters:
                cls.pool(cls.definition.bind((), {})).supervisor_in(runtime)
        await runtime.start(scheduled)

    async def _started(self, grace: float) -> Running:
        running = Running(self._new_runtime(current_host(), grace), None)
        try:
            await self._begin(running.runtime)
        except BaseException:
            await running.close_async(drain=False)
            raise
        return running

    def _started_on_engine(self, grace: float) -> Running:
        from actorpool._host._engine import EngineThread

        engine = EngineThread(f"actorpool {self._contents.name or 'app'}")
        engine.start()
        try:
            runtime = self._new_runtime(engine.host, grace)
            engine.run(self._begin, runtime)
        except BaseException:
            engine.stop()
            raise
        return Running(runtime, engine)

    async def start(self, grace: float) -> Running:
        """Begin a life on the running loop."""
        self._claim()
        try:
            running = await self._started(grace)
            self._install(running)
        finally:
            self._release()
        return running

    def start_engine(self, grace: float) -> Running:
        """Begin a life on an engine thread."""
        self._claim()
        try:
            running = self._started_on_engine(grace)
            self._install(running)
        finally:
            self._release()
        return running

    async def deploy(self, name: str, grace: float, *, recreate: bool) -> None:
        """Begin a life on the running loop that is found by `name`, in place of the present deployment if any."""
        check_seconds("grace", grace, zero=True)
        self._claim(redeploy=True)
        try:
            former = self.detach() if recreate else None
            if former is not None:
                await former.close_async(drain=True)
            running = await self._started(grace)
            self._replace(name, running)
        finally:
            self._release()

    def deploy_on_engine(self, name: str, grace: float, *, recreate: bool) -> None:
        """Do the same on an engine thread."""
        check_seconds("grace", grace, zero=True)
        self._claim(redeploy=True)
        try:
            former = self.detach() if recreate else None
            if former is not None:
                former.close(drain=True)
            self._replace(name, self._started_on_engine(grace))
        finally:
            self._release()

    def _replace(self, name: str, running: Running) -> None:
        """Make `running` the deployment called `name`; what it replaces drains in the background."""
        former = self._install(running)
        if self.deployed_as not in (None, name):
            _deployments.unregister(self.deployed_as, self)
        self.deployed_as = name
        other = _deployments.register(name, self)
        replaced = None if other is None or other is self else other.detach()
        for old in (former, replaced):
            if old is not None:
                old.close_in_background()

    def detach(self) -> Running | None:
        """Let go of the present life; the caller closes it."""
        with self._lock:
            running, self._running = self._running, None
            name, self.deployed_as = self.deployed_as, None
        if name is not None:
            _deployments.unregister(name, self)
        if running is not None:
            running.retire()
        return running

    def close_blocking(self, running: Running | None, *, drain: bool) -> None:
        """Close a life, blocking this thread."""
        if running is not None:
            try:
                running.close(drain=drain)
            finally:
                self._finish(running)

    async def close(self, running: Running | None, *, drain: bool) -> None:
        """Close a life without blocking the running loop."""
        if running is not None:
            try:
                await running.close_async(drain=drain)
            finally:
                self._finish(running)

    def _finish(self, running: Running) -> None:
        running.retire()
        if self._running is running:
            self.detach()

    async def stop(self) -> None:
        """Close the present life, if there is one."""
        await self.close(self._running, drain=True)

    def stop_blocking(self) -> None:
        """Do the same, blocking this thread.

        Raises:
            InvalidError: On the thread of the loop that the app lives on.
        """
        running = self._running
        if running is not None and running.lives_here:
            raise InvalidError(
                f"app.stop() would block the event loop that app '{self._contents.name}' lives on, for ever; "
                "write `await app.stop.aio()` here"
            )
        self.close_blocking(running, drain=True)

    def deploy_name(self, name: str | None, strategy: str) -> str:
        """Return the name to deploy under.

        Raises:
            InvalidError: Without any name, or for an unknown strategy.
        """
        called = name or self._contents.name
        if called is None:
            raise InvalidError("an unnamed app cannot be deployed; write App('my-app') or deploy(name=...)")
        if strategy not in ("rolling", "recreate"):
            raise InvalidError(f"strategy must be 'rolling' or 'recreate', not {strategy!r}")
        return called

    def class_named(self, name: str) -> Cls:
        """Return the class called `name`.

        Raises:
            NotFoundError: If there is none.
        """
        cls = self._contents.classes.get(name)
        if cls is None:
            raise NotFoundError(
                f"app '{self.called}' has no class '{name}'; it has: {', '.join(self._contents.classes) or 'none'}"
            )
        return cls


def _fire(dispatcher: Dispatcher, target: Target) -> None:
    """Hand a scheduled function its input; whatever becomes of it is logged."""

    def report(input: Input) -> None:
        if input.state != SUCCEEDED:
            logger.error("scheduled run of function '%s' failed", target, exc_info=input.value)

    dispatcher.submit(Input(target, (), None, Context(), report, spawned=True))


@atexit.register
def _stop_deployed_apps() -> None:
    """Stop what was deployed on engine threads: nothing outlives the process half done."""
    for life in _deployments.deployed():
        if life.owns_thread:
            life.stop_blocking()

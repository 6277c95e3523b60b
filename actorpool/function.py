# SPDX-License-Identifier: Apache-2.0
"""`Function`: the handle that a decorated function becomes."""

from __future__ import annotations

from collections.abc import Callable
from typing import TYPE_CHECKING, Any, Generic, NoReturn, ParamSpec, TypeVar

from actorpool._backends._places import handle_at, place_of_handle
from actorpool._core._batch import Batching
from actorpool.exception import ExecutionError, InvalidError

from ._binding import Reduced, Source, bind
from ._controls import (
    Autoscaling,
    Controls,
    CurrentStats,
    FunctionStatistics,
    FunctionStats,
    UpdateAutoscaler,
    scaling_log,
    statistics,
)
from ._deployments import AppRef, RunsElsewhereError
from ._generate import RemoteGen
from ._marks import concurrency_of
from ._sources import DeployedFunction
from ._spawn_map import SpawnEach, SpawnMap
from ._spec import Variation, check_options
from ._verbs import ForEach, Map, Remote, Spawn, Starmap

if TYPE_CHECKING:
    from actorpool._backends._parts import MakeContainer
    from actorpool._core._scaling import ScalingRecord

    from .retries import Retries

__all__ = ["Function", "FunctionStatistics", "FunctionStats"]

P = ParamSpec("P")
R_co = TypeVar("R_co", covariant=True)
L_co = TypeVar("L_co", covariant=True)


class Function(Generic[P, R_co, L_co]):
    """A function with a pool of its own; `@app.function()` puts it in place of the Python function.

    It is not callable: say how. `f.remote(x)` runs one input in the pool and waits, `f.map(xs)` many,
    `f.spawn(x)` does not wait, `f.local(x)` calls the plain function here. Each blocking verb has an
    `.aio` twin for async code.

    Attributes:
        remote: Runs one input and waits for its result.
        remote_gen: Runs a generator function on one input and iterates over what it yields.
        spawn: Hands over one input and returns a `FunctionCall`.
        map: Runs every input, in parallel; yields results.
        starmap: Likewise, unpacking each input.
        for_each: Runs every input for its effects.
        spawn_map: Spawns every input, waiting while the backlog is full.
        experimental_spawn_map: Likewise, and returns one `FunctionCall` for all.
        update_autoscaler: Changes the settings of the running pool.
        get_current_stats: Returns the main counts.
    """

    _actorpool_handle = True

    def __init__(self, name: str, source: Source, raw: Callable[..., Any] | None) -> None:
        self._name = name
        self._source = source
        self._raw = raw
        self.remote: Remote[P, R_co] = Remote(name, source)
        self.remote_gen: RemoteGen[P, R_co] = RemoteGen(name, source)
        self.spawn: Spawn[P, R_co] = Spawn(name, source)
        self.map: Map[R_co] = Map(name, source)
        self.starmap: Starmap[R_co] = Starmap(name, source)
        self.for_each: ForEach = ForEach(name, source)
        self.spawn_map: SpawnMap = SpawnMap(name, source)
        self.experimental_spawn_map: SpawnEach[R_co] = SpawnEach(name, source)
        self.__actorpool_controls__: Controls = Controls(
            lambda: source.bind().supervisor, source.update, lambda: source.reduced(None)
        )
        self.update_autoscaler: UpdateAutoscaler = UpdateAutoscaler(self.__actorpool_controls__)
        self.autoscaler: Autoscaling = Autoscaling(self.__actorpool_controls__)
        self.get_current_stats: CurrentStats = CurrentStats(self.__actorpool_controls__)
        if raw is not None:
            self.__doc__ = raw.__doc__

    @classmethod
    def from_name(cls, app_name: str, name: str, **cloud_only: object) -> Function[..., Any, Any]:
        """Return a handle to a deployed function; looked up at its first use, and it follows later deployments.

        Args:
            app_name: The name the app was deployed under.
            name: The function's name.
            cloud_only: None; what only Modal's cloud has is refused by name.

        Raises:
            InvalidError: If `name` is that of a class's method; use `Cls.from_name` for those.
            NotFoundError: At its first use, if there is no such app or function.
        """
        check_options("Function.from_name", cloud_only)
        if "." in name:
            raise InvalidError(
                f"'{name}' names a method of a class; use Cls.from_name({app_name!r}, ...) for it"
            )
        return Function(name, DeployedFunction(AppRef(app_name), name), None)

    @property
    def name(self) -> str:
        """The function's name."""
        return self._name

    @property
    def source(self) -> Source:
        """What finds its pool."""
        return self._source

    @property
    def __actorpool_target__(self) -> Callable[..., Any] | None:
        # What stands behind the name that this handle has taken.
        return self._raw

    def __reduce__(self) -> Reduced:
        # The very handle where its module can be imported, else one that looks the function up.
        place = place_of_handle(self, self._raw)
        return self._source.reduced(self._raw) if place is None else (handle_at, place)

    def hydrate(self) -> Function[P, R_co, L_co]:
        """Look the function up now, instead of at its first use; return itself."""
        bind(self._source)
        return self

    def local(self, *args: P.args, **kwargs: P.kwargs) -> L_co:
        """Call the plain Python function here, in the caller's thread; a coroutine function gives a coroutine.

        Raises:
            ExecutionError: On a handle from a lookup by name, which has no definition here.
        """
        if self._raw is None:
            raise ExecutionError(
                f"function '{self._name}' was looked up by name; call .local where it is defined"
            )
        return self._raw(*args, **kwargs)  # type: ignore[no-any-return]

    def get_raw_f(self) -> Callable[P, L_co]:
        """Return the plain Python function.

        Raises:
            ExecutionError: On a handle from a lookup by name.
        """
        if self._raw is None:
            raise ExecutionError(f"function '{self._name}' was looked up by name; it has no definition here")
        return self._raw

    def statistics(self) -> FunctionStatistics:
        """Return all counts of this instant. Threads: any.

        Raises:
            ExecutionError: If the app is not running.
        """
        return self.__actorpool_controls__.ask(statistics)

    def scaling_log(self) -> list[ScalingRecord]:
        """Return the latest decisions that started or stopped containers, the oldest first."""
        return self.__actorpool_controls__.ask(scaling_log)

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
    ) -> Function[P, R_co, L_co]:
        """Return a handle to a variant with a pool of its own; this function is untouched.

        Variants stack: what is given later overrides what was given earlier, key by key. Handles with the same
        options share one pool.

        Args:
            retries: As for `@app.function`; None leaves it as it is, as for all that follow.
            max_containers: Likewise.
            buffer_containers: Likewise.
            scaledown_window: Likewise, in seconds.
            timeout: Likewise, in seconds.
            backend: Likewise.
            cloud_only: None; what only Modal's cloud has is refused by name.

        Raises:
            InvalidError: If an option is out of range, or this is a method.
        """
        check_options("with_options", cloud_only)
        variation = Variation(
            retries=retries,
            max_containers=max_containers,
            buffer_containers=buffer_containers,
            scaledown_window=scaledown_window,
            timeout=timeout,
            backend=backend,
        )
        return Function(self._name, self._source.varied(variation), self._raw)

    def with_concurrency(
        self, *, max_inputs: int, target_inputs: int | None = None
    ) -> Function[P, R_co, L_co]:
        """Return a handle to a variant as if decorated with `concurrent`; see `with_options`."""
        variation = Variation(concurrency=concurrency_of(max_inputs, target_inputs))
        return Function(self._name, self._source.varied(variation), self._raw)

    def with_batching(self, *, max_batch_size: int, wait_ms: int) -> Function[P, R_co, L_co]:
        """Return a handle to a variant as if decorated with `batched`; see `with_options`."""
        variation = Variation(batching=Batching(max_batch_size=max_batch_size, wait_ms=wait_ms))
        return Function(self._name, self._source.varied(variation), self._raw)

    def __call__(self, *args: Any, **kwargs: Any) -> NoReturn:
        """Say what to write instead: a function object is not callable.

        Raises:
            InvalidError: Always; it is a `TypeError` too, as for any object that is not callable.
        """
        owner, dot, method = self._name.rpartition(".")
        # A method is reached through an instance: `Model.predict.remote` would be the next mistake.
        name = f"{owner}(...).{method}" if dot else self._name
        raise NotCallableError(
            f"function '{self._name}' is not called directly: write {name}.remote(...) to run it in its pool, "
            f"{name}.map(inputs) for many inputs (not map({name}, inputs) and not {name}(inputs).map()), or "
            f"{name}.local(...) to call it here"
        )

    def __repr__(self) -> str:
        try:
            dispatcher = self._source.bind().supervisor.dispatcher
            counts, bound = dispatcher.counts(), dispatcher.settings.max_containers
        except RunsElsewhereError:
            return f"<Function '{self._name}' in the process that has started this one>"
        except Exception:
            # Not running, or not found: a repr must not raise.
            return f"<Function '{self._name}' not running>"
        limit = "" if bound is None else f"/{bound}"
        starting = f" ({counts.starting} starting)" if counts.starting else ""
        return (
            f"<Function '{self._name}' containers={counts.containers}{limit}{starting} running={counts.running} "
            f"pending={counts.pending}>"
        )


class NotCallableError(InvalidError, TypeError):
    """A function object was called as if it were the plain function."""

# SPDX-License-Identifier: Apache-2.0
"""What a decorator says of a pool, checked and complete; and how a supervisor is made from it."""

from __future__ import annotations

import inspect
import os
from collections.abc import Callable, Mapping
from functools import partial
from typing import TYPE_CHECKING, Final

from attrs import asdict, evolve, frozen

from actorpool._actors._identity import call_name_of, lend_ids
from actorpool._backends._workload import Workload
from actorpool._core._batch import Batching
from actorpool._core._config import (
    AutoscalerSettings,
    Concurrency,
    Limits,
    Recycle,
    Restart,
    check_seconds,
)
from actorpool._core._retry import RetryPolicy
from actorpool.exception import InvalidError

if TYPE_CHECKING:
    from actorpool._actors._container import MakeBackend
    from actorpool._actors._runtime import AppRuntime
    from actorpool._actors._supervisor import Resource, Supervisor
    from actorpool._backends._parts import MakeContainer
    from actorpool._backends._workload import ContainerBackend, ContainerOwner
    from actorpool._core._batching import PoolOptions
    from actorpool._core._scaling import PolicyChoice, ScalingPolicy

    from .retries import Retries

    Backend = str | MakeContainer

__all__ = ["PoolSpec", "Variation", "check_backend", "check_options", "pool_spec"]

# Keyword arguments of Modal's decorators that mean something in its cloud only.
CLOUD_ONLY: Final = frozenset(
    {
        "block_network",
        "cloud",
        "cloud_bucket_mounts",
        "cluster_size",
        "cpu",
        "detach",
        "enable_memory_snapshot",
        "env",
        "environment_name",
        "ephemeral_disk",
        "experimental_options",
        "gpu",
        "i6pn",
        "image",
        "include_source",
        "interactive",
        "memory",
        "mounts",
        "network_file_systems",
        "nonpreemptible",
        "proxy",
        "rdma",
        "region",
        "restrict_modal_access",
        "routing_region",
        "secrets",
        "serialized",
        "tag",
        "tags",
        "version",
        "volumes",
    }
)
RENAMED: Final = {
    "keep_warm": "min_containers",
    "concurrency_limit": "max_containers",
    "container_idle_timeout": "scaledown_window",
    "allow_concurrent_inputs": "@modal.concurrent(max_inputs=...)",
    "max_inputs": "single_use_containers or @modal.concurrent(max_inputs=...)",
}
# The default of `startup_timeout` for processes, where `timeout` is shorter, in seconds.
_LEAST_PROCESS_START_S: Final = 10.0
# What a misspelt keyword argument may have meant.
SETTINGS: Final = (
    "backend",
    "buffer_containers",
    "limits",
    "max_containers",
    "min_containers",
    "policy",
    "recycle",
    "retries",
    "scaledown_window",
    "schedule",
    "single_use_containers",
    "startup_timeout",
    "timeout",
)


def check_options(where: str, options: Mapping[str, object]) -> None:
    """Refuse keyword arguments that are not actorpool's, saying which they are and what to do.

    Raises:
        InvalidError: For names of Modal's that belong to its cloud, or that it has renamed.
        TypeError: For names nobody knows.
    """
    for name in options:
        if name in CLOUD_ONLY:
            raise InvalidError(
                f"{where} got {name}=, which only means something in Modal's cloud; actorpool runs functions in "
                f"this process: remove {name}="
            )
        if name in RENAMED:
            raise InvalidError(f"{where} got {name}=, which has been renamed: use {RENAMED[name]}")
        # Only a mistake is worth loading this for.
        from difflib import get_close_matches

        near = [] if name in SETTINGS else get_close_matches(name, SETTINGS, n=1)
        meant = f"; did you mean '{near[0]}'?" if near else ""
        raise TypeError(f"{where} got an unexpected keyword argument '{name}'{meant}")


BACKENDS: Final = ("local", "process")


def check_backend(backend: object) -> None:
    """Check what a user gave as `backend=`; None leaves it as it is.

    Raises:
        InvalidError: If there is no such backend.
    """
    if backend is not None and backend not in BACKENDS and not callable(backend):
        raise InvalidError(
            f"backend must be {', '.join(map(repr, BACKENDS))}, or a function that makes containers, not {backend!r}"
        )


def recycle_of(recycle: Recycle | None, single_use: bool, backend: Backend) -> Recycle:
    """Return when containers are replaced, from a decorator's arguments.

    Raises:
        InvalidError: If they contradict each other, or the backend cannot do it.
    """
    if recycle is None:
        return Recycle(inputs=1 if single_use else None)
    if not isinstance(recycle, Recycle):
        raise InvalidError(f"recycle must be an actorpool.Recycle, not {recycle!r}")
    if single_use:
        raise InvalidError("single_use_containers=True is Recycle(inputs=1) already: give one of the two")
    if recycle.memory_mib is not None and backend != "process":
        raise InvalidError(
            "Recycle(memory_mib=...) is for process containers, whose memory is their own; add backend='process'"
        )
    if recycle.memory_mib is not None and not os.path.exists("/proc/self/statm"):
        raise InvalidError(
            "Recycle(memory_mib=...) needs Linux: elsewhere nobody tells the memory of a process"
        )
    return recycle


def bounded_by_processors(settings: AutoscalerSettings) -> AutoscalerSettings:
    """Return `settings` for process containers, of which there are no more than processors if nobody says otherwise."""
    if settings.max_containers is not None:
        return settings
    processors = len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1
    return settings.merged(max_containers=max(processors, settings.min_containers))


@frozen(kw_only=True)
class Variation:
    """What a variant of a function or class has otherwise; None for what it leaves alone.

    Raises:
        InvalidError: If a value is out of range.
    """

    retries: int | Retries | None = None
    max_containers: int | None = None
    buffer_containers: int | None = None
    scaledown_window: float | None = None
    timeout: float | None = None
    concurrency: Concurrency | None = None
    batching: Batching | None = None
    backend: Backend | None = None

    def __attrs_post_init__(self) -> None:
        check_backend(self.backend)
        self.settings_over(AutoscalerSettings())
        if self.timeout is not None:
            check_seconds("timeout", self.timeout)
        RetryPolicy.of(self.retries)

    def merged(self, later: Variation) -> Variation:
        """Return this variation with what `later` gives over it."""
        changes = {name: value for name, value in asdict(later, recurse=False).items() if value is not None}
        return evolve(self, **changes)

    def settings_over(self, settings: AutoscalerSettings) -> AutoscalerSettings:
        """Return `settings` with the variant's own over them."""
        return settings.merged(
            max_containers=self.max_containers,
            buffer_containers=self.buffer_containers,
            scaledown_window=self.scaledown_window,
        )


@frozen(kw_only=True)
class PoolSpec:
    """All that is known of a pool before it runs."""

    workload: Workload
    settings: AutoscalerSettings
    concurrency: Concurrency
    limits: Limits
    timeout: float
    startup_timeout: float | None
    retry: RetryPolicy | None
    recycle: Recycle
    policy: Callable[[], ScalingPolicy] | None
    """Makes the policy of a pool; None for the default one."""
    batching: Batching | None = None
    backend: Backend = "local"
    """Where its containers are, "local" or "process", or what makes them."""

    @property
    def name(self) -> str:
        """The function's or class's name."""
        return self.workload.name

    def supervisor(
        self,
        runtime: AppRuntime,
        *,
        settings: AutoscalerSettings | None = None,
        referenced: Callable[[], bool] | None = None,
    ) -> Supervisor:
        """Make a supervisor for this pool in `runtime`; it lives once the runtime starts it.

        Args:
            runtime: The running app.
            settings: Settings that override the decorator's.
            referenced: Whether a handle refers to the pool; given for pools that are forgotten when vacant.
        """
        # Here, because importing the package runs nothing yet.
        from actorpool._actors._supervisor import Supervisor
        from actorpool._backends._local import LocalContainer
        from actorpool._core._observed import make_pool
        from actorpool._core._scaling import WindowPolicy

        workload = self.workload
        options: PoolOptions = {
            "settings": self.settings if settings is None else settings,
            "concurrency": self.concurrency,
            "limits": self.limits,
            "restart": Restart(),
            "timeout": self.timeout,
            "retry": self.retry,
            "recycle_after": self.recycle.inputs,
            "grace_s": runtime.grace_s,
            "kind": "class" if workload.bound else "function",
        }
        policy = WindowPolicy() if self.policy is None else self.policy()
        names = () if self.batching is None else batched_parameters(workload)
        pool = make_pool(workload.name, policy, batching=self.batching, names=names, **options)

        def make_local(name: str, owner: ContainerOwner) -> ContainerBackend:
            return LocalContainer(
                name,
                workload,
                runtime.host,
                supervisor.dispatcher.complete,
                runtime.gates["threads"],
                runtime.watch,
            )

        make: MakeBackend = make_local
        resource: Resource = "threads"
        amount = workload.threads
        if self.backend == "process":
            make = self._process_maker(runtime, lambda: supervisor)
            resource, amount = "processes", 1
        elif callable(self.backend):
            # Of what a backend of the user's own needs, the app has no ceiling.
            make, amount = self._own_maker(self.backend, runtime, lambda: supervisor), 0
        supervisor = Supervisor(
            workload.name,
            pool,
            runtime.host,
            make,
            policy,
            startup_timeout_s=self._startup_timeout_s(),
            grace_s=runtime.grace_s,
            resource=resource,
            amount=amount,
            referenced=referenced,
            abandons=self.backend != "process",
            recycle_age_s=self.recycle.age,
        )
        return supervisor

    def _startup_timeout_s(self) -> float:
        if self.startup_timeout is not None:
            return self.startup_timeout
        # An input may well be shorter than the start of an interpreter, of which it says nothing.
        return max(self.timeout, _LEAST_PROCESS_START_S) if self.backend == "process" else self.timeout

    def _own_maker(
        self, make_container: MakeContainer, runtime: AppRuntime, supervisor: Callable[[], Supervisor]
    ) -> MakeBackend:
        # Here, because hardly any program has such containers.
        from actorpool._backends._parts import ContainerParts

        def make(name: str, owner: ContainerOwner) -> ContainerBackend:
            return make_container(
                ContainerParts(
                    name=name,
                    workload=self.workload,
                    host=runtime.host,
                    complete=supervisor().dispatcher.complete,
                    owner=owner,
                    grace_s=runtime.grace_s,
                    resources=runtime.resources(),
                )
            )

        return make

    def _process_maker(self, runtime: AppRuntime, supervisor: Callable[[], Supervisor]) -> MakeBackend:
        # Here, because most programs have no such containers.
        from actorpool._backends._process import ProcessContainer
        from actorpool._backends._process_pool import ProcessPool

        from ._served import ServedCalls

        pool = ProcessPool(
            self.workload,
            runtime.templates,
            call_name_of,
            lend_ids,
            partial(ServedCalls, runtime),
            runtime.block_warning_s,
            self.recycle,
        )

        def make(name: str, owner: ContainerOwner) -> ContainerBackend:
            complete = supervisor().dispatcher.complete
            return ProcessContainer(
                name, pool, runtime.host, complete, owner, runtime.gates["processes"], runtime.grace_s
            )

        return make

    def varied(self, variation: Variation) -> PoolSpec:
        """Return the spec of a variant.

        Raises:
            InvalidError: If what is given contradicts what is left alone, such as a maximum below the minimum.
        """
        if variation.retries is not None and not self.workload.bound:
            (target,) = self.workload.targets
            if target.is_generator:
                raise InvalidError(
                    f"retries do not go with a generator function ('{target}'): its items may be out already"
                )
        concurrency = variation.concurrency or self.concurrency
        batching = variation.batching or self.batching
        if batching is not None:
            batched_parameters(self.workload)
        settings = variation.settings_over(self.settings)
        if variation.backend == "process":
            settings = bounded_by_processors(settings)
        return evolve(
            self,
            settings=settings,
            timeout=self.timeout if variation.timeout is None else variation.timeout,
            retry=self.retry if variation.retries is None else RetryPolicy.of(variation.retries),
            concurrency=concurrency,
            batching=batching,
            backend=variation.backend or self.backend,
            workload=evolve(self.workload, max_inputs=concurrency.max_inputs),
        )

    def with_workload(self, workload: Workload) -> PoolSpec:
        """Return this spec for another workload: a class with its parameters bound."""
        return evolve(self, workload=workload)


def batched_parameters(workload: Workload) -> tuple[str, ...]:
    """Return the names of the parameters of a batched function, each of which gets a list.

    Raises:
        InvalidError: If it cannot be batched: a generator, defaults, or parameters without a name.
    """
    (target,) = workload.targets
    if target.is_generator:
        raise InvalidError(f"'{target}' is a generator function, which cannot be batched")
    parameters = list(inspect.signature(target.function).parameters.values())
    if workload.bound:
        parameters = parameters[1:]
    for parameter in parameters:
        if parameter.default is not parameter.empty:
            raise InvalidError(
                f"batched function '{target}' has a default for '{parameter.name}'; every input gives every argument"
            )
        if parameter.kind not in (parameter.POSITIONAL_OR_KEYWORD, parameter.KEYWORD_ONLY):
            raise InvalidError(
                f"batched function '{target}' cannot take *args, **kwargs or positional-only arguments"
            )
    if not parameters:
        raise InvalidError(f"batched function '{target}' takes no arguments, so there is nothing to batch")
    return tuple(parameter.name for parameter in parameters)


def _policy_factory(choice: PolicyChoice) -> Callable[[], ScalingPolicy]:
    # Here, because most programs leave the policy as it is, and only a running app asks it.
    from actorpool._core._scaling import policy_factory

    return policy_factory(choice)


def pool_spec(
    workload: Workload,
    *,
    batching: Batching | None = None,
    concurrency: Concurrency,
    limits: Limits,
    min_containers: int | None,
    max_containers: int | None,
    buffer_containers: int | None,
    scaledown_window: float | None,
    retries: object,
    timeout: float,
    startup_timeout: float | None,
    single_use_containers: bool,
    recycle: Recycle | None,
    policy: PolicyChoice | None,
    backend: Backend,
) -> PoolSpec:
    """Check a decorator's arguments and return the spec.

    Raises:
        InvalidError: If one is out of range or of the wrong kind; the message names it.
    """
    if timeout is None:
        raise InvalidError("timeout must be a number of seconds, not None; the default is 300")
    check_seconds("timeout", timeout)
    if startup_timeout is not None:
        check_seconds("startup_timeout", startup_timeout)
    if not isinstance(limits, Limits):
        raise InvalidError(f"limits must be an actorpool.Limits, not {limits!r}")
    check_backend(backend)
    settings = AutoscalerSettings().merged(
        min_containers=min_containers,
        max_containers=max_containers,
        buffer_containers=buffer_containers,
        scaledown_window=scaledown_window,
    )
    if backend == "process":
        settings = bounded_by_processors(settings)
    if batching is not None:
        batched_parameters(workload)
    return PoolSpec(
        workload=workload,
        batching=batching,
        settings=settings,
        concurrency=concurrency,
        limits=limits,
        timeout=timeout,
        startup_timeout=startup_timeout,
        retry=RetryPolicy.of(retries),
        recycle=recycle_of(recycle, single_use_containers, backend),
        policy=None if policy is None else _policy_factory(policy),
        backend=backend,
    )

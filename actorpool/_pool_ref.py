# SPDX-License-Identifier: Apache-2.0
"""Pools that come and go: of a class's parameter set, or of a function's variant.

Handles hold a `PoolRef`. The pool exists while it has containers or inputs, or while a handle refers to
it; one that has scaled to zero and that nobody refers to is forgotten, so any number may come and go.
"""

from __future__ import annotations

import threading
from collections.abc import Callable, Hashable
from typing import TYPE_CHECKING
from weakref import WeakValueDictionary

if TYPE_CHECKING:
    from actorpool._actors._runtime import AppRuntime
    from actorpool._actors._supervisor import Supervisor
    from actorpool._core._config import AutoscalerSettings

    from ._spec import PoolSpec

__all__ = ["PoolRef", "PoolRefs"]


class PoolRef:
    """What handles hold on to, so that their pool is not forgotten under them."""

    __slots__ = ("__weakref__", "_name", "_refs", "_spec", "_supervisor", "key")

    def __init__(self, refs: PoolRefs, key: Hashable, name: str, spec: Callable[[], PoolSpec]) -> None:
        self._name = name
        self._refs = refs
        self._spec = spec
        self._supervisor: Supervisor | None = None
        self.key: Hashable = key

    def __del__(self) -> None:
        # The last handle is gone: the supervisor, if it idles without containers, may end.
        if self._supervisor is not None:
            self._supervisor.look()

    def supervisor(self) -> Supervisor:
        """Return the supervisor in the app's present life, made if there is none.

        Raises:
            ExecutionError: If the app is not running.
        """
        return self.supervisor_in(self._refs.runtime(self._name))

    def supervisor_in(self, runtime: AppRuntime) -> Supervisor:
        """Return the supervisor in this life of the app, made if there is none."""
        self._supervisor = runtime.supervisor(self.key, lambda: self._make(runtime))
        return self._supervisor

    def update(self, change: Callable[[AutoscalerSettings], AutoscalerSettings]) -> AutoscalerSettings:
        """Change the pool's settings; they hold also when the pool is forgotten and comes again."""
        runtime = self._refs.runtime(self._name)
        settings = self.supervisor_in(runtime).update(change)
        runtime.overrides.keep(self.key, settings, self._spec().settings)
        return settings

    def _make(self, runtime: AppRuntime) -> Supervisor:
        refs, key = self._refs, self.key
        return self._spec().supervisor(
            runtime, settings=runtime.overrides.get(key), referenced=lambda: refs.is_referenced(key)
        )


class PoolRefs:
    """The pools of one owner, by key."""

    __slots__ = ("_lock", "_refs", "runtime")

    def __init__(self, runtime: Callable[[str], AppRuntime]) -> None:
        self.runtime: Callable[[str], AppRuntime] = runtime
        """Finds the app's present life, for a call of what it is given the name of."""
        self._refs: WeakValueDictionary[Hashable, PoolRef] = WeakValueDictionary()
        self._lock = threading.Lock()

    def ref(self, key: Hashable, name: str, spec: Callable[[], PoolSpec]) -> PoolRef:
        """Return the reference for `key`, the one that other handles hold if there are any.

        Args:
            key: Tells the owner's pools apart.
            name: The function or class, for messages.
            spec: Makes the spec, each time the pool comes into being.
        """
        with self._lock:
            ref = self._refs.get(key)
            if ref is None:
                ref = self._refs[key] = PoolRef(self, key, name, spec)
            return ref

    def is_referenced(self, key: Hashable) -> bool:
        """Whether a handle to this pool exists."""
        with self._lock:
            return key in self._refs

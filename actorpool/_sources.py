# SPDX-License-Identifier: Apache-2.0
"""The sources of function handles: defined here, looked up by name, and variants of either."""

from __future__ import annotations

from collections.abc import Callable
from typing import TYPE_CHECKING, Any

from actorpool._backends._places import place_of_target, raw_at

from ._binding import ChangeSettings, PoolBinding, Reduced
from ._deployments import AppRef

if TYPE_CHECKING:
    from actorpool._backends._workload import Target
    from actorpool._core._config import AutoscalerSettings

    from ._lifecycle import Lifecycle
    from ._pool_ref import PoolRef
    from ._spec import Variation
    from .function import Function

__all__ = ["DeployedFunction", "FunctionSource", "function_named"]


class FunctionSource:
    """The way of a function's handle to its pool: through its app's present life."""

    __slots__ = ("_name", "life")

    def __init__(self, life: Callable[[], Lifecycle], name: str) -> None:
        self.life = life
        self._name = name

    def bind(self) -> PoolBinding:
        """Return the present way to the function's pool."""
        return self.life().bind_function(self._name)

    def update(self, change: ChangeSettings) -> AutoscalerSettings:
        """Change the settings of the running function."""
        return self.bind().supervisor.update(change)

    def varied(self, variation: Variation) -> VariantSource:
        """Return the source of a variant."""
        return VariantSource(self.life, self._name, variation, self._app)

    def reduced(self, raw: Callable[..., Any] | None) -> Reduced:
        """Return how pickle is to remake the handle: as one that looks for the app first."""
        return function_named, (self._app(), self._name, None, *_sent(raw))

    def _app(self) -> AppRef:
        return self.life().ref


class VariantSource:
    """The way of a variant's handle to the pool of its own."""

    __slots__ = ("_app", "_found", "_life", "_name", "_variation")

    def __init__(
        self, life: Callable[[], Lifecycle], name: str, variation: Variation, app: Callable[[], AppRef]
    ) -> None:
        self._life = life
        self._app = app
        self._name = name
        self._variation = variation
        # The pool in the life it was found in; holding it keeps the pool from being forgotten.
        self._found: tuple[Lifecycle, PoolRef, Target] | None = None

    def _find(self) -> tuple[PoolRef, Target]:
        life = self._life()
        if self._found is None or self._found[0] is not life:
            self._found = (life, *life.variant(self._name, self._variation))
        return self._found[1], self._found[2]

    def bind(self) -> PoolBinding:
        """Return the present way to the variant's pool."""
        ref, target = self._find()
        supervisor = ref.supervisor()
        return PoolBinding(supervisor.dispatcher, target, supervisor)

    def update(self, change: ChangeSettings) -> AutoscalerSettings:
        """Change the settings of the variant's pool."""
        return self._find()[0].update(change)

    def varied(self, variation: Variation) -> VariantSource:
        """Return the source of a further variant: what is given later overrides key by key."""
        return VariantSource(self._life, self._name, self._variation.merged(variation), self._app)

    def reduced(self, raw: Callable[..., Any] | None) -> Reduced:
        """Return how pickle is to remake the handle: as one that looks for the app first."""
        return function_named, (self._app(), self._name, self._variation, *_sent(raw))


class DeployedFunction(FunctionSource):
    """The way of a handle that was made by name: through the present deployment of that name."""

    __slots__ = ("_ref",)

    def __init__(self, ref: AppRef, name: str) -> None:
        super().__init__(lambda: ref.life("function", name), name)
        self._ref = ref

    def _app(self) -> AppRef:
        return self._ref


def _sent(raw: Callable[..., Any] | None) -> tuple[tuple[str, str] | None, Callable[..., Any] | None]:
    """Return where another process finds a plain function, or the function itself."""
    place = place_of_target(raw)
    return (None, raw) if place is None else (place, None)


def function_named(
    app: AppRef,
    name: str,
    variation: Variation | None,
    place: tuple[str, str] | None,
    raw: Callable[..., Any] | None,
) -> Function[..., Any, Any]:
    """Return a handle to a function of an app elsewhere, or to a variant of it; for pickle, see `_sent`."""
    from .function import Function

    if place is not None:
        raw = raw_at(*place)
    source = DeployedFunction(app, name)
    return Function(name, source if variation is None else source.varied(variation), raw)

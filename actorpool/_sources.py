# SPDX-License-Identifier: Apache-2.0
"""The sources of function handles: defined here, looked up by name, and variants of either."""

from __future__ import annotations

from collections.abc import Callable
from typing import TYPE_CHECKING

from ._binding import Binding, ChangeSettings
from ._deployments import deployed_app

if TYPE_CHECKING:
    from actorpool._backends._workload import Target
    from actorpool._core._config import AutoscalerSettings

    from ._lifecycle import Lifecycle
    from ._pool_ref import PoolRef
    from ._spec import Variation

__all__ = ["DeployedFunction", "FunctionSource"]


class FunctionSource:
    """The way of a function's handle to its pool: through its app's present life."""

    __slots__ = ("_name", "life")

    def __init__(self, life: Callable[[], Lifecycle], name: str) -> None:
        self.life = life
        self._name = name

    def bind(self) -> Binding:
        """Return the present way to the function's pool."""
        return self.life().bind_function(self._name)

    def update(self, change: ChangeSettings) -> AutoscalerSettings:
        """Change the settings of the running function."""
        return self.bind().supervisor.update(change)

    def varied(self, variation: Variation) -> VariantSource:
        """Return the source of a variant."""
        return VariantSource(self.life, self._name, variation)


class VariantSource:
    """The way of a variant's handle to the pool of its own."""

    __slots__ = ("_found", "_life", "_name", "_variation")

    def __init__(self, life: Callable[[], Lifecycle], name: str, variation: Variation) -> None:
        self._life = life
        self._name = name
        self._variation = variation
        # The pool in the life it was found in; holding it keeps the pool from being forgotten.
        self._found: tuple[Lifecycle, PoolRef, Target] | None = None

    def _find(self) -> tuple[PoolRef, Target]:
        life = self._life()
        if self._found is None or self._found[0] is not life:
            self._found = (life, *life.variant(self._name, self._variation))
        return self._found[1], self._found[2]

    def bind(self) -> Binding:
        """Return the present way to the variant's pool."""
        ref, target = self._find()
        supervisor = ref.supervisor()
        return Binding(supervisor, supervisor.dispatcher, target)

    def update(self, change: ChangeSettings) -> AutoscalerSettings:
        """Change the settings of the variant's pool."""
        return self._find()[0].update(change)

    def varied(self, variation: Variation) -> VariantSource:
        """Return the source of a further variant: what is given later overrides key by key."""
        return VariantSource(self._life, self._name, self._variation.merged(variation))


class DeployedFunction(FunctionSource):
    """The way of a handle that was made by name: through the present deployment of that name."""

    __slots__ = ()

    def __init__(self, app_name: str, name: str) -> None:
        super().__init__(lambda: deployed_app(app_name, "function", name), name)

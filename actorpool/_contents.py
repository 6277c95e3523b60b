# SPDX-License-Identifier: Apache-2.0
"""What an app holds: its functions and classes, and where the app itself is to be found."""

from __future__ import annotations

import sys
from typing import TYPE_CHECKING

from attrs import define, field, frozen

from actorpool._backends._places import is_importable

if TYPE_CHECKING:
    from actorpool._actors._runtime import Observer
    from actorpool._backends._workload import Target
    from actorpool._core._config import Limits
    from actorpool._core._schedule import Cron, Period

    from ._spec import PoolSpec
    from .cls import Cls

__all__ = ["Contents", "Entry"]


@frozen(eq=False)
class Entry:
    """A function of an app."""

    spec: PoolSpec
    target: Target
    schedule: Cron | Period | None


@define(eq=False)
class Contents:
    """What an app holds, as far as running it is concerned."""

    name: str | None
    limits: Limits
    block_warning_s: float | None = None
    functions: dict[str, Entry] = field(factory=dict)
    classes: dict[str, Cls] = field(factory=dict)
    observers: list[Observer] = field(factory=list)

    def place(self) -> tuple[str, str] | None:
        """Return (module, name) of the app, if a module of its functions that can be imported has it."""
        targets: list[object] = [entry.target.function for entry in self.functions.values()]
        targets += [cls.definition.user_cls for cls in self.classes.values()]
        # {module: None}, in the order of definition.
        modules = dict.fromkeys(getattr(target, "__module__", None) for target in targets)
        for module in modules:
            if isinstance(module, str) and module in sys.modules and is_importable(module):
                for name, value in vars(sys.modules[module]).items():
                    if (
                        hasattr(type(value), "__actorpool_contents__")
                        and value.__actorpool_contents__ is self
                    ):
                        return module, name
        return None

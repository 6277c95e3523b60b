# SPDX-License-Identifier: Apache-2.0
"""Where another process finds what this one calls by some name: import paths, and what stands behind a handle.

A handle of actorpool takes the name of the function or class that it was made from. It says with
`__actorpool_target__` what stands behind it, so that an import path that leads to the handle leads to that too.
Nothing is pickled here.
"""

from __future__ import annotations

import functools
import importlib
import os
import sys
from typing import TYPE_CHECKING, Any, Final

if TYPE_CHECKING:
    from importlib.machinery import ModuleSpec

__all__ = ["handle_at", "is_importable", "look", "place_of_handle", "place_of_target", "raw_at", "target_of"]

_TARGET: Final = "__actorpool_target__"


def is_importable(name: str) -> bool:
    """Return whether a fresh interpreter with this one's `sys.path` gets this very module by that name."""
    if name.partition(".")[0] in sys.stdlib_module_names:
        return name != "__main__"
    module = sys.modules.get(name)
    if module is None:
        return False
    origin = getattr(getattr(module, "__spec__", None), "origin", None)
    if origin is None:
        # A namespace package, or made by hand.
        return hasattr(module, "__path__")
    return _is_at(name, origin, tuple(sys.path))


@functools.lru_cache(maxsize=4_096)
def _is_at(name: str, origin: str, _sys_path: tuple[str, ...]) -> bool:
    parent = name.rpartition(".")[0]
    path = None
    if parent:
        if not is_importable(parent):
            return False
        path = getattr(sys.modules.get(parent), "__path__", None)
    for finder in sys.meta_path:
        # Those that the interpreter or its site set up are classes; objects are of this process alone.
        if isinstance(finder, type):
            spec: ModuleSpec | None = finder.find_spec(name, path)
            if spec is not None:
                return spec.origin is not None and os.path.realpath(spec.origin) == os.path.realpath(origin)
    return False


def look(module: str, qualname: str) -> Any:
    """Return what the name means, or None."""
    try:
        return _walk(sys.modules[module], qualname)
    except AttributeError:
        return None


def _walk(thing: Any, qualname: str) -> Any:
    for name in qualname.split("."):
        thing = getattr(target_of(thing), name)
    return thing


def target_of(thing: Any) -> Any:
    """Return what stands behind a handle of actorpool; anything else as it is."""
    return getattr(thing, _TARGET) if hasattr(type(thing), _TARGET) else thing


def raw_at(module: str, qualname: str) -> Any:
    """Import `module` and return the user's own function or class of that name."""
    return target_of(handle_at(module, qualname))


def handle_at(module: str, qualname: str) -> Any:
    """Import `module` and return what it calls so."""
    return _walk(importlib.import_module(module), qualname)


def place_of_target(target: object) -> tuple[str, str] | None:
    """Return (module, name) where `raw_at` finds this function or class of the user's in another process."""
    module, qualname = getattr(target, "__module__", None), getattr(target, "__qualname__", None)
    if not isinstance(module, str) or not isinstance(qualname, str) or not is_importable(module):
        return None
    return (module, qualname) if target_of(look(module, qualname)) is target else None


def place_of_handle(handle: object, target: object) -> tuple[str, str] | None:
    """Return (module, name) where another process finds `handle`, which is looked for where `target` was defined."""
    module, qualname = getattr(target, "__module__", None), getattr(target, "__qualname__", None)
    if not isinstance(module, str) or not isinstance(qualname, str):
        return None
    return (module, qualname) if is_importable(module) and look(module, qualname) is handle else None

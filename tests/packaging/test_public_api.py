# SPDX-License-Identifier: Apache-2.0
"""Every public name is documented where people look: in its docstring and in the user documentation."""

from __future__ import annotations

import importlib
import inspect
import re
from types import GetSetDescriptorType, MemberDescriptorType, ModuleType

import pytest

import actorpool
from tests.packaging.sources import ROOT, module_of, python_files

# Where `__all__` is missing, the last test says so.
ALL: list[str] = getattr(actorpool, "__all__", [])
NAMES = sorted({*ALL} - {"__version__"})


def _public_modules() -> list[str]:
    names = (module_of(path) for path in python_files("actorpool"))
    return [name for name in names if not any(part.startswith("_") for part in name.split("."))]


def _documents() -> str:
    return "\n".join(
        path.read_text("utf-8") for path in [ROOT / "README.md", *sorted((ROOT / "docs").rglob("*.md"))]
    )


def _undocumented(owner: str, value: object) -> list[str]:
    """The names, of a public object and of its public members, that say nothing about themselves."""
    if not (inspect.isclass(value) or inspect.isroutine(value)):
        return []  # a constant: the module that defines it says what it is
    found = [] if inspect.getdoc(value) else [owner]
    if inspect.isclass(value):
        for name, member in vars(value).items():
            described = not isinstance(member, MemberDescriptorType | GetSetDescriptorType) and hasattr(
                member, "__get__"
            )
            if not name.startswith("_") and described and not inspect.getdoc(getattr(value, name, member)):
                found.append(f"{owner}.{name}")
    return found


@pytest.mark.parametrize("module", _public_modules())
def test_public_names_have_docstrings(module: str) -> None:
    loaded: ModuleType = importlib.import_module(module)
    names: list[str] = getattr(loaded, "__all__", [])

    assert [] == [lack for name in names for lack in _undocumented(f"{module}.{name}", getattr(loaded, name))]


@pytest.mark.parametrize("name", NAMES)
def test_public_names_stand_in_the_user_documentation(name: str) -> None:
    assert re.search(rf"\b{re.escape(name)}\b", _documents()), f"{name} is in neither README.md nor docs/"


def test_all_names_exist_once() -> None:
    assert ALL
    assert [] == [name for name in ALL if not hasattr(actorpool, name)]
    assert len(set(ALL)) == len(ALL)

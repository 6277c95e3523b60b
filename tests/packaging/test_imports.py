# SPDX-License-Identifier: Apache-2.0
"""What `import actorpool` costs, and what its modules may import beyond what import-linter can say."""

from __future__ import annotations

import importlib.util
import json
from collections.abc import Callable

from tests.packaging.sources import PACKAGE, imports, name_of, python_files, run_python

OPTIONAL = {
    "_pytest",
    "aiometer",
    "anyio",
    "cloudpickle",
    "fastapi",
    "httpx",
    "hypothesis",
    "numpy",
    "outcome",
    "pydantic",
    "pytest",
    "ray",
    "rich",
    "sniffio",
    "starlette",
    "trio",
    "uvloop",
}
DOORS = {"cli", "contrib", "dashboard", "instrumentation", "simulate", "testing"}

LOADED = """
import json, sys
before = set(sys.modules)
import actorpool
print(json.dumps(sorted(set(sys.modules) - before)))
"""


def test_import_actorpool_loads_no_optional_library_and_no_door() -> None:
    loaded: list[str] = json.loads(run_python(LOADED))

    assert [] == [name for name in loaded if _root(name) in OPTIONAL]
    doors = {f"actorpool.{door}" for door in DOORS}
    assert [] == [name for name in loaded if name in doors or name.startswith("actorpool._host._trio")]


def test_only_the_doors_import_from_the_root_of_the_package() -> None:
    """`from actorpool import App` climbs to the highest layer, and import-linter cannot see it."""
    names = _imported_by(lambda parts: parts[0].removesuffix(".py") not in DOORS | {"__init__", "__main__"})

    assert [] == [
        (at, name) for at, name in names if _root(name) == "actorpool" and not _is_below_the_root(name)
    ]


def test_trio_is_loaded_only_with_modules_that_are_its_own() -> None:
    names = _imported_by(
        lambda parts: parts[0] != "testing" and not any(part.startswith("_trio") for part in parts),
        at_load=True,
    )

    assert [] == [(at, name) for at, name in names if _root(name) == "trio"]


def _imported_by(
    chosen: Callable[[tuple[str, ...]], bool], *, at_load: bool = False
) -> list[tuple[str, str]]:
    """What the modules of the package import whose path, in parts, is chosen: (file, name)."""
    paths = [path for path in python_files("actorpool") if chosen(path.relative_to(PACKAGE).parts)]
    return [(name_of(path), name) for path in paths for name in imports(path, at_load=at_load)]


def _root(name: str) -> str:
    return name.partition(".")[0]


def _is_below_the_root(name: str) -> bool:
    """Whether an imported name is in a module below the root, or is such a module itself."""
    first, *more = name.split(".")[1:] or [""]
    return bool(more) or (first != "" and importlib.util.find_spec(f"actorpool.{first}") is not None)

# SPDX-License-Identifier: Apache-2.0
"""What the packaging tests look at: the files of the repository and the imports written in them."""

from __future__ import annotations

import ast
import os
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

ROOT = Path(__file__).parents[2]
PACKAGE = ROOT / "actorpool"
FOLDERS = ("actorpool", "benchmarks", "examples", "tests")

# The core, and the public names it may use. None of these may know a loop, a clock, a thread or randomness.
PURE = ("_core", "abc", "events", "exception")


def python_files(*folders: str) -> list[Path]:
    """Every Python file below these folders of the repository (all four when none is named)."""
    return sorted(path for folder in folders or FOLDERS for path in (ROOT / folder).rglob("*.py"))


def name_of(path: Path) -> str:
    """The path from the root of the repository, as test ids and messages show it."""
    return path.relative_to(ROOT).as_posix()


def module_of(path: Path) -> str:
    parts = path.relative_to(ROOT).with_suffix("").parts
    return ".".join(parts[:-1] if parts[-1] == "__init__" else parts)


def pure_files() -> list[Path]:
    return [
        path
        for path in python_files("actorpool")
        if path.relative_to(PACKAGE).parts[0].removesuffix(".py") in PURE
    ]


def imports(path: Path, *, at_load: bool = False) -> Iterator[str]:
    """The absolute names of the modules that a file imports, one for each name of a `from … import a, b`.

    With `at_load`, only what runs when the module is loaded: neither in functions nor for type checkers.
    """
    module = module_of(path)
    package = module if path.name == "__init__.py" else module.rpartition(".")[0]
    pending: list[ast.AST] = [ast.parse(path.read_text("utf-8"))]
    while pending:
        node = pending.pop()
        if at_load and isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef | ast.Lambda):
            continue
        if at_load and isinstance(node, ast.If) and "TYPE_CHECKING" in ast.unparse(node.test):
            pending.extend(node.orelse)
            continue
        if isinstance(node, ast.Import):
            yield from (alias.name for alias in node.names)
        elif isinstance(node, ast.ImportFrom):
            outer = package.split(".")[: 1 - node.level or None] if node.level else []
            base = ".".join([*outer, *(node.module or "").split(".")]).strip(".")
            yield from (f"{base}.{alias.name}" for alias in node.names)
        pending.extend(ast.iter_child_nodes(node))


def plain_environment() -> dict[str, str]:
    """The environment without what makes an interpreter measure coverage or look elsewhere for modules."""
    return {name: value for name, value in os.environ.items() if not name.startswith(("COVERAGE_", "PYTHON"))}


def run_python(program: str, *, cwd: Path = ROOT, **variables: str) -> str:
    """Run a program in a fresh interpreter and return what it prints; it must succeed without a warning."""
    done = subprocess.run(
        [sys.executable, "-c", program],
        cwd=cwd,
        env=plain_environment() | variables,
        capture_output=True,
        text=True,
        timeout=15,
        check=False,
    )
    assert (0, "") == (done.returncode, done.stderr), done.stderr
    return done.stdout

# SPDX-License-Identifier: Apache-2.0
"""The core and the public modules it rests on decide from what they are given alone."""

from __future__ import annotations

import ast
import json
import sys

from tests.packaging.sources import PACKAGE, PURE, imports, module_of, name_of, pure_files, run_python

IMPURE = {
    "_thread",
    "anyio",
    "asyncio",
    "concurrent",
    "multiprocessing",
    "queue",
    "random",
    "sched",
    "secrets",
    "select",
    "selectors",
    "signal",
    "socket",
    "subprocess",
    "threading",
    "time",
    "trio",
    "uuid",
    "uvloop",
}
LIBRARIES = {"attr", "attrs", "cronsim"}

# Loads what the pure modules rest on, takes everything impure away, and then loads the pure modules, in a
# package whose root is empty: nothing else of it can be imported.
PROGRAM = """
import importlib, json, sys, types
resting_on, impure, pure, modules, folder = json.loads({data!r})
for name in resting_on:
    importlib.import_module(name)

class Gate:
    def find_spec(self, name, path=None, target=None):
        first, _, rest = name.partition(".")
        if first in impure or (first == "actorpool" and rest.partition(".")[0] not in pure):
            raise ImportError(f"{{name}} is out of bounds for the core")

sys.modules["actorpool"] = root = types.ModuleType("actorpool")
root.__path__ = [folder]
taken = {{name: module for name, module in sys.modules.items() if name.partition(".")[0] in impure}}
sys.modules.update(dict.fromkeys(taken))
sys.meta_path.insert(0, Gate())
for name in modules:
    importlib.import_module(name)
sys.modules.update(taken)  # the interpreter needs them to end
print(json.dumps(sorted(name for name in sys.modules if name.startswith("actorpool."))))
"""


def test_a_pure_module_names_no_loop_clock_thread_or_randomness() -> None:
    outside = [(at, root) for at, root, _ in _imported() if root != "actorpool"]

    assert [] == [(at, root) for at, root in outside if root in IMPURE]
    assert [] == [(at, root) for at, root in outside if root not in sys.stdlib_module_names | LIBRARIES]


def test_a_pure_module_names_no_shell() -> None:
    ours = [(at, name) for at, root, name in _imported() if root == "actorpool"]

    assert [] == [(at, name) for at, name in ours if f"{name}.".split(".")[1] not in PURE]


def test_a_pure_module_reads_no_wall_clock() -> None:
    """`datetime` is allowed, asking it for the present is not: instants come in as values."""
    clocks = {"date.today", "datetime.now", "datetime.today", "datetime.utcnow"}
    trees = [(name_of(path), ast.parse(path.read_text("utf-8"))) for path in pure_files()]
    named = [
        (at, ast.unparse(node))
        for at, tree in trees
        for node in ast.walk(tree)
        if isinstance(node, ast.Attribute)
    ]

    assert [] == [(at, name) for at, name in named if ".".join(name.split(".")[-2:]) in clocks]


def test_the_pure_modules_load_where_nothing_impure_can_be_imported() -> None:
    paths = pure_files()
    modules = sorted(module_of(path) for path in paths)
    names = {name for path in paths for name in imports(path, at_load=True)}
    resting_on = sorted({_module_in(name) for name in names if not name.startswith("actorpool.")})
    data = json.dumps([resting_on, sorted(IMPURE), PURE, modules, str(PACKAGE)])

    assert modules == json.loads(run_python(PROGRAM.format(data=data)))


def _imported() -> list[tuple[str, str, str]]:
    """Every import of the pure modules: (file, first part of the name, name)."""
    return [(name_of(path), name.partition(".")[0], name) for path in pure_files() for name in imports(path)]


def _module_in(name: str) -> str:
    """The module of an imported name: `collections.abc` of `collections.abc.Callable`."""
    parts = name.split(".")
    return ".".join(parts[:-1]) if len(parts) > 1 else name

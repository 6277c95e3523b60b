# SPDX-License-Identifier: Apache-2.0
"""Every statement of the scaling guide has a test that carries its id and a place in the user documentation.

A test carries an id in its own name or in the name of its class (`test_S07_starmap_unpacks_each_input`), so
that `pytest -k S07` finds it. The documentation carries it as a word: in a heading, a table, a comment.
"""

from __future__ import annotations

import ast
import re
from collections.abc import Iterator
from pathlib import Path

ROOT = Path(__file__).parents[2]

STATEMENTS = {
    "S01": "each function has its own autoscaled pool of containers",
    "S02": "an input that finds no free capacity has a container started for it",
    "S03": "containers that stay idle are stopped",
    "S04": "with no inputs to process a function scales to zero",
    "S05": "autoscaling decisions follow events, not only a clock",
    "S06": "map runs in parallel and yields in input order",
    "S07": "starmap unpacks each input",
    "S08": "an exception is raised at its place, or yielded there when asked",
    "S09": "inputs may be any iterable, lazily consumed",
    "S10": "max_containers is never exceeded",
    "S11": "min_containers stay warm",
    "S12": "buffer_containers are ready beyond those needed while the function is active",
    "S13": "scaledown_window is the longest time a container stays idle",
    "S14": "the trade-off of warm pool, buffer and window is visible in figures",
    "S15": "update_autoscaler changes settings without a redeploy",
    "S16": "an update merges with those before it",
    "S17": "the next deploy puts the decorator's settings back",
    "S18": "a schedule runs a function, in its time zone, and it may change a pool's settings",
    "S19": "a parameter set of a class has a pool and settings of its own",
    "S20": "a container executes up to max_inputs at once",
    "S21": "each concurrent input of a sync function runs in a thread of its own",
    "S22": "each concurrent input of an async function is a task; blocking the loop is told",
    "S23": "max_inputs is hard, target_inputs is what the autoscaler aims for",
    "S24": "at most 2,000 pending inputs",
    "S25": "at most 25,000 inputs in all",
    "S26": "spawn may have 1,000,000 pending inputs",
    "S27": "beyond a limit a call fails at once and says so; nothing accepted is lost",
    "S28": "one map has at most 1,000 inputs in flight and holds the rest back",
    "S29": "every blocking verb has an aio twin",
    "S30": "remote.aio under asyncio.gather runs in parallel",
    "S31": "Python's own map over a function object says what to write instead",
    "S32": "calling a function object and then map says what to write instead",
    "S33": "a blocking verb on the loop that serves it raises and names the aio twin",
}


def _test_names(body: list[ast.stmt], prefix: str = "") -> Iterator[str]:
    """The names of the tests in a body, each with the name of its class."""
    for node in body:
        if isinstance(node, ast.ClassDef) and node.name.startswith("Test"):
            yield from _test_names(node.body, f"{node.name}.")
        elif isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef) and node.name.startswith("test"):
            yield prefix + node.name


def test_every_statement_has_a_test_that_carries_its_id() -> None:
    paths = (ROOT / "tests" / "api").rglob("test_*.py")
    names = [name for path in paths for name in _test_names(ast.parse(path.read_text("utf-8")).body)]
    carried = {id for name in names for id in re.findall(r"S\d\d", name)}

    assert {} == {id: text for id, text in STATEMENTS.items() if id not in carried}


def test_every_statement_has_a_place_in_the_documentation() -> None:
    paths = [ROOT / "README.md", *(ROOT / "docs").rglob("*.md")]
    named = {id for path in paths for id in re.findall(r"\bS\d\d\b", path.read_text("utf-8"))}

    assert {} == {id: text for id, text in STATEMENTS.items() if id not in named}

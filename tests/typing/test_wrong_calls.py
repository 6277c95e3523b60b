# SPDX-License-Identifier: Apache-2.0
"""Type checkers object to wrong arguments of every verb, and to nothing else."""

from __future__ import annotations

import re
import subprocess
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[2]

SNIPPET = """
import actorpool as modal

app = modal.App("wrong")


@app.function()
def f(x: int, *, suffix: str = "") -> str:
    return f"{x}{suffix}"


@app.function()
@modal.batched(max_batch_size=2, wait_ms=1)
async def g(xs: list[int]) -> list[str]:
    return [str(x) for x in xs]


@app.cls()
class Model:
    @modal.method()
    async def run(self, x: int) -> bytes:
        return bytes(x)


async def main() -> None:
    f.remote(1, suffix="a")
    f.remote("a")  # wrong
    f.remote()  # wrong
    f.remote(1, nonsense=2)  # wrong
    f.local(x="a")  # wrong
    await f.remote.aio("a")  # wrong
    f.spawn("a")  # wrong
    number: int = f.remote(1)  # wrong
    f.with_options(max_containers=3).remote("a")  # wrong
    f.with_options(max_containers="3")  # wrong
    f.map([1, 2], order_outputs=False)
    f.map([1, 2], ordered=False)  # wrong
    g.remote(1)
    g.remote([1])  # wrong
    Model().run.remote(1)
    Model().run.remote("a")  # wrong
    Model().runs.remote(1)  # wrong
    Model(size=3)  # wrong
    app.function(min_containers="3")  # wrong
"""


@pytest.mark.slow
@pytest.mark.timeout(120)
def test_mypy_objects_to_wrong_arguments_and_to_nothing_else(tmp_path: Path) -> None:
    snippet = tmp_path / "snippet.py"
    snippet.write_text(SNIPPET, "utf-8")
    options = ["--no-error-summary", "--hide-error-context", "--disable-error-code=unused-awaitable"]

    # The repository's own cache: what is known of the package need not be found out again.
    checked = subprocess.run(
        [sys.executable, "-m", "mypy", *options, str(snippet)],
        cwd=ROOT,
        capture_output=True,
        text=True,
        check=False,
    )

    lines = SNIPPET.splitlines()
    objected = {int(number) for number in re.findall(r"snippet\.py:(\d+):(?:\d+:)? error", checked.stdout)}
    expected = {number for number, line in enumerate(lines, 1) if line.endswith("# wrong")}
    assert [lines[number - 1] for number in sorted(expected)] == [
        lines[number - 1] for number in sorted(objected)
    ], checked.stdout + checked.stderr

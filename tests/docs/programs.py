# SPDX-License-Identifier: Apache-2.0
"""The programs that the documentation shows, in code blocks of pages and in examples, and how to run them.

A fenced `python` block is a whole program. A comment on the lines above its fence says otherwise:

* `<!-- continues -->`: it goes on from the block before it, and is run after that one's text;
* `<!-- no-run: reason -->`: it is not run (a signature, a fragment), for the reason given;
* `<!-- output -->` above a `text` block: that block is exactly what the program before it prints.

A program with a local entrypoint is run by `actorpool run`, one with tests by pytest, any other one by `python`. An
example documents its commands in its module docstring, on lines that begin with `$ `; each is run, and must end by
itself.
"""

from __future__ import annotations

import ast
import os
import re
import shlex
import subprocess
import sys
from pathlib import Path

from attrs import define, field

ROOT = Path(__file__).parents[2]
PAGES = [ROOT / "README.md", ROOT / "CONTRIBUTING.md", *sorted((ROOT / "docs").rglob("*.md"))]
EXAMPLES = sorted((ROOT / "examples").rglob("*.py"))
TIMEOUT_S = 60.0
# With the plugin of this tree, installed or not, and nobody else's.
PYTEST = ["-m", "pytest", "-q", "-p", "no:cacheprovider", "-p", "_actorpool_pytest"]

_FENCE = re.compile(r"^(?P<indent> *)(?P<ticks>`{3,})(?P<language>\w*)")
_COMMENT = re.compile(r"^ *<!-- (?P<word>continues|no-run|output)(?:: *(?P<reason>.*?))? *-->$")


@define
class Block:
    """A fenced block of a page; `line` is that of its fence."""

    page: Path
    line: int
    language: str
    words: dict[str, str]
    lines: list[str] = field(factory=list)

    @property
    def text(self) -> str:
        return "\n".join(self.lines) + "\n"

    def __str__(self) -> str:
        return f"{os.path.relpath(self.page, ROOT)}:{self.line}"


@define
class Program:
    """A block that is run, after the text of those it continues; `output` is None where none is shown."""

    block: Block
    source: str
    output: str | None = None


def blocks(page: Path) -> list[Block]:
    """The fenced blocks of a page in order, each with the comments directly above it."""
    found: list[Block] = []
    words: dict[str, str] = {}
    inside: tuple[str, int] | None = None
    for number, line in enumerate(page.read_text("utf-8").splitlines(), 1):
        if inside is not None:
            ticks, indent = inside
            if line.strip() == ticks:
                inside, words = None, {}
            else:
                found[-1].lines.append(line[indent:])
        elif fence := _FENCE.match(line):
            found.append(Block(page, number, fence["language"], words))
            inside = fence["ticks"], len(fence["indent"])
        elif comment := _COMMENT.match(line):
            words[comment["word"]] = comment["reason"] or ""
        elif line.strip():
            words = {}
    return found


def programs(page: Path) -> list[Program]:
    """The programs of a page, in order."""
    found: list[Program] = []
    for block in blocks(page):
        if block.language == "python" and "no-run" in block.words:
            assert block.words["no-run"], f"{block}: <!-- no-run: … --> must give the reason"
        elif block.language == "python":
            before = found[-1].source + "\n" if "continues" in block.words else ""
            found.append(Program(block, before + block.text))
        elif "output" in block.words:
            found[-1].output = block.text
    return found


def commands(example: Path) -> list[str]:
    """The commands that an example documents."""
    text = ast.get_docstring(ast.parse(example.read_text("utf-8"))) or ""
    return [line.strip().removeprefix("$ ") for line in text.splitlines() if line.strip().startswith("$ ")]


def run_program(source: str, folder: Path) -> str:
    """Run a program in a folder of its own and return what it prints."""
    tests = re.search(r"^def test_", source, re.MULTILINE) is not None
    path = folder / ("test_program.py" if tests else "program.py")
    path.write_text(source, "utf-8")
    how = ["-m", "actorpool", "run"] if ".local_entrypoint(" in source else PYTEST if tests else []
    return _run([*how, path.name], folder)


def run_command(command: str) -> str:
    """Run an example's command from the root of the repository and return what it prints."""
    first, *rest = shlex.split(command)
    runners = {"python": [], "actorpool": ["-m", "actorpool"]}
    assert first in runners, f"{command!r}: a command that is run begins with one of {sorted(runners)}"
    return _run([*runners[first], *rest], ROOT)


def _run(arguments: list[str], cwd: Path) -> str:
    # Not measured, for which dozens of interpreters would take twice as long.
    inherited = {name: value for name, value in os.environ.items() if not name.startswith("COVERAGE_")}
    done = subprocess.run(
        [sys.executable, "-W", "error", *arguments],
        cwd=cwd,
        # As in CI, where hypothesis draws the same examples each time and no machine is too slow for it.
        env={**inherited, "PYTEST_DISABLE_PLUGIN_AUTOLOAD": "1", "CI": "true"},
        stdin=subprocess.DEVNULL,
        capture_output=True,
        text=True,
        check=False,
        timeout=TIMEOUT_S,
    )
    assert done.returncode == 0, f"exit {done.returncode}\n{done.stdout}\n{done.stderr}"
    return done.stdout

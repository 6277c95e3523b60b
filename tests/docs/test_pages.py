# SPDX-License-Identifier: Apache-2.0
"""What the pages show is true: their programs run, their links and paths lead somewhere."""

from __future__ import annotations

import re
from pathlib import Path

import pytest

from tests.docs.programs import PAGES, ROOT, Program, programs, run_program

_LINK = re.compile(r"\]\((?!https?:|mailto:|#)(?P<target>[^)#\s]+)")
_PATH = re.compile(r"(?<![\w/.-])(?:actorpool|benchmarks|docs|examples|tests)/[\w./-]*\w")


def _id(value: Program) -> str:
    return str(value.block)


@pytest.mark.slow
@pytest.mark.timeout(90)
@pytest.mark.parametrize(
    "program", [program for page in PAGES if page.is_file() for program in programs(page)], ids=_id
)
def test_a_program_of_a_page_runs(program: Program, tmp_path: Path) -> None:
    output = run_program(program.source, tmp_path)

    if program.output is not None:
        assert program.output == output


@pytest.mark.parametrize("page", PAGES, ids=lambda page: page.name)
def test_links_and_paths_of_a_page_lead_somewhere(page: Path) -> None:
    text = page.read_text("utf-8")
    links = {
        match["target"] for match in _LINK.finditer(text) if not (page.parent / match["target"]).exists()
    }
    paths = {match[0] for match in _PATH.finditer(text) if not (ROOT / match[0]).exists()}

    assert set() == links | paths


def test_the_readme_shows_a_program_and_the_command_that_tests() -> None:
    readme = ROOT / "README.md"
    marked = re.findall(
        r"^<!-- test command -->\n```\w*\n(.+?)\n```", readme.read_text("utf-8"), re.MULTILINE | re.DOTALL
    )

    assert programs(readme)
    assert [True] == ["-m pytest" in command for command in marked]

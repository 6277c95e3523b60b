# SPDX-License-Identifier: Apache-2.0
"""Every row of `docs/modal.md` has a test that carries its id, or the reason why it is left out.

A test carries an id in its own name or in the name of its class, with an underscore in place of the point:
`M8.3` is `test_M8_3_a_full_batch_runs_at_once`, so that `pytest -k M8_3_` finds it.
"""

from __future__ import annotations

import ast
import re
from collections.abc import Iterator
from pathlib import Path

import pytest
from attrs import frozen

ROOT = Path(__file__).parents[2]
PAGE = ROOT / "docs" / "modal.md"

_SECTION = re.compile(r"^## (?P<number>\d+)\. \S")
_ROW = re.compile(r"^\| (?P<id>M(?P<section>\d+)\.(?P<row>\d+)) \| (?P<there>.+?) \| (?P<here>.+?) \|$")
_CARRIED = re.compile(r"(?<![A-Za-z\d])M(\d+)_(\d+)(?=_|$)")
_LEFT_OUT = re.compile(r"left out(?P<reason>.*)")


@frozen
class Row:
    """A row of the page: its id, what the original has, and what there is here."""

    id: str
    section: int
    number: int
    here: str

    @property
    def is_left_out(self) -> bool:
        return self.here.startswith("left out")


def _rows(page: str) -> list[Row]:
    """The rows of the tables; each line of a table that is no row of this form fails."""
    found: list[Row] = []
    section = 0
    for line in page.splitlines():
        if heading := _SECTION.match(line):
            section = int(heading["number"])
        elif line.startswith("|") and not line.startswith(("| id |", "| --- |")):
            row = _ROW.match(line)
            assert row, f"no row: {line}"
            assert section == int(row["section"]), f"{row['id']} stands in section {section}"
            found.append(Row(row["id"], section, int(row["row"]), row["here"]))
    return found


def _carried(name: str) -> set[str]:
    """The ids that the name of a test carries."""
    return {f"M{section}.{row}" for section, row in _CARRIED.findall(name)}


def _test_names(body: list[ast.stmt], prefix: str = "") -> Iterator[str]:
    """The names of the tests in a body, each with the name of its class."""
    for node in body:
        if isinstance(node, ast.ClassDef) and node.name.startswith("Test"):
            yield from _test_names(node.body, f"{node.name}_")
        elif isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef) and node.name.startswith("test"):
            yield prefix + node.name


ROWS = _rows(PAGE.read_text("utf-8"))


def _ids_of_tests() -> dict[str, list[str]]:
    """`{id: where the tests are that carry it}`."""
    found: dict[str, list[str]] = {}
    for path in sorted((ROOT / "tests").rglob("test_*.py")):
        for name in _test_names(ast.parse(path.read_text("utf-8")).body):
            for id in _carried(name):
                found.setdefault(id, []).append(f"{path.relative_to(ROOT).as_posix()}::{name}")
    return found


def test_the_rows_are_numbered_in_their_sections() -> None:
    assert ROWS
    sections = dict.fromkeys(row.section for row in ROWS)

    assert sorted(sections) == list(sections)
    for section in sections:
        numbers = [row.number for row in ROWS if row.section == section]
        assert list(range(1, len(numbers) + 1)) == numbers, f"section {section}"


def test_every_row_has_a_test_that_carries_its_id_or_is_left_out() -> None:
    carried = _ids_of_tests().keys()

    assert {} == {row.id: row.here for row in ROWS if not row.is_left_out and row.id not in carried}


def test_what_is_left_out_is_so_for_a_reason() -> None:
    reasons = {row.id: _LEFT_OUT.match(row.here) for row in ROWS if row.is_left_out}

    assert [] == [
        id for id, found in reasons.items() if not found or not re.match(": .{20}", found["reason"])
    ]


def test_no_test_carries_an_id_that_is_not_in_the_list() -> None:
    known = {row.id for row in ROWS if not row.is_left_out}

    assert {} == {id: tests for id, tests in _ids_of_tests().items() if id not in known}


@pytest.mark.parametrize(
    ("name", "ids"),
    [
        ("test_M8_3_a_full_batch_runs_at_once", {"M8.3"}),
        ("test_S19_M5_1_M5_13_hooks", {"M5.1", "M5.13"}),
        ("TestM11_2_ids_test_of_a_map", set()),
        ("Test_M11_2_test_of_a_map", {"M11.2"}),
        ("test_a_row_of_M9", set()),
        ("test_M5_x", set()),
    ],
)
def test_ids_are_read_from_names(name: str, ids: set[str]) -> None:
    assert ids == _carried(name)


def test_a_line_of_a_table_that_is_no_row_is_not_passed_over() -> None:
    table = "## 1. Apps\n\n| id | Modal | here |\n| --- | --- | --- |\n"

    assert ["M1.1"] == [row.id for row in _rows(f"{table}| M1.1 | this | the same |\n")]
    for line in ("| 1.1 | this | the same |", "| M1.1 | this |", "| M2.1 | this | the same |"):
        with pytest.raises(AssertionError, match=r"no row|stands in section 1"):
            _rows(f"{table}{line}\n")

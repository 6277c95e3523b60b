# SPDX-License-Identifier: Apache-2.0
"""A plan is plain data: it survives a file, and a file of something else is refused."""

from __future__ import annotations

import json
from pathlib import Path

import pytest
from hypothesis import given

from actorpool.exception import InvalidError
from actorpool.testing import Plan, strategies
from actorpool.testing._simulation_failure import load, save
from actorpool.testing._simulation_plan import plan_from, plan_to
from actorpool.testing.replay import main as replay


@given(strategies.plans(max_actions=10))
def test_a_plan_is_the_same_when_it_has_been_in_a_file(plan: Plan) -> None:
    assert plan == plan_from(json.loads(json.dumps(plan_to(plan))))


def test_what_is_saved_is_loaded(tmp_path: Path) -> None:
    file = tmp_path / "found.json"
    save(Plan(seed=7), "nothing_is_left: a task", file)

    assert (Plan(seed=7), "nothing_is_left: a task") == load(file)


@pytest.mark.parametrize("text", ["", "{}", "[]", '{"format": "actorpool simulation", "version": 2}'])
def test_a_file_of_something_else_is_refused(
    text: str, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    file = tmp_path / "other.json"
    file.write_text(text, "utf-8")

    with pytest.raises(InvalidError, match="no simulation"):
        load(file)
    assert 2 == replay([str(file)])
    assert "no simulation" in capsys.readouterr().err


@pytest.mark.parametrize(
    "data", [{"version": 2}, {"version": 1, "what": 3}, {"version": 1, "actions": [{"kind": "map"}]}]
)
def test_what_is_no_plan_is_refused(data: dict) -> None:
    with pytest.raises(InvalidError, match=r"plan of"):
        plan_from(data)

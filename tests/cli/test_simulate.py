# SPDX-License-Identifier: Apache-2.0
"""`actorpool simulate`: a recorded or synthetic workload under settings to compare."""

from __future__ import annotations

import json
import threading
from pathlib import Path
from xml.etree import ElementTree

import pytest

import actorpool as modal
from actorpool.simulate import record
from tests.cli.support import Command

MINE = """
from actorpool import Decision, WindowPolicy

class Mine(WindowPolicy):
    pass

class Nothing:
    pass

prepared = WindowPolicy(worthwhile_s=0.5)
"""


@pytest.fixture
def trace(tmp_path: Path) -> Path:
    """A recording of an app with two functions."""
    app = modal.App("shop")
    gate = threading.Event()

    @app.function(max_containers=3)
    def work(x: int) -> int:
        return x

    @app.function()
    def other() -> None:
        gate.wait(10)

    path = tmp_path / "trace.mp"
    with record(app, path), app.run():
        list(work.map(range(9)))
        gate.set()
        other.remote()
    return path


def test_a_recording_is_shown_beside_what_really_happened(command: Command, trace: Path) -> None:
    outcome = command("simulate", str(trace), "--set", "max_containers=1,2", "--set", "max_containers=none")

    assert (0, "") == (outcome.status, outcome.err)
    lines = outcome.out.splitlines()
    assert lines[0].startswith("work: 9 inputs in ")
    assert "other functions in the recording, for --function: other" == lines[-1]
    labels = [line.removeprefix("*").split()[0] for line in lines[4:8]]
    assert ["as", "max_containers=1", "max_containers=2", "max_containers=none"] == labels


def test_another_function_of_the_recording_can_be_named(command: Command, trace: Path) -> None:
    other = command("simulate", str(trace), "--function", "other").out
    assert other.startswith("other: 1 input in ")
    assert "--function" not in other

    missing = command("simulate", str(trace), "--function", "third")
    assert 1 == missing.status
    assert missing.err == (
        "actorpool simulate: error: the recording of app 'shop' has no function 'third'; it has: work, other\n"
    )


def test_settings_and_policies_are_compared_in_all_combinations(
    command: Command, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "mine_to_simulate.py").write_text(MINE)
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr("sys.path", [*__import__("sys").path])
    mine = ["--policy", "mine_to_simulate:Mine", "--policy", "mine_to_simulate:prepared"]

    outcome = command(
        *("simulate", "--family", "steady", "--load", "0.05", "--json", "--policy", "window", *mine),
        *("--set", "scaledown_window=5s,500ms", "--set", "max_inputs=2"),
    )

    figures = [json.loads(line) for line in outcome.out.splitlines()]
    assert [line["label"] for line in figures] == [
        f"{policy}, scaledown_window={window}, max_inputs=2"
        for policy in ("window", "mine_to_simulate:Mine", "mine_to_simulate:prepared")
        for window in ("5 s", "500 ms")
    ]
    assert {2} == {line["concurrency"]["max_inputs"] for line in figures}
    assert [5.0, 0.5] == [line["settings"]["scaledown_window"] for line in figures[:2]]
    assert all(line["container_seconds"] > 0 and line["clairvoyant_s"] > 0 for line in figures)


def test_the_adaptive_policy_takes_its_eagerness(command: Command) -> None:
    adaptive = [word for knob in ("adaptive", "adaptive:0.3", "adaptive:5") for word in ("--policy", knob)]

    outcome = command("simulate", "--family", "bursts-heavy", "--load", "0.3", "--json", *adaptive)

    figures = [json.loads(line) for line in outcome.out.splitlines()]
    assert ["adaptive", "adaptive:0.3", "adaptive:5"] == [line["label"] for line in figures]
    middle, thrifty, eager = (line["container_seconds"] for line in figures)
    assert thrifty < middle < eager


def test_pictures_are_drawn(command: Command, tmp_path: Path) -> None:
    course, costs = tmp_path / "course.svg", tmp_path / "costs.svg"

    outcome = command(
        *("simulate", "--family", "cron", "--seed", "7", "--startup", "10ms", "--load", "0.2"),
        *("--set", "scaledown_window=30s,5min", "--plot", str(course), "--plot-costs", str(costs)),
    )

    assert (0, "") == (outcome.status, outcome.err)
    assert outcome.out.startswith("cron seed 7: ")
    assert outcome.out.endswith(f"\ndrawn: {course}\ndrawn: {costs}\n")
    assert "scaledown_window=5 min" in course.read_text("utf-8")
    for path in (course, costs):
        ElementTree.parse(path)


@pytest.mark.parametrize(
    ("words", "why"),
    [
        ([], "name the file of a recording, or --family NAME"),
        (["t.mp", "--family", "cron"], "name either the file of a recording or --family, not both"),
        (["shop.py"], "'shop.py' is a program; record it first: actorpool record trace.mp shop.py"),
        (["t.mp", "--set", "max_container=3"], "no setting 'max_container'; did you mean max_containers?"),
        (["t.mp", "--set", "colour=3"], "no setting 'colour'; there are min_containers, max_containers"),
        (["t.mp", "--set", "max_containers"], "lacks its value; write max_containers=VALUE"),
        (["t.mp", "--set", "max_containers=3,x"], "max_containers: 'x' is no whole number"),
        (["t.mp", "--set", "scaledown_window=soon"], "scaledown_window: 'soon' is no length of time"),
        (["t.mp", "--policy", "fast"], "there is no policy 'fast'; write window, adaptive, adaptive:2, or"),
        (["t.mp", "--policy", "adaptive:fast"], "'fast' is no number; adaptive:2 waits less"),
        (["t.mp", "--policy", "adaptive:0"], "eagerness must be more than 0, and finite, not 0.0"),
        (["t.mp", "--policy", "nowhere:Mine"], "there is no module 'nowhere' for policy 'nowhere:Mine'"),
        (["t.mp", "--policy", "json:Mine"], "module 'json' has no 'Mine'"),
        (["t.mp", "--policy", "json:JSONEncoder"], "'json:JSONEncoder' makes no policy"),
        (["t.mp", "--policy", "json:__all__"], "policy must be a policy"),
        (["--family", "stedy"], "invalid choice: 'stedy'"),
        (["t.mp", "--plot", "course.png"], "'course.png' must end in .svg"),
        (["t.mp", "--plot", "/no/such/course.svg"], "there is no folder '/no/such'"),
        (["t.mp", "--startup", "-1"], "'-1' is no length of time"),
    ],
)
def test_wrong_words_are_explained(command: Command, words: list[str], why: str) -> None:
    outcome = command("simulate", *words)

    assert 2 == outcome.status
    assert why in outcome.err


@pytest.mark.parametrize(
    ("words", "why"),
    [
        (
            ["--set", "min_containers=5", "--set", "max_containers=3"],
            "max_containers (3) is less than min_containers (5)",
        ),
        (
            ["--set", "max_inputs=2", "--set", "target_inputs=3"],
            "target_inputs (3) is greater than max_inputs (2)",
        ),
        (["--set", f"max_containers={','.join(map(str, range(1, 70)))}"], "that makes 69 combinations"),
        (["--set", "max_containers=1,2,3,4,5,6,7,8,9", "--plot", "x.svg"], "--plot would draw 9 panels"),
        (["--load", "0"], "load must be more than 0, and finite, not 0.0"),
    ],
)
def test_contradictions_are_explained(command: Command, words: list[str], why: str) -> None:
    outcome = command("simulate", "--family", "steady", *words)

    assert (1, "") == (outcome.status, outcome.out)
    assert why in outcome.err


def test_a_file_that_cannot_be_used_is_named(command: Command, tmp_path: Path) -> None:
    missing = command("simulate", str(tmp_path / "none.mp"))
    assert (
        1,
        f"actorpool simulate: error: '{tmp_path}/none.mp' cannot be read: No such file or directory\n",
    ) == (
        missing.status,
        missing.err,
    )
    (tmp_path / "foreign.mp").write_text("hello")
    foreign = command("simulate", str(tmp_path / "foreign.mp"))
    assert 1 == foreign.status
    assert "is no whole recording of actorpool" in foreign.err


def test_help_says_how(command: Command) -> None:
    outcome = command("simulate", "--help")

    assert 0 == outcome.status
    assert "actorpool simulate trace.mp --set max_containers=4" in outcome.out
    assert "simulate    what would other settings have cost" in command("--help").out

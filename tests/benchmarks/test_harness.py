# SPDX-License-Identifier: Apache-2.0
"""The benchmarks run, check what every contender returns, and report what happened. No figure is judged here."""

from __future__ import annotations

import json
from collections.abc import AsyncIterator, Callable, Iterator
from pathlib import Path
from typing import Any
from xml.etree import ElementTree

import pytest

from benchmarks.__main__ import main
from benchmarks._harness import Row, run_workload
from benchmarks._measures import Metric, PerInput, Reported
from benchmarks._pictures import draw
from benchmarks._registry import Contender, Goal, Workload, contenders, load
from benchmarks._report import compare, summary, table
from benchmarks._results import write_results

# A few inputs are enough to see that a contender works; these need more time than that for other reasons:
# processes, a thousand containers.
SLOW = {
    "async-sleep",
    "backlog-depth",
    "containers",
    "idle",
    "import",
    "pending",
    "pools",
    "service",
    "sync-sleep",
}
SLOW |= {workload.name for workload in load() if "process" in workload.name or "1000" in workload.name}
INPUTS = {
    "idle": 0,
    "import": 1,
    "backlog-depth": 100,
    "process-echo-1m": 2,
    "service": 10,
    "start-process": 2,
}


def a_workload(**changes: Any) -> Workload:
    options: dict[str, Any] = {
        "name": "w",
        "title": "a workload",
        "measure": PerInput(),
        "full": 10,
        "quick": 10,
    }
    return Workload(**(options | changes))


def a_contender(function: Callable[..., Any], **changes: Any) -> Contender:
    options: dict[str, Any] = {"name": function.__name__, "workload": "w", "role": "peer", "requires": ()}
    return Contender(**(options | changes), function=function)


def numbers(n: int) -> list[int]:
    return list(range(n))


# The peers' own way to make processes; newer interpreters warn of it.
@pytest.mark.filterwarnings("ignore:.*multi-threaded.*fork:DeprecationWarning")
@pytest.mark.usefixtures("at_full_speed")
@pytest.mark.parametrize(
    "name",
    [
        pytest.param(workload.name, marks=[pytest.mark.slow] if workload.name in SLOW else [])
        for workload in load()
    ],
)
def test_every_contender_of_a_workload_gives_right_results(name: str) -> None:
    [workload] = [workload for workload in load() if workload.name == name]

    rows = run_workload(workload, rounds=1, n=INPUTS.get(name, 20))

    assert {} == {row.contender: row.failed for row in rows if row.failed}
    assert {contender.name for contender in contenders(name)} == {
        row.contender for row in rows if row.samples or row.skipped
    }
    assert {len(workload.measure.metrics)} == {
        sum(row.contender == contender.name for row in rows) for contender in contenders(name)
    }


def test_contenders_take_turns_after_a_smaller_round_that_does_not_count() -> None:
    runs: list[tuple[str, int]] = []

    def one(n: int) -> list[int]:
        runs.append(("one", n))
        return numbers(n)

    def two(n: int) -> list[int]:
        runs.append(("two", n))
        return numbers(n)

    rows = run_workload(a_workload(), rounds=2, n=100, chosen=[a_contender(one), a_contender(two)])

    whole = [name for name, n in runs if n == 100]
    assert ["one", "two", "one", "two"] == whole
    assert [("one", 1), ("one", 10), ("two", 1), ("two", 10)] == runs[:4]
    assert [2, 2, 2, 2] == [len(row.samples) for row in rows]


def test_a_contender_with_wrong_results_is_a_row_that_says_so() -> None:
    def wrong(n: int) -> list[int]:
        return [0] * n

    workload = a_workload()
    rows = run_workload(workload, rounds=1, n=10, chosen=[a_contender(wrong), a_contender(numbers)])

    assert rows[0].failed is not None
    assert "in order" in rows[0].failed
    assert "FAILED: WrongResultError" in table(workload, 10, rows)
    assert 1 == len(rows[2].samples)


def test_a_missing_peer_is_a_row_that_says_so() -> None:
    workload = a_workload()
    rows = run_workload(workload, rounds=1, n=10, chosen=[a_contender(numbers, requires=("no_such_peer",))])

    assert "skipped: no_such_peer is not there" in table(workload, 10, rows)


def test_what_a_contender_sets_up_is_torn_down_after_each_sample() -> None:
    steps: list[str] = []

    def sync() -> Iterator[Any]:
        steps.append("up")
        yield numbers
        steps.append("down")

    async def asynchronous() -> AsyncIterator[Any]:
        async def run(n: int) -> list[int]:
            return numbers(n)

        steps.append("up")
        yield run
        steps.append("down")

    chosen = [a_contender(sync), a_contender(asynchronous)]
    rows = run_workload(a_workload(), rounds=1, n=10, chosen=chosen)

    assert [None, None, None, None] == [row.failed for row in rows]
    assert ["up", "down"] * 4 == steps


@pytest.mark.parametrize("loop", ["asyncio", "uvloop"])
def test_asynchronous_contenders_run_on_the_loop_that_was_asked_for(loop: str) -> None:
    async def module_of_loop(n: int) -> list[int]:
        import asyncio

        assert type(asyncio.get_running_loop()).__module__.startswith(loop)
        return numbers(n)

    rows = run_workload(a_workload(), rounds=1, n=10, loop=loop, chosen=[a_contender(module_of_loop)])

    assert [None, None] == [row.failed for row in rows]


def test_the_table_marks_wide_spreads_and_says_which_goals_were_met() -> None:
    def row(name: str, role: str, *samples: float) -> Row:
        return Row("w", name, role, "cost", "µs", samples=list(samples))

    goals = (Goal("must", 2.0, "floor"), Goal("ambition", 0.4, "other"), Goal("must", 3.0))
    workload = a_workload(measure=Reported(Metric("cost", "µs")), goals=goals)
    rows = [row("ours", "ours", 3, 3, 3), row("other", "peer", 3, 6, 9), row("least", "floor", 1.5, 1.5, 1.5)]

    lines = table(workload, 10, rows).splitlines()

    assert [
        "w: a workload (10 inputs a sample)",
        "cost, µs median spread × floor × best peer",
        "ours ours 3.00 0% 2.00 0.50",
        "peer other 6.00 ~50% 4.00 1.00",
        "floor least 1.50 0% 1.00 0.25",
        "must <= 2 × least: met (2.00)",
        "ambition <= 0.4 × other: MISSED (0.50)",
        "must <= 3.00 µs: met (3.00)",
    ] == [" ".join(line.split()) for line in lines]


@pytest.mark.parametrize(("bound", "told"), [(1.0, True), (9.0, False)])
def test_the_remark_of_a_workload_stands_where_it_misses_a_goal(
    bound: float, told: bool, tmp_path: Path
) -> None:
    workload = a_workload(goals=(Goal("must", bound),), remark="Tried in vain.")
    rows = [Row("w", "ours", "ours", "time per input", "µs", samples=[2.0, 2.0])]
    about = {"when": "now", "minutes": 1, "quick": False, "python": "CPython", "cpus": 2, "machine": "m"}
    about |= {"load": 0.0, "load after": 0.0, "rounds": 2, "versions": {}}

    write_results(tmp_path / "page.md", about, [workload], {"asyncio": rows}, "command")

    assert told == ("* w: Tried in vain." in (tmp_path / "page.md").read_text("utf-8"))
    assert told == ("Tried in vain." in summary("goals", [workload], rows))


def test_a_change_within_the_spread_is_none() -> None:
    def row(*samples: float) -> Row:
        return Row("w", "ours", "ours", "cost", "µs", samples=list(samples))

    about = {"python": "P", "loop": "L", "when": "then"}

    def verdict(old: Row, new: Row) -> str:
        return (
            compare({"about": about, "rows": [old.document()]}, [new])
            .splitlines()[1]
            .partition("×")[2]
            .strip()
        )

    assert ["", "more", "less"] == [
        verdict(row(9, 10, 11), row(10.2)),
        verdict(row(10), row(20)),
        verdict(row(10), row(5)),
    ]


def test_the_command_keeps_every_sample_and_compares_with_an_earlier_run(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    file = tmp_path / "samples.json"
    small = ["--quick", "--only", "call-a*", "--inputs", "20", "--rounds", "2"]

    assert 0 == main([*small, "--json", str(file)])
    assert 0 == main([*small, "--markdown", "--compare", str(file)])

    kept = json.loads(file.read_text("utf-8"))
    assert {2} == {len(row["samples"]) for row in kept["rows"]}
    assert {"python", "cpus", "load", "load after", "versions"} <= set(kept["about"])
    text = capsys.readouterr().out
    assert "| **actorpool** |" in text
    assert "call-async · actorpool" in text


def test_a_pattern_that_matches_nothing_is_refused(capsys: pytest.CaptureFixture[str]) -> None:
    assert 2 == main(["--only", "no-such-workload"])
    assert "no-such-workload" in capsys.readouterr().err


def test_pictures_and_a_page_of_results_are_made_of_one_run(tmp_path: Path) -> None:
    page = tmp_path / "RESULTS.md"
    asked = [
        "--quick",
        "--rounds",
        "2",
        "--inputs",
        "20",
        "--loop",
        "both",
        "--only",
        "call-async",
        "--only",
        "slots-1*",
    ]

    assert 0 == main([*asked, "--results", str(page), "--plots", str(tmp_path / "plots")])

    text = page.read_text("utf-8")
    assert "python -m benchmarks --quick --rounds 2 --inputs 20" in text
    assert (
        "Must: 1 met, 0 missed, 0 not measured." in text or "Must: 0 met, 1 missed, 0 not measured." in text
    )
    assert {"## Goals on asyncio", "## Goals on uvloop", "## Figures on uvloop"} <= set(text.splitlines())
    pictures = {"call-async.svg", "call-async-latency.svg", "concurrency-slots-of-one-container.svg"}
    for folder in (tmp_path / "pictures", tmp_path / "plots"):
        assert pictures == {file.name for file in folder.iterdir()}
        for file in folder.iterdir():
            assert ElementTree.fromstring(file.read_text("utf-8")).tag.endswith("svg")
    assert all(f"(pictures/{name})" in text for name in pictures)


def test_a_wide_spread_is_marked_in_a_picture(tmp_path: Path) -> None:
    workload = a_workload(measure=Reported(Metric("cost", "µs")))
    rows = [
        Row("w", "one <&>", "ours", "cost", "µs", samples=[1.0, 5.0, 9.0]),
        Row("w", "two", "floor", "cost", "µs", samples=[0.01] * 3),
    ]

    draw([workload], rows, tmp_path)

    texts = [
        element.text for element in ElementTree.fromstring((tmp_path / "w.svg").read_text("utf-8")).iter()
    ]
    assert {"one <&>", "5.00 ~", "0.01"} <= set(texts)
    assert any("logarithmic" in (text or "") for text in texts)


def test_one_that_takes_seconds_to_start_is_left_out_of_a_quick_run_and_has_fewer_rounds() -> None:
    chosen = [a_contender(numbers, most_rounds=1), a_contender(numbers, name="other")]

    quick = run_workload(a_workload(), rounds=3, n=10, chosen=chosen, quick=True)
    whole = run_workload(a_workload(), rounds=3, n=10, chosen=chosen)

    assert "left out by --quick" in str(quick[0].skipped)
    assert [1, 1, 3, 3] == [len(row.samples) for row in whole]

# SPDX-License-Identifier: Apache-2.0
"""`actorpool record`: runs like `actorpool run`, and writes down what the functions did."""

from __future__ import annotations

from pathlib import Path

import pytest

from actorpool.simulate import read_recording
from tests.cli.support import Command

PROGRAM = """
@app.function(max_containers=2)
def double(x: int):
    return 2 * x

@app.local_entrypoint()
def main(n: int = 5):
    say(sum(double.map(range(n))))

@app.local_entrypoint()
def fail():
    double.remote(1)
    raise ValueError("user's")
"""


@pytest.mark.parametrize("before", [("-q",), ()])
@pytest.mark.parametrize("after", [("--grace", "3"), ()])
def test_the_program_runs_and_its_inputs_are_in_the_file(
    command: Command, tmp_path: Path, before: tuple[str, ...], after: tuple[str, ...]
) -> None:
    program, path = command.write(PROGRAM), tmp_path / "trace.mp"

    outcome = command("record", *before, str(path), *after, f"{program}::main", "--n", "7")

    assert (0, "42\n") == (outcome.status, outcome.out)
    assert 7 == len(read_recording(path).function("double").trace)
    told = f"to {path}; what other settings would have cost: actorpool simulate {path}"
    assert (told in outcome.err) == (not before)


def test_a_function_is_recorded_likewise(command: Command, tmp_path: Path) -> None:
    path = tmp_path / "trace.mp"

    outcome = command("record", str(path), f"{command.write(PROGRAM)}::double", "--x", "4")

    assert 0 == outcome.status
    assert "recorded 1 input in " in outcome.err
    assert 1 == len(read_recording(path).function().trace)


def test_what_came_before_a_failure_is_recorded(command: Command, tmp_path: Path) -> None:
    path = tmp_path / "trace.mp"

    outcome = command("record", str(path), f"{command.write(PROGRAM)}::fail")

    assert 1 == outcome.status
    assert "ValueError: user's" in outcome.err
    assert 1 == len(read_recording(path).function().trace)


def test_a_missing_or_misplaced_trace_is_explained(command: Command, tmp_path: Path) -> None:
    program = command.write(PROGRAM)

    misplaced = command("record", str(program), "trace.mp")
    assert 2 == misplaced.status
    assert "is a program; the file to write comes first: actorpool record trace.mp" in misplaced.err
    lonely = command("record", "trace.mp")
    assert 2 == lonely.status
    assert "required: FILE[::NAME]" in lonely.err
    nowhere = command("record", str(tmp_path / "no" / "trace.mp"), f"{program}::main")
    assert 1 == nowhere.status
    assert "actorpool record: error: the trace cannot be written to" in nowhere.err
    assert "" == nowhere.out


def test_help_says_how(command: Command) -> None:
    outcome = command("record", "--help")

    assert 0 == outcome.status
    assert "actorpool record [OPTION ...] TRACE FILE[::NAME] [ARGUMENT ...]" in outcome.out

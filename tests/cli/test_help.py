# SPDX-License-Identifier: Apache-2.0
"""What `--help` shows on each level, and how wrong command lines are met."""

from __future__ import annotations

import pytest

import actorpool
from tests.cli.support import Command

PROGRAM = '''
@app.local_entrypoint()
def main(count: int, name: str = "100 % Ada", fast: bool = False, mode: str | None = None):
    """Count to `count`.

    Keeps
      its shape, 100 %.
    """

@app.function()
def words(*words): ...
'''

HELP = """\
usage: actorpool run program.py::main --count INT [--name TEXT]
                                      [--fast | --no-fast] [--mode TEXT] [-h]

Count to `count`.

Keeps
  its shape, 100 %.

options:
  --count INT        required
  --name TEXT        default: 100 % Ada
  --fast, --no-fast  default: False
  --mode TEXT        default: None
  -h, --help         show this and exit
"""

WORDS_HELP = """\
usage: actorpool run program.py::words [WORD ...]

options:
  -h, --help  show this and exit

All words go to 'words' as they are. Put -- before them where the first one is
--help or -- itself.
"""


@pytest.mark.parametrize("words", [[], ["--help"], ["-h"]])
def test_the_command_says_what_there_is(command: Command, words: list[str]) -> None:
    done = command(*words)

    assert (0, "") == (done.status, done.err)
    assert "usage: actorpool COMMAND ..." in done.out
    assert "\n  run " in done.out


def test_the_version_is_that_of_the_package(command: Command) -> None:
    assert f"actorpool {actorpool.__version__}\n" == command("--version").out


@pytest.mark.parametrize("words", [["run", "--help"], ["run", "-q", "-h"], ["run", "--help", "program.py"]])
def test_run_says_what_it_runs_and_how_it_ends(command: Command, words: list[str]) -> None:
    done = command(*words)

    assert (0, "") == (done.status, done.err)
    for told in (
        "FILE[::NAME]",
        "-m MODULE[::NAME]",
        "--write-result",
        "signals:",
        "exit status:",
        "130",
        "143",
    ):
        assert told in done.out
    assert max(map(len, done.out.splitlines())) <= 80


def test_a_target_says_what_it_is_and_takes(command: Command) -> None:
    command.write(PROGRAM)

    for word in ("--help", "-h"):
        assert (0, HELP, "") == _parts(command, "program.py", word)
    assert HELP == command("run", "program.py::main", "--count", "3", "--help").out


def test_a_target_of_words_says_so(command: Command) -> None:
    command.write(PROGRAM)

    assert (0, WORDS_HELP, "") == _parts(command, "program.py::words", "--help")


def _parts(command: Command, *words: str) -> tuple[object, str, str]:
    done = command("run", *words)
    return done.status, done.out, done.err


@pytest.mark.parametrize(
    ("words", "message"),
    [
        (["walk"], "actorpool: error: there is no command 'walk'"),
        (["--fast"], "actorpool: error: there is no command '--fast'"),
        (["--"], "actorpool: error: there is no command '--'"),
        (["run"], "actorpool run: error: the following arguments are required: FILE[::NAME]"),
        (["run", "-w"], "actorpool run: error: argument -w/--write-result: expected one argument"),
        (["run", "--fast", "p.py"], "actorpool run: error: unrecognized arguments: --fast"),
        (["run", "--grace", "-1", "p.py"], "argument --grace: '-1' is not a number of seconds, 0 or more"),
        (["run", "--grace", "inf", "p.py"], "argument --grace: 'inf' is not a number of seconds, 0 or more"),
        (["run", "--grace=long", "p.py"], "argument --grace: 'long' is not a number of seconds, 0 or more"),
        (["run", "-i", "p.py"], "actorpool run: error: -i is for an interactive container in Modal's cloud"),
        (["run", "--env", "main", "p.py"], "--env is for an environment in Modal's cloud"),
    ],
)
def test_a_wrong_command_line_is_refused_with_status_2(
    command: Command, words: list[str], message: str
) -> None:
    done = command(*words)

    assert (2, "") == (done.status, done.out)
    assert message in done.err
    assert "--help lists the options)" in done.err

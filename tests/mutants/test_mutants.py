# SPDX-License-Identifier: Apache-2.0
"""The mutation check itself: every mutation can be made, and what it says of a mutant is true."""

from __future__ import annotations

from pathlib import Path

import pytest

from tests.mutants.__main__ import MUTANTS, main, page, table
from tests.mutants.mutant import GROUPS, ROOT, SIMULATION, Mutant, MutantError
from tests.mutants.runner import Result, check, run_all, run_mutant

LIBRARY = """\
def room(limit, used):
    left = limit - used
    return left > 0


def both(limit, used):
    left = limit - used
    return left > 0
"""

TEST = """\
from actorpool.rooms import room


def test_there_is_room_below_the_limit():
    assert room(2, 1)


def test_there_is_none_at_it():
    assert not room(2, 2)
"""


@pytest.fixture
def tree(tmp_path: Path) -> Path:
    """A library of one file, and its tests."""
    for name, text in {"actorpool/rooms.py": LIBRARY, "tests/test_rooms.py": TEST}.items():
        path = tmp_path / name
        path.parent.mkdir(exist_ok=True)
        path.write_text(text, "utf-8")
    (tmp_path / "actorpool/__init__.py").touch()
    return tmp_path


def mutant(old: str, new: str, within: str = "room") -> Mutant:
    return Mutant("rooms.py", old, new, "room at the limit", "flow", within=within)


def test_every_mutation_can_be_made() -> None:
    check(MUTANTS)


def test_there_are_many_and_no_two_are_the_same() -> None:
    core = [mutant for mutant in MUTANTS if mutant.file.startswith("_core/")]
    actors = [mutant for mutant in MUTANTS if mutant.file.startswith("_actors/")]

    assert len(core) >= 40
    assert len(actors) >= 20
    assert len(MUTANTS) == len({(mutant.file, mutant.old, mutant.within) for mutant in MUTANTS})


def test_every_group_runs_tests_that_are_there() -> None:
    paths = {
        part for stages in GROUPS.values() for stage in stages for part in stage if part.startswith("tests/")
    }

    assert [] == [path for path in sorted(paths) if not (ROOT / path).exists()]


def test_a_line_that_has_gone_or_stands_twice_is_an_error(tree: Path) -> None:
    with pytest.raises(MutantError, match="function room has the line 'return left >= 0' 0 times"):
        mutant("return left >= 0", "pass").applied_to(tree)
    with pytest.raises(MutantError, match="the file has the line 'return left > 0' 2 times"):
        mutant("return left > 0", "pass", within="").applied_to(tree)
    with pytest.raises(MutantError, match="0 functions rooms"):
        mutant("return left > 0", "pass", within="rooms").applied_to(tree)
    with pytest.raises(MutantError, match="is no Python there"):
        mutant("return left > 0", "return left >", within="room").applied_to(tree)
    with pytest.raises(MutantError, match=r"no file actorpool/hall\.py"):
        Mutant("hall.py", "x", "y", "nothing", "flow").applied_to(tree)
    with pytest.raises(MutantError, match="no group 'rooms'"):
        Mutant("rooms.py", "x", "y", "nothing", "rooms")


def test_all_faults_are_named_before_anything_is_run(tree: Path) -> None:
    with pytest.raises(MutantError) as caught:
        check([mutant("a", "b"), mutant("return left > 0", "pass"), mutant("c", "d")], tree)
    assert ["'a'", "'c'"] == [
        name for name in ("'a'", "'return left > 0'", "'c'") if name in str(caught.value)
    ]


@pytest.mark.slow
@pytest.mark.timeout(60)
def test_a_mutant_is_killed_by_the_test_that_notices_and_undone(tree: Path) -> None:
    result = run_mutant(mutant("return left > 0", "return left >= 0"), tree, (("tests/test_rooms.py",),))

    assert (True, "FAILED tests/test_rooms.py::test_there_is_none_at_it") == (result.killed, result.how)
    assert LIBRARY == (tree / "actorpool/rooms.py").read_text("utf-8")


@pytest.mark.slow
@pytest.mark.timeout(60)
def test_a_mutant_that_no_test_notices_survives(tree: Path) -> None:
    unnoticed = mutant("return left > 0", "return left >= 0", within="both")
    result = run_mutant(unnoticed, tree, (("tests/test_rooms.py",),))

    assert (False, "no test notices") == (result.killed, result.how)
    assert "SURVIVED" in table([result])
    assert "0 of 1 mutants killed (0.0 %)" in table([result])


@pytest.mark.slow
@pytest.mark.timeout(60)
def test_a_test_that_fails_anyhow_kills_nobody(tree: Path) -> None:
    (tree / "tests/test_rooms.py").write_text("def test_broken():\n    assert 1 == 2\n", "utf-8")
    result = run_mutant(mutant("return left > 0", "return left >= 0"), tree, (("tests/test_rooms.py",),))

    assert not result.killed


@pytest.mark.slow
@pytest.mark.timeout(60)
def test_the_simulation_is_a_stage_that_kills_with_the_invariant_it_found_violated(tree: Path) -> None:
    command = tree / "actorpool/testing/simulation.py"
    command.parent.mkdir()
    (tree / "actorpool/testing/__init__.py").touch()
    command.write_text(
        "from actorpool.rooms import room\nprint('a_room_is_a_room: it is not')\nraise SystemExit(room(2, 2))\n",
        "utf-8",
    )

    assert run_mutant(mutant("left = limit - used", "pass"), tree, (SIMULATION,)).killed
    result = run_mutant(mutant("return left > 0", "return left >= 0"), tree, (SIMULATION,))
    assert (True, "simulation: a_room_is_a_room: it is not") == (result.killed, result.how)
    assert not run_mutant(mutant("return left > 0", "return left > 1"), tree, (SIMULATION,)).killed


@pytest.mark.slow
@pytest.mark.timeout(60)
def test_tests_that_cannot_be_run_are_an_error(tree: Path) -> None:
    with pytest.raises(MutantError, match="could not run"):
        run_mutant(mutant("return left > 0", "pass"), tree, (("tests/no_such_file.py",),))


def test_the_list_shows_what_is_changed(capsys: pytest.CaptureFixture[str]) -> None:
    assert 0 == main(["--list", "oldest", "newest"])
    shown = capsys.readouterr().out
    assert "_core/_backlog.py: the newest pending input first" in shown
    assert "- input = self._queue.popleft()" in shown


def test_the_page_names_survivors_first_and_the_command(tree: Path) -> None:
    made = mutant("return left > 0", "return left >= 0")
    found = page(
        [
            Result(made, True, "FAILED tests/test_rooms.py::test_there[a|b]", 2.0),
            Result(made, False, "no test notices", 3.0),
        ],
        "python -m tests.mutants rooms",
    )

    assert "1 of 2 mutants killed (50.0 %) on CPython" in found
    assert "```sh\npython -m tests.mutants rooms\n```" in found
    assert [
        "| `rooms.py` | room at the limit | **nobody**: no test notices |",
        "| `rooms.py` | room at the limit | `tests/test_rooms.py::test_there[a\\|b]` |",
    ] == found.splitlines()[-2:]


def test_words_that_no_mutant_has_are_refused() -> None:
    with pytest.raises(SystemExit):
        main(["no such mutant"])


def test_nothing_is_run_when_the_tests_fail_without_a_mutation(
    tree: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("tests.mutants.runner.failure_of", lambda _tree, stage: f"FAILED {stage[0]}")
    said: list[str] = []
    with pytest.raises(MutantError, match="tests fail without a mutation: FAILED"):
        run_all([MUTANTS[0]], tree / "copies", say=said.append)
    assert 1 == len(said)

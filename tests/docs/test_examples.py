# SPDX-License-Identifier: Apache-2.0
"""Each example runs with the arguments that it documents."""

from __future__ import annotations

import pytest

from tests.docs.programs import EXAMPLES, ROOT, commands, run_command


def test_every_example_documents_a_command_that_names_it() -> None:
    assert EXAMPLES
    for path in EXAMPLES:
        name = path.relative_to(ROOT).as_posix()
        assert commands(path), f"{name}: its docstring shows no line `$ actorpool run {name}`"
        assert [] == [command for command in commands(path) if name not in command], name


@pytest.mark.slow
@pytest.mark.timeout(90)
@pytest.mark.parametrize("command", [command for path in EXAMPLES for command in commands(path)])
def test_the_command_of_an_example_runs(command: str) -> None:
    assert run_command(command), f"{command!r} prints nothing"


def test_examples_import_nothing_private() -> None:
    private = [path.name for path in EXAMPLES if "actorpool._" in path.read_text("utf-8")]

    assert [] == private

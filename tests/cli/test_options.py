# SPDX-License-Identifier: Apache-2.0
"""Parameters as options: their types, defaults, spellings, and what is said when words do not fit."""

from __future__ import annotations

import pytest

from tests.cli.support import Command, Outcome

IMPORTS = """\
from __future__ import annotations
from datetime import date, datetime
from typing import *
from enum import Enum
"""


def _run(command: Command, parameters: str, *words: str, kind: str = "entrypoint") -> Outcome:
    """Run something with these parameters that prints its arguments."""
    (command.folder / "hints.py").write_text(IMPORTS, "utf-8")
    decorator = {"entrypoint": "local_entrypoint", "function": "function"}[kind]
    path = command.write(f"@app.{decorator}()\ndef f({parameters}): say(dict(locals()))")
    path.write_text(IMPORTS + path.read_text("utf-8"), "utf-8")
    return command("run", "-q", "program.py", *words)


@pytest.mark.parametrize("kind", ["entrypoint", "function"])
@pytest.mark.parametrize(
    ("parameters", "words", "printed"),
    [
        ("x: str", "--x 3", "{'x': '3'}"),
        ("x", "--x 3", "{'x': '3'}"),
        ("x: Any", "--x 3", "{'x': '3'}"),
        ("x: int", "--x 3", "{'x': 3}"),
        ("x: int", "--x=-3", "{'x': -3}"),
        ("x: float", "--x -1e5", "{'x': -100000.0}"),
        ("x: str", "--x --y", "{'x': '--y'}"),
        ("x: str", "--x=", "{'x': ''}"),
        ("x: bool", "--x", "{'x': True}"),
        ("x: bool", "--no-x", "{'x': False}"),
        ("x: bool = True", "", "{'x': True}"),
        ("x: datetime", "--x 2026-01-31", "{'x': datetime.datetime(2026, 1, 31, 0, 0)}"),
        ("x: datetime", "--x 2026-01-31T12:30:05", "{'x': datetime.datetime(2026, 1, 31, 12, 30, 5)}"),
        ("x: Optional[int]", "--x 3", "{'x': 3}"),
        ("x: Union[float, None]", "--x 3", "{'x': 3.0}"),
        ("x: int | None = None", "", "{'x': None}"),
        ("x: None | bool = None", "--no-x", "{'x': False}"),
        ("x: Literal['a', 'b']", "--x b", "{'x': 'b'}"),
        ("x: Literal[1, 2] | None", "--x 2", "{'x': 2}"),
        ("x: Annotated[int, 'how many']", "--x 2", "{'x': 2}"),
        # A default that is not replaced keeps its type; a word in its place is one.
        ("x=3", "", "{'x': 3}"),
        ("x=3", "--x 4", "{'x': '4'}"),
        ("x: str = None", "", "{'x': None}"),
        ("long_name: int, _private: int = 2", "--long-name 1", "{'long_name': 1, '_private': 2}"),
        ("a: int, /, b: int = 2, *, c: int = 3", "--a 1 --c 4", "{'a': 1, 'b': 2, 'c': 4}"),
        ("a: int = 1, b: int = 2, /", "--b 4", "{'a': 1, 'b': 4}"),
        ("help: str, dest: str, prog: str", "--prog c --help a --dest b", "{'help': 'a', 'dest': 'b', 'prog': 'c'}"),
        ("*words", "a --b -c -- d", "{'words': ('a', '--b', '-c', '--', 'd')}"),
        ("*words", "-- --help", "{'words': ('--help',)}"),
        ("*words: int", "", "{'words': ()}"),
    ],
)  # fmt: skip
def test_M12_7_a_parameter_is_an_option(
    command: Command, kind: str, parameters: str, words: str, printed: str
) -> None:
    done = _run(command, parameters, *words.split(), kind=kind)

    assert (0, f"{printed}\n", "") == (done.status, done.out, done.err)


@pytest.mark.parametrize(
    ("parameters", "words", "message"),
    [
        ("x: int", "", "the following arguments are required: --x"),
        ("x: bool", "", "the following arguments are required: --x/--no-x"),
        ("x: Optional[int]", "", "the following arguments are required: --x"),
        ("x: int", "--x three", "argument --x: invalid int value: 'three'"),
        ("x: int", "--x", "argument --x: expected one argument"),
        (
            "x: datetime",
            "--x soon",
            "argument --x: 'soon' is not a date such as 2026-01-31 or 2026-01-31T12:30:00",
        ),
        ("x: Literal[1, 2]", "--x 3", "argument --x: invalid choice: 3 (choose from 1, 2)"),
        ("x: int = 1", "--y 2", "unrecognized arguments: --y 2"),
        ("long: int = 1", "--lo 2", "unrecognized arguments: --lo 2"),
        ("x: int = 1", "2", "unrecognized arguments: 2"),
    ],
)
def test_M12_12_words_that_do_not_fit_are_refused_with_status_2(
    command: Command, parameters: str, words: str, message: str
) -> None:
    done = _run(command, parameters, *words.split())

    assert (2, "") == (done.status, done.out)
    assert (
        f"actorpool run program.py::f: error: {message}\n(actorpool run program.py::f --help lists the options)\n"
        == done.err
    )


@pytest.mark.parametrize(
    ("parameters", "message"),
    [
        ("x: list[int]", "parameter 'x' of 'f' has an unparseable annotation: list[int]; an option can be "),
        ("x: date", "unparseable annotation: date;"),
        ("x: list", "unparseable annotation: list;"),
        ("x: int | str", "unparseable annotation: int | str;"),
        ("x: Literal['a', 1]", "unparseable annotation: typing.Literal['a', 1];"),
        ("x: Literal[True]", "unparseable annotation: typing.Literal[True];"),
        ("x: [int]", "unparseable annotation: [<class 'int'>];"),
        ("x: Missing", "the annotations of 'f' cannot be evaluated, so it has no options: name 'Missing' "),
        ("**options", "'f' takes **options, which cannot be options"),
        (
            "x, y, *words",
            "'f' takes *words, all remaining words, and cannot have other parameters beside it: 'x', 'y'",
        ),
    ],
)
@pytest.mark.parametrize("words", [[], ["--help"]])
def test_M12_7_a_parameter_that_cannot_be_an_option_is_refused(
    command: Command, parameters: str, message: str, words: list[str]
) -> None:
    done = _run(command, parameters, *words)

    assert (1, "") == (done.status, done.out)
    assert message in done.err


def test_the_annotation_of_the_result_is_nobodys_business(command: Command) -> None:
    command.write("@app.local_entrypoint()\ndef f(x: 'int') -> 'Missing': say(x)")

    assert "3\n" == command("run", "-q", "program.py", "--x", "3").out


CLASSES = """
@app.cls()
class Declared:
    size: int = modal.parameter()
    word: str = modal.parameter(default="a")
    inner: object = modal.parameter(default=None, init=False)
    @modal.method()
    def m(self, times: int = 1): say((self.size, self.word) * times)
    @modal.method()
    def clash(self, size: int): ...
    @modal.method()
    def rest(self, *words: str): ...

class Base:
    def __init__(self, size: int, fast: bool = False):
        self.values = size, fast
    @modal.method()
    async def m(self, times: int): say(self.values * times)

@app.cls()
class Initialised(Base):
    @modal.method()
    def n(self): say(self.values)

@app.cls()
class Plain:
    @modal.method()
    def rest(self, *words: str): say(words)
"""


@pytest.mark.parametrize(
    ("words", "printed"),
    [
        ("Declared.m --size 2", "(2, 'a')"),
        ("Declared.m --times 2 --word b --size 2", "(2, 'b', 2, 'b')"),
        ("Initialised.m --times 1 --size 2 --fast", "(2, True)"),
        ("Initialised.n --size 2", "(2, False)"),
        ("Plain.rest a b", "('a', 'b')"),
    ],
)
def test_M12_6_parameters_of_constructor_and_method_are_pooled(
    command: Command, words: str, printed: str
) -> None:
    command.write(CLASSES)

    done = command("run", "-q", *f"program.py::{words}".split())

    assert (0, f"{printed}\n", "") == (done.status, done.out, done.err)


@pytest.mark.parametrize(
    ("name", "message"),
    [
        ("clash", "'Declared' and 'Declared.clash' both have a parameter 'size'"),
        ("rest", "'Declared.rest' takes *args, all remaining words, so 'Declared' cannot have options"),
    ],
)
def test_parameters_that_cannot_be_pooled_are_refused(command: Command, name: str, message: str) -> None:
    command.write(CLASSES)

    done = command("run", f"program.py::Declared.{name}")

    assert 1 == done.status
    assert message in done.err


def test_options_behind_the_file_are_the_targets_own(command: Command) -> None:
    done = _run(command, "name: str, grace: str, q: bool = False", "--name", "a", "--grace", "b", "--q")

    assert "{'name': 'a', 'grace': 'b', 'q': True}\n" == done.out


def test_M12_8_words_behind_the_file_are_not_touched(command: Command) -> None:
    done = _run(command, "*words", "--name", "a", "-w", "b")

    assert "{'words': ('--name', 'a', '-w', 'b')}\n" == done.out

# SPDX-License-Identifier: Apache-2.0
"""What FILE::NAME and -m MODULE::NAME mean, and what is said when they mean nothing or too much."""

from __future__ import annotations

import sys

import pytest

from tests.cli.support import Command

ALL_KINDS = """
@app.function()
def work(): say("work")

@app.function(name="registered")
def variable(): say("registered")

@app.cls()
class Greeter:
    @modal.method()
    def greet(self): say("greet")
    @modal.method()
    def part(self): say("part")

@app.local_entrypoint()
def main(): say("main")

@app.local_entrypoint(name="second")
def other(): say("second")

several = work, Greeter
variant = work.with_options(max_containers=1)
class_variant = Greeter.with_options(max_containers=1)
looked_up = modal.Function.from_name("elsewhere", "f")
"""


@pytest.mark.parametrize(
    ("name", "printed"),
    [
        ("work", "work"),
        ("app.work", "work"),
        ("variable", "registered"),
        ("registered", "registered"),
        ("app.registered", "registered"),
        ("Greeter.greet", "greet"),
        ("app.Greeter.part", "part"),
        ("main", "main"),
        ("app.main", "main"),
        ("other", "second"),
        ("second", "second"),
    ],
)
def test_M12_2_a_name_is_a_function_a_method_or_an_entrypoint(
    command: Command, name: str, printed: str
) -> None:
    command.write(ALL_KINDS)

    done = command("run", "-q", f"program.py::{name}")

    assert (0, f"{printed}\n", "") == (done.status, done.out, done.err)


@pytest.mark.parametrize(
    ("source", "printed"),
    [
        ("@app.local_entrypoint()\ndef main(): say('main')\n@app.function()\ndef f(): say('f')", "main"),
        ("@app.function()\ndef f(): say('f')", "f"),
        ("@app.cls()\nclass C:\n    @modal.method()\n    def m(self): say('m')", "m"),
        # Module-level names go before those that only the app knows.
        (
            "@app.function()\ndef f(): say('old')\nkept = f\ndel f\n@app.function()\ndef g(): ...\ndel g",
            "old",
        ),
        ("@app.local_entrypoint()\ndef a(): say('a')\n@app.local_entrypoint()\ndef b(): ...\ndel b", "a"),
        ("@app.local_entrypoint()\ndef a(): say('a')\ndel a", "a"),
    ],
    ids=["entrypoint", "function", "method", "function of two", "entrypoint of two", "hidden entrypoint"],
)
def test_M12_3_without_a_name_the_only_entrypoint_runs_or_else_the_only_function(
    command: Command, source: str, printed: str
) -> None:
    command.write(source)

    done = command("run", "-q", "program.py")

    assert (0, f"{printed}\n", "") == (done.status, done.out, done.err)


def test_a_class_or_an_app_names_what_it_holds(command: Command) -> None:
    command.write(
        "@app.cls()\nclass C:\n    @modal.method()\n    def m(self): say('m')\n@app.function()\ndef f(): ..."
    )

    assert "m\n" == command("run", "-q", "program.py::C").out
    assert "may mean one of several" in command("run", "-q", "program.py::app").err


@pytest.mark.parametrize("name", ["", "::app", "::Greeter"])
def test_M12_3_several_are_listed(command: Command, name: str) -> None:
    command.write(ALL_KINDS)

    done = command("run", f"program.py{name}")

    assert (1, "") == (done.status, done.out)
    for line in ("program.py::Greeter.greet  (method)", "program.py::Greeter.part   (method)"):
        assert f"actorpool run {line}" in done.err
    assert (name != "::Greeter") == ("program.py::main           (local entrypoint)" in done.err)


def test_an_unknown_name_lists_those_there_are(command: Command) -> None:
    command.write("@app.function()\ndef f(): ...")

    done = command("run", "program.py::g")

    assert 1 == done.status
    assert "'program.py' has no 'g'; it has:\n  actorpool run program.py::f  (function)\n" in done.err


def test_what_is_looked_up_or_varied_is_no_target(command: Command) -> None:
    command.write(ALL_KINDS)

    assert 1 == command("run", "program.py::looked_up").status
    assert 1 == command("run", "program.py::variant").status
    assert 1 == command("run", "program.py::class_variant.greet").status
    assert 1 == command("run", "program.py::part").status


def test_a_function_that_is_imported_from_elsewhere_runs_with_its_own_app(command: Command) -> None:
    command.write(
        "@app.function()\ndef f(): say('f')\n@app.cls()\nclass C:\n    @modal.method()\n    def m(self): say('m')",
        "lib.py",
    )
    command.write("app = None\nfrom lib import f, C")

    assert "f\n" == command("run", "-q", "program.py::f").out
    assert "m\n" == command("run", "-q", "program.py::C").out


@pytest.mark.parametrize(
    ("reference", "message"),
    [
        ("nothing.py", "there is no file 'nothing.py' in "),
        ("/nowhere/nothing.py", "there is no file '/nowhere/nothing.py'\n"),
        (".", "'.' is a folder"),
        ("program", "there is no file 'program'; did you mean 'program.py'?"),
        ("pkg.mod", "if 'pkg.mod' is a module, write -m pkg.mod"),
        ("pkg.mod::f", "if 'pkg.mod' is a module, write -m pkg.mod"),
        ("program.py:main", "write two colons before the name: program.py::main"),
        ("empty.py", "'empty.py' has no function or local entrypoint of an app"),
    ],
)
def test_M12_1_a_file_that_cannot_be_meant_is_refused_with_a_hint(
    command: Command, reference: str, message: str
) -> None:
    command.write("@app.function()\ndef f(): ...")
    command.write("", "empty.py")

    done = command("run", reference)

    assert (1, "") == (done.status, done.out)
    assert done.err.startswith("actorpool run: error: ")
    assert message in done.err


@pytest.mark.parametrize(
    ("reference", "message"),
    [
        ("nowhere", "there is no module 'nowhere'"),
        ("nowhere.below", "there is no module 'nowhere'"),
        ("pkg.nowhere", "there is no module 'pkg.nowhere'"),
        ("pkg/mod.py", "'pkg/mod.py' is not one; for a file leave out -m"),
        ("pkg.mod:f", "write two colons before the name: -m pkg.mod::f"),
        ("pkg.mod::g", "module 'pkg.mod' has no 'g'; it has:\n  actorpool run -m pkg.mod::f"),
    ],
)
def test_M12_1_a_module_that_cannot_be_meant_is_refused_with_a_hint(
    command: Command, reference: str, message: str
) -> None:
    command.write("", "pkg/__init__.py")
    command.write("@app.function()\ndef f(): ...", "pkg/mod.py")

    done = command("run", "-m", reference)

    assert (1, "") == (done.status, done.out)
    assert message in done.err


def test_a_module_may_import_its_neighbours(command: Command) -> None:
    command.write("", "pkg/__init__.py")
    command.write("WORD = 'hello'", "pkg/words.py")
    command.write("from .words import WORD\n@app.function()\ndef f(): say(WORD)", "pkg/mod.py")

    assert "hello\n" == command("run", "-q", "-m", "pkg.mod").out
    assert "hello\n" == command("run", "-q", "-m", "pkg.mod::f").out


def test_M12_1_a_file_may_import_from_its_folder_and_from_the_current_one(command: Command) -> None:
    command.write("A = 'beside'", "inner/beside.py")
    command.write("B = 'current'", "current.py")
    command.write("import beside, current\n@app.function()\ndef f(): say(beside.A + current.B)", "inner/p.py")

    assert "besidecurrent\n" == command("run", "-q", "inner/p.py").out


def test_a_module_that_imports_what_is_not_there_shows_where(command: Command) -> None:
    path = command.write("import not_there", "mod.py")

    for words in (["mod.py"], ["-m", "mod"]):
        done = command("run", *words)
        assert 1 == done.status
        assert f'File "{path}", line' in done.err
        assert "ModuleNotFoundError: No module named 'not_there'" in done.err
        assert "importlib" not in done.err


def test_a_file_called_like_a_module_in_use_does_not_take_its_place(command: Command) -> None:
    import queue

    command.write("@app.function()\ndef f(): say(__name__)", "queue.py")

    done = command("run", "-q", "queue.py")

    assert (0, "queue of actorpool run\n") == (done.status, done.out)
    assert queue is sys.modules["queue"]


def test_a_file_that_fails_is_not_left_half_imported(command: Command) -> None:
    command.write("1 / 0", "halfway.py")

    assert 1 == command("run", "halfway.py").status
    assert "halfway" not in sys.modules


@pytest.mark.parametrize("head", ["def", "async def"])
@pytest.mark.parametrize(
    "source",
    [
        "@app.function()\n{head} f():\n    yield 1",
        "@app.local_entrypoint()\n{head} f():\n    yield 1",
        "@app.cls()\nclass C:\n    @modal.method()\n    {head} f(self):\n        yield 1",
    ],
    ids=["function", "entrypoint", "method"],
)
def test_M12_4_a_generator_function_is_refused(command: Command, source: str, head: str) -> None:
    command.write(source.format(head=head))

    done = command("run", "program.py")

    assert (1, "") == (done.status, done.out)
    assert "is a generator function" in done.err

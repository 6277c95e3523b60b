# SPDX-License-Identifier: Apache-2.0
"""What `actorpool run` does with what it found: runs it, writes its result, shows its failure, sets the status."""

from __future__ import annotations

import logging
import re
import subprocess
import sys
import threading
from pathlib import Path

import pytest

from tests.cli.support import ENVIRONMENT, PREAMBLE, Command

KINDS = {
    "entrypoint": "@app.local_entrypoint()\ndef f({0}):\n    {1}",
    "async entrypoint": "@app.local_entrypoint()\nasync def f({0}):\n    {1}",
    "function": "@app.function()\ndef f({0}):\n    {1}",
    "async function": "@app.function()\nasync def f({0}):\n    {1}",
}


@pytest.fixture(params=KINDS)
def kind(request: pytest.FixtureRequest) -> str:
    return str(request.param)


def test_M12_5_an_entrypoint_runs_in_the_main_thread_while_its_app_runs(command: Command) -> None:
    command.write("""
        @app.function()
        def square(x): return x * x, threading.current_thread() is threading.main_thread()

        @app.local_entrypoint()
        def main():
            say((square.remote(3), threading.current_thread() is threading.main_thread()))
            say(list(x for x, _ in square.map(range(4))))
            with app.run(): pass
        """)

    done = command("run", "-q", "program.py")

    assert "((9, False), True)\n[0, 1, 4, 9]\n" == done.out
    assert 1 == done.status
    assert "ConflictError: app 'my-app' is already running" in done.err


def test_M12_5_an_async_entrypoint_runs_on_the_loop_that_its_app_lives_on(command: Command) -> None:
    command.write("""
        @app.function()
        async def loop(): return asyncio.get_running_loop()

        @app.local_entrypoint()
        async def main():
            loops = await asyncio.gather(*[loop.remote.aio() for _ in range(3)])
            say(set(loops) == {asyncio.get_running_loop()})
        """)

    done = command("run", "-q", "program.py")

    assert (0, "True\n", "") == (done.status, done.out, done.err)


def test_S30_async_remote_calls_are_gathered_in_an_entrypoint(command: Command) -> None:
    command.write("""
        @app.function()
        async def async_task(i): return i * 2

        @app.local_entrypoint()
        async def main():
            tasks = [async_task.remote.aio(i) for i in range(100)]
            results = await asyncio.gather(*tasks)
            say(sum(results))
        """)

    assert "9900\n" == command("run", "program.py").out


def test_S06_the_guides_first_program_runs(command: Command) -> None:
    command.write("""
        @app.function()
        def evaluate_model(x):
            return x ** 2

        @app.local_entrypoint()
        def main():
            for result in evaluate_model.map(list(range(100))):
                print(result)
        """)

    done = command("run", "program.py")

    assert (0, [str(x * x) for x in range(100)]) == (done.status, done.out.split())


@pytest.mark.parametrize("detach", [[], ["-d"], ["--detach"]])
def test_M12_4_a_result_is_not_printed(command: Command, kind: str, detach: list[str]) -> None:
    command.write(KINDS[kind].format("x: int", "return x"))

    done = command("run", "-q", *detach, "program.py", "--x", "3")

    assert (0, "", "") == (done.status, done.out, done.err)


@pytest.mark.parametrize(
    ("returned", "written"), [("'Grüße\\n'", "Grüße\n".encode()), (r"b'\0\1'", b"\0\1"), ("''", b"")]
)
def test_M12_9_a_result_is_written(command: Command, kind: str, returned: str, written: bytes) -> None:
    command.write(KINDS[kind].format("", f"return {returned}"))

    done = command("run", "-q", "-w", "result", "program.py")

    assert (0, "", written) == (done.status, done.err, Path("result").read_bytes())


def test_M12_9_a_result_of_another_type_is_not_written(command: Command, kind: str) -> None:
    command.write(KINDS[kind].format("", "return 3"))

    done = command("run", "-q", "--write-result=result", "program.py")

    assert 1 == done.status
    assert "'f' returned a value of type int, and --write-result writes str or bytes only" in done.err
    assert not Path("result").exists()


def test_where_a_result_cannot_be_written_nothing_runs(command: Command) -> None:
    command.write("say('loaded')\n@app.function()\ndef f(): return ''")

    for place, reason in ((".", "that is a folder"), ("missing/result", "there is no folder 'missing'")):
        done = command("run", "-w", place, "program.py")
        assert (1, "") == (done.status, done.out)
        assert f"the result cannot be written to '{place}': {reason}\n" in done.err


def test_a_result_that_cannot_be_written_after_all_says_why(command: Command) -> None:
    command.write("import os\nos.mkdir('result')\n@app.function()\ndef f(): return ''")

    done = command("run", "-q", "-w", "result", "program.py")

    assert (1, "actorpool run: error: the result cannot be written to 'result': Is a directory\n") == (
        done.status,
        done.err,
    )


def test_M12_12_a_failure_shows_the_users_lines_only_and_is_status_1(command: Command, kind: str) -> None:
    path = command.write("def inner():\n    raise ValueError('wrong')\n" + KINDS[kind].format("", "inner()"))
    lines = path.read_text("utf-8").splitlines()

    done = command("run", "-q", "program.py")

    assert (1, "") == (done.status, done.out)
    places = [line.strip() for line in done.err.splitlines() if line.lstrip().startswith("File ")]
    assert [
        f'File "{path}", line {lines.index(line) + 1}, in {name}'
        for line, name in (("    inner()", "f"), ("    raise ValueError('wrong')", "inner"))
    ] == places
    assert done.err.startswith("Traceback (most recent call last):\n")
    assert "ValueError: wrong" in done.err


def test_a_failure_in_the_pool_is_shown_below_its_call(command: Command) -> None:
    command.write("""
        @app.function()
        def inner(): {}["key"]

        @app.local_entrypoint()
        def main():
            try:
                inner.remote()
            except KeyError as error:
                raise RuntimeError("outer") from error
        """)

    done = command("run", "-q", "program.py")

    names = [line.rpartition(" ")[2] for line in done.err.splitlines() if line.lstrip().startswith("File ")]
    assert ["main", "inner", "main"] == names
    assert "direct cause" in done.err


def test_the_librarys_own_error_is_its_message(command: Command) -> None:
    command.write("@app.function(timeout=0.01)\nasync def f(): await asyncio.Event().wait()")

    done = command("run", "-q", "program.py")

    assert 1 == done.status
    assert done.err.startswith("actorpool.exception.FunctionTimeoutError: ")


def test_a_container_that_does_not_start_shows_the_users_hook(command: Command) -> None:
    path = command.write("""
        @app.cls()
        class C:
            @modal.enter()
            def load(self): raise OSError("no model")
            @modal.method()
            def m(self): ...
        """)

    done = command("run", "-q", "--grace=0", "program.py")

    assert 1 == done.status
    assert f'File "{path}", line' in done.err
    assert "OSError: no model" in done.err
    assert "actorpool.exception.ContainerStartError: " in done.err


def test_a_syntax_error_shows_its_line(command: Command) -> None:
    command.write("def f(:")

    done = command("run", "program.py")

    assert 1 == done.status
    assert "def f(:" in done.err
    assert "Traceback" not in done.err


def test_a_bug_of_the_librarys_is_shown_whole(command: Command, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("actorpool.cli.find", None)
    command.write("")

    done = command("run", "program.py")

    assert 1 == done.status
    assert "in _run" in done.err
    assert "TypeError: 'NoneType' object is not callable" in done.err


@pytest.mark.parametrize(
    ("raised", "status"), [("sys.exit(7)", 7), ("sys.exit()", None), ("sys.exit('x')", "x")]
)
def test_sys_exit_is_obeyed(command: Command, kind: str, raised: str, status: object) -> None:
    command.write(KINDS[kind].format("", raised))

    assert status == command("run", "-q", "program.py").status


def test_a_keyboard_interrupt_of_the_users_own_is_a_failure(command: Command) -> None:
    command.write(KINDS["function"].format("", "raise KeyboardInterrupt"))

    done = command("run", "-q", "program.py")

    assert 1 == done.status
    assert "KeyboardInterrupt" in done.err


def test_spawned_inputs_are_finished_before_the_command_ends(command: Command) -> None:
    command.write("""
        go = threading.Event()

        @app.function()
        def f(): go.wait(); say("finished")

        @app.local_entrypoint()
        def main(): f.spawn(); say("leaving"); go.set()
        """)

    assert "leaving\nfinished\n" == command("run", "-q", "program.py").out


def test_M12_10_the_run_has_a_name(command: Command) -> None:
    command.write("@app.local_entrypoint()\ndef f(): say([t.name for t in threading.enumerate()])")

    assert "'actorpool nightly'" in command("run", "-q", "--name", "nightly", "program.py").out


def test_M12_10_what_the_app_logs_is_shown_unless_quiet(command: Command) -> None:
    command.write("""
        import logging

        @app.local_entrypoint()
        def main():
            logging.getLogger("actorpool.scaling").info("a decision")
            logging.getLogger("actorpool").warning("a warning")
            logging.getLogger("actorpool").error("an error")
        """)
    loud, timed, quiet = (command("run", *how, "program.py").err for how in ([], ["--timestamps"], ["-q"]))

    assert "actorpool: a decision\nactorpool: warning: a warning\nactorpool: error: an error\n" == loud
    assert "actorpool: error: an error\n" == quiet
    assert re.sub(r"(?m)^20\d\d-\d\d-\d\d \d\d:\d\d:\d\d\.\d{3} ", "", timed) == loud
    assert loud not in timed
    assert [] == logging.getLogger("actorpool").handlers


def test_outside_the_main_thread_signals_are_left_alone(command: Command) -> None:
    command.write(KINDS["entrypoint"].format("", "say(signal.getsignal(signal.SIGTERM) is signal.SIG_DFL)"))
    done: list[object] = []
    thread = threading.Thread(target=lambda: done.append(command("run", "-q", "program.py")))
    thread.start()
    thread.join()

    (outcome,) = done
    assert (0, "True\n") == (getattr(outcome, "status", None), getattr(outcome, "out", None))


@pytest.mark.slow
def test_python_dash_m_actorpool_is_the_command(tmp_path: Path) -> None:
    (tmp_path / "p.py").write_text(
        PREAMBLE + "@app.local_entrypoint()\ndef f(x: int): say(x)\nsys.exit", "utf-8"
    )

    done = subprocess.run(
        [sys.executable, "-W", "error", "-m", "actorpool", "run", "-q", "p.py", "--x", "3"],
        cwd=tmp_path,
        env=ENVIRONMENT,
        capture_output=True,
        text=True,
        check=False,
    )

    assert (0, "3\n", "") == (done.returncode, done.stdout, done.stderr)

# SPDX-License-Identifier: Apache-2.0
"""SIGINT and SIGTERM: the first drains, a second one stops at once, and nothing is left running.

In this process the programs send themselves their one signal; what takes two, or ends the process, runs in another.
"""

from __future__ import annotations

import re
import signal
import threading
from contextlib import ExitStack
from pathlib import Path

import pytest

from actorpool import Limits
from actorpool._cli._signals import Interruption
from actorpool._contents import Contents
from actorpool._host._errors import HostClosedError
from actorpool._lifecycle import Lifecycle
from tests.cli.support import PREAMBLE, Command, Outcome, Process

SIGNALS = [(signal.SIGINT, 130), (signal.SIGTERM, 143)]

ENTRYPOINTS = {
    "sync": "@app.local_entrypoint()\ndef main():\n    {0}\n    while True: say(f.remote())\n",
    "async": "@app.local_entrypoint()\nasync def main():\n    {0}\n    while True: say(await f.remote.aio())\n",
}


@pytest.fixture(params=ENTRYPOINTS)
def entrypoint(request: pytest.FixtureRequest) -> str:
    """An entrypoint that goes on calling `f` until it is refused."""
    return ENTRYPOINTS[request.param]


@pytest.mark.parametrize(("number", "status"), SIGNALS)
def test_a_signal_ends_the_run_quietly_with_its_status(
    command: Command, entrypoint: str, number: signal.Signals, status: int
) -> None:
    command.write(
        "@app.function()\ndef f(): return 1\n" + entrypoint.format(f"signal.raise_signal({number.value})")
    )
    before = signal.getsignal(number)

    done = command("run", "program.py")

    assert status == done.status
    assert re.search(
        rf"{number.name}: accepting nothing more; finishing (0 inputs|1 input), for up to 10 s", done.err
    )
    assert "Traceback" not in done.err
    assert before is signal.getsignal(number)


def test_what_was_accepted_is_finished_though_the_entrypoint_is_refused(command: Command) -> None:
    command.write(
        """
        refused = threading.Event()

        @app.cls()
        class Greeter:
            @modal.exit()
            def leave(self): say("exit hook")
            @modal.method()
            def hold(self): refused.wait(); say("finished")

        @app.function()
        def f(): ...

        @app.local_entrypoint()
        def main():
            call = Greeter().hold.spawn()
            signal.raise_signal(signal.SIGTERM)
            try:
                while True: f.remote()
            except modal.exception.ClosedError:
                refused.set()
                raise
        """
    )

    done = command("run", "-q", "program.py")

    assert (143, "finished\nexit hook\n", "") == (done.status, done.out, done.err)


def test_an_entrypoint_gets_the_results_of_what_was_accepted(command: Command) -> None:
    command.write(
        """
        go = threading.Event()

        @app.function()
        def f(): go.wait(); return "result"

        @app.local_entrypoint()
        def main():
            call = f.spawn()
            signal.raise_signal(signal.SIGTERM)
            go.set()
            say(call.get())
            return "written"
        """
    )

    done = command("run", "-q", "-w", "result", "program.py")

    assert (143, "result\n", "") == (done.status, done.out, done.err)
    assert "written" == Path("result").read_text()


def test_a_function_as_the_target_is_finished(command: Command) -> None:
    command.write(
        """
        @app.function()
        def f():
            signal.pthread_kill(threading.main_thread().ident, signal.SIGINT)
            return "finished"
        """
    )

    done = command("run", "-q", "-w", "result", "program.py")

    assert (130, "", "finished") == (done.status, done.err, Path("result").read_text())


def test_an_error_of_the_users_own_is_shown_and_has_its_own_status(command: Command) -> None:
    command.write(
        """
        @app.local_entrypoint()
        def main():
            signal.raise_signal(signal.SIGTERM)
            raise ValueError("mine")
        """
    )

    done = command("run", "-q", "program.py")

    assert 1 == done.status
    assert "ValueError: mine" in done.err


def test_calls_of_a_group_that_are_all_refused_are_no_failure(command: Command) -> None:
    command.write(
        """
        @app.function()
        async def f(): ...

        async def calling():
            while True: await f.remote.aio()

        @app.local_entrypoint()
        async def main():
            signal.raise_signal(signal.SIGTERM)
            async with asyncio.TaskGroup() as group:
                group.create_task(calling())
                group.create_task(calling())
        """
    )

    done = command("run", "-q", "program.py")

    assert (143, "") == (done.status, done.err)


@pytest.mark.parametrize(
    "source",
    [
        """
        def main():
            signal.raise_signal(signal.SIGTERM)
            try:
                threading.Event().wait()
            except KeyboardInterrupt:
                say("interrupted")
                raise
        """,
        """
        async def main():
            signal.raise_signal(signal.SIGTERM)
            try:
                await asyncio.Event().wait()
            except asyncio.CancelledError:
                say("interrupted")
                raise
        """,
        """
        def main():
            signal.raise_signal(signal.SIGTERM)
            try:
                threading.Event().wait()
            except KeyboardInterrupt:
                say("interrupted")
        """,
    ],
    ids=["sync", "async", "swallowing"],
)
def test_an_entrypoint_that_goes_on_is_interrupted_when_the_grace_is_over(
    command: Command, source: str
) -> None:
    command.write("@app.local_entrypoint()" + source.replace("\n        ", "\n"))

    done = command("run", "-q", "--grace", "0.01", "program.py")

    assert (143, "interrupted\n", "") == (done.status, done.out, done.err)


def test_inputs_that_go_on_are_cancelled_when_the_grace_is_over(command: Command) -> None:
    command.write(
        """
        @app.function()
        async def f():
            signal.pthread_kill(threading.main_thread().ident, signal.SIGTERM)
            try:
                await asyncio.Event().wait()
            finally:
                say("cancelled")
        """
    )

    done = command("run", "-q", "--grace", "0.01", "program.py")

    assert (143, "cancelled\n", "") == (done.status, done.out, done.err)


def test_a_signal_while_the_file_is_loaded_ends_the_command(command: Command) -> None:
    command.write("signal.raise_signal(signal.SIGTERM)\nsay('never')")

    done = command("run", "program.py")

    assert (143, "", "") == (done.status, done.out, done.err)


# The policy is made while the app starts, on its engine thread; the main thread waits.
STARTING = """
class Policy(modal.WindowPolicy):
    def __init__(self):
        super().__init__()
        for number in ({0}): signal.pthread_kill(threading.main_thread().ident, number)

app = modal.App("my-app", policy=Policy)

@app.function()
def f(): return 1
"""


def test_a_signal_while_the_app_starts_drains_it(command: Command, entrypoint: str) -> None:
    command.write(STARTING.format("signal.SIGTERM,") + entrypoint.format("pass"))

    done = command("run", "-q", "program.py")

    assert (143, "") == (done.status, done.err)


def test_two_signals_while_the_app_starts_end_the_command(command: Command) -> None:
    command.write(STARTING.format("signal.SIGTERM, signal.SIGINT"))

    done = command("run", "program.py")

    assert done.status in (130, 143)
    assert ("", "") == (done.out, done.err)


def test_a_signal_that_the_process_was_told_to_ignore_stays_ignored(command: Command) -> None:
    command.write("@app.local_entrypoint()\ndef f(): say(signal.getsignal(signal.SIGINT) is signal.SIG_IGN)")
    before = signal.signal(signal.SIGINT, signal.SIG_IGN)
    try:
        assert "True\n" == command("run", "-q", "program.py").out
    finally:
        signal.signal(signal.SIGINT, before)


def test_a_signal_that_finds_the_app_ended_interrupts_the_entrypoint_all_the_same() -> None:
    reports: list[str] = []
    with Interruption(0.01, reports.append) as interruption:
        interruption.begin(Lifecycle(Contents("ended", Limits())))
        with interruption.body():
            signal.raise_signal(signal.SIGTERM)
            threading.Event().wait()

    assert 143 == interruption.status
    assert [
        "SIGTERM: accepting nothing more; finishing 0 inputs, for up to 0.01 s (a second one stops at once)"
    ] == reports


def test_an_entrypoint_whose_loop_has_ended_needs_no_interruption() -> None:
    asked = threading.Event()

    def interrupt() -> None:
        asked.set()
        raise HostClosedError("its loop has ended")

    with Interruption(0.01, str) as interruption:
        interruption.begin(Lifecycle(Contents("ended", Limits())))
        with interruption.body(interrupt):
            signal.raise_signal(signal.SIGTERM)
            asked.wait()

    assert 143 == interruption.status


# -- in a process of their own -------------------------------------------------------------------

HOLD = """
@app.function()
def hold():
    say("running")
    say(sys.stdin.readline().strip())

@app.function()
async def hold_async():
    say("running")
    try:
        await asyncio.Event().wait()
    except asyncio.CancelledError:
        say("cancelled")
        raise

@app.local_entrypoint()
def sync():
    hold.remote()

@app.local_entrypoint()
async def asynchronous():
    await hold.remote.aio()

@app.local_entrypoint()
def deaf():
    hold.spawn()
    while True:
        try:
            threading.Event().wait()
        except KeyboardInterrupt:
            pass

@app.local_entrypoint()
async def blocking():
    say("running")
    sys.stdin.readline()

@app.local_entrypoint()
def leaving():
    hold.spawn()

@app.local_entrypoint()
def pooled():
    from concurrent.futures import ThreadPoolExecutor
    executor = ThreadPoolExecutor()
    executor.submit(say, "running")
    executor.submit(threading.Event().wait)
    threading.Event().wait()
"""


@pytest.mark.slow
@pytest.mark.parametrize(
    ("name", "number", "status"),
    [
        ("hold", signal.SIGTERM, 143),
        ("sync", signal.SIGINT, 130),
        ("asynchronous", signal.SIGTERM, 143),
    ],
)
def test_the_first_signal_lets_the_input_finish(
    tmp_path: Path, name: str, number: signal.Signals, status: int
) -> None:
    (tmp_path / "p.py").write_text(PREAMBLE + HOLD, "utf-8")
    with Process(tmp_path, "run", f"p.py::{name}") as process:
        process.read_until("running")
        process.send(number)
        process.read_error_until("finishing 1 input, for up to 10 s")
        process.write("finished")

        assert status == process.wait()
        assert "finished" == process.out[-1]
        assert "Traceback" not in "\n".join(process.err)


STOPPED = ["hold", "hold_async", "asynchronous", "deaf", "blocking", "leaving", "pooled"]


@pytest.fixture(scope="module")
def stopped(tmp_path_factory: pytest.TempPathFactory) -> dict[str, Outcome]:
    """What becomes of each of these when it is sent two signals; they run side by side."""
    folder = tmp_path_factory.mktemp("stopped")
    (folder / "p.py").write_text(PREAMBLE + HOLD, "utf-8")
    with ExitStack() as stack:
        processes = {
            name: stack.enter_context(Process(folder, "run", "--grace", "60", f"p.py::{name}"))
            for name in STOPPED
        }
        for process in processes.values():
            process.read_until("running")
            process.send(signal.SIGINT)
            process.read_error_until("(a second one stops at once)")
            process.send(signal.SIGTERM)
        return {
            name: Outcome(process.wait(), " ".join(process.out), " ".join(process.err))
            for name, process in processes.items()
        }


@pytest.mark.slow
@pytest.mark.parametrize("name", STOPPED)
def test_the_second_signal_stops_at_once(stopped: dict[str, Outcome], name: str) -> None:
    done = stopped[name]

    assert 130 == done.status
    assert ("running cancelled" if name == "hold_async" else "running") == done.out
    assert "stopping at once" in done.err
    assert "Traceback" not in done.err


@pytest.mark.slow
def test_a_third_signal_ends_the_process_without_waiting_for_hooks(tmp_path: Path) -> None:
    (tmp_path / "p.py").write_text(PREAMBLE + HOLD, "utf-8")
    with Process(tmp_path, "run", "--grace", "60", "p.py::deaf") as process:
        process.read_until("running")
        process.send(signal.SIGTERM)
        process.read_error_until("(a second one stops at once)")
        process.send(signal.SIGTERM)
        process.read_error_until("stopping at once")
        process.send(signal.SIGTERM)

        assert 143 == process.wait()


@pytest.mark.slow
def test_a_forked_child_keeps_its_signals_to_itself(tmp_path: Path) -> None:
    (tmp_path / "p.py").write_text(
        PREAMBLE
        + """\
import os

@app.function()
def f(x): return x

@app.local_entrypoint()
def main():
    child = os.fork()
    if not child:
        os.kill(os.getpid(), signal.SIGTERM)
        os._exit(1)
    say(os.waitstatus_to_exitcode(os.waitpid(child, 0)[1]))
    say(f.remote("still accepted"))
""",
        "utf-8",
    )
    with Process(tmp_path, "run", "p.py") as process:
        assert 0 == process.wait()
        assert ["-15", "still accepted"] == process.out
        assert "accepting nothing more" not in "\n".join(process.err)


@pytest.mark.slow
def test_a_signal_is_heard_while_a_loop_has_the_descriptor(tmp_path: Path) -> None:
    (tmp_path / "p.py").write_text(
        PREAMBLE
        + """\
import os

@app.function()
def f(): ...

@app.local_entrypoint()
def main():
    async def own_loop():
        asyncio.get_running_loop().add_signal_handler(signal.SIGUSR1, say, "its own")
        os.kill(os.getpid(), signal.SIGUSR1)
        os.kill(os.getpid(), signal.SIGTERM)
        while True: await f.remote.aio()
    asyncio.run(own_loop())
""",
        "utf-8",
    )
    with Process(tmp_path, "run", "p.py") as process:
        assert 143 == process.wait()
        assert ["its own"] == process.out

# SPDX-License-Identifier: Apache-2.0
"""Templates: processes that import once and fork containers, reap them, and leave nothing behind."""

from __future__ import annotations

import os
import signal
import socket
import subprocess
import sys
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from actorpool._backends import _template
from actorpool._backends._inside import in_container, in_template
from actorpool._backends._template_messages import (
    Control,
    ControlClosed,
    ControlMessage,
    Exited,
    Fork,
    Forked,
    ForkFailed,
    Kill,
    Preload,
)
from actorpool._wire._messages import Output
from tests.backends import process_code
from tests.backends.processes import Template, Worker, gone, over, until, workload_of

CODE = "tests.backends.process_code"


@pytest.fixture(scope="module")
def template() -> Iterator[Template]:
    with Template(CODE, env={"PYTHONWARNINGS": "error"}) as template:
        assert (False, ()) == (template.preloaded().bare, ())
        yield template


def test_the_users_module_is_imported_once_and_shared(template: Template) -> None:
    for _ in range(2):
        with template.fork() as worker:
            worker.ready(workload_of(process_code.imported_in))
            assert template.process.pid == worker.call()
            worker.stop()
        assert 0 == template.status_of(worker.pid)


def test_every_fork_gets_its_own_socket_when_many_are_asked_for_at_once(template: Template) -> None:
    pairs = [socket.socketpair() for _ in range(8)]
    for number, (_, theirs) in enumerate(pairs, 1_000):
        template.control.send(Fork(number), theirs.fileno())
        theirs.close()
    pids = {answer.number: answer.pid for answer in (template.hear(Forked) for _ in pairs)}
    workload = workload_of(process_code.about_itself)
    for number, (ours, _) in enumerate(pairs, 1_000):
        with Worker(ours, pids[number]) as worker:
            # `ready` compares the process that answers with the one that was named.
            worker.ready(workload)
        assert 0 == template.status_of(pids[number])


@pytest.mark.parametrize("status", [0, 3])
def test_an_exit_is_reported_with_its_status_and_leaves_no_zombie(template: Template, status: int) -> None:
    with template.fork() as worker:
        worker.ready(workload_of(process_code.exits))
        worker.run(status)
        worker.hear_end()
        assert status == template.status_of(worker.pid)
        assert gone(worker.pid)


@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGKILL])
def test_a_signal_ends_a_container_and_is_reported(template: Template, number: signal.Signals) -> None:
    with template.fork() as worker:
        worker.ready(workload_of(process_code.spins_deaf))
        worker.run()
        worker.wait_for_line("spinning")
        template.kill(worker.pid, number)
        assert -number == template.status_of(worker.pid)


def test_nobody_but_its_own_children_is_killed(template: Template) -> None:
    other = subprocess.Popen([sys.executable, "-c", "input()"], stdin=subprocess.PIPE)
    assert other.stdin is not None
    with other.stdin:
        template.control.send(Kill(other.pid, signal.SIGKILL))
        # Answered in order, so by now it has been looked at.
        with template.fork():
            pass
        assert other.poll() is None
        other.stdin.write(b"\n")
    assert 0 == other.wait()


def test_a_module_that_cannot_be_imported_is_reported_and_is_the_containers_failure(tmp_path: Path) -> None:
    with Template("no_such_module_anywhere", CODE) as template:
        ((module, trace),) = template.preloaded().failures
        assert "no_such_module_anywhere" == module
        assert "ModuleNotFoundError" in trace
        with template.fork() as worker:
            worker.ready(workload_of(process_code.double))
            assert 4 == worker.call(2)


@pytest.mark.parametrize("statement", ["raise SystemExit(3)", "raise KeyboardInterrupt"])
def test_no_exception_of_a_users_module_ends_the_template(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, statement: str
) -> None:
    (tmp_path / "module_that_raises.py").write_text(statement)
    monkeypatch.syspath_prepend(tmp_path)
    with Template("module_that_raises") as template:
        assert ["module_that_raises"] == [module for module, _ in template.preloaded().failures]
        with template.fork() as worker:
            worker.ready(workload_of(process_code.double))


def test_a_module_that_takes_signals_does_so_for_no_container(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "module_with_signals.py").write_text(
        "import signal, socket\n"
        "for number in (signal.SIGTERM, signal.SIGINT, signal.SIGCHLD, signal.SIGALRM):\n"
        "    signal.signal(number, lambda *_: None)\n"
        "signal.pthread_sigmask(signal.SIG_BLOCK, (signal.SIGUSR1, signal.SIGCHLD))\n"
        "ends = socket.socketpair()\n"
        "ends[0].setblocking(False)\n"
        "signal.set_wakeup_fd(ends[0].fileno())\n"
    )
    monkeypatch.syspath_prepend(tmp_path)
    with Template(CODE, "module_with_signals") as template:
        assert () == template.preloaded().failures
        # The first one is forked when it is asked for, the second one before that.
        for _ in range(2):
            with template.fork() as worker:
                worker.ready(workload_of(process_code.signals_taken))
                assert ([], []) == worker.call()
                worker.stop()
            assert 0 == template.status_of(worker.pid)


def test_a_module_that_starts_threads_is_imported_by_each_container_instead(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "module_with_thread.py").write_text(
        "import threading\nthreading.Thread(target=threading.Event().wait, daemon=True).start()\n"
    )
    monkeypatch.syspath_prepend(tmp_path)
    with Template(CODE, "module_with_thread") as template:
        with template.fork() as worker:
            worker.ready(workload_of(process_code.imported_in))
            assert worker.pid == worker.call()
            worker.stop()
        assert template.preloaded().bare
        assert 0 == template.status_of(worker.pid)


def test_children_from_before_the_threads_are_still_reaped(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "module_with_thread.py").write_text(
        "import threading\nthreading.Thread(target=threading.Event().wait, daemon=True).start()\n"
    )
    monkeypatch.syspath_prepend(tmp_path)
    with Template(CODE) as template:
        with template.fork() as worker:
            worker.ready(workload_of(process_code.double))
            assert not template.preloaded().bare
            template.control.send(Preload(("module_with_thread",), tuple(sys.path), (), None))
            template.kill(worker.pid)
            assert template.preloaded().bare
            assert -signal.SIGKILL == template.status_of(worker.pid)


@pytest.mark.parametrize("name", ["spins_deaf", "blocks_the_loop"])
def test_when_the_parent_closes_the_control_socket_all_ends_at_once(name: str) -> None:
    with Template(CODE) as template:
        with template.fork() as worker:
            worker.ready(workload_of(getattr(process_code, name)))
            worker.run()
            worker.wait(Output)
            began = time.monotonic()
            template.control.close()
            template.process.wait(2)
            until(lambda: over(worker.pid))
            assert time.monotonic() - began < 2


def test_when_the_template_is_killed_its_containers_end(template: Template) -> None:
    with Template(CODE) as template, template.fork() as worker:
        worker.ready(workload_of(process_code.blocks_the_loop))
        worker.run()
        worker.wait_for_line("blocking")
        template.process.kill()
        until(lambda: over(worker.pid))
        until(template.ended)


def test_a_module_that_hangs_while_it_is_imported_outlives_no_parent(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    hangs = tmp_path / "hangs"
    (tmp_path / "module_that_hangs.py").write_text(
        f"import time\nopen({str(hangs)!r}, 'w').close()\ntime.sleep(60)\n"
    )
    monkeypatch.syspath_prepend(tmp_path)
    template = Template("module_that_hangs")
    until(hangs.exists)
    template.control.close()
    assert 0 == template.process.wait(5)


def test_a_machine_without_processes_is_reported(monkeypatch: pytest.MonkeyPatch) -> None:
    def no_fork() -> int:
        raise BlockingIOError(11, "Resource temporarily unavailable")

    ours, theirs = socket.socketpair()
    control, parent = Control(theirs), Control(ours)
    monkeypatch.setattr(os, "fork", no_fork)
    template = _template._Template(control, (), bare=False)
    try:
        parent.send(Fork(1), ours.fileno())
        (message,) = control.receive()
        template._obey(message)
        (answer,) = parent.receive()
        assert isinstance(answer, ForkFailed)
        assert (1, True) == (answer.number, "unavailable" in answer.reason)
    finally:
        template._told.close()
        template._tell.close()
        control.close()
        parent.close()


def test_messages_survive_any_cut_of_the_stream() -> None:
    ours, theirs = socket.socketpair()
    receiver = Control(theirs)
    sent: list[ControlMessage] = [Exited(7, 256), Kill(1, 9), Forked(2, 3)]
    try:
        sender = Control(ours)
        pieces: list[ControlMessage] = []
        for message in sent:
            sender.send(message)
        data = theirs.recv(4_096)
        for byte in data:
            ours.send(bytes([byte]))
            pieces += receiver.receive()
        assert sent == pieces
        ours.close()
        with pytest.raises(ControlClosed):
            receiver.receive()
    finally:
        ours.close()
        receiver.close()


def test_paths_and_arguments_need_not_be_text() -> None:
    ours, theirs = socket.socketpair()
    sender, receiver = Control(ours), Control(theirs)
    try:
        message = Preload((), (Path("/a"), b"/b\xff", "/c"), ("--name=\udcff",))
        sender.send(message)
        assert [Preload((), ("/a", "/b\udcff", "/c"), ("--name=\udcff",), None)] == receiver.receive()
    finally:
        sender.close()
        receiver.close()


def test_the_users_own_process_is_neither_template_nor_container() -> None:
    assert (False, False) == (in_template(), in_container())


def test_nothing_is_inherited_but_the_containers_own_socket(template: Template) -> None:
    with template.fork(), template.fork() as worker:
        worker.ready(workload_of(process_code.descriptors))
        found: dict[str, Any] = worker.call()
        sockets = [target for target in found.values() if target.startswith("socket:")]
        # Its own, and the two ends of its loop's wake-up.
        assert 3 == len(sockets)
        assert {"0", "1", "2"} < set(found)
        assert os.devnull == found["0"]
        # Of files and pipes only those that were given as standard output, and the listing itself.
        others = {
            fd for fd, target in found.items() if not target.startswith(("socket:", "anon_inode:", "/proc/"))
        }
        assert {"0", "1", "2"} == others

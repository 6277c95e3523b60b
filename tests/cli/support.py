# SPDX-License-Identifier: Apache-2.0
"""The command line as tests use it: in this process, or as a process that is sent signals."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
from pathlib import Path
from textwrap import dedent
from types import TracebackType
from typing import IO

import pytest
from attrs import frozen

import actorpool
from actorpool.cli import main

PREAMBLE = """\
import asyncio, signal, sys, threading
import actorpool as modal
app = modal.App("my-app")

def say(thing):
    print(thing, flush=True)

"""


# A child finds the package where this process found it, installed or not.
ENVIRONMENT = {**os.environ, "PYTHONPATH": str(Path(actorpool.__file__).parents[1])}


@frozen
class Outcome:
    """What became of a command."""

    status: object
    out: str
    err: str


class Command:
    """`command("run", …)` runs `actorpool run …` in this process."""

    def __init__(self, folder: Path, capsys: pytest.CaptureFixture[str]) -> None:
        self.folder = folder
        self._capsys = capsys

    def write(self, source: str, name: str = "program.py") -> Path:
        """Write a program: `source` behind the usual first lines."""
        path = self.folder / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(PREAMBLE + dedent(source), "utf-8")
        return path

    def __call__(self, *words: str) -> Outcome:
        self._capsys.readouterr()
        try:
            status: object = main(words)
        except SystemExit as error:
            status = error.code
        out, err = self._capsys.readouterr()
        return Outcome(status, out, err)


class Process:
    """A command or script in a process of its own, to be read from, written to and signalled.

    SIGINT works in it even where this process ignores it, as the children of a background job do.
    """

    def __init__(self, folder: Path, *words: str) -> None:
        start = "import signal; signal.signal(signal.SIGINT, signal.default_int_handler); import runpy, sys; "
        if words[0] == "run":
            start += "from actorpool.cli import main; sys.exit(main())"
        else:
            start += "del sys.argv[0]; runpy.run_path(sys.argv[0], run_name='__main__')"
        self._child = subprocess.Popen(
            [sys.executable, "-c", start, *words],
            cwd=folder,
            env=ENVIRONMENT,
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            text=True,
        )
        self.out: list[str] = []
        self.err: list[str] = []

    def __enter__(self) -> Process:
        return self

    def __exit__(
        self,
        exc_type: type[BaseException] | None,
        exc: BaseException | None,
        traceback: TracebackType | None,
        /,
    ) -> None:
        self._child.kill()
        self._child.communicate()

    def read_until(self, text: str) -> None:
        """Read its output up to a line that contains `text`."""
        assert self._child.stdout is not None
        self._read(self._child.stdout, self.out, text)

    def read_error_until(self, text: str) -> None:
        """Likewise its stderr."""
        assert self._child.stderr is not None
        self._read(self._child.stderr, self.err, text)

    def _read(self, stream: IO[str], lines: list[str], text: str) -> None:
        while not lines or text not in lines[-1]:
            line = stream.readline()
            assert line, f"it ended without {text!r}: {self.out}, {self.err}, {self._child.communicate()}"
            lines.append(line.rstrip("\n"))

    def write(self, line: str) -> None:
        """Give it a line to read."""
        assert self._child.stdin is not None
        self._child.stdin.write(f"{line}\n")
        self._child.stdin.flush()

    def send(self, number: signal.Signals) -> None:
        """Send it a signal."""
        self._child.send_signal(number)

    def wait(self) -> int:
        """Wait for its end without closing its stdin, read the rest of what it printed; return its exit status."""
        status = self._child.wait(timeout=15)
        out, err = self._child.communicate()
        self.out += out.splitlines()
        self.err += err.splitlines()
        return status

# SPDX-License-Identifier: Apache-2.0
"""Templates that need not start an interpreter: forks of one process per test run, which has imported what tests need.

For runs of very many tests with process containers. That a template is a fresh interpreter, and what it inherits, is
for the tests of the template itself.
"""

from __future__ import annotations

import multiprocessing
import os
import subprocess
from multiprocessing import reduction
from typing import Any

import pytest

from actorpool._backends import _template_client

__all__ = ["use"]

_PRELOADED = [
    "actorpool._backends._template",
    "actorpool._backends._process_worker",
    "tests.api.support",
    "trio",
]


def use(monkeypatch: pytest.MonkeyPatch) -> None:
    """Have templates forked from now on."""
    context = multiprocessing.get_context("forkserver")
    context.set_forkserver_preload(_PRELOADED)
    # What the first process of all opens is no test's leftover.
    first = context.Process(target=int)
    first.start()
    first.join()
    first.close()
    monkeypatch.setattr(_template_client, "subprocess", _Subprocess(context))


class _Subprocess:
    """What the client of the template uses of the module `subprocess`."""

    DEVNULL = subprocess.DEVNULL
    TimeoutExpired = subprocess.TimeoutExpired

    def __init__(self, context: Any) -> None:
        self._context = context

    def Popen(self, command: list[str], *, pass_fds: tuple[int], stdin: int) -> _Process:
        (descriptor,) = pass_fds
        return _Process(self._context, descriptor)


class _Process:
    """What it uses of a process."""

    def __init__(self, context: Any, descriptor: int) -> None:
        self._process = context.Process(
            target=_become_template, args=(_Descriptor(descriptor), dict(os.environ))
        )
        self._process.start()
        self._code: int | None = None

    def poll(self) -> int | None:
        if self._code is None:
            self._code = self._process.exitcode
            if self._code is not None:
                self._process.close()
        return self._code

    def wait(self, timeout: float | None = None) -> None:
        if self.poll() is None:
            self._process.join(timeout)
            if self.poll() is None:
                raise subprocess.TimeoutExpired("template", timeout or 0.0)

    def kill(self) -> None:
        if self.poll() is None:
            self._process.kill()


class _Descriptor:
    """A file descriptor that is handed to the process that is being started."""

    def __init__(self, number: int) -> None:
        self._number = number

    def __reduce__(self) -> Any:
        return _taken, (reduction.DupFd(self._number),)


def _taken(duplicate: Any) -> int:
    return int(duplicate.detach())


def _become_template(descriptor: int, environment: dict[str, str]) -> None:
    from actorpool._backends._template import main

    os.environ.update(environment)
    main(descriptor)

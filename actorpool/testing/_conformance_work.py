# SPDX-License-Identifier: Apache-2.0
"""The functions that `check_backend` has containers run. They can be imported, so that they reach other processes."""

from __future__ import annotations

import functools
import time
from pathlib import Path

from actorpool._backends._workload import Hook, Target, Workload
from actorpool._host._current import current_host

__all__ = [
    "FAILING",
    "ConformanceFailure",
    "diary",
    "echoing",
    "failing_start",
    "hanging_start",
    "stubborn",
    "waiting",
]


class ConformanceFailure(Exception):
    """What the failing functions raise."""


def echo(x: object) -> object:
    """Return `x`."""
    return x


async def aecho(x: object) -> object:
    """Return `x` after a step of the loop."""
    await current_host().checkpoint()
    return x


def fail(x: object) -> object:
    """Raise."""
    raise ConformanceFailure(x)


async def afail(x: object) -> object:
    """Raise after a step of the loop."""
    await current_host().checkpoint()
    raise ConformanceFailure(x)


def wait(x: object, seconds: float) -> object:
    """Return `x` after some time."""
    time.sleep(seconds)
    return x


async def await_(x: object, seconds: float) -> object:
    """Return `x` after some time."""
    await current_host().sleep(seconds)
    return x


async def refuse(x: object, seconds: float) -> object:
    """Return `x` after some time, whoever interrupts it."""

    async def through() -> None:
        await current_host().sleep(seconds)

    try:
        await current_host().shielded(through, seconds + 1)
    except BaseException:
        # A cancellation that came meanwhile is delivered now, and is refused like any other.
        return x
    return x


FAILING = "fail"
"""The name of the targets that raise."""


def echoing(*, is_async: bool, max_inputs: int = 1) -> Workload:
    """Return a workload with a target that returns its argument, and one that raises."""
    if is_async:
        return Workload("echo", (Target("echo", aecho, True), Target(FAILING, afail, True)), max_inputs)
    return Workload("echo", (Target("echo", echo, False), Target(FAILING, fail, False)), max_inputs)


def waiting(*, is_async: bool, max_inputs: int) -> Workload:
    """Return a workload whose target returns its first argument after as many seconds as the second says."""
    return Workload("wait", (Target("wait", await_ if is_async else wait, is_async),), max_inputs)


def stubborn() -> Workload:
    """Return a workload whose target goes on for its time when it is interrupted."""
    return Workload("stubborn", (Target("stubborn", refuse, True),), 1)


class Diary:
    """Writes into a file what happens to it."""

    def __init__(self, path: str) -> None:
        self.path = Path(path)
        self.write("made")

    def write(self, line: str) -> None:
        """Add a line."""
        with self.path.open("a", encoding="utf-8") as file:
            file.write(f"{line}\n")

    def enter_first(self) -> None:
        """Enter."""
        self.write("first enter hook")

    async def enter_second(self) -> None:
        """Enter."""
        await current_host().checkpoint()
        self.write("second enter hook")

    def enter_badly(self) -> None:
        """Fail to enter."""
        raise ConformanceFailure("enter hook")

    async def enter_never(self) -> None:
        """Never end entering."""
        await current_host().event().wait()

    def note(self, x: object) -> object:
        """Write and return `x`."""
        self.write(f"note {x}")
        return x

    def leave(self) -> None:
        """Exit."""
        self.write("exit hook")


def _of_diary(name: str, path: str, *enter: Hook) -> Workload:
    return Workload(
        name,
        (Target("note", Diary.note, False),),
        1,
        build=functools.partial(Diary, path),
        enter=enter,
        exit=(Hook(Diary.leave, False),),
        bound=True,
    )


def diary(path: str) -> Workload:
    """Return the workload of a class with two enter hooks and an exit hook."""
    return _of_diary("diary", path, Hook(Diary.enter_first, False), Hook(Diary.enter_second, True))


def failing_start(path: str) -> Workload:
    """Return the workload of a class whose second enter hook raises."""
    return _of_diary("failing start", path, Hook(Diary.enter_first, False), Hook(Diary.enter_badly, False))


def hanging_start(path: str) -> Workload:
    """Return the workload of a class whose enter hook does not end."""
    return _of_diary("hanging start", path, Hook(Diary.enter_never, True))

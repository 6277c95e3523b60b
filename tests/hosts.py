# SPDX-License-Identifier: Apache-2.0
"""Runs async tests on each host, and sees to it that they leave nothing behind.

`run_on(host_name, async_fn)` runs on the real clock, `run_virtually_on` on a virtual one; the fixtures `run` and
`run_virtually` are the same for the host that the test is parametrised with. `leftovers` is what `conftest` asks around
every test.
"""

from __future__ import annotations

import asyncio
import functools
import gc
import os
import sys
import threading
import time
from collections.abc import Awaitable, Callable
from pathlib import Path
from typing import Any, TypeVar

import trio
import trio.testing
import uvloop

from actorpool._deployments import deployed
from actorpool._host._virtual import VirtualTimeLoop, run_virtual_trio
from tests import shared

T = TypeVar("T")

EAGER = ["asyncio+eager"] if sys.version_info >= (3, 12) else []
ASYNCIO_HOST_NAMES = ["asyncio", "asyncio+uvloop", *EAGER]
HOST_NAMES = [*ASYNCIO_HOST_NAMES, "trio"]
# uvloop's clock is in C and cannot be made virtual.
VIRTUAL_HOST_NAMES = ["asyncio", *EAGER, "trio"]

# libuv opens a pipe with the first loop of a process and keeps it: no test's leftover.
uvloop.new_event_loop().close()

# How long inputs in other processes have to come to rest, in seconds.
_PATIENCE_S = 5.0

_FDS = Path("/proc/self/fd" if sys.platform == "linux" else "/dev/fd")


def run_on(host_name: str, async_fn: Callable[..., Awaitable[T]], *args: Any) -> T:
    """Run `async_fn(*args)` on a fresh loop of that host; fail if it leaves a task or an unhandled error."""
    if host_name == "trio":
        return trio.run(_checked_on_trio, async_fn, args)
    return _run_on_asyncio(functools.partial(new_loop, host_name), async_fn, args)


def run_virtually_on(host_name: str, async_fn: Callable[..., Awaitable[T]], *args: Any) -> T:
    """Do the same on a virtual clock that starts its wall time at 0."""
    if host_name == "trio":
        return run_virtual_trio(functools.partial(_checked_on_trio, async_fn, args), start_wall_time=0.0)
    return _run_on_asyncio(functools.partial(new_loop, host_name, virtual=True), async_fn, args)


def new_loop(host_name: str, *, virtual: bool = False) -> asyncio.AbstractEventLoop:
    """Return a loop of one of the kinds of asyncio."""
    loop: asyncio.AbstractEventLoop
    if host_name == "asyncio+uvloop":
        loop = uvloop.new_event_loop()
    else:
        loop = VirtualTimeLoop(0.0) if virtual else asyncio.SelectorEventLoop()
    if host_name == "asyncio+eager":
        loop.set_task_factory(getattr(asyncio, "eager_task_factory"))  # noqa: B009 - not there in Python 3.11
    return loop


def _run_on_asyncio(
    loop_factory: Callable[[], asyncio.AbstractEventLoop],
    async_fn: Callable[..., Awaitable[T]],
    args: tuple[Any, ...],
) -> T:
    unhandled: list[dict[str, Any]] = []

    async def main() -> T:
        asyncio.get_running_loop().set_exception_handler(lambda _loop, context: unhandled.append(context))
        result = await async_fn(*args)
        # A task that has just been told of its end is given the turns to reach it.
        await settle()
        left = asyncio.all_tasks() - {asyncio.current_task()}
        assert set() == left
        return result

    with asyncio.Runner(loop_factory=loop_factory) as runner:
        result = runner.run(main())
    assert [] == unhandled
    return result


async def _checked_on_trio(async_fn: Callable[..., Awaitable[T]], args: tuple[Any, ...]) -> T:
    before = _trio_tasks()
    result = await async_fn(*args)
    await settle()
    # The timers' task sleeps for ever once it has been needed; the run ends it.
    assert set() == {task for task in _trio_tasks() - before if task.name != "actorpool timers"}
    return result


def _trio_tasks() -> set[trio.lowlevel.Task]:
    root = trio.lowlevel.current_root_task()
    found = set()
    new = [] if root is None else [root]
    while new:
        task = new.pop()
        found.add(task)
        new.extend(child for nursery in task.child_nurseries for child in nursery.child_tasks)
    return found


async def settle() -> None:
    """Return when every other task is blocked, and every input in another process."""
    await _settle_here()
    deadline = time.monotonic() + _PATIENCE_S
    while not shared.quiet() and time.monotonic() < deadline:
        time.sleep(0.0005)
        await _settle_here()


async def _settle_here() -> None:
    if trio.lowlevel.in_trio_run():
        await trio.testing.wait_all_tasks_blocked()
    else:
        # asyncio cannot be asked; no chain of wake-ups in these tests is as long as this.
        for _ in range(30):
            await asyncio.sleep(0)


class Leftovers:
    """The threads, file descriptors and deployed apps there are now; later ones are left over."""

    def __init__(self) -> None:
        self._deployed = set(deployed())
        self._threads = set(threading.enumerate())
        self._fds = _open_fds()

    def found(self) -> list[str]:
        """Return what has come since and stayed, described."""
        # trio keeps idle worker threads for some seconds.
        threads = {
            thread
            for thread in set(threading.enumerate()) - self._threads
            if not thread.name.startswith("Trio thread")
        }
        for thread in threads:
            thread.join(1.0)
        left = [f"thread {thread.name!r}" for thread in threads if thread.is_alive()]
        left += [f"deployed app {life.called!r}" for life in set(deployed()) - self._deployed]
        if _open_fds() - self._fds:
            gc.collect()
        return left + [f"file descriptor {fd}: {target}" for fd, target in sorted(_open_fds() - self._fds)]


def _open_fds() -> set[tuple[str, str]]:
    found = set()
    for fd in os.listdir(_FDS):
        try:
            found.add((fd, str((_FDS / fd).readlink())))
        except OSError:
            # The descriptor of this listing itself.
            pass
    return found

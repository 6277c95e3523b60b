# SPDX-License-Identifier: Apache-2.0
"""Virtual time for whoever writes tests: the doors over the hosts' virtual clocks.

How a clock jumps is the hosts' business (`_host._virtual`, `_host._trio`).
"""

from __future__ import annotations

import functools
from collections.abc import Awaitable, Callable
from datetime import datetime
from typing import TYPE_CHECKING, Any, Final, Literal, TypeVar

from actorpool._host._virtual import run_virtual as run_on_asyncio
from actorpool._host._virtual import run_virtual_trio as run_on_trio
from actorpool.exception import InvalidError

if TYPE_CHECKING:
    from trio.testing import MockClock

__all__ = ["START", "HostName", "run_virtual", "unix_seconds", "virtual_trio_clock"]

T = TypeVar("T")

HostName = Literal["asyncio", "trio"]
"""The libraries whose event loops have a virtual clock; uvloop's clock is in C and has none."""

# 2026-01-01 00:00 UTC, a Thursday: a run is the same on every day.
START: Final = 1_767_225_600.0


def run_virtual(
    async_fn: Callable[..., Awaitable[T]],
    *args: Any,
    host: HostName = "asyncio",
    start: datetime | float = START,
) -> T:
    """Run `async_fn(*args)` on a new event loop in virtual time, and return its result.

    Whenever nothing is left to do, the clock jumps to the next timer instead of waiting for it: an hour of sleeping
    takes as long as the work in it. While a container's threads or processes work, or `asyncio.to_thread` does, the
    clock stands still. `asyncio.sleep`, `asyncio.timeout`, `trio.sleep` and the like follow the virtual clock;
    `time.time()`, `time.sleep()` and real sockets do not.

    Args:
        async_fn: The async function to run.
        args: Its arguments.
        host: "asyncio" or "trio".
        start: What the time of day is at the start, for schedules: an aware datetime or Unix seconds; by default
            midnight UTC at the beginning of 2026.

    Raises:
        InvalidError: If `host` is neither of the two, or `start` is a datetime without a time zone.
        BaseException: What `async_fn` raises.
    """
    runners = {"asyncio": run_on_asyncio, "trio": run_on_trio}
    if host not in runners:
        raise InvalidError(f"host must be 'asyncio' or 'trio', not {host!r}")
    return runners[host](functools.partial(async_fn, *args), start_wall_time=unix_seconds(start))


def virtual_trio_clock() -> MockClock:
    """Return a clock for `trio.run(..., clock=...)` that jumps instead of waiting, also under actorpool's own timers.

    It is trio's `MockClock` with `autojump_threshold=0`. An app that runs on it keeps it from jumping while its threads
    and processes work; `trio.to_thread` does not.
    """
    from trio.testing import MockClock

    return MockClock(autojump_threshold=0)


def unix_seconds(start: datetime | float) -> float:
    """Return Unix seconds.

    Raises:
        InvalidError: If `start` is a datetime without a time zone.
    """
    if not isinstance(start, datetime):
        return float(start)
    if start.tzinfo is None:
        raise InvalidError(f"start must say its time zone: {start!r}.replace(tzinfo=...)")
    return start.timestamp()

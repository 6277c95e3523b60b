# SPDX-License-Identifier: Apache-2.0
"""The soak test: `python -m benchmarks.soak [--minutes 10]`.

A mixed load on process containers that are recycled, crash, hang and are killed all the time. After each minute the
load rests until the containers of functions have gone, whose shared memory is mapped here too, and the memory that
this process uses is printed. It fails, with exit code 1, if a result is wrong, if memory at the end is more than 5 %
above that after minute 2 (until then caches fill), or if a process, a descriptor or a piece of shared memory is left.
Linux only.
"""

from __future__ import annotations

import argparse
import asyncio
import ctypes
import gc
import itertools
import logging
import os
import sys
import tempfile
import threading
import time
from collections.abc import Awaitable, Callable, Sequence
from pathlib import Path
from typing import Any

from actorpool.exception import FunctionTimeoutError

from . import _soak_app as users

__all__ = ["main"]

# How much the memory may grow between the two looks.
GROWTH = 1.05
BIG = bytes(range(256)) * (1 << 13)

Round = Callable[[int, Path], Awaitable[int]]


def main(argv: Sequence[str] | None = None) -> int:
    """Run for as long as was asked for; return 1 if anything is wrong in the end."""
    parser = argparse.ArgumentParser(
        prog="python -m benchmarks.soak", description=(__doc__ or "").split("\n\n")[1]
    )
    parser.add_argument(
        "--minutes",
        type=int,
        default=10,
        help="how long, at least 2 (default 10); memory is judged from 3 on",
    )
    options = parser.parse_args(argv)
    if options.minutes < 2:
        parser.error("--minutes must be at least 2: memory is compared with that after minute 2")
    # Containers that die and hang are what this is about.
    logging.getLogger("actorpool").setLevel(logging.CRITICAL)
    before = _left()
    with tempfile.TemporaryDirectory() as folder:
        resident = asyncio.run(_soak(options.minutes, Path(folder)))
    wrong = sorted(_left() - before)
    reference = resident[1]
    growth = resident[-1] / reference
    print(f"memory at the end: {growth - 1:+.1%} of {reference >> 20} MiB")
    if growth > GROWTH:
        wrong.append(f"memory grew by {growth - 1:.1%}, more than {GROWTH - 1:.0%}")
    for what in wrong:
        print(f"WRONG: {what}", file=sys.stderr)
    return 1 if wrong else 0


async def _soak(minutes: int, folder: Path) -> list[int]:
    resident: list[int] = []
    numbers = itertools.count()
    async with users.app.run(grace=0.3):
        for minute in range(1, minutes + 1):
            until = time.monotonic() + 60
            done = await asyncio.gather(*[_repeat(one, until, numbers, folder) for one in ROUNDS])
            await _rest()
            _give_back()
            resident.append(_resident())
            held = len(os.listdir("/proc/self/fd"))
            starts = sum(handle.statistics().starts for handle in users.app.registered_functions.values())
            print(
                f"minute {minute}: {resident[-1] / (1 << 20):.1f} MiB, {sum(done):,} inputs, {starts:,} containers "
                f"of functions so far, {held} descriptors, {threading.active_count()} threads",
                flush=True,
            )
    return resident


async def _rest() -> None:
    functions = list(users.app.registered_functions.values())
    for function in functions:
        function.update_autoscaler(scaledown_window=0.1)
    while True:
        await asyncio.sleep(0.05)
        if not any(function.statistics().containers for function in functions):
            break
    for function in functions:
        function.update_autoscaler(scaledown_window=60)


async def _repeat(one: Round, until: float, numbers: itertools.count[int], folder: Path) -> int:
    done = 0
    while time.monotonic() < until:
        done += await one(next(numbers), folder)
    return done


# -- the load: each returns how many inputs it ran ------------------------------------------------------------


async def _maps(number: int, _: Path) -> int:
    inputs = range(number, number + 300)
    _equal([x * x for x in inputs], [y async for y in users.square.map.aio(inputs)])
    return 300


async def _calls(number: int, _: Path) -> int:
    value = {"a": (number, 2.5), 3: [None, True, "text"], "b": b"bytes"}
    _equal([value] * 40, await asyncio.gather(*[users.echo.remote.aio(value) for _ in range(40)]))
    return 40


async def _spawns(number: int, _: Path) -> int:
    calls = [await users.square.spawn.aio(x) for x in range(number, number + 50)]
    _equal([x * x for x in range(number, number + 50)], [await call.get.aio() for call in calls])
    return 50


async def _local(number: int, _: Path) -> int:
    _equal(number * number, await users.local_square.remote.aio(number))
    await asyncio.sleep(0.005)
    return 1


async def _payloads(_number: int, _: Path) -> int:
    _equal(BIG[::-1], await users.big.remote.aio(BIG))
    await asyncio.sleep(0.02)
    return 1


async def _failures(number: int, _: Path) -> int:
    try:
        await users.refuse.remote.aio(number)
    except ValueError as error:
        _equal((number,), error.args)
    else:
        raise AssertionError("an exception was lost")
    return 1


async def _kills(number: int, folder: Path) -> int:
    marker = folder / str(number)
    _equal(str(marker), await users.die.remote.aio(str(marker)))
    marker.unlink()
    await asyncio.sleep(0.5)
    return 2


async def _timeouts(_number: int, _: Path) -> int:
    try:
        await users.hang.remote.aio()
    except FunctionTimeoutError:
        await asyncio.sleep(1.0)
        return 1
    raise AssertionError("a timeout was lost")


async def _generators(_number: int, _: Path) -> int:
    _equal(list(range(100)), [x async for x in users.count.remote_gen.aio(100)])
    _equal(list(range(100)), [x async for x in users.acount.remote_gen.aio(100)])
    return 2


async def _hoards(_number: int, _: Path) -> int:
    await users.hoard.remote.aio(20)
    await asyncio.sleep(0.2)
    return 1


async def _classes(number: int, _: Path) -> int:
    model: Any = users.Model
    _equal(number * 4, await model(factor=4).times.remote.aio(number))
    await asyncio.sleep(0.01)
    return 1


ROUNDS: tuple[Round, ...] = (
    _maps,
    _calls,
    _spawns,
    _local,
    _payloads,
    _failures,
    _kills,
    _timeouts,
    _generators,
    _hoards,
    _classes,
)


def _equal(expected: object, actual: object) -> None:
    if expected != actual:
        raise AssertionError(f"expected {expected!r:.200}, got {actual!r:.200}")


# -- what is left --------------------------------------------------------------------------------------------


def _give_back() -> None:
    """Give back what the allocator keeps for later; how much that is says nothing of what is in use."""
    gc.collect()
    trim = getattr(ctypes.CDLL(None), "malloc_trim", None)
    if trim is not None:
        trim(0)


def _resident() -> int:
    fields = Path("/proc/self/statm").read_text("ascii").split()
    return int(fields[1]) * os.sysconf("SC_PAGE_SIZE")


def _left() -> set[str]:
    """Return the processes, descriptors and shared memory that this process has, described."""
    me = os.getpid()
    found = {f"process {pid}" for pid in os.listdir("/proc") if pid.isdigit() and _parent(pid) == me}
    for descriptor in os.listdir("/proc/self/fd"):
        try:
            found.add(f"descriptor {descriptor}: {os.readlink(f'/proc/self/fd/{descriptor}')}")
        except OSError:
            # That of this listing.
            continue
    maps = Path("/proc/self/maps").read_text("utf-8").splitlines()
    found.update(f"shared memory: {line.split(maxsplit=5)[5]}" for line in maps if "memfd:" in line)
    return found | {f"/dev/shm/{name}" for name in os.listdir("/dev/shm") if _is_mine(f"/dev/shm/{name}")}


def _is_mine(path: str) -> bool:
    try:
        return os.stat(path).st_uid == os.getuid()
    except FileNotFoundError:
        return False


def _parent(pid: str) -> int | None:
    try:
        return int(Path(f"/proc/{pid}/stat").read_text("utf-8").rpartition(")")[2].split()[1])
    except OSError:
        return None


if __name__ == "__main__":
    sys.exit(main())

# SPDX-License-Identifier: Apache-2.0
"""What the tests of calls from inside process containers run there: functions that call functions."""

from __future__ import annotations

import os
import threading
import time
from collections.abc import AsyncIterator, Iterator
from contextlib import aclosing
from contextvars import ContextVar
from pathlib import Path
from typing import Any

import actorpool as modal
from actorpool._host._current import current_host

app = modal.App("calling-tests", backend="process")
other = modal.App("called-tests")

tenant: ContextVar[str] = ContextVar("tenant", default="nobody")


class Refusal(Exception):
    """The user's own exception."""

    def __init__(self, what: str, code: int) -> None:
        super().__init__(what, code)
        self.code = code


# -- what is called ---------------------------------------------------------------------------------


@app.function(backend="local")
def local_double(x: int) -> tuple[int, int]:
    return os.getpid(), 2 * x


@app.function(backend="local")
@modal.concurrent(max_inputs=50)
async def slow_double(x: int, seconds: float = 0.0) -> int:
    await current_host().sleep(seconds)
    return 2 * x


@app.function(max_containers=1)
def far_double(x: int) -> tuple[int, int]:
    return os.getpid(), 2 * x


@app.function(backend="local")
def refuse(what: str) -> None:
    raise Refusal(what, 7)


@app.function(backend="local")
def refuse_when(path: str) -> None:
    while not Path(path).exists():
        time.sleep(0.01)
    raise Refusal("late", 9)


@app.function(max_containers=1)
def far_refuse(what: str) -> None:
    raise Refusal(what, 8)


@app.function(backend="local", limits=modal.Limits(max_pending=1, max_spawned=2), max_containers=1)
def narrow(seconds: float) -> float:
    time.sleep(seconds)
    return seconds


@app.function(backend="local")
def count(n: int) -> Iterator[int]:
    yield from range(n)


@app.function(backend="local")
def count_in(path: str, n: int) -> Iterator[int]:
    """Count, and keep in a file how far it has come; at the end, that it has ended."""
    try:
        for number in range(n):
            Path(path).write_text(str(number))
            yield number
    finally:
        Path(path).write_text(f"{Path(path).read_text()} closed")


@app.function(backend="local")
def call_now_and_then(n: int) -> Iterator[Any]:
    """Count, and spawn every tenth number."""
    for number in range(n):
        yield number if number % 10 else slow_double.spawn(number)


@app.function(max_containers=1)
async def far_count(n: int) -> AsyncIterator[int]:
    for number in range(n):
        yield number


@app.function(backend="local")
@modal.concurrent(max_inputs=10)
async def hold(path: str) -> None:
    """Wait until cancelled, and say so in a file."""
    Path(path).write_text("held")
    try:
        await current_host().sleep(60)
    except BaseException:
        Path(path).write_text("cancelled")
        raise


@app.function(backend="local")
def whoami() -> tuple[str, str | None, str | None]:
    return tenant.get(), modal.current_function_call_id(), modal.current_input_id()


@app.cls(backend="local")
class Shop:
    town: str = modal.parameter(default="Ulm")

    @modal.method()
    def sell(self, what: str) -> tuple[str, str]:
        return self.town, what


@app.cls(max_containers=1)
class FarShop:
    town: str = modal.parameter(default="Ulm")

    @modal.method()
    def sell(self, what: str) -> tuple[str, str, int]:
        return self.town, what, os.getpid()

    @modal.method()
    def sell_at(self, town: str, what: str) -> tuple[str, str]:
        return SHOP(town=town).sell.remote(what)


# To a type checker a class has no parameters.
SHOP: Any = Shop
FAR_SHOP: Any = FarShop


@other.function()
def elsewhere(x: int) -> int:
    return x + 1


# -- what calls -------------------------------------------------------------------------------------


def _step(name: str) -> Any:
    # Its module takes functions from this one.
    from tests.backends import calling_ids

    return globals().get(name) or getattr(calling_ids, name)


@app.function(max_containers=2)
def run_sync(name: str, *args: Any) -> Any:
    """Run one of the steps below in a thread of a process."""
    return _step(f"do_{name}")(*args)


@app.function(max_containers=1)
@modal.concurrent(max_inputs=20)
async def run_async(name: str, *args: Any) -> Any:
    """Run one of the steps below in the loop of a process."""
    return await _step(f"ado_{name}")(*args)


def do_remote(x: int) -> Any:
    return os.getpid(), local_double.remote(x), far_double.remote(x + 1)


async def ado_remote(x: int) -> Any:
    return os.getpid(), await local_double.remote.aio(x), await far_double.remote.aio(x + 1)


def do_error(far: bool) -> None:
    (far_refuse if far else refuse).remote("no")


async def ado_error(far: bool) -> None:
    await (far_refuse if far else refuse).remote.aio("no")


def do_map(n: int) -> Any:
    slow_double.for_each(range(3))
    return [
        list(slow_double.map(range(n))),
        sorted(slow_double.map(range(n), order_outputs=False)),
        list(slow_double.starmap([(1,), (2, 0.0)])),
        None,
        [type(one).__name__ for one in refuse.map(["a", "b"], return_exceptions=True)],
    ]


async def ado_map(n: int) -> Any:
    await slow_double.for_each.aio(range(3))
    return [
        [x async for x in slow_double.map.aio(range(n))],
        sorted([x async for x in slow_double.map.aio(range(n), order_outputs=False)]),
        [x async for x in slow_double.starmap.aio([(1,), (2, 0.0)])],
        None,
        [type(one).__name__ async for one in refuse.map.aio(["a", "b"], return_exceptions=True)],
    ]


def do_spawn() -> Any:
    call = slow_double.spawn(4)
    calls = [slow_double.spawn(x) for x in range(5)]
    many = slow_double.experimental_spawn_map(range(600))
    slow_double.spawn_map(range(3))
    return (
        call.get(),
        modal.FunctionCall.gather(*calls),
        sum(many.iter()),
        many.num_inputs(),
        many.get(index=7),
        call.done,
    )


async def ado_spawn() -> Any:
    call = await slow_double.spawn.aio(4)
    calls = [await slow_double.spawn.aio(x) for x in range(5)]
    many = await slow_double.experimental_spawn_map.aio(range(600))
    await slow_double.spawn_map.aio(range(3))
    return (
        await call.get.aio(),
        await modal.FunctionCall.gather.aio(*calls),
        sum([x async for x in many.iter.aio()]),
        many.num_inputs(),
        await many.get.aio(index=7),
        call.done,
    )


def do_generate(n: int) -> Any:
    return list(count.remote_gen(n)), list(far_count.remote_gen(n))


async def ado_generate(n: int) -> Any:
    return [x async for x in count.remote_gen.aio(n)], [x async for x in far_count.remote_gen.aio(n)]


def do_classes() -> Any:
    named: Any = modal.Cls.from_name("called-tests", "Nobody")
    missing = ""
    try:
        named().sell.remote("it")
    except modal.exception.NotFoundError as error:
        missing = str(error)
    variant = SHOP.with_options(max_containers=1)
    return (
        SHOP(town="Bonn").sell.remote("tea"),
        FAR_SHOP(town="Kiel").sell.remote("salt")[:2],
        FAR_SHOP().sell_at.remote("Jena", "milk"),
        variant(town="Bern").sell.remote("ham"),
        missing,
    )


def do_names() -> Any:
    found = modal.Function.from_name("called-tests", "elsewhere")
    variant = local_double.with_options(max_containers=1)
    try:
        modal.Function.from_name("called-tests", "nothing").remote(1)
    except modal.exception.NotFoundError as error:
        return found.remote(1), variant.remote(4)[1], str(error)


# -- what is left, refused or killed ------------------------------------------------------------------


async def ado_hold(path: str) -> None:
    await hold.remote.aio(path)


def do_hold(path: str) -> None:
    hold.remote(path)


def do_hold_by_map(path: str) -> None:
    list(hold.map([path]))


def do_leave(path: str) -> Any:
    """Leave a generator and a map early."""
    items = []
    for item in count_in.remote_gen(path, 1_000_000):
        items.append(item)
        if len(items) == 5:
            break
    results = slow_double.map(range(1_000_000))
    first = next(results)
    results.close()
    return items, first


async def ado_leave(path: str) -> Any:
    items = []
    async with aclosing(count_in.remote_gen.aio(path, 1_000_000)) as stream:
        async for item in stream:
            items.append(item)
            if len(items) == 5:
                break
    async with aclosing(slow_double.map.aio(range(1_000_000))) as results:
        return items, await anext(results)


@app.function(backend="local")
def unreadable() -> Iterator[object]:
    yield 1
    yield Unreadable()
    yield 2


class Unreadable:
    """Can be sent, and not be read."""

    def __reduce__(self) -> Any:
        return int, ("no number",)


def do_read_badly() -> Any:
    items = unreadable.remote_gen()
    first = next(items)
    try:
        next(items)
    except modal.exception.Error as error:
        return first, str(error)
    return first, "read"


def do_late(path: str) -> Any:
    """Wait for a file, and call then for the first time."""
    while not Path(path).exists():
        time.sleep(0.01)
    return slow_double.remote(4), list(slow_double.map([1, 2]))


def do_slow_consumer(path: str) -> int:
    """Take one item, and see how far the generator gets meanwhile."""
    stream = count_in.remote_gen(path, 1_000_000)
    next(stream)
    until = time.monotonic() + 10
    while (reached := int(Path(path).read_text() or 0)) < 1_023 and time.monotonic() < until:
        time.sleep(0.01)
    time.sleep(0.1)
    reached = int(Path(path).read_text())
    stream.close()
    return reached


def do_limits() -> Any:
    """Go beyond a limit, spawned and called; and map, which waits for room."""
    # Its container is there then.
    narrow.remote(0.0)
    calls = [narrow.spawn(0.5), narrow.spawn(0.0), narrow.spawn(0.0)]
    errors = [refused_by(narrow.spawn)]
    waiting = threading.Thread(target=lambda: narrow.remote(0.0))
    waiting.start()
    time.sleep(0.1)
    errors.append(refused_by(narrow.remote))
    mapped = list(narrow.map([0.0] * 6))
    waiting.join()
    return errors, mapped, [call.get() for call in calls]


def refused_by(submit: Any) -> Any:
    try:
        submit(0.0)
    except modal.exception.ResourceExhaustedError as error:
        return error.limit_name, error.limit, error.running, getattr(error, "__notes__", [])
    return "accepted"


async def ado_unsendable() -> list[str]:
    """Call with what cannot be sent, in every way."""
    lock = threading.Lock()
    said = []
    for call in (
        lambda: local_double.remote.aio(lock),  # type: ignore[arg-type]
        lambda: local_double.spawn.aio(lock),  # type: ignore[arg-type]
        lambda: local_double.for_each.aio([1, lock]),
    ):
        try:
            await call()
        except modal.exception.InvalidError as error:
            said.append(str(error))
    return said


def do_block_the_loop() -> None:
    local_double.remote(1)


async def ado_block_the_loop() -> None:
    local_double.remote(1)


# -- cycles ------------------------------------------------------------------------------------------


@app.function(max_containers=1)
def ping(n: int) -> Any:
    return pong.remote(n - 1) if n else 0


@app.function(max_containers=1, backend="local")
def pong(n: int) -> Any:
    return ping.remote(n - 1) if n else 0


@app.function(max_containers=2)
def descend(n: int) -> int:
    return 0 if n == 0 else 1 + descend.remote(n - 1)


def do_drop_failing() -> None:
    refuse.spawn("unseen")
    time.sleep(0.2)


def do_die_after_spawning(path: str) -> None:
    refuse_when.spawn(path)
    os._exit(3)


def do_die_while_calling(path: str) -> None:
    def die() -> None:
        while not Path(path).exists():
            time.sleep(0.01)
        os._exit(3)

    threading.Thread(target=die).start()
    hold.remote(path)

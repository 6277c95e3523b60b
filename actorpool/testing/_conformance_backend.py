# SPDX-License-Identifier: Apache-2.0
"""`check_backend`: whether a container backend does what `ContainerBackend` says.

Each rule is a small scenario with a container or two, on the pool's side of the protocol. What a container runs is in
`_conformance_work`, what stands for its pool in `_conformance_bench`.
"""

from __future__ import annotations

import asyncio
import tempfile
import threading
from collections.abc import Awaitable, Callable, Iterable
from contextlib import AsyncExitStack
from functools import partial
from pathlib import Path
from typing import Any, Final

from attrs import frozen

from actorpool._backends._parts import MakeContainer
from actorpool._backends._workload import ContainerBackend
from actorpool._core._input import STATE_NAMES
from actorpool._host._current import current_host
from actorpool.exception import InvalidError
from actorpool.testing import _conformance_work as work
from actorpool.testing._clocks import HostName, run_virtual
from actorpool.testing._conformance import ConformanceError
from actorpool.testing._conformance_bench import Setting

__all__ = ["BACKEND_RULES", "check_backend"]

# Long beside a hop between threads or processes, short beside a user's patience.
_SOON_S: Final = 0.1
_GRACE_S: Final = 0.3

Scenario = Callable[[Setting], Awaitable[None]]


@frozen
class _Rule:
    name: str
    scenario: Scenario


_RULES: list[_Rule] = []


def _rule(name: str) -> Callable[[Scenario], Scenario]:
    def add(scenario: Scenario) -> Scenario:
        _RULES.append(_Rule(name, scenario))
        return scenario

    return add


def check_backend(
    make: MakeContainer,
    *,
    host: HostName = "asyncio",
    real_time: bool = False,
    kill: Callable[[ContainerBackend], object] | None = None,
    rules: Iterable[str] | None = None,
) -> None:
    """Check that a backend's containers do what `ContainerBackend` says; return if they do.

    Args:
        make: Makes a container from its parts; called some twenty times.
        host: The library on whose event loop the pool's side runs, "asyncio" or "trio".
        real_time: Whether it runs on a real clock: for containers whose work the virtual clock cannot see, because
            they do not hold it (`Host.hold`). It then takes a few seconds.
        kill: Ends a running container from outside, as the system may; None if nothing can, and then the rule about
            that is left out.
        rules: The rules to check, of `BACKEND_RULES`; default all.

    Raises:
        ConformanceError: If they do not; the message says which rule is broken, and what was found.
        InvalidError: If there is no such rule.
    """
    known = {rule.name: rule.scenario for rule in _RULES}
    if kill is not None:
        known[_DEATH] = partial(_a_death, kill)
    chosen = [*known, _NOTHING_LEFT] if rules is None else list(rules)
    for name in chosen:
        if name not in (*BACKEND_RULES, _NOTHING_LEFT):
            raise InvalidError(f"there is no rule {name!r}; see actorpool.testing.BACKEND_RULES")
        if name == _DEATH and kill is None:
            raise InvalidError(f"the rule {name!r} needs kill=, which ends a container from outside")
    threads = set(threading.enumerate())
    unhandled: list[dict[str, Any]] = []

    async def main() -> None:
        if host == "asyncio":
            asyncio.get_running_loop().set_exception_handler(lambda _, said: unhandled.append(said))
        async with AsyncExitStack() as resources:
            setting = Setting(make, current_host(), resources)
            for setting.rule in chosen:
                if setting.rule in known:
                    await known[setting.rule](setting)

    if not real_time:
        run_virtual(main, host=host)
    elif host == "asyncio":
        asyncio.run(main())
    else:
        import trio

        trio.run(main)
    if _NOTHING_LEFT in chosen:
        _check_leftovers(threads, unhandled)


def _check_leftovers(threads: set[threading.Thread], unhandled: list[dict[str, Any]]) -> None:
    if unhandled:
        raise ConformanceError(_NOTHING_LEFT, f"nobody has handled {unhandled[0]!r} on the event loop")
    # trio keeps idle threads for some seconds, asyncio's are gone with their loop.
    new = [
        thread for thread in set(threading.enumerate()) - threads if not thread.name.startswith("Trio thread")
    ]
    for thread in new:
        thread.join(_GRACE_S)
    left = [thread.name for thread in new if thread.is_alive()]
    if left:
        raise ConformanceError(_NOTHING_LEFT, f"threads are left: {', '.join(left)}")


# -- inputs ---------------------------------------------------------------------------------------------


@_rule("the result of an input is reported once")
async def _results(setting: Setting) -> None:
    for is_async in (True, False):
        async with setting.running(work.echoing(is_async=is_async)) as bench:
            for number in range(3):
                bench.send(bench.input("echo", number) if number else bench.input("echo", x=number))
                await bench.until_ended(number + 1)
        setting.expect(
            [("succeeded", 0), ("succeeded", 1), ("succeeded", 2)],
            await bench.until_ended(3),
            "what was reported",
        )


@_rule("what an input raises is reported as it was raised")
async def _failures(setting: Setting) -> None:
    for is_async in (True, False):
        async with setting.running(work.echoing(is_async=is_async)) as bench:
            bench.send(bench.input(work.FAILING, "why"))
            await bench.until_ended()
            ((_, state, error),) = bench.ended
            setting.expect(
                ("failed", ("why",)),
                (STATE_NAMES[state], getattr(error, "args", None)),
                "state and arguments",
            )
            setting.expect(work.ConformanceFailure, type(error), "the type of the error")
            # The container goes on.
            bench.send(bench.input("echo", 7))
            setting.expect(("succeeded", 7), (await bench.until_ended(2))[-1], "the input after it")


@_rule("the input that takes a slot at once is run next")
async def _chains(setting: Setting) -> None:
    for is_async in (True, False):
        async with setting.running(work.echoing(is_async=is_async)) as bench:
            bench.send(*(bench.input("echo", number) for number in range(20)))
            ended = await bench.until_ended(20)
        setting.expect([("succeeded", number) for number in range(20)], ended, "what was reported, in order")


@_rule("inputs run at the same time, one in each slot")
async def _slots(setting: Setting) -> None:
    for is_async in (True, False):
        async with setting.running(work.waiting(is_async=is_async, max_inputs=2)) as bench:
            bench.send(bench.input("wait", "long", 6 * _SOON_S), bench.input("wait", "short", _SOON_S))
            ended = await bench.until_ended(2)
        setting.expect([("succeeded", "short"), ("succeeded", "long")], ended, "what was reported, in order")


@_rule("an input that has its outcome on its way is not run")
async def _settled(setting: Setting) -> None:
    for is_async in (True, False):
        async with setting.running(work.waiting(is_async=is_async, max_inputs=1)) as bench:
            late = bench.input("wait", "late", 5.0)
            # As it is between the pool's lock and the container's own thread or task.
            bench.hold_slot(late)
            bench.settle(late)
            bench.backend.send(late)
            setting.expect("cancelled", (await bench.until_ended(seconds=2.0))[0][0], "the state reported")
            bench.send(bench.input("wait", "next", 0.0))
            setting.expect(("succeeded", "next"), (await bench.until_ended(2))[-1], "the input after it")


# -- cancellation -----------------------------------------------------------------------------------------


@_rule("a cancelled coroutine ends, and gives its slot back once")
async def _cancellation(setting: Setting) -> None:
    async with setting.running(work.waiting(is_async=True, max_inputs=1)) as bench:
        first, second = bench.input("wait", "first", 100.0), bench.input("wait", "second", 0.0)
        bench.send(first, second)
        await setting.host.sleep(_SOON_S)
        bench.settle(first)
        bench.backend.cancel(first)
        ended = await bench.until_ended(2, seconds=10.0)
        setting.expect(("cancelled", ("succeeded", "second")), (ended[0][0], ended[1]), "what was reported")
        await setting.host.sleep(_SOON_S)
        setting.expect(2, len(bench.ended), "the number of reports")


@_rule("to cancel what does not run any more changes nothing")
async def _late_cancellation(setting: Setting) -> None:
    for is_async in (True, False):
        async with setting.running(work.echoing(is_async=is_async)) as bench:
            first = bench.input("echo", 1)
            bench.send(first)
            await bench.until_ended()
            bench.backend.cancel(first)
            bench.send(bench.input("echo", 2))
            ended = await bench.until_ended(2)
        setting.expect([("succeeded", 1), ("succeeded", 2)], ended, "what was reported")


@_rule("stopping waits for interrupted work, but not for ever")
async def _stubbornness(setting: Setting) -> None:
    bench = setting.bench(work.stubborn(), grace_s=_GRACE_S)
    await bench.start()
    held = bench.input("stubborn", "at last", 12 * _GRACE_S)
    bench.send(held)
    await setting.host.sleep(_SOON_S)
    bench.settle(held)
    bench.backend.cancel(held)
    took = await bench.stop()
    # A grace period for each of its steps, and something for the journey.
    if took > 10 * _GRACE_S:
        raise setting.broken(f"with a grace period of {_GRACE_S:g} s stop() took {took:.2f} s")
    # What cannot be ended comes to its end by itself.
    await setting.host.sleep(12 * _GRACE_S)
    bench.check()


# -- its life ---------------------------------------------------------------------------------------------


@_rule("a container that was never started can be stopped")
async def _stopped_early(setting: Setting) -> None:
    await setting.bench(work.echoing(is_async=True)).stop()
    bench = setting.bench(work.echoing(is_async=False))
    await bench.within(bench.backend.admit, 5.0, "admit() returns where there is room")
    await bench.stop()


@_rule("the object is made and entered before the first input, and left after the last")
async def _hooks(setting: Setting) -> None:
    with tempfile.TemporaryDirectory(prefix="actorpool-") as folder:
        path = Path(folder) / "diary"
        async with setting.running(work.diary(str(path))) as bench:
            for number in range(2):
                bench.send(bench.input("note", number))
                await bench.until_ended(number + 1)
        expected = ["made", "first enter hook", "second enter hook", "note 0", "note 1", "exit hook"]
        setting.expect(expected, path.read_text("utf-8").splitlines(), "what happened to the object")


@_rule("a start that fails raises what failed, and leaves nothing to be left")
async def _failed_start(setting: Setting) -> None:
    with tempfile.TemporaryDirectory(prefix="actorpool-") as folder:
        path = Path(folder) / "diary"
        bench = setting.bench(work.failing_start(str(path)))
        try:
            await bench.start()
        except work.ConformanceFailure as error:
            setting.expect(("enter hook",), error.args, "the arguments of the error")
        else:
            raise setting.broken("start() returned although an enter hook had raised")
        finally:
            await bench.stop()
        lines = path.read_text("utf-8").splitlines()
        setting.expect(["made", "first enter hook"], lines, "what happened to the object")


@_rule("a start that is called off ends")
async def _called_off(setting: Setting) -> None:
    with tempfile.TemporaryDirectory(prefix="actorpool-") as folder:
        bench = setting.bench(work.hanging_start(str(Path(folder) / "diary")))
        await bench.within(bench.backend.admit, 5.0, "admit() returns where there is room")
        try:
            with setting.host.move_on_after(4 * _SOON_S) as scope:
                await bench.backend.start()
        finally:
            await bench.stop()
        setting.expect(True, scope.cancelled_caught, "whether the start was called off")


@_rule("letting go of a container does not wait")
async def _abandoned(setting: Setting) -> None:
    bench = setting.bench(work.waiting(is_async=True, max_inputs=1), grace_s=_GRACE_S)
    bench.backend.abandon()
    await bench.stop()
    running = setting.bench(work.echoing(is_async=False))
    await running.start()
    running.send(running.input("echo", 1))
    await running.until_ended()
    running.backend.abandon()
    running.backend.abandon()
    await running.stop()


_DEATH: Final = "a container that dies is reported once, with what it was given to run"
_NOTHING_LEFT: Final = "nothing is left behind"


async def _a_death(kill: Callable[[ContainerBackend], object], setting: Setting) -> None:
    bench = setting.bench(work.waiting(is_async=True, max_inputs=2))
    await bench.start()
    busy = bench.input("wait", "never", 100.0)
    bench.send(busy)
    await setting.host.sleep(4 * _SOON_S)
    kill(bench.backend)
    await bench.until_lost()
    ((_, run),) = bench.losses
    setting.expect(frozenset({busy}), run, "what it was given to run")
    # Whoever sends to the dead is not answered: the pool takes the input back.
    late = bench.input("wait", "late", 0.0)
    bench.hold_slot(late)
    bench.backend.send(late)
    await bench.stop()
    setting.expect(([], 1), (bench.ended, len(bench.losses)), "reports of inputs, and of the container")


BACKEND_RULES: Final[tuple[str, ...]] = (*(rule.name for rule in _RULES), _DEATH, _NOTHING_LEFT)
"""The names of the rules that `check_backend` checks, in their order."""

# SPDX-License-Identifier: Apache-2.0
"""Every verb that awaits, cancelled at each step of its path: the pool keeps its contract, each input has one outcome.

The pools are held against the naive model after every step they take, and count how often each input was settled
and who was told.
"""

from __future__ import annotations

import time
from collections import Counter
from collections.abc import AsyncIterator, Callable, Iterator
from contextlib import aclosing
from typing import Any

import pytest

import actorpool as modal
from actorpool import FunctionCall
from actorpool._core import _observed
from actorpool._core._flow import Flow
from actorpool._core._input import Input
from actorpool._host._current import current_host
from actorpool.exception import ClosedError
from tests.actors.harness import at_every_step, at_rest, cancelled_after, checkpoints, idle
from tests.api.support import PATIENCE_S, sleep
from tests.core.pool_checked import CheckedPool
from tests.hosts import settle

Run = Callable[..., Any]


class Outcomes:
    """What became of the inputs of all pools."""

    def __init__(self) -> None:
        self.accepted: list[Input] = []
        self.settled: Counter[Input] = Counter()

    def check(self) -> None:
        """Each accepted input has one outcome, that of its last attempt, and no other has any."""
        ends = [input.latest() for input in self.accepted]
        assert Counter(ends) == Counter(
            {input: n for input, n in self.settled.items() if not input.successor}
        )
        assert {1} >= {*self.settled.values()}


@pytest.fixture
def outcomes(monkeypatch: pytest.MonkeyPatch) -> Iterator[Outcomes]:
    """Count outcomes, in pools that check themselves; all must be there at the end."""
    outcomes = Outcomes()
    submit, settle_one = Flow.submit, Flow.settle

    def counting_submit(pool: Flow, input: Input, now: float) -> Any:
        taken = submit(pool, input, now)
        outcomes.accepted.append(input)
        return taken

    def counting_settle(pool: Flow, input: Input, state: int, value: Any) -> None:
        settle_one(pool, input, state, value)
        outcomes.settled[input] += 1

    monkeypatch.setattr(Flow, "submit", counting_submit)
    monkeypatch.setattr(Flow, "settle", counting_settle)
    monkeypatch.setattr(_observed, "Pool", CheckedPool)
    yield outcomes
    outcomes.check()


class Functions:
    """One app with a function and a generator function of each kind."""

    def __init__(self, **settings: Any) -> None:
        app = self.app = modal.App("my-app")

        @app.function(name="waits", **settings)
        async def waits(x: int) -> int:
            await checkpoints(2)
            return x + 1

        @app.function(name="returns", **settings)
        async def returns(x: int) -> int:
            return x + 1

        @app.function(name="in_thread", **settings)
        def in_thread(x: int) -> int:
            return x + 1

        @app.function(name="waits_gen", **settings)
        async def waits_gen(x: int) -> AsyncIterator[int]:
            for number in range(x):
                await checkpoints(1)
                yield number

        @app.function(name="returns_gen", **settings)
        async def returns_gen(x: int) -> AsyncIterator[int]:
            for number in range(x):
                yield number

        @app.function(name="in_thread_gen", **settings)
        def in_thread_gen(x: int) -> Iterator[int]:
            yield from range(x)

        self.functions: dict[str, Any] = {
            "waits": waits,
            "returns": returns,
            "in_thread": in_thread,
            "waits_gen": waits_gen,
            "returns_gen": returns_gen,
            "in_thread_gen": in_thread_gen,
        }


KINDS = ["waits", "returns", "in_thread"]
each_kind = pytest.mark.parametrize("kind", KINDS)
# With one container some inputs are pending; with a short window containers come and go.
each_setting = pytest.mark.parametrize(
    "settings",
    [{}, {"max_containers": 1, "scaledown_window": 0.125}],
    ids=["default", "one-container"],
)

Verb = Callable[[Any], Any]


async def ended(f: Any) -> None:
    """Return when all inputs of `f` have ended; threads do so in real time, also where the clock is virtual."""
    patience = time.monotonic() + PATIENCE_S
    while not idle(f) and time.monotonic() < patience:
        await settle()
    await at_rest(f)


def steps_of(
    run_virtually: Run, function: str, settings: dict[str, Any], verb: Verb, *, cancelled: bool | None = None
) -> int:
    """Cancel `verb` at every step, cold each time; return how many steps it has.

    `cancelled` says whether inputs of it were cancelled: True for some, False for none, None where it depends.
    """
    functions = Functions(**settings)
    f = functions.functions[function]

    async def main() -> int:
        async with functions.app.run():

            async def afterwards() -> None:
                await ended(f)
                await sleep(64)
                statistics = f.statistics()
                assert 0 == statistics.containers
                having = statistics.succeeded + statistics.cancelled
                assert (statistics.arrived, 0) == (having, statistics.failed + statistics.timed_out)

            steps = await at_every_step(lambda: verb(f), afterwards)
            if cancelled is not None:
                assert cancelled == bool(f.statistics().cancelled)
        return steps

    steps: int = run_virtually(main)
    return steps


@each_kind
@each_setting
def test_spawn_may_be_cancelled_at_every_step(
    run_virtually: Run, outcomes: Outcomes, kind: str, settings: dict[str, Any]
) -> None:
    async def verb(f: Any) -> None:
        await f.spawn.aio(1)
        await checkpoints(1)

    assert steps_of(run_virtually, kind, settings, verb, cancelled=False) >= 1


@each_kind
@each_setting
def test_get_with_a_timeout_may_be_cancelled_at_every_step(
    run_virtually: Run, outcomes: Outcomes, kind: str, settings: dict[str, Any]
) -> None:
    async def verb(f: Any) -> None:
        call = await f.spawn.aio(1)
        assert 2 == await call.get.aio(timeout=100)

    assert steps_of(run_virtually, kind, settings, verb, cancelled=False) >= 1


@each_kind
@each_setting
def test_gather_may_be_cancelled_at_every_step_and_the_calls_go_on(
    run_virtually: Run, outcomes: Outcomes, kind: str, settings: dict[str, Any]
) -> None:
    calls: list[FunctionCall[int]] = []

    async def verb(f: Any) -> None:
        calls[:] = [f.spawn(x) for x in range(3)]
        assert [1, 2, 3] == await FunctionCall.gather.aio(*calls)

    assert steps_of(run_virtually, kind, settings, verb, cancelled=False) >= 1
    assert [1, 2, 3] == [call.get() for call in calls]


@each_kind
@each_setting
def test_iter_may_be_cancelled_at_every_step_and_the_inputs_go_on(
    run_virtually: Run, outcomes: Outcomes, kind: str, settings: dict[str, Any]
) -> None:
    async def verb(f: Any) -> None:
        call = await f.experimental_spawn_map.aio(range(3))
        async with aclosing(call.iter.aio(start=1)) as results:
            assert [2, 3] == [x async for x in results]

    assert steps_of(run_virtually, kind, settings, verb) >= 1


@each_kind
@each_setting
def test_remote_gen_may_be_cancelled_at_every_step(
    run_virtually: Run, outcomes: Outcomes, kind: str, settings: dict[str, Any]
) -> None:
    async def verb(f: Any) -> None:
        async with aclosing(f.remote_gen.aio(3)) as items:
            assert [0, 1, 2] == [item async for item in items]

    assert steps_of(run_virtually, f"{kind}_gen", settings, verb) >= 1


async def numbers(count: int) -> AsyncIterator[int]:
    for number in range(count):
        await checkpoints(1)
        yield number


MAPS: list[tuple[str, Callable[[], Any]]] = [
    ("spawn_map", lambda: range(3)),
    ("experimental_spawn_map", lambda: numbers(3)),
]


@each_kind
@each_setting
@pytest.mark.parametrize(("verb_name", "source"), MAPS, ids=["iterator", "async-iterator"])
def test_spawned_maps_may_be_cancelled_at_every_step_and_what_was_accepted_goes_on(
    run_virtually: Run,
    outcomes: Outcomes,
    kind: str,
    settings: dict[str, Any],
    source: Callable[[], Any],
    verb_name: str,
) -> None:
    async def verb(f: Any) -> None:
        call = await getattr(f, verb_name).aio(source())
        if call is not None:
            assert [1, 2, 3] == [x async for x in call.iter.aio()]

    assert steps_of(run_virtually, kind, settings, verb, cancelled=False) >= 1


@pytest.mark.parametrize("verb_name", ["spawn_map", "experimental_spawn_map"])
def test_spawned_maps_may_be_cancelled_while_they_wait_for_room(
    run_virtually: Run, outcomes: Outcomes, verb_name: str
) -> None:
    settings = {"max_containers": 1, "limits": modal.Limits(max_spawned=1)}

    async def verb(f: Any) -> None:
        await getattr(f, verb_name).aio(range(4))

    async def instants() -> None:
        functions = Functions(**settings)
        f = functions.functions["waits"]
        async with functions.app.run():
            # By time, since a wait for room is one step of the loop.
            completed = []
            for instant in (0.005, 0.015, 0.5):
                completed.append(await _in_time(instant, lambda: verb(f)))
                await ended(f)
                await sleep(64)
                assert 0 == f.statistics().cancelled
            assert [False, False, True] == completed

    run_virtually(instants)


async def _in_time(seconds: float, async_fn: Callable[[], Any]) -> bool:
    """Run `async_fn`, cancelled after that time; return whether it had ended."""
    completed = False
    with current_host().move_on_after(seconds):
        await async_fn()
        completed = True
    return completed


@each_kind
@each_setting
def test_a_call_may_be_cancelled_with_its_containers_at_every_step_of_its_own(
    run_virtually: Run, outcomes: Outcomes, kind: str, settings: dict[str, Any]
) -> None:
    functions = Functions(**settings)
    f = functions.functions[kind]

    async def main() -> None:
        async with functions.app.run(grace=1.0):
            for steps in range(12):
                others = [f.spawn(x) for x in range(2)]
                victim = f.spawn(5)
                others += [f.spawn(x) for x in range(2, 4)]
                await checkpoints(steps)
                victim.cancel(terminate_containers=True)
                assert [1, 2, 3, 4] == await FunctionCall.gather.aio(*others)
                await ended(f)
                await sleep(64)
                assert 0 == f.statistics().containers
                statistics = f.statistics()
                assert 5 * (steps + 1) == statistics.succeeded + statistics.cancelled

    run_virtually(main)


@each_kind
def test_closing_the_app_at_every_step_of_a_gather_leaves_each_call_an_outcome(
    run_virtually: Run, outcomes: Outcomes, kind: str
) -> None:
    functions = Functions(max_containers=1)
    f = functions.functions[kind]

    async def main() -> None:
        for steps in range(12):
            await functions.app.deploy.aio()
            calls = [f.spawn(x) for x in range(3)]
            await cancelled_after(steps, lambda: FunctionCall.gather.aio(*calls))  # noqa: B023 - awaited here
            await functions.app.stop.aio()
            for x, call in enumerate(calls):
                try:
                    assert x + 1 == await call.get.aio(timeout=0)
                except ClosedError:
                    # Only of an app that was stopped; here it drains, for as long as its grace period.
                    raise AssertionError(f"lost after {steps} steps") from None
            await settle()

    run_virtually(main)

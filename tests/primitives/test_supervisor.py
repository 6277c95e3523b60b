# SPDX-License-Identifier: Apache-2.0
"""The supervisor's shell: it carries out what the machine in `_core` decides, on virtual time."""

from __future__ import annotations

import asyncio
import math
import threading
from collections.abc import Callable
from typing import Any

import pytest

from actorpool._host._current import current_host
from actorpool.exception import ConflictError, InvalidError
from actorpool.primitives import (
    Actor,
    Backoff,
    ChildSpec,
    ChildState,
    ChildStatistics,
    RestartIntensity,
    RestartIntensityError,
    Supervisor,
    SupervisorStatistics,
    open_nursery,
)
from tests.hosts import run_on, settle

Run = Callable[..., Any]


class OopsError(Exception):
    pass


class Plan:
    """Children whose runs follow a script, and a log of what they did."""

    def __init__(self) -> None:
        self.log: list[str] = []
        self.errors: dict[str, list[BaseException]] = {}

    def child(self, name: str, *, fails_after: tuple[float, ...] = (), ends_after: float = math.inf) -> Any:
        delays = list(fails_after)

        async def run() -> None:
            host = current_host()
            self.log.append(f"{name} starts at {host.now():g}")
            try:
                if delays:
                    await host.sleep(delays.pop(0))
                    error = OopsError(name)
                    self.errors.setdefault(name, []).append(error)
                    raise error
                await (host.event().wait() if ends_after == math.inf else host.sleep(ends_after))
            finally:
                self.log.append(f"{name} ends at {host.now():g}")

        return run


async def run_for(supervisor: Supervisor, seconds: float) -> None:
    """Run the supervisor and stop it after a while."""
    async with open_nursery() as nursery:
        nursery.start_soon(supervisor.run)
        await current_host().sleep(seconds)
        supervisor.stop()


def test_a_failed_child_is_restarted_and_its_siblings_live_on(run_virtually: Run) -> None:
    async def main() -> list[str]:
        plan = Plan()
        specs = [ChildSpec("a", plan.child("a", fails_after=(1.0,))), ChildSpec("b", plan.child("b"))]
        await run_for(Supervisor(specs, backoff=Backoff(initial_s=0.5)), 10.0)
        return plan.log

    log = run_virtually(main)
    # trio lets tasks that are ready at the same time run in any order.
    assert ["a starts at 0", "b starts at 0"] == sorted(log[:2])
    assert ["a ends at 1", "a starts at 1.5", "b ends at 10", "a ends at 10"] == log[2:]


def test_one_for_all_stops_the_last_first_and_starts_in_order(run_virtually: Run) -> None:
    async def main() -> list[str]:
        plan = Plan()
        specs = [
            ChildSpec("a", plan.child("a")),
            ChildSpec("b", plan.child("b", fails_after=(1.0,))),
            ChildSpec("c", plan.child("c")),
        ]
        await run_for(Supervisor(specs, strategy="one_for_all", backoff=Backoff(initial_s=0.0)), 5.0)
        return plan.log[3:]

    stopped = ["b ends at 1", "c ends at 1", "a ends at 1"]
    started = ["a starts at 1", "b starts at 1", "c starts at 1"]
    log = run_virtually(main)
    assert stopped == log[:3]
    # Their tasks are started in order; trio may take their first steps in any.
    assert started == sorted(log[3:6])
    assert ["c ends at 5", "b ends at 5", "a ends at 5"] == log[6:]


def test_too_many_restarts_stop_all_and_fail_with_the_cause(run_virtually: Run) -> None:
    async def main() -> tuple[str, list[str]]:
        plan = Plan()
        specs = [
            ChildSpec("a", plan.child("a", fails_after=(1.0, 1.0, 1.0))),
            ChildSpec("b", plan.child("b")),
        ]
        supervisor = Supervisor(
            specs, intensity=RestartIntensity(2, 60.0), backoff=Backoff(initial_s=0.0), name="top"
        )
        with pytest.raises(RestartIntensityError) as caught:
            await supervisor.run()
        error = caught.value
        assert plan.errors["a"][-1] is error.__cause__
        assert ("a", 2, 60.0) == (error.child, error.max_restarts, error.window_s)
        statistics = supervisor.statistics()
        assert [ChildState.ENDED] * 2 == [child.state for child in statistics.children]
        supervisor.stop()
        return str(error), plan.log[-1:]

    message, last = run_virtually(main)
    assert message.startswith("supervisor 'top' gave up: child 'a' exited again after 2 restarts within 60 s")
    assert ["b ends at 3"] == last


def test_it_returns_when_every_child_has_ended_for_good(run_virtually: Run) -> None:
    async def main() -> float:
        plan = Plan()
        specs = [
            ChildSpec("a", plan.child("a", ends_after=2.0), restart="transient"),
            ChildSpec("b", plan.child("b", fails_after=(1.0,)), restart="temporary"),
        ]
        await Supervisor(specs).run()
        await Supervisor([]).run()
        return current_host().now()

    assert 2.0 == run_virtually(main)


def test_stop_interrupts_a_back_off(run_virtually: Run) -> None:
    async def main() -> tuple[float, int]:
        plan = Plan()
        supervisor = Supervisor(
            [ChildSpec("a", plan.child("a", fails_after=(1.0,)))],
            backoff=Backoff(initial_s=100.0, max_s=100.0),
        )
        await run_for(supervisor, 5.0)
        return current_host().now(), supervisor.statistics().children[0].starts

    assert (5.0, 1) == run_virtually(main)


def test_stop_before_the_first_step_still_ends(run: Run) -> None:
    async def main() -> list[str]:
        plan = Plan()
        supervisor = Supervisor([ChildSpec("a", plan.child("a"))])
        supervisor.stop()
        await supervisor.run()
        return [line.split(" at ")[0] for line in plan.log]

    assert ["a starts", "a ends"] == run(main)


def test_stop_may_come_from_any_thread(run: Run) -> None:
    async def main() -> str:
        plan = Plan()
        supervisor = Supervisor([ChildSpec("a", plan.child("a"))])
        async with open_nursery() as nursery:
            nursery.start_soon(supervisor.run)
            await settle()
            thread = threading.Thread(target=supervisor.stop)
            thread.start()
            thread.join()
        return "ended"

    assert "ended" == run(main)


def test_cancelling_a_supervisor_cancels_its_children(run: Run) -> None:
    async def main() -> list[str]:
        plan = Plan()
        supervisor = Supervisor([ChildSpec("a", plan.child("a")), ChildSpec("b", plan.child("b"))])
        async with open_nursery() as nursery:
            nursery.start_soon(supervisor.run)
            await settle()
            nursery.cancel()
        supervisor.stop()
        return sorted(line.split(" at ")[0] for line in plan.log)

    assert ["a ends", "a starts", "b ends", "b starts"] == run(main)


def test_a_child_that_cancels_itself_has_failed() -> None:
    """On asyncio anybody may raise CancelledError; nobody ordered this one."""

    async def main() -> list[BaseException | None]:
        raised = [asyncio.CancelledError()]

        async def child() -> None:
            if raised:
                raise raised.pop()

        supervisor = Supervisor([ChildSpec("a", child, restart="transient")], backoff=Backoff(initial_s=0.0))
        await supervisor.run()
        [statistics] = supervisor.statistics().children
        assert 2 == statistics.starts
        return [statistics.last_error]

    [error] = run_on("asyncio", main)
    assert isinstance(error, asyncio.CancelledError)


def test_statistics_and_repr_show_the_children(run_virtually: Run) -> None:
    async def main() -> None:
        plan = Plan()
        specs = [
            ChildSpec("a", plan.child("a", fails_after=(1.0,))),
            ChildSpec("b", plan.child("b", ends_after=1.0), restart="temporary"),
        ]
        supervisor = Supervisor(specs, name="top")
        assert "<Supervisor 'top' running=0 stopping=0 ended=2>" == repr(supervisor)
        assert 0 == supervisor.statistics().restarts_within_window
        async with open_nursery() as nursery:
            nursery.start_soon(supervisor.run)
            await current_host().sleep(2.0)
            expected = SupervisorStatistics(
                children=(
                    ChildStatistics("a", ChildState.RUNNING, 2, plan.errors["a"][0]),
                    ChildStatistics("b", ChildState.ENDED, 1, None),
                ),
                restarts_within_window=1,
            )
            assert expected == supervisor.statistics()
            assert "<Supervisor 'top' running=1 stopping=0 ended=1>" == repr(supervisor)
            supervisor.stop()

    run_virtually(main)


def test_a_supervisor_runs_once(run: Run) -> None:
    async def main() -> None:
        supervisor = Supervisor([])
        await supervisor.run()
        with pytest.raises(ConflictError, match="has been run"):
            await supervisor.run()

    run(main)


def test_names_are_unique() -> None:
    plan = Plan()
    with pytest.raises(InvalidError, match="two children named 'a'"):
        Supervisor([ChildSpec("a", plan.child("a")), ChildSpec("a", plan.child("a"))])


def test_supervisors_nest(run_virtually: Run) -> None:
    """A supervisor that gives up is a failed child of the one above."""

    async def main() -> list[str]:
        plan = Plan()
        worker = plan.child("worker", fails_after=(1.0, 1.0))

        def below() -> Any:
            spec = ChildSpec("worker", worker)
            return Supervisor([spec], intensity=RestartIntensity(0), name="below").run()

        above = Supervisor([ChildSpec("below", below)], backoff=Backoff(initial_s=0.0))
        await run_for(above, 10.0)
        return [line for line in plan.log if "starts" in line]

    assert ["worker starts at 0", "worker starts at 1", "worker starts at 2"] == run_virtually(main)


def test_a_restarted_actor_is_a_new_one(run: Run) -> None:
    class Fragile(Actor[str, str]):
        async def handle(self, message: str) -> str:
            if message == "break":
                raise OopsError
            return message

    async def main() -> list[str]:
        made: list[Fragile] = []

        def start() -> Any:
            made.append(Fragile())
            return made[-1].run()

        supervisor = Supervisor([ChildSpec("fragile", start)], backoff=Backoff(initial_s=0.0))
        async with open_nursery() as nursery:
            nursery.start_soon(supervisor.run)
            await settle()
            made[0].tell("break")
            await settle()
            answer = await made[1].ask("hello")
            supervisor.stop()
        return [answer, made[0].statistics().state]

    assert ["hello", "stopped"] == run(main)


def test_a_cancellation_of_the_supervisor_is_no_failure_of_its_children(run: Run) -> None:
    async def main() -> list[BaseException | None]:
        plan = Plan()
        supervisor = Supervisor([ChildSpec("a", plan.child("a")), ChildSpec("b", plan.child("b"))])
        async with open_nursery() as nursery:
            nursery.start_soon(supervisor.run)
            await settle()
            nursery.cancel()
        return [child.last_error for child in supervisor.statistics().children]

    assert [None, None] == run(main)

# SPDX-License-Identifier: Apache-2.0
"""What the observer makes of what it sees of a loop, on clocks that the tests move."""

from __future__ import annotations

import logging
from contextvars import Context
from math import inf
from typing import Any
from weakref import ref

import pytest

from actorpool._backends._workload import Target
from actorpool._core._input import Input
from actorpool._host._context import current_input
from actorpool._host._loop_clocks import Reading
from actorpool._host._watchdog import Observer, Reports, Step, input_of

from .loop_steps import FakeSteps, said

THRESHOLD_S = 0.1
INTERVAL_S = THRESHOLD_S / 4


class Scene:
    """An observer, and a loop that takes the steps that a test says."""

    def __init__(self, *, owned: bool = True, has_cpu_clock: bool = True) -> None:
        self.clocks = Reading(1_000.0, 0.0 if has_cpu_clock else None)
        self.steps = FakeSteps()
        self.line = 1
        self._keep: list[Any] = []
        self.observer = Observer(
            THRESHOLD_S,
            self.steps,
            lambda input: owned,
            Reports(),
            lambda step: ("/srv/service.py", self.line, "f"),
            self.clocks,
        )

    @property
    def now(self) -> float:
        return self.clocks.now

    def step(self, name: str = "f", *, began_at: float | None = None, turned_at: float = -inf) -> Step:
        """Let the loop take a new step, of an input of function `name`."""
        input = Input(Target(name, len, True), (), None, Context())
        self._keep.append(input)
        self.steps.current = Step(ref(input), ref(input), input.target, began_at, turned_at=turned_at)
        return self.steps.current

    def rest(self) -> None:
        self.steps.current = None

    def look(
        self,
        after_s: float = INTERVAL_S,
        *,
        computed_s: float = 0.0,
        paused_s: float = 0.0,
        denied_s: float = 0.0,
    ) -> None:
        before = self.clocks
        self.clocks = Reading(
            before.now + after_s,
            None if before.computed_s is None else before.computed_s + computed_s,
            before.paused_s + paused_s,
            before.denied_s + denied_s,
        )
        self.observer.look(lambda: self.clocks)

    def looks(self, seconds: float) -> None:
        for _ in range(round(seconds / INTERVAL_S)):
            self.look()


@pytest.fixture(autouse=True)
def _all_messages(caplog: pytest.LogCaptureFixture) -> None:
    caplog.set_level(logging.WARNING, "actorpool")


def test_a_step_that_lasts_is_reported_once_when_it_is_over(caplog: pytest.LogCaptureFixture) -> None:
    scene = Scene()
    scene.step()
    scene.looks(0.5)
    assert [] == said(caplog)
    scene.rest()
    scene.looks(0.5)

    # Seen for 0.475 s; half an interval before and after it on average.
    assert ["async function 'f' blocked the event loop for 0.50 s (at service.py:1 in f)"] == said(caplog)


def test_a_step_whose_ends_are_known_is_measured_by_them(caplog: pytest.LogCaptureFixture) -> None:
    scene = Scene()
    step = scene.step(began_at=scene.now + 0.001)
    scene.looks(0.2)
    step.ended_at = scene.now + 0.019
    scene.rest()
    scene.look()

    assert ["async function 'f' blocked the event loop for 0.22 s (at service.py:1 in f)"] == said(caplog)


def test_the_end_is_noted_once() -> None:
    step = Scene().step()
    step.end()
    ended_at = step.ended_at
    step.end()

    assert ended_at is not None
    assert ended_at == step.ended_at


def test_many_short_steps_are_no_block_however_long_the_loop_is_busy(
    caplog: pytest.LogCaptureFixture,
) -> None:
    scene = Scene()
    for _ in range(40):
        scene.step()
        scene.look()

    assert [] == said(caplog)


def test_a_step_below_the_threshold_is_not_reported(caplog: pytest.LogCaptureFixture) -> None:
    scene = Scene()
    scene.step()
    scene.looks(THRESHOLD_S - INTERVAL_S)
    scene.rest()
    scene.look()

    assert [] == said(caplog)


def test_what_ran_after_a_step_is_not_its_time(caplog: pytest.LogCaptureFixture) -> None:
    scene = Scene()
    step = scene.step()
    scene.look()
    scene.look()
    # Its end is heard of late: somebody else's code ran first.
    step.ended_at = scene.now + 0.5
    scene.rest()
    scene.look(0.6, computed_s=0.6)

    assert [] == said(caplog)


def test_a_step_seen_when_this_thread_could_not_run_counts_what_it_computed(
    caplog: pytest.LogCaptureFixture,
) -> None:
    scene = Scene()
    scene.look()
    scene.step()
    scene.look(0.6, computed_s=0.45)
    scene.rest()
    scene.look()

    # 0.575 s late, of which 0.45 s were computed; and half an interval at either end.
    assert ["async function 'f' blocked the event loop for 0.48 s (at service.py:1 in f)"] == said(caplog)


@pytest.mark.parametrize("has_cpu_clock", [True, False])
@pytest.mark.parametrize("seen_before", [True, False])
@pytest.mark.parametrize("knows_the_beginning", [True, False])
def test_a_step_that_could_not_run_either_is_not_reported(
    caplog: pytest.LogCaptureFixture, has_cpu_clock: bool, seen_before: bool, knows_the_beginning: bool
) -> None:
    scene = Scene(has_cpu_clock=has_cpu_clock)
    scene.look()
    scene.step(began_at=scene.now + 0.001 if knows_the_beginning else None)
    if seen_before:
        scene.look()
    # Another thread kept the interpreter's lock, or the machine stood still.
    scene.look(5.0, computed_s=0.01)
    scene.rest()
    scene.look()

    assert [] == said(caplog)


def test_a_somewhat_late_look_changes_nothing(caplog: pytest.LogCaptureFixture) -> None:
    scene = Scene()
    scene.step()
    for _ in range(10):
        scene.look(INTERVAL_S + 0.015)
    scene.rest()
    scene.look()

    assert ["async function 'f' blocked the event loop for 0.40 s (at service.py:1 in f)"] == said(caplog)


@pytest.mark.parametrize("reason", ["paused_s", "denied_s"])
def test_pauses_for_garbage_and_time_without_a_processor_are_not_the_steps(
    caplog: pytest.LogCaptureFixture, reason: str
) -> None:
    scene = Scene()
    scene.look()
    scene.step()
    # Looked at in time, and late: the collector computes too.
    for _ in range(8):
        scene.look(**{reason: INTERVAL_S})
    scene.look(0.6, computed_s=0.6 if reason == "paused_s" else 0.0, **{reason: 0.6})
    scene.rest()
    scene.look()

    assert [] == said(caplog)


def test_a_step_met_after_a_time_without_looks_counts_from_when_the_loop_turned_last(
    caplog: pytest.LogCaptureFixture,
) -> None:
    scene = Scene()
    scene.look()
    # The loop took thousands of steps while this thread had no chance to look.
    scene.step(turned_at=scene.now + 0.58)
    scene.look(0.6, computed_s=0.6)
    scene.rest()
    scene.look()
    assert [] == said(caplog)

    scene.step(turned_at=scene.now + 0.1)
    scene.look(0.6, computed_s=0.6)
    scene.rest()
    scene.look()

    # 0.5 s, less half an interval before it was met, and half of one after.
    assert ["async function 'f' blocked the event loop for 0.50 s (at service.py:1 in f)"] == said(caplog)


def test_the_place_is_where_it_was_seen_for_the_longest_time(caplog: pytest.LogCaptureFixture) -> None:
    scene = Scene()
    scene.step()
    for line, seconds in ((3, 0.1), (7, 0.3), (9, 0.1)):
        scene.line = line
        scene.looks(seconds)
    scene.rest()
    scene.look()

    assert ["async function 'f' blocked the event loop for 0.50 s (at service.py:7 in f)"] == said(caplog)


def test_a_block_that_goes_on_is_reported_while_it_lasts_and_when_it_is_over(
    caplog: pytest.LogCaptureFixture,
) -> None:
    scene = Scene()
    scene.step()
    scene.looks(6.0)
    ongoing = (
        "async function 'f' has been blocking the event loop for 5.01 s and still does (at service.py:1 in f)"
    )
    assert [ongoing] == said(caplog)
    scene.rest()
    scene.look()

    assert [ongoing, "async function 'f' blocked the event loop for 6.00 s (at service.py:1 in f)"] == said(
        caplog
    )


def test_one_function_is_reported_once_a_minute_and_the_rest_is_counted(
    caplog: pytest.LogCaptureFixture,
) -> None:
    scene = Scene()

    def block(name: str, seconds: float = 0.2) -> None:
        scene.step(name)
        scene.looks(seconds)
        scene.rest()
        scene.look()

    block("f")
    block("f", 6.0)
    block("f")
    block("g")
    scene.look(60.0)
    block("f")
    block("f")

    one = "async function '%s' blocked the event loop for 0.20 s (at service.py:1 in f)"
    assert [one % "f", one % "g", one % "f" + " (2 further blocks since the last such warning)"] == said(
        caplog
    )


def test_an_input_of_another_app_is_not_reported(caplog: pytest.LogCaptureFixture) -> None:
    scene = Scene(owned=False)
    scene.step()
    scene.looks(0.5)
    scene.rest()
    scene.look()

    assert [] == said(caplog)


def test_a_block_that_is_over_when_the_watch_ends_is_reported(caplog: pytest.LogCaptureFixture) -> None:
    scene = Scene()
    scene.step()
    scene.looks(0.5)
    scene.observer.finish(scene.now)
    scene.observer.finish(scene.now)

    assert 1 == len(said(caplog))


def test_code_belongs_to_the_asynchronous_input_of_its_context() -> None:
    context = Context()
    asynchronous, sync = (
        Input(Target("f", len, is_async), (), None, Context()) for is_async in (True, False)
    )

    assert None is input_of(None)
    assert None is input_of(context)
    context.run(current_input.set, sync)
    assert None is input_of(context)
    context.run(current_input.set, asynchronous)
    assert asynchronous is input_of(context)

# SPDX-License-Identifier: Apache-2.0
"""What the observer makes of what it sees of a loop, on clocks that the tests move; and the life of its thread."""

from __future__ import annotations

import logging
import threading
import time
from collections.abc import Callable
from contextvars import Context
from types import FrameType
from typing import Any
from weakref import ref

import pytest

from actorpool._backends._workload import Target
from actorpool._core._input import Input
from actorpool._host import _watchdog
from actorpool._host._context import current_input
from actorpool._host._watchdog import BlockWatch, Observer, Reports, Step, input_of
from tests.api.support import PATIENCE_S

THRESHOLD_S = 0.1
INTERVAL_S = THRESHOLD_S / 4


class FakeSteps:
    """The steps of no loop: whatever the test says is being taken."""

    def __init__(self) -> None:
        self.closed = False
        self.current: Step | None = None
        self.pinned: list[Step] = []
        self.unhooked = 0
        self.looked = threading.Event()

    def hook(self) -> None:
        pass

    def unhook(self, still_wanted: Callable[[], bool]) -> None:
        self.unhooked += not still_wanted()

    def look(self, last: Step | None) -> Step | None:
        self.looked.set()
        return self.current

    def pin(self, step: Step) -> None:
        self.pinned.append(step)

    def root(self, step: Step) -> FrameType | None:
        return None


class Scene:
    """An observer, and a loop that takes the steps that a test says."""

    def __init__(self, *, owned: bool = True, has_cpu_clock: bool = True) -> None:
        self.now = 1_000.0
        self.cpu_s = 0.0
        self.steps = FakeSteps()
        self.line = 1
        self._has_cpu_clock = has_cpu_clock
        self._keep: list[Any] = []
        self.observer = Observer(
            THRESHOLD_S,
            self.steps,
            lambda input: owned,
            Reports(),
            lambda step: ("/srv/service.py", self.line, "f"),
            self.now,
            self.cpu_s if has_cpu_clock else None,
        )

    def step(self, name: str = "f", *, began_at: float | None = None) -> Step:
        """Let the loop take a new step, of an input of function `name`."""
        input = Input(Target(name, len, True), (), None, Context())
        self._keep.append(input)
        self.steps.current = Step(ref(input), ref(input), input.target, began_at)
        return self.steps.current

    def rest(self) -> None:
        self.steps.current = None

    def look(self, after_s: float = INTERVAL_S, *, computed_s: float = 0.0) -> None:
        self.now += after_s
        self.cpu_s += computed_s
        self.observer.look(self.now, self.cpu_s if self._has_cpu_clock else None)

    def looks(self, seconds: float) -> None:
        for _ in range(round(seconds / INTERVAL_S)):
            self.look()


@pytest.fixture(autouse=True)
def _all_messages(caplog: pytest.LogCaptureFixture) -> None:
    caplog.set_level(logging.WARNING, "actorpool")


def said(caplog: pytest.LogCaptureFixture) -> list[str]:
    """What was warned of, without the advice."""
    return [record.getMessage().partition(";")[0] for record in caplog.records]


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
        scene.look(INTERVAL_S + 0.04)
    scene.rest()
    scene.look()

    assert ["async function 'f' blocked the event loop for 0.61 s (at service.py:1 in f)"] == said(caplog)


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


# -- the thread -------------------------------------------------------------------------------------------


class Watched:
    """A watch over fake steps, whose thread asks often whether anything runs."""

    def __init__(self, monkeypatch: pytest.MonkeyPatch, busy: Callable[[], bool]) -> None:
        monkeypatch.setattr(_watchdog, "LINGER_S", 0.0)
        self.steps = FakeSteps()
        self.watch = BlockWatch(0.02, self.steps, owns=lambda input: True, busy=busy)
        self.watch.enter()

    def thread(self) -> threading.Thread:
        thread = self.watch._thread
        assert thread is not None
        return thread

    def ended(self, thread: threading.Thread) -> None:
        thread.join(PATIENCE_S)
        assert not thread.is_alive()


def test_the_thread_ends_when_nothing_runs_and_the_next_input_starts_another(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    watched = Watched(monkeypatch, lambda: False)
    assert watched.watch.parked
    watched.watch.wake()
    first = watched.thread()
    watched.ended(first)
    assert watched.watch.parked
    assert 1 == watched.steps.unhooked
    watched.watch.wake()
    assert first is not watched.thread()
    watched.watch.leave()
    assert watched.watch.parked


def test_waking_twice_starts_one_thread(monkeypatch: pytest.MonkeyPatch) -> None:
    watched = Watched(monkeypatch, lambda: True)
    watched.watch.wake()
    thread = watched.thread()
    watched.watch.wake()

    assert thread is watched.thread()
    watched.watch.leave()
    watched.ended(thread)


def test_the_thread_goes_on_if_an_input_came_while_it_was_about_to_end(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    came = threading.Event()
    answers = [False, True]

    def busy() -> bool:
        if answers:
            return answers.pop(0)
        came.set()
        return True

    watched = Watched(monkeypatch, busy)
    watched.watch.wake()
    thread = watched.thread()
    assert came.wait(PATIENCE_S)

    assert not watched.watch.parked
    assert thread is watched.thread()
    watched.watch.leave()
    watched.ended(thread)


def test_the_thread_leaves_the_field_to_one_that_was_started_meanwhile(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    answers, known = [False], threading.Event()

    def busy() -> bool:
        known.wait(PATIENCE_S)
        if answers:
            return answers.pop()
        if watched.watch.parked:
            # As the loop does for an input that is just starting.
            watched.watch.wake()
        return True

    watched = Watched(monkeypatch, busy)
    watched.watch.wake()
    first = watched.thread()
    known.set()
    watched.ended(first)

    second = watched.thread()
    assert second is not first
    assert not watched.watch.parked
    watched.watch.leave()
    watched.ended(second)


def test_the_thread_ends_with_the_last_container_though_it_was_about_to_end_itself(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    asked, answer = threading.Event(), threading.Event()

    def busy() -> bool:
        asked.set()
        answer.wait(PATIENCE_S)
        return False

    watched = Watched(monkeypatch, busy)
    watched.watch.enter()
    watched.watch.leave()
    watched.watch.wake()
    thread = watched.thread()
    assert asked.wait(PATIENCE_S)
    leaving = threading.Thread(target=watched.watch.leave)
    leaving.start()
    while watched.watch._thread is not None:
        time.sleep(0.001)
    answer.set()
    leaving.join()

    assert not thread.is_alive()
    assert watched.watch.parked


def test_the_thread_ends_with_its_loop(monkeypatch: pytest.MonkeyPatch) -> None:
    watched = Watched(monkeypatch, lambda: True)
    watched.watch.wake()
    watched.steps.closed = True
    watched.ended(watched.thread())


def test_without_a_thread_to_be_had_inputs_run_unwatched(
    monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    watched = Watched(monkeypatch, lambda: True)

    def refuse(thread: threading.Thread) -> None:
        raise RuntimeError("can't start new thread")

    with monkeypatch.context() as patch:
        patch.setattr(threading.Thread, "start", refuse)
        watched.watch.wake()

    assert [
        "there is no thread left for the watch: blocks of the event loop are not reported for now"
    ] == said(caplog)
    # Nobody tries again for each input; the next container does.
    assert not watched.watch.parked
    watched.watch.leave()
    assert watched.watch.parked


def test_a_failure_of_the_watch_is_logged_and_hurts_nobody(
    monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    watched = Watched(monkeypatch, lambda: 1 // 0 > 0)
    watched.watch.wake()
    watched.ended(watched.thread())

    assert ["the block watch failed"] == said(caplog)


@pytest.mark.parametrize("missing", [True, False])
def test_without_a_clock_of_the_loops_thread_the_watch_still_looks(
    monkeypatch: pytest.MonkeyPatch, missing: bool
) -> None:
    def expired(clock: int) -> float:
        raise OSError("no such clock")

    if missing:
        monkeypatch.delattr(time, "pthread_getcpuclockid", raising=False)
    else:
        monkeypatch.setattr(time, "clock_gettime", expired)
    watched = Watched(monkeypatch, lambda: True)
    watched.watch.wake()
    assert watched.steps.looked.wait(PATIENCE_S)
    watched.watch.leave()

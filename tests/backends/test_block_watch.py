# SPDX-License-Identifier: Apache-2.0
"""The life of the thread that looks for blocks: when it starts, ends, and is done without."""

from __future__ import annotations

import logging
import threading
import time
from collections.abc import Callable

import pytest

from actorpool._host import _watchdog
from actorpool._host._watchdog import BlockWatch
from tests.api.support import PATIENCE_S

from .loop_steps import FakeSteps, said


@pytest.fixture(autouse=True)
def _all_messages(caplog: pytest.LogCaptureFixture) -> None:
    caplog.set_level(logging.WARNING, "actorpool")


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

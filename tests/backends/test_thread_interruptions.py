# SPDX-License-Identifier: Apache-2.0
"""`InputCancellation` in a thread: only in the call it is meant for, and never in code of ours."""

from __future__ import annotations

import sys
import threading
import time
from collections.abc import Callable
from queue import SimpleQueue
from typing import Any

import pytest

from actorpool._backends._interruptions import Interruptions
from actorpool.exception import InputCancellation


def in_thread(function: Callable[[], Any]) -> list[Any]:
    """Run `function` in a thread to its end; return what it returned or raised."""
    outcome: list[Any] = []

    def run() -> None:
        # What measures coverage in this thread is Python code as well: interrupted, it may keep a lock for ever.
        sys.settrace(None)
        try:
            outcome.append(function())
        except BaseException as error:
            outcome.append(error)

    thread = threading.Thread(target=run)
    thread.start()
    thread.join()
    return outcome


def test_a_call_that_is_interrupted_raises_and_the_next_one_does_not() -> None:
    interruptions = Interruptions()
    seen = []

    def spin() -> None:
        assert interruptions.interrupt("first")
        while True:
            time.sleep(0)

    def both() -> str:
        with pytest.raises(InputCancellation):
            interruptions.run("first", spin)
        seen.append(interruptions.interrupt("first"))
        return interruptions.run("second", lambda: "fine")

    assert ["fine"] == in_thread(both)
    assert [False] == seen


# One that falls into a callback of the collector's is Python's to report: nothing else can be done with it there.
@pytest.mark.filterwarnings("ignore::pytest.PytestUnraisableExceptionWarning")
def test_interruptions_at_any_moment_end_the_call_they_are_for_or_nothing() -> None:
    interruptions = Interruptions()
    keys: SimpleQueue[int | None] = SimpleQueue()
    log: list[tuple[int, str]] = []

    def chase() -> None:
        while (key := keys.get()) is not None:
            interruptions.interrupt(key)

    def work() -> int:
        return sum(len(str(number)) for number in range(30))

    def calls() -> str:
        for key in range(3_000):
            keys.put(key)
            try:
                interruptions.run(key, work)
                log.append((key, "done"))
            except InputCancellation:
                log.append((key, "interrupted"))
        return "through"

    chaser = threading.Thread(target=chase)
    chaser.start()
    try:
        assert ["through"] == in_thread(calls)
    finally:
        keys.put(None)
        chaser.join()
    assert list(range(3_000)) == [key for key, _ in log]


def test_shielded_code_is_finished_first() -> None:
    interruptions = Interruptions()
    steps = []

    def ours() -> None:
        steps.append("begin")
        assert interruptions.interrupt("call")
        for _ in range(1_000):
            sum(range(5))
        steps.append("end")

    def user() -> None:
        interruptions.shielded(ours)
        while True:
            time.sleep(0)

    assert [InputCancellation] == [
        type(found) for found in in_thread(lambda: interruptions.run("call", user))
    ]
    assert ["begin", "end"] == steps


def test_shields_within_shields_hold_until_the_outermost_is_down() -> None:
    interruptions = Interruptions()
    steps = []

    def inner() -> None:
        assert interruptions.interrupt("call")

    def outer() -> None:
        interruptions.shielded(inner)
        sum(range(1_000))
        steps.append("after the inner one")

    def user() -> None:
        interruptions.shielded(outer)
        while True:
            time.sleep(0)

    assert [InputCancellation] == [
        type(found) for found in in_thread(lambda: interruptions.run("call", user))
    ]
    assert ["after the inner one"] == steps


def test_one_interruption_raises_once_although_the_code_goes_on_and_prints() -> None:
    interruptions = Interruptions()

    def user() -> str:
        try:
            interruptions.shielded(lambda: interruptions.interrupt("call"))
            while True:
                time.sleep(0)
        except InputCancellation:
            for _ in range(10):
                interruptions.shielded(lambda: None)
                sum(range(100))
            return "cleaned up"

    assert ["cleaned up"] == in_thread(lambda: interruptions.run("call", user))


def test_outside_of_calls_shielding_costs_nothing_and_keeps_errors() -> None:
    interruptions = Interruptions()
    assert 3 == interruptions.shielded(max, 1, 3)
    with pytest.raises(ZeroDivisionError):
        interruptions.run("call", lambda: interruptions.shielded(divmod, 1, 0))
    assert not interruptions.interrupt("call")

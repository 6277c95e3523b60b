# SPDX-License-Identifier: Apache-2.0
"""The backlog: oldest first, cancellation in O(1), memory bounded by the living."""

from __future__ import annotations

import random

import pytest
from hypothesis import given
from hypothesis import strategies as st

from actorpool._core._backlog import Backlog
from actorpool._core._input import PENDING, Input


def an_input(index: int = 0, *, spawned: bool = False) -> Input:
    return Input("f", (), None, None, index=index, spawned=spawned)


def backlog_of(count: int) -> tuple[Backlog, list[Input]]:
    backlog, inputs = Backlog(), [an_input(index) for index in range(count)]
    for input in inputs:
        backlog.push(input)
    return backlog, inputs


def held(backlog: Backlog) -> int:
    """How many records the backlog keeps alive, cancelled ones included."""
    return len(backlog._queue)


def test_inputs_leave_oldest_first() -> None:
    backlog, inputs = backlog_of(3)
    assert {PENDING} == {input.state for input in inputs}
    assert inputs == [backlog.pop() for _ in range(3)]
    assert backlog.count == 0


def test_spawned_inputs_are_counted_apart_too() -> None:
    backlog = Backlog()
    called, kept, dropped = an_input(), an_input(spawned=True), an_input(spawned=True)
    for input in (called, kept, dropped):
        backlog.push(input)
    assert (3, 2) == (backlog.count, backlog.spawned)
    backlog.discard(dropped)
    assert (2, 1) == (backlog.count, backlog.spawned)
    backlog.pop()
    backlog.pop()
    assert (0, 0) == (backlog.count, backlog.spawned)


def test_a_cancelled_input_is_passed_over() -> None:
    backlog, (first, second, third, fourth) = backlog_of(4)
    backlog.discard(first)
    backlog.discard(third)
    assert [second, fourth] == list(backlog)
    assert len(backlog) == 2
    assert [second, fourth] == [backlog.pop(), backlog.pop()]


@pytest.mark.parametrize("order", ["oldest first", "newest first", "shuffled"])
def test_cancelled_inputs_do_not_pile_up(order: str) -> None:
    backlog, inputs = backlog_of(10_000)
    if order == "newest first":
        inputs.reverse()
    elif order == "shuffled":
        random.Random(1).shuffle(inputs)
    for input in inputs:
        backlog.discard(input)
        assert held(backlog) <= 2 * backlog.count + 64
    assert held(backlog) <= 64


def test_cancelled_inputs_do_not_outlive_those_that_stood_before_them() -> None:
    backlog, inputs = backlog_of(1_000)
    for input in inputs[500:]:
        backlog.discard(input)
    for _ in range(500):
        backlog.pop()
        assert held(backlog) <= 2 * backlog.count + 64


def test_rebuilding_costs_each_cancellation_a_bounded_number_of_moves() -> None:
    backlog, inputs = backlog_of(10_000)
    random.Random(2).shuffle(inputs)
    rebuilt = moved = 0
    for input in inputs:
        before, records = backlog._queue, held(backlog)
        backlog.discard(input)
        if backlog._queue is not before:
            rebuilt += 1
            moved += records
    assert rebuilt > 1
    assert moved <= 3 * len(inputs)


@given(
    st.lists(st.sampled_from(["push", "spawn", "pop", "discard"]), max_size=80),
    st.randoms(use_true_random=False),
)
def test_any_history_keeps_the_order_of_a_list(steps: list[str], choice: random.Random) -> None:
    backlog = Backlog()
    living: list[Input] = []
    for step in steps:
        if step in ("push", "spawn"):
            input = an_input(spawned=step == "spawn")
            backlog.push(input)
            living.append(input)
        elif living and step == "pop":
            assert living.pop(0) is backlog.pop()
        elif living:
            backlog.discard(living.pop(choice.randrange(len(living))))
        assert living == list(backlog)
        assert (len(living), sum(input.spawned for input in living)) == (backlog.count, backlog.spawned)

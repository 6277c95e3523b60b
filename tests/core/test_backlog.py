# SPDX-License-Identifier: Apache-2.0
"""The backlog: oldest first, cancellation in O(1), memory bounded by the living."""

from __future__ import annotations

import random

import pytest
from hypothesis import given
from hypothesis import strategies as st

from actorpool._core._backlog import Backlog
from actorpool._core._container import Container
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
    st.lists(st.sampled_from(["push", "spawn", "many", "pop", "discard"]), max_size=80),
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
        elif step == "many":
            inputs = [an_input() for _ in range(choice.randrange(4))]
            backlog.extend(inputs)
            living += inputs
        elif living and step == "pop":
            assert living.pop(0) is backlog.pop()
        elif living:
            backlog.discard(living.pop(choice.randrange(len(living))))
        assert living == list(backlog)
        assert (len(living), sum(input.spawned for input in living)) == (backlog.count, backlog.spawned)


def test_what_is_set_aside_is_pending_and_nobody_elses() -> None:
    backlog, (first, second, third) = backlog_of(3)
    container, other = Container(1, 0.0), Container(2, 0.0)

    assert [first, second] == backlog.set_aside(container, 2)

    assert (3, 2) == (backlog.count, backlog.aside)
    assert [container, container, None] == [input.container for input in (first, second, third)]
    assert backlog.pop_aside(other) is None
    assert third is backlog.pop()
    assert [] == backlog.set_aside(other, 1)
    assert [first, second, None] == [backlog.pop_aside(container) for _ in range(3)]
    assert (0, 0) == (backlog.count, backlog.aside)


def test_what_is_put_back_stands_before_all_others_in_its_order() -> None:
    backlog, (first, second, third, fourth) = backlog_of(4)
    container = Container(1, 0.0)
    backlog.set_aside(container, 3)
    backlog.discard(second)

    backlog.put_back(container, (third, second))

    assert [third, fourth] == list(backlog)
    assert (3, 1, None) == (backlog.count, backlog.aside, third.container)
    backlog.put_all_back()
    assert [first, third, fourth] == [backlog.pop() for _ in range(3)]
    assert (0, 0) == (backlog.count, backlog.aside)


def test_one_that_is_cancelled_when_it_is_set_aside_is_passed_over() -> None:
    backlog = Backlog()
    first, second = an_input(spawned=True), an_input(spawned=True)
    for input in (first, second):
        backlog.push(input)
    cancelled = an_input()
    backlog.push_first(cancelled)
    backlog.discard(cancelled)
    container = Container(1, 0.0)
    assert [first, second] == backlog.set_aside(container, 5)

    backlog.discard(first)

    assert (1, 1, 1) == (backlog.count, backlog.spawned, backlog.aside)
    assert second is backlog.pop_aside(container)
    assert (0, 0, 0) == (backlog.count, backlog.spawned, backlog.aside)
    backlog.put_back(container)


@given(st.lists(st.tuples(st.integers(0, 6), st.integers(0, 5)), max_size=60))
def test_whatever_is_set_aside_and_put_back_each_input_leaves_once(steps: list[tuple[int, int]]) -> None:
    backlog = Backlog()
    containers = [Container(number, 0.0) for number in range(3)]
    waiting: dict[Input, Container | None] = {}

    def left(input: Input | None, owner: Container | None) -> None:
        if input is not None:
            assert owner is waiting.pop(input)

    for step, number in steps:
        container = containers[number % 3]
        if step <= 1:
            input = an_input(spawned=number == 0)
            waiting[input] = None
            backlog.push(input)
        elif step == 2:
            for input in backlog.set_aside(container, number):
                waiting[input] = container
        elif step == 3:
            left(backlog.pop_aside(container), container)
        elif step == 4 and backlog.count > backlog.aside:
            left(backlog.pop(), None)
        elif step == 5 and waiting:
            input = list(waiting)[number % len(waiting)]
            del waiting[input]
            backlog.discard(input)
        elif step == 6:
            backlog.put_back(container)
            waiting = {input: None if owner is container else owner for input, owner in waiting.items()}
        assert backlog.count == len(waiting)
        assert backlog.spawned == sum(input.spawned for input in waiting)
        assert backlog.aside == sum(owner is not None for owner in waiting.values())

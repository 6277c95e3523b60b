# SPDX-License-Identifier: Apache-2.0
"""Reassembly: a map's window, its bounded reorder buffer, and the order of its results."""

from __future__ import annotations

from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, initialize, invariant, precondition, rule

from actorpool._core._input import CANCELLED, DELAYED, FAILED, RUNNING, SUCCEEDED, TIMED_OUT, Input
from actorpool._core._ordering import Reassembly
from actorpool.exception import InternalError, InvalidError


def observed(machine: Reassembly) -> tuple[str, int, bool]:
    return repr(machine), machine.room(), machine.done


def start(machine: Reassembly, count: int = 1) -> list[Input]:
    first = machine.started
    inputs = [Input("f", (), None, None, index=index) for index in range(first, first + count)]
    machine.start(inputs)
    for input in inputs:
        input.state = RUNNING
    return inputs


def finish(machine: Reassembly, *inputs: Input, state: int = SUCCEEDED) -> None:
    for input in inputs:
        input.state = state
    machine.finish(inputs)


def take_all(machine: Reassembly) -> list[int]:
    taken = []
    while (input := machine.take()) is not None:
        taken.append(input.index)
    return taken


def test_ordered_results_come_in_input_order() -> None:
    machine = Reassembly(ordered=True, in_flight=3, buffered=3)
    a, b, c = (start(machine)[0] for _ in range(3))
    finish(machine, c)
    finish(machine, b)
    assert machine.take() is None
    finish(machine, a)
    assert [a, b, c] == [machine.take() for _ in range(3)]
    assert machine.take() is None


def test_once_nothing_more_starts_only_the_next_result_in_order_brings_a_map_forward() -> None:
    machine = Reassembly(ordered=True, in_flight=3, buffered=3)
    a, b = start(machine, 2)
    # Any outcome makes room for a further input.
    assert machine.awaited is None
    machine.exhaust()
    assert a.index == machine.awaited
    finish(machine, b, a)
    assert (a, b.index) == (machine.take(), machine.awaited)
    assert (b, None) == (machine.take(), machine.awaited)


def test_an_ordered_result_taken_ahead_of_its_handing_in_brings_a_map_forward_when_that_comes() -> None:
    machine = Reassembly(ordered=True, in_flight=2, buffered=0)
    a, b = start(machine, 2)
    machine.exhaust()
    finish(machine, b)
    a.state = SUCCEEDED
    # What was handed in of the second is spent on the first, which is still to come.
    assert (a, None) == (machine.take(), machine.take())
    assert machine.awaited is not None
    assert a.index <= machine.awaited
    finish(machine, a)
    assert b is machine.take()


def test_any_result_brings_an_unordered_map_forward() -> None:
    machine = Reassembly(ordered=False, in_flight=3, buffered=3)
    start(machine, 2)
    machine.exhaust()
    assert machine.awaited is None


def test_unordered_results_come_as_they_finish() -> None:
    machine = Reassembly(ordered=False, in_flight=3, buffered=3)
    a, b, c = start(machine, 3)
    finish(machine, c, a)
    assert [c, a] == [machine.take() for _ in range(2)]
    assert machine.take() is None
    finish(machine, b)
    assert b is machine.take()


@pytest.mark.parametrize("ordered", [True, False])
def test_many_inputs_start_finish_and_are_taken(ordered: bool) -> None:
    machine = Reassembly(ordered=ordered, in_flight=10, buffered=0)
    start(machine, 4)
    assert 4 == machine.started
    inputs = start(machine, 6)
    assert 10 == machine.started
    finish(machine, inputs[0], inputs[2])
    assert ([] if ordered else [4, 6]) == take_all(machine)
    assert (0 if ordered else 2) == machine.room()


@pytest.mark.parametrize("state", [SUCCEEDED, FAILED, CANCELLED, TIMED_OUT])
@pytest.mark.parametrize("ordered", [True, False])
def test_any_outcome_is_a_result(ordered: bool, state: int) -> None:
    machine = Reassembly(ordered=ordered, in_flight=1, buffered=0)
    [input] = start(machine)
    finish(machine, input, state=state)
    assert input is machine.take()


@pytest.mark.parametrize("ordered", [True, False])
def test_an_input_is_taken_by_the_record_of_its_last_attempt(ordered: bool) -> None:
    machine = Reassembly(ordered=ordered, in_flight=2, buffered=0)
    first, other = start(machine, 2)
    second = first.again()
    first.state = TIMED_OUT
    second.state = DELAYED
    finish(machine, other)
    assert (None if ordered else other) is machine.take()
    third = second.again()
    second.state = TIMED_OUT
    finish(machine, third)
    assert third is machine.take()
    assert (other if ordered else None) is machine.take()


def test_an_ordered_result_that_is_not_handed_in_yet_is_counted_before_it_is_taken() -> None:
    machine = Reassembly(ordered=True, in_flight=2, buffered=0)
    a, b = start(machine, 2)
    # Another thread settles it, and its sink is about to be called.
    a.state = SUCCEEDED
    assert machine.take() is None
    finish(machine, b)
    assert [a] == [machine.take()]
    assert (1, 0) == (machine.in_flight, machine.waiting)
    finish(machine, a)
    assert b is machine.take()
    machine.exhaust()
    assert machine.done


def test_an_ordered_map_with_a_stalled_head_stops_at_the_bound_and_resumes() -> None:
    machine = Reassembly(ordered=True, in_flight=4, buffered=6)
    [head] = start(machine)
    while machine.room():
        finish(machine, *start(machine))
    assert (1, 9, 0) == (machine.in_flight, machine.waiting, machine.room())
    assert machine.take() is None
    finish(machine, head)
    assert list(range(10)) == take_all(machine)
    assert 4 == machine.room()


def test_an_unordered_map_whose_results_nobody_takes_stops_at_the_bound() -> None:
    machine = Reassembly(ordered=False, in_flight=4, buffered=6)
    while machine.room():
        finish(machine, *start(machine))
    assert (0, 10) == (machine.in_flight, machine.waiting)
    assert machine.take() is not None
    assert 1 == machine.room()


def test_the_window_bounds_what_is_in_flight_although_there_is_room_to_wait() -> None:
    machine = Reassembly(ordered=True, in_flight=2, buffered=100)
    _, b = start(machine, 2)
    assert 0 == machine.room()
    finish(machine, b)
    assert 1 == machine.room()


@pytest.mark.parametrize("ordered", [True, False])
def test_an_empty_map_is_done_as_soon_as_it_is_exhausted(ordered: bool) -> None:
    machine = Reassembly(ordered=ordered, in_flight=2, buffered=2)
    assert not machine.done
    machine.exhaust()
    machine.exhaust()
    assert machine.done
    assert 0 == machine.room()


@pytest.mark.parametrize("ordered", [True, False])
def test_a_map_is_done_when_its_last_result_is_taken(ordered: bool) -> None:
    machine = Reassembly(ordered=ordered, in_flight=2, buffered=2)
    [input] = start(machine)
    machine.exhaust()
    assert not machine.done
    finish(machine, input)
    assert not machine.done
    assert input is machine.take()
    assert machine.done


@pytest.mark.parametrize("ordered", [True, False])
def test_what_is_in_flight_is_known_to_whoever_leaves_the_map(ordered: bool) -> None:
    machine = Reassembly(ordered=ordered, in_flight=5, buffered=5)
    inputs = start(machine, 5)
    finish(machine, inputs[0], inputs[3])
    machine.take()
    assert [inputs[1], inputs[2], inputs[4]] == machine.unfinished()


def test_repr_shows_the_counts() -> None:
    machine = Reassembly(ordered=True, in_flight=4, buffered=2)
    a, _, c = start(machine, 3)
    finish(machine, a, c)
    machine.take()
    assert "<Reassembly ordered in_flight=1/4 waiting=1 taken=1>" == repr(machine)
    machine = Reassembly(ordered=False, in_flight=4, buffered=2)
    machine.exhaust()
    assert "<Reassembly unordered in_flight=0/4 waiting=0 taken=0 exhausted>" == repr(machine)


@pytest.mark.parametrize(
    ("name", "value"),
    [("in_flight", 0), ("in_flight", True), ("in_flight", 1.5), ("buffered", -1), ("buffered", None)],
)
def test_bounds_out_of_range_are_refused(name: str, value: Any) -> None:
    with pytest.raises(InvalidError, match=f"^{name} must be"):
        Reassembly(**{"ordered": True, "in_flight": 1, "buffered": 1, name: value})


@pytest.mark.parametrize("index", [-1, 0, 1, 3, 100])
def test_finishing_unordered_what_is_not_in_flight_is_our_error(index: int) -> None:
    """Index 0 was taken, 1 waits, 2 is in flight, 3 has not started."""
    machine = Reassembly(ordered=False, in_flight=5, buffered=5)
    inputs = start(machine, 3)
    finish(machine, inputs[0])
    machine.take()
    finish(machine, inputs[1])
    before = observed(machine)
    with pytest.raises(InternalError, match=f"input {index} finished, but it is not in flight"):
        machine.finish([Input("f", (), None, None, index=index)])
    assert before == observed(machine)
    assert [1] == take_all(machine)


@pytest.mark.parametrize("ordered", [True, False])
def test_finishing_more_than_is_in_flight_is_our_error_and_changes_nothing(ordered: bool) -> None:
    machine = Reassembly(ordered=ordered, in_flight=5, buffered=5)
    inputs = start(machine, 3)
    finish(machine, inputs[0])
    before = observed(machine)
    with pytest.raises(InternalError, match="3 inputs finished, more than are in flight"):
        machine.finish(inputs)
    assert before == observed(machine)


@pytest.mark.parametrize("ordered", [True, False])
@pytest.mark.parametrize("count", [3, 4])
def test_starting_more_than_there_is_room_for_is_our_error_and_changes_nothing(
    ordered: bool, count: int
) -> None:
    machine = Reassembly(ordered=ordered, in_flight=3, buffered=0)
    start(machine)
    before = observed(machine)
    with pytest.raises(InternalError, match=f"has room for 2 inputs; {count} were started"):
        start(machine, count)
    assert before == observed(machine)


def test_starting_beyond_the_buffer_is_our_error() -> None:
    machine = Reassembly(ordered=False, in_flight=2, buffered=0)
    finish(machine, start(machine, 2)[0])
    with pytest.raises(InternalError, match="has room for 0 inputs; 1 were started"):
        start(machine)


def test_starting_after_the_end_is_our_error() -> None:
    machine = Reassembly(ordered=True, in_flight=2, buffered=0)
    machine.exhaust()
    with pytest.raises(InternalError, match="has room for 0 inputs; 1 were started"):
        start(machine)


def looked(*, rate: float, every: float, in_flight: int = 1_000) -> float:
    """Return the pause after a second look, `every` seconds after the first, at `rate` results per second."""
    machine = Reassembly(ordered=True, in_flight=in_flight, buffered=1_000)
    inputs = start(machine, in_flight)
    assert 0 == machine.pause(100.0)
    count = round(rate * every)
    finish(machine, *inputs[:count])
    take_all(machine)
    start(machine, count)
    return machine.pause(100.0 + every)


@pytest.mark.parametrize(
    ("rate", "every", "in_flight", "pause"),
    [
        pytest.param(31_000, 0.0001, 1_000, 0.0005, id="fast"),
        pytest.param(100_000, 0.0001, 1_000, 0.00016, id="until sixteen have gathered"),
        pytest.param(31_000, 0.0005, 1_000, 0.0005, id="fast, after a pause"),
        pytest.param(20_000, 0.0001, 100, 0.0003125, id="a sixteenth of what is in flight"),
        pytest.param(32_000, 0.001, 32, 0, id="few in flight"),
        pytest.param(300_000, 0.0001, 1_000, 0, id="so fast that it takes no pause"),
        pytest.param(100_000, 0.001, 1_000, 0, id="many at each look"),
        pytest.param(2_000, 0.001, 1_000, 0, id="slow"),
        pytest.param(2_000, 0, 1_000, 0, id="nothing since"),
    ],
)
def test_a_consumer_lets_results_gather_when_they_come_fast(
    rate: float, every: float, in_flight: int, pause: float
) -> None:
    assert pytest.approx(pause, abs=1e-9) == looked(rate=rate, every=every, in_flight=in_flight)


@given(rate=st.floats(1.0, 1e6), every=st.floats(1e-6, 1.0), in_flight=st.integers(1, 1_000), data=st.data())
def test_a_pause_is_short_and_starves_nobody(
    rate: float, every: float, in_flight: int, data: st.DataObject
) -> None:
    count = data.draw(st.integers(0, min(in_flight, round(rate * every))), label="count")
    pause = looked(rate=count / every, every=every, in_flight=in_flight)
    assert pause == 0 or 0.0001 <= pause <= 0.0005
    assert pause * count / every <= in_flight / 16 + 1e-6


class MapMachine(RuleBasedStateMachine):
    """A map that starts, finishes and takes in any order, beside one that keeps everything in plain lists."""

    @initialize(ordered=st.booleans(), in_flight=st.integers(1, 5), buffered=st.integers(0, 5))
    def build(self, ordered: bool, in_flight: int, buffered: int) -> None:
        self.ordered, self.limit, self.bound = ordered, in_flight, in_flight + buffered
        self.machine = Reassembly(ordered=ordered, in_flight=in_flight, buffered=buffered)
        self.running: list[Input] = []
        self.finish_order: list[int] = []
        self.delivered: list[int] = []
        self.count = 0
        self.exhausted = False

    def deliverable(self) -> list[int]:
        if not self.ordered:
            return [index for index in self.finish_order if index not in self.delivered]
        found: list[int] = []
        while (index := len(self.delivered) + len(found)) in self.finish_order:
            found.append(index)
        return found

    @precondition(lambda self: self.machine.room() > 0)
    @rule(share=st.floats(0.01, 1))
    def start(self, share: float) -> None:
        count = max(1, int(self.machine.room() * share))
        assert self.count == self.machine.started
        self.running += start(self.machine, count)
        self.count += count

    @precondition(lambda self: self.running)
    @rule(data=st.data())
    def finish(self, data: st.DataObject) -> None:
        inputs = data.draw(st.lists(st.sampled_from(self.running), min_size=1, max_size=3, unique_by=id))
        for input in inputs:
            self.running.remove(input)
            self.finish_order.append(input.index)
        finish(self.machine, *inputs)

    @precondition(lambda self: self.running)
    @rule(data=st.data())
    def follow(self, data: st.DataObject) -> None:
        """One attempt times out, and another follows."""
        input = data.draw(st.sampled_from(self.running))
        self.running[self.running.index(input)] = input.again()
        input.state = TIMED_OUT

    @rule()
    def take(self) -> None:
        expected = self.deliverable()[:1]
        input = self.machine.take()
        assert expected == ([] if input is None else [input.index])
        self.delivered += expected

    @rule()
    def take_all(self) -> None:
        expected = self.deliverable()
        assert expected == take_all(self.machine)
        self.delivered += expected

    @precondition(lambda self: self.count > 10)
    @rule()
    def exhaust(self) -> None:
        self.machine.exhaust()
        self.exhausted = True

    @rule(more=st.integers(1, 3))
    def finish_wrongly(self, more: int) -> None:
        before = observed(self.machine)
        with pytest.raises(InternalError):
            self.machine.finish([Input("f", (), None, None)] * (len(self.running) + more))
        assert before == observed(self.machine)

    @invariant()
    def counts_and_bounds_hold(self) -> None:
        waiting = len(self.finish_order) - len(self.delivered)
        assert (len(self.running), waiting) == (self.machine.in_flight, self.machine.waiting)
        assert len(self.running) <= self.limit
        assert len(self.running) + waiting <= self.bound
        room = min(self.limit - len(self.running), self.bound - len(self.running) - waiting)
        assert (0 if self.exhausted else room) == self.machine.room()
        assert (self.exhausted and len(self.delivered) == self.count) == self.machine.done
        unfinished = [input.latest() for input in self.machine.unfinished()]
        assert sorted(self.running, key=id) == sorted(unfinished, key=id)

    @invariant()
    def the_map_can_go_on(self) -> None:
        """Something runs, can be taken or can start, unless the map is done."""
        assert self.running or self.deliverable() or self.machine.room() or self.machine.done

    def teardown(self) -> None:
        """Whatever happened, each index is delivered exactly once, in order when asked."""
        for input in reversed(getattr(self, "running", [])):
            finish(self.machine, input)
            self.finish_order.append(input.index)
        if hasattr(self, "machine"):
            self.machine.exhaust()
            self.delivered += take_all(self.machine)
            assert (list(range(self.count)) if self.ordered else self.finish_order) == self.delivered
            assert self.machine.done


TestMapMachine = pytest.mark.slow(MapMachine.TestCase)


@given(ordered=st.booleans(), choices=st.lists(st.integers(0, 3), max_size=60))
def test_the_same_calls_give_the_same_results(ordered: bool, choices: list[int]) -> None:
    def replay() -> list[object]:
        machine = Reassembly(ordered=ordered, in_flight=4, buffered=3)
        running: list[Input] = []
        log: list[object] = []
        for choice in choices:
            if choice == 0 and machine.room():
                running += start(machine)
            elif choice == 1 and running:
                finish(machine, running.pop(len(running) // 2))
            elif choice == 2:
                taken = machine.take()
                log.append(taken and taken.index)
            elif choice == 3:
                log.append(take_all(machine))
            log.append(observed(machine))
        return log

    assert replay() == replay()

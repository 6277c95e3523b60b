# SPDX-License-Identifier: Apache-2.0
"""Reassembly: a map's window, its bounded reorder buffer, and the order of its results."""

from __future__ import annotations

from typing import Any

import pytest
from hypothesis import assume, given
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, initialize, invariant, precondition, rule

from actorpool._core._ordering import NOTHING, Reassembly
from actorpool.exception import InternalError, InvalidError


def observed(machine: Reassembly[Any]) -> tuple[str, int, bool]:
    return repr(machine), machine.room(), machine.done


def test_ordered_results_come_in_input_order() -> None:
    machine = Reassembly[str](ordered=True, in_flight=3, buffered=3)
    assert [0, 1, 2] == [machine.started() for _ in range(3)]
    machine.finished(2, "c")
    machine.finished(1, "b")
    assert NOTHING is machine.take()
    machine.finished(0, "a")
    assert ["a", "b", "c"] == [machine.take() for _ in range(3)]
    assert NOTHING is machine.take()


def test_unordered_results_come_as_they_finish() -> None:
    machine = Reassembly[str](ordered=False, in_flight=3, buffered=3)
    machine.started(3)
    machine.finished(2, "c")
    machine.finished(0, "a")
    assert ["c", "a"] == [machine.take() for _ in range(2)]
    assert NOTHING is machine.take()
    machine.finished(1, "b")
    assert machine.take() == "b"


@pytest.mark.parametrize("ordered", [True, False])
def test_many_inputs_start_and_are_taken_in_one_call(ordered: bool) -> None:
    machine = Reassembly[int](ordered=ordered, in_flight=10, buffered=0)
    assert machine.started(4) == 0
    assert machine.started(6) == 4
    for index in range(5):
        machine.finished(index, index)
    machine.finished(6, 6)
    expected = [0, 1, 2, 3, 4] if ordered else [0, 1, 2, 3, 4, 6]
    assert expected == machine.take_ready()
    assert [] == machine.take_ready()
    assert len(expected) == machine.room()


@pytest.mark.parametrize("item", [None, False, 0, (), NotImplementedError("a user's")])
@pytest.mark.parametrize("ordered", [True, False])
def test_any_value_is_an_ordinary_result(item: object, ordered: bool) -> None:
    machine = Reassembly[object](ordered=ordered, in_flight=1, buffered=0)
    machine.finished(machine.started(), item)
    assert item is machine.take()


def test_an_ordered_map_with_a_stalled_head_stops_at_the_bound_and_resumes() -> None:
    machine = Reassembly[int](ordered=True, in_flight=4, buffered=6)
    head = machine.started()
    while machine.room():
        index = machine.started()
        machine.finished(index, index)
    assert (1, 9, 0) == (machine.in_flight, machine.waiting, machine.room())
    assert NOTHING is machine.take()
    machine.finished(head, head)
    assert list(range(10)) == machine.take_ready()
    assert machine.room() == 4


def test_an_unordered_map_whose_results_nobody_takes_stops_at_the_bound() -> None:
    machine = Reassembly[int](ordered=False, in_flight=4, buffered=6)
    while machine.room():
        index = machine.started()
        machine.finished(index, index)
    assert (0, 10) == (machine.in_flight, machine.waiting)
    assert machine.take() == 0
    assert machine.room() == 1


def test_the_window_bounds_what_is_in_flight_although_there_is_room_to_wait() -> None:
    machine = Reassembly[int](ordered=True, in_flight=2, buffered=100)
    machine.started(2)
    assert machine.room() == 0
    machine.finished(1, 1)
    assert machine.room() == 1


@pytest.mark.parametrize("ordered", [True, False])
def test_an_empty_map_is_done_as_soon_as_it_is_exhausted(ordered: bool) -> None:
    machine = Reassembly[int](ordered=ordered, in_flight=2, buffered=2)
    assert not machine.done
    machine.exhaust()
    machine.exhaust()
    assert machine.done
    assert machine.room() == 0


@pytest.mark.parametrize("ordered", [True, False])
def test_a_map_is_done_when_its_last_result_is_taken(ordered: bool) -> None:
    machine = Reassembly[int](ordered=ordered, in_flight=2, buffered=2)
    machine.started()
    machine.exhaust()
    assert not machine.done
    machine.finished(0, 0)
    assert not machine.done
    assert machine.take() == 0
    assert machine.done


def test_repr_shows_the_counts() -> None:
    machine = Reassembly[int](ordered=True, in_flight=4, buffered=2)
    machine.started(3)
    machine.finished(0, 0)
    machine.finished(2, 2)
    machine.take()
    expected = "<Reassembly ordered in_flight=1/4 waiting=1 taken=1>"
    assert expected == repr(machine)
    machine = Reassembly[int](ordered=False, in_flight=4, buffered=2)
    machine.exhaust()
    expected = "<Reassembly unordered in_flight=0/4 waiting=0 taken=0 exhausted>"
    assert expected == repr(machine)
    assert "NOTHING" == repr(machine.take())


@pytest.mark.parametrize(
    ("name", "value"),
    [("in_flight", 0), ("in_flight", True), ("in_flight", 1.5), ("buffered", -1), ("buffered", None)],
)
def test_bounds_out_of_range_are_refused(name: str, value: Any) -> None:
    with pytest.raises(InvalidError, match=f"^{name} must be"):
        Reassembly[int](**{"ordered": True, "in_flight": 1, "buffered": 1, name: value})


@pytest.mark.parametrize("ordered", [True, False])
@pytest.mark.parametrize("index", [-1, 0, 1, 3, 100])
def test_finishing_what_is_not_in_flight_is_our_error_and_changes_nothing(ordered: bool, index: int) -> None:
    """Index 0 was taken, 1 waits, 2 is in flight, 3 has not started."""
    machine = Reassembly[int](ordered=ordered, in_flight=5, buffered=5)
    machine.started(3)
    machine.finished(0, 0)
    machine.take()
    machine.finished(1, 1)
    before = observed(machine)
    with pytest.raises(InternalError, match=f"input {index} finished, but it is not in flight"):
        machine.finished(index, 7)
    assert before == observed(machine)
    assert [1] == machine.take_ready()


@pytest.mark.parametrize("ordered", [True, False])
@pytest.mark.parametrize("count", [-1, 0, 3])
def test_starting_more_than_there_is_room_for_is_our_error_and_changes_nothing(
    ordered: bool, count: int
) -> None:
    machine = Reassembly[int](ordered=ordered, in_flight=3, buffered=0)
    machine.started()
    before = observed(machine)
    with pytest.raises(InternalError, match=f"has room for 2 inputs; {count} were started"):
        machine.started(count)
    assert before == observed(machine)


def test_starting_beyond_the_buffer_is_our_error() -> None:
    machine = Reassembly[int](ordered=False, in_flight=2, buffered=0)
    machine.started(2)
    machine.finished(0, 0)
    with pytest.raises(InternalError, match="has room for 0 inputs; 1 were started"):
        machine.started()


def test_starting_after_the_end_is_our_error() -> None:
    machine = Reassembly[int](ordered=True, in_flight=2, buffered=0)
    machine.exhaust()
    with pytest.raises(InternalError, match="has room for 0 inputs; 1 were started"):
        machine.started()


class MapMachine(RuleBasedStateMachine):
    """A map that starts, finishes and takes in any order, beside one that keeps everything in plain lists."""

    @initialize(ordered=st.booleans(), in_flight=st.integers(1, 5), buffered=st.integers(0, 5))
    def build(self, ordered: bool, in_flight: int, buffered: int) -> None:
        self.ordered, self.limit, self.bound = ordered, in_flight, in_flight + buffered
        self.machine = Reassembly[int](ordered=ordered, in_flight=in_flight, buffered=buffered)
        self.running: list[int] = []
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
        assert self.count == self.machine.started(count)
        self.running += range(self.count, self.count + count)
        self.count += count

    @precondition(lambda self: self.running)
    @rule(data=st.data())
    def finish(self, data: st.DataObject) -> None:
        index = data.draw(st.sampled_from(self.running))
        self.machine.finished(index, index)
        self.running.remove(index)
        self.finish_order.append(index)

    @rule()
    def take(self) -> None:
        expected = self.deliverable()[:1]
        item = self.machine.take()
        assert expected == ([] if item is NOTHING else [item])
        self.delivered += expected

    @rule()
    def take_ready(self) -> None:
        expected = self.deliverable()
        assert expected == self.machine.take_ready()
        self.delivered += expected

    @precondition(lambda self: self.count > 10)
    @rule()
    def exhaust(self) -> None:
        self.machine.exhaust()
        self.exhausted = True

    @rule(index=st.integers(-2, 60))
    def finish_wrongly(self, index: int) -> None:
        assume(index not in self.running)
        before = observed(self.machine)
        with pytest.raises(InternalError):
            self.machine.finished(index, -1)
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

    @invariant()
    def the_map_can_go_on(self) -> None:
        """Something runs, can be taken or can start, unless the map is done."""
        assert self.running or self.deliverable() or self.machine.room() or self.machine.done

    def teardown(self) -> None:
        """Whatever happened, each index is delivered exactly once, in order when asked."""
        for index in reversed(getattr(self, "running", [])):
            self.machine.finished(index, index)
            self.finish_order.append(index)
        if hasattr(self, "machine"):
            self.machine.exhaust()
            self.delivered += self.machine.take_ready()
            assert (list(range(self.count)) if self.ordered else self.finish_order) == self.delivered
            assert self.machine.done


TestMapMachine = pytest.mark.slow(MapMachine.TestCase)


@given(ordered=st.booleans(), choices=st.lists(st.integers(0, 3), max_size=60))
def test_the_same_calls_give_the_same_results(ordered: bool, choices: list[int]) -> None:
    def replay() -> list[object]:
        machine = Reassembly[int](ordered=ordered, in_flight=4, buffered=3)
        running: list[int] = []
        log: list[object] = []
        for choice in choices:
            if choice == 0 and machine.room():
                running.append(machine.started())
            elif choice == 1 and running:
                index = running.pop(len(running) // 2)
                machine.finished(index, index)
            elif choice == 2:
                log.append(machine.take())
            elif choice == 3:
                log.append(machine.take_ready())
            log.append(observed(machine))
        return log

    assert replay() == replay()

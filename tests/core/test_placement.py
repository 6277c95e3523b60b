# SPDX-License-Identifier: Apache-2.0
"""Placement: the packing rule."""

from __future__ import annotations

from hypothesis import given
from hypothesis import strategies as st

from actorpool._core._container import Container
from actorpool._core._placement import Placement


def containers(count: int) -> list[Container]:
    return [Container(number, 0.0) for number in range(1, count + 1)]


def placement_of(*loads: int, target: int, max_inputs: int) -> tuple[Placement, list[Container]]:
    """A placement of containers with these loads, admitted in this order."""
    placement = Placement(target=target, max_inputs=max_inputs)
    members = containers(len(loads))
    for container, load in zip(members, loads, strict=True):
        placement.add(container, load)
    return placement, members


def test_the_fullest_container_below_target_takes_the_input() -> None:
    placement, (_, fuller, _full) = placement_of(1, 2, 3, target=3, max_inputs=3)
    assert fuller is placement.take()


def test_of_equally_full_containers_the_one_that_got_there_last_takes_the_input() -> None:
    placement, (first, second, third) = placement_of(0, 0, 2, target=3, max_inputs=3)
    placement.lower(third, 2)
    placement.lower(third, 1)
    assert third is placement.take()
    placement.lower(third, 1)
    placement.remove(third, 0)
    assert [second, second, second, first] == [placement.take() for _ in range(4)]


def test_an_input_bursts_into_the_least_loaded_container_only_if_none_is_below_target() -> None:
    placement, (below, at, above) = placement_of(1, 2, 3, target=2, max_inputs=4)
    assert below is placement.take()
    # Loads are 2, 2, 3 now; of the two least loaded the one that got there last goes first.
    assert [below, at] == [placement.take(), placement.take()]
    assert [at, below, above] == [placement.take() for _ in range(3)]
    assert placement.take() is None


def test_nothing_takes_an_input_where_no_container_is() -> None:
    placement = Placement(target=1, max_inputs=1)
    assert placement.take() is None


def test_without_a_target_of_its_own_a_container_never_bursts() -> None:
    placement, (container,) = placement_of(0, target=2, max_inputs=2)
    assert [container, container, None] == [placement.take() for _ in range(3)]


def test_containers_are_listed_from_the_least_loaded_and_longest_unused() -> None:
    placement, (a, b, c, d) = placement_of(1, 0, 2, 0, target=2, max_inputs=2)
    assert [b, d, a, c] == list(placement)
    placement.lower(a, 1)
    assert [b, d, a, c] == list(placement)
    assert [b, d, a] == list(placement.idle_containers())
    assert (4, 3) == (placement.count, placement.idle)


def test_a_container_taken_out_takes_nothing() -> None:
    placement, (a, b) = placement_of(1, 0, target=2, max_inputs=2)
    placement.remove(a, 1)
    assert [b, b, None] == [placement.take() for _ in range(3)]
    assert (1, 0) == (placement.count, placement.idle)


def test_a_container_below_target_takes_many_at_a_time() -> None:
    placement, (fuller, emptier) = placement_of(1, 0, target=4, max_inputs=5)
    assert (fuller, 2) == placement.take_many(2)
    assert (fuller, 1) == placement.take_many(9)
    assert (emptier, 4) == placement.take_many(9)
    # Above the target they take turns.
    assert [(emptier, 1), (fuller, 1), None] == [placement.take_many(9) for _ in range(3)]


class NaivePlacement:
    """The same rule, as one reads it: a list of `[container, load, when it got to that load]`."""

    def __init__(self, target: int, max_inputs: int) -> None:
        self.target, self.max_inputs, self.time = target, max_inputs, 0
        self.rows: list[list] = []

    def row(self, container: Container) -> list:
        return next(row for row in self.rows if row[0] is container)

    def put(self, container: Container, load: int) -> None:
        self.rows = [row for row in self.rows if row[0] is not container]
        self.time += 1
        self.rows.append([container, load, self.time])

    def take(self) -> Container | None:
        below_target = [row for row in self.rows if row[1] < self.target]
        below_max = [row for row in self.rows if row[1] < self.max_inputs]
        if below_target:
            chosen = max(below_target, key=lambda row: (row[1], row[2]))
        elif below_max:
            chosen = min(below_max, key=lambda row: (row[1], -row[2]))
        else:
            return None
        self.put(chosen[0], chosen[1] + 1)
        return chosen[0]

    def listed(self) -> list[Container]:
        return [row[0] for row in sorted(self.rows, key=lambda row: (row[1], row[2]))]


STEPS = ["take", "take", "many", "many", "lower", "add", "remove"]


@given(st.data())
def test_any_history_packs_as_the_naive_rule_does(data: st.DataObject) -> None:
    max_inputs = data.draw(st.integers(1, 4))
    target = data.draw(st.integers(1, max_inputs))
    placement, naive = Placement(target=target, max_inputs=max_inputs), NaivePlacement(target, max_inputs)
    for step in data.draw(st.lists(st.sampled_from(STEPS), max_size=40)):
        if step == "take":
            assert naive.take() is placement.take()
        elif step == "many":
            most = data.draw(st.integers(1, 6))
            container, count = placement.take_many(most) or (None, 1)
            assert 1 <= count <= most
            assert {container} == {naive.take() for _ in range(count)}
        elif step == "add":
            container, load = Container(0, 0.0), data.draw(st.integers(0, max_inputs))
            placement.add(container, load)
            naive.put(container, load)
        elif naive.rows:
            container, load, _ = data.draw(st.sampled_from(naive.rows))
            if step == "remove":
                placement.remove(container, load)
                naive.rows.remove(naive.row(container))
            elif load:
                placement.lower(container, load)
                naive.put(container, load - 1)
        assert naive.listed() == list(placement)
        idle = [row[0] for row in naive.rows if not row[1]]
        assert (len(naive.rows), len(idle)) == (placement.count, placement.idle)
        assert idle == list(placement.idle_containers())

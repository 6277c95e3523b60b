# SPDX-License-Identifier: Apache-2.0
"""Threads that go from a function with more than its share to those that wait: who gives how many, and how."""

from __future__ import annotations

from hypothesis import given
from hypothesis import strategies as st

from actorpool._core import _effects as fx
from actorpool._core._admission import CONTROL, SCALING
from actorpool._core._container import Phase
from actorpool._core._threads import ThreadBudget
from tests.core.pools import Passive, Rig


def _budget(ceiling: int, held: dict[str, int], waiting: list[tuple[str, int]]) -> ThreadBudget[int]:
    budget: ThreadBudget[int] = ThreadBudget(ceiling)
    for owner, count in held.items():
        if count:
            assert budget.request(owner, count, -len(owner) - count)
    for ticket, (owner, count) in enumerate(waiting):
        assert not budget.request(owner, count, ticket)
    return budget


# -- how many ----------------------------------------------------------------------------------------------------


def test_nothing_is_in_excess_while_nobody_waits() -> None:
    assert _budget(4, {"f": 3}, []).excess() is None


def test_nothing_is_in_excess_while_only_the_largest_holder_waits() -> None:
    assert _budget(4, {"f": 3, "g": 1}, [("f", 1), ("f", 1)]).excess() is None


def test_half_of_the_gap_goes_to_the_poorest_of_those_that_wait() -> None:
    assert ("f", 5) == _budget(12, {"f": 11, "g": 1}, [("g", 1)] * 20).excess()


def test_no_more_is_taken_than_is_waited_for() -> None:
    assert ("f", 2) == _budget(12, {"f": 11, "g": 1}, [("g", 1)] * 2).excess()


def test_a_large_request_is_given_what_it_needs_at_once() -> None:
    assert ("f", 6) == _budget(8, {"f": 8}, [("g", 6)]).excess()


def test_equal_holders_are_left_alone() -> None:
    assert _budget(4, {"f": 2, "g": 2}, [("f", 1), ("g", 1)]).excess() is None


def test_two_functions_take_turns_with_a_single_thread() -> None:
    assert ("f", 1) == _budget(1, {"f": 1}, [("g", 1)]).excess()


@given(
    st.dictionaries(st.sampled_from("fgh"), st.integers(0, 8), min_size=1),
    st.lists(st.tuples(st.sampled_from("fgh"), st.integers(1, 3)), max_size=8),
)
def test_what_is_taken_leaves_the_giver_no_poorer_than_the_taker_was(
    held: dict[str, int], waiting: list[tuple[str, int]]
) -> None:
    ceiling = max(3, sum(held.values()))
    budget: ThreadBudget[int] = ThreadBudget(ceiling)
    for number, (owner, count) in enumerate(held.items()):
        if count:
            budget.request(owner, count, -1 - number)
    for ticket, (owner, count) in enumerate(waiting):
        budget.request(owner, count, ticket)
    excess = budget.excess()
    if excess is not None:
        giver, threads = excess
        assert budget.over_share() == giver
        assert 1 <= threads <= budget.held(giver)


# -- how -------------------------------------------------------------------------------------------------------------


def test_a_busy_container_makes_way_when_it_has_drained() -> None:
    rig = Rig(policy=Passive())
    rig.start(3)
    inputs = rig.many(3)
    rig.tell(fx.Crowded(True, give=1))
    assert (2, 1) == (rig.pool.size, len(rig.in_phase(Phase.DRAINING)))
    assert rig.pool.attention & SCALING
    (draining,) = rig.in_phase(Phase.DRAINING)
    (kept,) = draining.inputs
    assert kept in inputs
    rig.end(kept)
    rig.attend()
    assert [] == rig.in_phase(Phase.DRAINING)
    assert 2 == rig.pool.running


def test_no_more_make_way_than_there_are_beyond_the_minimum() -> None:
    rig = Rig(policy=Passive(), min_containers=2)
    rig.start(3)
    rig.many(3)
    rig.tell(fx.Crowded(True, give=3))
    assert 2 == rig.pool.size
    rig.tell(fx.Crowded(True, give=1))
    assert 2 == rig.pool.size


def test_an_idle_container_makes_way_before_a_busy_one() -> None:
    rig = Rig(policy=Passive())
    rig.start(2)
    rig.submit()
    rig.tell(fx.Crowded(True, give=1))
    # The idle one goes in any case; of the rest one more is given.
    assert 0 == rig.pool.size
    assert 1 == len(rig.in_phase(Phase.DRAINING))


def test_a_container_that_starts_is_not_called_off_for_it() -> None:
    rig = Rig(policy=Passive())
    rig.ask()
    rig.tell(fx.Crowded(True, give=1))
    assert 1 == rig.pool.size


def test_while_others_wait_a_lowered_minimum_lets_idle_containers_go_at_once() -> None:
    rig = Rig(min_containers=2)
    rig.start(2)
    rig.tell(fx.Crowded(True))
    assert 2 == rig.pool.size
    rig.change(min_containers=1)
    assert rig.pool.attention & CONTROL
    rig.tick()
    assert 1 == rig.pool.size

# SPDX-License-Identifier: Apache-2.0
"""The end of a process: each step is bounded, and none leads back."""

from __future__ import annotations

from math import inf

import pytest
from hypothesis import given
from hypothesis import strategies as st

from actorpool._core._ending import Ending, Step

ASK, TERMINATE, KILL, LEAVE, RETIRE = Step.ASK, Step.TERMINATE, Step.KILL, Step.LEAVE, Step.RETIRE


def ending() -> Ending:
    return Ending(2.0, ask_s=7.0, kill_s=5.0)


def steps_from(machine: Ending, running: int = 0) -> list[tuple[float, Step]]:
    """Return what follows if nothing happens but the passing of time, and when."""
    found = []
    while (now := machine.next_at) < inf:
        found += [(now, step) for step in machine.advance(now, running)]
    return found


def test_a_stop_asks_terminates_and_kills_each_after_its_time() -> None:
    machine = ending()
    assert [ASK] == machine.stop(10.0, hooks=True)
    assert machine.doomed
    assert [(17.0, TERMINATE), (19.0, KILL), (24.0, LEAVE)] == steps_from(machine)


def test_a_process_that_is_not_ready_is_killed_at_once() -> None:
    machine = ending()
    assert [KILL] == machine.stop(10.0, hooks=False)
    assert [(15.0, LEAVE)] == steps_from(machine)


def test_nothing_follows_once_it_is_gone() -> None:
    machine = ending()
    machine.stop(10.0, hooks=True)
    machine.gone()
    assert (True, inf) == (machine.doomed, machine.next_at)
    assert [] == machine.advance(100.0, 0)
    assert [] == machine.stop(100.0, hooks=True)
    assert [] == machine.unheard(100.0)


def test_interrupted_work_that_returns_in_time_costs_nothing() -> None:
    machine = ending()
    machine.interrupt(1, 10.0)
    assert [] == machine.advance(11.9, 1)
    machine.returned(1)
    assert (False, False, inf) == (machine.doomed, machine.overdue, machine.next_at)
    assert [] == machine.advance(20.0, 0)


def test_overdue_work_alone_is_ended_with_its_process() -> None:
    machine = ending()
    machine.interrupt(1, 10.0)
    assert 12.0 == machine.next_at
    assert [RETIRE, TERMINATE] == machine.advance(12.0, 1)
    assert [(14.0, KILL), (19.0, LEAVE)] == steps_from(machine, running=1)


def test_other_work_is_waited_for_and_nothing_more_given() -> None:
    machine = ending()
    machine.interrupt(1, 10.0)
    assert [RETIRE] == machine.advance(12.0, 3)
    assert (True, False, inf) == (machine.overdue, machine.doomed, machine.next_at)
    assert [] == machine.advance(500.0, 2)
    assert [TERMINATE] == machine.advance(600.0, 1)


def test_overdue_work_that_returns_after_all_keeps_the_process_from_being_killed() -> None:
    machine = ending()
    machine.interrupt(1, 10.0)
    assert [RETIRE] == machine.advance(12.0, 2)
    machine.returned(1)
    assert [] == machine.advance(13.0, 1)
    assert not machine.doomed


def test_a_second_interruption_does_not_lengthen_the_grace_period() -> None:
    machine = ending()
    machine.interrupt(1, 10.0)
    machine.interrupt(1, 11.5)
    assert [RETIRE, TERMINATE] == machine.advance(12.0, 1)


def test_several_interrupted_inputs_are_each_given_their_time() -> None:
    machine = ending()
    machine.interrupt(1, 10.0)
    machine.interrupt(2, 11.0)
    assert [RETIRE] == machine.advance(12.0, 2)
    assert 13.0 == machine.next_at
    assert [TERMINATE] == machine.advance(13.0, 2)


@pytest.mark.parametrize("before", ["running", "retired", "asked", "terminated"])
def test_whoever_is_heard_no_more_is_killed_at_once(before: str) -> None:
    machine = ending()
    if before in ("retired", "terminated"):
        machine.interrupt(1, 10.0)
        machine.advance(12.0, 2 if before == "retired" else 1)
    if before == "asked":
        machine.stop(12.0, hooks=True)
    assert [KILL] == machine.unheard(13.0)
    assert [] == machine.unheard(13.5)
    assert [(18.0, LEAVE)] == steps_from(machine)


def test_a_stop_does_not_lead_back_from_a_later_step() -> None:
    machine = ending()
    machine.interrupt(1, 10.0)
    machine.advance(12.0, 1)
    assert [] == machine.stop(12.5, hooks=True)
    assert [(14.0, KILL), (19.0, LEAVE)] == steps_from(machine)


def test_it_says_where_it_stands() -> None:
    machine = ending()
    machine.interrupt(1, 0.0)
    machine.advance(2.0, 2)
    assert "<Ending retired overdue=1>" == repr(machine)


OPERATIONS = st.lists(
    st.tuples(st.sampled_from(["interrupt", "returned", "stop", "unheard", "tick"]), st.integers(1, 4)),
    max_size=30,
)


@given(OPERATIONS, st.integers(1, 5))
def test_each_step_is_taken_once_at_most_and_in_order(
    operations: list[tuple[str, int]], running: int
) -> None:
    order = {RETIRE: 0, ASK: 1, TERMINATE: 2, KILL: 3, LEAVE: 4}
    machine = ending()
    now = 0.0
    taken: list[Step] = []
    for what, number in operations:
        now += 0.5 * number
        match what:
            case "interrupt":
                machine.interrupt(number, now)
            case "returned":
                machine.returned(number)
            case "stop":
                taken += machine.stop(now, hooks=number > 1)
            case "unheard":
                taken += machine.unheard(now)
            case _:
                taken += machine.advance(now, running)
    positions = [order[step] for step in taken]
    assert sorted(set(positions)) == positions
    # Whoever has begun to end does so in bounded time.
    if machine.doomed:
        assert LEAVE is [*taken, *(step for _, step in steps_from(machine))][-1]
        assert machine.next_at == inf

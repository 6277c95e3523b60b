# SPDX-License-Identifier: Apache-2.0
"""Inputs stand still if and only if what they need is held by inputs that wait for them or for each other."""

from __future__ import annotations

from typing import Any

from actorpool._core import _effects as fx
from actorpool._core._input import FAILED, PENDING, RUNNING, Input
from actorpool._core._standstill import Place, Position, standing_still, why
from actorpool.exception import DeadlockError
from tests.core.pools import Rig


def input_of(name: str, parent: Input | None = None, *, spawned: bool = False) -> Input:
    return Input(name, (), None, None, parent=parent, spawned=spawned)


def position(
    *places: list[Input],
    pending: list[Input] | None = None,
    amount: int = 1,
    slots: int = 1,
    most: int | None = None,
    takes: bool = True,
    resource: str = "threads",
) -> Position:
    held = tuple(Place(tuple(inputs), takes) for inputs in places)
    return Position("function 'f'", resource, amount, slots, most, held, tuple(pending or ()))


def stuck(*positions: Position, threads: int = 2, processes: int = 2) -> set[Input]:
    return set(standing_still(positions, {"threads": threads, "processes": processes}))


def test_callers_that_hold_all_of_it_stand_still_with_their_calls() -> None:
    a, b = input_of("f"), input_of("f")
    below = [input_of("g", a), input_of("g", b)]
    callers, callee = position([a], [b]), position(pending=below)
    assert {a, b, *below} == stuck(callers, callee)
    assert {below[0]: callee, below[1]: callee, a: None, b: None} == standing_still(
        [callers, callee], {"threads": 2}
    )
    # With one more, all of them end one after the other.
    assert set() == stuck(callers, callee, threads=3)


def test_whoever_does_not_wait_will_give_back_what_it_holds() -> None:
    a, b, busy = input_of("f"), input_of("h"), input_of("g")
    below = input_of("g", a)
    assert set() == stuck(position([a]), position([b]), position(pending=[below]))
    also = input_of("g", b)
    assert {a, b, below, also} == stuck(position([a]), position([b]), position(pending=[below, also]))
    # A slot of the callee's own that becomes free is as good.
    assert set() == stuck(position([a]), position([busy], pending=[below]))
    # Unless that container takes nothing more, and its share is not enough.
    leaving = position([busy], pending=[below], amount=2, takes=False)
    assert {a, below} == stuck(position([a]), leaving)
    assert set() == stuck(position([a]), leaving, threads=3)


def test_a_free_slot_beside_a_caller_is_a_slot() -> None:
    a = input_of("f")
    below = input_of("f", a)
    assert set() == stuck(position([a], pending=[below], slots=2), threads=1)
    assert {a, below} == stuck(position([a], pending=[below]), threads=1)


def test_resources_are_counted_apart() -> None:
    a, b = input_of("f"), input_of("f")
    below = input_of("g", a)
    callers = position([a], [b])
    assert set() == stuck(callers, position(pending=[below], resource="processes"), threads=1)
    c = input_of("h", a)
    far = position([c], pending=[input_of("g", c), below], resource="processes")
    assert {a, c, *far.pending} == stuck(callers, far, processes=1)


def test_a_pool_that_needs_nothing_is_bounded_by_its_own_maximum() -> None:
    a = input_of("f")
    below = input_of("f", a)
    assert set() == stuck(position([a], pending=[below], amount=0), threads=1)
    at_most = position([a], pending=[below], amount=0, most=1)
    assert {a, below} == stuck(at_most, threads=1)
    assert "max_containers=1" in str(why(below, at_most, {"threads": 1}))


def test_a_chain_through_others_counts_and_spawned_calls_do_not() -> None:
    a = input_of("f")
    between = input_of("between", a)
    below = input_of("g", between)
    middle = position([between], amount=0)
    assert {a, between, below} == stuck(position([a]), middle, position(pending=[below]), threads=1)
    spawned = input_of("g", a, spawned=True)
    needs = input_of("g", spawned)
    assert {spawned, needs} == stuck(position([a]), position([spawned]), position(pending=[needs], amount=2))


def test_the_error_tells_the_chain_the_ceiling_and_the_remedy() -> None:
    a = input_of("f")
    below = input_of("g", a)
    error = why(below, position(pending=[below], resource="processes"), {"processes": 7})
    assert isinstance(error, DeadlockError)
    assert ("f", "g") == error.chain
    assert "(f -> g): the processes of its app (max_processes=7)" in str(error)
    full = position([a], pending=[below], most=1)
    assert "(f -> g): all slots of its 1 container (max_containers=1)" in str(
        why(below, full, {"threads": 7})
    )


# -- the pool's part ----------------------------------------------------------------------------------------


def hopeless(rig: Rig, input: Input) -> list[Any]:
    return rig.tell(fx.Hopeless(input, DeadlockError("no way")))


def test_only_what_inputs_have_called_and_no_container_has_is_waited_for() -> None:
    rig = Rig(max_containers=2)
    rig.start()
    caller = rig.submit()
    assert [] == rig.pool.awaited()
    spawned = rig.spawn(parent=caller)
    assert [] == rig.pool.awaited()
    outside, called = rig.submit(), rig.submit(parent=caller)
    assert [called] == rig.pool.awaited()
    assert {PENDING} == {input.state for input in (spawned, outside, called)}


def test_a_hopeless_input_fails_and_makes_room() -> None:
    rig = Rig(max_containers=2)
    rig.start()
    caller = rig.submit()
    called = rig.submit(parent=caller)
    assert [fx.Settle(called)] == hopeless(rig, called)
    assert (FAILED, 0) == (called.state, rig.pool.pending)
    assert isinstance(called.value, DeadlockError)
    # Too late a second time, and for one that runs.
    assert [] == hopeless(rig, called)
    assert [] == hopeless(rig, caller)
    assert RUNNING == caller.state


def test_an_input_that_went_ahead_meanwhile_is_not_hopeless() -> None:
    rig = Rig(max_containers=1)
    (container,) = rig.start()
    caller = rig.submit()
    ahead = rig.submit(parent=input_of("g"))
    assert [ahead] == rig.pool.look_ahead(container, 5)
    assert [] == hopeless(rig, ahead)
    assert ahead is rig.end(caller)

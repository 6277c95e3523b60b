# SPDX-License-Identifier: Apache-2.0
"""Submitting: packing, limits, waiting for room, self-deadlock."""

from __future__ import annotations

import math

import pytest

from actorpool._core import _effects as fx
from actorpool._core._admission import CONTROL, ROOM, SCALING
from actorpool._core._config import Limits
from actorpool._core._container import Phase
from actorpool._core._input import CANCELLED, DELAYED, PENDING, RUNNING, Input
from actorpool.exception import ClosedError, DeadlockError, ResourceExhaustedError
from tests.core.pools import Passive, Rig

# -- packing -------------------------------------------------------------------------------------


def test_an_input_takes_a_slot_at_once() -> None:
    rig = Rig()
    (container,) = rig.start()
    input = rig.submit()
    assert (RUNNING, container, {input: 0.0}) == (input.state, input.container, container.inputs)


def test_inputs_are_packed_into_the_fullest_container_below_target() -> None:
    rig = Rig(max_inputs=3, target_inputs=2)
    first, second = rig.start(2)
    taken = [input.container for input in rig.many(4)]
    assert [second, second, first, first] == taken


def test_an_input_bursts_into_the_least_loaded_container_when_all_are_at_target() -> None:
    rig = Rig(max_inputs=3, target_inputs=2)
    first, second = rig.start(2)
    rig.many(4)
    assert {first, second} == {input.container for input in rig.many(2)}
    assert rig.submit().state == PENDING


def test_a_pending_input_asks_for_a_container_s02() -> None:
    rig = Rig()
    input = rig.submit()
    assert (PENDING, 1) == (input.state, rig.pool.pending)
    assert rig.pool.attention & SCALING
    rig.attend()
    (container,) = rig.containers
    assert container.phase is Phase.STARTING


def test_a_burst_above_target_asks_for_a_container_s23() -> None:
    rig = Rig(max_inputs=3, target_inputs=2)
    rig.start()
    rig.attend()
    rig.many(2)
    assert not rig.pool.attention & SCALING
    assert rig.submit().state == RUNNING
    assert rig.pool.attention & SCALING
    rig.attend()
    assert len(rig.in_phase(Phase.STARTING)) == 1


def test_an_input_arms_the_timer_of_its_deadline() -> None:
    rig = Rig(timeout=10.0)
    rig.start()
    rig.attend()
    rig.now = 3.0
    input = rig.submit()
    assert rig.pool.attention & CONTROL
    rig.attend()
    assert rig.timer == 13.0
    rig.end(input)
    rig.submit()
    assert not rig.pool.attention & CONTROL


def test_a_closed_pool_refuses_with_what_happened() -> None:
    rig = Rig()
    rig.pool.accepting = False
    with pytest.raises(ClosedError, match="function 'f' takes no more inputs"):
        rig.submit()
    assert rig.pool.counts(0.0).arrived == 0


# -- limits --------------------------------------------------------------------------------------


def refusal(rig: Rig, *, spawned: bool = False) -> ResourceExhaustedError:
    arrived = rig.pool.arrived
    with pytest.raises(ResourceExhaustedError, match="Resource Exhausted") as caught:
        rig.submit(spawned=spawned)
    assert arrived == rig.pool.arrived
    return caught.value


def test_one_input_more_than_max_pending_is_refused_s24_s27() -> None:
    rig = Rig(limits=Limits(max_pending=3))
    rig.start()
    running = rig.submit()
    pending = rig.many(3)
    error = refusal(rig)
    assert (3, "max_pending", 3, 1) == (error.limit, error.limit_name, error.pending, error.running)
    assert "function 'f' has 3 pending inputs" in str(error)
    assert [RUNNING, PENDING, PENDING, PENDING] == [input.state for input in [running, *pending]]
    assert rig.pool.counts(0.0).refused == 1


def test_one_input_more_than_max_inputs_in_all_is_refused_s25() -> None:
    rig = Rig(max_inputs=9, limits=Limits(max_inputs=4))
    rig.start()
    rig.many(4)
    error = refusal(rig)
    assert (4, "max_inputs", 0, 4) == (error.limit, error.limit_name, error.pending, error.running)


def test_running_and_pending_inputs_count_together_s25() -> None:
    rig = Rig(limits=Limits(max_inputs=3))
    rig.start()
    rig.many(3)
    assert refusal(rig).limit_name == "max_inputs"


def test_an_input_that_waits_for_its_next_attempt_counts_towards_all_inputs_s25() -> None:
    rig = Rig(retries=3, limits=Limits(max_inputs=2))
    rig.start()
    failed = rig.submit()
    rig.fail(failed)
    assert failed.state == DELAYED
    assert rig.pool.room() == 1
    rig.submit()
    error = refusal(rig)
    assert ("max_inputs", 1, 1) == (error.limit_name, error.pending, error.running)


def test_spawned_inputs_have_an_allowance_of_their_own_s26() -> None:
    rig = Rig(limits=Limits(max_pending=1, max_inputs=1, max_spawned=3))
    rig.submit()
    for _ in range(3):
        rig.spawn()
    error = refusal(rig, spawned=True)
    assert (3, "max_spawned", 4, 0) == (error.limit, error.limit_name, error.pending, error.running)


def test_spawned_inputs_take_nothing_of_the_callers_limits_s26() -> None:
    rig = Rig(limits=Limits(max_pending=2, max_inputs=2, max_spawned=9))
    for _ in range(5):
        rig.spawn()
    rig.many(2)
    assert refusal(rig).limit_name == "max_inputs"


def test_spawned_inputs_that_wait_for_their_next_attempt_count_as_spawned_s26() -> None:
    rig = Rig(retries=3, limits=Limits(max_inputs=1, max_spawned=2))
    rig.start()
    rig.fail(rig.spawn())
    assert rig.pool.room() == 1
    assert [RUNNING, PENDING] == [rig.spawn().state for _ in range(2)]
    assert refusal(rig, spawned=True).limit_name == "max_spawned"


def test_a_refusal_says_when_to_try_again_s27() -> None:
    rig = Rig(limits=Limits(max_pending=4))
    rig.start()
    input = rig.submit()
    rig.now = 2.0
    rig.end(input)
    rig.submit()
    rig.many(4)
    error = refusal(rig)
    # Inputs take 2 s; four stand before the next one behind the one that runs.
    assert error.retry_after == 10.0
    assert "try again in about 10 s" in str(error)


@pytest.mark.parametrize(("service", "retry_after"), [(0.0, 0.01), (1_000.0, 60.0)])
def test_the_time_to_try_again_is_bounded(service: float, retry_after: float) -> None:
    rig = Rig(limits=Limits(max_pending=1))
    rig.start()
    input = rig.submit()
    rig.now = service
    rig.end(input)
    rig.many(2)
    assert refusal(rig).retry_after == retry_after


def test_nothing_is_known_of_the_service_time_so_a_second_is_assumed() -> None:
    rig = Rig(limits=Limits(max_pending=1))
    rig.submit()
    assert refusal(rig).retry_after == 1.0


# -- room ----------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("limits", "expected"),
    [(Limits(max_pending=5, max_inputs=100), 9), (Limits(max_pending=5, max_inputs=6), 6)],
)
def test_room_counts_free_slots_and_places_in_the_backlog(limits: Limits, expected: int) -> None:
    rig = Rig(max_inputs=2, limits=limits)
    rig.start(2)
    assert expected == rig.pool.room()
    rig.many(expected)
    assert rig.pool.room() == 0
    refusal(rig)


def test_no_one_waits_for_room_where_there_is_room() -> None:
    rig = Rig()
    assert not rig.pool.wait_for_room("map")


def full_rig() -> Rig:
    """A pool of one slot that accepts two inputs, and has them."""
    rig = Rig(limits=Limits(max_inputs=2), max_containers=1)
    rig.start()
    rig.many(2)
    rig.attend()
    return rig


def running(rig: Rig) -> Input:
    return next(iter(rig.containers[0].inputs))


def test_who_waits_for_room_is_called_when_an_input_has_ended() -> None:
    rig = full_rig()
    assert rig.pool.wait_for_room("map")
    rig.end(running(rig))
    assert rig.pool.attention & ROOM
    assert ["map"] == rig.pool.take_room_waiters()
    assert not rig.pool.attention & ROOM


def test_who_waits_for_room_is_called_when_a_pending_input_is_cancelled() -> None:
    rig = full_rig()
    pending = rig.pool._backlog._queue[0]
    rig.pool.wait_for_room("map")
    rig.cancel(pending)
    assert ["map"] == rig.pool.take_room_waiters()


def test_who_waits_for_room_is_called_when_a_container_becomes_ready() -> None:
    rig = Rig(limits=Limits(max_pending=1))
    (container,) = rig.ask()
    rig.submit()
    rig.pool.wait_for_room("map")
    rig.ready(container)
    assert ["map"] == rig.pool.take_room_waiters()


def test_who_waits_for_room_is_called_when_a_container_died_with_its_inputs() -> None:
    rig = Rig(max_inputs=2, limits=Limits(max_inputs=2))
    (container,) = rig.start()
    rig.many(2)
    rig.pool.wait_for_room("map")
    rig.exited(container, OSError("killed"))
    assert rig.pool.attention & ROOM
    assert ["map"] == rig.pool.take_room_waiters()


def test_who_waits_for_room_is_called_when_an_input_between_attempts_is_cancelled() -> None:
    rig = Rig(retries=1, limits=Limits(max_inputs=1))
    rig.start()
    input = rig.submit()
    rig.fail(input)
    rig.pool.take_room_waiters()
    assert rig.pool.wait_for_room("map")
    rig.cancel(input)
    assert ["map"] == rig.pool.take_room_waiters()


def test_the_longest_waiting_are_called_and_no_more_than_there_is_room_for() -> None:
    rig = full_rig()
    for waiter in ("a", "b", "c"):
        rig.pool.wait_for_room(waiter)
    assert [] == rig.pool.take_room_waiters()
    rig.end(running(rig))
    assert ["a"] == rig.pool.take_room_waiters()
    rig.end(running(rig))
    assert ["b", "c"] == rig.pool.take_room_waiters()


def test_a_waiter_that_gave_up_is_not_called() -> None:
    rig = full_rig()
    rig.pool.wait_for_room("a")
    rig.pool.wait_for_room("b")
    rig.pool.forget_room_waiter("a")
    rig.end(running(rig))
    assert ["b"] == rig.pool.take_room_waiters()


def test_the_room_of_a_waiter_that_was_called_and_gave_up_goes_to_the_next() -> None:
    rig = Rig(limits=Limits(max_inputs=1))
    rig.start()
    input = rig.submit()
    rig.pool.wait_for_room("a")
    rig.pool.wait_for_room("b")
    rig.end(input)
    assert ["a"] == rig.pool.take_room_waiters()
    rig.pool.forget_room_waiter("a")
    assert rig.pool.attention & ROOM
    assert ["b"] == rig.pool.take_room_waiters()
    rig.pool.forget_room_waiter("b")
    assert not rig.pool.attention & ROOM


def test_a_closed_pool_calls_everybody_so_that_they_learn_of_it() -> None:
    rig = full_rig()
    rig.pool.wait_for_room("a")
    rig.pool.wait_for_room("b")
    rig.tell(fx.Closed())
    assert rig.pool.attention & ROOM
    assert ["a", "b"] == rig.pool.take_room_waiters()


def test_a_draining_pool_lets_a_nested_map_wait_and_an_aborted_one_does_not() -> None:
    rig = full_rig()
    rig.tell(fx.Closed())
    assert rig.pool.wait_for_room("nested")
    rig.end(running(rig))
    assert ["nested"] == rig.pool.take_room_waiters()
    rig.tell(fx.Aborted(ClosedError("closed")))
    rig.pool.limits = Limits(max_inputs=1)
    assert rig.pool.room() == 0
    assert not rig.pool.wait_for_room("nested")


# -- self-deadlock -------------------------------------------------------------------------------


def test_a_function_that_calls_itself_at_its_maximum_is_refused_with_the_chain() -> None:
    rig = Rig(max_containers=1)
    rig.start()
    outer = rig.submit("f")
    with pytest.raises(DeadlockError, match="f -> f") as caught:
        rig.submit("f", parent=outer)
    assert ("f", "f") == caught.value.chain
    assert (0, 1, 0) == (rig.pool.pending, rig.pool.arrived, rig.pool.refused)


def test_a_detour_over_another_function_is_no_way_out() -> None:
    a, b = Rig(max_containers=1), Rig(max_containers=1)
    a.start()
    b.start()
    first = a.submit("a")
    second = b.submit("b", parent=first)
    with pytest.raises(DeadlockError, match="a -> b -> a"):
        a.submit("a", parent=second)


def test_all_slots_of_all_containers_must_be_held_by_ancestors() -> None:
    rig = Rig(max_inputs=2, max_containers=2)
    rig.start(2)
    chain = None
    for _ in range(4):
        chain = rig.submit(parent=chain)
    with pytest.raises(
        DeadlockError, match=r"all its 4 slots are held .* in 2 containers \(max_containers=2\)"
    ):
        rig.submit(parent=chain)


def test_a_slot_held_by_a_stranger_will_become_free() -> None:
    rig = Rig(max_inputs=2, max_containers=1)
    rig.start()
    rig.submit()
    outer = rig.submit()
    assert rig.submit(parent=outer).state == PENDING


@pytest.mark.parametrize("max_containers", [None, 2])
def test_below_the_maximum_a_container_can_be_started(max_containers: int | None) -> None:
    rig = Rig(max_containers=max_containers)
    rig.start()
    outer = rig.submit()
    assert rig.submit(parent=outer).state == PENDING


def test_a_container_under_way_will_bring_a_slot() -> None:
    rig = Rig(max_containers=2)
    rig.start()
    outer = rig.submit()
    (second,) = rig.ask()
    inner = rig.submit(parent=outer)
    assert inner.state == PENDING
    rig.ready(second)
    assert inner.state == RUNNING


def test_a_spawned_input_waits_without_anybody_waiting_for_it() -> None:
    rig = Rig(max_containers=1)
    rig.start()
    outer = rig.submit()
    assert rig.spawn(parent=outer).state == PENDING


def test_who_spawned_an_ancestor_does_not_wait_for_it() -> None:
    f, g = Rig(max_containers=1), Rig(max_containers=1)
    f.start()
    g.start()
    outer = f.submit("f")
    spawned = g.submit("g", parent=outer, spawned=True)
    inner = f.submit("f", parent=spawned)
    assert inner.state == PENDING
    assert inner is f.end(outer)


def test_a_spawned_ancestor_holds_its_own_slot() -> None:
    rig = Rig(max_containers=1)
    rig.start()
    outer = rig.spawn()
    with pytest.raises(DeadlockError):
        rig.submit(parent=outer)


def test_an_ancestor_that_gave_its_slot_back_holds_nothing() -> None:
    rig = Rig(max_containers=1)
    rig.start()
    outer = rig.submit()
    rig.end(outer)
    rig.submit()
    assert rig.submit(parent=outer).state == PENDING


def test_a_cancelled_ancestor_still_holds_its_slot_until_its_work_returns() -> None:
    rig = Rig(max_containers=1, policy=Passive())
    rig.start()
    outer = rig.submit()
    rig.cancel(outer)
    assert outer.state == CANCELLED
    with pytest.raises(DeadlockError):
        rig.submit(parent=outer)


def test_an_ancestor_in_a_draining_container_does_not_count() -> None:
    rig = Rig(max_containers=2, max_inputs=2)
    rig.start(2)
    outer = rig.submit()
    other = next(container for container in rig.containers if container is not outer.container)
    rig.submit()
    rig.many(2)
    rig.change(max_containers=1)
    assert [Phase.DRAINING] == [c.phase for c in rig.containers if c.phase is not Phase.READY]
    assert other.phase in (Phase.DRAINING, Phase.READY)
    assert rig.submit(parent=outer).state == PENDING


def test_what_the_pool_asks_for_is_finite() -> None:
    rig = Rig()
    rig.many(3)
    rig.attend()
    assert rig.pool.attention == 0
    assert rig.wake_at is None or math.isfinite(rig.wake_at)


def test_an_input_takes_a_free_slot_although_others_are_set_aside_for_another_container() -> None:
    rig = Rig()
    rig.start(2)
    first, second = rig.submit(), rig.submit()
    ahead = rig.submit()
    assert first.container is not None
    assert [ahead] == rig.pool.look_ahead(first.container, 1)
    place = second.container
    assert rig.end(second) is None
    assert place is rig.submit().container
    assert (PENDING, first.container) == (ahead.state, ahead.container)

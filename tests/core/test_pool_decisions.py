# SPDX-License-Identifier: Apache-2.0
"""Decisions and settings: whatever a policy says, the contract holds; and when it is asked again."""

from __future__ import annotations

from actorpool._core import _effects as fx
from actorpool._core._admission import CONTROL, SCALING
from actorpool._core._config import Restart
from actorpool._core._container import Container, Phase
from actorpool._core._input import PENDING, RUNNING
from actorpool._core._scaling import Decision
from tests.core.pools import Passive, Rig


def started(effects: list[fx.Effect]) -> list[Container]:
    return [effect.container for effect in effects if isinstance(effect, fx.StartContainer)]


def stopped(effects: list[fx.Effect]) -> list[Container]:
    return [effect.container for effect in effects if isinstance(effect, fx.StopContainer)]


# -- what a decision may do ----------------------------------------------------------------------


def test_a_decision_starts_containers() -> None:
    rig = Rig(policy=Passive())
    assert [1, 2, 3] == [container.number for container in started(rig.decide(start=3))]
    assert (3, 0) == (rig.pool.size, rig.pool.overruled)


def test_a_decision_never_starts_more_than_the_maximum_s10() -> None:
    rig = Rig(policy=Passive(), max_containers=2)
    assert len(started(rig.decide(start=5))) == 2
    assert rig.pool.overruled == 1
    assert [] == started(rig.decide(start=1))


def test_the_minimum_is_started_whatever_a_decision_says_s11() -> None:
    rig = Rig(policy=Passive(), min_containers=2)
    assert rig.pool.attention & SCALING
    assert len(started(rig.decide())) == 2
    assert rig.pool.overruled == 1


def test_demand_never_waits_for_nobody_whatever_a_decision_says() -> None:
    rig = Rig(policy=Passive())
    rig.submit()
    assert len(started(rig.decide())) == 1


def test_the_last_start_is_not_called_off_while_inputs_are_pending() -> None:
    rig = Rig(policy=Passive())
    rig.submit()
    containers = rig.ask(3)
    assert [containers[2], containers[1]] == stopped(rig.decide(cancel=3))
    assert rig.pool.size == 1


def test_one_decision_starts_a_wave_and_the_next_look_follows_at_once() -> None:
    rig = Rig(policy=Passive())
    assert len(started(rig.decide(start=100))) == 64
    assert rig.pool.attention & SCALING


def test_a_wave_stops_when_its_backlog_has_gone() -> None:
    rig = Rig()
    inputs = rig.many(100)
    rig.look()
    rig.now = 0.125
    rig.look()
    for input in inputs:
        rig.cancel(input)
    rig.attend()
    assert (8 + 64, 0) == (len(rig.containers), rig.pool.size)


def test_a_decision_calls_off_the_latest_starts() -> None:
    rig = Rig(policy=Passive())
    first, second, third = rig.ask(3)
    assert [third, second] == stopped(rig.decide(cancel=2))
    assert [Phase.STARTING] == [first.phase]


def test_starts_are_not_called_off_below_the_minimum_s11() -> None:
    rig = Rig(policy=Passive(), min_containers=2)
    rig.ask(3)
    assert len(stopped(rig.decide(cancel=3))) == 1


def test_a_decision_stops_the_longest_idle_containers() -> None:
    rig = Rig(policy=Passive())
    first, second, _ = rig.start(3)
    assert [first, second] == stopped(rig.decide(stop=2))
    assert rig.pool.attention & SCALING


def test_idle_containers_are_not_stopped_below_the_minimum_s11() -> None:
    rig = Rig(policy=Passive(), min_containers=2)
    rig.start(3)
    assert len(stopped(rig.decide(stop=3))) == 1
    assert rig.pool.overruled == 1


def test_a_busy_container_is_never_stopped_by_a_decision() -> None:
    rig = Rig(policy=Passive())
    rig.start(2)
    rig.many(2)
    assert [] == stopped(rig.decide(stop=2))
    assert {Phase.READY} == {container.phase for container in rig.containers}


def test_an_idle_container_stops_after_its_window_whatever_a_decision_says_s13() -> None:
    rig = Rig(policy=Passive(), scaledown_window=10.0)
    rig.start(2)
    rig.now = 9.75
    assert [] == stopped(rig.decide())
    rig.now = 10.0
    assert rig.containers == stopped(rig.decide())
    assert rig.pool.overruled == 1


def test_overdue_containers_and_those_a_decision_names_are_not_added_up_s13() -> None:
    rig = Rig(policy=Passive(), scaledown_window=10.0)
    first, second = rig.start(2)
    rig.now = 5.0
    third, fourth = rig.start(2)
    rig.now = 10.0
    assert [first, second] == stopped(rig.decide(stop=1))
    assert [third] == stopped(rig.decide(stop=1))
    assert fourth.phase is Phase.READY


def test_overdue_containers_stay_for_the_minimum_and_for_the_buffer_s11_s12() -> None:
    rig = Rig(policy=Passive(), scaledown_window=10.0, min_containers=1, buffer_containers=2)
    rig.start(5)
    rig.submit()
    rig.now = 50.0
    # One is busy, two are the buffer.
    assert len(stopped(rig.decide())) == 2
    assert rig.pool.size == 3


def test_an_overdue_container_is_not_kept_by_replacing_the_others_s13() -> None:
    rig = Rig(policy=Passive(), scaledown_window=10.0, min_containers=1)
    (idle,) = rig.start()
    (other,) = rig.ask()
    rig.now = 10.0
    assert [other, idle] == stopped(rig.decide(start=1, cancel=1))
    assert rig.pool.size == 1


def test_a_decision_of_negative_numbers_does_nothing() -> None:
    rig = Rig(policy=Passive())
    rig.ask(2)
    rig.start(2)
    assert [] == rig.decide(start=-3, cancel=-3, stop=-3)
    assert rig.pool.size == 4


def test_nothing_is_started_during_a_back_off() -> None:
    rig = Rig(policy=Passive(), restart=Restart(initial_delay_s=2.0))
    (container,) = rig.ask()
    rig.fail_start(container)
    rig.now = 1.75
    assert [] == started(rig.decide(start=1))
    rig.now = 2.0
    assert len(started(rig.decide(start=1))) == 1


# -- changed settings ----------------------------------------------------------------------------


def test_a_lower_maximum_calls_off_starts_then_stops_idle_then_drains_busy_containers_s15() -> None:
    rig = Rig(policy=Passive(), max_inputs=2)
    idle, light, heavy = rig.start(3)
    rig.many(2)
    light_input = rig.submit()
    assert (light_input.container, len(heavy.inputs)) == (light, 2)
    early, late = rig.ask(2)
    assert [late] == stopped(rig.change(max_containers=4))
    assert [early] == stopped(rig.change(max_containers=3))
    assert [idle] == stopped(rig.change(max_containers=2))
    assert [] == rig.change(max_containers=1)
    assert (Phase.DRAINING, Phase.READY) == (light.phase, heavy.phase)
    assert rig.pool.size == 1


def test_a_container_drained_for_the_maximum_finishes_and_then_stops_s15() -> None:
    rig = Rig(policy=Passive())
    rig.start(2)
    rig.many(2)
    rig.change(max_containers=1)
    (draining,) = rig.in_phase(Phase.DRAINING)
    (input,) = draining.inputs
    pending = rig.submit()
    assert rig.end(input) is None
    assert [draining] == stopped(rig.tick())
    assert pending.state == PENDING


def test_no_maximum_stops_nothing() -> None:
    rig = Rig(policy=Passive(), max_containers=2)
    rig.start(2)
    assert [] == rig.change()


def test_changed_settings_let_the_policy_look_s15() -> None:
    rig = Rig()
    rig.attend()
    rig.change(min_containers=3)
    rig.attend()
    assert rig.pool.size == 3
    rig.change(min_containers=1)
    rig.attend()
    assert rig.pool.size == 1


def test_a_shorter_window_counts_from_when_a_container_fell_idle_s13() -> None:
    rig = Rig(scaledown_window=60.0)
    rig.start()
    rig.advance(20.0)
    rig.change(scaledown_window=20.0)
    rig.attend()
    assert rig.pool.size == 0


# -- when the policy is asked again --------------------------------------------------------------


def test_at_the_maximum_further_inputs_do_not_wake_the_policy_s10() -> None:
    rig = Rig(max_containers=1)
    rig.start()
    rig.attend()
    rig.many(100)
    assert not rig.pool.attention & SCALING


def test_inputs_that_find_free_capacity_do_not_wake_the_policy() -> None:
    rig = Rig(max_inputs=10)
    rig.start(2)
    rig.attend()
    inputs = rig.many(20)
    assert not rig.pool.attention & SCALING
    for input in inputs[1:]:
        rig.end(input)
    rig.attend()
    looks = rig.looks
    for _ in range(100):
        rig.end(rig.submit())
    rig.attend()
    assert looks == rig.looks


def test_a_container_that_falls_idle_wakes_the_policy_once_for_its_window() -> None:
    rig = Rig(scaledown_window=10.0)
    rig.start()
    rig.end(rig.submit())
    rig.attend()
    looks = rig.looks
    assert rig.wake_at == 10.0
    for _ in range(10):
        rig.now += 0.25
        rig.end(rig.submit())
        rig.attend()
    assert looks == rig.looks


def test_containers_held_by_the_minimum_may_fall_idle_without_waking_the_policy_s11() -> None:
    rig = Rig(min_containers=2)
    rig.start(2)
    rig.attend()
    looks = rig.looks
    for _ in range(10):
        rig.end(rig.submit())
    rig.attend()
    assert (looks, None) == (rig.looks, rig.wake_at)


def test_the_function_falling_idle_wakes_the_policy_if_there_is_a_buffer_s12() -> None:
    rig = Rig(buffer_containers=1, min_containers=2, max_containers=4)
    rig.start(2)
    first, second = rig.many(2)
    for container in rig.ask(2):
        rig.ready(container)
    rig.attend()
    rig.end(first)
    assert not rig.pool.attention & SCALING
    rig.end(second)
    assert rig.pool.attention & SCALING


def test_work_stuck_in_a_draining_container_does_not_hide_that_the_function_fell_idle_s12() -> None:
    rig = Rig(buffer_containers=1, max_inputs=2, recycle_after=2)
    (recycled,) = rig.start()
    _stuck, first = rig.many(2)
    rig.end(first)
    rig.end(rig.submit())
    assert (Phase.DRAINING, 1) == (recycled.phase, rig.pool.running)
    input = rig.submit()
    rig.attend()
    for container in rig.in_phase(Phase.STARTING):
        rig.ready(container)
    rig.attend()
    rig.end(input)
    assert rig.pool.attention & SCALING


def test_a_backlog_held_back_is_looked_at_when_it_has_doubled() -> None:
    rig = Rig(startup_hint_s=1.0)
    (container,) = rig.ask()
    rig.now = 1.0
    rig.ready(container)
    inputs = rig.many(1)
    rig.now += 2**-10
    rig.end(inputs[0])
    rig.attend()
    rig.many(4)
    assert rig.look().held
    rig.many(3)
    assert not rig.pool.attention & SCALING
    rig.submit()
    assert rig.pool.attention & SCALING


def test_inputs_that_came_while_the_policy_was_deciding_are_looked_at() -> None:
    rig = Rig()
    rig.submit()
    seen = rig.pool.snapshot(0.0)
    rig.many(2)
    rig.tell(fx.Decided(rig.policy.decide(seen), seen))
    assert rig.pool.attention & SCALING
    rig.attend()
    assert rig.pool.size == 3


def test_a_burst_that_came_while_starts_were_being_called_off_is_looked_at_s23() -> None:
    rig = Rig(max_inputs=4, target_inputs=2)
    rig.start()
    rig.many(2)
    rig.ask()
    seen = rig.pool.snapshot(0.0)
    rig.submit()
    assert not rig.pool.attention & SCALING
    rig.tell(fx.Decided(Decision(cancel=1), seen))
    assert rig.pool.size == 1
    rig.attend()
    assert rig.pool.size == 2


def test_a_container_that_fell_idle_while_the_policy_was_deciding_still_stops_s03() -> None:
    rig = Rig(scaledown_window=10.0)
    rig.start(2)
    first, second = rig.many(2)
    rig.end(first)
    rig.attend()
    assert rig.wake_at == 10.0
    # Both are busy at this look, so it names no instant; then one falls idle, before the decision arrives.
    again = rig.submit()
    seen = rig.pool.snapshot(0.0)
    decision = rig.policy.decide(seen)
    assert decision.wake_at is None
    rig.end(again)
    rig.end(second)
    rig.tell(fx.Decided(decision, seen))
    rig.wake_at = None
    rig.advance(10.0)
    assert rig.pool.size == 0


def test_idle_containers_stop_although_the_policy_never_asks_to_be_woken_s13() -> None:
    rig = Rig(policy=Passive(), scaledown_window=10.0)
    rig.start(2)
    rig.advance(5.0)
    rig.end(rig.submit())
    rig.advance(5.0)
    assert rig.pool.size == 1
    rig.advance(5.0)
    assert rig.pool.size == 0
    assert rig.timer is None


def test_what_the_buffer_holds_is_looked_at_now_and_then_whatever_the_policy_s12() -> None:
    rig = Rig(policy=Passive(), scaledown_window=10.0, buffer_containers=1, max_inputs=2, target_inputs=1)
    rig.start(3)
    first, second = rig.many(2)
    assert {RUNNING} == {first.state, second.state}
    rig.advance(25.0)
    assert rig.pool.size == 3
    looks = rig.looks
    rig.advance(25.0)
    assert looks < rig.looks <= looks + 4
    rig.end(first)
    rig.advance(20.0)
    assert rig.pool.size == 2


# -- ticks ---------------------------------------------------------------------------------------


def test_a_tick_meets_the_request_for_it() -> None:
    rig = Rig(timeout=10.0)
    rig.start()
    rig.submit()
    assert rig.pool.attention & CONTROL
    assert [] == rig.tick()
    assert not rig.pool.attention & CONTROL


def test_ticks_between_deadlines_do_nothing() -> None:
    rig = Rig(timeout=10.0, retries=1)
    rig.start(2)
    first, second = rig.many(2)
    rig.fail(first)
    rig.advance(0.5)
    counts = rig.pool.counts(0.5)
    for _ in range(3):
        assert [] == rig.tick()
    assert (counts, RUNNING) == (rig.pool.counts(0.5), second.state)


def test_the_end_of_a_back_off_lets_the_policy_look() -> None:
    rig = Rig(policy=Passive(), restart=Restart(initial_delay_s=2.0))
    (container,) = rig.ask()
    rig.fail_start(container)
    rig.attend()
    assert rig.timer == 2.0
    rig.now = 2.0
    rig.tick()
    assert rig.pool.attention & SCALING


def test_a_pool_in_which_nothing_is_due_has_no_next_tick() -> None:
    rig = Rig(timeout=1.0, retries=1)
    rig.attend()
    assert rig.pool.next_tick() is None


def test_the_counts_say_what_there_is() -> None:
    rig = Rig(policy=Passive(), max_inputs=2, scaledown_window=100.0)
    rig.start(3)
    rig.many(3)
    rig.change(max_containers=1)
    rig.change(max_containers=3)
    rig.ask()
    rig.now = 8.0
    counts = rig.pool.counts(8.0)
    assert (4, 1, 1, 0, 2) == (counts.containers, counts.starting, counts.ready, counts.idle, counts.draining)
    assert (3, 0, 3, 4) == (counts.running, counts.free_slots, counts.arrived, counts.starts)
    assert counts.container_seconds == 32.0


def test_a_snapshot_meets_the_request_for_a_look() -> None:
    rig = Rig()
    rig.submit()
    seen = rig.pool.snapshot(0.0)
    assert not rig.pool.attention & SCALING
    assert (1, 0, 0, 1) == (seen.pending, seen.running, seen.ready, seen.arrived)
    assert Decision() == Passive().decide(seen)


def test_a_snapshot_says_how_long_nothing_has_ended() -> None:
    rig = Rig()
    rig.start()
    rig.now = 10.0
    assert rig.pool.snapshot(10.0).quiet_s == 0.0
    input = rig.submit()
    assert rig.pool.snapshot(12.0).quiet_s == 2.0
    rig.now = 13.0
    rig.submit()
    rig.end(input)
    assert rig.pool.snapshot(14.0).quiet_s == 1.0

# SPDX-License-Identifier: Apache-2.0
"""WindowPolicy: predictable from the settings alone."""

from __future__ import annotations

import math
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from actorpool._core._config import AutoscalerSettings
from actorpool._core._container import Phase
from actorpool._core._scaling import Decision, Snapshot, WindowPolicy
from actorpool.exception import InvalidError
from tests.core.pools import Rig

SETTINGS = ("min_containers", "max_containers", "buffer_containers", "scaledown_window")


def seen(**changes: Any) -> Snapshot:
    """What a policy sees: an empty pool at second 1000, with these changes."""
    settings = AutoscalerSettings(**{name: changes.pop(name) for name in SETTINGS if name in changes})
    values: dict[str, Any] = {
        "now": 1000.0,
        "target_inputs": 1,
        "max_inputs": changes.get("target_inputs", 1),
        "ready": 0,
        "starting": 0,
        "idle": 0,
        "expired": 0,
        "running": 0,
        "pending": 0,
        "oldest_idle_since": None,
        "service_s": None,
        "startup_s": 0.0,
        "quiet_s": 0.0,
        "arrived": 0,
    }
    return Snapshot(settings=settings, **(values | changes))


def decide(**changes: Any) -> Decision:
    return WindowPolicy().decide(seen(**changes))


# -- starting ------------------------------------------------------------------------------------


def test_an_input_without_free_capacity_starts_a_container_at_once_s02() -> None:
    decision = decide(pending=1)
    assert (1, "1 container for 1 input, have 0") == (decision.start, decision.reason)


def test_a_hundred_inputs_of_unknown_length_start_a_hundred_containers_within_a_millisecond_s02() -> None:
    first = decide(pending=100)
    assert (8, True, 1000.001) == (first.start, first.held, first.wake_at)
    again = decide(pending=100, starting=8, oldest_start_since=999.9998)
    assert (0, True) == (again.start, again.held)
    assert decide(pending=100, starting=8, oldest_start_since=999.999).start == 92
    assert decide(pending=92, ready=8, running=8, quiet_s=0.001).start == 92


def test_the_trial_is_of_as_many_containers_whatever_their_slots() -> None:
    assert decide(pending=1_000, target_inputs=10).start == 8
    assert decide(pending=80, target_inputs=10).start == 8
    assert decide(pending=1_000, max_containers=3).start == 3


def test_a_first_burst_of_short_inputs_starts_few_containers() -> None:
    rig = Rig()
    inputs = rig.many(1_000)
    rig.attend()
    for container in rig.containers:
        rig.ready(container)
    while inputs:
        rig.now += 2**-20
        running = [input for input in inputs if input.container is not None]
        for input in running:
            rig.end(input)
        inputs = [input for input in inputs if not input.done]
        rig.attend()
    assert len(rig.containers) <= 9


def test_an_empty_pool_without_inputs_is_left_alone_s04() -> None:
    assert Decision(reason="enough") == decide()


def test_starts_under_way_count_as_capacity() -> None:
    assert decide(pending=3, starting=2).start == 1
    assert decide(pending=3, starting=3).start == 0


def test_one_container_is_started_for_each_target_of_inputs_s23() -> None:
    assert decide(pending=101, target_inputs=100, max_inputs=120).start == 2


def test_a_burst_above_target_starts_a_container_although_nothing_is_pending_s23() -> None:
    assert decide(ready=1, running=101, target_inputs=100, max_inputs=120).start == 1
    assert decide(ready=1, running=100, target_inputs=100, max_inputs=120).start == 0


def test_never_more_than_the_maximum_s10() -> None:
    assert decide(pending=100, max_containers=3).start == 3
    assert decide(pending=100, ready=3, running=3, max_containers=3).start == 0


def test_the_minimum_is_started_without_any_input_s11() -> None:
    assert decide(min_containers=2).start == 2
    assert decide(min_containers=2, ready=1, starting=1, idle=1).start == 0


def test_the_buffer_is_kept_beyond_what_is_needed_while_there_are_inputs_s12() -> None:
    assert decide(ready=1, running=1, buffer_containers=5).start == 5
    assert decide(ready=1, running=1, starting=5, buffer_containers=5).start == 0


def test_the_buffer_is_not_kept_for_an_idle_function_s12() -> None:
    assert decide(buffer_containers=5).start == 0


def test_the_buffer_ends_at_the_maximum_s12() -> None:
    assert decide(ready=1, running=1, buffer_containers=5, max_containers=3).start == 2


# -- costing a backlog ---------------------------------------------------------------------------


def test_a_hundred_inputs_of_a_second_start_a_hundred_containers() -> None:
    assert decide(pending=99, ready=1, running=1, service_s=1.0, startup_s=0.01).start == 99


@pytest.mark.parametrize("ready", [0, 1])
def test_a_thousand_inputs_of_a_microsecond_do_not_start_hundreds(ready: int) -> None:
    decision = decide(pending=1_000, ready=ready, running=ready, service_s=1e-6, startup_s=20e-6)
    assert decision.start <= 1
    assert decision.held


@pytest.mark.parametrize("startup_s", [0.0, 20e-6, 0.01, 0.3, 5.0])
def test_a_cold_pool_that_knows_its_inputs_are_short_starts_few_containers(startup_s: float) -> None:
    assert decide(pending=1_000, service_s=1e-6, startup_s=startup_s).start == 1


@pytest.mark.parametrize("startup_s", [0.01, 0.3, 5.0])
def test_a_backlog_that_running_slots_will_have_drained_in_a_moment_starts_nothing(startup_s: float) -> None:
    decision = decide(pending=9, ready=1, running=1, service_s=0.001, startup_s=startup_s)
    assert (0, True, "backlog left to the running slots") == (decision.start, decision.held, decision.reason)


def test_a_backlog_that_would_wait_noticeably_starts_a_container_for_each_input() -> None:
    assert decide(pending=9, ready=1, running=1, service_s=0.1, startup_s=1.0).start == 9


def test_what_running_slots_will_not_drain_in_a_moment_starts_what_it_keeps_busy_for_another() -> None:
    # Ten slots drain 100 in the 10 ms; the other 100 are ten containers' work for 10 ms more.
    assert decide(pending=200, ready=10, running=10, service_s=0.001, startup_s=1.0).start == 10


def test_a_backlog_held_back_is_looked_at_again_when_it_should_have_moved() -> None:
    assert decide(pending=9, ready=1, running=1, service_s=0.001, startup_s=1.0).wake_at == 1000.01
    assert decide(pending=9, ready=9, running=9, service_s=0.0, startup_s=0.0).wake_at == 1000.001


def test_at_the_maximum_a_backlog_is_no_reason_to_look_again_s10() -> None:
    decision = decide(pending=999, ready=2, running=2, service_s=1e-6, max_containers=2)
    assert (0, False, None) == (decision.start, decision.held, decision.wake_at)


def test_inputs_that_take_longer_than_they_used_to_are_believed() -> None:
    assert decide(pending=9, ready=1, running=1, service_s=0.001, startup_s=1.0, quiet_s=0.5).start == 9


def test_demand_never_waits_for_nobody_whatever_the_estimates_say() -> None:
    assert decide(pending=1, service_s=0.0).start == 1


def test_a_backlog_covered_by_the_buffer_is_not_held_back() -> None:
    decision = decide(pending=9, ready=1, running=1, service_s=0.001, startup_s=1.0, buffer_containers=1)
    assert (10, False) == (decision.start, decision.held)


def test_the_work_that_makes_a_container_worthwhile_can_be_chosen() -> None:
    snapshot = seen(pending=1_000, ready=1, running=1, service_s=1e-6)
    assert WindowPolicy(worthwhile_s=10e-6).decide(snapshot).start == 100
    with pytest.raises(InvalidError, match="worthwhile_s"):
        WindowPolicy(worthwhile_s=0.0)


# -- stopping ------------------------------------------------------------------------------------


def test_starts_whose_backlog_has_gone_are_called_off_save_as_many_again_and_ten() -> None:
    decision = decide(ready=1, running=1, starting=15)
    assert (4, 0) == (decision.cancel, decision.stop)
    assert decision.reason == "1 container for 1 input, have 16: call off 4 starts"
    assert decide(ready=1, running=1, starting=11).cancel == 0
    assert decide(ready=5, running=5, starting=30).cancel == 15


def test_starts_for_nobody_in_a_pool_that_has_not_run_anything_are_called_off() -> None:
    assert decide(starting=4).cancel == 4
    assert decide(starting=4, service_s=1.0).cancel == 0


def test_starts_are_not_called_off_while_inputs_are_pending() -> None:
    assert decide(ready=1, running=1, starting=4, pending=1).cancel == 0


def test_starts_for_the_minimum_and_the_buffer_are_not_called_off() -> None:
    assert decide(starting=4, min_containers=3).cancel == 1
    assert decide(ready=1, running=1, starting=16, buffer_containers=2).cancel == 1


def test_a_container_is_stopped_when_its_window_has_passed_s03() -> None:
    decision = decide(ready=3, idle=3, expired=2, oldest_idle_since=900.0)
    assert (0, 2) == (decision.start, decision.stop)
    assert decision.reason == "0 containers for 0 inputs, have 3: stop 2 idle"


def test_the_minimum_stays_however_long_it_idles_s11() -> None:
    decision = decide(ready=3, idle=3, expired=3, oldest_idle_since=900.0, min_containers=2)
    assert decision.stop == 1
    kept = decide(ready=2, idle=2, expired=2, oldest_idle_since=900.0, min_containers=2)
    assert (0, None) == (kept.stop, kept.wake_at)


def test_the_buffer_stays_while_there_are_inputs_s12() -> None:
    state = {"ready": 3, "idle": 2, "expired": 2, "oldest_idle_since": 900.0, "buffer_containers": 1}
    assert decide(running=1, **state).stop == 1


def test_the_policy_looks_again_when_the_window_of_an_idle_container_ends_s13() -> None:
    assert (
        decide(ready=2, idle=1, running=1, oldest_idle_since=990.0, scaledown_window=60.0).wake_at == 1050.0
    )


def test_what_the_buffer_holds_is_looked_at_now_and_then_s12() -> None:
    decision = decide(
        ready=2, idle=1, running=1, oldest_idle_since=900.0, buffer_containers=1, scaledown_window=60.0
    )
    assert (0, 1060.0) == (decision.stop, decision.wake_at)


# -- a pool under it -----------------------------------------------------------------------------


def test_a_function_scales_to_zero_after_exactly_the_window_s03_s04() -> None:
    rig = Rig(scaledown_window=60.0)
    input = rig.submit()
    rig.attend()
    (container,) = rig.containers
    rig.ready(container)
    rig.advance(5.0)
    rig.end(input)
    rig.advance(59.75)
    assert [container] == rig.in_phase(Phase.READY)
    rig.advance(0.25)
    assert [container] == rig.in_phase(Phase.STOPPING)
    assert rig.pool.size == 0


def test_each_container_has_a_window_of_its_own_s03() -> None:
    rig = Rig(scaledown_window=60.0)
    inputs = rig.many(3)
    rig.attend()
    for container in rig.containers:
        rig.ready(container)
    for input in inputs:
        rig.advance(10.0)
        rig.end(input)
    sizes = []
    for _ in range(4):
        sizes.append(rig.pool.size)
        rig.advance(30.0 if len(sizes) == 1 else 10.0)
    rig.advance(10.0)
    assert [3, 3, 2, 1] == sizes
    assert rig.pool.size == 0


def test_the_last_used_container_is_used_again_so_that_the_others_fall_idle_s03() -> None:
    rig = Rig(scaledown_window=60.0)
    rig.start(3)
    for _ in range(12):
        input = rig.submit()
        rig.advance(5.0)
        rig.end(input)
    assert rig.pool.size == 1


def test_the_buffer_goes_a_window_after_the_function_fell_idle_s12() -> None:
    rig = Rig(scaledown_window=60.0, buffer_containers=2)
    input = rig.submit()
    rig.attend()
    for container in rig.containers:
        rig.ready(container)
    rig.advance(600.0)
    assert rig.pool.size == 3
    rig.end(input)
    # The two of the buffer have idled for long enough; the third falls idle only now.
    rig.attend()
    assert rig.pool.size == 1
    rig.advance(60.0)
    assert rig.pool.size == 0


def test_starts_are_called_off_when_the_running_slots_have_drained_the_backlog() -> None:
    rig = Rig()
    rig.start()
    rig.end(rig.submit())
    rig.ask(24)
    running, *_ = rig.many(10)
    rig.attend()
    while rig.pool.pending:
        assert len(rig.in_phase(Phase.STARTING)) == 24
        following = rig.end(running)
        assert following is not None
        running = following
        rig.attend()
    assert (1, 11) == (rig.pool.running, len(rig.in_phase(Phase.STARTING)))


def test_starts_are_called_off_when_the_backlog_was_cancelled_beside_a_running_input() -> None:
    rig = Rig()
    rig.start()
    rig.submit()
    rig.ask(24)
    pending = rig.many(9)
    rig.attend()
    for input in pending:
        assert len(rig.in_phase(Phase.STARTING)) == 24
        rig.cancel(input)
        rig.attend()
    assert 11 == len(rig.in_phase(Phase.STARTING))


def test_the_policy_is_never_overruled() -> None:
    rig = Rig(min_containers=1, max_containers=4, buffer_containers=1, scaledown_window=8.0)
    inputs = rig.many(9)
    for _ in range(20):
        rig.advance(1.0)
        for container in rig.in_phase(Phase.STARTING):
            rig.ready(container)
        for input in inputs:
            if input.container is not None and not input.done:
                rig.end(input)
    rig.advance(60.0)
    assert (1, 0) == (rig.pool.size, rig.pool.overruled)


# -- for any snapshot ----------------------------------------------------------------------------


@st.composite
def snapshots(draw: st.DrawFn) -> Snapshot:
    count = st.integers(0, 50)
    minimum = draw(st.integers(0, 5))
    maximum = draw(st.none() | st.integers(max(1, minimum), 60))
    seconds = st.sampled_from([0.0, 1e-6, 0.001, 0.1, 1.0, 60.0, 3600.0])
    window = draw(st.sampled_from([0.5, 60.0]))
    max_inputs = draw(st.integers(1, 10))
    target = draw(st.integers(1, max_inputs))
    ready = draw(count)
    idle = draw(st.integers(0, ready))
    pending = 0 if idle else draw(st.integers(0, 2_000))
    busy = ready - idle
    running = busy * max_inputs if pending else draw(st.integers(busy, busy * max_inputs))
    expired = draw(st.integers(0, idle))
    age = draw(st.floats(window, 1e4)) if expired else draw(st.floats(0, window, exclude_max=True))
    return seen(
        min_containers=minimum,
        max_containers=maximum,
        buffer_containers=draw(st.integers(0, 5)),
        scaledown_window=window,
        now=1e6,
        target_inputs=target,
        max_inputs=max_inputs,
        ready=ready,
        starting=draw(count),
        idle=idle,
        expired=expired,
        running=running,
        pending=pending,
        oldest_idle_since=1e6 - age if idle else None,
        service_s=draw(st.none() | seconds),
        startup_s=draw(seconds),
        quiet_s=draw(seconds),
    )


@given(snapshots())
def test_any_decision_keeps_the_contract(s: Snapshot) -> None:
    decision = WindowPolicy().decide(s)
    settings = s.settings
    maximum = math.inf if settings.max_containers is None else settings.max_containers
    count = s.ready + s.starting
    after = count + decision.start - decision.cancel - decision.stop
    demand = s.running + s.pending
    assert 0 <= decision.start <= max(0, maximum - count)
    assert 0 <= decision.cancel <= s.starting
    assert 0 <= decision.stop <= s.expired
    assert not (decision.start and (decision.stop or decision.cancel))
    assert after >= min(count, settings.min_containers) or decision.start
    assert after >= settings.min_containers
    assert not demand or after >= 1
    if demand and settings.buffer_containers:
        assert after >= min(maximum, math.ceil(demand / s.target_inputs) + settings.buffer_containers)
    assert decision.wake_at is None or s.now < decision.wake_at < math.inf
    assert not decision.held or (decision.wake_at is not None and s.pending)
    # Once what was decided is done, a second look at the same instant wants nothing more.
    done = seen(
        now=s.now,
        target_inputs=s.target_inputs,
        max_inputs=s.max_inputs,
        ready=s.ready - decision.stop,
        starting=s.starting + decision.start - decision.cancel,
        idle=s.idle - decision.stop,
        expired=s.expired - decision.stop,
        running=s.running,
        pending=s.pending,
        oldest_idle_since=None,
        service_s=s.service_s,
        startup_s=s.startup_s,
        quiet_s=s.quiet_s,
        min_containers=settings.min_containers,
        max_containers=settings.max_containers,
        buffer_containers=settings.buffer_containers,
        scaledown_window=settings.scaledown_window,
    )
    again = WindowPolicy().decide(done)
    assert (0, 0, 0) == (again.start, again.cancel, again.stop)

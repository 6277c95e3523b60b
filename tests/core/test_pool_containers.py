# SPDX-License-Identifier: Apache-2.0
"""Containers: they become ready, fail to start, die, are recycled and make way."""

from __future__ import annotations

import pytest

from actorpool._core import _effects as fx
from actorpool._core._admission import CONTROL, SCALING
from actorpool._core._config import Restart
from actorpool._core._container import Container, Phase
from actorpool._core._input import CANCELLED, DELAYED, FAILED, PENDING, RUNNING, Input
from actorpool.exception import ContainerStartError, RemoteError
from tests.core.pools import Passive, Rig


def stopped(effects: list[fx.Effect]) -> list[Container]:
    return [effect.container for effect in effects if isinstance(effect, fx.StopContainer)]


# -- becoming ready ------------------------------------------------------------------------------


def test_a_container_that_becomes_ready_takes_the_oldest_pending_inputs() -> None:
    rig = Rig(max_inputs=2)
    inputs = rig.many(3)
    (container,) = rig.ask()
    rig.now = 4.0
    assert [fx.Deliver(container, (inputs[0], inputs[1]))] == rig.ready(container)
    assert {inputs[0]: 4.0, inputs[1]: 4.0} == container.inputs
    assert [RUNNING, RUNNING, PENDING] == [input.state for input in inputs]


def test_a_container_that_becomes_ready_for_nobody_is_idle_from_then_on() -> None:
    rig = Rig()
    (container,) = rig.ask()
    rig.now = 4.0
    assert [] == rig.ready(container)
    assert (4.0, 1, 1) == (container.idle_since, rig.pool.counts(4.0).idle, rig.pool.free_slots)


def test_startup_times_are_learnt() -> None:
    rig = Rig(startup_hint_s=9.0)
    assert rig.pool.snapshot(0.0).startup_s == 9.0
    (container,) = rig.ask()
    rig.now = 4.0
    rig.ready(container)
    assert rig.pool.snapshot(4.0).startup_s == 4.0


def test_a_start_called_off_in_the_moment_of_its_success_takes_nothing() -> None:
    rig = Rig(policy=Passive())
    (container,) = rig.ask()
    assert [container] == stopped(rig.decide(cancel=1))
    input = rig.submit()
    assert [] == rig.ready(container)
    assert (Phase.STOPPING, PENDING) == (container.phase, input.state)
    rig.exited(container)
    assert (Phase.STOPPED, []) == (container.phase, rig.pool.containers())


# -- failing to start ----------------------------------------------------------------------------


def fail_starts(rig: Rig, times: int, error: BaseException | None = None) -> None:
    """Let the next start fail, `times` times in a row, each after its back-off."""
    for _ in range(times):
        rig.attend()
        if not rig.in_phase(Phase.STARTING):
            assert rig.timer is not None
            rig.advance(rig.timer - rig.now)
        (container,) = rig.in_phase(Phase.STARTING)
        rig.fail_start(container, error)


def test_a_failed_start_is_repeated_after_a_pause() -> None:
    rig = Rig(restart=Restart(initial_delay_s=0.5))
    rig.submit()
    fail_starts(rig, 1)
    rig.advance(0.25)
    assert (0, 0.5) == (rig.pool.size, rig.timer)
    rig.advance(0.25)
    assert rig.pool.size == 1


def test_the_pause_doubles_with_each_further_failure() -> None:
    rig = Rig(restart=Restart(initial_delay_s=0.5, max_failures=9))
    rig.submit()
    instants = []
    for _ in range(4):
        fail_starts(rig, 1)
        rig.attend()
        instants.append(rig.timer)
    assert [0.5, 1.5, 3.5, 7.5] == instants


def test_three_failures_in_a_row_fail_the_pending_inputs_with_the_cause() -> None:
    rig = Rig(max_containers=1)
    inputs, error = rig.many(2), OSError("no model")
    fail_starts(rig, 2)
    assert [PENDING, PENDING] == [input.state for input in inputs]
    rig.effects.clear()
    fail_starts(rig, 1, error)
    assert [fx.Settle(input) for input in inputs] == rig.effects[-2:]
    for input in inputs:
        assert input.state == FAILED
        assert isinstance(input.value, ContainerStartError)
        assert (3, error) == (input.value.failures, input.value.__cause__)
        assert "failed to start 3 times in a row, the last time with OSError: no model" in str(input.value)
    assert inputs[0].value is not inputs[1].value
    assert (0, True) == (rig.pool.pending, rig.pool.drained)
    assert (3, error) == (rig.pool.counts(rig.now).start_failures, rig.pool.last_failure)


def test_inputs_between_attempts_fail_with_the_pending_ones() -> None:
    rig = Rig(retries=1, restart=Restart(max_failures=1))
    (container,) = rig.start()
    input, cancelled = rig.submit(), rig.submit()
    rig.fail(input)
    rig.fail(cancelled)
    rig.cancel(cancelled)
    rig.exited(container)
    rig.decide(start=1)
    rig.fail_start(rig.containers[-1])
    assert (FAILED, CANCELLED, 0) == (input.state, cancelled.state, rig.pool.pending)
    assert isinstance(input.value, ContainerStartError)


def test_the_next_input_after_that_tries_again_at_once() -> None:
    rig = Rig()
    rig.submit()
    fail_starts(rig, 3)
    rig.attend()
    assert (0, None) == (rig.pool.size, rig.timer)
    input = rig.submit()
    rig.attend()
    (container,) = rig.in_phase(Phase.STARTING)
    rig.ready(container)
    assert input.state == RUNNING


@pytest.mark.parametrize("seconds", [0.0, 2.0])
def test_starts_that_were_under_way_together_fail_once(seconds: float) -> None:
    rig = Rig()
    inputs = rig.many(5)
    rig.attend()
    rig.now = seconds
    for container in rig.in_phase(Phase.STARTING):
        rig.fail_start(container)
    assert {PENDING} == {input.state for input in inputs}
    assert rig.pool.counts(seconds).start_failures == 5
    assert rig.timer is None
    rig.attend()
    assert rig.timer == seconds + 0.125


def test_inputs_do_not_fail_while_a_start_from_before_the_failures_may_yet_succeed() -> None:
    rig = Rig()
    inputs = rig.many(2)
    rig.attend()
    slow, quick = rig.in_phase(Phase.STARTING)
    for _ in range(4):
        rig.fail_start(quick)
        rig.advance(2.0)
        quick = rig.in_phase(Phase.STARTING)[-1]
    assert quick is not slow
    assert {PENDING} == {input.state for input in inputs}
    rig.ready(slow)
    assert RUNNING in {input.state for input in inputs}


def test_inputs_fail_when_the_last_start_from_before_the_failures_has_failed_too() -> None:
    rig = Rig()
    inputs = rig.many(2)
    rig.attend()
    slow, quick = rig.in_phase(Phase.STARTING)
    for _ in range(3):
        rig.fail_start(quick)
        rig.advance(2.0)
        quick = rig.in_phase(Phase.STARTING)[-1]
    # Another start is under way, but that is the fourth in the row.
    rig.fail_start(slow)
    assert {FAILED} == {input.state for input in inputs}


def test_a_success_ends_the_row_of_failures() -> None:
    rig = Rig(max_containers=1)
    rig.submit()
    fail_starts(rig, 2)
    rig.advance(1.0)
    (container,) = rig.in_phase(Phase.STARTING)
    rig.ready(container)
    rig.exited(container, OSError("killed"))
    input = rig.submit()
    fail_starts(rig, 2)
    assert input.state == PENDING


def test_inputs_do_not_fail_while_a_ready_container_serves_them() -> None:
    rig = Rig(max_containers=2)
    rig.start()
    running, pending = rig.many(2)
    fail_starts(rig, 5)
    assert (RUNNING, PENDING) == (running.state, pending.state)
    assert pending is rig.end(running)


def test_failures_without_inputs_slow_the_starts_down_and_fail_nobody() -> None:
    rig = Rig(min_containers=1, restart=Restart(initial_delay_s=0.5, max_delay_s=4.0))
    fail_starts(rig, 6)
    rig.attend()
    assert rig.timer == rig.now + 4.0
    input = rig.submit()
    rig.advance(3.75)
    assert (PENDING, 0) == (input.state, rig.pool.size)
    fail_starts(rig, 1)
    assert input.state == FAILED


def test_a_start_that_fails_after_it_was_called_off_counts_for_nothing() -> None:
    rig = Rig(policy=Passive())
    (container,) = rig.ask()
    rig.decide(cancel=1)
    rig.fail_start(container)
    counts = rig.pool.counts(0.0)
    assert (Phase.STOPPED, 0, 0) == (container.phase, counts.start_failures, counts.containers)
    assert rig.pool.next_tick() is None


# -- dying ---------------------------------------------------------------------------------------


def test_a_container_that_died_fails_its_inputs_with_the_cause() -> None:
    rig = Rig(max_inputs=2)
    (container,) = rig.start()
    inputs, error = rig.many(2), OSError("killed")
    assert [fx.Settle(input) for input in inputs] == rig.exited(container, error)
    for input in inputs:
        assert (FAILED, error) == (input.state, input.value.__cause__)
        assert isinstance(input.value, RemoteError)
        assert (
            str(input.value) == "container 1 of function 'f' ended while it ran this input: OSError: killed"
        )
    assert (0, 0, 0) == (rig.pool.running, rig.pool.size, rig.pool.free_slots)


def test_a_container_that_ended_of_itself_names_no_cause() -> None:
    rig = Rig()
    (container,) = rig.start()
    input = rig.submit()
    rig.exited(container)
    assert str(input.value) == "container 1 of function 'f' ended while it ran this input"


def test_the_inputs_of_a_dead_container_are_tried_again() -> None:
    rig = Rig(retries=1)
    (container,) = rig.start()
    input = rig.submit()
    assert [] == rig.exited(container, OSError("killed"))
    assert (DELAYED, 2) == (input.state, input.attempt)
    rig.advance(1.0)
    (second,) = rig.in_phase(Phase.STARTING)
    rig.ready(second)
    assert (RUNNING, second) == (input.state, input.container)


def test_abandoned_work_ends_with_its_container() -> None:
    rig = Rig(max_inputs=2)
    (container,) = rig.start()
    input, other = rig.many(2)
    rig.cancel(input)
    assert [fx.Settle(other)] == rig.exited(container, OSError("killed"))
    assert (CANCELLED, 0, 0) == (input.state, rig.pool.running, rig.pool.abandoned)
    rig.advance(10.0)
    assert not [effect for effect in rig.effects if isinstance(effect, fx.ReportAbandoned)]


def test_a_dead_container_is_replaced_while_there_is_demand() -> None:
    rig = Rig(max_containers=1)
    (container,) = rig.start()
    _, pending = rig.many(2)
    rig.attend()
    rig.exited(container, OSError("killed"))
    rig.attend()
    (second,) = rig.in_phase(Phase.STARTING)
    rig.ready(second)
    assert pending.state == RUNNING


def test_the_exit_of_a_container_is_counted_once() -> None:
    rig = Rig()
    (container,) = rig.start()
    rig.submit()
    rig.exited(container, OSError("killed"))
    before = rig.pool.counts(0.0)
    assert [] == rig.exited(container)
    assert before == rig.pool.counts(0.0)


def test_a_draining_container_that_died_fails_its_inputs() -> None:
    rig = Rig()
    rig.start(2)
    first, second = rig.many(2)
    rig.change(max_containers=1)
    (draining,) = rig.in_phase(Phase.DRAINING)
    rig.exited(draining, OSError("killed"))
    assert {FAILED, RUNNING} == {first.state, second.state}
    assert (1, 0) == (rig.pool.running, rig.pool.free_slots)


# -- recycling -----------------------------------------------------------------------------------


def test_a_container_is_recycled_after_so_many_inputs() -> None:
    rig = Rig(recycle_after=2)
    (container,) = rig.start()
    first, second, third = rig.many(3)
    assert second is rig.end(first)
    assert rig.end(second) is None
    assert (Phase.DRAINING, PENDING) == (container.phase, third.state)
    rig.attend()
    assert container.phase is Phase.STOPPING
    (fresh,) = rig.in_phase(Phase.STARTING)
    rig.ready(fresh)
    assert (RUNNING, fresh) == (third.state, third.container)


def test_a_recycled_container_finishes_what_it_runs() -> None:
    rig = Rig(recycle_after=1, max_inputs=2)
    (container,) = rig.start()
    first, second, third = rig.many(3)
    rig.end(first)
    rig.attend()
    assert (Phase.DRAINING, [second]) == (container.phase, list(container.inputs))
    assert (1, 0, PENDING) == (rig.pool.running, rig.pool.free_slots, third.state)
    rig.end(second)
    assert rig.pool.attention & CONTROL
    rig.attend()
    assert container.phase is Phase.STOPPING


def test_what_runs_in_a_draining_container_is_no_demand() -> None:
    rig = Rig(recycle_after=1, max_inputs=2)
    rig.start()
    first, _ = rig.many(2)
    rig.end(first)
    seen = rig.pool.snapshot(0.0)
    assert (0, 0) == (seen.ready, seen.running)
    rig.attend()
    assert rig.pool.size == 0


# -- making way ----------------------------------------------------------------------------------


def test_while_others_wait_for_threads_idle_containers_beyond_the_minimum_stop() -> None:
    rig = Rig(min_containers=1)
    first, second, third = rig.start(3)
    rig.submit()
    assert [first, second] == stopped(rig.tell(fx.Crowded(True)))
    assert third.phase is Phase.READY


def test_while_others_wait_the_minimum_stays() -> None:
    rig = Rig(min_containers=2)
    rig.start(2)
    assert [] == rig.tell(fx.Crowded(True))


def test_while_others_wait_a_container_that_falls_idle_stops_at_once() -> None:
    rig = Rig()
    (container,) = rig.start()
    input = rig.submit()
    rig.attend()
    assert [] == rig.tell(fx.Crowded(True))
    rig.end(input)
    assert rig.pool.attention & CONTROL
    assert [container] == stopped(rig.tick())


def test_while_others_wait_a_container_that_becomes_ready_for_nobody_stops() -> None:
    rig = Rig(policy=Passive())
    (container,) = rig.ask()
    rig.tell(fx.Crowded(True))
    rig.ready(container)
    assert rig.pool.attention & CONTROL
    assert [container] == stopped(rig.tick())


def test_while_others_wait_no_buffer_is_kept_s12() -> None:
    rig = Rig(buffer_containers=2, max_inputs=2)
    rig.tell(fx.Crowded(True))
    rig.many(3)
    rig.attend()
    assert (2, 0) == (rig.pool.size, rig.pool.overruled)
    for container in rig.in_phase(Phase.STARTING):
        rig.ready(container)
    for _ in range(5):
        rig.end(rig.submit())
        rig.attend()
    assert len(rig.containers) == 2
    rig.tell(fx.Crowded(False))
    rig.attend()
    assert rig.pool.size == 4


def test_while_others_wait_the_minimum_is_still_started_s11() -> None:
    rig = Rig(min_containers=3)
    rig.tell(fx.Crowded(True))
    rig.attend()
    assert rig.pool.size == 3


def test_when_nobody_waits_any_more_idle_containers_keep_their_window() -> None:
    rig = Rig()
    rig.start()
    input = rig.submit()
    rig.tell(fx.Crowded(True))
    rig.tell(fx.Crowded(False))
    rig.attend()
    rig.end(input)
    rig.attend()
    assert rig.pool.size == 1


def test_a_container_that_makes_way_lets_the_policy_look() -> None:
    rig = Rig(policy=Passive())
    rig.start()
    rig.attend()
    rig.tell(fx.Crowded(True))
    assert rig.pool.attention & SCALING


def test_inputs_still_get_their_outcome_while_others_wait() -> None:
    rig = Rig()
    rig.tell(fx.Crowded(True))
    input: Input | None = rig.submit()
    rig.attend()
    rig.ready(rig.containers[0])
    assert input is not None
    rig.end(input)
    rig.attend()
    assert (True, 0) == (rig.pool.drained, rig.pool.size)

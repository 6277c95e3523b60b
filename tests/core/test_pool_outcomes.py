# SPDX-License-Identifier: Apache-2.0
"""Outcomes: an input ends in its slot, by cancellation, by its timeout, or gets a further attempt."""

from __future__ import annotations

import contextvars

import pytest

from actorpool._core import _effects as fx
from actorpool._core._admission import CONTROL, SCALING
from actorpool._core._container import Phase
from actorpool._core._input import (
    CANCELLED,
    DELAYED,
    FAILED,
    NEW,
    PENDING,
    RUNNING,
    SUCCEEDED,
    TIMED_OUT,
    Input,
)
from actorpool.exception import FunctionTimeoutError, InputCancellation
from tests.core.pools import Passive, Rig

# -- complete ------------------------------------------------------------------------------------


def test_a_result_is_the_outcome_and_frees_the_slot() -> None:
    rig = Rig()
    (container,) = rig.start()
    input = rig.submit()
    assert rig.end(input, "result") is None
    assert (SUCCEEDED, "result", {}) == (input.state, input.value, container.inputs)
    assert (0, 1) == (rig.pool.running, rig.pool.free_slots)


def test_an_exception_is_the_outcome_of_a_function_without_retries() -> None:
    rig = Rig()
    rig.start()
    input, error = rig.submit(), ValueError("user's")
    rig.fail(input, error)
    assert (FAILED, error) == (input.state, input.value)
    assert (0, 1) == (rig.pool.counts(0.0).succeeded, rig.pool.counts(0.0).failed)


def test_a_slot_that_becomes_free_takes_the_oldest_pending_input_in_the_same_step() -> None:
    rig = Rig()
    (container,) = rig.start()
    first, second, third = rig.many(3)
    rig.now = 2.0
    assert second is rig.end(first)
    assert (RUNNING, container, {second: 2.0}) == (second.state, second.container, container.inputs)
    assert (PENDING, 1, 1) == (third.state, rig.pool.running, rig.pool.pending)


def test_a_settled_input_keeps_no_payload_ancestor_or_context_alive() -> None:
    rig = Rig()
    rig.start(2)
    outer = rig.submit()
    input = Input("f", (1,), {"x": 2}, contextvars.copy_context(), parent=outer)
    rig.pool.submit(input, 0.0)
    rig.end(input)
    assert ((), None, None, None) == (input.args, input.kwargs, input.context, input.parent)


def test_work_that_outlived_its_container_has_no_slot_to_free() -> None:
    rig = Rig()
    (container,) = rig.start()
    input = rig.submit()
    rig.tell(fx.ShutDown())
    rig.exited(container)
    assert input.state == FAILED
    before = rig.pool.counts(0.0)
    assert rig.end(input, "late") is None
    assert before == rig.pool.counts(0.0)
    assert input.state == FAILED


# -- cancel --------------------------------------------------------------------------------------


def test_a_pending_input_leaves_at_once_when_cancelled() -> None:
    rig = Rig()
    rig.start()
    first, second, third = rig.many(3)
    assert rig.cancel(second) == PENDING
    assert (CANCELLED, "cancelled") == (second.state, str(second.value))
    assert third is rig.end(first)


def test_a_running_input_is_settled_at_once_and_holds_its_slot_until_its_work_returns() -> None:
    rig = Rig()
    (container,) = rig.start()
    running, pending = rig.many(2)
    assert rig.cancel(running) == RUNNING
    assert (CANCELLED, [running]) == (running.state, list(container.inputs))
    assert (1, 1, PENDING) == (rig.pool.running, rig.pool.abandoned, pending.state)
    assert pending is rig.end(running, "too late")
    assert (CANCELLED, "cancelled") == (running.state, str(running.value))
    assert (1, 0) == (rig.pool.running, rig.pool.abandoned)


def test_an_input_between_attempts_leaves_at_once_when_cancelled() -> None:
    rig = Rig(retries=1)
    rig.start()
    input = rig.submit()
    rig.fail(input)
    assert rig.cancel(input) == DELAYED
    assert (CANCELLED, 0) == (input.state, rig.pool.pending)
    rig.advance(10.0)
    assert (CANCELLED, 0) == (input.state, rig.pool.running)


def test_no_timer_is_armed_for_an_input_cancelled_between_attempts() -> None:
    rig = Rig(retries=1)
    rig.start()
    input = rig.submit()
    rig.fail(input)
    rig.cancel(input)
    rig.tick()
    assert rig.timer is None


@pytest.mark.parametrize("state", [SUCCEEDED, FAILED, CANCELLED, TIMED_OUT])
def test_an_input_with_an_outcome_cannot_be_cancelled(state: int) -> None:
    rig = Rig(timeout=1.0)
    rig.start()
    input = rig.submit()
    if state == TIMED_OUT:
        rig.advance(1.0)
    elif state == CANCELLED:
        rig.cancel(input)
    else:
        rig.pool.complete(input, state, "value", 0.0)
    value, counts = input.value, rig.pool.counts(1.0)
    assert state == rig.cancel(input)
    assert (state, value, counts) == (input.state, input.value, rig.pool.counts(1.0))


def test_an_input_that_was_never_submitted_cannot_be_cancelled() -> None:
    input = Input("f", (), None, None)
    assert Rig().cancel(input) == NEW
    assert input.state == NEW


def test_the_last_input_cancelled_lets_the_policy_look() -> None:
    rig = Rig()
    input = rig.submit()
    rig.attend()
    rig.cancel(input)
    assert rig.pool.attention & SCALING
    rig.attend()
    assert [Phase.STOPPING] == [container.phase for container in rig.containers]


# -- interrupted work ----------------------------------------------------------------------------


def reported(rig: Rig) -> list[Input]:
    return [effect.input for effect in rig.effects if isinstance(effect, fx.ReportAbandoned)]


def test_work_that_returns_within_the_grace_period_is_not_reported() -> None:
    rig = Rig(grace_s=5.0)
    rig.start()
    input = rig.submit()
    rig.cancel(input)
    rig.advance(4.75)
    rig.end(input)
    rig.advance(10.0)
    assert [] == reported(rig)


def test_work_that_outlives_the_grace_period_is_reported_once() -> None:
    rig = Rig(grace_s=5.0)
    rig.start()
    input = rig.submit()
    rig.cancel(input)
    rig.advance(4.75)
    assert [] == reported(rig)
    rig.advance(0.25)
    assert [input] == reported(rig)
    rig.advance(100.0)
    assert [input] == reported(rig)
    assert rig.pool.abandoned == 1


def test_work_that_returned_does_not_hide_work_interrupted_after_it() -> None:
    rig = Rig(grace_s=5.0)
    rig.start(2)
    first, second = rig.many(2)
    rig.cancel(first)
    rig.advance(1.0)
    rig.cancel(second)
    rig.end(first)
    rig.advance(5.0)
    assert [second] == reported(rig)


# -- retries -------------------------------------------------------------------------------------


def test_a_failed_input_waits_and_then_takes_a_slot_again() -> None:
    rig = Rig(retries=1)
    (container,) = rig.start()
    input = rig.submit()
    rig.fail(input)
    assert (DELAYED, 2, 1, 0) == (input.state, input.attempt, rig.pool.pending, rig.pool.running)
    rig.advance(0.75)
    assert input.state == DELAYED
    rig.advance(0.25)
    assert (RUNNING, {input: 1.0}) == (input.state, container.inputs)
    assert fx.Deliver(container, (input,)) == rig.effects[-1]
    rig.end(input, "second")
    assert (SUCCEEDED, "second", 1) == (input.state, input.value, rig.pool.counts(1.0).arrived)


def test_the_slot_of_a_failed_attempt_is_free_meanwhile() -> None:
    rig = Rig(retries=1)
    rig.start()
    first, second = rig.many(2)
    assert second is rig.fail(first)


def test_an_input_whose_pause_is_over_stands_behind_the_pending_ones() -> None:
    rig = Rig(retries=1, max_containers=1)
    rig.start()
    first = rig.submit()
    rig.fail(first)
    second, third = rig.many(2)
    rig.attend()
    rig.advance(1.0)
    assert first.state == PENDING
    assert third is rig.end(second)
    assert first is rig.end(third)


def test_an_input_whose_pause_is_over_asks_for_a_container() -> None:
    rig = Rig(retries=1, scaledown_window=0.5)
    rig.start()
    input = rig.submit()
    rig.fail(input)
    rig.advance(0.75)
    assert rig.pool.size == 0
    rig.advance(0.25)
    assert (PENDING, 1) == (input.state, rig.pool.size)


def test_a_burst_after_a_pause_asks_for_a_container() -> None:
    rig = Rig(retries=1, max_inputs=2, target_inputs=1)
    rig.start()
    input = rig.submit()
    rig.fail(input)
    rig.submit()
    rig.advance(1.0)
    assert (RUNNING, 2) == (input.state, rig.pool.size)


def test_the_last_error_is_the_outcome_when_the_attempts_are_used_up() -> None:
    rig = Rig(retries=2)
    rig.start()
    input = rig.submit()
    for number in (1, 2):
        rig.fail(input, ValueError(number))
        rig.advance(1.0)
    error = ValueError("last")
    rig.fail(input, error)
    assert (FAILED, error, 3) == (input.state, input.value, input.attempt)


def test_what_is_no_exception_is_not_retried() -> None:
    rig = Rig(retries=2)
    rig.start()
    input, error = rig.submit(), InputCancellation()
    rig.fail(input, error)
    assert (FAILED, error) == (input.state, input.value)


def test_a_generator_is_not_retried_for_its_items_may_be_out_already() -> None:
    rig = Rig(retries=2, timeout=10.0)
    rig.start(2)
    failing, late = (Input("f", (), None, None) for _ in range(2))
    for input in (failing, late):
        input.stream = object()
        rig.pool.submit(input, 0.0)
    rig.fail(failing)
    rig.advance(10.0)
    assert (FAILED, TIMED_OUT, None) == (failing.state, late.state, late.successor)


def test_a_cancelled_input_is_not_retried() -> None:
    rig = Rig(retries=2)
    rig.start()
    input = rig.submit()
    rig.cancel(input)
    rig.fail(input)
    assert (CANCELLED, 0) == (input.state, rig.pool.pending)


# -- timeouts ------------------------------------------------------------------------------------


def test_an_input_is_settled_when_it_has_run_for_the_timeout() -> None:
    rig = Rig(timeout=10.0)
    (container,) = rig.start()
    rig.advance(5.0)
    input = rig.submit()
    rig.advance(9.75)
    assert input.state == RUNNING
    rig.effects.clear()
    rig.advance(0.25)
    assert [fx.Settle(input), fx.CancelRun(input)] == rig.effects
    assert (TIMED_OUT, [input], 1) == (input.state, list(container.inputs), rig.pool.abandoned)
    assert isinstance(input.value, FunctionTimeoutError)
    assert input.value.timeout == 10.0
    assert str(input.value) == "function 'f' ran longer than its timeout of 10 s (attempt 1)"
    assert rig.pool.counts(15.0).timed_out == 1


def test_the_time_an_input_is_pending_does_not_count_towards_its_timeout() -> None:
    rig = Rig(timeout=10.0, max_containers=1)
    rig.start()
    first, second = rig.many(2)
    rig.advance(8.0)
    rig.end(first)
    rig.advance(9.75)
    assert second.state == RUNNING
    rig.advance(0.25)
    assert second.state == TIMED_OUT


def test_an_input_that_follows_abandoned_work_has_a_deadline() -> None:
    """While all that runs is abandoned no deadline is due; the next to run brings one again."""
    rig = Rig(timeout=10.0, max_containers=1)
    rig.start()
    first, second = rig.many(2)
    rig.advance(10.0)
    rig.advance(6.0)
    assert (TIMED_OUT, 1, None) == (first.state, rig.pool.abandoned, rig.pool.next_tick())
    rig.end(first, "too late")
    rig.advance(9.75)
    assert second.state == RUNNING
    rig.advance(0.25)
    assert second.state == TIMED_OUT


def test_a_timed_out_input_gives_its_slot_back_when_its_work_returns() -> None:
    rig = Rig(timeout=1.0)
    rig.start()
    input = rig.submit()
    rig.advance(1.0)
    rig.end(input, "too late")
    assert (TIMED_OUT, 0, 0) == (input.state, rig.pool.running, rig.pool.abandoned)


def test_inputs_delivered_to_a_container_that_became_ready_have_deadlines() -> None:
    rig = Rig(timeout=10.0)
    input = rig.submit()
    rig.attend()
    rig.advance(5.0)
    rig.ready(rig.containers[0])
    rig.advance(10.0)
    assert input.state == TIMED_OUT


def test_a_further_attempt_has_a_deadline_of_its_own() -> None:
    rig = Rig(timeout=10.0, retries=1)
    rig.start()
    input = rig.submit()
    rig.fail(input)
    rig.advance(10.75)
    assert input.state == RUNNING
    rig.advance(0.25)
    assert input.state == TIMED_OUT


def test_a_timed_out_attempt_is_followed_by_a_record_of_its_own() -> None:
    rig = Rig(timeout=10.0, retries=1)
    rig.start(2)
    told: list[Input] = []
    context = contextvars.copy_context()
    outer = rig.submit()
    input = Input("f", (1,), {"x": 2}, context, told.append, parent=outer, index=4)
    input.identity = "fc-1"
    rig.pool.submit(input, 0.0)
    rig.effects.clear()
    rig.advance(10.0)
    successor = input.successor
    assert successor is not None
    # Nobody is told: the call goes on with the successor, which has taken over the sink.
    assert fx.CancelRun(input) in rig.effects
    assert fx.Settle(input) not in rig.effects
    assert (TIMED_OUT, None, ()) == (input.state, input.sink, input.args)
    assert (DELAYED, 2, (1,), {"x": 2}, 4, "fc-1", False) == (
        successor.state,
        successor.attempt,
        successor.args,
        successor.kwargs,
        successor.index,
        successor.identity,
        successor.spawned,
    )
    assert successor.sink == told.append
    # What the caller had; each attempt runs in a copy of it.
    assert successor.context is context
    assert rig.pool.counts(10.0).timed_out == 0


def test_a_successor_runs_beside_the_work_it_follows() -> None:
    rig = Rig(timeout=10.0, retries=1)
    rig.start(2)
    input = rig.submit()
    rig.advance(11.0)
    successor = input.successor
    assert successor is not None
    assert successor.context is None
    assert (RUNNING, 2, 1) == (successor.state, rig.pool.running, rig.pool.abandoned)
    rig.end(successor, "second")
    rig.end(input, "first, too late")
    assert (SUCCEEDED, "second", TIMED_OUT) == (successor.state, successor.value, input.state)
    counts = rig.pool.counts(11.0)
    assert (1, 0, 1) == (counts.succeeded, counts.timed_out, counts.arrived)


def test_a_spawned_inputs_successor_is_spawned_too() -> None:
    rig = Rig(timeout=1.0, retries=1)
    rig.start()
    input = rig.spawn()
    rig.advance(1.0)
    assert input.successor is not None
    assert input.successor.spawned


def test_the_last_attempt_times_out_for_good() -> None:
    rig = Rig(timeout=1.0, retries=1, policy=Passive())
    rig.start(2)
    input = rig.submit()
    rig.advance(3.0)
    assert input.successor is not None
    assert (TIMED_OUT, None) == (input.successor.state, input.successor.successor)
    assert fx.Settle(input.successor) in rig.effects
    assert rig.pool.counts(3.0).timed_out == 1


def test_several_inputs_time_out_in_the_order_of_their_containers() -> None:
    rig = Rig(timeout=1.0, max_inputs=2)
    rig.start(2)
    inputs = rig.many(4)
    rig.advance(1.0)
    settled = [effect.input for effect in rig.effects if isinstance(effect, fx.Settle)]
    assert [*inputs[2:], *inputs[:2]] == settled


def test_the_timer_is_armed_anew_when_those_it_was_armed_for_have_ended() -> None:
    rig = Rig(timeout=10.0)
    rig.start()
    first = rig.submit()
    rig.advance(4.0)
    rig.end(first)
    second = rig.submit()
    rig.advance(6.0)
    assert (RUNNING, 14.0) == (second.state, rig.timer)
    rig.advance(4.0)
    assert second.state == TIMED_OUT


def test_a_pool_in_which_nothing_runs_has_no_deadline() -> None:
    rig = Rig(timeout=10.0)
    rig.start()
    rig.end(rig.submit())
    rig.advance(10.0)
    assert rig.timer is None
    rig.submit()
    assert rig.pool.attention & CONTROL


def test_a_spawned_input_is_tried_again_within_its_own_allowance() -> None:
    rig = Rig(retries=1)
    rig.start()
    input = rig.spawn()
    rig.fail(input)
    assert (DELAYED, 1) == (input.state, rig.pool.pending)
    rig.advance(1)
    assert (RUNNING, 0) == (input.state, rig.pool.pending)

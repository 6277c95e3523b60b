# SPDX-License-Identifier: Apache-2.0
"""The pool machine when the user has containers end: no other input is lost, and none keeps them without need."""

from __future__ import annotations

from collections.abc import Callable

import pytest

from actorpool._core import _effects as fx
from actorpool._core._admission import CONTROL
from actorpool._core._batching import Batch, Batching, BatchingPool
from actorpool._core._container import Container, Phase
from actorpool._core._input import CANCELLED, FAILED, PENDING, RUNNING, SUCCEEDED, Input
from tests.core.pools import Passive, Rig


def any_input(_: Input) -> bool:
    return True


def no_input(_: Input) -> bool:
    return False


def terminate(
    rig: Rig, *containers: Container, movable: Callable[[Input], bool] = any_input
) -> list[fx.Effect]:
    return rig.tell(fx.Terminated(containers, movable))


def cancelled(rig: Rig, input: Input) -> Container:
    """Cancel a running input; return the container in whose slot it still is."""
    assert RUNNING == rig.cancel(input)
    place = rig.pool.place_of(input)
    assert place is not None
    return place


def test_a_container_of_nothing_but_cancelled_inputs_stops_at_once() -> None:
    rig = Rig(policy=Passive())
    (container,) = rig.start()
    input = rig.submit()
    assert container is cancelled(rig, input)
    assert [fx.StopContainer(container)] == terminate(rig, container)
    assert Phase.STOPPING is container.phase
    # The work may return before the container has gone, or never.
    assert rig.end(input) is None
    assert [] == rig.exited(container)
    assert (0, 0, CANCELLED) == (rig.pool.running, rig.pool.abandoned, input.state)


def test_work_that_never_returns_goes_with_its_container() -> None:
    rig = Rig(policy=Passive())
    (container,) = rig.start()
    input = rig.submit()
    terminate(rig, cancelled(rig, input), movable=no_input)
    rig.exited(container)
    assert (0, 0) == (rig.pool.running, rig.pool.abandoned)
    assert rig.end(input) is None
    assert (0, 1) == (rig.pool.running, rig.pool.counts(0).cancelled)


def test_another_input_of_the_container_starts_again_in_a_free_slot_elsewhere() -> None:
    rig = Rig(policy=Passive(), max_inputs=2)
    first, second = rig.start(2)
    victim, other, third = rig.many(3)
    assert {second: [victim, other], first: [third]} == {c: [*c.inputs] for c in (second, first)}
    effects = terminate(rig, cancelled(rig, victim))
    again = other.successor
    assert again is not None
    assert [fx.CancelRun(other), fx.Deliver(first, (again,)), fx.StopContainer(second)] == effects
    assert (first, RUNNING, 1) == (again.container, again.state, again.attempt)
    assert (False, again) == (other.done, other.latest())
    # What the first attempt still says does not count.
    assert rig.end(other, "too late") is None
    rig.end(again, "result")
    assert ("result", 1, 1) == (again.value, *_ended(rig))


def test_another_input_waits_for_a_slot_where_none_is_free_and_keeps_its_waiter() -> None:
    rig = Rig(max_inputs=2)
    (container,) = rig.start()
    victim, other = rig.many(2)
    told: list[Input] = []
    other.sink = told.append
    terminate(rig, cancelled(rig, victim))
    again = other.latest()
    assert other.sink is None
    assert (PENDING, 1) == (again.state, rig.pool.pending)
    rig.attend()
    fresh = rig.containers[-1]
    assert fresh is not container
    assert [fx.Deliver(fresh, (again,))] == rig.ready(fresh)
    rig.end(again)
    assert again.sink is not None
    assert (SUCCEEDED, 1, 1) == (again.state, *_ended(rig))


def _ended(rig: Rig) -> tuple[int, int]:
    counts = rig.pool.counts(rig.now)
    return counts.succeeded, counts.cancelled


def test_the_retries_of_a_moved_input_are_left_to_it() -> None:
    rig = Rig(policy=Passive(), max_inputs=2, retries=1)
    rig.start(2)
    victim, other = rig.many(2)
    terminate(rig, cancelled(rig, victim))
    again = other.latest()
    rig.fail(again)
    rig.advance(1.0)
    assert (2, RUNNING) == (again.attempt, again.state)
    rig.fail(again)
    assert FAILED == again.state


def test_two_containers_that_end_do_not_pass_inputs_to_each_other() -> None:
    rig = Rig(policy=Passive(), max_inputs=2)
    first, second = rig.start(2)
    inputs = rig.many(3)
    rig.cancel(inputs[0])
    rig.cancel(inputs[2])
    effects = terminate(rig, first, second)
    assert {fx.StopContainer(first), fx.StopContainer(second)} <= set(effects)
    assert (PENDING, 1) == (inputs[1].latest().state, rig.pool.pending)


def test_an_input_that_cannot_be_moved_may_finish_and_the_container_stops_after_it() -> None:
    rig = Rig(policy=Passive(), max_inputs=3)
    (container,) = rig.start()
    victim, other, third = rig.many(3)
    assert [] == terminate(rig, cancelled(rig, victim), movable=no_input)
    assert (Phase.DRAINING, RUNNING, None) == (container.phase, other.state, other.successor)
    rig.tick()
    assert Phase.DRAINING is container.phase
    rig.end(other)
    rig.tick()
    assert Phase.DRAINING is container.phase
    rig.pool.attention = 0
    rig.end(third)
    # The thread of the cancelled input has not returned: nobody waits for that.
    assert rig.pool.attention & CONTROL
    assert [fx.StopContainer(container)] == rig.tick()
    assert (SUCCEEDED, SUCCEEDED, CANCELLED) == (other.state, third.state, victim.state)


def test_a_generator_is_not_started_twice() -> None:
    rig = Rig(policy=Passive(), max_inputs=2)
    (container,) = rig.start()
    victim, generator = rig.many(2)
    generator.stream = object()
    assert [] == terminate(rig, cancelled(rig, victim))
    assert RUNNING == generator.state
    rig.end(generator)
    assert [fx.StopContainer(container)] == rig.tick()


def test_a_terminated_container_whose_last_work_returns_is_stopped_once() -> None:
    rig = Rig(policy=Passive(), max_inputs=2)
    (container,) = rig.start()
    victim, other = rig.many(2)
    terminate(rig, cancelled(rig, victim), movable=no_input)
    rig.end(victim)
    rig.end(other)
    assert [fx.StopContainer(container)] == rig.tick()
    assert [] == rig.tick()


def test_an_input_left_to_finish_may_be_cancelled_too() -> None:
    rig = Rig(policy=Passive(), max_inputs=2)
    (container,) = rig.start()
    victim, other = rig.many(2)
    terminate(rig, cancelled(rig, victim), movable=no_input)
    rig.cancel(other)
    assert [fx.StopContainer(container)] == rig.tick()


def test_a_container_that_drains_already_is_emptied() -> None:
    rig = Rig(policy=Passive(), max_inputs=2)
    (container,) = rig.start()
    victim, other = rig.many(2)
    rig.pool.handle(fx.ContainerRetired(container), rig.now)
    assert Phase.DRAINING is container.phase
    effects = terminate(rig, cancelled(rig, victim))
    assert [fx.CancelRun(other), fx.StopContainer(container)] == effects
    assert PENDING == other.latest().state


@pytest.mark.parametrize("phase", [Phase.STARTING, Phase.STOPPING, Phase.STOPPED])
def test_a_container_that_takes_nothing_is_left_alone(phase: Phase) -> None:
    rig = Rig(policy=Passive())
    (container,) = rig.ask()
    if phase is not Phase.STARTING:
        rig.ready(container)
        rig.tell(fx.ShutDown())
    if phase is Phase.STOPPED:
        rig.exited(container)
    assert [] == terminate(rig, container)
    assert phase is container.phase


def test_work_that_returned_before_leaves_no_place() -> None:
    rig = Rig(policy=Passive())
    rig.start()
    input = rig.submit()
    rig.end(input)
    assert None is rig.pool.place_of(input)
    assert None is rig.pool.place_of(Input("f", (), None, None))


def test_the_container_stops_also_while_the_app_closes() -> None:
    rig = Rig(max_inputs=2)
    rig.start()
    victim, other = rig.many(2)
    rig.tell(fx.Closed())
    terminate(rig, cancelled(rig, victim))
    assert not rig.pool.drained
    rig.attend()
    rig.ready(rig.containers[-1])
    rig.end(other.latest())
    assert rig.pool.drained
    assert (1, 1) == _ended(rig)


# -- batches ----------------------------------------------------------------------------------------------


class _Batches(BatchingPool):
    def __init__(self, name: str, **options: object) -> None:
        super().__init__(name, batching=Batching(2, 0), names=(), **options)  # type: ignore[arg-type]


def _batch_of_two(
    movable: Callable[[Input], bool], cancel: int
) -> tuple[Rig, Container, Batch, list[Input], list[fx.Effect]]:
    """Run a batch of two inputs, cancel `cancel` of them and terminate its container."""
    rig = Rig(policy=Passive(), kind=_Batches)
    (container,) = rig.start()
    members = rig.many(2)
    rig.tick()
    batch = members[0].handle
    assert isinstance(batch, Batch)
    for member in members[:cancel]:
        rig.cancel(member)
    assert container is rig.pool.place_of(members[0])
    return rig, container, batch, members, terminate(rig, container, movable=movable)


def test_a_batch_starts_again_for_its_other_members() -> None:
    rig, container, batch, (first, second), effects = _batch_of_two(any_input, cancel=1)
    assert [fx.CancelRun(batch), fx.StopContainer(container)] == effects
    again = batch.successor
    assert again is not None
    assert again is second.handle
    (fresh,) = rig.start()
    assert fresh is again.container
    rig.end(again, ["dropped", "result"])
    assert isinstance(rig.pool, BatchingPool)
    assert [second] == rig.pool.outcomes_of(again)
    assert ("result", CANCELLED) == (second.value, first.state)
    assert (1, 1) == _ended(rig)


def test_a_batch_that_nobody_waits_for_does_not_hold_its_container() -> None:
    rig, container, batch, _, effects = _batch_of_two(no_input, cancel=2)
    assert [fx.CancelRun(batch), fx.StopContainer(container)] == effects
    assert (CANCELLED, None) == (batch.state, batch.successor)
    assert (0, 2) == _ended(rig)


def test_a_batch_in_a_thread_may_finish_for_its_other_members() -> None:
    rig, container, batch, (_, second), effects = _batch_of_two(no_input, cancel=1)
    assert [] == effects
    rig.end(batch, ["dropped", "result"])
    assert isinstance(rig.pool, BatchingPool)
    assert [second] == rig.pool.outcomes_of(batch)
    assert [fx.StopContainer(container)] == rig.tick()


def test_an_input_of_a_forming_batch_is_in_no_container() -> None:
    rig = Rig(policy=Passive(), kind=_Batches)
    rig.start()
    assert None is rig.pool.place_of(rig.submit())

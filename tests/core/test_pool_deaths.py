# SPDX-License-Identifier: Apache-2.0
"""A container may die, or be given up: what it had not begun goes to another one, and it takes nothing more."""

from __future__ import annotations

from actorpool._core import _effects as fx
from actorpool._core._config import Limits
from actorpool._core._container import Phase
from actorpool._core._input import CANCELLED, FAILED, PENDING, RUNNING
from actorpool.exception import ContainerDiedError

from .pools import Rig


def test_what_a_dead_container_was_never_given_waits_before_all_others_and_fails_nobody() -> None:
    rig = Rig(max_inputs=2, max_containers=1)
    (container,) = rig.start()
    first, second, third = rig.many(3)

    assert [] == rig.exited(container, OSError("killed"), frozenset())

    assert [PENDING] * 3 == [input.state for input in (first, second, third)]
    assert (0, 3, None) == (rig.pool.running, rig.pool.pending, first.container)
    rig.attend()
    (replacement,) = rig.in_phase(Phase.STARTING)
    rig.ready(replacement)
    assert [RUNNING, RUNNING, PENDING] == [input.state for input in (first, second, third)]
    assert (1, 1) == (first.attempt, second.attempt)


def test_a_spawned_input_is_counted_as_such_when_it_is_taken_back() -> None:
    rig = Rig(max_containers=1, limits=Limits(max_pending=1))
    (container,) = rig.start()
    spawned = rig.spawn()

    rig.exited(container, OSError("killed"), frozenset())

    assert (PENDING, 1) == (spawned.state, rig.pool.pending)
    # It takes no place of those who are waited for.
    assert 1 == rig.pool.room()


def test_what_a_dead_container_was_never_given_takes_a_free_slot_at_once() -> None:
    rig = Rig(max_containers=2)
    container, other = rig.start(2)
    input = rig.submit()
    taker = input.container
    assert taker is not None
    left = other if taker is container else container

    assert [fx.Deliver(left, (input,))] == rig.exited(taker, OSError("killed"), frozenset())

    assert (RUNNING, left) == (input.state, input.container)


def test_the_rest_of_a_dead_containers_inputs_fail_with_the_way_it_died() -> None:
    rig = Rig(max_inputs=2, max_containers=1)
    (container,) = rig.start()
    run, never_run = rig.many(2)
    error = ContainerDiedError("killed by signal 9 (SIGKILL)", signal=9)

    assert [fx.Settle(run)] == rig.exited(container, error, frozenset({run}))

    assert (FAILED, PENDING) == (run.state, never_run.state)
    assert "container 1 of function 'f' ended while it ran this input: killed by signal 9 (SIGKILL)" == str(
        run.value
    )
    assert (9, None) == (run.value.signal, run.value.exit_code)


def test_a_retired_container_takes_nothing_more_and_stops_when_its_inputs_have_ended() -> None:
    rig = Rig(max_inputs=2, max_containers=1)
    (container,) = rig.start()
    input = rig.submit()

    rig.tell(fx.ContainerRetired(container))

    assert Phase.DRAINING is container.phase
    waiting = rig.submit()
    assert PENDING == waiting.state
    rig.attend()
    (replacement,) = rig.in_phase(Phase.STARTING)
    rig.ready(replacement)
    assert (RUNNING, replacement) == (waiting.state, waiting.container)
    rig.end(input)
    rig.attend()
    assert [container] == rig.in_phase(Phase.STOPPING)


def test_a_retired_container_that_is_ended_settles_what_it_ran() -> None:
    rig = Rig(max_inputs=2)
    (container,) = rig.start()
    interrupted, other = rig.many(2)
    rig.cancel(interrupted)
    rig.tell(fx.ContainerRetired(container))
    rig.tell(fx.ContainerRetired(container))

    assert [fx.Settle(other)] == rig.exited(container, OSError("killed"))

    assert (CANCELLED, FAILED) == (interrupted.state, other.state)
    counts = rig.pool.counts(0.0)
    assert (0, 0, 0) == (counts.running, counts.abandoned, counts.containers)

# SPDX-License-Identifier: Apache-2.0
"""A container may die, or be given up: what it had not begun goes to another one, and it takes nothing more."""

from __future__ import annotations

import pytest

from actorpool._core import _effects as fx
from actorpool._core._config import Limits, Restart
from actorpool._core._container import Container, Phase
from actorpool._core._input import CANCELLED, FAILED, PENDING, RUNNING, Input
from actorpool.exception import ContainerDiedError, ContainerStartError

from .pools import Rig


def test_what_a_dead_container_was_never_given_waits_before_all_others_and_fails_nobody() -> None:
    rig = Rig(max_inputs=2, max_containers=1)
    (container,) = rig.start()
    first, second, third = rig.many(3)

    assert [] == rig.exited(container, OSError("killed"), frozenset())

    assert [PENDING] * 3 == [input.state for input in (first, second, third)]
    assert (0, 3, None) == (rig.pool.running, rig.pool.pending, first.container)
    rig.advance(1.0)
    (replacement,) = rig.in_phase(Phase.STARTING)
    rig.ready(replacement)
    assert [RUNNING, RUNNING, PENDING] == [input.state for input in (first, second, third)]
    # The oldest first.
    assert [first, second] == list(replacement.inputs)
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


def test_what_goes_from_one_dead_container_to_the_next_keeps_its_order() -> None:
    rig = Rig(max_inputs=3, max_containers=2)
    container, other = rig.start(2)
    first, second, third = rig.many(3)
    if first.container is other:
        container, other = other, container
    assert [container] * 3 == [input.container for input in (first, second, third)]

    rig.exited(container, OSError("killed"), frozenset())
    assert [first, second, third] == list(other.inputs)
    rig.exited(other, OSError("killed"), frozenset())
    rig.advance(1.0)
    replacement = rig.in_phase(Phase.STARTING)[0]
    rig.ready(replacement)

    assert [first, second, third] == list(replacement.inputs)


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


# -- containers that die before an input ran in them ------------------------------------------------------


def die(rig: Rig, container: Container, run: frozenset[Input] = frozenset()) -> list[fx.Effect]:
    return rig.exited(container, ContainerDiedError("killed by signal 11 (SIGSEGV)", signal=11), run)


def test_each_early_death_in_a_row_doubles_the_pause_before_the_next_start() -> None:
    rig = Rig(min_containers=1, restart=Restart(initial_delay_s=0.5, max_delay_s=4.0))
    rig.attend()
    instants = []
    for _ in range(6):
        (container,) = rig.in_phase(Phase.STARTING)
        rig.ready(container)
        instants.append(rig.now)
        die(rig, container)
        rig.advance(rig.pool.next_tick() - rig.now)  # type: ignore[operator]

    assert [0.0, 0.5, 1.5, 3.5, 7.5, 11.5] == instants
    assert [(1, 0.5), (2, 1.0), (3, 2.0), (4, 4.0), (5, 4.0), (6, 4.0)] == [
        (report.failures, report.pause_s) for report in rig.reports
    ]


def test_three_early_deaths_in_a_row_fail_what_was_pending_and_never_ran() -> None:
    rig = Rig(max_containers=1, restart=Restart(initial_delay_s=0.5))
    (container,) = rig.start()
    first, second = rig.many(2)
    for _ in range(2):
        assert [] == die(rig, container)
        assert [PENDING, PENDING] == [first.state, second.state]
        rig.advance(5.0)
        (container,) = rig.in_phase(Phase.STARTING)
        rig.ready(container)

    assert [fx.Settle(first), fx.Settle(second)] == die(rig, container)

    assert [FAILED, FAILED] == [first.state, second.state]
    assert isinstance(first.value, ContainerStartError)
    assert 3 == first.value.failures
    assert (
        "containers of function 'f' ended 3 times in a row before an input ran in them, the last time with "
        "ContainerDiedError: killed by signal 11 (SIGSEGV); see what ends them, the next input tries again"
        == str(first.value)
    )


def test_a_death_that_took_an_input_with_it_does_not_slow_the_next_start_down() -> None:
    rig = Rig(min_containers=1)
    rig.attend()
    (container,) = rig.in_phase(Phase.STARTING)
    rig.ready(container)
    input = rig.submit()

    die(rig, container, frozenset({input}))
    rig.attend()

    assert FAILED == input.state
    assert 1 == len(rig.in_phase(Phase.STARTING))
    assert [(None, 0.0)] == [(report.failures, report.pause_s) for report in rig.reports]


def test_the_end_of_a_container_that_was_told_to_stop_is_no_early_death() -> None:
    rig = Rig(max_containers=1)
    (container,) = rig.start()
    rig.decide(stop=1)

    die(rig, container)
    rig.submit()
    rig.attend()

    assert [] == rig.reports

    assert 1 == len(rig.in_phase(Phase.STARTING))


@pytest.mark.parametrize("what", ["an input ended", "the container lived on"])
def test_the_row_of_early_deaths_ends_when_things_go_well(what: str) -> None:
    rig = Rig(restart=Restart(initial_delay_s=0.5, max_delay_s=4.0), scaledown_window=100)
    instants = []
    for _ in range(3):
        container, other = rig.start(2)
        if what == "an input ended":
            input = rig.submit()
            container = other if input.container is container else container
            rig.end(input)
        else:
            rig.advance(4.5)
        die(rig, container)
        instants.append(rig.pool.next_tick() - rig.now)  # type: ignore[operator]
        rig.advance(10.0)

    assert [0.5, 0.5, 0.5] == instants

# SPDX-License-Identifier: Apache-2.0
"""A container's record: its life has these moves and no others."""

from __future__ import annotations

import pytest

from actorpool._core._container import MOVES, Container, Phase
from actorpool.exception import InternalError

# The shortest way to each phase.
WAYS = {
    Phase.STARTING: [],
    Phase.READY: [Phase.READY],
    Phase.DRAINING: [Phase.READY, Phase.DRAINING],
    Phase.STOPPING: [Phase.STOPPING],
    Phase.STOPPED: [Phase.STOPPED],
}
PAIRS = [(origin, goal) for origin in Phase for goal in Phase]


def container_in(phase: Phase) -> Container:
    container = Container(7, 1.5)
    for step in WAYS[phase]:
        container.move(step)
    return container


def test_a_new_container_is_starting_and_takes_nothing() -> None:
    container = Container(7, 1.5)
    assert (7, 1.5, Phase.STARTING, False) == (
        container.number,
        container.asked_at,
        container.phase,
        container.ready,
    )
    assert {} == container.inputs


@pytest.mark.parametrize(("origin", "goal"), [pair for pair in PAIRS if pair[1] in MOVES[pair[0]]])
def test_a_container_makes_the_moves_of_its_life(origin: Phase, goal: Phase) -> None:
    container = container_in(origin)
    container.move(goal)
    assert (goal, goal is Phase.READY) == (container.phase, container.ready)


@pytest.mark.parametrize(("origin", "goal"), [pair for pair in PAIRS if pair[1] not in MOVES[pair[0]]])
def test_any_other_move_is_refused_and_changes_nothing(origin: Phase, goal: Phase) -> None:
    container = container_in(origin)
    with pytest.raises(InternalError, match=f"container 7 cannot go from {origin.value} to {goal.value}"):
        container.move(goal)
    assert (origin, origin is Phase.READY) == (container.phase, container.ready)


def test_every_container_can_reach_its_end() -> None:
    for phase in Phase:
        assert phase is Phase.STOPPED or Phase.STOPPED in MOVES[phase]
    assert frozenset() == MOVES[Phase.STOPPED]


def test_a_container_shows_its_number_phase_and_load() -> None:
    assert repr(container_in(Phase.READY)) == "<Container 7 ready running=0>"

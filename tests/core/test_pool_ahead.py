# SPDX-License-Identifier: Apache-2.0
"""Inputs that are sent ahead to a container stay pending, follow there in their order, or go back to all."""

from __future__ import annotations

import pytest

from actorpool._core import _effects as fx
from actorpool._core._batching import Batching, BatchingPool
from actorpool._core._config import AutoscalerSettings, Concurrency, Limits, Restart
from actorpool._core._container import Container, Phase
from actorpool._core._input import CANCELLED, PENDING, RUNNING, SUCCEEDED, Input
from actorpool.exception import ResourceExhaustedError

from .pools import Rig


def full(
    containers: int = 1, pending: int = 4, **options: object
) -> tuple[Rig, list[Container], list[Input]]:
    """A rig whose containers are full, and what is pending."""
    rig = Rig(max_containers=containers, **options)  # type: ignore[arg-type]
    started = rig.start(containers)
    rig.many(containers * rig.pool.concurrency.max_inputs)
    return rig, started, rig.many(pending)


def test_what_was_sent_ahead_is_pending_until_it_follows() -> None:
    rig, (container,), (first, second, *_) = full(pending=4)
    running = next(iter(container.inputs))

    assert [first, second] == rig.pool.look_ahead(container, 9)

    assert (1, 4, PENDING) == (rig.pool.running, rig.pool.pending, first.state)
    assert first is rig.pool.complete(running, SUCCEEDED, None, rig.now)
    assert (1, 3, RUNNING) == (rig.pool.running, rig.pool.pending, first.state)
    assert [first] == list(container.inputs)
    assert second is rig.pool.complete(first, SUCCEEDED, None, rig.now)


def test_it_follows_also_in_a_container_that_takes_nothing_else() -> None:
    rig, (container,), (first, second) = full(pending=2)
    running = next(iter(container.inputs))
    rig.pool.look_ahead(container, 1)

    rig.tell(fx.ContainerRetired(container))

    assert first is rig.pool.complete(running, SUCCEEDED, None, rig.now)
    assert rig.pool.complete(first, SUCCEEDED, None, rig.now) is None
    assert (PENDING, Phase.DRAINING) == (second.state, container.phase)


def test_only_a_fair_part_goes_ahead_and_nothing_to_one_that_is_recycled_by_count() -> None:
    rig, (container, _), _ = full(containers=2, pending=9)
    assert 3 == len(rig.pool.look_ahead(container, 100))

    rig, (container,), _ = full(pending=9, recycle_after=50)
    assert [] == rig.pool.look_ahead(container, 100)


def test_what_comes_back_takes_the_slots_that_others_have_free() -> None:
    rig, (container, other), (first, second) = full(containers=2, pending=2)
    (running,) = other.inputs
    assert [first] == rig.pool.look_ahead(container, 2)
    assert second is rig.pool.complete(running, SUCCEEDED, None, rig.now)
    assert rig.pool.complete(second, SUCCEEDED, None, rig.now) is None

    effects = rig.tell(fx.GivenBack(container, (first,)))

    assert fx.Deliver(other, (first,)) in effects
    assert (RUNNING, other) == (first.state, first.container)


def test_what_has_followed_by_then_is_not_given_back() -> None:
    rig, (container,), (first, _) = full(pending=2)
    (running,) = container.inputs
    rig.pool.look_ahead(container, 1)
    rig.pool.complete(running, SUCCEEDED, None, rig.now)

    rig.tell(fx.GivenBack(container, (first,)))

    assert (RUNNING, container) == (first.state, first.container)


def test_when_a_container_dies_what_was_ahead_goes_first_elsewhere() -> None:
    rig, (container,), (first, second, third) = full(pending=3)
    (running,) = container.inputs
    rig.pool.look_ahead(container, 2)

    rig.exited(container, OSError("killed"), frozenset({running}))

    assert [PENDING] * 3 == [input.state for input in (first, second, third)]
    rig.attend()
    (replacement,) = rig.in_phase(Phase.STARTING)
    rig.ready(replacement)
    assert [first] == list(replacement.inputs)


def test_one_that_is_cancelled_ahead_never_follows() -> None:
    rig, (container,), (first, second, *_) = full(pending=4)
    (running,) = container.inputs
    rig.pool.look_ahead(container, 2)

    assert PENDING == rig.pool.cancel(first, rig.now, RuntimeError("cancelled"))

    assert (CANCELLED, 3) == (first.state, rig.pool.pending)
    assert second is rig.pool.complete(running, SUCCEEDED, None, rig.now)


def test_limits_count_what_is_ahead() -> None:
    rig, (container,), _ = full(pending=4, limits=Limits(max_pending=4))
    rig.pool.look_ahead(container, 2)

    assert 0 == rig.pool.room()
    with pytest.raises(ResourceExhaustedError):
        rig.submit()


def test_when_all_is_aborted_what_is_ahead_is_too() -> None:
    rig, (container,), (first, second) = full(pending=2)
    rig.pool.look_ahead(container, 1)

    rig.tell(fx.Aborted(RuntimeError("closed")))

    assert [CANCELLED] * 2 == [first.state, second.state]
    assert (0, 0) == (rig.pool.pending, rig.pool._backlog.aside)


def test_a_ready_container_takes_nothing_that_is_ahead_of_another() -> None:
    rig, (container,), (first,) = full(pending=1)
    assert [first] == rig.pool.look_ahead(container, 1)
    rig.change(max_containers=2, min_containers=2)
    rig.attend()
    (started,) = rig.in_phase(Phase.STARTING)

    rig.ready(started)

    assert ({}, PENDING) == (started.inputs, first.state)


def test_batches_do_not_go_ahead() -> None:
    pool = BatchingPool(
        "f",
        batching=Batching(2, 0),
        names=("x",),
        settings=AutoscalerSettings(),
        concurrency=Concurrency(1, 0),
        limits=Limits(),
        restart=Restart(),
    )
    assert [] == pool.look_ahead(Container(1, 0.0), 5)

# SPDX-License-Identifier: Apache-2.0
"""What a policy may be, what it is told, and when it is asked again."""

from __future__ import annotations

from copy import deepcopy
from typing import Any

import pytest
from attrs import define, field

from actorpool._core import _effects as fx
from actorpool._core._admission import SCALING
from actorpool._core._batching import Batching, BatchingPool
from actorpool._core._config import AutoscalerSettings, Concurrency, Limits, Restart
from actorpool._core._input import Input
from actorpool._core._observed import make_pool
from actorpool._core._pool import Pool
from actorpool._core._scaling import (
    Decision,
    ScalingPolicy,
    Snapshot,
    WindowPolicy,
    policy_factory,
    takes_events,
    with_events,
)
from actorpool.exception import InvalidError
from tests.core.pools import Passive, Rig


@define
class Listener:
    """A policy that wants nothing and writes down what it is told."""

    decision: Decision = field(factory=Decision)
    told: list[tuple[str, float, float]] = field(factory=list)

    def arrived(self, now: float, seconds: float) -> None:
        self.told.append(("arrived", now, seconds))

    def completed(self, now: float, seconds: float) -> None:
        self.told.append(("completed", now, seconds))

    def ready(self, now: float, seconds: float) -> None:
        self.told.append(("ready", now, seconds))

    def failed(self, now: float, seconds: float) -> None:
        self.told.append(("failed", now, seconds))

    def decide(self, snapshot: Snapshot) -> Decision:
        return self.decision


class Arrivals:
    """A policy with a method for one event only."""

    def __init__(self) -> None:
        self.count = 0

    def arrived(self, now: float, seconds: float) -> None:
        self.count += 1

    def decide(self, snapshot: Snapshot) -> Decision:
        return Decision()


def listening(**options: Any) -> tuple[Rig, Listener]:
    policy = Listener()
    return Rig(policy=policy, **options), policy


# -- what a policy may be ------------------------------------------------------------------------


def test_each_pool_gets_a_copy_of_a_policy() -> None:
    policy = Listener()
    make = policy_factory(policy)
    first, second = make(), make()
    assert isinstance(first, Listener)
    assert first == second == policy
    assert first is not policy
    assert first is not second


def test_each_pool_gets_what_a_factory_makes() -> None:
    assert policy_factory(WindowPolicy) is WindowPolicy
    assert isinstance(policy_factory(Passive)(), Passive)


def test_what_is_no_policy_and_makes_none_is_refused() -> None:
    with pytest.raises(InvalidError, match=r"policy must be a policy, which has a method decide, .*not 5"):
        policy_factory(5)  # type: ignore[arg-type]


# -- what it is told -----------------------------------------------------------------------------


def test_a_policy_without_methods_for_events_is_asked_and_no_more() -> None:
    policy = WindowPolicy()
    assert not takes_events(policy)
    assert with_events(policy) == policy.decide
    rig = Rig(policy=policy)
    assert type(rig.pool) is Pool
    rig.submit()
    assert () == rig.pool.snapshot(0.0).events


def test_a_policy_is_told_of_the_life_of_an_input_in_order() -> None:
    rig, policy = listening(now=10.0)
    input = rig.submit()
    rig.attend()
    rig.now = 12.0
    rig.ready(rig.containers[0])
    rig.now = 15.0
    rig.end(input)
    rig.look()
    expected = [("arrived", 10.0, 0.0), ("ready", 12.0, 2.0), ("completed", 15.0, 3.0)]
    assert expected == policy.told
    rig.look()
    assert expected == policy.told


def test_a_policy_is_told_of_starts_that_fail_and_of_containers_that_die() -> None:
    rig, policy = listening()
    first, second = rig.ask(2)
    rig.now = 1.0
    rig.fail_start(first)
    rig.ready(second)
    rig.now = 5.0
    rig.exited(second, OSError("killed"))
    rig.look()
    assert [("failed", 1.0, 1.0), ("ready", 1.0, 1.0), ("failed", 5.0, 5.0)] == policy.told


def test_a_start_that_was_called_off_neither_succeeds_nor_fails() -> None:
    rig, policy = listening()
    first, second, third = rig.ask(3)
    rig.decide(cancel=3)
    rig.ready(first)
    rig.fail_start(second)
    rig.exited(third)
    rig.look()
    assert [] == policy.told


def test_an_input_that_was_cancelled_while_pending_does_not_complete() -> None:
    rig, policy = listening()
    rig.cancel(rig.submit())
    rig.look()
    assert [("arrived", 0.0, 0.0)] == policy.told


def test_work_that_outlived_its_container_is_not_told_twice() -> None:
    rig, policy = listening()
    (container,) = rig.start()
    input = rig.submit()
    rig.exited(container, OSError("killed"))
    rig.end(input)
    rig.look()
    assert ["ready", "arrived", "failed"] == [name for name, _, _ in policy.told]


def test_a_further_attempt_arrives_anew() -> None:
    rig, policy = listening(retries=1)
    rig.start()
    rig.fail(rig.submit())
    rig.advance(5.0)
    rig.look()
    assert ["ready", "arrived", "completed", "arrived"] == [name for name, _, _ in policy.told]


def test_a_policy_with_a_method_for_one_event_is_told_of_no_other() -> None:
    policy = Arrivals()
    rig = Rig(policy=policy)
    rig.start()
    for _ in range(3):
        rig.end(rig.submit())
    rig.look()
    assert 3 == policy.count


def test_events_that_nobody_asks_for_stay_few() -> None:
    rig, policy = listening(min_containers=1)
    rig.start()
    rig.attend()
    for _ in range(512):
        assert not rig.pool.attention & SCALING
        rig.end(rig.submit())
    assert rig.pool.attention & SCALING
    rig.attend()
    assert 1_025 == len(policy.told)


@pytest.mark.parametrize("policy", [Passive(), Listener()])
def test_the_events_of_a_batched_function_speak_of_batches(policy: ScalingPolicy) -> None:
    pool = make_pool(
        "f",
        policy,
        batching=Batching(max_batch_size=2, wait_ms=0),
        names=("x",),
        settings=AutoscalerSettings(),
        concurrency=Concurrency(),
        limits=Limits(),
        restart=Restart(),
    )
    assert isinstance(pool, BatchingPool)
    for number in range(4):
        pool.submit(_input(number), 1.0)
    pool.handle(fx.Ticked(), 2.0)
    events = pool.snapshot(3.0).events
    assert ([("arrived", 2.0, 0.0)] * 2 if isinstance(policy, Listener) else []) == list(events)


def _input(number: int) -> Input:
    return Input("f", (number,), None, None)


# -- when it is asked again ----------------------------------------------------------------------


def test_a_policy_may_ask_to_look_before_the_containers_are_full() -> None:
    rig, policy = listening(max_inputs=10, scaledown_window=100.0)
    rig.start()
    policy.decision = Decision(wake_above=4)
    rig.attend()
    for running in range(1, 8):
        rig.submit()
        assert (running > 4) == bool(rig.pool.attention & SCALING)


def test_a_policy_that_asks_to_look_above_what_is_running_is_not_asked_at_once() -> None:
    rig, policy = listening(max_inputs=10)
    rig.start()
    policy.decision = Decision(wake_above=0)
    rig.many(3)
    rig.attend()
    looks = rig.looks
    rig.submit()
    rig.attend()
    assert 1 == rig.looks - looks


def test_a_policy_may_ask_to_look_before_a_container_has_idled_for_the_window() -> None:
    rig, policy = listening(scaledown_window=60.0)
    rig.start()
    input = rig.submit()
    policy.decision = Decision(wake_at=50.0, wake_idle_s=10.0)
    rig.attend()
    rig.now = 30.0
    rig.end(input)
    assert rig.pool.attention & SCALING
    policy.decision = Decision(wake_at=40.0, wake_idle_s=10.0)
    rig.attend()
    rig.end(rig.submit())
    assert not rig.pool.attention & SCALING


# -- what is overruled ---------------------------------------------------------------------------


@pytest.mark.parametrize("decision", [Decision(stop=2), Decision(cancel=1), Decision(stop=1, start=9)])
def test_a_decision_that_names_what_is_not_there_counts_as_overruled(decision: Decision) -> None:
    rig = Rig(policy=Passive(), max_containers=3)
    rig.start(2)
    rig.submit()
    seen = rig.pool.snapshot(0.0)
    rig.tell(fx.Decided(decision, seen))
    assert 1 == rig.pool.overruled


def test_a_decision_that_calls_off_starts_for_the_minimum_counts_as_overruled_s11() -> None:
    rig = Rig(policy=Passive(), min_containers=2)
    rig.ask(2)
    rig.decide(cancel=1)
    assert (2, 1) == (rig.pool.size, rig.pool.overruled)


def test_a_copy_of_a_policy_that_learns_goes_on_alone() -> None:
    rig, policy = listening()
    rig.submit()
    rig.look()
    copy = deepcopy(policy)
    rig.submit()
    rig.look()
    assert (1, 2) == (len(copy.told), len(policy.told))


def test_what_came_while_the_policy_was_deciding_does_not_make_its_decision_overruled() -> None:
    rig = Rig(policy=Passive())
    seen = rig.pool.snapshot(0.0)
    rig.submit()
    rig.tell(fx.Decided(Decision(), seen))
    assert (0, 0) == (rig.pool.size, rig.pool.overruled)


def test_what_came_while_the_policy_was_deciding_is_the_next_decisions() -> None:
    rig = Rig()
    seen = rig.pool.snapshot(0.0)
    decision = rig.policy.decide(seen)
    rig.submit()
    rig.tell(fx.Decided(decision, seen))
    rig.attend()
    assert (1, 0) == (rig.pool.size, rig.pool.overruled)


def test_a_container_lost_while_the_policy_was_deciding_is_the_next_decisions_s11() -> None:
    rig = Rig(min_containers=1)
    (container,) = rig.start()
    seen = rig.pool.snapshot(0.0)
    decision = rig.policy.decide(seen)
    rig.tell(fx.ContainerExited(container))
    assert [] == rig.tell(fx.Decided(decision, seen))
    rig.attend()
    assert (1, 0) == (rig.pool.size, rig.pool.overruled)

# SPDX-License-Identifier: Apache-2.0
"""AdaptivePolicy: what it starts, keeps and stops."""

from __future__ import annotations

import math
import sys
from statistics import NormalDist
from typing import Any

import pytest

from actorpool._core._adaptive import AdaptivePolicy, _quantile
from actorpool._core._config import AutoscalerSettings
from actorpool._core._container import Phase
from actorpool._core._scaling import Decision
from actorpool.exception import InvalidError
from actorpool.testing import check_policy
from tests.core.pools import Rig
from tests.core.test_scaling import seen


class Pool(Rig):
    """A pool under the adaptive policy, in which containers take a second to start, and inputs half of one."""

    startup_s = 1.0
    service_s = 0.5

    def __init__(self, **options: Any) -> None:
        policy = AdaptivePolicy(options.pop("eagerness", 1.0))
        super().__init__(policy=policy, **options)
        self.work: list[tuple[float, Any]] = []
        self.waits: list[float] = []

    def run(self, seconds: float) -> None:
        """Let time pass, in which containers become ready and inputs end."""
        until = self.now + seconds
        while self.now < until:
            self.advance(0.125)
            for container in self.in_phase(Phase.STARTING):
                if container.asked_at + self.startup_s <= self.now:
                    self.ready(container)
            for container in self.in_phase(Phase.READY):
                for input, since in list(container.inputs.items()):
                    if since + self.service_s <= self.now:
                        self.end(input)
            for container in self.in_phase(Phase.STOPPING):
                self.exited(container)
            self.attend()

    def each(self, gap_s: float, times: int, inputs: int = 1) -> None:
        for _ in range(times):
            self.many(inputs)
            self.run(gap_s)


def decided(**changes: Any) -> Decision:
    return AdaptivePolicy().decide(seen(**changes))


# -- starting ------------------------------------------------------------------------------------


def test_a_first_input_starts_a_container() -> None:
    decision = decided(pending=1)
    assert (1, "1 container, have 0: 1 input waiting") == (decision.start, decision.reason)


def test_inputs_of_unknown_length_start_a_container_each_up_to_the_maximum_s10() -> None:
    assert 100 == decided(pending=100).start
    assert 10 == decided(pending=100, target_inputs=10).start
    assert 3 == decided(pending=100, max_containers=3).start


def test_minimum_and_buffer_are_kept_s11_s12() -> None:
    assert 2 == decided(min_containers=2).start
    assert 5 == decided(ready=1, running=1, buffer_containers=5).start
    assert 0 == decided(buffer_containers=5).start


def test_a_backlog_starts_fewer_containers_than_it_has_inputs_if_starts_take_long() -> None:
    rig = Pool(startup_hint_s=1.0)
    rig.startup_s, rig.service_s = 5.0, 0.125
    rig.each(20.0, 3)
    before = len(rig.containers)
    rig.many(40)
    rig.attend()
    assert 1 < len(rig.containers) - before < 30


def test_a_backlog_that_running_slots_drain_before_a_start_helps_starts_nothing_more_than_demand_is_worth() -> (
    None
):
    rig = Pool()
    rig.startup_s, rig.service_s = 5.0, 0.125
    rig.each(20.0, 3)
    rig.many(4)
    rig.attend()
    assert len(rig.in_phase(Phase.STARTING)) <= 2
    rig.run(1.0)
    assert 0 == rig.pool.pending


def test_inputs_that_take_no_time_are_left_to_one_container() -> None:
    policy = AdaptivePolicy()
    policy.arrived(0.0, 0.0)
    policy.completed(0.0, 0.0)
    assert 1 == policy.decide(seen(now=1.0, pending=9)).start
    assert 0 == policy.decide(seen(now=1.0, pending=9, ready=1, running=1)).start


def test_containers_are_started_ahead_of_a_load_that_rises() -> None:
    policy = AdaptivePolicy()
    now, running = 0.0, 0
    policy.ready(now, 1.0)
    for _ in range(10):
        policy.completed(now, 5.0)
    decision = Decision()
    while not decision.start:
        now += 0.1
        running += 1
        policy.arrived(now, 0.0)
        decision = policy.decide(seen(now=now, ready=20, idle=20 - running, running=running, startup_s=1.0))
    assert running < 20
    assert "expected within a start-up of 1 s" in decision.reason


def test_a_policy_under_load_asks_to_look_when_half_of_the_free_slots_are_taken() -> None:
    assert 6 == decided(ready=10, idle=8, running=2).wake_above
    assert 11 == decided(ready=10, running=10).wake_above


# -- stopping ------------------------------------------------------------------------------------


def test_no_container_idles_beyond_the_window_s13() -> None:
    rig = Pool(scaledown_window=4.0)
    rig.each(0.5, 10)
    rig.run(5.0)
    assert (0, 0) == (rig.pool.size, rig.pool.overruled)


def test_a_container_is_stopped_early_if_demand_is_never_back_soon() -> None:
    rig = Pool(scaledown_window=60.0)
    for gap in (200.0, 100.0, 170.0, 300.0, 130.0, 250.0, 150.0, 90.0):
        rig.each(gap, 1)
    rig.submit()
    rig.run(4.0)
    assert 0 == rig.pool.size
    assert 0 == rig.pool.overruled


def test_a_container_is_kept_if_demand_is_always_back_soon() -> None:
    rig = Pool(scaledown_window=60.0)
    for gap in (20.0, 10.0, 17.0, 30.0, 13.0, 25.0, 15.0, 9.0):
        rig.each(gap, 2)
    assert 1 == len(rig.containers)


def test_demand_that_comes_by_the_clock_finds_containers_ready() -> None:
    rig = Pool(scaledown_window=60.0)
    rig.each(300.0, 6)
    rig.run(-rig.now % 300.0)
    assert 1 == len(rig.in_phase(Phase.READY))
    rig.submit()
    assert 0 == rig.pool.pending
    rig.run(200.0)
    assert 0 == rig.pool.size
    # It is over: one more is started in vain.
    rig.run(900.0)
    assert (0, 0) == (rig.pool.size, rig.pool.overruled)


def test_starts_whose_backlog_has_gone_are_called_off_save_a_few() -> None:
    policy = AdaptivePolicy()
    decision = policy.decide(seen(ready=1, running=1, starting=9))
    assert (6, "call off 6 starts: 1 input, have 10") == (decision.cancel, decision.reason)
    assert 0 == policy.decide(seen(ready=1, running=1, starting=9, pending=1)).cancel
    idle = {"ready": 5, "idle": 5, "expired": 5, "oldest_idle_since": 900.0}
    decision = policy.decide(seen(starting=9, **idle))
    assert (9, 5) == (decision.cancel, decision.stop)
    assert decision.reason.endswith("; 5 idle for the whole window")


def test_what_a_forecast_held_for_the_whole_window_is_not_started_right_away_again() -> None:
    policy = AdaptivePolicy()
    now = 0.0
    policy.ready(now, 1.0)
    for _ in range(400):
        now += 0.1
        policy.arrived(now, 0.0)
        policy.completed(now, 0.5)
    pool = {"running": 4, "startup_s": 1.0}
    decision = policy.decide(seen(now=now, ready=8, idle=4, expired=1, oldest_idle_since=now - 60.0, **pool))
    assert 1 == decision.stop
    again = policy.decide(seen(now=now, ready=7, idle=3, oldest_idle_since=now - 6.0, **pool))
    assert (0, 0) == (again.start, again.stop)
    for _ in range(200):
        now += 0.01
        policy.arrived(now, 0.0)
        policy.completed(now, 0.5)
    assert policy.decide(seen(now=now, ready=7, idle=3, oldest_idle_since=now - 2.0, **pool)).start > 0


def test_what_idled_for_the_whole_window_goes_even_if_others_are_wanted_by_the_clock() -> None:
    rig = Pool(scaledown_window=60.0)
    rig.each(300.0, 6, inputs=4)
    policy = rig.policy
    decision = policy.decide(
        seen(now=rig.now - 1.0, ready=2, idle=2, expired=2, oldest_idle_since=rig.now - 61.0, startup_s=1.0)
    )
    assert (4, 2) == (decision.start, decision.stop)
    assert "4 containers, have 2: demand comes back by the clock" == decision.reason


# -- the knob, and what it costs ------------------------------------------------------------------


def test_eagerness_buys_shorter_waits_with_container_seconds() -> None:
    cost, late = [], []
    for eagerness in (0.05, 20.0):
        rig = Pool(scaledown_window=60.0, eagerness=eagerness)
        for gap in (20.0, 35.0, 17.0, 50.0, 13.0, 45.0, 29.0, 40.0) * 3:
            rig.submit()
            late.append(rig.pool.pending)
            rig.run(gap)
        cost.append(rig.pool.container_seconds(rig.now))
    assert cost[0] < 0.7 * cost[1]
    assert sum(late[24:]) < sum(late[:24]) / 4


@pytest.mark.parametrize("eagerness", [0, -1.0, math.inf, "much"])
def test_eagerness_is_a_number_above_zero(eagerness: Any) -> None:
    with pytest.raises(InvalidError, match="eagerness"):
        AdaptivePolicy(eagerness)


def test_a_decision_takes_as_many_steps_whatever_the_number_of_containers() -> None:
    steps = []
    for size in (10, 10_000):
        policy = AdaptivePolicy()
        policy.ready(0.0, 1.0)
        for place in range(100):
            policy.arrived(place / 10, 0.0)
            policy.completed(place / 10, 1.0)
        snapshot = seen(now=20.0, ready=size, running=size - 1, idle=1, oldest_idle_since=19.5)
        policy.decide(snapshot)
        calls = 0

        def count(*_: object) -> None:
            nonlocal calls
            calls += 1

        policy.arrived(20.0, 0.0)
        sys.setprofile(count)
        try:
            policy.decide(snapshot)
        finally:
            sys.setprofile(None)
        steps.append(calls)
    assert abs(steps[0] - steps[1]) <= 30


def test_it_passes_the_conformance_suite_of_policies() -> None:
    check_policy(AdaptivePolicy)


def test_settings_may_change_under_it_s15() -> None:
    rig = Pool(scaledown_window=60.0)
    rig.each(0.5, 10, inputs=4)
    rig.change(max_containers=2, scaledown_window=5.0)
    rig.run(1.0)
    assert rig.pool.size <= 2
    rig.change(min_containers=3, scaledown_window=5.0)
    rig.run(10.0)
    assert 3 == rig.pool.size
    assert AutoscalerSettings(min_containers=3, scaledown_window=5.0) == rig.pool.settings


def test_inputs_that_take_longer_than_they_used_to_are_believed() -> None:
    policy = AdaptivePolicy()
    policy.ready(0.0, 0.01)
    for _ in range(200):
        policy.arrived(0.0, 0.0)
        policy.completed(0.0, 0.0)
    assert 0 == policy.decide(seen(now=1.0, ready=1, running=1, pending=79)).start
    assert 40 < policy.decide(seen(now=2.0, ready=1, running=1, pending=79, quiet_s=1.0)).start


@pytest.mark.parametrize("beyond", [0.5, 0.3, 0.1, 0.01, 1 / 740])
def test_the_quantile_is_that_of_the_normal_distribution(beyond: float) -> None:
    assert pytest.approx(NormalDist().inv_cdf(1 - beyond), abs=5e-4) == _quantile(beyond)

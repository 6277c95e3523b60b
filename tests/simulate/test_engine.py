# SPDX-License-Identifier: Apache-2.0
"""Simulations that can be reckoned by hand."""

from __future__ import annotations

from typing import Any

import pytest

from actorpool import AutoscalerSettings, Decision, Limits, Snapshot
from actorpool.exception import InvalidError
from actorpool.simulate import MapCall, Report, Trace, simulate


def run(
    arrivals: list[float],
    services: list[float],
    *,
    startup: float = 2.0,
    duration_s: float = 0.0,
    max_inputs: int = 1,
    target_inputs: int = 0,
    **settings: Any,
) -> Report:
    trace = Trace(arrivals=arrivals, services=services, startups=[startup], duration_s=duration_s)
    bounds = AutoscalerSettings(**{"scaledown_window": 10.0, **settings})
    return simulate(trace, bounds, max_inputs=max_inputs, target_inputs=target_inputs)


def test_an_input_waits_for_its_container_which_stops_after_the_window() -> None:
    report = run([1.0], [3.0], duration_s=100.0)

    assert [2.0] == report.waits().tolist()
    assert (1, 1, 1) == (report.inputs, report.starts, report.peak_containers)
    assert 2.0 + 3.0 + 10.0 == report.container_seconds
    assert (2.0, 10.0) == (report.starting_s, report.idle_s)
    assert report.cold_share == 1.0
    assert report.duration_s == 100.0


def test_an_input_within_the_window_finds_a_warm_container() -> None:
    report = run([1.0, 15.0], [3.0, 3.0], duration_s=100.0)

    assert [2.0, 0.0] == report.waits().tolist()
    assert report.starts == 1
    assert report.cold_share == 0.5
    assert 2.0 + 3.0 + 9.0 + 3.0 + 10.0 == report.container_seconds


def test_the_end_of_the_app_cuts_the_window_off() -> None:
    assert 2.0 + 3.0 == run([1.0], [3.0]).container_seconds
    assert 2.0 + 3.0 + 4.0 == run([1.0], [3.0], duration_s=10.0).container_seconds


def test_an_app_closes_when_the_last_input_has_ended() -> None:
    assert 1.0 + 2.0 + 3.0 == run([1.0], [3.0], duration_s=2.0).duration_s


def test_at_the_maximum_inputs_wait_for_each_other() -> None:
    report = run([0.0, 0.0, 0.0], [4.0, 4.0, 4.0], max_containers=1)

    assert [2.0, 6.0, 10.0] == report.waits().tolist()
    assert (6.0, 6.0, 10.0, 10.0) == (
        report.wait_mean_s,
        report.wait_p50_s,
        report.wait_p95_s,
        report.wait_max_s,
    )
    assert report.cold_share == 1.0


def test_the_minimum_is_started_before_anything_comes_and_stays() -> None:
    report = run([5.0, 5.0], [1.0, 1.0], min_containers=2, duration_s=50.0)

    assert [0.0, 0.0] == report.waits().tolist()
    assert report.container_seconds == 100.0
    assert report.idle_s == 100.0 - 2 * 2.0 - 2 * 1.0
    assert report.cold_share == 0.0


def test_a_buffer_spares_the_second_input_its_wait() -> None:
    assert [2.0, 2.0] == run([0.0, 3.0], [9.0, 9.0]).waits().tolist()
    assert [2.0, 0.0] == run([0.0, 3.0], [9.0, 9.0], buffer_containers=1).waits().tolist()


def test_slots_of_a_container_are_shared() -> None:
    report = run([0.0, 3.0, 3.0], [9.0, 9.0, 1.0], max_inputs=3)

    assert [2.0, 0.0, 0.0] == report.waits().tolist()
    assert report.peak_containers == 1


def test_the_target_makes_a_burst_start_a_container_that_is_not_waited_for() -> None:
    report = run([0.0, 3.0], [9.0, 9.0], max_inputs=2, target_inputs=1)

    assert [2.0, 0.0] == report.waits().tolist()
    assert report.starts == 2


def test_inputs_beyond_a_limit_are_refused_and_counted() -> None:
    trace = Trace(arrivals=[0.0, 0.0, 0.0], services=[1.0] * 3, startups=[1.0])

    report = simulate(trace, limits=Limits(max_pending=2))

    assert (2, 1) == (report.inputs, report.refused)
    assert [1.0, 1.0] == [wait for wait in report.waits() if wait == wait]


def test_starts_take_the_times_of_the_trace_and_then_some_of_them() -> None:
    trace = Trace(arrivals=[0.0] * 5, services=[100.0] * 5, startups=[3.0, 1.0])

    waits = simulate(trace, seed=1).waits().tolist()

    assert [1.0, 3.0] == sorted(waits)[:1] + sorted(waits)[-1:]
    assert waits == simulate(trace, seed=1).waits().tolist()
    assert {1.0, 3.0} == set(waits)
    seeds = {tuple(simulate(trace, seed=seed).waits()) for seed in range(8)}
    assert len(seeds) > 1


def test_a_map_submits_as_its_inputs_end() -> None:
    trace = Trace(
        services=[1.0, 2.0, 1.0, 1.0],
        startups=[0.5],
        callers=((MapCall(inputs=4, in_flight=2, pause_s=1.0),),),
    )

    report = simulate(trace)

    # The third comes when the first has ended, the fourth with the second, and both slots are theirs at once.
    assert [0.5, 0.5, 0.0, 0.0] == report.waits().tolist()
    assert 1.0 + 0.5 + 3.0 == report.duration_s


def test_maps_of_one_caller_follow_each_other_and_those_of_another_run_beside_them() -> None:
    first = (MapCall(inputs=2), MapCall(inputs=1, pause_s=5.0))
    trace = Trace(services=[1.0, 3.0, 1.0, 20.0], startups=[0.0], callers=(first, (MapCall(inputs=1),)))

    report = simulate(trace, AutoscalerSettings(scaledown_window=1.0))

    assert [0.0] * 4 == report.waits().tolist()
    assert report.duration_s == 20.0
    # Two of the first map, the other caller's, and after the pause one anew.
    assert report.starts == 4


def test_a_map_waits_for_room_rather_than_be_refused() -> None:
    trace = Trace(services=[1.0] * 6, startups=[0.0], callers=((MapCall(inputs=6),),))

    report = simulate(trace, AutoscalerSettings(max_containers=1), limits=Limits(max_pending=2))

    assert (6, 0) == (report.inputs, report.refused)
    assert report.duration_s == 6.0


class Restless:
    """Wants to look again at once, for ever."""

    def decide(self, snapshot: Snapshot) -> Decision:
        return Decision(wake_at=snapshot.now)


def test_a_policy_that_never_rests_is_named() -> None:
    trace = Trace(arrivals=[0.0], services=[1.0], startups=[1.0])

    with pytest.raises(InvalidError, match="Restless asks at 0 s for ever to be woken at once"):
        simulate(trace, policy=Restless)


class Wild:
    """Wants what the contract forbids."""

    def decide(self, snapshot: Snapshot) -> Decision:
        return Decision(start=5, stop=snapshot.ready, wake_at=snapshot.now + 1.0)


def test_a_policy_that_oversteps_is_overruled_and_the_contract_kept() -> None:
    trace = Trace(arrivals=[0.0, 1.0, 7.0], services=[2.0, 9.0, 1.0], startups=[0.5], duration_s=40.0)

    report = simulate(trace, AutoscalerSettings(min_containers=1, max_containers=3), policy=Wild)

    assert {} == report.violations
    assert report.overruled > 0
    assert report.peak_containers == 3
    assert report.label == "Wild"


def test_the_policys_own_failure_is_not_hidden() -> None:
    class Broken:
        def decide(self, snapshot: Snapshot) -> Decision:
            raise ZeroDivisionError("no idea")

    with pytest.raises(ZeroDivisionError, match="no idea"):
        simulate(Trace(arrivals=[0.0], services=[1.0], startups=[1.0]), policy=Broken)


def test_the_course_is_the_mean_over_each_span() -> None:
    report = run([1.0], [3.0], duration_s=20.0)

    series = report.series(points=10)

    assert series.step_s == 2.0
    assert (0.5, 1.0, 1.0, 0.0) == series.demand[:4]
    assert (0.5, 0.5, 0.0) == series.backlog[:3]
    assert (0.5, *[1.0] * 7, 0.0, 0.0) == series.containers
    assert report.container_seconds == pytest.approx(sum(series.containers) * series.step_s)

    part = report.series(points=3, begin_s=2.0, end_s=5.0)
    assert (2.0, 1.0) == (part.begin_s, part.step_s)
    assert ((1.0, 1.0, 1.0), (1.0, 0.0, 0.0)) == (part.demand, part.backlog)
    with pytest.raises(InvalidError, match="would end at 2 s, and begin at 5 s"):
        report.series(begin_s=5.0, end_s=2.0)


def test_a_trace_must_be_in_order_and_whole() -> None:
    with pytest.raises(InvalidError, match="out of order"):
        Trace(arrivals=[1.0, 0.0], services=[1.0, 1.0], startups=[0.0])
    with pytest.raises(InvalidError, match="1 service times for 2 arrivals"):
        Trace(arrivals=[0.0, 0.0], services=[1.0], startups=[0.0])
    with pytest.raises(InvalidError, match="no start-up time"):
        Trace(services=[], startups=[])
    for bad in (-1.0, float("nan"), float("inf")):
        with pytest.raises(InvalidError, match="service times of trace 'trace' must be finite"):
            Trace(arrivals=[0.0, 0.0], services=[1.0, bad], startups=[0.0])
    with pytest.raises(InvalidError, match="in_flight must be at least 1"):
        MapCall(inputs=1, in_flight=0)


def test_a_trace_says_what_it_is() -> None:
    trace = Trace(arrivals=[0.0], services=[1.0], startups=[0.0], duration_s=5.0).named("mine")

    assert repr(trace) == "<Trace 'mine' inputs=1 duration=5s>"


def test_a_trace_without_inputs_costs_its_minimum_alone() -> None:
    report = simulate(
        Trace(services=[], startups=[0.0], duration_s=5.0), AutoscalerSettings(min_containers=1)
    )

    assert (0, 5.0, 0.0, 0.0) == (
        report.inputs,
        report.container_seconds,
        report.wait_p99_s,
        report.starts_per_1000,
    )

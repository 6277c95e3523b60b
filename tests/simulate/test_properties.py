# SPDX-License-Identifier: Apache-2.0
"""What holds for every trace, under any settings: the contract is kept, and no figure contradicts another."""

from __future__ import annotations

import math
from collections.abc import Callable

import pytest
from hypothesis import given
from hypothesis import strategies as st

from actorpool import AdaptivePolicy, AutoscalerSettings, ScalingPolicy, WindowPolicy
from actorpool.simulate import MapCall, Trace, simulate

# Multiples of an eighth, so that sums are exact.
SECONDS = st.integers(0, 400).map(lambda eighths: eighths / 8)
POLICIES: list[Callable[[], ScalingPolicy]] = [WindowPolicy, AdaptivePolicy]


@st.composite
def traces(draw: st.DrawFn) -> Trace:
    arrivals = sorted(draw(st.lists(SECONDS, max_size=20)))
    calls = st.builds(MapCall, inputs=st.integers(1, 8), pause_s=SECONDS, in_flight=st.integers(1, 4))
    callers = tuple(tuple(maps) for maps in draw(st.lists(st.lists(calls, max_size=2), max_size=2)))
    count = len(arrivals) + sum(call.inputs for maps in callers for call in maps)
    return Trace(
        arrivals=arrivals,
        services=draw(st.lists(SECONDS, min_size=count, max_size=count)),
        startups=draw(st.lists(SECONDS, min_size=1, max_size=3)),
        callers=callers,
        duration_s=draw(SECONDS),
    )


@st.composite
def bounds(draw: st.DrawFn) -> AutoscalerSettings:
    least = draw(st.integers(0, 3))
    return AutoscalerSettings(
        min_containers=least,
        max_containers=draw(st.none() | st.integers(max(1, least), 6)),
        buffer_containers=draw(st.integers(0, 2)),
        scaledown_window=draw(st.sampled_from([0.125, 1.0, 8.0, 60.0])),
    )


@pytest.mark.parametrize("policy", POLICIES, ids=lambda policy: policy.__name__)
@given(trace=traces(), settings=bounds(), slots=st.tuples(st.integers(1, 3), st.integers(0, 3)))
def test_every_simulation_keeps_the_contract_and_adds_up(
    policy: Callable[[], ScalingPolicy], trace: Trace, settings: AutoscalerSettings, slots: tuple[int, int]
) -> None:
    report = simulate(trace, settings, max_inputs=slots[0], target_inputs=min(slots), policy=policy)

    assert () == report.broken
    assert {} == report.violations
    assert (len(trace), 0) == (report.inputs, report.refused)
    waits = report.waits().tolist()
    assert all(wait >= 0 for wait in waits)
    assert report.wait_max_s == max(waits, default=0.0)
    assert report.wait_p50_s <= report.wait_p95_s <= report.wait_p99_s <= report.wait_max_s
    work = math.fsum(trace.services)
    busy = report.container_seconds - report.idle_s - report.starting_s
    # Slots of one container run at the same time.
    assert work / slots[0] - 1e-6 <= busy <= work + 1e-6
    series = report.series(points=7)
    assert report.container_seconds == pytest.approx(sum(series.containers) * series.step_s)
    assert math.fsum(waits) == pytest.approx(sum(series.backlog) * series.step_s, abs=1e-6)
    assert math.fsum(waits) + work == pytest.approx(sum(series.demand) * series.step_s, abs=1e-6)
    if not report.wait_max_s:
        assert report.container_seconds >= report.clairvoyant_s() - 1e-6


@given(trace=traces(), settings=bounds(), seed=st.integers(0, 3))
def test_a_simulation_can_be_repeated(trace: Trace, settings: AutoscalerSettings, seed: int) -> None:
    first, second = (simulate(trace, settings, seed=seed) for _ in range(2))

    assert first.waits() == second.waits()
    assert first.series() == second.series()
    assert (first.container_seconds, first.looks) == (second.container_seconds, second.looks)


def clairvoyant(
    arrivals: list[float], services: list[float], startup: float, *, slots: int = 1, least: int = 0
) -> float:
    trace = Trace(arrivals=arrivals, services=services, startups=[startup], duration_s=100.0)
    settings = AutoscalerSettings(min_containers=least)
    return simulate(trace, settings, max_inputs=slots).clairvoyant_s()


def test_the_clairvoyant_starts_in_time_and_keeps_over_gaps_that_are_cheaper_than_a_start() -> None:
    assert 5.0 + 2.0 == clairvoyant([10.0], [2.0], 5.0)
    assert 5.0 + 2.0 + 3.0 + 2.0 == clairvoyant([10.0, 15.0], [2.0, 2.0], 5.0)
    assert 5.0 + 2.0 + 5.0 + 2.0 == clairvoyant([10.0, 80.0], [2.0, 2.0], 5.0)
    # Two at a time need two, or one of two slots; the minimum is paid for throughout.
    assert 2 * (5.0 + 2.0) == clairvoyant([10.0, 10.0], [2.0, 2.0], 5.0)
    assert 5.0 + 3.0 == clairvoyant([10.0, 11.0], [2.0, 2.0], 5.0, slots=2)
    assert 100.0 + 5.0 + 2.0 == clairvoyant([10.0, 10.0], [2.0, 2.0], 5.0, least=1)


def test_the_clairvoyant_runs_a_map_without_a_wait() -> None:
    maps = (MapCall(inputs=4, in_flight=2, pause_s=1.0),)
    trace = Trace(services=[1.0, 2.0, 1.0, 1.0], startups=[0.5], callers=(maps,))

    # From 1 to 4 and from 1 to 3; before it, two starts.
    assert 0.5 + 3.0 + 0.5 + 2.0 == simulate(trace).clairvoyant_s()

# SPDX-License-Identifier: Apache-2.0
"""The peers of the scaling benchmark do what their descriptions say, on traces worked out by hand."""

from __future__ import annotations

from typing import Any

import pytest

from actorpool._core._scaling import Decision, ScalingPolicy, with_events
from actorpool.simulate import Trace, simulate
from benchmarks.scaling.peers import (
    PEERS,
    Dask,
    FixedIdle,
    Hpa,
    HybridHistogram,
    Knative,
    PlainReading,
    RayServe,
    SquareRoot,
)
from tests.core.test_scaling import seen

Step = tuple[float, dict[str, Any]]


def driven(policy: ScalingPolicy, *steps: Step) -> list[int]:
    """Return how many containers the policy wants at each of these instants."""
    wanted = []
    decide = with_events(policy)
    for now, state in steps:
        snapshot = seen(now=now, **state)
        wanted.append(_after(decide(snapshot), snapshot.ready + snapshot.starting))
    return wanted


def _after(decision: Decision, count: int) -> int:
    return count + decision.start - decision.cancel - decision.stop


def busy(count: int) -> dict[str, Any]:
    return {"ready": count, "running": count}


def idle(count: int, **more: Any) -> dict[str, Any]:
    return {"ready": count, "idle": count, "oldest_idle_since": 0.0, **more}


# -- one for each input ---------------------------------------------------------------------------


def test_the_plain_reading_starts_for_each_input_and_stops_at_the_window() -> None:
    assert [5, 5, 8, 8, 6] == driven(
        PlainReading(),
        (0.0, {"pending": 5}),
        (1.0, {"pending": 5, "starting": 5}),
        (2.0, {"pending": 3, **busy(5)}),
        (30.0, idle(8)),
        (60.0, idle(8, expired=2)),
    )


def test_lambda_stops_after_its_own_time_and_starts_a_thousand_at_once() -> None:
    policy = FixedIdle(10.0)
    assert [1_000, 1_500, 1_500, 1_499] == driven(
        policy,
        (0.0, {"pending": 1_500}),
        # 100 a second are refilled.
        (5.0, {"pending": 500, **busy(1_000)}),
        (9.9, idle(1_500)),
        (10.0, idle(1_500)),
    )


# -- Knative --------------------------------------------------------------------------------------


def test_knative_takes_the_mean_of_the_stable_window_over_its_utilization() -> None:
    # Seven at a time throughout: 7 / 0.7 = 10. Until then it panics, as 10 is more than twice what is ready.
    assert [10, 10, 10] == driven(Knative(), (0.0, busy(7)), (2.0, busy(7)), (4.0, {**busy(7), "ready": 10}))


def test_knative_in_panic_follows_the_short_window_and_never_goes_down() -> None:
    policy = Knative(utilization=1.0)
    steps: list[Step] = [(second, busy(1)) for second in range(0, 60, 2)]
    assert {1} == set(driven(policy, *steps))
    # Eight at a time from second 60 on: in the 6 s of the panic window there were 2 s of 8, at second 62.
    up = driven(policy, (60.0, busy(1)), (60.001, {"ready": 1, "running": 1, "pending": 7}))
    assert [1, 1] == up
    assert [4] == driven(policy, (62.0, {"ready": 1, "running": 1, "pending": 7}))
    assert [8] == driven(policy, (68.0, {"ready": 4, "running": 4, "pending": 4}))
    # The demand is gone; it stays for a stable window from the last time over the threshold.
    assert [8, 8] == driven(policy, (70.0, idle(8)), (120.0, idle(8)))
    # What idles is let go by half of what is ready at a time, as the mean of the window falls.
    (left,) = driven(policy, (130.0, idle(8)))
    assert 4 <= left < 8


def test_knative_keeps_the_last_one_for_a_grace_period() -> None:
    policy = Knative(utilization=1.0)
    assert [1] == driven(policy, (0.0, {"pending": 1}))
    assert [1] == driven(policy, (100.0, idle(1)))
    assert [1] == driven(policy, (200.0, idle(1)))
    assert [0] == driven(policy, (230.0, idle(1)))


# -- Ray Serve ------------------------------------------------------------------------------------


def test_ray_serve_waits_for_its_delays() -> None:
    policy = RayServe()
    assert [1] == driven(policy, (0.0, {"pending": 4}))
    # Four for one replica is wanted from second 1 on, the mean of the look-back window included; done 30 s later.
    queue = {"ready": 1, "running": 1, "pending": 3}
    steps: list[Step] = [(float(second), queue) for second in range(1, 32)]
    assert [1] * 30 + [4] == driven(policy, *steps)
    later: list[Step] = [(40.0 + 10 * step, idle(4)) for step in range(63)]
    sizes = driven(policy, *later)
    assert {4} == set(sizes[:61])
    # Only from one may it go to zero.
    assert sizes[-1] >= 1


# -- Dask -----------------------------------------------------------------------------------------


def test_dask_has_the_remaining_work_done_in_five_seconds() -> None:
    policy = Dask()
    # 20 tasks of 2 s are 40 s of work: 8 workers.
    assert [8] == driven(policy, (0.0, {"pending": 20, "service_s": 2.0}))
    # No more workers than tasks.
    assert [2] == driven(Dask(), (0.0, {"pending": 2, "service_s": 60.0}))
    # Down when recommended for the third time running.
    down = {**idle(8), "service_s": 2.0}
    assert [8, 8, 0] == driven(policy, (1.0, down), (2.0, down), (3.0, down))


# -- KEDA and the horizontal pod autoscaler -----------------------------------------------------------


def test_the_hpa_doubles_at_most_or_adds_four_and_tolerates_a_tenth() -> None:
    policy = Hpa()
    assert [1] == driven(policy, (0.0, {"pending": 40}))
    assert [5] == driven(policy, (30.0, {"ready": 1, "running": 1, "pending": 39}))
    assert [10] == driven(policy, (45.0, {"ready": 5, "running": 5, "pending": 35}))
    assert [20] == driven(policy, (60.0, {"ready": 20, "running": 20, "pending": 1}))


def test_the_hpa_goes_down_to_the_highest_of_the_last_five_minutes() -> None:
    policy = Hpa()
    assert [8] == driven(policy, (0.0, {"ready": 4, "running": 4, "pending": 4}))
    mixed = {"ready": 8, "running": 2, "idle": 6, "oldest_idle_since": 0.0}
    steps: list[Step] = [(15.0 * step, mixed) for step in range(1, 22)]
    sizes = driven(policy, *steps)
    assert [8] * 20 + [2] == sizes


def test_keda_stops_the_last_one_after_its_cooldown() -> None:
    policy = Hpa()
    assert [1] == driven(policy, (0.0, busy(1)))
    assert [1, 1, 0] == driven(policy, (150.0, idle(1)), (285.0, idle(1)), (300.0, idle(1)))


# -- the hybrid histogram ----------------------------------------------------------------------------


def test_the_histogram_pre_warms_before_the_earliest_return_and_keeps_to_the_latest() -> None:
    policy = HybridHistogram()
    decide = with_events(policy)
    for hour in range(6):
        policy.arrived(3600.0 * hour, 0.0)
        decide(seen(now=3600.0 * hour, pending=1))
        # Idle from one minute past on: for 59 minutes.
        decide(seen(now=3600.0 * hour + 60, **idle(1)))
    # Bin 59: from 0.9 * 59 minutes to 1.1 * 60 minutes.
    assert pytest.approx((3186.0, 3960.0)) == policy.windows()
    fell_idle = 3600.0 * 5 + 60
    assert [0, 1, 1, 0] == driven(
        policy,
        (fell_idle + 1.0, idle(1)),
        (fell_idle + 3186.0, {}),
        (fell_idle + 3959.0, idle(1)),
        (fell_idle + 3960.0, idle(1)),
    )


def test_a_histogram_of_which_little_is_known_keeps_for_its_whole_range() -> None:
    policy = HybridHistogram(bin_s=1.0, bins=60)
    assert (0.0, 60.0) == policy.windows()
    policy.arrived(0.0, 0.0)
    assert [1] == driven(policy, (0.0, {"pending": 1}))
    assert [1, 1, 0] == driven(policy, (10.0, idle(1)), (69.0, idle(1)), (70.0, idle(1)))


# -- square-root staffing -----------------------------------------------------------------------------


def test_square_root_staffing_adds_twice_the_root_of_the_load() -> None:
    policy = SquareRoot(window_s=1e-9)
    decide = with_events(policy)
    decide(seen(now=0.0))
    for _ in range(8):
        policy.arrived(0.5, 0.0)
    # Eight a second of half a second: a load of 4, and 2 * 2 beyond.
    snapshot = seen(now=1.0, service_s=0.5)
    assert 8 == _after(decide(snapshot), 0)


# -- all of them --------------------------------------------------------------------------------------


@pytest.mark.parametrize("name", PEERS)
def test_every_peer_serves_all_inputs_inside_the_contract(name: str) -> None:
    arrivals = [0.5 * place for place in range(40)] + [100.0 + place / 10 for place in range(60)]
    trace = Trace(arrivals=arrivals, services=[1.0] * 100, startups=[0.5], duration_s=300.0)
    report = simulate(trace, policy=PEERS[name])
    assert (100, {}) == (report.inputs, report.violations)

# SPDX-License-Identifier: Apache-2.0
"""What is learnt of each level of demand."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from actorpool._core._levels import Levels, Plan, Prices, lowest_of, step_of
from actorpool._core._tuning import Tuning

# A window of a minute, a start-up of a second that is worth 20 seconds of idling, waiting included.
PRICES = Prices(60.0, 1.0, 1.0, 10.0, 10.0)


def taught(*gaps: float, level: int = 1, prices: Prices = PRICES) -> tuple[Levels, float]:
    """Levels whose demand stayed away for these times, and was there for a second each; and the time it left last."""
    levels = Levels(Tuning())
    now = 1000.0
    for gap in (0.0, *gaps):
        now += gap
        levels.move(level, now, prices)
        now += 1.0
        levels.move(0, now, prices)
    return levels, now


def test_steps_are_single_levels_up_to_eight_and_a_quarter_beyond() -> None:
    assert [0, 1, 2, 3, 4, 5, 6, 7, 8, 10, 12, 14, 16, 20] == [lowest_of(step) for step in range(14)]
    assert [8, 8, 9, 9, 10] == [step_of(level) for level in range(8, 13)]


@given(st.integers(0, 10**9))
def test_a_level_is_in_the_step_that_begins_at_or_below_it(level: int) -> None:
    step = step_of(level)
    assert lowest_of(step) <= level < lowest_of(step + 1)


def test_of_a_level_nothing_is_known_before_three_gaps() -> None:
    levels, _ = taught(*[5.0] * 2)
    assert Plan(20.0) == levels.plan(1, PRICES)
    assert Plan(10.0) == levels.plan(2, PRICES)
    assert Plan(10.0) == levels.plan(999, PRICES)
    assert 60.0 == levels.plan(1, Prices(60.0, 100.0, 100.0, 10.0, 10.0)).keep_s


def test_a_container_is_kept_for_gaps_that_cost_less_than_a_start() -> None:
    levels, _ = taught(*[5.0] * 3)
    assert Plan(5.0 * 1.1 + 0.1) == levels.plan(1, PRICES)


def test_a_container_is_not_kept_for_gaps_that_cost_more_than_a_start() -> None:
    # So irregular that no clock is seen in them.
    levels, _ = taught(30.0, 45.0, 59.0, 31.0, 46.0, 58.0, 38.0)
    assert Plan(1.0) == levels.plan(1, PRICES)


def test_it_is_kept_for_the_short_gaps_and_stopped_in_the_long_ones() -> None:
    levels, _ = taught(2.0, 300.0, 3.0, 500.0, 2.5, 900.0, 3.0, 2.0)
    assert Plan(3.0 * 1.1 + 0.1) == levels.plan(1, PRICES)


def test_no_container_is_kept_beyond_the_window() -> None:
    dear = Prices(60.0, 1.0, 1.0, 1e6, 10.0)
    levels, _ = taught(*[59.0, 61.0, 20.0] * 3, prices=dear)
    assert Plan(60.0) == levels.plan(1, dear)


def test_gaps_in_which_nothing_could_be_stopped_and_started_are_none() -> None:
    levels, _ = taught(*[0.9] * 50)
    assert Plan(20.0) == levels.plan(1, PRICES)


def test_an_input_waits_no_longer_for_another_container_than_demand_was_there() -> None:
    slow = Prices(60.0, 10.0, 10.0, 0.0, 1.0)
    # The price of a start is the waiting: 10 seconds for the first container, 1 for the others.
    gaps = [12.0, 30.0, 11.0, 40.0, 12.0, 50.0] * 2
    # A little longer than 11 seconds, which is beyond 12, too.
    assert Plan(11.0 * 1.1 + 0.1) == taught(*gaps, prices=slow)[0].plan(1, slow)
    assert Plan(10.0) == taught(*gaps, level=2, prices=slow)[0].plan(2, slow)


def test_the_latest_gaps_count() -> None:
    levels, _ = taught(*[30.0, 45.0, 59.0, 38.0] * 16, *[5.0] * 64)
    assert pytest.approx(5.6) == levels.plan(1, PRICES).keep_s


# -- demand that comes by the clock ---------------------------------------------------------------


def test_demand_that_comes_by_the_clock_finds_a_container() -> None:
    levels, left = taught(*[300.0] * 6)
    plan = levels.plan(1, PRICES)
    assert plan.warm is not None
    begin, end = plan.warm
    assert 1.0 == plan.keep_s
    assert begin < 300.0 - 1.0 < 300.0 < end < begin + 60.0
    assert [0, 1, 1, 0] == [levels.warm(left + after) for after in (begin - 0.1, begin, end - 0.1, end)]
    assert [left + begin] == list(levels.instants(left))
    assert [left + end] == list(levels.instants(left + begin))
    assert [] == list(levels.instants(left + end))


def test_a_container_is_there_for_the_highest_level_that_comes_by_the_clock() -> None:
    levels, left = taught(*[300.0] * 6, level=10)
    assert 10 == levels.warm(left + 299.0)


def test_nothing_is_kept_warm_for_demand_that_is_there() -> None:
    levels, left = taught(*[300.0] * 6)
    levels.move(1, left + 299.0, PRICES)
    assert (0, []) == (levels.warm(left + 299.0), list(levels.instants(left + 299.0)))


def test_a_clock_that_is_seen_three_times_is_believed() -> None:
    assert taught(*[300.0] * 2)[0].plan(1, PRICES).warm is None
    assert taught(*[300.0] * 3)[0].plan(1, PRICES).warm is not None


def test_a_clock_that_stopped_is_forgotten() -> None:
    irregular = [30.0, 45.0, 590.0, 310.0, 46.0, 130.0, 38.0, 800.0]
    levels, left = taught(*[300.0] * 6, *irregular * 8)
    assert levels.plan(1, PRICES).warm is None
    assert 0 == levels.warm(left + 299.0)


def test_returns_that_are_no_clock_are_not_waited_for() -> None:
    levels, _ = taught(*[100.0, 200.0, 400.0, 800.0] * 4)
    assert levels.plan(1, PRICES).warm is None


def test_a_clock_faster_than_the_window_is_bridged_if_that_is_cheaper() -> None:
    levels, _ = taught(*[4.0] * 10)
    assert levels.plan(1, PRICES).warm is None


def test_a_clock_whose_tolerance_exceeds_the_window_is_none() -> None:
    levels, _ = taught(*[1000.0, 1200.0] * 8)
    assert levels.plan(1, PRICES).warm is None

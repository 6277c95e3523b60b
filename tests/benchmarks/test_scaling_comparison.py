# SPDX-License-Identifier: Apache-2.0
"""The comparison of scaling policies: its arithmetic, its tables and its pictures."""

from __future__ import annotations

import math
from xml.etree import ElementTree

import pytest

from actorpool import AdaptivePolicy, WindowPolicy
from actorpool._core._scaling import PolicyChoice
from actorpool.simulate import Trace
from benchmarks.scaling._compare import Comparison, compare, interval
from benchmarks.scaling._picture import draw_front
from benchmarks.scaling._scenarios import DEVELOPMENT_SEEDS, EVALUATION_SEEDS, scenarios
from benchmarks.scaling._tables import document, summary, table
from benchmarks.scaling.peers import Dask, PlainReading


def drawn(seed: int) -> list[tuple[str, Trace]]:
    arrivals = [float(place + seed) for place in range(30)]
    even = Trace(arrivals=arrivals, services=[0.5] * 30, startups=[0.25], duration_s=200.0)
    burst = Trace(arrivals=[5.0] * 30, services=[0.5] * 30, startups=[0.25], duration_s=200.0)
    return [("even", even), ("burst", burst)]


@pytest.fixture(scope="module")
def comparisons() -> list[Comparison]:
    policies: dict[str, PolicyChoice] = {
        "WindowPolicy": WindowPolicy(),
        "AdaptivePolicy": AdaptivePolicy(),
        "Dask": Dask(),
        "the same": PlainReading(),
    }
    return compare(policies, PlainReading(), drawn, [1, 2])


def test_the_interval_is_students_around_the_geometric_mean() -> None:
    got = interval([1.0, 4.0])
    # The logarithms are 0 and log 4: half of it, give or take 12.71 times its deviation over the root of 2.
    half = 12.71 * (math.log(4) / math.sqrt(2)) / math.sqrt(2)
    assert pytest.approx((2.0, 2.0 * math.exp(-half), 2.0 * math.exp(half))) == (got.mean, got.low, got.high)
    alone = interval([3.0])
    assert pytest.approx(3.0) == alone.mean
    assert (0.0, math.inf) == (alone.low, alone.high)


def test_a_policy_against_itself_is_one_in_everything(comparisons: list[Comparison]) -> None:
    same = comparisons[-1]
    assert "1.00 (1.00 to 1.00)" == str(same.overall("cost")) == str(same.overall("p99 wait"))
    assert (["even", "burst"], [1, 2], 0, 0) == (same.scenarios, same.seeds, same.violations, same.overruled)


def test_ratios_are_those_of_the_figures(comparisons: list[Comparison]) -> None:
    dask = comparisons[2]
    its, plain = dask.figures["burst", 1]
    assert its.container_seconds / plain.container_seconds == dask.ratio("cost", "burst", 1)
    assert (its.wait_mean_s + 0.001) / (plain.wait_mean_s + 0.001) == dask.ratio("mean wait", "burst", 1)


def test_tables_have_a_line_for_each_policy_and_for_each_scenario(comparisons: list[Comparison]) -> None:
    assert 2 + len(comparisons) == len(summary(comparisons).splitlines())
    assert 4 + 2 == len(table(comparisons[0]).splitlines())
    page = document(comparisons, comparisons[:2], "fresh")
    assert "fresh seeds 1, 2. Constants were chosen with the development seeds 1, 2 alone" in page
    assert "| violations | 0 | 0 | 0 | reached |" in page


def test_processes_find_the_same(comparisons: list[Comparison]) -> None:
    policies: dict[str, PolicyChoice] = {"WindowPolicy": WindowPolicy(), "AdaptivePolicy": AdaptivePolicy()}
    counted: list[str] = []
    assert comparisons[:2] == compare(
        policies, PlainReading(), drawn, [1, 2], jobs=2, progress=counted.append
    )
    assert ["1 of 2 seeds", "2 of 2 seeds"] == counted


def test_a_policy_against_another_is_compared_seed_by_seed(comparisons: list[Comparison]) -> None:
    window, dask = comparisons[0], comparisons[2]
    ratios = [window.of_seed("cost", seed) / dask.of_seed("cost", seed) for seed in (1, 2)]
    assert interval(ratios) == window.against(dask, "cost")
    assert "1.00 (1.00 to 1.00)" == str(window.against(window, "p99 wait"))


def test_the_picture_is_a_drawing_with_every_policy_in_it(comparisons: list[Comparison]) -> None:
    picture = draw_front(comparisons, ["AdaptivePolicy"])
    words = [element.text for element in ElementTree.fromstring(picture).iter() if element.text]
    for name in (*(one.name for one in comparisons), "plain reading"):
        assert name in words
    # Those at the same place share a dot.
    assert picture.count("<circle") < 1 + len(comparisons)


def test_seeds_for_results_are_none_of_those_for_choosing_constants() -> None:
    assert not set(DEVELOPMENT_SEEDS) & set(EVALUATION_SEEDS)
    assert len(EVALUATION_SEEDS) >= 5


def test_scenarios_differ_by_their_seed_alone() -> None:
    first, again, other = (dict(scenarios(seed, quick=True)) for seed in (1, 1, 2))
    assert list(first) == list(other)
    for name, trace in first.items():
        assert trace.arrivals == again[name].arrivals
        assert trace.arrivals != other[name].arrivals

# SPDX-License-Identifier: Apache-2.0
"""Synthetic workloads are drawn from their seed alone, and are what their names say."""

from __future__ import annotations

import time

import pytest

from actorpool.exception import InvalidError
from actorpool.simulate import FAMILIES, family, simulate

LIGHT = {"diurnal": 0.002, "slots": 0.1, "maps": 0.1, "rare": 1.0}


@pytest.mark.parametrize("name", FAMILIES)
def test_a_seed_gives_one_workload(name: str) -> None:
    load = LIGHT.get(name, 0.2)
    first, again, other = family(name, 3, load=load), family(name, 3, load=load), family(name, 4, load=load)

    assert (first.arrivals, first.services, first.startups) == (
        again.arrivals,
        again.services,
        again.startups,
    )
    assert first.callers == again.callers
    assert first.services != other.services
    assert len(first) > 100


@pytest.mark.parametrize("name", FAMILIES)
def test_every_family_can_be_simulated(name: str) -> None:
    trace = family(name, load=LIGHT.get(name, 0.2))

    report = simulate(trace)

    assert len(trace) == report.inputs
    assert {} == report.violations
    assert report.starts > 0


def test_a_start_up_time_may_be_chosen_and_changes_nothing_else() -> None:
    process, model = family("steady", 1, load=0.1), family("steady", 1, load=0.1, startup_s=5.0)

    assert process.services == model.services
    assert process.arrivals == model.arrivals
    assert sorted(model.startups)[500] == pytest.approx(5.0, rel=0.1)
    assert [0.0] == family("steady", 1, load=0.1, startup_s=0).startups.tolist()


def test_load_multiplies_the_inputs() -> None:
    assert len(family("steady", load=0.4)) == pytest.approx(2 * len(family("steady", load=0.2)), rel=0.1)


def test_a_day_has_about_a_million_inputs() -> None:
    assert len(family("diurnal", load=0.01)) == pytest.approx(10_000, rel=0.05)


@pytest.mark.slow
def test_a_day_of_a_million_inputs_would_take_less_than_half_a_minute(at_full_speed: None) -> None:
    """Of a processor's time, however busy the machine is otherwise; a twentieth of them in a twentieth of it."""
    trace = family("diurnal", load=0.05)

    begin = time.process_time()
    report = simulate(trace)
    taken = time.process_time() - begin

    assert report.inputs > 45_000
    assert taken < 30.0 / 20


def test_a_wrong_name_is_answered_with_the_right_ones() -> None:
    with pytest.raises(InvalidError, match="there is no family 'stedy'; there are steady, bimodal, slots"):
        family("stedy")

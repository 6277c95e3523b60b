# SPDX-License-Identifier: Apache-2.0
"""The strategies give what is valid, and shrink to what a person wants to read."""

from __future__ import annotations

import subprocess
import sys
from random import Random

import pytest
from attrs import evolve
from hypothesis import find, given
from hypothesis import settings as hypothesis_settings

from actorpool import AutoscalerSettings, Limits
from actorpool._core._config import Concurrency
from actorpool.simulate import Trace, simulate
from actorpool.testing import ContainerFate, Faults, InputFate, Plan, Simulation, strategies

# The machine's time is not what these are about.
THOROUGH = hypothesis_settings(deadline=None, max_examples=500, database=None)


@given(strategies.settings(max_containers=5), strategies.concurrencies(max_inputs=4), strategies.limits())
def test_settings_are_valid_and_within_what_was_asked_for(
    settings: AutoscalerSettings, concurrency: Concurrency, limits: Limits
) -> None:
    assert settings.min_containers <= 5
    assert settings.max_containers is None or 1 <= settings.max_containers <= 5
    assert 1 <= concurrency.target <= concurrency.max_inputs <= 4
    assert limits.max_pending <= 50


@pytest.mark.slow
@given(strategies.traces(max_inputs=20), strategies.settings(), strategies.concurrencies())
def test_every_workload_is_served_within_every_setting(
    trace: Trace, settings: AutoscalerSettings, concurrency: Concurrency
) -> None:
    report = simulate(
        trace, settings, max_inputs=concurrency.max_inputs, target_inputs=concurrency.target_inputs
    )

    assert len(trace) == report.inputs
    assert {} == report.violations


@pytest.mark.slow
@pytest.mark.timeout(60)
@given(strategies.plans(max_actions=15))
def test_no_invariant_is_broken_by_any_plan(plan: Plan) -> None:
    Simulation(plan=plan).run()


@given(strategies.plans(Faults.none(), max_actions=10))
def test_faults_that_never_occur_are_not_drawn(plan: Plan) -> None:
    assert {"succeeds"} == {container.start for container in plan.containers}
    assert {False} == {fate.kills or fate.hangs for action in plan.actions for fate in action.fates} | {False}
    assert {"call", "map", "spawn"} >= {action.kind for action in plan.actions}


@given(strategies.faults(most=0.5), strategies.container_fates(), strategies.input_fates())
def test_faults_and_fates_can_be_drawn_alone(
    faults: Faults, container: ContainerFate, input_fate: InputFate
) -> None:
    assert 0 <= faults.dies <= 0.5
    assert container.start_s >= 0
    assert input_fate.service_s >= 0


@pytest.mark.slow
@pytest.mark.timeout(60)
def test_plans_shrink_to_what_matters() -> None:
    killing = strategies.plans(evolve(Faults.none(), kill=0.5), max_actions=4)
    # How far it gets depends on what it finds first; it finds the same each time.
    plan = find(
        killing, lambda plan: any(a.kind == "kill" for a in plan.actions), settings=THOROUGH, random=Random(1)
    )

    assert "kill" == plan.actions[-1].kind
    assert len(plan.actions) <= 2
    assert (0, 1, None) == (plan.pool.min_containers, plan.pool.max_inputs, plan.pool.max_containers)


def test_traces_shrink_to_the_one_input_that_matters() -> None:
    trace = find(strategies.traces(), lambda trace: any(trace.services), settings=THOROUGH)

    assert (1, [1 / 64], [0.0]) == (len(trace), list(trace.services), list(trace.startups))


def test_hypothesis_is_loaded_with_the_strategies_only() -> None:
    program = (
        "import sys, actorpool.testing; assert 'hypothesis' not in sys.modules; "
        "import actorpool.testing.strategies; assert 'hypothesis' in sys.modules"
    )
    assert 0 == subprocess.run([sys.executable, "-c", program], check=False).returncode

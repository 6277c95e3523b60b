# SPDX-License-Identifier: Apache-2.0
"""The real actors in simulated time, with faults: no invariant is broken, and a run depends on its seed alone."""

from __future__ import annotations

import os
import subprocess
import sys

import pytest

from actorpool.testing import Simulation
from actorpool.testing.simulation import PROFILES, run_chunk

CI = PROFILES["ci"]

DIGESTS = """
from actorpool.testing import Simulation
for seed in (3, 11):
    print(Simulation(seed).run().digest)
"""


@pytest.mark.slow
@pytest.mark.timeout(60)
@pytest.mark.usefixtures("at_full_speed")
@pytest.mark.parametrize("index", range(2))
def test_no_invariant_is_broken_whatever_goes_wrong(index: int) -> None:
    """Of the "ci" profile, all of which is a step of CI, two chunks."""
    totals = run_chunk(CI, index)

    assert totals.seeds * CI.chunks >= CI.seeds
    assert totals.events * CI.chunks >= CI.events
    assert totals.hours * CI.chunks >= CI.hours


def test_what_ci_simulates() -> None:
    assert CI.seeds >= 500
    assert CI.events >= 1_000_000
    assert CI.hours >= 200
    deep = PROFILES["deep"]
    assert (10, 10, 10) == (deep.seeds / CI.seeds, deep.events / CI.events, deep.hours / CI.hours)


@pytest.mark.slow
def test_the_same_seed_gives_the_same_log() -> None:
    first, second = Simulation(5), Simulation(5)
    first.run()
    second.run()

    assert len(first.log) > 100
    assert first.log == second.log
    assert Simulation(6).run().log != first.log


@pytest.mark.slow
@pytest.mark.timeout(60)
def test_the_log_of_a_seed_is_the_same_in_every_process() -> None:
    """Nothing depends on hashes, addresses or the real clock."""
    digests = []
    for hash_seed in ("0", "1"):
        environment = {**os.environ, "PYTHONHASHSEED": hash_seed}
        environment.pop("COVERAGE_PROCESS_START", None)
        done = subprocess.run(
            [sys.executable, "-c", DIGESTS], env=environment, capture_output=True, text=True, check=True
        )
        digests.append(done.stdout.split())
    here = [Simulation(seed).run().digest for seed in (3, 11)]

    assert [here, here] == digests

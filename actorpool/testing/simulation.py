# SPDX-License-Identifier: Apache-2.0
"""`python -m actorpool.testing.simulation`: many simulations, one for each seed, until a profile's amounts are reached.

A profile is cut into chunks, each of which reaches its share by itself, so that chunks may run side by side and what
they come to is known. A violation is written to a file that `python -m actorpool.testing.replay` reads.
"""

from __future__ import annotations

import argparse
import gc
import sys
import time
from collections.abc import Sequence
from pathlib import Path
from typing import Final

from attrs import define, frozen

from ._faults import Faults
from ._invariants import Violation
from ._simulation import Simulation
from ._simulation_failure import explained

__all__ = ["PROFILES", "Profile", "Totals", "main", "run_chunk"]

# A chunk's seeds begin here, times its index: no chunk runs another's.
_SEEDS_APART: Final = 100_000


@frozen(kw_only=True)
class Profile:
    """How much is to be simulated, at least."""

    seeds: int
    """Simulations, each of a seed of its own."""
    events: int
    """Steps of pool machines."""
    hours: float
    """Virtual hours."""
    chunks: int
    """Into how many parts this is cut."""
    actions: int = 100
    """About how many things are done in one simulation."""


PROFILES: Final[dict[str, Profile]] = {
    "ci": Profile(seeds=500, events=1_000_000, hours=200.0, chunks=50),
    "deep": Profile(seeds=5_000, events=10_000_000, hours=2_000.0, chunks=500),
}
"""{name: profile}: "ci" is what every run of the tests does, "deep" ten times that."""


@define
class Totals:
    """What has been simulated."""

    seeds: int = 0
    events: int = 0
    inputs: int = 0
    hours: float = 0.0

    def add(self, other: Totals) -> None:
        """Add what has been simulated elsewhere."""
        self.seeds += other.seeds
        self.events += other.events
        self.inputs += other.inputs
        self.hours += other.hours


def run_chunk(
    profile: Profile, index: int, *, faults: Faults | None = None, directory: Path | None = None
) -> Totals:
    """Simulate one seed after the other until a chunk's share of the profile is reached.

    Args:
        profile: The profile.
        index: Which chunk, from 0.
        faults: How often each fault occurs; default `Faults()`.
        directory: Where the file of a violation goes; default the system's directory for temporary files.

    Raises:
        Violation: If an invariant does not hold; the message says how to replay it.
    """
    totals = Totals()
    shares = profile.chunks
    while (
        totals.seeds * shares < profile.seeds
        or totals.events * shares < profile.events
        or totals.hours * shares < profile.hours
    ):
        seed = index * _SEEDS_APART + totals.seeds
        simulation = Simulation(seed, faults, actions=profile.actions)
        try:
            report = simulation.run()
        except Violation as violation:
            raise explained(simulation, violation, directory=directory) from None
        totals.add(Totals(1, report.events, report.inputs, report.seconds / 3_600))
        # The simulations leave cycles behind and collect none of them.
        gc.collect(1)
    return totals


def main(arguments: Sequence[str] | None = None) -> int:
    """Run the command; return its exit code."""
    parser = argparse.ArgumentParser(prog="python -m actorpool.testing.simulation", description=__doc__)
    parser.add_argument("--profile", choices=sorted(PROFILES), default="ci", help="how much to simulate")
    parser.add_argument("--chunk", type=int, help="only this chunk")
    given = parser.parse_args(arguments)
    profile = PROFILES[given.profile]
    totals, began = Totals(), time.perf_counter()
    for index in range(profile.chunks) if given.chunk is None else [given.chunk]:
        try:
            totals.add(run_chunk(profile, index))
        except Violation as violation:
            sys.stdout.write(f"chunk {index}: {violation}\n")
            return 1
    seconds = time.perf_counter() - began
    sys.stdout.write(
        f"{totals.seeds:,} seeds, {totals.hours:,.1f} hours, {totals.events:,} pool events, {totals.inputs:,} inputs "
        f"in {seconds:.1f} s ({totals.events / seconds:,.0f} events/s); no violation\n"
    )
    return 0


if __name__ == "__main__":
    sys.exit(main())

# SPDX-License-Identifier: Apache-2.0
"""`python -m actorpool.testing.simulation`: many simulations, one for each seed, until a profile's amounts are reached.

    python -m actorpool.testing.simulation                    the "ci" profile, on every processor
    python -m actorpool.testing.simulation --profile deep     ten times that
    python -m actorpool.testing.simulation --chunk 8          only one part of it

A profile is cut into chunks, each of which reaches its share by itself, so that chunks may run side by side and what
they come to is known. A violation is written to a file that `python -m actorpool.testing.replay` reads. The exit status
is 0 only if no invariant was violated and all that the profile demands was simulated.
"""

from __future__ import annotations

import argparse
import gc
import multiprocessing
import os
import sys
import time
from collections.abc import Iterator, Sequence
from concurrent.futures import ProcessPoolExecutor
from functools import partial
from pathlib import Path
from typing import Final

from attrs import define, frozen

from ._faults import Faults
from ._invariants import Violation
from ._simulation import Simulation
from ._simulation_failure import explained

__all__ = ["PROFILES", "Profile", "Totals", "main", "run_chunk", "run_chunks"]

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
"""{name: profile}: "ci" is what every run of CI does, "deep" ten times that."""


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

    def reach(self, profile: Profile, chunks: int = 1) -> bool:
        """Return whether this is what so many chunks of the profile are to come to, or more."""
        shares = profile.chunks / chunks
        return (
            self.seeds * shares >= profile.seeds
            and self.events * shares >= profile.events
            and self.hours * shares >= profile.hours
        )


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
    while not totals.reach(profile):
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


def run_chunks(profile: Profile, indexes: Sequence[int], *, jobs: int = 1) -> Iterator[Totals]:
    """Simulate chunks of a profile, up to `jobs` at a time in processes of their own; yield their totals in order.

    Raises:
        Violation: If an invariant does not hold; chunks that have not begun then do not.
    """
    if jobs == 1:
        yield from (run_chunk(profile, index) for index in indexes)
        return
    # Spawned, so that a simulation does not depend on what this process has done before.
    with ProcessPoolExecutor(jobs, multiprocessing.get_context("spawn")) as executor:
        try:
            yield from executor.map(partial(run_chunk, profile), indexes)
        finally:
            executor.shutdown(cancel_futures=True)


def main(arguments: Sequence[str] | None = None) -> int:
    """Run the command; return its exit code."""
    summary = (__doc__ or "").partition("\n")[0]
    parser = argparse.ArgumentParser(prog="python -m actorpool.testing.simulation", description=summary)
    parser.add_argument("--profile", choices=sorted(PROFILES), default="ci", help="how much to simulate")
    parser.add_argument("--chunk", type=int, help="only this chunk")
    parser.add_argument(
        "--jobs", type=int, default=os.cpu_count() or 1, help="processes (default: as many as processors)"
    )
    given = parser.parse_args(arguments)
    profile = PROFILES[given.profile]
    if given.jobs < 1:
        parser.error(f"--jobs must be at least 1, not {given.jobs}")
    indexes = range(profile.chunks) if given.chunk is None else [given.chunk]
    totals, began = Totals(), time.perf_counter()
    try:
        for chunk in run_chunks(profile, indexes, jobs=min(given.jobs, len(indexes))):
            totals.add(chunk)
    except Violation as violation:
        sys.stdout.write(f"{violation}\n")
        return 1
    seconds = time.perf_counter() - began
    sys.stdout.write(
        f"{totals.seeds:,} seeds, {totals.hours:,.1f} hours, {totals.events:,} pool events, {totals.inputs:,} inputs "
        f"in {seconds:.1f} s ({totals.events / seconds:,.0f} events/s); no violation\n"
    )
    if not totals.reach(profile, len(indexes)):
        sys.stdout.write(f"that is less than the profile {given.profile!r} demands: {profile}\n")
        return 1
    return 0


if __name__ == "__main__":
    sys.exit(main())

# SPDX-License-Identifier: Apache-2.0
"""`python -m benchmarks.scaling [--seed N ...] [--quick] [--own] [--jobs N] [--results FOLDER] [--events]`: compare."""

from __future__ import annotations

import argparse
import sys
import time
from collections.abc import Sequence
from functools import partial
from pathlib import Path
from typing import Final

from attrs import evolve

from actorpool import AdaptivePolicy, WindowPolicy
from actorpool._core._scaling import PolicyChoice
from actorpool.simulate import family, simulate

from ._compare import compare
from ._picture import draw_front
from ._scenarios import DEVELOPMENT_SEEDS, EVALUATION_SEEDS, scenarios
from ._tables import document, summary, table
from .peers import PEERS, PlainReading

SHIPPED: Final = ("WindowPolicy", "AdaptivePolicy")
OWN: Final[dict[str, PolicyChoice]] = {
    "WindowPolicy": WindowPolicy(),
    "AdaptivePolicy": AdaptivePolicy(),
    "AdaptivePolicy, eagerness 1/4": AdaptivePolicy(0.25),
    "AdaptivePolicy, eagerness 4": AdaptivePolicy(4.0),
}
# With this load, the steady family has half a million inputs.
_MILLION_LOAD: Final = 35.0


def main(argv: Sequence[str] | None = None) -> int:
    """Run what was asked for; return 1 if a policy broke the contract."""
    options = _parser().parse_args(argv)
    if options.events:
        _events()
        return 0
    seeds = options.seed or (EVALUATION_SEEDS[:1] if options.quick else EVALUATION_SEEDS)
    policies = OWN if options.own else {**OWN, **PEERS}
    begin = time.perf_counter()
    draw = partial(scenarios, quick=options.quick)
    comparisons = compare(policies, PlainReading(), draw, seeds, jobs=options.jobs, progress=_progress)
    _progress("")
    about = f"seeds {', '.join(map(str, seeds))} ({_kind(seeds)}), {time.perf_counter() - begin:.0f} s"
    print(about, end="\n\n")
    print(summary(comparisons), end="\n\n")
    for comparison in comparisons[: len(SHIPPED)]:
        print(table(comparison), end="\n\n")
    if options.results is not None:
        shipped = {name: OWN[name] for name in SHIPPED}
        chosen = compare(shipped, PlainReading(), draw, DEVELOPMENT_SEEDS, jobs=options.jobs)
        options.results.mkdir(parents=True, exist_ok=True)
        (options.results / "RESULTS.md").write_text(document(comparisons, chosen, _kind(seeds)), "utf-8")
        for measure, name in (("mean wait", "front-mean.svg"), ("p99 wait", "front-p99.svg")):
            (options.results / name).write_text(draw_front(comparisons, list(OWN), measure) + "\n", "utf-8")
    return 1 if any(comparison.violations for comparison in comparisons) else 0


def _kind(seeds: Sequence[int]) -> str:
    if set(seeds) <= set(EVALUATION_SEEDS):
        return "evaluation"
    return "development" if set(seeds) & set(DEVELOPMENT_SEEDS) else "fresh"


def _events() -> None:
    """Say how long a million events take, and how that depends on the number of containers."""
    trace = family("steady", 1, load=_MILLION_LOAD)
    print("processor time of one core; the pool, its containers and the simulation of them are included")
    for name in SHIPPED:
        for longer in (0.05, 1.0, 5.0):
            scaled = evolve(trace, services=[longer * service for service in trace.services])
            begin = time.process_time()
            report = simulate(scaled, policy=OWN[name])
            seconds = time.process_time() - begin
            # An arrival and a completion each; what containers do comes on top.
            print(
                f"{name}, up to {report.peak_containers:,} containers: {2 * report.inputs:,} events, {seconds:.1f} s"
            )


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(prog="python -m benchmarks.scaling", description=__doc__)
    parser.add_argument(
        "--seed", type=int, action="append", help="a seed for fresh scenarios; may be repeated"
    )
    parser.add_argument("--quick", action="store_true", help="few scenarios, and one seed")
    parser.add_argument("--own", action="store_true", help="without the peers")
    parser.add_argument("--events", action="store_true", help="how long a million events take")
    parser.add_argument("--jobs", type=int, default=1, help="how many seeds at a time; default 1")
    parser.add_argument("--results", type=Path, help="write RESULTS.md and the pictures into this folder")
    return parser


def _progress(words: str) -> None:
    if sys.stderr.isatty():
        print(f"\r{words:<78}", end="" if words else "\r", file=sys.stderr, flush=True)


if __name__ == "__main__":
    sys.exit(main())

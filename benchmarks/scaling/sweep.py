# SPDX-License-Identifier: Apache-2.0
"""The sweep behind the constants: `python -m benchmarks.scaling.sweep [CONSTANT=VALUE,VALUE ...]` writes its table.

Each constant of `Tuning` takes other values while all others stay as they are, on development seeds alone.
"""

from __future__ import annotations

import argparse
import sys
from typing import Any, Final

from attrs import evolve

from actorpool._core._adaptive import AdaptivePolicy
from actorpool._core._tuning import Tuning

from ._compare import MEASURES, compare
from ._scenarios import DEVELOPMENT_SEEDS, scenarios
from .peers import PlainReading

VALUES: Final[dict[str, list[Any]]] = {
    "wait_price": [4.5, 6.0, 9.0],
    "start_price": [0.05, 0.15, 0.3],
    "burst_price": [5.0, 10.0, 20.0],
    "up_margin": [-1.6, -1.2, -0.8],
    "memory": [32, 64, 128],
    "fewest": [2, 3, 4, 6],
    "prior": [0.0, 0.5, 2.0],
    "focus": [1.1, 1.25, 1.5],
    "spare": [1, 3, 10],
}


def main() -> int:
    parser = argparse.ArgumentParser(prog="python -m benchmarks.scaling.sweep", description=__doc__)
    parser.add_argument("constants", nargs="*", metavar="CONSTANT=VALUE,VALUE")
    parser.add_argument("--seeds", type=int, default=2, help="how many of the development seeds; default 2")
    parser.add_argument("--jobs", type=int, default=1, help="how many seeds at a time; default 1")
    options = parser.parse_args()
    values = dict(_read(word) for word in options.constants) or VALUES
    base = Tuning()
    policies = {"as it is": AdaptivePolicy(tuning=base)}
    for name, several in values.items():
        for value in several:
            if value != getattr(base, name):
                changed: dict[str, Any] = {name: value}
                policies[f"{name} = {value:g}"] = AdaptivePolicy(tuning=evolve(base, **changed))
    seeds = DEVELOPMENT_SEEDS[: options.seeds]
    print(f"| development seeds 1 to {options.seeds} | {' | '.join(MEASURES)} | worst cost |")
    print("| --- | --- | --- | --- | --- | --- |")
    for one in compare(policies, PlainReading(), scenarios, seeds, jobs=options.jobs):
        cost, where = max((one.in_scenario("cost", scenario), scenario) for scenario in one.scenarios)
        cells = [f"{one.overall(measure).mean:.3f}" for measure in MEASURES]
        print(f"| {one.name} | {' | '.join(cells)} | {cost:.2f} {where} |", flush=True)
    return 0


def _read(word: str) -> tuple[str, list[Any]]:
    name, _, rest = word.partition("=")
    kind = type(getattr(Tuning(), name))
    return name, [kind(value) for value in rest.split(",")]


if __name__ == "__main__":
    sys.exit(main())

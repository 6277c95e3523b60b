# SPDX-License-Identifier: Apache-2.0
"""`python -m actorpool.testing.replay FILE`: carry out a simulation once more, and show each step of it.

The file is what a violated invariant has left behind. The exit code is 0 if the same invariant is violated again, and 1
if it is not: because it was mended, or because the file is of another version of the code.
"""

from __future__ import annotations

import argparse
import sys
from collections.abc import Sequence
from pathlib import Path

from actorpool.exception import InvalidError

from ._invariants import Violation
from ._simulation import Simulation
from ._simulation_failure import line, load
from ._simulation_ledger import Entry

__all__ = ["main"]


def main(arguments: Sequence[str] | None = None) -> int:
    """Run the command; return its exit code."""
    parser = argparse.ArgumentParser(prog="python -m actorpool.testing.replay", description=__doc__)
    parser.add_argument("file", type=Path, metavar="FILE", help="what a violation has left behind")
    parser.add_argument("--step", action="store_true", help="wait for the Enter key before each line")
    parser.add_argument("--last", type=int, metavar="N", help="show only the last N lines")
    given = parser.parse_args(arguments)
    try:
        plan, expected = load(given.file)
    except (InvalidError, OSError) as error:
        sys.stderr.write(f"{error}\n")
        return 2
    sys.stdout.write(f"seed {plan.seed}, {len(plan.actions)} actions\n{plan.pool}\n")
    lines: list[str] = []

    def watch(entry: Entry) -> None:
        if given.last is not None:
            lines.append(line(entry))
            return
        sys.stdout.write(f"{line(entry)}\n")
        if given.step:
            sys.stdin.readline()

    simulation = Simulation(plan=plan, watch=watch)
    try:
        simulation.run()
        found = None
    except Violation as violation:
        found = violation
    for shown in lines[-given.last :] if given.last else []:
        sys.stdout.write(f"{shown}\n")
    if found is None:
        sys.stdout.write(f"no invariant is violated any more; it was: {expected}\n")
        return 1
    sys.stdout.write(f"violated again: {found}\n")
    return 0 if str(found) == expected else 1


if __name__ == "__main__":
    sys.exit(main())

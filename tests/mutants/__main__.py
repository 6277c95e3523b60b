# SPDX-License-Identifier: Apache-2.0
"""Does the suite notice when the library is wrong? `python -m tests.mutants` makes it wrong, one line at a time.

    python -m tests.mutants                    all mutants
    python -m tests.mutants _flow drain        those whose file or description has one of these words
    python -m tests.mutants --list             only say what there is
    python -m tests.mutants --jobs 4           four at a time
    python -m tests.mutants --results FILE     write what became of them into a page of Markdown, too

Each mutant is run in a copy of the tree in a temporary folder, first with the tests that fit it, then with wider ones,
until a test fails or there are no more. It ends with a table and with how many were killed; the exit status is 0 if at
least 95 % were, and if every mutation could still be made.
"""

from __future__ import annotations

import argparse
import platform
import shlex
import sys
import tempfile
from pathlib import Path

from tests.mutants.mutant import Mutant, MutantError
from tests.mutants.of_the_actors import ACTORS
from tests.mutants.of_the_core import CORE
from tests.mutants.of_the_waits import WAITS
from tests.mutants.runner import Result, check, run_all

MUTANTS: list[Mutant] = [*CORE, *ACTORS, *WAITS]
ENOUGH = 0.95


def table(results: list[Result]) -> str:
    """Return what became of each, and the total."""
    lines = [
        f"{'killed' if r.killed else 'SURVIVED':9} {r.seconds:6.1f} s  {r.mutant}\n{'':20}{r.how}"
        for r in results
    ]
    killed = sum(result.killed for result in results)
    share = 100 * killed / len(results)
    return "\n".join([*lines, "", f"{killed} of {len(results)} mutants killed ({share:.1f} %)"])


def page(results: list[Result], command: str) -> str:
    """Return a page of Markdown that says what became of each, survivors first."""
    total = table(results).splitlines()[-1]
    lines = [
        "# What the tests notice",
        "",
        f"{total} on CPython {platform.python_version()}, by",
        "",
        "```sh",
        command,
        "```",
        "",
        "Each mutant is the library with one line made wrong. It meets the tests that fit it best, then wider ones,",
        "until one fails: that one is named here.",
        "",
        "| file | wrong is | noticed by |",
        "| --- | --- | --- |",
    ]
    for result in sorted(results, key=lambda result: result.killed):
        how = result.how.removeprefix("FAILED ").replace("|", "\\|")
        noticed = f"`{how}`" if result.killed else f"**nobody**: {how}"
        lines.append(f"| `{result.mutant.file}` | {result.mutant.breaks} | {noticed} |")
    return "\n".join([*lines, ""])


def main(arguments: list[str]) -> int:
    """Run the mutants that are asked for; return the exit status."""
    parser = argparse.ArgumentParser(prog="python -m tests.mutants", description=__doc__.partition("\n")[0])
    parser.add_argument(
        "words", nargs="*", help="only mutants with one of these words in file or description"
    )
    parser.add_argument("--list", action="store_true", help="only say what there is")
    parser.add_argument("--jobs", type=int, default=1, help="how many at a time (default 1)")
    parser.add_argument("--results", type=Path, help="a file for a page of Markdown with the results")
    options = parser.parse_args(arguments)
    chosen = [m for m in MUTANTS if not options.words or any(word in str(m) for word in options.words)]
    if not chosen:
        parser.error(f"no mutant has any of {options.words} in its file or description")
    if options.list:
        print("\n".join(f"{mutant}\n    - {mutant.old}\n    + {mutant.new}" for mutant in chosen))
        return 0
    try:
        check(chosen)
        with tempfile.TemporaryDirectory(prefix="actorpool-mutants-") as folder:
            results = run_all(chosen, Path(folder), jobs=options.jobs)
    except MutantError as error:
        print(f"error: {error}", file=sys.stderr)
        return 2
    print(table(results))
    if options.results is not None:
        options.results.write_text(
            page(results, shlex.join(["python", "-m", "tests.mutants", *arguments])), "utf-8"
        )
    return 0 if sum(result.killed for result in results) >= ENOUGH * len(results) else 1


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))

# SPDX-License-Identifier: Apache-2.0
"""The command: `python -m benchmarks`; `--help` names its options."""

from __future__ import annotations

import argparse
import fnmatch
import importlib.util
import json
import shlex
import sys
from collections.abc import Sequence
from pathlib import Path
from time import monotonic

from ._harness import Row, header, load_now, run_workload
from ._pictures import draw
from ._registry import Workload, contenders, load
from ._report import compare, markdown, summary, table, title
from ._results import write_results

ROUNDS = 7
QUICK_ROUNDS = 3


def main(argv: Sequence[str] | None = None) -> int:
    """Run what was asked for; return 1 if a contender failed."""
    options = _parser().parse_args(argv)
    workloads = [workload for workload in load() if _chosen(workload, options.only)]
    if options.list:
        for workload in workloads:
            print(f"{workload.name:<24} {workload.title}")
        return 0
    if not workloads:
        print(f"no workload matches {options.only}; --list names them", file=sys.stderr)
        return 2
    loops = ("asyncio", "uvloop") if options.loop == "both" else (options.loop,)
    if "uvloop" in loops and importlib.util.find_spec("uvloop") is None:
        print("uvloop is not installed (pip install -r benchmarks/requirements.txt)", file=sys.stderr)
        return 2
    earlier = None if options.compare is None else json.loads(options.compare.read_text("utf-8"))
    rounds = options.rounds or (QUICK_ROUNDS if options.quick else ROUNDS)
    about = header(" and ".join(loops))
    about["rounds"] = rounds
    about["quick"] = options.quick
    begin = monotonic()
    if not options.markdown:
        print(title(about), end="\n\n")
    runs: dict[str, list[Row]] = {loop: [] for loop in loops}
    for workload in workloads:
        n = options.inputs or (workload.quick if options.quick else workload.full)
        for loop in loops:
            if loop != loops[0] and not any(
                c.is_async for c in contenders(workload.name) if c.role == "ours"
            ):
                # The same again.
                continue
            made = run_workload(
                workload, rounds=rounds, n=n, loop=loop, progress=_progress, quick=options.quick
            )
            _progress("")
            runs[loop].extend(made)
            if not options.markdown:
                on = f" on {loop}" if len(loops) > 1 else ""
                print(table(workload, n, made, on), end="\n\n", flush=True)
    about["load after"] = load_now()
    about["minutes"] = (monotonic() - begin) / 60
    rows = [row for made in runs.values() for row in made]
    if options.markdown:
        print(markdown(about, workloads, rows))
    else:
        for loop, made in runs.items():
            print(summary(f"goals on {loop}", workloads, made))
        print(f"load {about['load']} before, {about['load after']} after; {about['minutes']:.1f} minutes")
    if earlier is not None:
        print(compare(earlier, rows))
    if options.json is not None:
        options.json.write_text(json.dumps(_document(about, rows), indent=1) + "\n", "utf-8")
    if options.plots is not None:
        draw(workloads, runs[loops[0]], options.plots)
    if options.results is not None:
        typed = shlex.join(["python", "-m", "benchmarks", *(sys.argv[1:] if argv is None else argv)])
        write_results(options.results, about, workloads, runs, typed)
    return 1 if any(row.failed for row in rows) else 0


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(
        prog="python -m benchmarks", description="Measure actorpool beside its peers."
    )
    add = parser.add_argument
    add("--quick", action="store_true", help="fewer inputs and rounds: under 3 minutes in all")
    add(
        "--only",
        metavar="PATTERN",
        action="append",
        help="only workloads of this name (* and ? allowed); may repeat",
    )
    add("--list", action="store_true", help="name the workloads and stop")
    add("--json", metavar="FILE", type=Path, help="write every sample to FILE")
    add(
        "--compare",
        metavar="OLD.json",
        type=Path,
        help="show what changed since the run that wrote this file",
    )
    add("--rounds", metavar="N", type=_count, help=f"rounds, default {ROUNDS} ({QUICK_ROUNDS} with --quick)")
    add(
        "--inputs",
        metavar="N",
        type=_count,
        help="inputs of one sample, instead of each workload's own number",
    )
    add(
        "--loop",
        choices=("asyncio", "uvloop", "both"),
        default="asyncio",
        help="the loop of asynchronous callers; both: what runs on a loop is run on either",
    )
    add("--plots", metavar="DIR", type=Path, help="draw pictures (SVG) into this folder")
    add(
        "--results",
        metavar="FILE",
        type=Path,
        help="write a page of results (Markdown), with its pictures in a folder beside it",
    )
    add("--markdown", action="store_true", help="print one table in Markdown")
    return parser


def _count(text: str) -> int:
    value = int(text)
    if value < 1:
        raise argparse.ArgumentTypeError(f"must be at least 1, not {value}")
    return value


def _chosen(workload: Workload, patterns: list[str] | None) -> bool:
    return patterns is None or any(fnmatch.fnmatchcase(workload.name, pattern) for pattern in patterns)


def _progress(text: str) -> None:
    if sys.stderr.isatty():
        sys.stderr.write(f"\r\x1b[K{text}")
        sys.stderr.flush()


def _document(about: dict[str, object], rows: list[Row]) -> dict[str, object]:
    return {"about": about, "rows": [row.document() for row in rows]}


if __name__ == "__main__":
    sys.exit(main())

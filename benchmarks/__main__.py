# SPDX-License-Identifier: Apache-2.0
"""The command: `python -m benchmarks [--quick] [--only PATTERN] [--json FILE] [--compare OLD.json] …`."""

from __future__ import annotations

import argparse
import fnmatch
import importlib.util
import json
import sys
from collections.abc import Sequence
from pathlib import Path

from ._harness import Row, header, load_now, run_workload
from ._registry import Workload, load
from ._report import compare, markdown, table, title

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
    if options.loop == "uvloop" and importlib.util.find_spec("uvloop") is None:
        print("uvloop is not installed (pip install -r benchmarks/requirements.txt)", file=sys.stderr)
        return 2
    earlier = None if options.compare is None else json.loads(options.compare.read_text("utf-8"))
    rounds = options.rounds or (QUICK_ROUNDS if options.quick else ROUNDS)
    about = header(options.loop)
    about["rounds"] = rounds
    about["quick"] = options.quick
    if not options.markdown:
        print(title(about), end="\n\n")
    rows: list[Row] = []
    for workload in workloads:
        n = options.inputs or (workload.quick if options.quick else workload.full)
        made = run_workload(
            workload, rounds=rounds, n=n, loop=options.loop, progress=_progress, quick=options.quick
        )
        _progress("")
        rows.extend(made)
        if not options.markdown:
            print(table(workload, n, made), end="\n\n", flush=True)
    about["load after"] = load_now()
    if options.markdown:
        print(markdown(about, workloads, rows))
    else:
        print(f"load {about['load']} before, {about['load after']} after")
    if earlier is not None:
        print(compare(earlier, rows))
    if options.json is not None:
        options.json.write_text(json.dumps(_document(about, rows), indent=1) + "\n", "utf-8")
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
    add("--loop", choices=("asyncio", "uvloop"), default="asyncio", help="the loop of asynchronous callers")
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

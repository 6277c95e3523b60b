# SPDX-License-Identifier: Apache-2.0
"""A page of results, from one run: what was run and where, every goal with its verdict, figures and pictures."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from ._goals import Verdict, missed, verdicts
from ._harness import NOISY, Row
from ._pictures import draw
from ._registry import Workload
from ._report import HEAD, rows_of

__all__ = ["write_results"]

PICTURES = "pictures"


def write_results(
    file: Path, about: dict[str, Any], workloads: list[Workload], runs: dict[str, list[Row]], command: str
) -> None:
    """Write the page, and the pictures into a folder beside it.

    Args:
        file: The page, in Markdown.
        about: What the figures depend on.
        workloads: Those that were run, in their order.
        runs: {loop: the rows of the workloads on it}; pictures are of the first.
        command: What was typed.
    """
    first = next(iter(runs.values()))
    pictures = draw(workloads, first, file.parent / PICTURES)
    versions = ", ".join(f"{name} {version}" for name, version in about["versions"].items())
    quick = ", --quick" if about["quick"] else ""
    lines = f"""\
# Results

`{command}`, {about["when"]}, {about["minutes"]:.0f} minutes.

{about["python"]}, {about["cpus"]} CPUs ({about["machine"]}), load {about["load"]} before, {about["load after"]} after;
{about["rounds"]} interleaved rounds{quick}; {versions}.

Figures are medians; the spread is that between the quartiles, `~` marks one of over {NOISY:.0%}. Ratios are medians of
the ratios within each round. A *floor* is the least that Python can do, written by hand, without any feature. What is
missing says why.
""".splitlines()
    lines.append("")
    for loop, rows in runs.items():
        lines += _goals(loop, workloads, rows)
    drawn: set[str] = set()
    for loop, rows in runs.items():
        lines += [f"## Figures on {loop}", ""]
        for workload in workloads:
            table = rows_of(workload, rows)
            if not table:
                continue
            lines += [f"### {workload.name}", "", HEAD, *table, ""]
            key = workload.name if workload.series is None else workload.series[0]
            if key not in drawn:
                drawn.add(key)
                lines += [f"![{key}]({PICTURES}/{name})" for name in pictures.get(key, [])]
                lines.append("")
    file.write_text("\n".join(lines).rstrip() + "\n", "utf-8")


def _goals(loop: str, workloads: list[Workload], rows: list[Row]) -> list[str]:
    of_loop = {row.workload for row in rows}
    found = [v for workload in workloads if workload.name in of_loop for v in verdicts(workload, rows)]
    if not found:
        return []
    lines = [
        f"## Goals on {loop}",
        "",
        "| workload | must | | ambition | |",
        "| --- | --- | --- | --- | --- |",
    ]
    pairs: dict[tuple[str, int], dict[str, Verdict]] = {}
    for verdict in found:
        pairs.setdefault((verdict.workload.name, verdict.goal.metric), {})[verdict.goal.label] = verdict
    for (name, metric), by_label in pairs.items():
        workload = next(workload for workload in workloads if workload.name == name)
        cells = [f"{workload.title}: {workload.measure.metrics[metric].name}"]
        for label in ("must", "ambition"):
            pair = by_label.get(label)
            cells += ["", ""] if pair is None else [pair.asked, _marked(pair)]
        lines.append(f"| {' | '.join(cells)} |")
    must = [verdict for verdict in found if verdict.goal.label == "must"]
    met, lost = sum(v.met is True for v in must), sum(v.met is False for v in must)
    lines += ["", f"Must: {met} met, {lost} missed, {len(must) - met - lost} not measured.", ""]
    remarks = [f"* {w.name}: {w.remark}" for w in workloads if w.remark and missed(w, rows)]
    return [*lines, "Where a goal is missed, what was tried:", "", *remarks, ""] if remarks else lines


def _marked(verdict: Verdict) -> str:
    return f"**{verdict.said}**" if verdict.met is False and verdict.goal.label == "must" else verdict.said

# SPDX-License-Identifier: Apache-2.0
"""The tables: every policy overall, one policy per scenario, and the page of results."""

from __future__ import annotations

from collections.abc import Sequence

from ._compare import MEASURES, Comparison

__all__ = ["document", "summary", "table"]

_GOALS = {"cost": 0.75, "mean wait": 0.90, "p99 wait": 1.00, "starts": 1.75}
_AMBITIONS = {"cost": 0.60, "mean wait": 0.70, "p99 wait": 0.85, "starts": 1.25}


def summary(comparisons: Sequence[Comparison]) -> str:
    """Return a line for each policy: geometric means against the plain reading."""
    lines = [_row(["policy", *MEASURES, "worst cost", "overruled", "violations"]), _row(["---"] * 8)]
    for one in comparisons:
        worst = max((one.in_scenario("cost", name), name) for name in one.scenarios)
        cells = [one.name, *(str(one.overall(measure)) for measure in MEASURES)]
        cells += [f"{worst[0]:.2f} {worst[1]}", f"{one.overruled:,}", str(one.violations)]
        lines.append(_row(cells))
    return "\n".join(lines)


def table(one: Comparison) -> str:
    """Return a line for each scenario."""
    head = [
        "scenario",
        *MEASURES,
        "mean wait ms, plain",
        "its",
        "p99 ms, plain",
        "its",
        "starts, plain",
        "its",
    ]
    lines = [f"{one.name} against the plain reading:", "", _row(head), _row(["---"] * len(head))]
    for name in one.scenarios:
        cells = [f"{one.in_scenario(measure, name):.3f}" for measure in MEASURES]
        for value, scale in (
            (lambda figures: figures.wait_mean_s, 1e3),
            (lambda figures: figures.wait_p99_s, 1e3),
            (lambda figures: figures.starts, 1),
        ):
            cells += [f"{scale * one.mean_of(value, name, yardstick=which):,.1f}" for which in (True, False)]
        lines.append(_row([name, *cells]))
    return "\n".join(lines)


def document(comparisons: Sequence[Comparison], chosen: Sequence[Comparison], kind: str) -> str:
    """Return the page of results.

    Args:
        comparisons: What the page is about.
        chosen: The shipped policies on the seeds that constants were chosen with.
        kind: What the seeds of `comparisons` are for.
    """
    by_name = {one.name: one for one in comparisons}
    adaptive, window = by_name["AdaptivePolicy"], by_name["WindowPolicy"]
    command = "python -m benchmarks.scaling --results benchmarks/scaling"
    seeds, others = (", ".join(map(str, ones[0].seeds)) for ones in (comparisons, chosen))
    about = (
        f"`{command}`, {kind} seeds {seeds}. Constants were chosen with the development seeds {others} alone "
        "(`SWEEP.md`). The pool's own machine in simulated time (`actorpool.simulate`), every policy inside "
        "the same user's contract: what a peer would keep beyond the window, the pool stops (`overruled`). Figures are "
        "ratios to the plain reading of the guide (start for each unserved input, stop at the window); waits with 1 ms "
        "added to both sides; geometric means over scenarios and seeds, in brackets 95 % confidence over seeds. Less "
        "is better. A day passes in two hours in `diurnal`."
    )
    parts = [
        "# Scaling policies compared",
        about,
        "## All policies",
        summary(comparisons),
        "![cost against mean wait](front-mean.svg)",
        "![cost against the 99th percentile of the wait](front-p99.svg)",
        "## Goals of AdaptivePolicy",
        _goals(adaptive),
        "## Who is ahead",
        "AdaptivePolicy against each of the others, seed by seed: below 1 it is ahead.",
        _ahead(adaptive, comparisons),
        "## Goals of WindowPolicy",
        _window_goals(window),
        "## Other seeds",
        f"The shipped policies on the development seeds {others}, which constants were chosen with.",
        summary(chosen),
        "## Where AdaptivePolicy is behind the plain reading",
        _behind(adaptive),
        "## AdaptivePolicy by scenario",
        table(adaptive),
        "## WindowPolicy by scenario",
        table(window),
    ]
    return "\n\n".join(parts) + "\n"


def _goals(one: Comparison) -> str:
    lines = [_row(["", "goal", "ambition", "measured", ""]), _row(["---"] * 5)]
    for measure, goal in _GOALS.items():
        got = one.overall(measure)
        ambition = _AMBITIONS[measure]
        verdict = (
            "ambition reached" if got.mean <= ambition else "goal reached" if got.mean <= goal else "MISSED"
        )
        lines.append(_row([measure, f"{goal:.2f}", f"{ambition:.2f}", str(got), verdict]))
    cost, where = max((one.in_scenario("cost", name), name) for name in one.scenarios)
    lines.append(
        _row(["worst cost of a scenario", "1.10", "", f"{cost:.2f} ({where})", _verdict(cost <= 1.10)])
    )
    late = [(*_late(one, name), name) for name in one.scenarios]
    noticed = [(share, extra, name) for share, extra, name in late if extra > 0.015]
    share, extra, where = max(noticed, default=(0.0, 0.0, "none later than 15 ms"))
    words = f"{share:+.0%}, {1e3 * extra:.0f} ms ({where})" if share else where
    lines.append(_row(["worst p99 of a scenario", "+25 % or 15 ms", "", words, _verdict(share <= 0.25)]))
    lines.append(_row(["violations", "0", "0", str(one.violations), _verdict(not one.violations)]))
    return "\n".join(lines)


def _late(one: Comparison, name: str) -> tuple[float, float]:
    its, plain = (
        one.mean_of(lambda figures: figures.wait_p99_s, name, yardstick=which) for which in (False, True)
    )
    return (its - plain) / plain if plain else 0.0, its - plain


def _ahead(adaptive: Comparison, comparisons: Sequence[Comparison]) -> str:
    lines = [_row(["against", "cost", "mean wait", "p99 wait"]), _row(["---"] * 4)]
    variants = [one for one in comparisons if one.name.startswith("AdaptivePolicy,")]
    behind: list[str] = []
    better: list[str] = []
    for one in comparisons:
        if one.name.startswith("Adaptive"):
            continue
        ratios = {measure: adaptive.against(one, measure) for measure in ("cost", "mean wait", "p99 wait")}
        lines.append(_row([one.name, *map(str, ratios.values())]))
        worse = [f"{measure} of {one.name}" for measure, ratio in ratios.items() if ratio.mean >= 1]
        behind += worse
        better += [
            f"{variant.name} is ahead of {one.name} in all three."
            for variant in variants
            if worse and all(variant.against(one, measure).mean < 1 for measure in ratios)
        ]
    verdict = f"Behind in: {'; '.join(behind)}." if behind else "Ahead of all of them in all three."
    return "\n".join([*lines, "", " ".join([verdict, *better])])


def _window_goals(one: Comparison) -> str:
    lines = [_row(["in every scenario", "goal", "worst", "", "worst seed"]), _row(["---"] * 5)]
    for measure, goal in (("cost", 1.00), ("mean wait", 1.02), ("p99 wait", 1.02)):
        worst, where = max((one.in_scenario(measure, name), name) for name in one.scenarios)
        alone = max((one.ratio(measure, name, seed), name, seed) for name, seed in one.figures)
        verdict = _verdict(round(worst, 3) <= goal)
        lines.append(
            _row(
                [
                    measure,
                    f"{goal:.2f}",
                    f"{worst:.3f} ({where})",
                    verdict,
                    f"{alone[0]:.3f} ({alone[1]}, {alone[2]})",
                ]
            )
        )
    return "\n".join(lines)


def _behind(one: Comparison) -> str:
    """Return where a ratio is above 1.02, so that no mean hides it."""
    found = [
        f"{name} {measure} {one.in_scenario(measure, name):.2f}"
        for measure in ("cost", "mean wait", "p99 wait")
        for name in one.scenarios
        if one.in_scenario(measure, name) > 1.02
    ]
    return f"{', '.join(found) or 'Nowhere'}. The table below has the seconds."


def _verdict(kept: bool) -> str:
    return "reached" if kept else "MISSED"


def _row(cells: Sequence[str]) -> str:
    return f"| {' | '.join(cells)} |"

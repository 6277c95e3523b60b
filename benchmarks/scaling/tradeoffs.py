# SPDX-License-Identifier: Apache-2.0
"""The pictures of docs/tradeoffs.md: what each setting costs and what it buys, simulated.

Run it by `python -m benchmarks.scaling.tradeoffs [FOLDER]`, default docs/pictures; it prints the tables beside them.
"""

from __future__ import annotations

import sys
from pathlib import Path
from typing import Any

from attrs import evolve, frozen

from actorpool.simulate import Report, Trace, draw_costs, draw_course, family, simulate, table

FOLDER = Path(__file__).parents[2] / "docs" / "pictures"


@frozen
class Sweep:
    """One setting over some values, on one workload."""

    name: str
    title: str
    family: str
    setting: str
    values: tuple[float, ...]
    against: str
    courses: tuple[float, ...]
    """The values whose course is drawn over time."""
    begin_s: float
    end_s: float

    def trace(self, load: float = 1.0) -> Trace:
        return family(self.family, 1, load=load)

    def reports(self, load: float = 1.0) -> dict[float, Report]:
        trace = self.trace(load)
        return {value: self._report(trace, value) for value in self.values}

    def _report(self, trace: Trace, value: float) -> Report:
        label = f"{self.setting}={value:g}{' s' if self.setting == 'scaledown_window' else ''}"
        if self.setting == "target_inputs":
            return simulate(trace, target_inputs=int(value), label=label)
        # Any: `evolve` cannot know which value goes with which field.
        change: dict[str, Any] = {self.setting: value if self.setting == "scaledown_window" else int(value)}
        return simulate(trace, evolve(trace.settings, **change), label=label)

    def pictures(self, load: float = 1.0) -> dict[str, str]:
        """Return {name of a file: its text}."""
        reports = self.reports(load)
        shown = [reports[value] for value in self.courses]
        return {
            f"{self.name}-costs.svg": draw_costs([*reports.values()], against=self.against, title=self.title),
            f"{self.name}-course.svg": draw_course(
                shown, title=self.title, begin_s=self.begin_s, end_s=self.end_s
            ),
        }


SWEEPS = (
    Sweep(
        name="buffer",
        title="Buffer against wait: bursts, starts of 5 s",
        family="bursts-heavy",
        setting="buffer_containers",
        values=(0, 1, 2, 4, 8),
        against="mean",
        courses=(0, 8),
        begin_s=600.0,
        end_s=1800.0,
    ),
    Sweep(
        name="window",
        title="Window against starts: bursts, starts of 10 ms",
        family="bursts-light",
        setting="scaledown_window",
        values=(1, 5, 20, 60, 300),
        against="starts",
        courses=(5, 60),
        begin_s=600.0,
        end_s=1800.0,
    ),
    Sweep(
        name="minimum",
        title="Minimum against cold starts: a batch every 5 minutes, starts of 5 s",
        family="cron",
        setting="min_containers",
        values=(0, 1, 2, 4, 8, 16),
        against="cold",
        courses=(0, 8),
        begin_s=3300.0,
        end_s=4800.0,
    ),
    Sweep(
        name="target",
        title="Target against maximum: 100 slots per container, starts of 5 s",
        family="slots",
        setting="target_inputs",
        values=(20, 40, 60, 80, 100),
        against="mean",
        courses=(40, 100),
        begin_s=0.0,
        end_s=960.0,
    ),
)


def main(folder: Path = FOLDER) -> int:
    folder.mkdir(parents=True, exist_ok=True)
    for sweep in SWEEPS:
        print(f"{sweep.title}\n\n{table([*sweep.reports().values()])}\n")
        for name, picture in sweep.pictures().items():
            (folder / name).write_text(picture, "utf-8")
    return 0


if __name__ == "__main__":
    sys.exit(main(*[Path(word) for word in sys.argv[1:]]))

# SPDX-License-Identifier: Apache-2.0
"""The pictures of docs/tradeoffs.md: what each setting costs and what it buys, simulated.

Run it by `python -m benchmarks.scaling.tradeoffs [FOLDER]`, default docs/pictures; it prints the tables beside them.
"""

from __future__ import annotations

import sys
from pathlib import Path
from typing import Final

from attrs import frozen

from actorpool.simulate import Report, draw_costs, draw_course, family, table
from actorpool.simulate._choices import choices, read_setting

FOLDER: Final = Path(__file__).parents[2] / "docs" / "pictures"


@frozen
class Sweep:
    """One setting over some values, on one workload."""

    name: str
    title: str
    family: str
    setting: str
    """As behind `actorpool simulate --set`."""
    against: str
    courses: tuple[int, ...]
    """Which of the values are drawn over time, by their places."""
    begin_s: float
    end_s: float

    def reports(self, load: float = 1.0) -> list[Report]:
        """Return a report for each value."""
        trace = family(self.family, 1, load=load)
        return [
            choice.simulated(trace, seed=0) for choice in choices(trace, [read_setting(self.setting)], [])
        ]

    def pictures(self, reports: list[Report]) -> dict[str, str]:
        """Return {name of a file: its text}."""
        shown = [reports[place] for place in self.courses]
        return {
            f"{self.name}-costs.svg": draw_costs(reports, against=self.against, title=self.title),
            f"{self.name}-course.svg": draw_course(
                shown, title=self.title, begin_s=self.begin_s, end_s=self.end_s
            ),
        }


SWEEPS: Final = (
    Sweep(
        name="buffer",
        title="Buffer against wait: bursts, starts of 5 s",
        family="bursts-heavy",
        setting="buffer_containers=0,1,2,4,8",
        against="mean",
        courses=(0, -1),
        begin_s=600.0,
        end_s=1800.0,
    ),
    Sweep(
        name="window",
        title="Window against starts: bursts, starts of 10 ms",
        family="bursts-light",
        setting="scaledown_window=1s,5s,20s,60s,300s",
        against="starts",
        courses=(1, 3),
        begin_s=600.0,
        end_s=1800.0,
    ),
    Sweep(
        name="minimum",
        title="Minimum against cold starts: a batch every 5 minutes, starts of 5 s",
        family="cron",
        setting="min_containers=0,1,2,4,8,16",
        against="cold",
        courses=(0, -2),
        begin_s=3300.0,
        end_s=4800.0,
    ),
    Sweep(
        name="target",
        title="Target against maximum: 100 slots per container, starts of 5 s",
        family="slots",
        setting="target_inputs=20,40,60,80,100",
        against="mean",
        courses=(1, -1),
        begin_s=0.0,
        end_s=960.0,
    ),
)


def main(folder: Path = FOLDER) -> int:
    folder.mkdir(parents=True, exist_ok=True)
    for sweep in SWEEPS:
        reports = sweep.reports()
        print(f"{sweep.title}\n\n{table(reports)}\n")
        for name, picture in sweep.pictures(reports).items():
            (folder / name).write_text(picture, "utf-8")
    return 0


if __name__ == "__main__":
    sys.exit(main(*[Path(word) for word in sys.argv[1:]]))

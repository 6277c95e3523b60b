# SPDX-License-Identifier: Apache-2.0
"""The workloads of the comparison, and which seeds are for what."""

from __future__ import annotations

from typing import Final

from attrs import evolve

from actorpool.simulate import FAMILIES, Trace, family

__all__ = ["DEVELOPMENT_SEEDS", "EVALUATION_SEEDS", "scenarios"]

DEVELOPMENT_SEEDS: Final = (1, 2, 3, 4)
"""What constants were chosen with."""
EVALUATION_SEEDS: Final = (101, 102, 103, 104, 105)
"""What the results are of; no constant was chosen with any of them."""
# A day passes in two hours, with the load of the day shared out to fewer inputs, so that a comparison takes minutes.
_HASTE: Final = 12.0
_DIURNAL_LOAD: Final = 0.03


def scenarios(seed: int, *, quick: bool = False) -> list[tuple[str, Trace]]:
    """Return each family drawn from this seed; a few of the short ones if it is to be quick."""
    names = ("bursts-light", "cron", "flash", "rare") if quick else FAMILIES
    return [(name, _drawn(name, seed)) for name in names]


def _drawn(name: str, seed: int) -> Trace:
    if name != "diurnal":
        return family(name, seed)
    day = family(name, seed, load=_DIURNAL_LOAD)
    arrivals = [instant / _HASTE for instant in day.arrivals]
    return evolve(day, arrivals=arrivals, duration_s=day.duration_s / _HASTE)

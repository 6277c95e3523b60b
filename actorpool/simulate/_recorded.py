# SPDX-License-Identifier: Apache-2.0
"""What a recording says: of each pool its workload, to simulate, and what really happened, as a report."""

from __future__ import annotations

import math
from array import array
from os import PathLike
from typing import TYPE_CHECKING, Any, Final

from attrs import field, frozen

from actorpool._core._config import AutoscalerSettings, Concurrency
from actorpool.exception import InvalidError

from ._file import FunctionRecords, Records, read_records, refusal
from ._ledger import Box, Ledger
from ._report import Report
from ._trace import Trace

if TYPE_CHECKING:
    from collections.abc import Mapping

# Which life of the pool, and the container's number in it.
_Key = tuple[int, float]
# When its start was asked for, when it was ready, when it ended.
_Life = tuple[float, float, float]
# Of an input: when it came, how long it waited, how long it held its slot, and in which container.
_Ran = tuple[float, float, float, _Key]

__all__ = ["RecordedApp", "RecordedFunction", "read_recording"]

# How long a start that was called off after some time is taken to be, in multiples of it.
_LONGER: Final = 1.25
_AS_RECORDED: Final = "as recorded"
# What happens at one instant, in this order: a slot that is given up is there for who comes.
_ASKED, _READY, _LEFT, _TOOK, _GONE = range(5)


@frozen(eq=False)
class RecordedFunction:
    """One pool of a recorded app."""

    trace: Trace
    """Its workload, with the settings that were in force at the end."""
    report: Report
    """What really happened, in the figures of a simulation; the contract is not looked at."""


@frozen(eq=False)
class RecordedApp:
    """What `read_recording` returns."""

    name: str
    """The app's name."""
    began: float
    """When the recording began, in Unix seconds."""
    duration_s: float
    """How long it lasted, in seconds."""
    functions: Mapping[str, RecordedFunction] = field(repr=False)
    """By name; pools of one name but the first are numbered, such as "Model #2"."""

    def function(self, name: str | None = None) -> RecordedFunction:
        """Return the function of that name; without one the only function, or the one with most inputs.

        Raises:
            InvalidError: If there is none.
        """
        if not self.functions:
            raise InvalidError(f"the recording of app '{self.name}' is empty: the app did not run meanwhile")
        if name is None:
            return max(self.functions.values(), key=lambda function: len(function.trace))
        found = self.functions.get(name)
        if found is None:
            names = ", ".join(self.functions)
            raise InvalidError(
                f"the recording of app '{self.name}' has no function '{name}'; it has: {names}"
            )
        return found


def read_recording(path: str | PathLike[str]) -> RecordedApp:
    """Read what `record` or `actorpool record` has written.

    Raises:
        TraceError: If the file is no recording, not a whole one, or of a later version.
        OSError: If it cannot be read.
    """
    records = read_records(path)
    functions = {name: _function(name, parts, records) for name, parts in _by_name(records).items() if parts}
    return RecordedApp(records.app, records.began, records.duration_s, functions)


def _by_name(records: Records) -> dict[str, list[FunctionRecords]]:
    """Return the records by name: a redeployed function, and a pool that was forgotten, has several."""
    found: dict[str, list[FunctionRecords]] = {}
    for function in records.functions.values():
        found.setdefault(function.name, []).append(function)
    return found


def _function(name: str, parts: list[FunctionRecords], records: Records) -> RecordedFunction:
    inputs: list[_Ran] = []
    containers: dict[_Key, _Life] = {}
    for life, part in enumerate(parts):
        inputs += [(came, waited, held, (life, box)) for came, waited, held, box in part.inputs]
        for number, asked, ready, ended in part.containers:
            containers[life, number] = (asked, ready, ended)
    inputs.sort()
    settings, concurrency, startup_s = _settings(parts[-1].settings, name, records.path)
    trace = Trace(
        name=name,
        arrivals=[came for came, *_ in inputs],
        services=[max(0.0, held) for _, _, held, _ in inputs],
        startups=_startups(containers, startup_s),
        duration_s=records.duration_s,
        settings=settings,
        concurrency=concurrency,
    )
    return RecordedFunction(trace, _what_happened(trace, inputs, containers, records.path))


def _startups(containers: dict[_Key, _Life], startup_s: float) -> list[float]:
    """Return the start-up times in the order of the starts; if there are none, what the pool estimates."""
    # Of those that were ready before the recording began nobody knows when.
    starts = [life for _, life in sorted(containers.items()) if not life[1] < 0]
    known = [ready - asked for asked, ready, _ in starts if not math.isnan(ready)]
    mean = math.fsum(known) / len(known) if known else startup_s
    startups: list[float] = []
    for asked, ready, ended in starts:
        if not math.isnan(ready):
            startups.append(ready - asked)
        else:
            # It was called off, and has its place among the others: that it would have taken longer is all we know.
            lasted = 0.0 if math.isnan(ended) else ended - asked
            startups.append(max(mean, _LONGER * lasted))
    return startups or [mean]


# Any: the values come from a file; the settings check them.
def _settings(given: dict[str, Any], name: str, path: str) -> tuple[AutoscalerSettings, Concurrency, float]:
    values = dict(given)
    try:
        startup_s = float(values.pop("startup_s", 0.0))
        concurrency = Concurrency(values.pop("max_inputs", 1), values.pop("target_inputs", 0))
        return AutoscalerSettings(**values), concurrency, startup_s
    except (TypeError, InvalidError) as error:
        raise refusal(path, f"the settings of '{name}' in it are damaged ({error})") from error


def _what_happened(
    trace: Trace,
    inputs: list[_Ran],
    containers: dict[_Key, _Life],
    path: str,
) -> Report:
    """Enter in a ledger what was recorded."""
    duration_s = trace.duration_s
    facts: list[tuple[float, int, _Key, int]] = []
    for key, (asked, ready, ended) in containers.items():
        end = duration_s if math.isnan(ended) else min(ended, duration_s)
        facts.append((max(0.0, asked), _ASKED, key, 0))
        if ready <= end:
            facts.append((max(0.0, ready), _READY, key, 0))
        facts.append((end, _GONE, key, 0))
    taken = array("d")
    for index, (came, waited, held, key) in enumerate(inputs):
        if key not in containers:
            raise refusal(path, f"it lacks container {key[1]:g} of '{trace.name}'")
        took = came + max(0.0, waited)
        taken.append(took)
        facts.append((took, _TOOK, key, index))
        # Later than it began, also if that took no time.
        facts.append((max(took + held, math.nextafter(took, math.inf)), _LEFT, key, index))
    facts.sort()
    ledger = Ledger(trace.settings, trace.concurrency)
    ledger.pending = len(inputs)
    boxes: dict[_Key, Box] = {}
    cold = 0
    for now, what, key, index in facts:
        if what == _ASKED:
            boxes[key] = ledger.asked(now)
            continue
        box = boxes[key]
        if what == _READY:
            ledger.ready(box, now)
        elif what == _LEFT:
            ledger.left(box, now)
        elif what == _TOOK:
            cold += box.ready_at > trace.arrivals[index]
            ledger.took(box, now)
        else:
            ledger.told_to_stop(box, now)
            ledger.gone(box, now)
    # Real timers are late and real threads take their time, which is no breach.
    ledger.violations.clear()
    ledger.broken.clear()
    return Report.of(
        trace,
        _AS_RECORDED,
        trace.settings,
        trace.concurrency,
        ledger,
        submitted=trace.arrivals,
        taken=taken,
        cold=cold,
        refused=0,
        looks=0,
        overruled=0,
        duration_s=duration_s,
    )

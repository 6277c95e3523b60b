# SPDX-License-Identifier: Apache-2.0
"""Runs contenders in interleaved rounds and keeps every sample.

One sample: set up, warm up, measure, tear down, collect garbage. A round is one sample of each contender of
a workload, in the table's order; a first round of a tenth of the size is thrown away. A contender that fails, or
returns wrong results, is a row that says so, and its later samples are left out.
"""

from __future__ import annotations

import asyncio
import gc
import importlib.metadata
import inspect
import json
import os
import platform
import statistics
import subprocess
import sys
from collections.abc import Callable, Iterable, Sequence
from contextlib import asynccontextmanager, contextmanager
from datetime import UTC, datetime
from math import ceil
from pathlib import Path
from typing import Any

from attrs import Factory, asdict, define

from ._registry import Contender, Workload, contenders

__all__ = ["NOISY", "Row", "header", "load_now", "run_workload", "take_sample"]

LoopFactory = Callable[[], asyncio.AbstractEventLoop]

_PEERS = (
    *(
        "actorpool",
        "aiometer",
        "anyio",
        "attrs",
        "fastapi",
        "hdrhistogram",
        "joblib",
        "loky",
        "msgpack",
        "pebble",
    ),
    *("ray", "uvicorn", "uvloop"),
)
_ISOLATED_TIMEOUT_S = 300

NOISY = 0.15
"""The widest spread of figures that are not marked."""


@define
class Row:
    """All samples of one metric of one contender."""

    workload: str
    contender: str
    role: str
    metric: str
    unit: str
    loop: str = "asyncio"
    """The loop of asynchronous contenders."""
    samples: list[float] = Factory(list)
    skipped: str | None = None
    """Why there are no samples."""
    failed: str | None = None
    """What went wrong; samples taken before it stay."""

    @property
    def complete(self) -> bool:
        """Whether there are figures to show."""
        return bool(self.samples) and self.failed is None

    @property
    def median(self) -> float:
        """The middle sample."""
        return statistics.median(self.samples)

    @property
    def spread(self) -> float:
        """The distance between the quartiles as a share of the median."""
        if len(self.samples) < 2 or not self.median:
            return 0.0
        low, _, high = statistics.quantiles(self.samples, n=4, method="inclusive")
        return (high - low) / abs(self.median)

    @property
    def noisy(self) -> bool:
        """Whether the middle half of the samples lies too far apart for the median to be trusted to the per cent."""
        return self.spread > NOISY

    def document(self) -> dict[str, Any]:
        """Return what goes into the JSON file."""
        return {**asdict(self), "median": self.median if self.samples else None, "spread": self.spread}

    @classmethod
    def from_document(cls, document: dict[str, Any]) -> Row:
        """Return the row of a JSON file."""
        return cls(**{name: value for name, value in document.items() if name not in {"median", "spread"}})


def loop_factory(loop: str) -> LoopFactory:
    """Return what makes an event loop of that kind."""
    if loop == "uvloop":
        import uvloop

        make: LoopFactory = uvloop.new_event_loop
        return make
    if sys.platform == "win32":
        return asyncio.ProactorEventLoop
    return asyncio.SelectorEventLoop


def header(loop: str) -> dict[str, Any]:
    """Return what the figures depend on."""
    versions = {}
    for name in _PEERS:
        try:
            versions[name] = importlib.metadata.version(name)
        except importlib.metadata.PackageNotFoundError:
            continue
    if "actorpool" not in versions:
        import actorpool

        versions["actorpool"] = actorpool.__version__
    return {
        "when": datetime.now(UTC).isoformat(timespec="seconds"),
        "python": f"{platform.python_implementation()} {platform.python_version()}",
        "loop": loop,
        "machine": f"{platform.system()} {platform.machine()}, {_processor()}",
        "cpus": len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count(),
        "load": load_now(),
        "versions": versions,
    }


def _processor() -> str:
    try:
        for line in Path("/proc/cpuinfo").read_text("utf-8").splitlines():
            if line.startswith("model name"):
                return line.partition(":")[2].strip()
    except OSError:
        # Not Linux; the platform module knows less, but something.
        pass
    return platform.processor() or "unknown processor"


def load_now() -> float | None:
    """Return how many processes wanted to run, averaged over the last minute."""
    return round(os.getloadavg()[0], 2) if hasattr(os, "getloadavg") else None


def run_workload(
    workload: Workload,
    *,
    rounds: int,
    n: int,
    loop: str = "asyncio",
    progress: Callable[[str], object] = lambda _: None,
    chosen: Iterable[Contender] | None = None,
    quick: bool = False,
) -> list[Row]:
    """Run the contenders in interleaved rounds; return a row for each metric of each."""
    rows: dict[str, list[Row]] = {}
    ready: list[Contender] = []
    most = min(rounds, workload.most_rounds, workload.quick_rounds if quick else rounds)
    for contender in contenders(workload.name) if chosen is None else chosen:
        skipped = contender.missing
        if skipped is None and quick and contender.most_rounds is not None:
            skipped = "takes seconds to start (left out by --quick)"
        rows[contender.name] = [
            Row(
                workload.name,
                contender.name,
                contender.role,
                metric.name,
                metric.unit,
                loop,
                skipped=skipped,
            )
            for metric in workload.measure.metrics
        ]
        if skipped is None:
            ready.append(contender)
    try:
        for number in range(-1, most):
            for contender in list(ready):
                if contender.most_rounds is not None and number >= contender.most_rounds:
                    continue
                progress(f"{workload.name}: round {number + 1}, {contender.name}")
                try:
                    if number < 0:
                        # What only the first run of a process pays for. A process of its own pays each time.
                        if not workload.isolated:
                            take_sample(workload, contender, ceil(n / 10), loop)
                        continue
                    sample = (_isolated if workload.isolated else take_sample)(workload, contender, n, loop)
                except Exception as error:
                    # The other contenders go on; the row says what happened to this one.
                    ready.remove(contender)
                    for row in rows[contender.name]:
                        row.failed = f"{type(error).__name__}: {error}"
                    continue
                for row, value in zip(rows[contender.name], sample, strict=True):
                    row.samples.append(value)
    finally:
        if workload.after is not None:
            workload.after()
    return [row for group in rows.values() for row in group]


def take_sample(workload: Workload, contender: Contender, n: int, loop: str) -> Sequence[float]:
    """Take one sample in this process."""
    function, measure = contender.function, workload.measure
    gc.collect()
    try:
        if inspect.isasyncgenfunction(function) or inspect.iscoroutinefunction(function):

            async def main() -> Sequence[float]:
                if inspect.iscoroutinefunction(function):
                    return await measure.sample_async(function, n)
                async with asynccontextmanager(function)() as run:
                    return await measure.sample_async(run, n)

            with asyncio.Runner(loop_factory=loop_factory(loop)) as runner:
                return runner.run(main())
        if inspect.isgeneratorfunction(function):
            with contextmanager(function)() as run:
                return measure.sample(run, n)
        return measure.sample(function, n)
    finally:
        gc.collect()


def _isolated(workload: Workload, contender: Contender, n: int, loop: str) -> Sequence[float]:
    """Take one sample in a process of its own."""
    command = [sys.executable, "-m", "benchmarks._child", workload.name, contender.name, str(n), loop]
    # What is imported there is what is imported here.
    paths = [path or os.getcwd() for path in sys.path]
    child = subprocess.run(
        command,
        env={**os.environ, "PYTHONPATH": os.pathsep.join(paths)},
        capture_output=True,
        text=True,
        check=False,
        timeout=_ISOLATED_TIMEOUT_S,
    )
    if child.returncode:
        raise RuntimeError(f"the process ended with {child.returncode}: {child.stderr.strip()[-400:]}")
    values: list[float] = json.loads(child.stdout.splitlines()[-1])
    return values

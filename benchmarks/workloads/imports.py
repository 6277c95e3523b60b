# SPDX-License-Identifier: Apache-2.0
"""What importing costs, each in a fresh interpreter whose bytecode is compiled already."""

from __future__ import annotations

import os
import subprocess
import sys

from .._measures import Metric, Reported
from .._registry import Goal, contender, workload

workload(
    name="import",
    title="import",
    measure=Reported(Metric("time", "ms")),
    counted="imports",
    full=5,
    quick=2,
    goals=(Goal("must", 80.0),),
    remark=(
        "Half is attrs and what it loads, a third are our own 50 modules, of which the 30 attrs classes that a first "
        "App needs take most. What only a running app needs, asyncio too, is imported when one runs; schedules, "
        "policies and call graphs when somebody asks for them. Left: a generated repr "
        "and eq, 0.1 ms each; logging, 4 ms, which could not be imported any more while the interpreter ends."
    ),
)

PROGRAM = "from time import perf_counter as t; begin = t(); import {modules}; print((t() - begin) * 1e3)"


def best_of(n: int, modules: str) -> tuple[float]:
    """Return the shortest of `n` imports, in milliseconds."""
    environment = {**os.environ, "PYTHONPATH": os.pathsep.join(path or os.getcwd() for path in sys.path)}
    # Where this is set nothing would be compiled already.
    environment.pop("PYTHONDONTWRITEBYTECODE", None)
    command = [sys.executable, "-c", PROGRAM.format(modules=modules)]
    times = []
    for _ in range(n):
        child = subprocess.run(command, env=environment, capture_output=True, text=True, check=True)
        times.append(float(child.stdout))
    return (min(times),)


@contender("import", role="ours")
def actorpool(n: int) -> tuple[float]:
    return best_of(n, "actorpool")


@contender("import", requires="aiometer")
def aiometer(n: int) -> tuple[float]:
    return best_of(n, "aiometer")


@contender("import", "asyncio, concurrent.futures.thread", role="floor")
def standard_library(n: int) -> tuple[float]:
    return best_of(n, "asyncio, concurrent.futures.thread")

# SPDX-License-Identifier: Apache-2.0
"""Does a simulation foretell a real run? A workload live, recorded, and live again under settings that were simulated.

Run it by `python -m benchmarks.scaling.live_check [SEED]`.

1. A bursty workload runs in an app of real threads, and is recorded.
2. The recording is simulated, under the settings it was made with and under the others.
3. The recorded workload runs in real apps under the others, too.

Of each setting, container-seconds (as the app's own statistics count them) and the mean wait (as taken inside the
function) must agree with the simulation within 10 %. It takes about 12 s per setting; times are scaled down, so that
a tenth of a wait is some ten milliseconds: on a machine that is busy otherwise the real runs are late by as much.
"""

from __future__ import annotations

import random
import statistics
import sys
import tempfile
import time
from collections.abc import Iterator
from pathlib import Path

from attrs import frozen

import actorpool as modal
from actorpool import AdaptivePolicy, AutoscalerSettings, ScalingPolicy, WindowPolicy
from actorpool.simulate import Trace, read_recording, record, simulate

SECONDS = 10.0
TOLERANCE = 0.10
RECORDED = AutoscalerSettings(max_containers=8, scaledown_window=1.0)
BUFFERED = AutoscalerSettings(min_containers=3, max_containers=8, buffer_containers=1, scaledown_window=1.0)
OTHERS: dict[str, tuple[AutoscalerSettings, type[ScalingPolicy]]] = {
    "max_containers=4": (AutoscalerSettings(max_containers=4, scaledown_window=1.0), WindowPolicy),
    "scaledown_window=0.3": (AutoscalerSettings(max_containers=8, scaledown_window=0.3), WindowPolicy),
    "min_containers=3, buffer_containers=1": (BUFFERED, WindowPolicy),
    "the adaptive policy": (RECORDED, AdaptivePolicy),
}


@frozen
class Outcome:
    """The two figures that are compared."""

    container_seconds: float
    wait_mean_s: float


def workload(seed: int) -> Trace:
    """Bursts of half a second or so, with pauses that some containers outlive."""
    draw = random.Random(seed)
    arrivals: list[float] = []
    now = 0.2
    while now < SECONDS:
        end = now + draw.uniform(0.3, 0.9)
        while now < end:
            arrivals.append(now)
            now += draw.expovariate(30.0)
        now += draw.uniform(0.4, 1.4)
    return Trace(
        name="bursts",
        arrivals=arrivals,
        services=[draw.uniform(0.1, 0.4) for _ in arrivals],
        startups=[draw.uniform(0.2, 0.5) for _ in range(200)],
        duration_s=SECONDS + 1.0,
    )


def startup_times(trace: Trace) -> Iterator[float]:
    """Yield those of the trace, and then some of them as a simulation draws them."""
    yield from trace.startups
    draw = random.Random(0)
    while True:
        yield draw.choice(trace.startups)


def run_live(
    trace: Trace, settings: AutoscalerSettings, policy: type[ScalingPolicy], path: Path | None = None
) -> Outcome:
    """Run the trace in a real app, recorded to `path` if there is one."""
    app = modal.App("live-check", policy=policy)
    startups = startup_times(trace)
    waits: list[float] = []
    submitted = [0.0] * len(trace)

    class Model:
        @modal.enter()
        def load(self) -> None:
            time.sleep(next(startups))

        @modal.method()
        def work(self, index: int) -> None:
            waits.append(time.perf_counter() - submitted[index])
            time.sleep(trace.services[index])

    work = app.cls(
        min_containers=settings.min_containers,
        max_containers=settings.max_containers,
        buffer_containers=settings.buffer_containers,
        scaledown_window=settings.scaledown_window,
    )(Model)().work

    def run() -> float:
        with app.run():
            work.statistics()
            begin = time.perf_counter()
            calls = []
            for index, arrival in enumerate(trace.arrivals):
                time.sleep(max(0.0, begin + arrival - time.perf_counter()))
                submitted[index] = time.perf_counter()
                calls.append(work.spawn(index))
            for call in calls:
                call.get()
            time.sleep(max(0.0, begin + trace.duration_s - time.perf_counter()))
            return work.statistics().container_seconds

    if path is None:
        return Outcome(run(), statistics.fmean(waits))
    with record(app, path):
        return Outcome(run(), statistics.fmean(waits))


def simulated(trace: Trace, settings: AutoscalerSettings, policy: type[ScalingPolicy]) -> Outcome:
    report = simulate(trace, settings, policy=policy)
    assert not report.violations, report.broken
    return Outcome(report.container_seconds, report.wait_mean_s)


def compared(title: str, live: Outcome, foretold: Outcome) -> bool:
    """Print a line; return whether both figures agree."""
    cost = foretold.container_seconds / live.container_seconds - 1
    wait = foretold.wait_mean_s / live.wait_mean_s - 1
    agrees = max(abs(cost), abs(wait)) <= TOLERANCE
    print(
        f"{title:<40}{live.container_seconds:8.2f}{foretold.container_seconds:10.2f}{100 * cost:+7.1f} %"
        f"{1000 * live.wait_mean_s:10.1f}{1000 * foretold.wait_mean_s:10.1f}{100 * wait:+7.1f} %"
        f"{'' if agrees else '   apart by more than 10 %'}",
        flush=True,
    )
    return agrees


def main(seed: int = 1) -> int:
    trace = workload(seed)
    print(f"{len(trace)} inputs in {trace.duration_s:g} s, seed {seed}")
    print(f"{'':<40}{'container-seconds':>27}{'mean wait, ms':>29}")
    print(f"{'':<40}{'live':>8}{'simulated':>10}{'':>9}{'live':>10}{'simulated':>10}")
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / "live.mp"
        live = run_live(trace, RECORDED, WindowPolicy, path)
        recorded = read_recording(path).function("Model").trace
    agree = [compared("as recorded", live, simulated(recorded, RECORDED, WindowPolicy))]
    for title, (settings, policy) in OTHERS.items():
        foretold = simulated(recorded, settings, policy)
        agree.append(compared(title, run_live(recorded, settings, policy), foretold))
    return 0 if all(agree) else 1


if __name__ == "__main__":
    sys.exit(main(*[int(word) for word in sys.argv[1:]]))

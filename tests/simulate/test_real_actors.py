# SPDX-License-Identifier: Apache-2.0
"""A simulation beside the real actors, on a virtual clock: the same waits, starts and container-seconds."""

from __future__ import annotations

import random
from collections.abc import Callable
from contextlib import nullcontext
from pathlib import Path
from typing import Any

import pytest

import actorpool as modal
from actorpool import AdaptivePolicy, AutoscalerSettings, Decision, ScalingPolicy, Snapshot, WindowPolicy
from actorpool.simulate import Trace, read_recording, record, simulate
from tests.api.support import gather, now, sleep

Run = Callable[..., Any]


class Eventful:
    """Keeps one container more than were ever in use at a time during the last few inputs, by events alone."""

    def __init__(self) -> None:
        self.inside = 0
        self.most = 0.0

    def arrived(self, now: float, seconds: float) -> None:
        self.inside += 1
        self.most = max(self.most * 0.95, self.inside)

    def completed(self, now: float, seconds: float) -> None:
        self.inside -= 1

    def decide(self, snapshot: Snapshot) -> Decision:
        have, wanted = snapshot.ready + snapshot.starting, round(self.most) + 1
        if wanted > have:
            return Decision(start=wanted - have, wake_at=snapshot.now + 0.7)
        return Decision(stop=min(snapshot.idle, have - wanted), wake_at=snapshot.now + 0.7)


def workload(seed: int) -> Trace:
    """Distinct instants: what happens at the very same one may be done in another order."""
    draw = random.Random(seed)
    arrivals = sorted(draw.uniform(0.0, 60.0) for _ in range(40))
    arrivals += sorted(90.0 + draw.expovariate(4.0) for _ in range(40))
    return Trace(
        arrivals=sorted(arrivals),
        services=[draw.expovariate(1.0) for _ in range(80)],
        startups=[draw.uniform(0.5, 2.0) for _ in range(400)],
        duration_s=130.0,
    )


async def live(
    trace: Trace,
    settings: AutoscalerSettings,
    policy: Callable[[], ScalingPolicy],
    slots: int,
    path: Path | None = None,
) -> tuple[list[float], modal.FunctionStatistics]:
    """Return how long each input waited in a running app, and the statistics at its end; record it to `path`."""
    app = modal.App("live", policy=policy)
    startups = iter(trace.startups)
    waits = [0.0] * len(trace)
    begin = 0.0

    class Model:
        @modal.enter()
        async def load(self) -> None:
            await sleep(next(startups))

        @modal.method()
        async def run(self, index: int) -> None:
            waits[index] = now() - begin - trace.arrivals[index]
            await sleep(trace.services[index])

    model = modal.concurrent(max_inputs=slots)(Model) if slots > 1 else Model
    run = app.cls(
        min_containers=settings.min_containers,
        max_containers=settings.max_containers,
        buffer_containers=settings.buffer_containers,
        scaledown_window=settings.scaledown_window,
    )(model)().run

    async def observed() -> tuple[list[float], modal.FunctionStatistics]:
        nonlocal begin
        begin = now()
        run.statistics()

        async def call(index: int) -> None:
            await sleep(begin + trace.arrivals[index] - now())
            await run.remote.aio(index)

        await gather(*[lambda index=index: call(index) for index in range(len(trace))])
        await sleep(begin + trace.duration_s - now())
        return waits, run.statistics()

    with nullcontext() if path is None else record(app, path):
        async with app.run():
            return await observed()


SHORT, BOUNDED, BUFFERED = (
    AutoscalerSettings(scaledown_window=5.0),
    AutoscalerSettings(scaledown_window=2.0, min_containers=2, max_containers=4),
    AutoscalerSettings(scaledown_window=8.0, buffer_containers=1),
)


@pytest.mark.parametrize(
    ("settings", "slots", "policy"),
    [
        (SHORT, 1, WindowPolicy),
        (BOUNDED, 1, WindowPolicy),
        (BUFFERED, 3, WindowPolicy),
        (BUFFERED, 3, Eventful),
        (SHORT, 1, AdaptivePolicy),
    ],
)
def test_the_real_actors_do_what_was_simulated(
    run_virtually: Run, settings: AutoscalerSettings, slots: int, policy: Callable[[], ScalingPolicy]
) -> None:
    trace = workload(seed=5)

    waits, statistics = run_virtually(live, trace, settings, policy, slots)
    report = simulate(trace, settings, policy=policy, max_inputs=slots)

    assert statistics.starts == report.starts
    assert waits == pytest.approx(report.waits().tolist(), abs=1e-3)
    assert statistics.container_seconds == pytest.approx(report.container_seconds, rel=1e-3)
    assert {} == report.violations


def test_what_is_recorded_is_what_happened_and_simulates_to_it(run_virtually: Run, tmp_path: Path) -> None:
    trace, path = workload(seed=5), tmp_path / "live.mp"

    waits, statistics = run_virtually(live, trace, BUFFERED, WindowPolicy, 3, path)
    recorded = read_recording(path).function("Model")

    assert recorded.trace.arrivals == pytest.approx(trace.arrivals, abs=1e-3)
    assert recorded.trace.services == pytest.approx(trace.services, abs=1e-3)
    assert (BUFFERED, 3) == (recorded.trace.settings, recorded.trace.concurrency.max_inputs)
    real, again = recorded.report, simulate(recorded.trace)
    assert waits == pytest.approx(real.waits().tolist(), abs=1e-3)
    assert waits == pytest.approx(again.waits().tolist(), abs=1e-3)
    assert statistics.starts == real.starts == again.starts == len(recorded.trace.startups)
    assert statistics.container_seconds == pytest.approx(real.container_seconds, rel=1e-3)
    assert again.container_seconds == pytest.approx(real.container_seconds, rel=1e-3)
    assert again.idle_s == pytest.approx(real.idle_s, rel=1e-2)
    assert (again.cold_share, again.peak_containers) == (real.cold_share, real.peak_containers)

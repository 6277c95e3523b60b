# SPDX-License-Identifier: Apache-2.0
"""Autoscaler settings: the most and the fewest containers, a buffer beyond the need, and how long to stay idle.

$ actorpool run examples/autoscaler_settings.py
"""

from __future__ import annotations

import time

import actorpool as modal

app = modal.App("my-app")


@app.function(max_containers=4)
def bounded(x: int) -> int:
    time.sleep(0.05)
    return x


@app.function(min_containers=2)
def warm() -> str:
    return "no wait for a start"


@app.function(buffer_containers=3)
def buffered() -> modal.FunctionStatistics:
    time.sleep(0.1)  # let the buffer come up
    return buffered.statistics()


@app.function(scaledown_window=0.5)
def short_lived() -> None:
    pass


@app.local_entrypoint()
def main() -> None:
    list(bounded.map(range(20)))
    print("max_containers=4:", bounded.statistics().starts, "containers for 20 inputs")

    while warm.statistics().ready < 2:
        time.sleep(0.01)
    print("min_containers=2:", warm, "-", warm.remote())

    during = buffered.remote()
    print(f"buffer_containers=3: {during.containers} containers while {during.running} input runs")

    short_lived.remote()
    begin = time.perf_counter()
    while short_lived.statistics().containers:
        time.sleep(0.02)
    print(f"scaledown_window=0.5: its container was gone {time.perf_counter() - begin:.1f} s later")

# SPDX-License-Identifier: Apache-2.0
"""Schedules: a warm pool that follows the time of day.

    $ actorpool run examples/schedules.py

Schedules fire while the app runs or is deployed. To see something happen within a second, this example also has
a short `Period`, and calls the two time-of-day functions by hand.
"""

from __future__ import annotations

import threading
import time
from datetime import datetime
from zoneinfo import ZoneInfo

import actorpool as modal

app = modal.App("my-app")

MORNING = modal.Cron("0 6 * * *", timezone="America/New_York")
EVENING = modal.Cron("0 22 * * *", timezone="America/New_York")

beats: list[float] = []
three_beats = threading.Event()


@app.function()
def inference_server(prompt: str) -> str:
    return prompt.upper()


@app.function(schedule=MORNING)
def increase_warm_pool() -> None:
    inference_server.update_autoscaler(min_containers=4)


@app.function(schedule=EVENING)
def decrease_warm_pool() -> None:
    inference_server.update_autoscaler(min_containers=0)


@app.function(schedule=modal.Period(seconds=0.2))
def heartbeat() -> None:
    beats.append(time.monotonic())
    if len(beats) == 3:
        three_beats.set()


@app.local_entrypoint()
def main() -> None:
    for schedule in (MORNING, EVENING):
        due = datetime.fromtimestamp(schedule.next_after(time.time()), ZoneInfo(schedule.timezone))
        print(f"{schedule} is due next at {due:%H:%M} local time, UTC{due:%z}")

    # A scheduled function is a function: it can be called, too.
    increase_warm_pool.remote()
    print("morning:", inference_server.statistics().settings)
    decrease_warm_pool.remote()
    print("evening:", inference_server.statistics().settings)

    three_beats.wait(timeout=3)
    print(f"three beats, {beats[1] - beats[0]:.1f} s apart")

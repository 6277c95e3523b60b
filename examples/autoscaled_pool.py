# SPDX-License-Identifier: Apache-2.0
"""The autoscaled pool: every function has one of its own, from no containers to what its inputs need, and back.

$ actorpool run examples/autoscaled_pool.py
"""

from __future__ import annotations

import time

import actorpool as modal

app = modal.App("my-app")


@app.function(scaledown_window=0.3)
def evaluate_model(x: int) -> int:
    time.sleep(0.2)
    return x**2


@app.function()
def explain(x: int) -> str:
    return f"the square of {x}"


@app.local_entrypoint()
def main() -> None:
    print("before:", evaluate_model)

    begin = time.perf_counter()
    results = list(evaluate_model.map(range(20)))
    print(f"20 inputs of 0.2 s in {time.perf_counter() - begin:.1f} s, sum {sum(results)}")
    print("after: ", evaluate_model)
    print("its neighbour has a pool of its own:", explain)

    while evaluate_model.get_current_stats().num_total_runners:
        time.sleep(0.05)
    print("idle for the whole window:", evaluate_model)

    print("why it scaled, the first decisions:")
    for record in evaluate_model.scaling_log()[:3]:
        print(f"  start {record.start}, stop {record.stop}: {record.reason}")

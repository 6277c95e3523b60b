# SPDX-License-Identifier: Apache-2.0
"""Pitfalls: what goes wrong most easily, and what the error says.

$ actorpool run examples/pitfalls.py
"""

from __future__ import annotations

from collections.abc import Callable

import actorpool as modal

app = modal.App("my-app")


@app.function()
def evaluate_model(x: int) -> int:
    return x**2


@app.function(max_containers=1)
def factorial(n: int) -> int:
    return 1 if n <= 1 else n * factorial.remote(n - 1)


@app.function()
async def blocks_its_own_loop(x: int) -> int:
    return evaluate_model.remote(x)


def show(mistake: str, make: Callable[[], object]) -> None:
    try:
        make()
    except Exception as error:
        print(f"{mistake}\n    {type(error).__name__}: {error}")
    else:
        raise AssertionError(f"{mistake} went through")


@app.local_entrypoint()
def main() -> None:
    inputs = [1, 2, 3]
    show("Python's own map:", lambda: list(map(evaluate_model, inputs)))
    show("A call, then map:", lambda: evaluate_model(inputs).map())
    show("A blocking verb on the loop that serves it:", lambda: blocks_its_own_loop.remote(1))
    show("A function that waits for itself:", lambda: factorial.remote(3))
    show("No iterator:", lambda: list(evaluate_model.map()))
    show("What only a cloud has:", lambda: app.function(gpu="H100"))
    show(
        "Contradictory settings:",
        lambda: evaluate_model.update_autoscaler(min_containers=5, max_containers=2),
    )
    show("An app that runs already:", lambda: app.run().__enter__())

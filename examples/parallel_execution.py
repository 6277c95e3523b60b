# SPDX-License-Identifier: Apache-2.0
"""Parallel execution: `map`, `starmap` and `for_each`, with failures in their places and inputs read lazily.

$ actorpool run examples/parallel_execution.py
$ actorpool run examples/parallel_execution.py --count 1000
"""

from __future__ import annotations

import itertools
from collections.abc import Iterator

import actorpool as modal

app = modal.App("my-app")


@app.function()
def evaluate_model(x: int) -> int:
    return x**2


@app.function()
def add(a: int, b: int) -> int:
    return a + b


@app.function()
def may_fail(a: int) -> int:
    if a == 2:
        raise Exception("error")
    return a


@app.function()
def remember(x: int) -> None:
    seen.append(x)


seen: list[int] = []


def numbers() -> Iterator[int]:
    """Without an end, as a queue or a socket may be; a map reads only as far as it needs."""
    yield from itertools.count()


@app.local_entrypoint()
def main(count: int = 100) -> None:
    total = 0
    for result in evaluate_model.map(list(range(count))):
        total += result
    print(f"map over {count} inputs, in order:", total)

    print("starmap:", list(add.starmap([(1, 2), (3, 4)])))

    outcomes = may_fail.map(range(3), return_exceptions=True, wrap_returned_exceptions=False)
    print("exceptions in their places:", list(outcomes))
    try:
        list(may_fail.map(range(3)))
    except Exception as error:
        print("or raised while iterating:", repr(error))

    print("as they finish:", sorted(evaluate_model.map(range(5), order_outputs=False)))
    print("an infinite input:", list(itertools.islice(evaluate_model.map(numbers()), 5)))

    remember.for_each(range(10))
    print("for_each ran", len(seen), "inputs")

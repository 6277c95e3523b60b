# SPDX-License-Identifier: Apache-2.0
"""The app whose functions the tests of `map` call."""

from __future__ import annotations

from typing import Any

import actorpool as modal

app = modal.App("my-app")


@app.function()
async def square(x: int) -> int:
    return x * x


@app.function()
def square_in_thread(x: int) -> int:
    return x * x


@app.function()
async def add(a: int, b: int, *, c: int = 0) -> int:
    return a + b + c


class Unlucky(Exception):
    pass


@app.function()
async def may_fail(x: int) -> int:
    if x == 2:
        raise Exception("error")
    return x


@app.function()
def may_fail_in_thread(x: int) -> int:
    if x == 2:
        raise Unlucky("error", x)
    return x


async def collected(results: Any) -> list[Any]:
    return [result async for result in results]

# SPDX-License-Identifier: Apache-2.0
"""Background calls: `spawn` returns a handle at once; the result is fetched later, or the input cancelled.

$ actorpool run examples/background_calls.py
"""

from __future__ import annotations

import asyncio

import actorpool as modal
from actorpool.exception import RemoteError

app = modal.App("my-app")


@app.function()
async def render(seconds: float) -> str:
    await asyncio.sleep(seconds)
    return f"rendered in {seconds} s"


@app.local_entrypoint()
def main() -> None:
    call = render.spawn(0.1)
    print("at once:", call)
    try:
        call.get(timeout=0)
    except TimeoutError as error:
        print("looked too early:", error)
    print("waited:", call.get())

    # An id travels where an object cannot: to a browser and back.
    identity = render.spawn(0.05).object_id
    print("found by its id:", modal.FunctionCall.from_id(identity).get())

    calls = [render.spawn(seconds) for seconds in (0.03, 0.01, 0.02)]
    print("gathered in order:", modal.FunctionCall.gather(*calls))

    long_one = render.spawn(60)
    long_one.cancel()
    try:
        long_one.get()
    except RemoteError as error:
        print("cancelled:", error)

# SPDX-License-Identifier: Apache-2.0
"""A caller whose calls are done at once still lets the rest of its loop run."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import actorpool as modal
from actorpool._host._current import current_host
from tests.shared import shared


def test_calls_that_never_wait_let_others_run(run: Callable[..., Any]) -> None:
    app = modal.App("fair")
    seen: list[str] = shared([])

    @app.function()
    async def at_once() -> None: ...

    async def other() -> None:
        seen.append("another task ran")

    async def main() -> None:
        async with app.run():
            await at_once.remote.aio()
            async with current_host().open_nursery() as nursery:
                nursery.start_soon(other)
                for _ in range(1_000):
                    await at_once.remote.aio()
                assert ["another task ran"] == seen

    run(main)

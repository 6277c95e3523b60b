# SPDX-License-Identifier: Apache-2.0
"""`FunctionCall.cancel(terminate_containers=True)` where the container is a process: no work is left in it."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from actorpool.exception import RemoteError
from tests.api.support import sleep
from tests.backends import process_app as users
from tests.backends.process_app import app

Run = Callable[..., Any]

pytestmark = pytest.mark.timeout(60)


@pytest.fixture(params=["asyncio", "trio"])
def host_name(request: pytest.FixtureRequest) -> str:
    return str(request.param)


def test_synchronous_work_starts_again_in_another_process(run: Run, tmp_path: Path) -> None:
    def began(name: str) -> list[int]:
        return [int(path.name.rpartition("-")[2]) for path in tmp_path.glob(f"{name}-*")]

    async def main() -> None:
        async with app.run(grace=0.2):
            victim = users.wait_for.spawn("victim", str(tmp_path))
            other = users.wait_for.spawn("other", str(tmp_path))
            while not (began("victim") and began("other")):
                await sleep(0.005)
            assert began("victim") == began("other")
            victim.cancel(terminate_containers=True)
            # While the first is still not allowed to finish.
            while len(began("other")) < 2:
                await sleep(0.005)
            (tmp_path / "go").touch()
            assert await other.get.aio() in set(began("other")) - set(began("victim"))
            with pytest.raises(RemoteError, match="was cancelled"):
                await victim.get.aio()
            counts = users.wait_for.statistics()
            assert (1, 1) == (counts.succeeded, counts.cancelled)

    run(main)

# SPDX-License-Identifier: Apache-2.0
"""Failures of spawned inputs that nobody has seen are reported where the last handle goes, of whichever process."""

from __future__ import annotations

import gc
import logging
from collections.abc import Callable
from typing import Any

import pytest

from tests.api.support import sleep
from tests.backends import calling_app as users
from tests.backends.calling_app import Refusal, app
from tests.hosts import settle

Run = Callable[..., Any]

pytestmark = pytest.mark.timeout(60)


@pytest.fixture(params=["asyncio"])
def host_name(request: pytest.FixtureRequest) -> str:
    return str(request.param)


@pytest.fixture
def unseen(caplog: pytest.LogCaptureFixture) -> Callable[[], list[str]]:
    caplog.set_level(logging.ERROR, "actorpool")

    def said() -> list[str]:
        gc.collect()
        return [r.getMessage() for r in caplog.records if "nobody asked for it" in r.getMessage()]

    return said


def test_a_failure_whose_handle_a_container_has_given_out_is_its_new_holders_to_see(
    run: Run, unseen: Callable[[], list[str]]
) -> None:
    async def main() -> None:
        async with app.run():
            call = await users.run_sync.remote.aio("hand_out_failed")
            # Until the container has let go of its own.
            await users.run_sync.remote.aio("remote", 1)
            await sleep(0.1)
            assert [] == unseen()
            with pytest.raises(Refusal, match="late"):
                await call.get.aio()
        await settle()

    run(main)
    assert [] == unseen()


def test_a_failure_that_a_container_has_seen_is_reported_by_nobody(
    run: Run, unseen: Callable[[], list[str]]
) -> None:
    async def main() -> None:
        async with app.run():
            assert "seen" in await users.run_sync.remote.aio("see_failure")
            call = await users.refuse.spawn.aio("shown")
            assert "shown" in await users.run_sync.remote.aio("see_failure_of", call)
            del call

    run(main)
    assert [] == unseen()

# SPDX-License-Identifier: Apache-2.0
"""Any number of parameter sets of a class may come and go: nothing of them stays."""

from __future__ import annotations

import gc
import logging
import sys
from collections.abc import Callable
from typing import Any

import pytest

import actorpool as modal
from actorpool._actors import _runtime
from actorpool._actors._overrides import Overrides
from actorpool._actors._supervisor import Supervisor
from actorpool._core._config import AutoscalerSettings
from tests.api.support import sleep
from tests.hosts import run_virtually_on

pytestmark = pytest.mark.local_only("more containers than there are to be processes")

Run = Callable[..., Any]

WINDOW_S = 1.0

app = modal.App("many-sets")


@app.cls(scaledown_window=WINDOW_S)
class Tenant:
    name: int = modal.parameter()

    @modal.enter()
    async def load(self) -> None:
        self.state = [self.name]

    @modal.method()
    async def run(self) -> int:
        return self.state[0]


def tenant(name: int) -> Any:
    return Tenant(name=name)  # type: ignore[call-arg]


class Left:
    """What there is of tenants, and the memory that this process has in use."""

    def __init__(self) -> None:
        gc.collect()
        self.blocks = sys.getallocatedblocks()
        self.supervisors = sum(
            type(thing) is Supervisor and thing.name == "Tenant" for thing in gc.get_objects()
        )


async def call_one(obj: Any, name: int, *, change: bool) -> None:
    if change:
        obj.update_autoscaler(max_containers=3)
    assert name == await obj.run.remote.aio()


async def call_each(names: range, *, change: bool = False) -> Left:
    """Call each tenant once, then let them all idle; return what is left of them."""
    for name in names:
        await call_one(tenant(name), name, change=change)
        # Some hundred are warm at a time.
        await sleep(WINDOW_S / 250)
    await sleep(2 * WINDOW_S)
    gc.collect()
    # The handles have gone, now their pools go.
    await sleep(0.1)
    return Left()


@pytest.mark.slow
@pytest.mark.timeout(120)
# On trio, where a pool takes longer to come and go, as many as show the slope.
@pytest.mark.usefixtures("at_full_speed")
@pytest.mark.parametrize(("virtual_host_name", "count"), [("asyncio", 10_000), ("trio", 2_500)])
def test_ten_thousand_parameter_sets_that_were_called_once_leave_nothing(
    virtual_host_name: str, count: int
) -> None:
    async def main() -> None:
        async with app.run():
            before = await call_each(range(2_500))
            after = await call_each(range(2_500, 2_500 + count))
            assert (0, 0) == (before.supervisors, after.supervisors)
            assert abs(after.blocks - before.blocks) <= 0.05 * before.blocks
            # If a single object of each stayed, that would be as many.
            assert after.blocks - before.blocks < count / 2

    run_virtually_on(virtual_host_name, main)


# -- settings that were changed ---------------------------------------------------------------------------


def test_changed_settings_are_kept_for_a_bounded_number_of_parameter_sets(
    run_virtually: Run, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    monkeypatch.setattr(_runtime, "_MOST_OVERRIDES", 10)

    async def main() -> list[int | None]:
        async with app.run():
            with caplog.at_level(logging.WARNING, "actorpool"):
                left = await call_each(range(30), change=True)
            assert 0 == left.supervisors
            return [tenant(name).autoscaler.settings().max_containers for name in (0, 19, 20, 29)]

    assert [None, None, 3, 3] == run_virtually(main)
    (record,) = caplog.records
    assert "changed the settings of more than 10 parameter sets" in record.message


CHANGED = AutoscalerSettings(max_containers=3)
DEFINED = AutoscalerSettings()


def test_the_overrides_that_go_are_those_unused_the_longest() -> None:
    overrides = Overrides("my-app", 2)
    overrides.keep("a", CHANGED, DEFINED)
    overrides.keep("b", CHANGED, DEFINED)
    assert CHANGED == overrides.get("a")
    overrides.keep("c", CHANGED, DEFINED)
    assert [CHANGED, None, CHANGED] == [overrides.get(key) for key in "abc"]


def test_settings_that_are_as_defined_need_not_be_remembered() -> None:
    overrides = Overrides("my-app", 2)
    overrides.keep("a", CHANGED, DEFINED)
    assert 1 == len(overrides)
    overrides.keep("a", DEFINED, DEFINED)
    assert (0, None) == (len(overrides), overrides.get("a"))

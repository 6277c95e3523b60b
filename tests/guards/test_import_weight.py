# SPDX-License-Identifier: Apache-2.0
"""What importing the package loads: what a decorator needs, and nothing that only a running app does."""

from __future__ import annotations

import subprocess
import sys

import actorpool

PROGRAM = """
import sys
import actorpool
app = actorpool.App("my-app")
app.function()(abs)
print(*sys.modules)
"""

RUNNING_APPS_ONLY = {
    "actorpool._actors._runtime",
    "actorpool._actors._supervisor",
    "actorpool._backends._local",
    "actorpool._core._adaptive",
    "actorpool._core._levels",
    "actorpool._core._scaling",
    "actorpool._core._tuning",
    "actorpool._backends._process",
    "actorpool._core._effects",
    "actorpool._core._pool",
    "actorpool._host._asyncio",
    "actorpool._host._base",
    "actorpool._host._bridge",
    "actorpool._host._engine",
    "actorpool._host._watchdog",
}

# With what each of them loads, they were half of the time that the import took.
HEAVY = {
    "asyncio",
    "calendar",
    "concurrent.futures",
    "cronsim",
    "datetime",
    "decimal",
    "hashlib",
    "random",
    "secrets",
    "selectors",
    "socket",
    "ssl",
    "subprocess",
    "zoneinfo",
}


def _loaded(program: str) -> list[str]:
    ended = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True, check=True)
    return ended.stdout.split()


def test_importing_the_package_loads_nothing_that_only_a_running_app_needs() -> None:
    loaded = _loaded(PROGRAM)
    assert "actorpool.app" in loaded
    assert set() == RUNNING_APPS_ONLY.intersection(loaded)
    # 50 when last counted; each costs about half a millisecond.
    ours = [name for name in loaded if name.startswith("actorpool")]
    assert len(ours) <= 50, ours


def test_importing_the_package_loads_no_heavy_part_of_the_standard_library() -> None:
    # What the interpreter has loaded by itself, for the environment it is in, is none of ours.
    before = _loaded("import sys; print(*sys.modules)")
    assert set() == HEAVY.intersection(_loaded(PROGRAM)) - set(before)


def test_names_that_are_imported_on_demand_are_there_for_those_who_look() -> None:
    program = "import actorpool; print(*dir(actorpool))"
    assert set() == set(actorpool.__all__).difference(_loaded(program))
    program = (
        "from actorpool import *; import actorpool; print(Cron.__name__, actorpool.schedule.Cron is Cron)"
    )
    assert ["Cron", "True"] == _loaded(program)
    program = "import actorpool; print(actorpool.schedule.Period is actorpool.Period, actorpool.call_graph.__name__)"
    assert ["True", "actorpool.call_graph"] == _loaded(program)

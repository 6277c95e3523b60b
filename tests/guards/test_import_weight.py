# SPDX-License-Identifier: Apache-2.0
"""What importing the package loads: what a decorator needs, and nothing that only a running app does."""

from __future__ import annotations

import subprocess
import sys

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
    "actorpool._core._tuning",
    "actorpool._backends._process",
    "actorpool._core._effects",
    "actorpool._core._pool",
    "actorpool._host._asyncio",
    "actorpool._host._engine",
    "actorpool._host._watchdog",
}


def test_importing_the_package_loads_nothing_that_only_a_running_app_needs() -> None:
    loaded = subprocess.run(
        [sys.executable, "-c", PROGRAM], capture_output=True, text=True, check=True
    ).stdout.split()
    assert "actorpool.app" in loaded
    assert set() == RUNNING_APPS_ONLY.intersection(loaded)
    # 53 when last counted; each costs about half a millisecond.
    ours = [name for name in loaded if name.startswith("actorpool")]
    assert len(ours) <= 53, ours

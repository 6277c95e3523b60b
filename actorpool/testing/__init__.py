# SPDX-License-Identifier: Apache-2.0
"""Tools for the tests of programs that use actorpool.

* `AppRunner`, and the pytest fixture `actorpool_app` that makes one: run your app in virtual time;
* `run_virtual`, `VirtualTimeLoop`, `virtual_trio_clock`: virtual time for asyncio and trio, without an app.
* `check_policy`: whether a scaling policy of your own does what `ScalingPolicy` says.

Nothing here is imported by the rest of the package, and importing this module loads neither pytest nor hypothesis
nor trio.
"""

from __future__ import annotations

from actorpool._host._virtual import VirtualTimeLoop as VirtualTimeLoop
from actorpool.testing._app_runner import AppRunner as AppRunner
from actorpool.testing._clocks import HostName as HostName
from actorpool.testing._clocks import run_virtual as run_virtual
from actorpool.testing._clocks import virtual_trio_clock as virtual_trio_clock
from actorpool.testing._conformance import ConformanceError as ConformanceError
from actorpool.testing._conformance_policy import check_policy as check_policy

__all__ = [
    "AppRunner",
    "ConformanceError",
    "HostName",
    "VirtualTimeLoop",
    "check_policy",
    "run_virtual",
    "virtual_trio_clock",
]

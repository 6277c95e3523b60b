# SPDX-License-Identifier: Apache-2.0
"""Tools for the tests of programs that use actorpool.

* `AppRunner`, and the pytest fixture `actorpool_app` that makes one: run your app in virtual time;
* `run_virtual`, `VirtualTimeLoop`, `virtual_trio_clock`: virtual time for asyncio and trio, without an app.
* `check_policy`, `check_backend`: whether a scaling policy or a container backend of your own does what its protocol
  says.

Nothing here is imported by the rest of the package, and importing this module loads neither pytest nor hypothesis
nor trio.
"""

from __future__ import annotations

from actorpool._backends._workload import ContainerBackend as ContainerBackend
from actorpool._backends._workload import ContainerOwner as ContainerOwner
from actorpool._host._virtual import VirtualTimeLoop as VirtualTimeLoop
from actorpool.testing._app_runner import AppRunner as AppRunner
from actorpool.testing._clocks import HostName as HostName
from actorpool.testing._clocks import run_virtual as run_virtual
from actorpool.testing._clocks import virtual_trio_clock as virtual_trio_clock
from actorpool.testing._conformance import ConformanceError as ConformanceError
from actorpool.testing._conformance_backend import BACKEND_RULES as BACKEND_RULES
from actorpool.testing._conformance_backend import check_backend as check_backend
from actorpool.testing._conformance_bench import ContainerParts as ContainerParts
from actorpool.testing._conformance_bench import MakeContainer as MakeContainer
from actorpool.testing._conformance_policy import check_policy as check_policy

__all__ = [
    "BACKEND_RULES",
    "AppRunner",
    "ConformanceError",
    "ContainerBackend",
    "ContainerOwner",
    "ContainerParts",
    "HostName",
    "MakeContainer",
    "VirtualTimeLoop",
    "check_backend",
    "check_policy",
    "run_virtual",
    "virtual_trio_clock",
]

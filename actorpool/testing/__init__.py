# SPDX-License-Identifier: Apache-2.0
"""Tools for the tests of programs that use actorpool.

* `AppRunner`, and the pytest fixture `actorpool_app` that makes one: run your app in virtual time;
* `run_virtual`, `VirtualTimeLoop`, `virtual_trio_clock`: virtual time for asyncio and trio, without an app.
* `check_policy`, `check_backend`: whether a scaling policy or a container backend of your own does what its protocol
  says;
* `Simulation` of a pool with `Faults`, held against invariants (`Violation`): the real actors, of which a run is a
  function of its `Plan`; `FakeBackend`, which stands in for the inside of a container.

Nothing here is imported by the rest of the package, and importing this module loads neither pytest nor hypothesis
nor trio; what a simulation needs is loaded when it is first asked for.
"""

from __future__ import annotations

from importlib import import_module
from typing import TYPE_CHECKING, Any, Final

from actorpool._backends._parts import ContainerParts as ContainerParts
from actorpool._backends._parts import MakeContainer as MakeContainer
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
from actorpool.testing._conformance_policy import check_policy as check_policy

if TYPE_CHECKING:
    from actorpool.testing._fake_backend import FakeBackend as FakeBackend
    from actorpool.testing._faults import ContainerFate as ContainerFate
    from actorpool.testing._faults import Faults as Faults
    from actorpool.testing._faults import InputFate as InputFate
    from actorpool.testing._invariants import Violation as Violation
    from actorpool.testing._simulation import Report as Report
    from actorpool.testing._simulation import Simulation as Simulation
    from actorpool.testing._simulation_plan import Action as Action
    from actorpool.testing._simulation_plan import Plan as Plan
    from actorpool.testing._simulation_plan import PoolPlan as PoolPlan

# {name: its module}, of what is loaded when it is first asked for.
_LATER: Final = {
    "Action": "_simulation_plan",
    "ContainerFate": "_faults",
    "FakeBackend": "_fake_backend",
    "Faults": "_faults",
    "InputFate": "_faults",
    "Plan": "_simulation_plan",
    "PoolPlan": "_simulation_plan",
    "Report": "_simulation",
    "Simulation": "_simulation",
    "Violation": "_invariants",
}

__all__ = [
    "BACKEND_RULES",
    "Action",
    "AppRunner",
    "ConformanceError",
    "ContainerBackend",
    "ContainerFate",
    "ContainerOwner",
    "ContainerParts",
    "FakeBackend",
    "Faults",
    "HostName",
    "InputFate",
    "MakeContainer",
    "Plan",
    "PoolPlan",
    "Report",
    "Simulation",
    "Violation",
    "VirtualTimeLoop",
    "check_backend",
    "check_policy",
    "run_virtual",
    "virtual_trio_clock",
]


def __getattr__(name: str) -> Any:
    if name not in _LATER:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    value = globals()[name] = getattr(import_module(f"{__name__}.{_LATER[name]}"), name)
    return value

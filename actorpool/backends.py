# SPDX-License-Identifier: Apache-2.0
"""What a container backend of your own is written with: the protocol, and the values it is given.

A backend is what containers are made of. `App(backend=make)`, and the same argument of `@app.function()` and
`@app.cls()`, take a `MakeContainer`, which makes each container from its `ContainerParts`; what it makes does what
`ContainerBackend` says. `actorpool.testing.check_backend` holds one against that. Only names live here.
"""

from __future__ import annotations

from actorpool._backends._parts import ContainerParts as ContainerParts
from actorpool._backends._parts import MakeContainer as MakeContainer
from actorpool._backends._workload import ContainerBackend as ContainerBackend
from actorpool._backends._workload import ContainerOwner as ContainerOwner
from actorpool._backends._workload import Hook as Hook
from actorpool._backends._workload import Target as Target
from actorpool._backends._workload import Workload as Workload
from actorpool._core._input import CANCELLED as CANCELLED
from actorpool._core._input import FAILED as FAILED
from actorpool._core._input import RUNNING as RUNNING
from actorpool._core._input import SUCCEEDED as SUCCEEDED
from actorpool._core._input import Input as Input
from actorpool._host._base import Host as Host

__all__ = [
    "CANCELLED",
    "FAILED",
    "RUNNING",
    "SUCCEEDED",
    "ContainerBackend",
    "ContainerOwner",
    "ContainerParts",
    "Hook",
    "Host",
    "Input",
    "MakeContainer",
    "Target",
    "Workload",
]

# SPDX-License-Identifier: Apache-2.0
"""What a backend of the user's own is given to make one container."""

from __future__ import annotations

from collections.abc import Callable
from contextlib import AsyncExitStack

from attrs import frozen

from actorpool._backends._workload import ContainerBackend, ContainerOwner, Workload
from actorpool._host._base import Host
from actorpool._host._slots import Complete

__all__ = ["ContainerParts", "MakeContainer"]


@frozen(kw_only=True)
class ContainerParts:
    """What a backend is given to make one container."""

    name: str
    """The container's name, for messages and logs."""
    workload: Workload
    """What it runs."""
    host: Host
    """The event loop that its pool lives on."""
    complete: Complete
    """Takes what became of an input; returns the input that takes its slot at once, to be run next. Threads: any."""
    owner: ContainerOwner
    """Is told when the container ends by itself, or wants to be replaced; host thread only."""
    grace_s: float
    """How long interrupted work may take to end, in seconds."""
    resources: AsyncExitStack
    """Closes what the containers of one app, or of one check, share, after the last of them has ended; enter or push it
    there when the first of them is made. It is closed in another task, so no nursery or cancel scope belongs there."""


MakeContainer = Callable[[ContainerParts], ContainerBackend]
"""Makes one container, on the host's thread; must be quick. A pool is given it as `backend=`."""

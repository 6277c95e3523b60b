# SPDX-License-Identifier: Apache-2.0
"""Task slots: the part of a container that runs asynchronous inputs, each in a task of its own.

Here live the port and its lookup; the drivers are `_asyncio_slots` and `_trio_slots`. A driver decides
nothing: who runs next is the answer of `complete`, which takes the pool machine's step.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from typing import TYPE_CHECKING, Any, Protocol

if TYPE_CHECKING:
    from actorpool._core._input import Input

    from ._base import Host
    from ._watchdog import Watch

__all__ = ["Calls", "Complete", "TaskSlots", "open_task_slots"]

Complete = Callable[["Input", int, Any], "Input | None"]
"""Report what became of an input; returns the input that takes its slot at once, to be run next."""

Calls = Mapping[Any, Callable[..., Any]]
"""{target of an input: what to call in this container}"""


class TaskSlots(Protocol):
    """Runs inputs as tasks of one loop."""

    def send(self, input: Input) -> None:
        """Run `input`, which holds a slot. Threads: any.

        Raises:
            HostClosedError: If the loop has ended.
        """
        ...

    def cancel(self, input: Input) -> None:
        """Interrupt the work of `input` once; nothing happens if it has returned. Threads: any."""
        ...

    async def returned(self, inputs: Sequence[Input]) -> None:
        """Wait until the work of `inputs` has returned; the host's thread only."""
        ...


def open_task_slots(host: Host, complete: Complete, calls: Calls, watch: Watch) -> TaskSlots:
    """Return task slots on `host`."""
    if host.name == "asyncio":
        from ._asyncio_slots import AsyncioTaskSlots

        return AsyncioTaskSlots(host.bridge, complete, calls, watch)
    from ._trio_slots import TrioTaskSlots

    return TrioTaskSlots(host.bridge, complete, calls, watch)

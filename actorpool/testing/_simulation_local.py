# SPDX-License-Identifier: Apache-2.0
"""The real local container in a simulation: its tasks, slots and hooks, with user code that does what fate says.

It stands where `FakeBackend` stands otherwise. Nothing kills it, for nothing kills a local container.
"""

from __future__ import annotations

from collections.abc import Awaitable, Callable
from typing import TYPE_CHECKING

from actorpool._backends._local import LocalContainer
from actorpool._backends._workload import Hook, Target, Workload
from actorpool._host._context import current_input

from ._fake_backend import FakeFailure
from ._faults import ContainerFate, InputFate

if TYPE_CHECKING:
    from actorpool._backends._thread_gate import ThreadGate
    from actorpool._core._input import Input
    from actorpool._host._base import Host
    from actorpool._host._slots import Complete

__all__ = ["LocalInside"]


class LocalInside:
    """The user's object of one container, and the container.

    Args:
        name: The container's name.
        host: The host it lives on.
        complete: Where the ends of inputs are reported.
        gate: Where it would wait for threads, of which it needs none.
        target: What inputs are for.
        max_inputs: How many it takes.
        fate: What becomes of it.
        fate_of: What becomes of an input; asked once for each attempt, when its work begins.
        call_back: Calls the function from within an input, and waits.
    """

    def __init__(
        self,
        name: str,
        host: Host,
        complete: Complete,
        gate: ThreadGate,
        *,
        target: Target,
        max_inputs: int,
        fate: ContainerFate,
        fate_of: Callable[[Input], InputFate],
        call_back: Callable[[], Awaitable[object]],
    ) -> None:
        self.executing: dict[Input, object] = {}
        """The inputs whose work goes on."""
        self._name = name
        self._host = host
        self._fate = fate
        self._fate_of = fate_of
        self._call_back = call_back
        workload = Workload(
            "f",
            (target,),
            max_inputs,
            build=lambda: self,
            enter=(Hook(LocalInside.enter, True),),
            exit=(Hook(LocalInside.exit, True),),
            bound=True,
        )
        self.backend: LocalContainer = LocalContainer(name, workload, host, complete, gate)

    def die(self) -> None:
        """Live on."""

    async def enter(self) -> None:
        """Enter as fate says."""
        start = self._fate.start
        await self._host.sleep(self._fate.start_s)
        if start in ("hangs", "enter hook hangs"):
            await self._host.event().wait()
        if start in ("fails", "enter hook raises"):
            raise FakeFailure(f"{self._name}: {start}")

    async def exit(self) -> None:
        """Exit as fate says."""
        if self._fate.exit == "hangs":
            await self._host.event().wait()
        await self._host.sleep(self._fate.exit_s)
        if self._fate.exit == "raises":
            raise FakeFailure(f"{self._name}: exit hook raises")

    async def work(self, number: int, fate: InputFate) -> int:
        """Do the work of an input as its fate says; return its number."""
        input = current_input.get()
        assert input is not None
        self._fate_of(input)
        attempt = input.attempt
        self.executing[input] = None
        try:
            try:
                if fate.calls:
                    await self._call_back()
                await self._host.sleep(fate.service_s)
                if fate.hangs:
                    await self._host.event().wait()
            except BaseException:
                if fate.deaf_s:
                    await self._host.sleep(fate.deaf_s)
                    return number
                raise
            await self._host.sleep(fate.late_s)
        finally:
            del self.executing[input]
        if attempt <= fate.fails or fate.kills:
            raise FakeFailure(number)
        return number

# SPDX-License-Identifier: Apache-2.0
"""The pool's side of one container, for `check_backend`: it hands inputs over and takes down what is reported.

It stands where a dispatcher and a container's actor stand, and gives a freed slot to the oldest input that waits.
"""

from __future__ import annotations

import contextvars
import math
import threading
from collections import deque
from collections.abc import AsyncIterator, Callable, Sequence
from contextlib import AsyncExitStack, asynccontextmanager
from typing import Any, Final

from attrs import define, field

from actorpool._backends._parts import ContainerParts, MakeContainer
from actorpool._backends._workload import ContainerBackend, Workload
from actorpool._core._container import Container, Phase
from actorpool._core._input import CANCELLED, RUNNING, STATE_NAMES, SUCCEEDED, Input
from actorpool._host._base import Host, Waiter
from actorpool.testing._conformance import ConformanceError

__all__ = ["Bench", "Setting"]

# Of a container that does nothing wrong, nothing takes this long.
PATIENCE_S: Final = 20.0


@define(eq=False)
class Setting:
    """What the containers of one check have in common."""

    make: MakeContainer
    host: Host
    resources: AsyncExitStack
    rule: str = ""
    """The rule that is being checked."""
    _made: int = field(default=0, init=False)

    def bench(self, workload: Workload, *, grace_s: float = 2.0) -> Bench:
        """Return a container that is made and no more."""
        self._made += 1
        return Bench(self, f"{workload.name}/{self._made}", workload, grace_s)

    @asynccontextmanager
    async def running(self, workload: Workload, *, grace_s: float = 2.0) -> AsyncIterator[Bench]:
        """Hold a container that takes inputs; it is stopped at the end, and must have ended then."""
        bench = self.bench(workload, grace_s=grace_s)
        try:
            await bench.start()
            yield bench
        finally:
            await bench.stop()

    def broken(self, found: str) -> ConformanceError:
        """Return the error that says what was found against the present rule."""
        return ConformanceError(self.rule, found)

    def expect(self, expected: object, found: object, what: str) -> None:
        """Raise if `found` is not as expected."""
        if expected != found:
            raise self.broken(f"{what} should be {expected!r} and is {found!r}")


class Bench:
    """One container, the inputs in its slots, and what it has reported."""

    def __init__(self, setting: Setting, name: str, workload: Workload, grace_s: float) -> None:
        self._setting = setting
        self._host = setting.host
        self._workload = workload
        self._grace_s = grace_s
        self._record = Container(1, self._host.now())
        self._lock = threading.Lock()
        self._waiting: deque[Input] = deque()
        # Those of the oldest that the container has asked for ahead: they follow before all others.
        self._ahead: deque[Input] = deque()
        self._waiter: Waiter | None = None
        self._faults: list[str] = []
        self.ended: list[tuple[Input, int, Any]] = []
        """What was reported of inputs: (input, state, value), in order."""
        self.losses: list[tuple[BaseException, frozenset[Input]]] = []
        """What was reported of the container's own end."""
        self.backend: ContainerBackend = setting.make(
            ContainerParts(
                name=name,
                workload=workload,
                host=self._host,
                complete=self._complete,
                owner=self,
                grace_s=grace_s,
                resources=setting.resources,
            )
        )

    # -- its life ----------------------------------------------------------------------------------------

    async def start(self) -> None:
        """Let the container in and start it."""
        await self.within(self.backend.admit, PATIENCE_S, "admit() returns where there is room")
        await self.within(self.backend.start, PATIENCE_S, "start() returns")
        self._record.move(Phase.READY)

    async def stop(self) -> float:
        """Stop the container, and return how long that took, in seconds; also when the check has failed."""
        begin = self._host.now()
        leftover = list(self._record.inputs)

        async def stop() -> None:
            await self.backend.stop(leftover, self._grace_s)

        await self.within(stop, PATIENCE_S, "stop() returns")
        self.check()
        return self._host.now() - begin

    async def within(self, step: Callable[[], Any], seconds: float, claim: str) -> None:
        """Take a step that must end within this time."""
        with self._host.move_on_after(seconds) as scope:
            await step()
        if scope.cancelled_caught:
            raise self._setting.broken(f"it is not true that {claim}: it was waited for {seconds:g} s")

    def check(self) -> None:
        """Raise what was found where nobody could be told."""
        if self._faults:
            raise self._setting.broken(self._faults[0])

    # -- inputs ------------------------------------------------------------------------------------------

    def input(self, target: str, *args: object, **kwargs: object) -> Input:
        """Return an input for the target of this name."""
        found = next(candidate for candidate in self._workload.targets if candidate.name == target)
        return Input(found, args, kwargs or None, contextvars.copy_context())

    def send(self, *inputs: Input) -> None:
        """Give each input a slot and send it; those for which there is none wait."""
        for input in inputs:
            with self._lock:
                free = len(self._record.inputs) < self._workload.max_inputs
                if free:
                    self._take(input)
                else:
                    self._waiting.append(input)
            if free:
                self.backend.send(input)

    def hold_slot(self, input: Input) -> None:
        """Give an input a slot and do not send it."""
        with self._lock:
            self._take(input)

    def settle(self, input: Input) -> None:
        """Give a running input its outcome, as a caller does who cancels it; its work still holds the slot."""
        with self._lock:
            input.state = CANCELLED

    def _take(self, input: Input) -> None:
        input.state = RUNNING
        input.container = self._record
        self._record.inputs[input] = self._host.now()

    async def until_ended(self, count: int = 1, *, seconds: float = PATIENCE_S) -> list[tuple[str, Any]]:
        """Wait until `count` inputs have been reported; return states and values, in the order of the reports."""
        with self._host.move_on_after(seconds):
            while not self._enough(count):
                assert self._waiter is not None
                await self._waiter.wait()
        self.check()
        if len(self.ended) < count:
            raise self._setting.broken(
                f"{len(self.ended)} inputs were reported within {seconds:g} s, not {count}"
            )
        return [(STATE_NAMES[state], value) for _, state, value in self.ended]

    def _enough(self, count: float) -> bool:
        with self._lock:
            self._waiter = self._host.bridge.waiter()
            return len(self.ended) >= count or bool(self._faults)

    def _complete(self, input: Input, state: int, value: Any) -> Input | None:
        following: Input | None = None
        with self._lock:
            if self._record.inputs.pop(input, None) is None:
                self._faults.append(f"{input!r} was reported as {STATE_NAMES[state]}, but it holds no slot")
            if state < SUCCEEDED:
                self._faults.append(f"an input was reported as {STATE_NAMES[state]}, which is no end")
            if input.state == RUNNING:
                input.state, input.value = state, value
            self.ended.append((input, state, value))
            if self._ahead or self._waiting:
                following = (self._ahead or self._waiting).popleft()
                self._take(following)
            waiter = self._waiter
        if waiter is not None:
            waiter.notify()
        return following

    # -- the owner ---------------------------------------------------------------------------------------

    def lost(self, error: BaseException, run: frozenset[Input]) -> None:
        """Take down that the container has ended by itself."""
        self.losses.append((error, run))
        if self._waiter is not None:
            self._waiter.notify()

    def succeeded(self, inputs: Sequence[Input], results: Sequence[Any]) -> list[Input | None]:
        """Take down that inputs have ended, in their order; return what takes their slots."""
        return [
            self._complete(input, SUCCEEDED, result) for input, result in zip(inputs, results, strict=True)
        ]

    def retire(self) -> None:
        """Take down nothing: a container may want to be replaced at any time."""

    def look_ahead(self, most: int) -> list[Input]:
        """Return inputs that are to follow in this container, in their order."""
        with self._lock:
            ahead = [self._waiting.popleft() for _ in range(min(most, len(self._waiting)))]
            self._ahead.extend(ahead)
            return ahead

    def give_back(self, inputs: tuple[Input, ...]) -> None:
        """Let inputs of `look_ahead` that have not followed wait like all others, before them."""
        with self._lock:
            back = [input for input in self._ahead if input in inputs]
            self._ahead = deque(input for input in self._ahead if input not in inputs)
            self._waiting.extendleft(reversed(back))

    async def until_lost(self) -> None:
        """Wait until the container's end has been reported."""
        with self._host.move_on_after(PATIENCE_S):
            while not self.losses:
                self._enough(math.inf)
                assert self._waiter is not None
                await self._waiter.wait()
        if not self.losses:
            raise self._setting.broken(f"owner.lost() was not called within {PATIENCE_S:g} s")

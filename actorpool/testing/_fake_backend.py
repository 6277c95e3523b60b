# SPDX-License-Identifier: Apache-2.0
"""A container that runs nothing: it obeys the backend's protocol and does what its fate says.

Nothing is decided here, and no user code is run: an input's work is a timer. What a real container can do to its
supervisor, this one can: take long, fail, hang, die with or without inputs, hear of a cancellation or not, and report
an outcome after it is gone.
"""

from __future__ import annotations

import math
from functools import partial
from typing import TYPE_CHECKING, Any

from actorpool._core._input import CANCELLED, FAILED, RUNNING, SUCCEEDED
from actorpool.exception import ContainerDiedError

from ._faults import ContainerFate, InputFate

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

    from actorpool._backends._workload import ContainerOwner
    from actorpool._core._input import Input
    from actorpool._host._base import Event, Host, TimerHandle
    from actorpool._host._slots import Complete

__all__ = ["FakeBackend", "FakeFailure"]

_OBEDIENT = InputFate()


class FakeFailure(Exception):
    """What a fake container, hook or input raises; its argument says whose failure it is."""


def _obedient(_: Input) -> InputFate:
    return _OBEDIENT


def _first_argument(input: Input) -> Any:
    return input.args[0] if input.args else None


class FakeBackend:
    """The inside of one container; see `ContainerBackend`.

    Args:
        name: The container's name, for messages.
        host: The host that its supervisor lives on.
        complete: Where the ends of inputs are reported.
        owner: Who is told of its death.
        fate: What becomes of it.
        fate_of: What becomes of an input; asked once for each attempt, when its work begins.
        result_of: What an input returns; default its first argument.
    """

    __slots__ = (
        "_complete",
        "_dead",
        "_entered",
        "_fate",
        "_fate_of",
        "_fates",
        "_host",
        "_killed",
        "_life",
        "_owner",
        "_result_of",
        "_returned",
        "executing",
        "name",
        "stopped",
    )

    def __init__(
        self,
        name: str,
        host: Host,
        complete: Complete,
        owner: ContainerOwner,
        *,
        fate: ContainerFate | None = None,
        fate_of: Callable[[Input], InputFate] = _obedient,
        result_of: Callable[[Input], Any] = _first_argument,
    ) -> None:
        self.name: str = name
        self._host = host
        self._complete = complete
        self._owner = owner
        self._fate = ContainerFate() if fate is None else fate
        self._fate_of = fate_of
        self._result_of = result_of
        self.executing: dict[Input, TimerHandle | None] = {}
        """The inputs whose work or whose report goes on, each with the timer of its next step."""
        self._fates: dict[Input, InputFate] = {}
        self._returned: Event | None = None
        self._killed: Event | None = None
        self._life: TimerHandle | None = None
        self._entered = False
        self._dead = False
        self.stopped: bool = False
        """Whether nothing of it is left, but for inputs that did not return in time."""

    # -- the protocol ----------------------------------------------------------------------------

    async def admit(self) -> None:
        """Let it in: it needs nothing that others may have."""

    async def start(self) -> None:
        """Start as its fate says."""
        fate = self._fate
        hangs = fate.start in ("hangs", "enter hook hangs")
        if fate.start_s or hangs:
            self._killed = self._host.event()
            with self._host.move_on_after(math.inf if hangs else fate.start_s):
                await self._killed.wait()
        if self._dead:
            raise ContainerDiedError(f"{self.name} was killed", exit_code=None, signal=9)
        if fate.start in ("fails", "enter hook raises"):
            raise FakeFailure(f"{self.name}: {fate.start}")
        self._entered = True
        if fate.lives_s is not None:
            self._life = self._host.call_at(self._host.now() + fate.lives_s, self.die)

    @property
    def send(self) -> Callable[[Input], None]:
        """What runs an input; see `ContainerBackend.send`."""
        return self._send

    def cancel(self, input: Input) -> None:
        """Interrupt the work of `input`, if it listens. Threads: any."""
        if self._host.bridge.is_current():
            self._interrupt(input)
        else:
            self._host.bridge.post(self._interrupt, input)

    def abandon(self) -> None:
        """Let go of everything: the loop is gone. Threads: any."""
        self._dead = self.stopped = True
        self.executing.clear()

    async def stop(self, leftover: Sequence[Input], grace_s: float) -> None:
        """Wait for interrupted work, run the exit hook, both at most for `grace_s`; see `ContainerBackend.stop`."""
        if self._life is not None:
            self._life.cancel()
        if self._entered and self._fate.dies_stopping:
            self.die()
        if not self._dead:
            with self._host.move_on_after(grace_s):
                while any(input in self.executing for input in leftover):
                    self._returned = self._host.event()
                    await self._returned.wait()
            if self._entered:
                with self._host.move_on_after(grace_s):
                    await self._exit()
        self._entered = False
        self.stopped = True

    async def _exit(self) -> None:
        if self._fate.exit == "hangs":
            await self._host.event().wait()
        await self._host.sleep(self._fate.exit_s)

    # -- what befalls it -------------------------------------------------------------------------

    def die(self) -> None:
        """End at once with whatever runs in it; nothing happens once it has stopped."""
        if self._dead or self.stopped:
            return
        self._dead = True
        if not self._entered:
            if self._killed is not None:
                self._killed.set()
            return
        if self._life is not None:
            self._life.cancel()
        run = frozenset(self.executing)
        # Nothing is reported by the dead: their inputs may be run anew elsewhere.
        for timer in self.executing.values():
            if timer is not None:
                timer.cancel()
        self.executing.clear()
        self._fates.clear()
        self._owner.lost(ContainerDiedError(f"{self.name} was killed", exit_code=None, signal=9), run)
        if self._returned is not None:
            self._returned.set()

    # -- inputs ----------------------------------------------------------------------------------

    def _send(self, input: Input) -> None:
        if self._host.bridge.is_current():
            self._begin(input)
        else:
            self._host.bridge.post(self._begin, input)

    def _begin(self, first: Input) -> None:
        input: Input | None = first
        while input is not None:
            if self._dead:
                # Its supervisor was told that this one was never run.
                return
            if input.state != RUNNING:
                # Settled on its way here: there is nothing to run, but a slot to give back.
                input = self._complete(input, CANCELLED, None)
                continue
            fate = self._fates[input] = self._fate_of(input)
            host = self._host
            if fate.hangs:
                self.executing[input] = None
            elif fate.kills:
                self.executing[input] = host.call_at(host.now() + fate.service_s / 2, self.die)
            else:
                work = partial(self._return, input, self._result_of(input))
                self.executing[input] = host.call_at(host.now() + fate.service_s, work)
            return

    def _return(self, input: Input, result: Any) -> None:
        """The work of `input` is over."""
        fate = self._fates.pop(input)
        if input.attempt <= fate.fails:
            report = partial(self._report, input, FAILED, FakeFailure(result))
        else:
            report = partial(self._report, input, SUCCEEDED, result)
        if fate.late_s:
            self.executing[input] = self._host.call_at(self._host.now() + fate.late_s, report)
        else:
            report()

    def _interrupt(self, input: Input) -> None:
        fate = self._fates.get(input)
        if fate is None or not input.target.is_async:
            # It has returned already; or it is in a thread, which cannot be stopped.
            return
        timer = self.executing[input]
        if timer is not None:
            timer.cancel()
        del self._fates[input]
        report = partial(self._report, input, CANCELLED, None)
        self.executing[input] = self._host.call_at(self._host.now() + fate.deaf_s, report)

    def _report(self, input: Input, state: int, value: Any) -> None:
        self.executing.pop(input, None)
        if self._returned is not None:
            self._returned.set()
        following = self._complete(input, state, value)
        if following is not None:
            self._begin(following)

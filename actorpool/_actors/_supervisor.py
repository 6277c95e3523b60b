# SPDX-License-Identifier: Apache-2.0
"""The supervisor actor: one per function, and per parameter set of a class.

It owns the pool machine (through its dispatcher), a mailbox, a nursery of container actors and the
autoscaler. Each message is one control step of the machine, whose effects it then carries out. A
container's failure reaches it as a message; its siblings live on.
"""

from __future__ import annotations

import logging
import math
from typing import TYPE_CHECKING, Literal

from actorpool._core import _effects as fx
from actorpool._core._admission import CONTROL, SCALING
from actorpool._core._input import Input
from actorpool._host._errors import HostClosedError
from actorpool.exception import ClosedError

from ._autoscaler import Autoscaler
from ._container import ContainerActor
from ._dispatch import Dispatcher

if TYPE_CHECKING:
    from collections.abc import Callable

    from actorpool._core._config import AutoscalerSettings
    from actorpool._core._container import Container
    from actorpool._core._pool import Pool
    from actorpool._core._scaling import ScalingPolicy
    from actorpool._host._base import Event, Host, Nursery, SendChannel, TimerHandle, Waiter

    from ._container import MakeBackend

__all__ = ["Resource", "Supervisor"]

logger = logging.getLogger("actorpool")

Resource = Literal["threads", "processes"]


class Supervisor:
    """One function's supervisor."""

    def __init__(
        self,
        name: str,
        pool: Pool,
        host: Host,
        make_backend: MakeBackend,
        policy: ScalingPolicy,
        *,
        startup_timeout_s: float | None,
        grace_s: float,
        resource: Resource = "threads",
        amount: int = 0,
        referenced: Callable[[], bool] | None = None,
        abandons: bool = True,
        recycle_age_s: float | None = None,
    ) -> None:
        self.name = name
        self.title: str = pool.title
        """What messages call it."""
        self.resource: Resource = resource
        """What the app has a ceiling of and the containers hold."""
        self.amount = amount
        """How much of it each container holds."""
        self._referenced = referenced
        # Whether interrupted work may go on for as long as it likes; else its container is ended, which says so.
        self._abandons = abandons
        self._recycle_age_s = recycle_age_s
        self.forget: Callable[[], bool] | None = None
        """Set by the runtime: drop this supervisor from the app unless a handle refers to it; True if dropped."""
        self.called_from_inputs: Callable[[], object] = _nothing
        """Set by the runtime: called when an input has to wait for a slot, and its caller, an input too, for it."""
        self.dispatcher: Dispatcher = Dispatcher(pool, host, self._attend, self.tell, abandons=abandons)
        self._host = host
        self._make_backend = make_backend
        self._policy = policy
        self._startup_timeout_s = startup_timeout_s
        self._grace_s = grace_s
        self._mailbox: SendChannel[fx.Event] | None = None
        self._nursery: Nursery | None = None
        self._autoscaler: Autoscaler | None = None
        self._timer: TimerHandle | None = None
        self._drained: Event | None = None
        self._shutting_down = False
        self.ended: Waiter = host.bridge.waiter()
        """Notified when `run` has ended."""

    @property
    def autoscaler(self) -> Autoscaler | None:
        """The autoscaler, once the supervisor runs."""
        return self._autoscaler

    # -- any thread ------------------------------------------------------------------------------

    @property
    def referenced(self) -> bool:
        """Whether a handle refers to the pool; a function's is referred to by its app."""
        return self._referenced is None or self._referenced()

    def tell(self, event: fx.Event) -> None:
        """Put `event` into the mailbox, from any thread."""
        self._host.bridge.post(self._receive, event)

    def look(self) -> None:
        """Let the supervisor look whether anything is due, if its loop still runs."""
        try:
            self.tell(fx.Ticked())
        except HostClosedError:
            # It ended with its loop.
            return

    def update(self, change: Callable[[AutoscalerSettings], AutoscalerSettings]) -> AutoscalerSettings:
        """Change the settings, at once and for what already waits; return them.

        Raises:
            InvalidError: If `change` does; nothing has changed then.
        """
        settings, effects = self.dispatcher.change(change)
        if effects:
            self._host.bridge.post(self._perform, effects)
        return settings

    def _attend(self, attention: int) -> None:
        """Wake the actors that the machine asks for; called from the data path, on any thread."""
        if self._host.bridge.is_current():
            self._wake(attention)
            return
        try:
            self._host.bridge.post(self._wake, attention)
        except HostClosedError:
            # The loop ended without the app being closed; whoever submits next is told so.
            return

    # -- the host's thread -----------------------------------------------------------------------

    def _wake(self, attention: int) -> None:
        # Before the supervisor runs the request waits in the machine, and `run` looks at it first.
        if attention & SCALING and self._autoscaler is not None:
            self._autoscaler.wake()
        if attention & CONTROL:
            self._receive(fx.Ticked())

    def _receive(self, event: fx.Event) -> None:
        if self._mailbox is not None:
            self._mailbox.send_nowait(event)

    async def run(self) -> None:
        """Live until `shut_down`, or until nobody refers to the pool; then nothing of it is left."""
        host = self._host
        send, receive = host.open_memory_channel(math.inf)
        try:
            async with host.open_nursery() as nursery:
                self._nursery = nursery
                self._mailbox = send
                self._autoscaler = Autoscaler(self.title, host, self.dispatcher, self._policy, send)
                nursery.start_soon(self._autoscaler.run, name=f"autoscaler of {self.name}")
                # Whatever was asked for before there was a mailbox.
                self._autoscaler.wake()
                self._receive(fx.Ticked())
                try:
                    while not self._is_done():
                        self._step(await receive.receive())
                finally:
                    # Cut off from outside, with inputs on board: each still gets its outcome, and only then
                    # do the containers stop.
                    self._mailbox = None
                    self._give_up()
                nursery.cancel()
        finally:
            # Once more for the outcomes, should the body have been left before it began.
            self._give_up()
            self._disarm()
            send.close()
            receive.close()
            self.ended.notify()

    def close_door(self) -> None:
        """Accept inputs only from inputs that were accepted, from now on. Threads: any."""
        self.dispatcher.handle(fx.Closed())

    async def drain(self) -> None:
        """Close the door; return once each accepted input has its outcome."""
        self._drained = self._host.event()
        self.close_door()
        if not self.drained:
            await self._drained.wait()

    @property
    def drained(self) -> bool:
        """Whether every accepted input has its outcome."""
        return bool(self.dispatcher.read(_drained))

    def abort(self, error: BaseException) -> None:
        """Cancel whatever has no outcome yet, with `error`."""
        self.close_door()
        self.tell(fx.Aborted(error))

    def shut_down(self) -> None:
        """Stop all containers; `run` returns when they have stopped."""
        self._shutting_down = True
        self.tell(fx.ShutDown())

    def refuse(self) -> None:
        """Give up before `run` began: the app was closed in the same moment."""
        self._give_up()
        self.ended.notify()

    def lose_loop(self) -> None:
        """Give up because the event loop was closed: nothing runs there any more. Threads: any."""
        self._mailbox = None
        self._give_up()
        for container in self.dispatcher.read(_containers):
            if container.handle is not None:
                container.handle.abandon()
            self.dispatcher.handle(fx.ContainerExited(container))
        self.ended.notify()

    def _is_done(self) -> bool:
        """Whether it was told to stop, or nobody refers to it, and nothing is left; if so, it is forgotten."""
        if not self._shutting_down and self.referenced:
            return False
        if not self.dispatcher.read(_vacant):
            return False
        return self._shutting_down or (self.forget is not None and self.forget())

    def _give_up(self) -> None:
        """Accept nothing more, cancel whatever has no outcome yet, and send handles to a successor."""
        self.dispatcher.retired = True
        self.dispatcher.handle(fx.Closed())
        error = ClosedError(f"the app of {self.title} was ended before this input had a result")
        self._perform(self.dispatcher.handle(fx.Aborted(error)))

    def _step(self, event: fx.Event) -> None:
        ticked = isinstance(event, fx.Ticked)
        if ticked and self.dispatcher.begin_tick():
            self.called_from_inputs()
        self._perform(self.dispatcher.handle(event))
        if isinstance(event, fx.Decided) and self._autoscaler is not None:
            self._autoscaler.applied()
        if ticked:
            self._arm()
        if self._drained is not None and self.drained:
            self._drained.set()

    def _arm(self) -> None:
        self._disarm()
        when = self.dispatcher.read(_next_tick)
        if when is not None:
            self._timer = self._host.call_at(when, self._tick)

    def _disarm(self) -> None:
        if self._timer is not None:
            self._timer.cancel()
            self._timer = None

    def _tick(self) -> None:
        self._receive(fx.Ticked())

    def _perform(self, effects: list[fx.Effect]) -> None:
        for effect in effects:
            match effect:
                case fx.StartContainer(container=container):
                    name = f"{self.name}/{container.number}"
                    actor = ContainerActor(
                        container,
                        name,
                        self._host,
                        self._make_backend,
                        self._receive,
                        self.dispatcher,
                        startup_timeout_s=self._startup_timeout_s,
                        grace_s=self._grace_s,
                        recycle_age_s=self._recycle_age_s,
                    )
                    container.handle = actor
                    assert self._nursery is not None
                    self._nursery.start_soon(actor.run, name=f"container {name}")
                case fx.StopContainer(container=container):
                    container.handle.stop()
                case fx.Deliver(container=container, inputs=inputs):
                    for input in inputs:
                        self.dispatcher.send(container.handle, input)
                case fx.Settle(input=input):
                    if input.sink is not None:
                        input.sink(input)
                case fx.CancelRun(input=input):
                    self.dispatcher.interrupt(input)
                case fx.ReportAbandoned(input=input):
                    if self._abandons:
                        self._report_abandoned(input)
                case fx.ReportLoss():
                    self._report_loss(effect)

    def _report_loss(self, loss: fx.ReportLoss) -> None:
        what = [f"container {self.name}/{loss.container.number} {'died' if loss.died else 'failed to start'}"]
        if loss.failures is not None and loss.failures > 1:
            what.append(f"{loss.failures} in a row")
        if loss.pause_s:
            what.append(f"the next start waits {loss.pause_s:.3g} s")
        logger.warning("%s", "; ".join(what), exc_info=loss.error)

    def _report_abandoned(self, input: Input) -> None:
        kind = "coroutine swallowed its cancellation" if input.target.is_async else "thread cannot be stopped"
        logger.warning(
            "an input of function '%s' was cancelled %g s ago and still runs (its %s); its result is dropped and its "
            "slot stays taken until it returns",
            input.target,
            self._grace_s,
            kind,
        )


def _nothing() -> None:
    pass


def _next_tick(pool: Pool) -> float | None:
    return pool.next_tick()


def _containers(pool: Pool) -> list[Container]:
    return pool.containers()


def _vacant(pool: Pool) -> bool:
    return pool.vacant


def _drained(pool: Pool) -> bool:
    return pool.drained

# SPDX-License-Identifier: Apache-2.0
"""The container actor: start, ready, (inputs), drain, exit hooks, stopped.

Its supervisor hears `ContainerReady`, then `ContainerExited`; or `ContainerFailed`; each exactly once.
Inputs do not pass through its task: they go to the backend in the turn of whoever has them in hand.
"""

from __future__ import annotations

import math
from typing import TYPE_CHECKING, Any, Protocol

from actorpool._core import _effects as fx
from actorpool._core._container import Phase
from actorpool._core._recycling import Age
from actorpool._host._failures import raised_by
from actorpool.exception import FunctionTimeoutError

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

    from actorpool._backends._workload import ContainerBackend, ContainerOwner
    from actorpool._core._container import Container
    from actorpool._core._input import Input
    from actorpool._host._base import CancelScope, Host, TimerHandle

    from ._dispatch import Dispatcher

__all__ = ["ContainerActor", "MakeBackend"]


class MakeBackend(Protocol):
    """Builds the inside of a container."""

    def __call__(self, name: str, owner: ContainerOwner) -> ContainerBackend: ...


class ContainerActor:
    """One container: a child of its function's supervisor."""

    __slots__ = (
        "_age",
        "_backend",
        "_grace_s",
        "_host",
        "_lost",
        "_make_backend",
        "_record",
        "_report",
        "_started",
        "_starting",
        "_startup_timeout_s",
        "_stop",
        "admitted",
        "cancel",
        "dispatcher",
        "name",
        "send",
    )

    send: Callable[[Input], None]
    cancel: Callable[[Input], None]

    def __init__(
        self,
        record: Container,
        name: str,
        host: Host,
        make_backend: MakeBackend,
        report: Callable[[fx.Event], None],
        dispatcher: Dispatcher,
        *,
        startup_timeout_s: float | None,
        grace_s: float,
        recycle_age_s: float | None = None,
    ) -> None:
        self._record = record
        self.name = name
        self._host = host
        self._make_backend = make_backend
        self._report = report
        self.dispatcher: Dispatcher = dispatcher
        """The way to the pool that this container belongs to."""
        self._startup_timeout_s = startup_timeout_s
        self._grace_s = grace_s
        self._age = Age(recycle_age_s)
        self._stop = host.event()
        self._backend: ContainerBackend | None = None
        self._starting: CancelScope | None = None
        self._started = False
        self._lost = False
        self.admitted: bool = False
        """Whether it holds what the app has a ceiling of."""

    def abandon(self) -> None:
        """Let go of what can be let go without the event loop, which is gone. Threads: any."""
        if self._backend is not None:
            self._backend.abandon()

    def stop(self) -> None:
        """Ask for the exit hooks and the end; a start under way is called off."""
        self._stop.set()
        if self._starting is not None:
            self._starting.cancel()

    async def run(self) -> None:
        """Live the container's life; returns when nothing of it is left."""
        try:
            backend = self._make_backend(self.name, self)
            self.send = backend.send
            self.cancel = backend.cancel
        except Exception as error:
            # A backend may be the user's own.
            self._report(fx.ContainerFailed(self._record, error))
            return
        self._backend = backend
        failure: BaseException | None = None
        aged: TimerHandle | None = None
        try:
            failure = await self._start(backend)
            if failure is None:
                self._started = True
                if self._record.phase is Phase.STARTING:
                    self._report(fx.ContainerReady(self._record))
                self._age.ready(self._host.now())
                if self._age.retire_at < math.inf:
                    aged = self._host.call_at(self._age.retire_at, self.retire)
                await self._stop.wait()
        finally:
            if aged is not None:
                aged.cancel()
            # Also when the app is being cancelled from outside.
            leftover = list(self._record.inputs)
            await self._host.shielded(lambda: backend.stop(leftover, self._grace_s), math.inf)
        if failure is not None:
            self._report(fx.ContainerFailed(self._record, failure))
        elif not self._lost:
            self._report(fx.ContainerExited(self._record))

    def lost(self, error: BaseException, run: frozenset[Input]) -> None:
        """Report that the backend's container is gone; see `ContainerOwner.lost`."""
        # Before it was ready, `start` raises the error.
        if self._started and not self._lost:
            self._lost = True
            self._report(fx.ContainerExited(self._record, error, run))
            self._stop.set()

    def retire(self) -> None:
        """Have the pool give it nothing more; see `ContainerOwner.retire`."""
        self._report(fx.ContainerRetired(self._record))

    def look_ahead(self, most: int) -> list[Input]:
        """Return inputs to send ahead; see `ContainerOwner.look_ahead`."""
        return self.dispatcher.look_ahead(self._record, most)

    def give_back(self, inputs: tuple[Input, ...]) -> None:
        """Have others run `inputs`; see `ContainerOwner.give_back`."""
        self._report(fx.GivenBack(self._record, inputs))

    def succeeded(self, inputs: Sequence[Input], results: Sequence[Any]) -> list[Input | None]:
        """Report results; see `ContainerOwner.succeeded`."""
        return self.dispatcher.succeed(inputs, results)

    async def _start(self, backend: ContainerBackend) -> BaseException | None:
        """Start the backend; return why it failed, or None."""
        limit = math.inf if self._startup_timeout_s is None else self._startup_timeout_s
        error: BaseException | None = None
        with self._host.move_on_after(math.inf) as self._starting:
            if self._stop.is_set():
                return None
            error = await raised_by(backend.admit)
            if error is None:
                self.admitted = True
                # Waiting for others to make way is no start that takes too long.
                with self._host.move_on_after(limit) as start:
                    error = await raised_by(backend.start)
                if start.cancelled_caught:
                    error = FunctionTimeoutError(
                        f"container {self.name} was not ready after its startup_timeout of {limit:g} s",
                        timeout=limit,
                    )
        self._starting = None
        return error

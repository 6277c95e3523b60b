# SPDX-License-Identifier: Apache-2.0
"""The supervisor: starts children, and restarts them when they fail.

What to do after an exit is decided in `_core._supervision`; here are the tasks, the waiting and the mailbox.

Theory of operation. Each child runs in a task of its own, in a cancel scope of its own. Its failure is caught
at the edge of that task and posted to the supervisor's mailbox as an exit, so no sibling is touched by it.
The supervisor takes one exit at a time, asks the machine, and carries out the effects.
"""

from __future__ import annotations

import math
from collections.abc import Awaitable, Callable, Iterable

from attrs import define, field, frozen

from actorpool._core._supervision import (
    Backoff,
    ChildState,
    RestartIntensity,
    RestartRule,
    StartChild,
    StopChild,
    Strategy,
    Supervision,
    SupervisionEffect,
)
from actorpool._host._base import CancelScope, Host, Nursery
from actorpool._host._current import current_host
from actorpool.exception import ConflictError, Error, InvalidError
from actorpool.primitives._mailbox import Mailbox

__all__ = ["ChildSpec", "ChildStatistics", "RestartIntensityError", "Supervisor", "SupervisorStatistics"]


class RestartIntensityError(Error):
    """A child failed more often than its supervisor's restart intensity allows; the cause is `__cause__`.

    Attributes:
        child: Name of the child whose exit was one too many.
        max_restarts: Restarts allowed (inclusive) within the window.
        window_s: Length of the window in seconds.
    """

    def __init__(self, message: str, *, child: str, max_restarts: int, window_s: float) -> None:
        super().__init__(message)
        self.child = child
        self.max_restarts = max_restarts
        self.window_s = window_s


@frozen
class ChildSpec:
    """What a supervisor must know of a child."""

    name: str
    """Its name, unique within the supervisor."""
    run: Callable[[], Awaitable[object]]
    """Called at every start: `lambda: MyActor().run()` makes a new actor each time."""
    restart: RestartRule = "permanent"
    """When it is restarted: "permanent" after every exit, "transient" after a failure, "temporary" never."""


@frozen
class ChildStatistics:
    """A snapshot of one child of a `Supervisor`."""

    name: str
    """Its name."""
    state: ChildState
    """Where it stands in its life."""
    starts: int
    """How often it has been started, restarts included."""
    last_error: BaseException | None
    """What its last failure raised; None if it never failed."""


@frozen
class SupervisorStatistics:
    """A snapshot of a `Supervisor`."""

    children: tuple[ChildStatistics, ...]
    """Its children, in the order in which they start."""
    restarts_within_window: int
    """Restarts that count towards the intensity now."""


@frozen
class _Exit:
    child: _Child
    error: BaseException | None


@frozen
class _Stop:
    pass


@define(eq=False)
class _Child:
    spec: ChildSpec
    starts: int = field(default=0, init=False)
    last_error: BaseException | None = field(default=None, init=False)
    # What StopChild cancels; None until the child's task has begun and after it has ended.
    _scope: CancelScope | None = field(default=None, init=False)
    _stopping: bool = field(default=False, init=False)

    def stop(self) -> None:
        self._stopping = True
        if self._scope is not None:
            self._scope.cancel()

    async def run(self, host: Host, delay_s: float, mailbox: Mailbox[_Exit | _Stop]) -> None:
        failure: BaseException | None = None
        try:
            with host.move_on_after(math.inf) as self._scope:
                if self._stopping:
                    self._scope.cancel()
                if delay_s:
                    await host.sleep(delay_s)
                self.starts += 1
                await self.spec.run()
        except Exception as error:
            failure = self.last_error = error
        except BaseException as error:
            # If the supervisor is still there to hear of it, it was not the one that is being cancelled.
            failure = error
            raise
        finally:
            self._scope = None
            self._stopping = False
            mailbox.post(_Exit(self, failure))


@define(eq=False, repr=False, init=False)
class Supervisor:
    """A task that owns children and decides what their exits mean.

    1. Made from child specs; nothing runs.
    2. `run()` is started, as a child of a nursery or of another supervisor's spec. It starts the children in
       order. 3. A child's exit never touches its siblings by itself. If its restart rule says so, it is
       restarted after a back-off, and with it those that the strategy binds to it: nobody ("one_for_one"),
       all ("one_for_all"), or those started after it ("rest_for_one"). They are stopped one at a time, the
       last first, then started in order.
    4. More restarts than the intensity allows: all children are stopped and `run()` raises
       `RestartIntensityError`, so that the supervisor above can judge.
    5. `run()` returns when every child has ended for good, or after `stop()`, which stops them, the last
       first.

    On asyncio a child that refuses its cancellation is waited for.

    Args:
        children: The specs, in the order in which the children start.
        strategy: Who is restarted with a child; "one_for_one" when in doubt.
        intensity: How many restarts are normal; by default 3 within 5 seconds.
        backoff: How long a restart waits; by default 0.05 seconds, doubled each time.
        name: Its name, for messages and logs.

    Raises:
        InvalidError: If two children have the same name, or the strategy or a restart rule is unknown.
    """

    name: str
    _intensity: RestartIntensity
    _children: dict[str, _Child]
    _machine: Supervision
    _mailbox: Mailbox[_Exit | _Stop]
    _host: Host | None
    _ended: bool

    def __init__(
        self,
        children: Iterable[ChildSpec],
        *,
        strategy: Strategy = "one_for_one",
        intensity: RestartIntensity | None = None,
        backoff: Backoff | None = None,
        name: str = "supervisor",
    ) -> None:
        self.name = name
        self._intensity = RestartIntensity() if intensity is None else intensity
        self._children = {}
        for spec in children:
            if spec.name in self._children:
                raise InvalidError(
                    f"supervisor {name!r} has two children named {spec.name!r}; names are unique"
                )
            self._children[spec.name] = _Child(spec)
        rules: dict[str, RestartRule] = {
            child.spec.name: child.spec.restart for child in self._children.values()
        }
        self._machine = Supervision(
            rules, strategy, self._intensity, Backoff() if backoff is None else backoff
        )
        self._mailbox = Mailbox(name=name)
        self._host = None
        self._ended = False

    def __repr__(self) -> str:
        counts = [state.value for state in self._machine.states().values()]
        states = " ".join(f"{state.value}={counts.count(state.value)}" for state in ChildState)
        return f"<Supervisor {self.name!r} {states}>"

    def statistics(self) -> SupervisorStatistics:
        """Return a snapshot; host thread only."""
        states = self._machine.states()
        children = self._children.values()
        now = 0.0 if self._host is None else self._host.now()
        return SupervisorStatistics(
            children=tuple(
                ChildStatistics(child.spec.name, states[child.spec.name], child.starts, child.last_error)
                for child in children
            ),
            restarts_within_window=self._machine.restarts_within_window(now),
        )

    def stop(self) -> None:
        """Stop the children, the last started first, and let `run()` return. Idempotent. Threads: any."""
        if not self._ended:
            self._mailbox.post(_Stop())

    async def run(self) -> None:
        """Live: see the class. Call it once.

        Raises:
            ConflictError: If it has been called before.
            RestartIntensityError: If a child exits more often than the intensity allows.

        Cancellation: Cancels all children at once and waits for them.
        """
        if self._host is not None:
            raise ConflictError(f"supervisor {self.name!r} has been run already; make another one")
        self._host = host = current_host()
        try:
            async with host.open_nursery() as nursery:
                gave_up_on = await self._supervise(host, nursery)
        finally:
            self._ended = True
        if gave_up_on is not None:
            child = self._children[gave_up_on]
            intensity = self._intensity
            raise RestartIntensityError(
                f"supervisor {self.name!r} gave up: child {gave_up_on!r} exited again after "
                f"{intensity.max_restarts} restarts within {intensity.window_s:g} s; mend its failure "
                "or allow more restarts",
                child=gave_up_on,
                max_restarts=intensity.max_restarts,
                window_s=intensity.window_s,
            ) from child.last_error

    async def _supervise(self, host: Host, nursery: Nursery) -> str | None:
        """Carry out effects until the machine has ended; return the child it gave up on."""
        effects = self._machine.start()
        while True:
            for effect in effects:
                if isinstance(effect, StartChild):
                    child = self._children[effect.name]
                    name = f"{self.name}/{effect.name}"
                    nursery.start_soon(child.run, host, effect.delay_s, self._mailbox, name=name)
                elif isinstance(effect, StopChild):
                    self._children[effect.name].stop()
                else:
                    return effect.gave_up_on
            message = await self._mailbox.receive()
            effects = self._next(message, host.now())

    def _next(self, message: _Exit | _Stop, now: float) -> list[SupervisionEffect]:
        if isinstance(message, _Stop):
            return self._machine.stop()
        child, error = message.child, message.error
        if error is not None:
            child.last_error = error
        return self._machine.child_exited(child.spec.name, failed=error is not None, now=now)

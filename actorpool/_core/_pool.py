# SPDX-License-Identifier: Apache-2.0
"""The pool machine: one function's containers, slots, backlog, limits and life (pure).

`Flow` is its data path; this module adds the control path: `handle(event, now)` returns the effects
that a shell is to carry out after the step. Both drive the same state under the same lock.

A container's life, and who moves it::

    StartContainer ─► STARTING ─ContainerReady─► READY ─► DRAINING ─(last input)─► STOPPING ─ContainerExited─► STOPPED
                         │ └─ContainerFailed─► STOPPED      (idle, surplus)──────────▲
                         └─(called off)──────────────────────────────────────────────┘

The machine terminates: once `Closed`, nothing is accepted; every accepted input ends in its slot or
by `Aborted`; after `ShutDown` each container is told to stop exactly once and leaves by
`ContainerExited`.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

from actorpool._core import _effects as fx
from actorpool._core._admission import CONTROL, ROOM, SCALING
from actorpool._core._container import Phase
from actorpool._core._counts import Estimates, PoolCounts
from actorpool._core._input import CANCELLED, FAILED, RUNNING, SUCCEEDED, TIMED_OUT, Input
from actorpool._core._losses import Losses
from actorpool._core._scaling import Decision, Snapshot, breaks_contract
from actorpool._core._start_failures import EarlyDeaths, StartFailures

if TYPE_CHECKING:
    from actorpool._core._config import AutoscalerSettings, Concurrency, Limits, Restart
    from actorpool._core._container import Container
    from actorpool._core._retry import RetryPolicy

__all__ = ["Pool"]

# One decision starts at most this many containers; the next look follows at once. Between the two the
# shell gets its turn, and with it the starts whose backlog has gone meanwhile are never made.
_START_WAVE: Final = 64


class Pool(Losses):
    """One function's pool: the control path."""

    __slots__ = (
        "_estimates",
        "_grace_s",
        "_look_at",
        "overruled",
    )

    # What this part moves of the data path's state.
    aborted: bool
    abandoned: int
    accepting: bool
    attention: int
    crowded: bool
    running: int
    settings: AutoscalerSettings

    def __init__(
        self,
        name: str,
        *,
        settings: AutoscalerSettings,
        concurrency: Concurrency,
        limits: Limits,
        restart: Restart,
        timeout: float | None = None,
        retry: RetryPolicy | None = None,
        recycle_after: int | None = None,
        grace_s: float = 5.0,
        startup_hint_s: float = 0.0,
        kind: str = "function",
    ) -> None:
        super().__init__(
            name,
            settings=settings,
            concurrency=concurrency,
            limits=limits,
            timeout=timeout,
            retry=retry,
            recycle_after=recycle_after,
            kind=kind,
        )
        self._failures = StartFailures(restart)
        self._deaths = EarlyDeaths(restart)
        self._grace_s = grace_s
        # How many containers were ever asked for.
        self._number = 0
        # The sum of the instants at which those that have not stopped were asked for, so that all their lives so
        # far are one subtraction; and the seconds of the lives of those that have.
        self._asked_sum = 0.0
        self._closed_s = 0.0
        # How many were told to stop and have not.
        self._stopping = 0
        # When the window of an idle container ends, if the policy did not ask to be woken by then.
        self._look_at: float = float("inf")
        self._estimates = Estimates(startup_hint_s)
        self.last_failure: BaseException | None = None
        self.overruled: int = 0
        self.start_failures = 0
        if settings.min_containers:
            self.attention |= SCALING

    # -- what the shells read --------------------------------------------------------------------

    @property
    def vacant(self) -> bool:
        """Whether there is no container and no input: nothing would be lost by forgetting the pool."""
        return not self._live and not self.pending

    def containers(self) -> list[Container]:
        """Return all containers that have not stopped, in the order of their starts."""
        return list(self._live)

    def counts(self, now: float) -> PoolCounts:
        """Return the counts of this instant."""
        live = len(self._live)
        return PoolCounts(
            containers=live,
            starting=len(self._starting),
            ready=self._placement.count,
            idle=self._placement.idle,
            draining=live - self.size,
            running=self.running,
            abandoned=self.abandoned,
            pending=self.pending,
            free_slots=self.free_slots,
            arrived=self.arrived,
            refused=self.refused,
            succeeded=self.outcomes[SUCCEEDED],
            failed=self.outcomes[FAILED],
            cancelled=self.outcomes[CANCELLED],
            timed_out=self.outcomes[TIMED_OUT],
            starts=self._number,
            start_failures=self.start_failures,
            overruled=self.overruled,
            container_seconds=self.container_seconds(now),
        )

    def snapshot(self, now: float) -> Snapshot:
        """Return what the policy sees now; the request for its attention is met by that."""
        self.attention &= ~SCALING
        self._estimates.served(self.ended, self._served_s)
        window = self.settings.scaledown_window
        expired = 0
        oldest: float | None = None
        for container in self._placement.idle_containers():
            if oldest is None:
                oldest = container.idle_since
            if container.idle_since + window > now:
                break
            expired += 1
        return Snapshot(
            now=now,
            settings=self.settings,
            target_inputs=self.concurrency.target,
            max_inputs=self.concurrency.max_inputs,
            ready=self._placement.count,
            starting=len(self._starting),
            idle=self._placement.idle,
            expired=expired,
            running=self.running - self._outside,
            pending=self._backlog.count,
            oldest_idle_since=oldest,
            service_s=self._estimates.service_s,
            startup_s=self._estimates.startup_s,
            quiet_s=max(0.0, now - self._moved_at) if self.running else 0.0,
            arrived=self.arrived,
            oldest_start_since=next((container.asked_at for container in self._starting), None),
        )

    def next_tick(self) -> float | None:
        """Return the instant at which a `Ticked` is due although nothing happens; None for none."""
        instants = [row.until for row in (self._failures, self._deaths) if row.until is not None]
        if self._look_at < float("inf"):
            instants.append(self._look_at)
        instants.extend(self._attempt_instants())
        return min(instants, default=None)

    # -- the control path ------------------------------------------------------------------------

    def handle(self, event: fx.Event, now: float) -> list[fx.Effect]:
        """Take one step; return what the shell is to do, in order."""
        effects: list[fx.Effect] = []
        getattr(self, _HANDLERS[type(event)])(event, now, effects)
        return effects

    def _ready(self, event: fx.ContainerReady, now: float, effects: list[fx.Effect]) -> None:
        container = event.container
        if container.phase is not Phase.STARTING:
            # Called off in the same moment: it is stopping, and its exit will be reported.
            return
        container.move(Phase.READY)
        del self._starting[container]
        self._failures.end()
        self._estimates.started(now - container.asked_at)
        container.idle_since = now
        taken: list[Input] = []
        backlog = self._backlog
        while backlog.count > backlog.aside and len(container.inputs) < self.concurrency.max_inputs:
            input = backlog.pop()
            input.state = RUNNING
            input.container = container
            container.inputs[input] = now
            taken.append(input)
        self._placement.add(container, len(container.inputs))
        if taken:
            if not self.running:
                self._moved_at = now
            self.running += len(taken)
            if self.timeout is not None and self._deadline_at is None:
                self.attention |= CONTROL
            effects.append(fx.Deliver(container, tuple(taken)))
        elif self.crowded:
            self.attention |= CONTROL
        if self._room_waiters:
            self.attention |= ROOM
        # What is under way beyond it may have lost its backlog, and an idle one has a window to expire.
        self.attention |= SCALING

    def _retired(self, event: fx.ContainerRetired, now: float, effects: list[fx.Effect]) -> None:
        container = event.container
        if container.ready:
            self._placement.remove(container, len(container.inputs))
            self.drain(container)

    def _changed(self, event: fx.SettingsChanged, now: float, effects: list[fx.Effect]) -> None:
        self.settings = event.settings
        self.attention |= SCALING
        self._hold_maximum(effects)
        if self.crowded:
            self.attention |= CONTROL  # idle containers that only the minimum held are to make way

    def _decided(self, event: fx.Decided, now: float, effects: list[fx.Effect]) -> None:
        if self._shutting_down:
            # Decided before all containers were told to stop; a further one would never be.
            return
        decision, seen = event.decision, event.seen
        room = self._start_room()
        # Invariant: demand never waits for nobody.
        least = max(self.settings.min_containers, 1 if self._backlog.count else 0)
        start, missing = max(0, decision.start), least - self.size
        if missing > start:
            # What came since the policy looked has asked for its next decision: so each start has a reason that
            # speaks of it.
            seen_least = max(seen.settings.min_containers, 1 if seen.pending else 0)
            start = max(start, min(missing, seen_least - seen.ready - seen.starting))
        start = start if room is None else min(start, room)
        if self.crowded:
            # Threads that others wait for are not taken for a buffer.
            start = max(0, min(start, max(least, self._needed(self._demand)) - self.size))
        if self._failures.pausing(now) or self._deaths.pausing(now):
            start = 0
        if start > _START_WAVE:
            start = _START_WAVE
            self.attention |= SCALING
        if decision.cancel:
            for _ in range(max(0, min(decision.cancel, len(self._starting), self.size - least))):
                self._stop(next(reversed(self._starting)), effects)
        if self._placement.idle:
            stops = max(0, min(decision.stop, self._placement.idle, self.size - least))
            stops = max(stops, self._overdue(now, start))
            for container in self._oldest_idle(stops):
                self._stop(container, effects)
            if stops:
                # The next one's window is known only now.
                self.attention |= SCALING
        for _ in range(start):
            self._start(now, effects)
        self.overruled += breaks_contract(decision, seen)
        self._set_alarms(decision, seen, now)

    def _ticked(self, event: fx.Ticked, now: float, effects: list[fx.Effect]) -> None:
        self.attention &= ~CONTROL
        self._expire(now, effects)
        self._retry_due(now, effects)
        self._report_abandoned(now, effects)
        drained, self._drained = self._drained, []
        for container in drained:
            if container.phase is Phase.DRAINING:
                self._stop(container, effects)
        self._stop_terminated(effects)
        self._make_way(effects)
        for row in (self._failures, self._deaths):
            if row.until is not None and row.until <= now:
                row.until = None
                self.attention |= SCALING
        if self._look_at <= now:
            self._look_at = float("inf")
            self.attention |= SCALING

    def _crowded(self, event: fx.Crowded, now: float, effects: list[fx.Effect]) -> None:
        self.crowded = event.waiting
        self.attention |= SCALING
        self._make_way(effects)
        if event.give:
            self._let_go(min(event.give, self.size - self.settings.min_containers), effects)
            self.attention |= SCALING

    def _closed(self, event: fx.Closed, now: float, effects: list[fx.Effect]) -> None:
        self.accepting = False
        self.attention |= CONTROL | ROOM

    def _aborted(self, event: fx.Aborted, now: float, effects: list[fx.Effect]) -> None:
        self.aborted = True
        for input in self._withdraw_pending():
            self.settle(input, CANCELLED, event.error)
            effects.append(fx.Settle(input))
        for container in self._live:
            for input in container.inputs:
                if input.state == RUNNING:
                    self.interrupted(input, now)
                    self.settle(input, CANCELLED, event.error)
                    effects.append(fx.Settle(input))
                    effects.append(fx.CancelRun(input))
        self.attention |= CONTROL | SCALING

    def _shut_down(self, event: fx.ShutDown, now: float, effects: list[fx.Effect]) -> None:
        self.accepting = False
        self.aborted = self._shutting_down = True
        self.attention |= ROOM
        for container in list(self._live):
            if container.phase is not Phase.STOPPING:
                self._stop(container, effects)

    # -- parts of the steps ----------------------------------------------------------------------

    @property
    def _demand(self) -> int:
        """Inputs that hold slots of ready containers, or wait for one."""
        return self.running - self._outside + self._backlog.count

    def _needed(self, demand: int) -> int:
        """Return how many containers there should be for that demand alone."""
        return -(-demand // self.concurrency.target)

    def _held_by(self, demand: int) -> int:
        """Return how many containers the minimum and, while there is demand, the buffer hold."""
        settings = self.settings
        return max(
            settings.min_containers, self._needed(demand) + settings.buffer_containers if demand else 0
        )

    def _overdue(self, now: float, start: int) -> int:
        """Return how many idle containers may not idle on, whatever the policy says, beside `start` fresh ones."""
        window = self.settings.scaledown_window
        may_go = self.size + start - self._held_by(self._demand)
        overdue = 0
        for container in self._placement.idle_containers():
            if overdue >= may_go or container.idle_since + window > now:
                break
            overdue += 1
        return overdue

    def _set_alarms(self, decision: Decision, seen: Snapshot, now: float) -> None:
        """Say when the policy is to look again, so that the data path need not wake it for nothing.

        What came while the policy was deciding was not seen by it.
        """
        settings = self.settings
        size = self.size
        running = self.running - self._outside
        window = settings.scaledown_window
        self._patience_s = window if decision.wake_idle_s is None else min(window, decision.wake_idle_s)
        self._spare_starts = bool(self._starting) and size > self._held_by(running)
        self._idle_alarm = float("inf") if decision.wake_at is None else decision.wake_at
        self._look_at = float("inf")
        if size <= settings.min_containers:
            # Nobody may go, however long it idles.
            self._idle_alarm = float("-inf")
        elif self._placement.idle and not self.attention & SCALING:
            ends = next(self._placement.idle_containers()).idle_since + window
            # What is held for now is looked at now and then.
            due = ends if ends > now else now + window
            if due < self._idle_alarm:
                self._idle_alarm = self._look_at = due
                self.attention |= CONTROL
        if settings.max_containers is not None and size + self._stopping >= settings.max_containers:
            self._demand_alarm = self._pending_alarm = float("inf")
            return
        self._demand_alarm = (size - settings.buffer_containers) * self.concurrency.target
        if decision.wake_above is not None:
            self._demand_alarm = min(self._demand_alarm, max(decision.wake_above, seen.running))
        # A backlog that was left to the running slots is looked at again when it has doubled.
        self._pending_alarm = 2 * seen.pending if decision.held else seen.pending
        if self._backlog.count > self._pending_alarm or running > max(self._demand_alarm, seen.running):
            self.attention |= SCALING


# {event: the method that takes it}, by name so that a subclass may extend it.
_HANDLERS: Final[dict[type, str]] = {
    fx.ContainerReady: "_ready",
    fx.ContainerFailed: "_failed",
    fx.ContainerExited: "_exited",
    fx.ContainerRetired: "_retired",
    fx.GivenBack: "_given_back",
    fx.Hopeless: "_hopeless",
    fx.SettingsChanged: "_changed",
    fx.Decided: "_decided",
    fx.Ticked: "_ticked",
    fx.Crowded: "_crowded",
    fx.Terminated: "_terminate",
    fx.Closed: "_closed",
    fx.Aborted: "_aborted",
    fx.ShutDown: "_shut_down",
}

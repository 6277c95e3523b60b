# SPDX-License-Identifier: Apache-2.0
"""Scaling policies: from one snapshot of a pool to one decision (pure).

A policy is asked whenever something happened that may change the answer, and at the instants its last
decision named. It must not keep the pool from its contract; the pool machine holds that whatever a policy
says, and counts what it had to overrule: never more than `max_containers`, never fewer than
`min_containers` by a decision, never a busy container stopped, none idle past `scaledown_window` unless
the minimum or the buffer holds it.

A policy that learns has methods for events. Which ones is found out once, when its pool starts; a pool
whose policy has none records nothing.
"""

from __future__ import annotations

import math
from copy import deepcopy
from typing import TYPE_CHECKING, Final, Literal, Protocol, TypeAlias, cast, get_args

from attrs import field, frozen

from actorpool._core._config import check_seconds
from actorpool._core._counts import counted
from actorpool.exception import InvalidError

if TYPE_CHECKING:
    from collections.abc import Callable

    from actorpool._core._config import AutoscalerSettings

__all__ = [
    "UNNOTICED_S",
    "Decision",
    "EventName",
    "PolicyChoice",
    "ScalingPolicy",
    "ScalingRecord",
    "Snapshot",
    "WindowPolicy",
    "breaks_contract",
    "policy_factory",
    "takes_events",
    "with_events",
]

EventName: TypeAlias = Literal["arrived", "completed", "ready", "failed"]
"""What a policy may be told of; the name of the method, too."""


@frozen(kw_only=True)
class Snapshot:
    """What a policy sees of a pool at one instant."""

    now: float
    """The host's monotonic clock, in seconds."""
    settings: AutoscalerSettings
    """The bounds in force."""
    target_inputs: int
    """Inputs a container should run at once; the capacity a container counts for."""
    max_inputs: int
    """Inputs a container can run at once."""
    ready: int
    """Containers that take inputs."""
    starting: int
    """Containers under way; they count as capacity."""
    idle: int
    """Ready containers in which nothing runs."""
    expired: int
    """Idle containers that have been idle for the whole `scaledown_window`."""
    running: int
    """Inputs in slots of ready containers."""
    pending: int
    """Inputs no slot has taken."""
    oldest_idle_since: float | None
    """When the container idle for the longest became idle."""
    service_s: float | None
    """Recent mean time an input holds its slot, in seconds; None before the first has ended."""
    startup_s: float
    """Recent mean time from asking for a container to its being ready, in seconds."""
    quiet_s: float
    """Seconds since an input last left its slot (or entered an empty pool)."""
    arrived: int
    """Inputs accepted since the pool began."""
    oldest_start_since: float | None = None
    """When the oldest of the starts under way was asked for."""
    events: tuple[tuple[EventName, float, float], ...] = ()
    """For a policy with methods for events: what happened since the last look, as `(method, now, seconds)`.

    They are called with it before `decide`, so a policy has no need to look at this.
    """


@frozen(kw_only=True)
class Decision:
    """What a policy wants done now; the pool clips it to the contract."""

    start: int = 0
    """Containers to start."""
    cancel: int = 0
    """Starts under way to call off, the latest first."""
    stop: int = 0
    """Idle containers to stop, the longest idle first."""
    wake_at: float | None = None
    """When to ask again although nothing happened; None for no such instant."""
    wake_above: int | None = None
    """Ask again once more inputs than this hold slots; None for once they are more than the containers count for."""
    wake_idle_s: float | None = None
    """Ask again by the time a container has idled for this long, in seconds; None for the whole window."""
    held: bool = False
    """Whether pending inputs are left to the running slots on purpose."""
    reason: str = ""
    """Why, in words, for the scaling log."""


@frozen
class ScalingRecord:
    """One decision that changed something or was overruled, for the scaling log."""

    at: float
    """The host's clock, in seconds."""
    containers: int
    """Containers ready and starting, before."""
    running: int
    """Inputs in slots, before."""
    pending: int
    """Inputs no slot had taken, before."""
    start: int
    """Containers to start."""
    stop: int
    """Idle containers to stop and starts to call off."""
    reason: str
    """Why, in words."""
    overruled: bool = False
    """Whether the pool did otherwise, to keep the contract."""


class ScalingPolicy(Protocol):
    """Decides how many containers a pool should have; implement it to bring a policy of your own.

    A policy is one object per pool, and is only ever called by one thread at a time. It must be deterministic:
    no clock, randomness, thread or I/O; the same calls lead to the same decisions, also if all instants are
    later by the same amount. `copy.deepcopy` takes down its state: the copy goes on to decide as the original
    does.

    A policy that learns may have any of these methods. Before each `decide` they are called for what happened
    since the last one, in order, each with the instant at which it happened:

    * `arrived(now, seconds)`: an input (or a batch) came that wants a slot; 0 seconds.
    * `completed(now, seconds)`: one left the slot that it had held for `seconds`.
    * `ready(now, seconds)`: a container is ready, `seconds` after it was asked for.
    * `failed(now, seconds)`: a container failed to start or died, `seconds` after it was asked for.
    """

    def decide(self, snapshot: Snapshot) -> Decision:
        """Return what to do now. Called with non-decreasing `snapshot.now`; must not block or raise."""
        ...


def breaks_contract(decision: Decision, seen: Snapshot) -> bool:
    """Return whether a pool has to do otherwise than a decision says, by what the policy saw when it decided."""
    settings = seen.settings
    count = seen.ready + seen.starting
    demand = seen.running + seen.pending
    least = max(settings.min_containers, 1 if seen.pending else 0)
    start, less = max(0, decision.start), max(0, decision.cancel) + max(0, decision.stop)
    held = max(
        settings.min_containers,
        -(-demand // seen.target_inputs) + settings.buffer_containers if demand else 0,
    )
    return (
        decision.cancel > seen.starting
        or decision.stop > seen.idle
        or count + start < least
        or (less > 0 and count - less < least)
        or (settings.max_containers is not None and start > max(0, settings.max_containers - count))
        or decision.stop < min(seen.expired, count + start - decision.cancel - held)
    )


PolicyChoice: TypeAlias = "ScalingPolicy | Callable[[], ScalingPolicy]"
"""What `policy=` takes: a policy, of which each pool gets a copy, or what makes one for each pool."""


def policy_factory(choice: PolicyChoice) -> Callable[[], ScalingPolicy]:
    """Return what makes a policy for each pool.

    Raises:
        InvalidError: If `choice` is neither a policy nor to be called.
    """
    if hasattr(choice, "decide") and not isinstance(choice, type):
        prototype = cast("ScalingPolicy", choice)
        return lambda: deepcopy(prototype)
    if callable(choice):
        return choice
    raise InvalidError(
        f"policy must be a policy, which has a method decide, or be called to make one for each pool; not {choice!r}"
    )


def takes_events(policy: ScalingPolicy) -> bool:
    """Return whether `policy` has a method for any event."""
    return any(hasattr(policy, name) for name in get_args(EventName))


def with_events(policy: ScalingPolicy) -> Callable[[Snapshot], Decision]:
    """Return what asks `policy`, telling it of the events first if it has methods for any."""
    if not takes_events(policy):
        return policy.decide
    methods = {name: getattr(policy, name, _ignore) for name in get_args(EventName)}
    decide = policy.decide

    def tell_and_ask(snapshot: Snapshot) -> Decision:
        for name, now, seconds in snapshot.events:
            methods[name](now, seconds)
        return decide(snapshot)

    return tell_and_ask


def _ignore(now: float, seconds: float) -> None:
    """Take an event for which a policy has no method."""


# A container that would be busy for less than this before the backlog is gone is not worth its start: ten times
# what the start of a thread takes.
_WORTHWHILE_S: Final = 0.001
UNNOTICED_S: Final = 0.01
"""A backlog that running slots drain within this time, in seconds, starts nothing.

Longer, and inputs wait noticeably longer than if each had started a container: see benchmarks/scaling.
"""
# So many containers find out how long inputs take, before more are started for inputs of unknown length.
_TRIAL: Final = 8
# Starts under way are called off beyond this factor and summand of what is needed: with fewer to spare, the next peak
# waits for starts that were called off. See benchmarks/scaling.
_SPARE_FACTOR: Final = 2
_SPARE: Final = 10


def _balance(wanted: int, demand: int, count: int) -> str:
    return f"{counted(wanted, 'container')} for {counted(demand, 'input')}, have {count}"


@frozen
class WindowPolicy:
    """The default policy: predictable from the settings alone.

    * An input that finds no free target capacity starts a container at once; starts under way count
      as capacity.
    * A container is stopped when it has been idle for `scaledown_window`.
    * While the function is active, `buffer_containers` more than needed are kept.
    * A backlog that the running slots will have drained in a moment (10 ms, or before a container could be ready)
      starts nothing, and a longer one only as many as have work for such a moment.
    * Starts whose backlog has gone are called off, save as many again as are needed, and ten.
    * As long as no input has ended, and nothing is known of their length, eight containers start at once and
      the others `worthwhile_s` later.

    Args:
        worthwhile_s: A backlog starts further containers only while each of them would have at least
            this much work to do (or one start-up time, if that is longer, up to 10 ms), in seconds.
    """

    worthwhile_s: float = field(default=_WORTHWHILE_S)

    def __attrs_post_init__(self) -> None:
        check_seconds("worthwhile_s", self.worthwhile_s)

    def decide(self, snapshot: Snapshot) -> Decision:
        """Return what to do now; see the class for the rules."""
        s = snapshot
        settings = s.settings
        count = s.ready + s.starting
        unserved = self._unserved(s)
        demand = s.running + s.pending
        needed = math.ceil((s.running + unserved) / s.target_inputs)
        wanted = max(needed, settings.min_containers)
        if demand and settings.buffer_containers:
            wanted = max(wanted, math.ceil(demand / s.target_inputs) + settings.buffer_containers)
        if s.pending:
            # Invariant: demand never waits for nobody, whatever the estimates say.
            wanted = max(wanted, 1)
        held = wanted * s.target_inputs < demand
        if settings.max_containers is not None and wanted >= settings.max_containers:
            # Nothing more could be started for what is left.
            wanted, held = settings.max_containers, False
        if wanted > count:
            return Decision(
                start=wanted - count,
                wake_at=self._wake_at(s, held, idle_left=s.idle, count=wanted, floor=wanted),
                held=held,
                reason=_balance(wanted, demand, count),
            )
        cancel = 0
        if s.starting and not s.pending:
            spare = wanted if s.service_s is None and not demand else _SPARE_FACTOR * wanted + _SPARE
            cancel = max(0, min(s.starting, count - spare))
        stop = min(s.expired, count - cancel - wanted)
        left = count - cancel - stop
        what = []
        if cancel:
            what.append(f"call off {counted(cancel, 'start')}")
        if stop:
            what.append(f"stop {stop} idle")
        if what:
            reason = f"{_balance(wanted, demand, count)}: {', '.join(what)}"
        else:
            reason = "backlog left to the running slots" if held else "enough"
        return Decision(
            cancel=cancel,
            stop=stop,
            wake_at=self._wake_at(s, held, idle_left=s.idle - stop, count=left, floor=wanted),
            held=held,
            reason=reason,
        )

    def _unserved(self, s: Snapshot) -> int:
        """Return how many pending inputs are worth further slots.

        Of the backlog, what the running slots will drain in a moment is no concern of a new container. The
        rest should be drained within about one further such moment: slots beyond that would hardly work
        before they fall idle.
        """
        if not s.pending:
            return 0
        if s.service_s is None:
            # What is under way, or runs, for longer than it takes to find out: then inputs are not that short.
            tried = s.quiet_s
            if s.oldest_start_since is not None:
                tried = max(tried, s.now - s.oldest_start_since)
            # Half of it will do: the instant of the next look is a rounded sum.
            return s.pending if 2 * tried >= self.worthwhile_s else min(s.pending, _TRIAL * s.target_inputs)
        # If nothing has ended for longer than inputs used to take, believe what is seen now.
        service = max(s.service_s, s.quiet_s)
        if service <= 0:
            return 0
        left = s.pending - s.running * min(s.startup_s, UNNOTICED_S) / service
        if left <= 0:
            return 0
        moment = max(self.worthwhile_s, min(s.startup_s, UNNOTICED_S))
        return min(math.ceil(left), math.ceil(left * service / moment))

    def _wake_at(self, s: Snapshot, held: bool, *, idle_left: int, count: int, floor: int) -> float | None:
        """Return when to look again: when a held backlog should have moved, when an idle one expires."""
        instants: list[float] = []
        if held:
            moment = max(min(s.startup_s, UNNOTICED_S), s.service_s or 0.0, self.worthwhile_s)
            instants.append(s.now + (self.worthwhile_s if s.service_s is None else moment))
        if idle_left > 0 and s.oldest_idle_since is not None:
            window = s.settings.scaledown_window
            if count > floor:
                instants.append(s.oldest_idle_since + window)
            elif floor > s.settings.min_containers:
                # Held by demand that may go down without a container falling idle: look now and then.
                instants.append(s.now + window)
        # An instant that has passed belongs to what this decision stops, and the pool looks again after a stop.
        later = [instant for instant in instants if instant > s.now]
        return min(later, default=None)

# SPDX-License-Identifier: Apache-2.0
"""What must be true of a pool, whatever happens to it: each a function, named for its claim.

A function looks at the ledger, which says what happened, and at the pool, which says what it believes; it returns
what is wrong, in words, or None. `DATA` are asked after every step of the data path, `CONTROL` after every other,
`STILL` at every instant at which nothing is left to be done, before the clock moves, `END` after the app has closed.
Those of `STILL` are about what the actors and the containers make of a step of the pool, which takes them steps of
their own: an input that has a slot is on its way to its container, a request for attention on its way to its actor.
What can only be seen while a step is written down, the ledger says itself, under these names:
`each_input_has_one_outcome`, `each_attempt_runs_once`, `no_slot_above_max_inputs`, `oldest_pending_first`,
`only_ready_containers_take_inputs`, `limits_hold`, `a_container_stops_once`, `a_closed_pool_accepts_nothing`,
`starts_wait_out_the_backoff`; and what only callers see, the simulation: `answers_reach_their_callers`,
`a_map_yields_each_index_once_and_in_order`, `each_caller_is_answered`, `whoever_leaves_leaves_nothing_behind`,
`nothing_fails_unseen`. That the same seed
gives the same log is for whoever runs it twice.
"""

from __future__ import annotations

from collections.abc import Callable
from operator import attrgetter
from typing import Final

from actorpool._core import _effects as fx
from actorpool._core._container import Phase
from actorpool._core._input import CANCELLED, FAILED, RUNNING, SUCCEEDED, TIMED_OUT
from actorpool._core._pool import Pool

from ._simulation_ledger import Ledger

__all__ = ["CONTROL", "DATA", "END", "STILL", "Invariant", "Violation", "complaint", "watch_idleness"]

Invariant = Callable[[Ledger, Pool], str | None]
"""Returns what is wrong, or None."""


class Violation(AssertionError):
    """An invariant does not hold; the message begins with its name."""

    @property
    def invariant(self) -> str:
        """The name of the invariant."""
        return str(self.args[0]).partition(":")[0]


# -- after every step ------------------------------------------------------------------------------------------


def a_free_slot_and_a_pending_input_never_coexist(ledger: Ledger, pool: Pool) -> str | None:
    """Whoever is pending takes a slot in the step in which it becomes free."""
    free = ledger.ready * ledger.max_inputs - ledger.held
    if free and ledger.pending:
        return f"{free} slots of {ledger.ready} ready containers are free, and {len(ledger.pending)} inputs are pending"
    return None


def running_and_pending_are_what_the_pool_says(ledger: Ledger, pool: Pool) -> str | None:
    """The amounts that limits are about are those that were seen."""
    waiting = len(ledger.pending) + len(ledger.delayed)
    if (pool.running, pool.pending) == (len(ledger.running), waiting):
        return None
    return (
        f"the pool says that {pool.running} inputs run and {pool.pending} are pending; "
        f"it is {len(ledger.running)} and {waiting}"
    )


# What `counts` says, in the order in which `_amounts` counts it.
_STATISTICS: Final = (
    "containers",
    "starting",
    "ready",
    "idle",
    "draining",
    "running",
    "abandoned",
    "pending",
    "free_slots",
    "arrived",
    "refused",
    "succeeded",
    "failed",
    "cancelled",
    "timed_out",
    "starts",
)
_said: Final = attrgetter(*_STATISTICS)


def _amounts(ledger: Ledger) -> tuple[int, ...]:
    phases = list(ledger.phases.values())
    starting, ready = phases.count(Phase.STARTING), phases.count(Phase.READY)
    busy = [
        slots
        for container, slots in ledger.slots.items()
        if slots and ledger.phases[container] is Phase.READY
    ]
    outcomes, running = ledger.outcomes, ledger.running
    return (
        len(phases),
        starting,
        ready,
        ready - len(busy),
        len(phases) - starting - ready,
        len(running),
        sum(input not in ledger.open for input in running),
        len(ledger.pending) + len(ledger.delayed),
        ready * ledger.max_inputs - sum(map(len, busy)),
        len(ledger.open) + sum(outcomes),
        ledger.refused,
        outcomes[SUCCEEDED],
        outcomes[FAILED],
        outcomes[CANCELLED],
        outcomes[TIMED_OUT],
        ledger.started,
    )


def statistics_are_true(ledger: Ledger, pool: Pool) -> str | None:
    """Every count is the truth."""
    counts = pool.counts(ledger.clock())
    expected, said = _amounts(ledger), _said(counts)
    if expected == said:
        return None
    differing = (
        f"{name} is {amount}, and statistics say {found}"
        for name, amount, found in zip(_STATISTICS, expected, said, strict=True)
        if amount != found
    )
    return next(differing)


def containers_are_within_max(ledger: Ledger, pool: Pool) -> str | None:
    """No more containers count than `max_containers`, also when it was lowered; and starts leave room for ends."""
    if ledger.settings.max_containers is None:
        return None
    most, size = ledger.settings.max_containers, ledger.size
    if size > most:
        return f"{size} containers are starting or ready, and max_containers is {most}"
    if any(isinstance(effect, fx.StartContainer) for effect in ledger.effects):
        stopping = sum(phase is Phase.STOPPING for phase in ledger.phases.values())
        if size + stopping > most:
            return f"a container was started beside {stopping} that stop and {size - 1} more; max_containers is {most}"
    return None


def containers_are_not_stopped_below_min(ledger: Ledger, pool: Pool) -> str | None:
    """A decision leaves at least `min_containers`."""
    if not isinstance(ledger.event, fx.Decided):
        return None
    stops = sum(isinstance(effect, fx.StopContainer) for effect in ledger.effects)
    if stops and ledger.size < ledger.settings.min_containers:
        return f"a decision has left {ledger.size} containers, and min_containers is {ledger.settings.min_containers}"
    return None


def busy_containers_are_not_stopped_by_scaledown(ledger: Ledger, pool: Pool) -> str | None:
    """A decision, and a change of the settings, stop containers in whose slots nothing is."""
    if isinstance(ledger.event, fx.Decided | fx.SettingsChanged | fx.Crowded):
        for effect in ledger.effects:
            if isinstance(effect, fx.StopContainer) and ledger.slots.get(effect.container):
                return (
                    f"container {effect.container.number} was told to stop by {type(ledger.event).__name__} "
                    f"with {len(ledger.slots[effect.container])} inputs in it"
                )
    return None


def demand_is_not_left_without_containers(ledger: Ledger, pool: Pool) -> str | None:
    """A decision does not take the last container from what is pending."""
    if not isinstance(ledger.event, fx.Decided) or ledger.size or not ledger.pending:
        return None
    stopped = [effect for effect in ledger.effects if isinstance(effect, fx.StopContainer)]
    return (
        f"the last container was stopped, and {len(ledger.pending)} inputs are pending" if stopped else None
    )


def closing_waits_for_what_was_accepted(ledger: Ledger, pool: Pool) -> str | None:
    """An app that drains cancels nothing before its grace is over."""
    if isinstance(ledger.event, fx.Aborted) and ledger.open_when_aborted and not ledger.hurried:
        now = ledger.clock()
        if ledger.aborted_at == now < ledger.drain_until:
            return (
                f"{ledger.open_when_aborted} inputs were cancelled {ledger.drain_until - now:g} s before the end of "
                "the drain"
            )
    return None


# -- when nothing is left to be done -----------------------------------------------------------------------------


def no_request_for_attention_is_forgotten(ledger: Ledger, pool: Pool) -> str | None:
    """What the machine asks of its actors, they have done."""
    if pool.attention and not ledger.over:
        return f"attention is still {pool.attention:#b}"
    return None


def no_container_idles_past_its_window(ledger: Ledger, pool: Pool) -> str | None:
    """An idle container stops when its window is over, unless the minimum or the buffer holds it."""
    if ledger.may_go_since is None or ledger.over:
        return None
    now, window = ledger.clock(), ledger.settings.scaledown_window
    for container, phase in ledger.phases.items():
        if phase is Phase.READY and not ledger.slots[container]:
            since = max(ledger.idle_since[container], ledger.may_go_since)
            if now >= since + window:
                ago = f"{now - since:g} s ago"
                return f"container {container.number} could have gone {ago}, and the window is {window:g} s"
    return None


def whoever_waits_is_waited_for(ledger: Ledger, pool: Pool) -> str | None:
    """What is pending has a container that is starting, busy or making way, or a pause after failed starts."""
    if not ledger.pending or ledger.phases or ledger.clock() < ledger.paused_until:
        return None
    return f"{len(ledger.pending)} inputs are pending, there is no container, and none may not be started"


def the_minimum_is_kept_warm(ledger: Ledger, pool: Pool) -> str | None:
    """There are `min_containers`, but for a pause after failed starts, and for those that must stop first."""
    if ledger.over or ledger.clock() < ledger.paused_until:
        return None
    stopping = sum(phase is Phase.STOPPING for phase in ledger.phases.values())
    if ledger.size + stopping < ledger.settings.min_containers:
        return f"there are {ledger.size} containers, and min_containers is {ledger.settings.min_containers}"
    return None


def drained_containers_stop(ledger: Ledger, pool: Pool) -> str | None:
    """A container that takes nothing more and in which nothing runs has been told to stop."""
    for container, phase in ledger.phases.items():
        if phase is Phase.DRAINING and not ledger.slots[container]:
            return f"container {container.number} has drained, and was not told to stop"
    return None


def what_holds_a_slot_runs(ledger: Ledger, pool: Pool) -> str | None:
    """Containers run what the pool believes they run, each input once, and nothing else."""
    for container, slots in ledger.slots.items():
        inside = ledger.inside.get(container.number)
        executing = {} if inside is None else inside.executing
        if len(slots) != len(executing) or any(input not in executing for input in slots):
            numbers = [[ledger.number(input) for input in inputs] for inputs in (slots, executing)]
            return f"container {container.number} holds slots for {numbers[0]}, and runs {numbers[1]}"
    return None


def timeouts_are_kept(ledger: Ledger, pool: Pool) -> str | None:
    """No input whose outcome is open runs longer than the timeout."""
    latest = ledger.clock() - ledger.plan.timeout
    for container in ledger.slots:
        for input, began in container.inputs.items():
            if input.state == RUNNING and began <= latest:
                return f"input {ledger.number(input)} has run for {ledger.clock() - began:g} s"
    return None


# -- after the app has closed --------------------------------------------------------------------------------


def nothing_is_left(ledger: Ledger, pool: Pool) -> str | None:
    """There is no container, nothing pending, and nothing in a slot."""
    left = {
        "containers": len(ledger.phases),
        "pending inputs": len(ledger.pending) + len(ledger.delayed),
        "inputs in slots": len(ledger.running),
    }
    found = [f"{count} {what}" for what, count in left.items() if count]
    return f"after the close there are still {', '.join(found)}" if found else None


def each_accepted_input_has_an_outcome(ledger: Ledger, pool: Pool) -> str | None:
    """No accepted input is left without one."""
    if not ledger.open:
        return None
    return f"{len(ledger.open)} inputs have no outcome, the first of them {ledger.number(next(iter(ledger.open)))}"


DATA: Final[tuple[Invariant, ...]] = (
    a_free_slot_and_a_pending_input_never_coexist,
    running_and_pending_are_what_the_pool_says,
    statistics_are_true,
)
CONTROL: Final[tuple[Invariant, ...]] = (
    *DATA,
    containers_are_within_max,
    containers_are_not_stopped_below_min,
    busy_containers_are_not_stopped_by_scaledown,
    demand_is_not_left_without_containers,
    closing_waits_for_what_was_accepted,
)
STILL: Final[tuple[Invariant, ...]] = (
    no_request_for_attention_is_forgotten,
    no_container_idles_past_its_window,
    whoever_waits_is_waited_for,
    the_minimum_is_kept_warm,
    drained_containers_stop,
    what_holds_a_slot_runs,
    timeouts_are_kept,
)
END: Final[tuple[Invariant, ...]] = (nothing_is_left, each_accepted_input_has_an_outcome, statistics_are_true)


def watch_idleness(ledger: Ledger) -> None:
    """Note since when there have been more containers than are held."""
    if ledger.size <= ledger.due_to_stay:
        ledger.may_go_since = None
    elif ledger.may_go_since is None:
        ledger.may_go_since = ledger.clock()


def complaint(invariants: tuple[Invariant, ...], ledger: Ledger, pool: Pool) -> str | None:
    """Return what is wrong, after the name of what does not hold; None if all is well."""
    if ledger.complaints:
        return ledger.complaints[0]
    for invariant in invariants:
        wrong = invariant(ledger, pool)
        if wrong is not None:
            return f"{invariant.__name__}: {wrong}"
    return None

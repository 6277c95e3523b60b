# SPDX-License-Identifier: Apache-2.0
"""`check_policy`: whether a scaling policy does what `ScalingPolicy` says, in simulated pools.

How well it scales is not judged here; `actorpool.simulate` compares costs and waiting.

Theory of operation. The policy drives simulated pools under several workloads and settings, and what it saw is kept.
Then other policies from the same factory see the same again: alone, in turns with another pool's, with every instant
moved, and as a copy taken half way. All of them must decide the same.
"""

from __future__ import annotations

import copy
import math
from collections.abc import Callable, Iterator
from typing import Final, get_args

from attrs import define, evolve, field

from actorpool._core._config import AutoscalerSettings, Concurrency
from actorpool._core._scaling import (
    Decision,
    EventName,
    PolicyChoice,
    ScalingPolicy,
    Snapshot,
    policy_factory,
    with_events,
)
from actorpool.exception import Error
from actorpool.simulate import MapCall, Report, Trace, simulate
from actorpool.testing._conformance import ConformanceError

__all__ = ["check_policy"]

Ask = Callable[[Snapshot], Decision]

# Every instant of the workloads is a multiple of a power of two, so that adding this one rounds nothing.
_SHIFT_S: Final = 2.0**16
_STEADY_S: Final = 60.0
# Forty times as many as the default policy takes in the longest of the workloads.
_MOST_LOOKS: Final = 5_000


@define(eq=False)
class _Kept:
    """A policy, and what it saw and decided; it has the methods for events that the policy has."""

    policy: ScalingPolicy
    where: str
    seen: list[tuple[Snapshot, Decision]] = field(factory=list, init=False)
    _ask: Ask = field(init=False)

    def __attrs_post_init__(self) -> None:
        self._ask = with_events(self.policy)

    def decide(self, snapshot: Snapshot) -> Decision:
        """Ask the policy, telling it of the events first."""
        try:
            decision = self._ask(snapshot)
        except Exception as error:
            raise ConformanceError(
                "decide does not raise", f"it raised {error!r} {self.where}, when it saw {snapshot}"
            ) from error
        _check_decision(decision, snapshot)
        self.seen.append((snapshot, decision))
        if len(self.seen) > _MOST_LOOKS:
            raise ConformanceError(
                "the pool comes to rest",
                f"it was asked {_MOST_LOOKS} times {self.where}, the last time at {snapshot.now} s",
            )
        return decision


@define(eq=False)
class _KeptWithEvents(_Kept):
    """The same for a policy that takes events; with it, the pool records them in its snapshots."""

    def arrived(self, now: float, seconds: float) -> None:
        """Taken from the snapshot, with all the others."""


def check_policy(choice: PolicyChoice, *, strict: bool = False) -> None:
    """Check that a scaling policy does what `ScalingPolicy` says; return if it does.

    It drives simulated pools, a few hundred inputs under a dozen settings: a matter of a second or two.

    * A decision is a `Decision` of whole numbers that are not negative, and names later instants only.
    * It does not raise.
    * The same calls lead to the same decisions: no clock, randomness or global state; two pools do not disturb each
      other; and it does not matter when the clock began.
    * `copy.deepcopy` takes down its state.
    * Every input is served, and the policy is not asked for ever.

    Args:
        choice: A policy or what makes one, as for `App(policy=...)`.
        strict: Whether more is wanted: that the pool never has to overrule it, because it keeps minimum, maximum,
            buffer and window by itself, and that under a constant load no container is started after the first minute.

    Raises:
        ConformanceError: If it does not; the message says which rule is broken, and where.
        InvalidError: If `choice` is no policy.
    """
    make = policy_factory(choice)
    for name, trace, settings, concurrency in _cases():
        kept, report = _drive(make, name, trace, settings, concurrency)
        _check_report(report, name, strict=strict)
        _check_replays(make, kept.seen, name)
    if strict:
        _check_steady(make)


# -- the pools ------------------------------------------------------------------------------------------


def _drive(
    make: Callable[[], ScalingPolicy],
    name: str,
    trace: Trace,
    settings: AutoscalerSettings,
    concurrency: Concurrency,
) -> tuple[_Kept, Report]:
    policy = make()
    kind = _KeptWithEvents if any(hasattr(policy, name) for name in get_args(EventName)) else _Kept
    kept = kind(policy, f"in the pool of {name}")
    try:
        report = simulate(
            trace,
            settings,
            max_inputs=concurrency.max_inputs,
            target_inputs=concurrency.target_inputs,
            policy=lambda: kept,
        )
    except Error as error:
        raise ConformanceError("the pool comes to rest", f"{error} (in the pool of {name})") from error
    return kept, report


def _cases() -> Iterator[tuple[str, Trace, AutoscalerSettings, Concurrency]]:
    """Yield workloads with settings, each with a name."""
    one, several = Concurrency(), Concurrency(max_inputs=4, target_inputs=3)
    bounded = AutoscalerSettings(max_containers=3, scaledown_window=4.0)
    warm = AutoscalerSettings(min_containers=1, buffer_containers=2, scaledown_window=2.0)
    for startup_s in (0.0, 0.25, 8.0):
        for trace in (_bursts(startup_s), _trickle(startup_s)):
            yield f"{trace.name}, no bounds", trace, AutoscalerSettings(scaledown_window=8.0), one
            yield f"{trace.name}, at most three containers", trace, bounded, several
            yield f"{trace.name}, a minimum and a buffer", trace, warm, one
    yield "short inputs in maps", _maps(), bounded, several


def _bursts(startup_s: float) -> Trace:
    """Twenty inputs at once, a pause, five, a longer pause, one: each takes up to two seconds."""
    arrivals = [0.0] * 20 + [16.0 + number / 4 for number in range(5)] + [64.0]
    services = [0.25 + number % 8 / 4 for number in range(len(arrivals))]
    return _trace(f"bursts, {startup_s:g} s to start", arrivals, services, startup_s)


def _trickle(startup_s: float) -> Trace:
    """An input now and then, at growing distances, of a quarter of a second; then some long ones together."""
    arrivals = [number * number / 64 for number in range(40)] + [32.0, 32.0, 32.5]
    services = [0.25] * 40 + [8.0] * 3
    both = sorted(zip(arrivals, services, strict=True))
    return _trace(
        f"a trickle, {startup_s:g} s to start", [a for a, _ in both], [s for _, s in both], startup_s
    )


def _trace(name: str, arrivals: list[float], services: list[float], startup_s: float) -> Trace:
    return Trace(name=name, arrivals=arrivals, services=services, startups=[startup_s], duration_s=128.0)


def _maps() -> Trace:
    calls = (MapCall(inputs=100, in_flight=10), MapCall(inputs=50, pause_s=4.0, in_flight=50))
    return Trace(name="maps", services=[1 / 64] * 150, startups=[0.125], callers=(calls,), duration_s=16.0)


# -- the rules ------------------------------------------------------------------------------------------


def _check_decision(decision: object, snapshot: Snapshot) -> None:
    rule = "a decision is one that can be carried out"
    if not isinstance(decision, Decision):
        raise ConformanceError(rule, f"decide returned {decision!r}, which is no Decision")
    for name in ("start", "cancel", "stop"):
        _check_whole(rule, name, getattr(decision, name))
    if decision.wake_above is not None:
        _check_whole(rule, "wake_above", decision.wake_above)
    idle = decision.wake_idle_s
    if idle is not None and not 0 <= idle <= math.inf:
        raise ConformanceError(
            rule, f"wake_idle_s is {idle!r}; it is None or a number of seconds of at least 0"
        )
    at = decision.wake_at
    if at is not None and not at > snapshot.now:
        raise ConformanceError(rule, f"wake_at is {at!r} at {snapshot.now!r}; it is None or later than now")


def _check_whole(rule: str, name: str, value: object) -> None:
    if not isinstance(value, int) or isinstance(value, bool) or value < 0:
        raise ConformanceError(rule, f"{name} is {value!r}; it is a whole number of at least 0")


def _check_report(report: Report, name: str, *, strict: bool) -> None:
    if report.inputs != len(report.trace):
        raise ConformanceError(
            "every input is served", f"{report.inputs} of {len(report.trace)} were, in the pool of {name}"
        )
    if strict and report.overruled:
        raise ConformanceError(
            "the pool never has to overrule it",
            f"it was overruled {report.overruled} times in the pool of {name} ({report.settings})",
        )


def _check_replays(
    make: Callable[[], ScalingPolicy], seen: list[tuple[Snapshot, Decision]], name: str
) -> None:
    where = f"in the pool of {name}"
    again = with_events(make())
    for number, (snapshot, decision) in enumerate(seen):
        _compare("the same calls lead to the same decisions", decision, again(snapshot), number, where)
    moved = with_events(make())
    for number, (snapshot, decision) in enumerate(seen):
        expected = decision
        if decision.wake_at is not None:
            expected = evolve(decision, wake_at=decision.wake_at + _SHIFT_S)
        _compare("it does not matter when the clock began", expected, moved(_later(snapshot)), number, where)
    # In turns with another pool, which is a few looks ahead.
    mine, other = with_events(make()), with_events(make())
    for number, (snapshot, decision) in enumerate(seen):
        other(seen[min(number + 3, len(seen) - 1)][0])
        _compare("two pools do not disturb each other", decision, mine(snapshot), number, where)
    half = len(seen) // 2
    policy = make()
    ask = with_events(policy)
    for snapshot, _ in seen[:half]:
        ask(snapshot)
    copied = with_events(copy.deepcopy(policy))
    for number, (snapshot, decision) in enumerate(seen[half:], half):
        _compare("copy.deepcopy takes down its state", decision, copied(snapshot), number, where)
    for number, (snapshot, decision) in enumerate(seen[half:], half):
        _compare("a copy has a state of its own", decision, ask(snapshot), number, where)


def _later(snapshot: Snapshot) -> Snapshot:
    idle, start = snapshot.oldest_idle_since, snapshot.oldest_start_since
    return evolve(
        snapshot,
        now=snapshot.now + _SHIFT_S,
        oldest_idle_since=None if idle is None else idle + _SHIFT_S,
        oldest_start_since=None if start is None else start + _SHIFT_S,
        events=tuple((event, now + _SHIFT_S, seconds) for event, now, seconds in snapshot.events),
    )


def _compare(rule: str, expected: Decision, got: Decision, number: int, where: str) -> None:
    same_wake = expected.wake_at == got.wake_at or (
        expected.wake_at is not None
        and got.wake_at is not None
        and math.isclose(expected.wake_at, got.wake_at, rel_tol=1e-9, abs_tol=1e-6)
    )
    if not same_wake or evolve(expected, wake_at=None) != evolve(got, wake_at=None):
        raise ConformanceError(rule, f"look {number} {where} led to {got}, and before to {expected}")


def _check_steady(make: Callable[[], ScalingPolicy]) -> None:
    """Keep six inputs running, for two and a half minutes."""
    calls = (MapCall(inputs=600, in_flight=6),)
    for startup_s in (0.0, 2.0):
        trace = Trace(
            name="steady", services=[1.5] * 600, startups=[startup_s], callers=(calls,), duration_s=150.0
        )
        settings = AutoscalerSettings(scaledown_window=16.0)
        kept, _ = _drive(make, "a constant load", trace, settings, Concurrency())
        late = [
            snapshot.now
            for snapshot, decision in kept.seen
            if decision.start and _STEADY_S < snapshot.now < trace.duration_s - 10
        ]
        if late:
            raise ConformanceError(
                "under a constant load the number of containers comes to rest",
                f"six inputs run at a time, and {len(late)} decisions after the first minute still start containers, "
                f"the first at {late[0]:g} s",
            )

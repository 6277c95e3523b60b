# SPDX-License-Identifier: Apache-2.0
"""`AdaptivePolicy`: as few container-seconds and as little waiting as can be had together (pure).

It differs from the default policy in three ways, all inside the user's bounds: `scaledown_window` is the longest
idle time, so a container that is unlikely to be needed again soon stops earlier; containers are started ahead
of demand, one start-up time of it or shortly before it comes back by the clock; a backlog starts as many as pay.

Theory of operation. Events keep up to date what is known of the pool: mean start-up and service time, the rate of
arrivals, the gaps of each level of demand (`_levels`). A decision is then a comparison of a few numbers, whatever
the number of containers: how many are wanted (for demand, for the forecast, for the backlog, for the
clock), and whether the container that has idled for the longest has done so for as long as it is worth. One is
stopped at a time; the pool asks again after each.
"""

from __future__ import annotations

import math
from typing import TYPE_CHECKING, Final

from actorpool._core._config import check_factor
from actorpool._core._counts import counted
from actorpool._core._levels import Levels, Prices
from actorpool._core._scaling import UNNOTICED_S, Decision
from actorpool._core._tuning import Tuning

if TYPE_CHECKING:
    from actorpool._core._scaling import Snapshot

__all__ = ["AdaptivePolicy"]

# How much the newest sample counts against a mean.
_STARTUP_WEIGHT: Final = 0.1
_SERVICE_WEIGHT: Final = 0.01
# The rate is taken over about this time at least, and over a quarter of it to see a rise.
_SHORTEST_SPAN_S: Final = 1.0
_RISE: Final = 1.3
# So many arrivals are no rate yet.
_UNSURE, _UNSURE_RISE = 1.0, 3.0
# At most three standard deviations are started ahead.
_MOST_WORTH: Final = 740.0
_SURPRISE: Final = 4.0
_SHORTEST_LOOK_S: Final = 0.01


class AdaptivePolicy:
    """A policy that learns: lower cost and shorter waits than the default, less predictable from the settings.

    `scaledown_window` is the longest time that a container idles; it may be stopped earlier. The window also says
    what a user gives for not waiting: with a longer one, more is kept and started ahead.

    Args:
        eagerness: What waiting is worth: above 1 costs more container-seconds and waits less, below 1 the other way
            round (> 0; 0.1 to 10 are sensible).
        tuning: Constants that were found by measuring; not for users.

    Raises:
        InvalidError: If `eagerness` is not above 0.
    """

    __slots__ = (
        "_barred_level",
        "_barred_rate",
        "_counter",
        "_counter_at",
        "_demand",
        "_levels",
        "_longest_startup_s",
        "_max_inputs",
        "_priced_for",
        "_prices",
        "_rise_counter",
        "_served",
        "_service_s",
        "_slots",
        "_startup_s",
        "_target",
        "_tuning",
        "eagerness",
    )

    def __init__(self, eagerness: float = 1.0, *, tuning: Tuning | None = None) -> None:
        self.eagerness: float = check_factor("eagerness", eagerness)
        self._tuning = Tuning() if tuning is None else tuning
        self._levels = Levels(self._tuning)
        self._demand = 0
        # As of the last decision, and what has become ready since.
        self._slots = 0
        self._max_inputs = self._target = 1
        # None before the first sample.
        self._startup_s: float | None = None
        self._longest_startup_s = 0.0
        self._service_s: float | None = None
        self._served = 0
        # Arrivals, each counting the less the longer ago it was, and likewise over a quarter of that time.
        self._counter = 0.0
        self._rise_counter = 0.0
        self._counter_at = 0.0
        self._prices = Prices(60.0, 0.0, 0.0, 0.0, 0.0)
        self._priced_for: tuple[float, float] | None = None
        # From this level on, forecasts start nothing until the rate has risen above that one.
        self._barred_level = 0
        self._barred_rate = 0.0

    # -- events ----------------------------------------------------------------------------------

    def arrived(self, now: float, seconds: float) -> None:
        """Learn from an arrival."""
        self._fade(now)
        self._counter += 1.0
        self._rise_counter += 1.0
        self._demand += 1
        self._levels.move(self._level(), now, self._prices)

    def completed(self, now: float, seconds: float) -> None:
        """Learn how long an input held its slot."""
        self._served += 1
        before = self._service_s or 0.0
        self._service_s = before + (seconds - before) * max(_SERVICE_WEIGHT, 1 / self._served)
        if self._demand:
            self._demand -= 1
            self._levels.move(self._level(), now, self._prices)

    def ready(self, now: float, seconds: float) -> None:
        """Learn from a start."""
        self._slots += self._max_inputs
        before = self._startup_s
        self._startup_s = seconds if before is None else before + (seconds - before) * _STARTUP_WEIGHT
        self._longest_startup_s += max(
            seconds - self._longest_startup_s,
            (self._startup_s - self._longest_startup_s) * _STARTUP_WEIGHT / 2,
        )

    # -- decisions -------------------------------------------------------------------------------

    def decide(self, snapshot: Snapshot) -> Decision:
        """Return what to do now; see the module for how."""
        s = snapshot
        self._fade(s.now)
        self._reprice(s)
        self._target, self._max_inputs = s.target_inputs, s.max_inputs
        self._slots = s.ready * s.max_inputs
        demand = self._demand = s.running + s.pending
        level = -(-demand // s.target_inputs)
        usual = self._level()
        self._levels.move(usual, s.now, self._prices)
        settings = s.settings
        most = math.inf if settings.max_containers is None else settings.max_containers
        count = s.ready + s.starting
        held = max(settings.min_containers, level + settings.buffer_containers if demand else 0)
        rate = self._rate()
        ahead = self._forecast(s, rate, self._tuning.up_margin)
        # What has idled for the whole window may not be kept for a forecast; nor is it started again right away.
        overdue = max(0, min(s.expired, count - held))
        if overdue and ahead > count - overdue:
            self._barred_level, self._barred_rate = count - overdue + 1, rate
        if ahead >= self._barred_level > 0 and rate <= _RISE * self._barred_rate:
            ahead = self._barred_level - 1
        else:
            self._barred_level = 0
        warm = self._levels.warm(s.now)
        backlog = self._for_backlog(s, rate)
        least = max(settings.min_containers, 1 if s.pending else 0)
        if settings.buffer_containers and demand:
            least = held
        running_level = -(-s.running // s.target_inputs)
        if (
            usual <= count
            or not backlog
            or self._levels.plan(usual, self._prices).keep_s <= self._prices.settled_s
        ):
            usual = 0
        wanted = int(min(most, max(least, running_level, ahead, warm, backlog, usual)))
        if wanted > count:
            start = int(min(wanted - count + overdue, most - count))
            return Decision(
                start=start,
                stop=overdue,
                wake_at=self._wake_at(s, wanted, None),
                wake_above=self._wake_above(s, wanted),
                reason=self._start_reason(s, wanted, count, level, ahead, warm, backlog),
            )
        expected = max(min(most, self._forecast(s, rate, 0.0)), warm, least)
        cancel = 0
        if s.starting and not s.pending:
            needed = max(expected, running_level)
            cancel = int(max(0, min(s.starting, count - needed - self._tuning.spare)))
        left = count - cancel
        stop, idle_until, reason = self._stop(s, left, held, expected, min(overdue, left))
        if cancel:
            reason = f"call off {counted(cancel, 'start')}: {counted(demand, 'input')}, have {count}" + (
                f"; {reason}" if reason else ""
            )
        return Decision(
            cancel=cancel,
            stop=stop,
            wake_at=self._wake_at(s, left - stop, idle_until),
            wake_above=self._wake_above(s, left - stop),
            wake_idle_s=self._levels.plan(left - stop, self._prices).keep_s,
            reason=reason or "enough",
        )

    def _stop(
        self, s: Snapshot, count: int, held: int, expected: float, overdue: int
    ) -> tuple[int, float | None, str]:
        """Return how many idle containers to stop, or else when to look at the oldest again, and why."""
        if overdue:
            return overdue, None, f"{overdue} idle for the whole window"
        if s.oldest_idle_since is None or count <= s.settings.min_containers:
            return 0, None, ""
        window = s.settings.scaledown_window
        if count <= held:
            return 0, s.now + window, ""
        ends = s.oldest_idle_since + window
        if count <= expected:
            # Kept for what is expected: look now and then whether it still is.
            return 0, min(ends, s.now + max(0.5, self._prices.startup_s)), ""
        keep_s = self._levels.plan(count, self._prices).keep_s
        due = s.oldest_idle_since + keep_s
        if due > s.now:
            return 0, min(due, ends), ""
        return (
            1,
            None,
            f"idle for {keep_s:.3g} s; keeping {counted(count, 'container')} for longer does not pay",
        )

    def _for_backlog(self, s: Snapshot, rate: float) -> int:
        """Return how many containers pay because of the inputs that wait."""
        if not s.pending:
            return 0
        if self._service_s is None:
            return -(-(s.running + s.pending) // s.target_inputs)
        service, startup = self._service_s, self._prices.startup_s
        if s.quiet_s > _SURPRISE * service:
            # Nothing has ended for much longer than inputs used to take: believe what is seen now.
            service = s.quiet_s
        if s.pending * service <= UNNOTICED_S * s.running:
            return 0
        # What comes until a container is ready, less what those that are ready will have done by then.
        slots = s.ready * s.max_inputs
        drift = startup * rate - (startup / service * slots if service else 0.0)
        net = s.pending + min(2.0 * s.pending, drift)
        if net <= 0:
            # Those that are ready will have drained it before; but what is wanted again and again is worth a start.
            return s.ready
        cost = 2 * (2 * startup + self._prices.settled_s)
        share = min(1.0, math.sqrt(self._tuning.burst_price * self.eagerness * service / cost))
        return s.ready + math.ceil(net * share / s.max_inputs)

    def _forecast(self, s: Snapshot, rate: float, margin: float) -> int:
        """Return how many containers demand will probably want one start-up time from now.

        Args:
            s: What there is.
            rate: Arrivals per second.
            margin: Standard deviations added to what prices ask for.
        """
        service = self._service_s
        startup = self._prices.startup_s
        demand = s.running + s.pending
        if not service:
            return 0
        stays = math.exp(-startup / service)
        fresh = rate * service * (1 - stays)
        mean = demand * stays + fresh
        if mean <= 0:
            return 0
        deviation = math.sqrt(demand * stays * (1 - stays) + fresh)
        worth = rate * min(startup, service * s.target_inputs / max(1.0, mean)) * self._prices.wait
        # The newsvendor's share of the demands to be met.
        deviations = 0.0 if worth <= 2 else _quantile(1 / min(worth, _MOST_WORTH))
        peak = math.floor(mean + max(0.0, deviations + margin) * deviation + 0.5)
        return max(math.floor(mean / s.target_inputs + 0.5), -(-peak // s.max_inputs))

    def _level(self) -> int:
        """Return the level of demand, in containers.

        A backlog that piles up behind starts counts for no more than what runs: most of it would not be there, had
        the containers been.
        """
        demand = self._demand
        running = min(demand, self._slots)
        return -(-min(demand, 2 * running + self._target) // self._target)

    # -- estimates -------------------------------------------------------------------------------

    def _span_s(self) -> float:
        return max(_SHORTEST_SPAN_S, self._startup_s or 0.0, 2 * (self._service_s or 0.0))

    def _fade(self, now: float) -> None:
        passed = now - self._counter_at
        if passed > 0:
            stays = math.exp(-passed / self._span_s())
            self._counter *= stays
            self._rise_counter *= stays**4
        self._counter_at = now

    def _rate(self) -> float:
        """Return arrivals per second; a rise is seen at once, single arrivals are no rate."""
        span = self._span_s()
        rate = max(0.0, self._counter - _UNSURE) / span
        rise = max(0.0, self._rise_counter - _UNSURE_RISE) * 4 / span
        return rise if rise > _RISE * rate else rate

    def _reprice(self, s: Snapshot) -> None:
        if self._startup_s is None and s.startup_s > 0:
            startup = s.startup_s
        else:
            startup = self._startup_s or 0.0
        window = s.settings.scaledown_window
        if self._priced_for == (startup, window):
            return
        self._priced_for = (startup, window)
        tuning = self._tuning
        self._prices = Prices(
            window_s=window,
            startup_s=startup,
            longest_startup_s=max(startup, self._longest_startup_s),
            start=startup + tuning.start_price * window,
            wait=tuning.wait_price * self.eagerness * window,
        )

    # -- when to look again ----------------------------------------------------------------------

    def _wake_at(self, s: Snapshot, count: float, idle_until: float | None) -> float | None:
        instants = [*self._levels.instants(s.now)]
        if idle_until is not None:
            instants.append(idle_until)
        if s.pending and (s.settings.max_containers is None or count < s.settings.max_containers):
            # A backlog that was left to running slots should have moved by then.
            moved = max(_SHORTEST_LOOK_S, self._prices.startup_s, self._service_s or 0.0, s.quiet_s)
            instants.append(s.now + moved)
        later = [instant for instant in instants if instant > s.now]
        return min(later, default=None)

    def _wake_above(self, s: Snapshot, count: int) -> int:
        """Return how many running inputs are reason to look whether more are to come: half of the free slots taken."""
        free = count * s.target_inputs - s.running
        return s.running + max(1, free // 2)

    def _start_reason(
        self, s: Snapshot, wanted: int, count: int, level: int, ahead: int, warm: int, backlog: int
    ) -> str:
        if backlog >= wanted:
            why = f"{counted(s.pending, 'input')} waiting"
        elif warm >= wanted:
            why = "demand comes back by the clock"
        elif ahead >= wanted:
            why = f"expected within a start-up of {self._prices.startup_s:.3g} s"
        else:
            why = f"{counted(s.running + s.pending, 'input')}"
        return f"{counted(wanted, 'container')}, have {count}: {why}"


def _quantile(beyond: float) -> float:
    """Return how many standard deviations a normal variable exceeds with this probability (0 to 0.5).

    By formula 26.2.23 of Abramowitz and Stegun, to half a thousandth.
    """
    t = math.sqrt(-2 * math.log(beyond))
    above = 2.515517 + t * (0.802853 + t * 0.010328)
    below = 1 + t * (1.432788 + t * (0.189269 + t * 0.001308))
    return t - above / below

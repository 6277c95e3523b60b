# SPDX-License-Identifier: Apache-2.0
"""Synthetic workloads: one function per family, each a trace drawn from a seed.

The same name, seed and options give the same trace on every machine. The figures in each family are chosen so that
the settings matter: a few containers at a time, windows that some gaps exceed, start-ups that can be felt.
"""

from __future__ import annotations

import math
import random
from collections.abc import Callable, Iterator
from typing import Final

from actorpool._core._config import AutoscalerSettings, Concurrency, check_factor, check_seconds
from actorpool.exception import InvalidError

from ._trace import MapCall, Trace

__all__ = ["FAMILIES", "family"]

_DAY_S: Final = 86_400.0
# So many start-up times are drawn for a trace; further starts draw from these.
_STARTUPS: Final = 1_000
_STARTUP_SPREAD: Final = 0.2

Draw = random.Random
# What a family makes of its draws: arrivals and services, or only services, with maps; the rest of a trace.
_Make = Callable[[Draw, float], Trace]


def family(name: str, seed: int = 0, *, startup_s: float | None = None, load: float = 1.0) -> Trace:
    """Return a synthetic workload.

    Args:
        name: One of `FAMILIES`.
        seed: Another one gives another workload of the same kind.
        startup_s: Median start-up time of a container in seconds (0 too); default the family's own. About 0
            stands for tasks, 0.01 for threads, 0.3 for processes, 5 for models that are loaded.
        load: Multiplies how many inputs come (> 0).

    Raises:
        InvalidError: If there is no such family, or a value is out of range.
    """
    if name not in FAMILIES:
        raise InvalidError(f"there is no family '{name}'; there are {', '.join(FAMILIES)}")
    check_factor("load", load)
    default_s, make = _MAKERS[name]
    median_s = default_s if startup_s is None else check_seconds("startup_s", startup_s, zero=True)
    trace = make(random.Random(f"{name} {seed}"), load)
    return Trace(
        name=f"{name} seed {seed}",
        arrivals=trace.arrivals,
        services=trace.services,
        startups=_startups(random.Random(f"{name} {seed} start-ups"), median_s),
        callers=trace.callers,
        duration_s=trace.duration_s,
        settings=trace.settings,
        concurrency=trace.concurrency,
    )


def _startups(draw: Draw, median_s: float) -> list[float]:
    if not median_s:
        return [0.0]
    return [draw.lognormvariate(math.log(median_s), _STARTUP_SPREAD) for _ in range(_STARTUPS)]


def _poisson(draw: Draw, rate: Callable[[float], float], most: float, duration_s: float) -> Iterator[float]:
    """Yield instants at a rate that changes over time and never exceeds `most`."""
    now = draw.expovariate(most)
    while now < duration_s:
        if draw.random() * most < rate(now):
            yield now
        now += draw.expovariate(most)


def _made(
    arrivals: list[float],
    service: Callable[[], float],
    *,
    duration_s: float,
    window_s: float = 60.0,
    max_containers: int | None = None,
    max_inputs: int = 1,
    target_inputs: int = 0,
) -> Trace:
    return Trace(
        arrivals=arrivals,
        services=[service() for _ in arrivals],
        startups=[0.0],
        duration_s=duration_s,
        settings=AutoscalerSettings(scaledown_window=window_s, max_containers=max_containers),
        concurrency=Concurrency(max_inputs, target_inputs),
    )


def _steady(draw: Draw, load: float) -> Trace:
    rate = 8.0 * load
    arrivals = [*_poisson(draw, lambda _: rate, rate, 1_800.0)]
    return _made(arrivals, lambda: draw.expovariate(1 / 0.5), duration_s=1_860.0)


def _bimodal(draw: Draw, load: float) -> Trace:
    rate = 6.0 * load
    arrivals = [*_poisson(draw, lambda _: rate, rate, 1_800.0)]

    def service() -> float:
        mean = 3.0 if draw.random() < 0.1 else 0.05
        return draw.uniform(0.5 * mean, 1.5 * mean)

    return _made(arrivals, service, duration_s=1_860.0)


def _slots(draw: Draw, load: float) -> Trace:
    rate = 40.0 * load

    def at(now: float) -> float:
        return rate * (1 + 0.6 * math.sin(2 * math.pi * now / 450.0))

    arrivals = [*_poisson(draw, at, 1.6 * rate, 900.0)]
    return _made(
        arrivals,
        lambda: draw.lognormvariate(math.log(4.0), 0.5),
        duration_s=960.0,
        max_inputs=100,
        target_inputs=80,
    )


def _bursts(draw: Draw, load: float) -> Trace:
    """Quiet and loud phases of random lengths, within which inputs come at random."""
    arrivals: list[float] = []
    now, loud, until = 0.0, False, 3_600.0
    while now < until:
        length = draw.expovariate(1 / (15.0 if loud else 75.0))
        rate = (12.0 if loud else 0.1) * load
        end = min(until, now + length)
        instant = now + draw.expovariate(rate)
        while instant < end:
            arrivals.append(instant)
            instant += draw.expovariate(rate)
        now, loud = end, not loud
    return _made(arrivals, lambda: draw.expovariate(1 / 0.4), duration_s=until + 60.0)


def _diurnal(draw: Draw, load: float) -> Trace:
    """A day of 1,000,000 inputs: a night, a busy noon, and small waves on top."""
    mean = 1_000_000 / _DAY_S * load

    def at(now: float) -> float:
        day = 1 - 0.85 * math.cos(2 * math.pi * now / _DAY_S)
        return mean * day * (1 + 0.1 * math.sin(2 * math.pi * now / 1_200.0))

    arrivals = [*_poisson(draw, at, 1.85 * 1.1 * mean, _DAY_S)]
    return _made(arrivals, lambda: draw.lognormvariate(math.log(0.3), 0.7), duration_s=_DAY_S)


def _cron(draw: Draw, load: float) -> Trace:
    """A batch of inputs every five minutes, a few seconds early or late, and hardly anything between."""
    arrivals: list[float] = []
    for minute in range(5, 240, 5):
        begin = 60.0 * minute + draw.uniform(-2.0, 2.0)
        arrivals += [
            begin + draw.expovariate(1 / 0.5) for _ in range(max(1, round(draw.uniform(10, 30) * load)))
        ]
    arrivals += _poisson(draw, lambda _: load / 300.0, load / 300.0, 14_400.0)
    return _made(sorted(arrivals), lambda: draw.lognormvariate(0.0, 0.4), duration_s=14_460.0)


def _flash(draw: Draw, load: float) -> Trace:
    """Little to do, and then, within seconds, forty times as much, which ebbs away over minutes."""
    begin, base = draw.uniform(300.0, 600.0), 1.0 * load

    def at(now: float) -> float:
        if now < begin:
            return base
        since = now - begin
        return base * (1 + 40.0 * min(1.0, since / 5.0) * math.exp(-since / 90.0))

    arrivals = [*_poisson(draw, at, 41.0 * base, 1_500.0)]
    return _made(arrivals, lambda: draw.expovariate(1 / 0.6), duration_s=1_620.0)


def _rare(draw: Draw, load: float) -> Trace:
    """A day of a function that is called seldom and irregularly, with heavy tails, as most of them are."""
    arrivals: list[float] = []
    now = draw.expovariate(load / 300.0)
    while now < _DAY_S:
        # A visit is one input, or a handful soon after each other.
        instant = now
        for _ in range(min(50, int(draw.paretovariate(1.6)))):
            arrivals.append(instant)
            instant += draw.lognormvariate(math.log(2.0), 1.0)
        now += draw.lognormvariate(math.log(150.0), 1.6) / load
    arrivals = sorted(instant for instant in arrivals if instant < _DAY_S)
    return _made(arrivals, lambda: min(60.0, draw.lognormvariate(math.log(0.6), 1.4)), duration_s=_DAY_S)


def _maps(draw: Draw, load: float) -> Trace:
    """One caller that maps over 1,000 inputs again and again, thinking in between."""
    calls = tuple(
        MapCall(inputs=max(1, round(1_000 * load)), pause_s=draw.expovariate(1 / 40.0)) for _ in range(20)
    )
    count = sum(call.inputs for call in calls)
    return Trace(
        services=[draw.lognormvariate(math.log(0.1), 0.5) for _ in range(count)],
        startups=[0.0],
        callers=(calls,),
        settings=AutoscalerSettings(scaledown_window=30.0, max_containers=50),
    )


# {name: median start-up time in seconds, maker}
_MAKERS: Final[dict[str, tuple[float, _Make]]] = {
    "steady": (0.3, _steady),
    "bimodal": (0.3, _bimodal),
    "slots": (5.0, _slots),
    "bursts-light": (0.01, _bursts),
    "bursts-heavy": (5.0, _bursts),
    "diurnal": (5.0, _diurnal),
    "cron": (5.0, _cron),
    "flash": (0.3, _flash),
    "rare": (0.3, _rare),
    "maps": (0.01, _maps),
}

FAMILIES: Final[tuple[str, ...]] = tuple(_MAKERS)
"""The names of the synthetic workloads: steady load; short and long inputs; 100 slots per container; bursts with
light and with heavy starts; a day of 1,000,000 inputs; batches by the clock; a flash crowd; a function called seldom
and irregularly; maps of 1,000 in a closed loop."""

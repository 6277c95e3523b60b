# SPDX-License-Identifier: Apache-2.0
"""Hypothesis strategies for what a pool is given: settings, workloads, faults, and whole plans of simulations.

They need the extra `actorpool[testing]`; importing this module loads hypothesis. Smaller means simpler: fewer inputs,
fewer containers, shorter times, no faults. So what Hypothesis shrinks a failure to is what a person would want to read.
"""

from __future__ import annotations

import functools
from collections.abc import Sequence
from typing import TypeVar

from attrs import evolve, fields
from hypothesis import strategies as st

from actorpool._core._config import AutoscalerSettings, Concurrency, Limits
from actorpool.simulate import MapCall, Trace
from actorpool.testing._faults import ContainerFate, Faults, InputFate
from actorpool.testing._simulation_draw import _Draw
from actorpool.testing._simulation_plan import Action, Plan, PoolPlan

__all__ = [
    "concurrencies",
    "container_fates",
    "faults",
    "input_fates",
    "limits",
    "plans",
    "settings",
    "traces",
]

T = TypeVar("T")


def settings(*, max_containers: int = 8) -> st.SearchStrategy[AutoscalerSettings]:
    """Return a strategy for autoscaler settings; all are valid.

    Args:
        max_containers: The largest maximum and minimum (at least 1, inclusive); without a maximum there is no bound.
    """

    def made(bounds: tuple[int, int | None], buffer: int, window: float) -> AutoscalerSettings:
        return AutoscalerSettings(*bounds, buffer, window)

    counts = st.integers(0, max_containers)
    bounds = counts.flatmap(
        lambda least: st.tuples(st.just(least), st.none() | st.integers(max(least, 1), max_containers))
    )
    return st.builds(made, bounds, st.integers(0, 3), _seconds(least=1 / 64, most=120.0))


def concurrencies(*, max_inputs: int = 8) -> st.SearchStrategy[Concurrency]:
    """Return a strategy for how many inputs a container takes, up to `max_inputs`, and aims for."""
    most = st.integers(1, max_inputs)
    return most.flatmap(lambda most: st.builds(Concurrency, st.just(most), st.integers(0, most)))


def limits(*, most: int = 50) -> st.SearchStrategy[Limits]:
    """Return a strategy for limits of a function that are low enough to be reached, up to `most` inputs."""
    count = st.integers(1, most)
    return st.builds(
        Limits,
        max_pending=count,
        max_inputs=count,
        max_spawned=count,
        map_in_flight=count,
        map_buffered=count,
    )


def traces(*, max_inputs: int = 50, max_startup_s: float = 8.0) -> st.SearchStrategy[Trace]:
    """Return a strategy for workloads of `actorpool.simulate`: inputs that come by themselves, and maps.

    Args:
        max_inputs: Most inputs that come by themselves, and in each map.
        max_startup_s: The longest start of a container, in seconds.
    """
    calls = st.builds(
        MapCall,
        inputs=st.integers(1, max(1, max_inputs)),
        pause_s=_seconds(most=30.0),
        in_flight=st.integers(1, 20),
    )

    @st.composite
    def drawn(draw: st.DrawFn) -> Trace:
        gaps = draw(st.lists(_seconds(most=60.0), max_size=max_inputs))
        arrivals = [sum(gaps[: number + 1]) for number in range(len(gaps))]
        callers = draw(st.lists(st.lists(calls, min_size=1, max_size=3), max_size=2))
        count = len(arrivals) + sum(call.inputs for made in callers for call in made)
        services = draw(st.lists(_seconds(most=4.0), min_size=1, max_size=8))
        return Trace(
            arrivals=arrivals,
            # Over and over: what varies is what matters, not how often.
            services=[services[number % len(services)] for number in range(count)],
            startups=draw(st.lists(_seconds(most=max_startup_s), min_size=1, max_size=4)),
            callers=tuple(tuple(made) for made in callers),
        )

    return drawn()


def faults(*, most: float = 0.2) -> st.SearchStrategy[Faults]:
    """Return a strategy for how often each fault of a simulation occurs, up to the probability `most`."""
    names = [attribute.name for attribute in fields(Faults)]
    return st.fixed_dictionaries({}, optional={name: st.floats(0.0, most) for name in names}).map(_faults)


def _faults(given: dict[str, float]) -> Faults:
    return Faults(**{**{attribute.name: 0.0 for attribute in fields(Faults)}, **given})


def container_fates(faults: Faults | None = None) -> st.SearchStrategy[ContainerFate]:
    """Return a strategy for what becomes of a container, of the faults whose probability is above 0; default all."""
    given = Faults() if faults is None else faults

    @st.composite
    def drawn(draw: st.DrawFn) -> ContainerFate:
        return _Drawn(draw, given).container()

    return drawn()


def input_fates(faults: Faults | None = None) -> st.SearchStrategy[InputFate]:
    """Return a strategy for what becomes of an input of an asynchronous function; of faults as `container_fates`."""
    given = Faults() if faults is None else faults

    @st.composite
    def drawn(draw: st.DrawFn) -> InputFate:
        return _Drawn(draw, given).fate(PoolPlan())

    return drawn()


def plans(faults: Faults | None = None, *, max_actions: int = 30) -> st.SearchStrategy[Plan]:
    """Return a strategy for plans of a `Simulation`: the pool, what is done to it, and what goes wrong.

    Args:
        faults: The faults that may occur are those whose probability is above 0; default all.
        max_actions: About how many things are done to the pool, at most.

    Example:
        >>> @given(plans())
        ... def test_no_invariant_is_broken(plan):
        ...     Simulation(plan=plan).run()
    """
    given = Faults() if faults is None else faults

    @st.composite
    def step(draw: st.DrawFn, pool: PoolPlan) -> tuple[float, Action]:
        drawn = _Drawn(draw, given)
        return drawn.pause(), drawn.action(0.0, pool)

    @st.composite
    def drawn(draw: st.DrawFn) -> Plan:
        drawn = _Drawn(draw, given)
        pool = drawn.pool()
        now = 0.0
        actions: list[Action] = []
        for pause, action in draw(st.lists(step(pool), max_size=max_actions)):
            now += pause
            actions.append(evolve(action, at=now))
        if actions and drawn.chance(given.closed_early):
            closed = draw(st.integers(0, len(actions) - 1))
            actions.insert(closed, Action(at=actions[closed].at, kind="close", drain=drawn.chance(0.5)))
        return Plan(
            seed=draw(st.integers(0, 1_000)),
            pool=pool,
            containers=tuple(draw(st.lists(container_fates(given), min_size=1, max_size=8))),
            actions=tuple(actions),
            drain=drawn.chance(0.5),
        )

    return drawn()


def _seconds(*, least: float = 0.0, most: float) -> st.SearchStrategy[float]:
    """Return a strategy for times that add up without rounding."""
    return st.integers(int(least * 64), int(most * 64)).map(lambda ticks: ticks / 64)


class _Drawn(_Draw):
    """Draws what a seed would, from Hypothesis, whose simplest choices are the first one, and no fault."""

    def __init__(self, draw: st.DrawFn, faults: Faults) -> None:
        super().__init__(0, faults)
        self._draw = draw

    def chance(self, probability: float) -> bool:
        return probability > 0 and (probability >= 1 or self._draw(st.booleans()))

    def one(self, choices: Sequence[T]) -> T:
        chosen: T = self._draw(_one_of(tuple(choices), tuple(map(type, choices))))
        return chosen


@functools.cache
def _one_of(choices: tuple[T, ...], types: tuple[type, ...]) -> st.SearchStrategy[T]:
    """Return a strategy for these choices, one for equal choices of equal types: 0 is not 0.0."""
    return st.sampled_from(choices)

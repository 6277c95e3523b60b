# SPDX-License-Identifier: Apache-2.0
"""Draws the plan of a simulation from a seed and from how often each fault is to occur.

The same seed and faults give the same plan in every process: nothing but `random.Random` of the seed is asked.
Instants and durations are multiples of 1/64 s, so that sums are exact and things often happen in the same instant.
"""

from __future__ import annotations

import random
from collections.abc import Sequence
from typing import TypeVar

from ._faults import ContainerFate, ExitFate, Faults, InputFate, StartFate
from ._simulation_plan import Action, Plan, PoolPlan, VictimState

__all__ = ["draw_plan"]

T = TypeVar("T")


def draw_plan(seed: int, faults: Faults, actions: int) -> Plan:
    """Return the plan of `seed`, in which about so many actions are done."""
    return _Draw(seed, faults).plan(actions)


class _Draw:
    def __init__(self, seed: int, faults: Faults) -> None:
        # Seeded with a string, so that the order of steps, which is seeded with the number, has nothing to do with it.
        self._random = random.Random(f"plan {seed}")
        self._seed = seed
        self._faults = faults

    def chance(self, probability: float) -> bool:
        return self._random.random() < probability

    def one(self, choices: Sequence[T]) -> T:
        return choices[int(self._random.random() * len(choices))]

    def plan(self, count: int) -> Plan:
        pool = self.pool()
        now = 0.0
        actions: list[Action] = []
        for _ in range(count):
            now += self.pause()
            actions.append(self.action(now, pool))
        if self.chance(self._faults.closed_early):
            actions.append(Action(at=now, kind="close", drain=self.chance(0.6)))
            for _ in range(self.one((0, 1, 5))):
                now += self.one((0.0, 0.125, 1.0))
                actions.append(self.action(now, pool))
            if self.chance(0.3):
                actions.append(Action(at=now, kind="close", drain=False))
        containers = tuple(self.container() for _ in range(16))
        return Plan(
            seed=self._seed, pool=pool, containers=containers, actions=tuple(actions), drain=self.chance(0.7)
        )

    def pool(self) -> PoolPlan:
        minimum, maximum, buffer, window = self.settings()
        max_inputs = self.one((1, 1, 1, 2, 3, 8))
        full = self.chance(self._faults.backlog_full)
        return PoolPlan(
            min_containers=minimum,
            max_containers=maximum,
            buffer_containers=buffer,
            scaledown_window=window,
            max_inputs=max_inputs,
            target_inputs=self.one((0, 0, 1, max_inputs)),
            max_pending=self.one((2, 5, 20)) if full else 2_000,
            max_in_all=self.one((4, 12, 40)) if full else 25_000,
            max_spawned=self.one((1, 4)) if full else 1_000_000,
            map_in_flight=self.one((1, 5, 20)),
            map_buffered=self.one((1, 5, 1_000)),
            timeout=self.one((2.0, 30.0, 300.0)),
            startup_timeout=self.one((4.0, 30.0)),
            retries=self.one((0, 0, 1, 3)),
            recycle_after=self.one((None, None, None, 1, 5)),
            recycle_age=self.one((None, None, None, 20.0)),
            grace_s=self.one((0.0, 1.0, 5.0)),
            is_async=self.chance(0.8),
            inside="local" if self.chance(0.3) else "fake",
        )

    def settings(self) -> tuple[int, int | None, int, float]:
        minimum = self.one((0, 0, 0, 1, 2))
        maximum = self.one((None, 1, 1, 2, 4, 6))
        if maximum is not None:
            maximum = max(minimum, maximum)
        return minimum, maximum, self.one((0, 0, 1, 2)), self.one((0.5, 2.0, 10.0, 60.0))

    def pause(self) -> float:
        # About ten seconds in the mean: bursts, and lulls after which containers have gone.
        return self.one(
            (0.0, 0.0, 0.0, 0.0, 1 / 64, 0.125, 0.125, 0.5, 0.5, 1.0, 2.0, 3.0, 5.0, 10.0, 30.0, 100.0, 120.0)
        )

    def container(self) -> ContainerFate:
        faults = self._faults
        start: StartFate = "succeeds"
        ways: tuple[tuple[StartFate, float], ...] = (
            ("fails", faults.start_fails),
            ("hangs", faults.start_hangs),
            ("enter hook raises", faults.enter_raises),
            ("enter hook hangs", faults.enter_hangs),
        )
        for way, probability in ways:
            if self.chance(probability):
                start = way
        end: ExitFate = "returns"
        if self.chance(faults.exit_raises):
            end = "raises"
        elif self.chance(faults.exit_hangs):
            end = "hangs"
        return ContainerFate(
            start=start,
            start_s=self.one((2.0, 3.0, 8.0))
            if self.chance(faults.slow_start)
            else self.one((0.0, 0.0, 1 / 64, 0.5)),
            exit=end,
            exit_s=self.one((0.0, 0.0, 0.25, 3.0)),
            lives_s=self.one((0.0, 0.5, 5.0, 60.0)) if self.chance(faults.dies) else None,
            dies_stopping=self.chance(faults.dies_stopping),
        )

    def fate(self, pool: PoolPlan) -> InputFate:
        faults = self._faults
        return InputFate(
            service_s=self.one((0.0, 0.0, 1 / 64, 0.125, 0.125, 0.5, 1.0, 4.0)),
            fails=self.one((1, 2, 9)) if self.chance(faults.input_raises) else 0,
            hangs=pool.is_async and self.chance(faults.input_hangs),
            deaf_s=self.one((0.125, 2.0, 20.0)) if self.chance(faults.ignores_cancellation) else 0.0,
            late_s=self.one((1 / 64, 1.0, 10.0)) if self.chance(faults.late_result) else 0.0,
            calls=self.chance(0.1),
            kills=self.chance(faults.input_kills),
        )

    def fates(self, pool: PoolPlan) -> tuple[InputFate, ...]:
        return tuple(self.fate(pool) for _ in range(self.one((1, 2, 4))))

    def action(self, now: float, pool: PoolPlan) -> Action:
        faults = self._faults
        if self.chance(faults.caller_cancelled / 2):
            return Action(at=now, kind="cancel caller", index=self.one((0, 1, 5, 17)))
        if self.chance(faults.caller_cancelled / 2):
            return Action(at=now, kind="cancel call", index=self.one((0, 1, 5)), terminate=self.chance(0.3))
        if self.chance(faults.settings_changed):
            return Action(at=now, kind="settings", settings=self.settings())
        if self.chance(faults.kill):
            states: tuple[VictimState, ...] = ("starting", "idle", "busy", "busy", "draining")
            return Action(at=now, kind="kill", state=self.one(states), index=self.one((0, 1, 2)))
        if self.chance(faults.clock_jumps):
            return Action(at=now, kind="jump", seconds=self.one((0.25, 30.0, 600.0)))
        if self.chance(faults.caller_loop_closed):
            return Action(at=now, kind="close loop", loop=self.one((1, 2)))
        return self.work(now, pool)

    def work(self, now: float, pool: PoolPlan) -> Action:
        fates = self.fates(pool)
        loop = self.one((0, 0, 0, 0, 1, 2))
        patience_s = self.one((0.0, 0.25, 2.0)) if self.chance(self._faults.caller_cancelled) else None
        kind = self.one(("call", "call", "map", "map", "spawn"))
        if kind == "spawn":
            return Action(at=now, kind="spawn", count=self.one((1, 1, 4)), fates=fates, loop=loop)
        if kind == "call":
            count = self.one((1, 1, 1, 2, 5, 12))
            return Action(at=now, kind="call", count=count, fates=fates, loop=loop, patience_s=patience_s)
        return Action(
            at=now,
            kind="map",
            count=self.one((1, 5, 12, 20, 40)),
            fates=fates,
            loop=loop,
            patience_s=patience_s,
            ordered=self.chance(0.7),
            return_exceptions=self.chance(0.8),
            is_async=loop == 0 and self.chance(0.2),
            pace_s=self.one((0.0, 0.0, 0.0, 1 / 64, 0.5)),
            leaves_after=self.one((None, None, None, 0, 3)),
        )

# SPDX-License-Identifier: Apache-2.0
"""What holds of either policy in any pool, whatever happens in it: settings, loads, failures, changes, in any order."""

from __future__ import annotations

import math
from copy import deepcopy
from typing import Any

import pytest
from attrs import evolve, fields
from hypothesis import given, settings
from hypothesis import strategies as st

from actorpool._core import _effects as fx
from actorpool._core._adaptive import AdaptivePolicy
from actorpool._core._container import Container, Phase
from actorpool._core._input import Input
from actorpool._core._scaling import Decision, ScalingPolicy, Snapshot, WindowPolicy, with_events
from tests.core.pools import Rig

POLICIES = pytest.mark.parametrize("make", [WindowPolicy, AdaptivePolicy])
_EXAMPLES = 60
# The rig's timers have a grain of an eighth of a second; what falls due in between is late by less.
_GRAIN_S = 0.125


class World(Rig):
    """A pool under a policy, held to the contract after every step; containers exit as soon as they are told to."""

    def __init__(self, **options: Any) -> None:
        super().__init__(**options)
        self.seen: list[tuple[Snapshot, Decision]] = []
        self.submitted: list[Input] = []
        # Since when there are more containers than minimum and buffer hold.
        self.surplus_since = 0.0

    # -- the contract ----------------------------------------------------------------------------

    def tell(self, event: fx.Event) -> list[fx.Effect]:
        busy = {container for container in self.containers if container.inputs}
        effects = super().tell(event)
        stopped = [effect.container for effect in effects if isinstance(effect, fx.StopContainer)]
        if isinstance(event, fx.Decided):
            # I5: only idle containers and starts under way, each once; the machine refuses to stop one again.
            assert not busy.intersection(stopped)
        for container in stopped:
            super().tell(fx.ContainerExited(container))
        return effects

    def look(self) -> Decision:
        self.looks += 1
        snapshot = self.pool.snapshot(self.now)
        decision = self.decide_on(snapshot)
        self.seen.append((snapshot, decision))
        self.wake_at = decision.wake_at
        # I8: the next look is later.
        assert self.wake_at is None or self.now < self.wake_at < math.inf
        # I11: whole numbers, whatever the estimates.
        numbers = (decision.start, decision.cancel, decision.stop)
        assert all(type(number) is int and number >= 0 for number in numbers)
        assert decision.wake_idle_s is None or 0 < decision.wake_idle_s < math.inf
        overruled = self.pool.overruled
        self.tell(fx.Decided(decision, snapshot))
        # The policy keeps the contract by itself.
        assert overruled == self.pool.overruled, (snapshot, decision)
        return decision

    def check(self) -> None:
        pool = self.pool
        s = pool.settings
        size, counts = pool.size, pool.counts(self.now)
        most = math.inf if s.max_containers is None else s.max_containers
        # What runs in draining containers needs no others.
        demand = sum(len(container.inputs) for container in self.in_phase(Phase.READY)) + counts.pending
        needed = -(-demand // pool.concurrency.target)
        pausing = pool._failures.pausing(self.now) or pool._deaths.pausing(self.now)
        # I1
        assert size <= most
        if not pausing:
            # I2, I3, I6, I12
            assert size >= s.min_containers
            assert not counts.pending or size > 0
            if demand and s.buffer_containers:
                assert size >= min(most, needed + s.buffer_containers)
        held = max(s.min_containers, needed + s.buffer_containers if demand else 0)
        if size <= held:
            self.surplus_since = self.now
        # I4
        idle = [c.idle_since for c in self.in_phase(Phase.READY) if not c.inputs]
        if idle and size > held:
            since = max(min(idle), self.surplus_since)
            assert self.now - since <= s.scaledown_window + _GRAIN_S

    # -- what happens ----------------------------------------------------------------------------

    def pass_time(self, seconds: float) -> None:
        until = self.now + seconds
        while self.now < until:
            self.advance(min(0.5, until - self.now))
            self.check()

    def do(self, step: tuple[str, Any]) -> None:
        name, value = step
        starting = self.in_phase(Phase.STARTING)
        ready = self.in_phase(Phase.READY)
        if name == "submit":
            self.submitted = [input for input in self.submitted if not input.done] + self.many(value)
        elif name == "pass":
            self.pass_time(value)
        elif name == "start":
            for container in starting[:value]:
                self.ready(container)
        elif name == "end":
            for input in [input for container in ready for input in container.inputs][:value]:
                self.end(input)
        elif name == "fail" and starting:
            self.fail_start(starting[value % len(starting)])
        elif name == "die" and ready:
            self.exited(ready[value % len(ready)], OSError("killed"))
        elif name == "cancel":
            for input in [input for input in self.submitted if input.container is None][:value]:
                self.cancel(input)
        elif name == "change":
            self.change(**value)
        self.attend()
        self.check()

    def clear(self) -> None:
        """Let everything end."""
        for _ in range(400):
            for container in self.in_phase(Phase.STARTING):
                self.ready(container)
            for container in self.in_phase(Phase.READY, Phase.DRAINING):
                for input in list(container.inputs):
                    self.end(input)
            self.pass_time(0.5)
            if not self.pool.pending and not self.pool.running and not self.in_phase(Phase.STARTING):
                return
        raise AssertionError("inputs are stuck")


@st.composite
def bounds(draw: st.DrawFn) -> dict[str, Any]:
    least = draw(st.integers(0, 3))
    return {
        "min_containers": least,
        "max_containers": draw(st.none() | st.integers(max(1, least), 12)),
        "buffer_containers": draw(st.integers(0, 3)),
        "scaledown_window": draw(st.sampled_from([0.5, 4.0, 60.0])),
    }


def steps() -> st.SearchStrategy[list[tuple[str, Any]]]:
    few = st.integers(1, 6)
    return st.lists(
        st.tuples(st.just("submit"), st.integers(1, 30))
        | st.tuples(st.just("pass"), st.sampled_from([0.125, 0.5, 1.0, 5.0, 20.0, 70.0]))
        | st.tuples(st.just("start"), few)
        | st.tuples(st.just("end"), few)
        | st.tuples(st.just("fail"), few)
        | st.tuples(st.just("die"), few)
        | st.tuples(st.just("cancel"), st.integers(1, 30))
        | st.tuples(st.just("change"), bounds()),
        max_size=30,
    )


@st.composite
def worlds(draw: st.DrawFn, policy: ScalingPolicy) -> World:
    most = draw(st.sampled_from([1, 1, 2, 10]))
    return World(
        policy=policy,
        max_inputs=most,
        target_inputs=draw(st.integers(1, most)),
        startup_hint_s=draw(st.sampled_from([0.0, 0.25, 5.0])),
        **draw(bounds()),
    )


@POLICIES
@settings(max_examples=_EXAMPLES)
@given(data=st.data())
def test_the_contract_is_kept_and_the_policy_never_overruled(
    make: type[ScalingPolicy], data: st.DataObject
) -> None:
    """I1 to I6, I8, I11, I12, after every step; and I7 in the end."""
    world = data.draw(worlds(make()))
    world.attend()
    world.check()
    for step in data.draw(steps()):
        world.do(step)
    world.clear()
    # I7, after the longest time for which a clock is believed.
    world.pass_time(2 * world.now + 3 * world.pool.settings.scaledown_window)
    for container in world.in_phase(Phase.STARTING):
        world.ready(container)
    world.pass_time(2 * world.pool.settings.scaledown_window)
    assert world.pool.settings.min_containers == world.pool.size


@POLICIES
@settings(max_examples=_EXAMPLES)
@given(data=st.data())
def test_the_same_history_leads_to_the_same_decisions(make: type[ScalingPolicy], data: st.DataObject) -> None:
    """I9 and I10: also from a copy taken on the way, and at another time."""
    world = data.draw(worlds(make()))
    for step in data.draw(steps()):
        world.do(step)
    fresh, later = make(), make()
    ask, ask_later = with_events(fresh), with_events(later)
    half = len(world.seen) // 2
    for number, (snapshot, decision) in enumerate(world.seen):
        if number == half:
            fresh = deepcopy(fresh)
            ask = with_events(fresh)
        assert decision == ask(snapshot)
        # A power of two, so that multiples of an eighth stay exact.
        _same_later(decision, ask_later(_shifted(snapshot, 2.0**20)), 2.0**20)


def _shifted(s: Snapshot, by: float) -> Snapshot:
    def later(instant: float | None) -> float | None:
        return None if instant is None else instant + by

    return evolve(
        s,
        now=s.now + by,
        oldest_idle_since=later(s.oldest_idle_since),
        oldest_start_since=later(s.oldest_start_since),
        events=tuple((name, now + by, seconds) for name, now, seconds in s.events),
    )


def _same_later(first: Decision, second: Decision, by: float) -> None:
    for name in (field.name for field in fields(Decision)):
        one, other = getattr(first, name), getattr(second, name)
        if name == "wake_at" and one is not None:
            assert other == pytest.approx(one + by, abs=1e-6)
        else:
            assert one == other


@POLICIES
def test_estimates_survive_inputs_and_starts_that_take_no_time_and_hours_of_silence(
    make: type[ScalingPolicy],
) -> None:
    """I11."""
    world = World(policy=make(), scaledown_window=60.0)
    for pause in (0.0, 0.0, 1e5, 0.0, 1e7, 0.125, 1e9):
        for _ in range(20):
            world.many(3)
            world.attend()
            while world.pool.pending or world.pool.running:
                _all_at_once(world)
        world.advance(pause)
        world.check()


def _all_at_once(world: World) -> None:
    for container in world.in_phase(Phase.STARTING):
        world.ready(container)
    held: list[Container] = world.in_phase(Phase.READY)
    for container in held:
        for input in list(container.inputs):
            world.end(input)
    world.attend()


@POLICIES
def test_a_start_that_failed_is_tried_again_after_a_pause_while_there_is_demand(
    make: type[ScalingPolicy],
) -> None:
    """I12."""
    world = World(policy=make())
    world.submit()
    world.attend()
    (container,) = world.in_phase(Phase.STARTING)
    world.fail_start(container)
    world.attend()
    assert [] == world.in_phase(Phase.STARTING)
    world.advance(0.125)
    assert 1 == len(world.in_phase(Phase.STARTING))

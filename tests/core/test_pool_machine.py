# SPDX-License-Identifier: Apache-2.0
"""Any history of a pool, under the default policy and under one that decides at random, against the naive model.

Instants are multiples of an eighth of a second, so that they are exact and a history can be shifted in time.
"""

from __future__ import annotations

from collections.abc import Callable
from itertools import cycle
from typing import Any

from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, initialize, precondition, rule

from actorpool._core import _effects as fx
from actorpool._core._config import Limits, Restart
from actorpool._core._container import Container, Phase
from actorpool._core._input import CANCELLED, FAILED, RUNNING, SUCCEEDED, Input
from actorpool._core._scaling import Decision, Snapshot, WindowPolicy
from actorpool.exception import ClosedError, DeadlockError, InputCancellation, ResourceExhaustedError
from tests.core.pool_checked import CheckedPool, replay
from tests.core.pools import Rig


def consistent(settings: dict[str, Any]) -> bool:
    return settings["max_containers"] is None or settings["min_containers"] <= settings["max_containers"]


EACH_SETTING: dict[str, st.SearchStrategy[Any]] = {
    "min_containers": st.integers(0, 3),
    "max_containers": st.none() | st.integers(1, 5),
    "buffer_containers": st.integers(0, 2),
    "scaledown_window": st.sampled_from([0.5, 2.0, 10.0]),
}
SETTINGS = st.fixed_dictionaries(EACH_SETTING).filter(consistent)
# start, cancel, stop, seconds until the next look, held
DECISIONS = st.tuples(
    st.sampled_from([0, 0, 1, 2, 3, -1]),
    st.sampled_from([0, 0, 1, 2, -1]),
    st.sampled_from([0, 0, 0, 1, 2, -1]),
    st.sampled_from([None, None, 0.125, 1.0, 30.0]),
    st.booleans(),
)
DISTURBANCES = ["change"] * 20 + ["crowd", "spread"] * 4 + ["close", "abort", "shut down"]
ENDS: list[Callable[[], tuple[int, object]]] = [
    lambda: (SUCCEEDED, "result"),
    lambda: (FAILED, ValueError("user's")),
    lambda: (FAILED, InputCancellation()),
    lambda: (CANCELLED, None),
]


MOVABLE: list[Callable[[Input], bool]] = [lambda _: True, lambda _: False, lambda input: input.spawned]


class Hostile:
    """Decides what it was told to, whatever it sees."""

    def __init__(self, decisions: list[tuple[int, int, int, float | None, bool]]) -> None:
        self.decisions = cycle(decisions)

    def decide(self, snapshot: Snapshot) -> Decision:
        start, cancel, stop, wait, held = next(self.decisions)
        wake_at = None if wait is None else snapshot.now + wait
        return Decision(start=start, cancel=cancel, stop=stop, wake_at=wake_at, held=held)


class PoolMachine(RuleBasedStateMachine):
    """A shell that does what it must, but in any order and as late as it may."""

    hostile: bool
    rig: Rig
    pool: CheckedPool

    @initialize(
        settings=SETTINGS,
        inputs=st.tuples(st.integers(1, 3), st.integers(0, 3)),
        limits=st.builds(
            Limits,
            max_pending=st.integers(1, 6),
            max_inputs=st.integers(1, 16),
            max_spawned=st.integers(1, 6),
        ),
        timeout=st.none() | st.sampled_from([0.25, 2.0]),
        retries=st.sampled_from([None, None, 1, 2]),
        recycle_after=st.none() | st.integers(1, 3),
        decisions=st.lists(DECISIONS, min_size=1, max_size=5),
    )
    def begin(
        self, settings: dict[str, Any], inputs: tuple[int, int], decisions: list, **options: Any
    ) -> None:
        self.rig = Rig(
            kind=CheckedPool,
            policy=Hostile(decisions) if self.hostile else WindowPolicy(),
            max_inputs=inputs[0],
            target_inputs=min(inputs),
            restart=Restart(initial_delay_s=0.125, max_delay_s=1.0),
            grace_s=1.0,
            **options,
            **self.bounded(settings),
        )
        assert isinstance(self.rig.pool, CheckedPool)
        self.pool = self.rig.pool
        self.model = self.pool.model
        self.accepted: list[Input] = []
        self.pending_look: fx.Decided | None = None
        self.waiters = 0
        self.pool.check(self.rig.now)

    def bounded(self, settings: dict[str, Any]) -> dict[str, Any]:
        """A policy that starts containers for nothing would do so for ever without a maximum."""
        unbounded = self.hostile and settings["max_containers"] is None
        return {**settings, "max_containers": 6} if unbounded else settings

    def some(self, choices: list, index: int) -> Any:
        return choices[index % len(choices)]

    def unready(self) -> list[Container]:
        """Containers whose start has not been reported, those called off included."""
        boxes = self.model.live(Phase.STARTING, Phase.STOPPING)
        return [box.record for box in boxes if not box.order]

    # -- the data path ---------------------------------------------------------------------------

    @rule(spawned=st.booleans(), parent=st.none() | st.integers(0, 50))
    def submit(self, spawned: bool, parent: int | None) -> None:
        caller = None if parent is None or not self.accepted else self.some(self.accepted, -parent)
        try:
            self.accepted.append(self.rig.submit(parent=caller, spawned=spawned))
        except (ClosedError, DeadlockError, ResourceExhaustedError):
            return

    @rule(count=st.integers(2, 6))
    def submit_many(self, count: int) -> None:
        inputs = [Input("f", (), None, None, index=index) for index in range(count)]
        room = self.model.room()
        if not self.model.accepting:
            return
        accepted, taken = self.pool.submit_many(inputs, self.rig.now)
        assert min(room, count) == accepted
        assert [input for input in inputs[:accepted] if input.state == RUNNING] == taken
        self.accepted += inputs[:accepted]

    @precondition(lambda self: self.model.held)
    @rule(index=st.integers(0, 50), end=st.sampled_from(ENDS))
    def complete(self, index: int, end: Callable[[], tuple[int, object]]) -> None:
        state, value = end()
        self.pool.complete(self.some(self.model.held, index), state, value, self.rig.now)

    @precondition(lambda self: self.accepted)
    @rule(index=st.integers(0, 50))
    def cancel(self, index: int) -> None:
        self.rig.cancel(self.some(self.accepted, -index).latest())

    @precondition(lambda self: self.model.orphans)
    @rule(index=st.integers(0, 50))
    def return_late(self, index: int) -> None:
        assert self.rig.end(self.some(self.model.orphans, index)) is None

    @rule()
    def wait_for_room(self) -> None:
        room = self.model.room()
        self.waiters += 1
        assert self.pool.wait_for_room(self.waiters) == (not room and not self.model.ended)

    # -- containers ------------------------------------------------------------------------------

    @precondition(lambda self: self.unready())
    @rule(index=st.integers(0, 50), fails=st.sampled_from([False, False, False, True]))
    def report_start(self, index: int, fails: bool) -> None:
        container = self.some(self.unready(), index)
        if fails:
            self.rig.fail_start(container)
        else:
            self.rig.ready(container)

    @rule()
    def make_all_ready(self) -> None:
        self.attend()
        for container in self.unready():
            self.rig.ready(container)

    @precondition(lambda self: self.model.live(Phase.STOPPING))
    @rule(index=st.integers(0, 50))
    def exit(self, index: int) -> None:
        self.rig.exited(self.some(self.model.live(Phase.STOPPING), index).record)

    @precondition(lambda self: self.model.held)
    @rule(index=st.integers(0, 50))
    def die(self, index: int) -> None:
        box = self.model.holder(self.some(self.model.held, index))
        assert box is not None
        self.rig.exited(box.record, OSError("killed"))

    @precondition(lambda self: self.model.boxes)
    @rule(indices=st.lists(st.integers(0, 50), min_size=1, max_size=2), movable=st.sampled_from(MOVABLE))
    def terminate(self, indices: list[int], movable: Callable[[Input], bool]) -> None:
        containers = dict.fromkeys(self.some(self.model.boxes, -index).record for index in indices)
        self.rig.tell(fx.Terminated(tuple(containers), movable))

    @rule(kind=st.sampled_from(DISTURBANCES), settings=SETTINGS)
    def disturb(self, kind: str, settings: dict[str, Any]) -> None:
        match kind:
            case "change":
                self.rig.change(**self.bounded(settings))
            case "crowd" | "spread":
                self.rig.tell(fx.Crowded(kind == "crowd"))
            case "close":
                self.rig.tell(fx.Closed())
            case "abort":
                self.rig.tell(fx.Aborted(ClosedError("aborted")))
            case _:
                self.rig.tell(fx.ShutDown())

    # -- the shell's duties ----------------------------------------------------------------------

    @rule()
    def begin_look(self) -> None:
        self.apply_look()
        self.rig.looks += 1
        seen = self.pool.snapshot(self.rig.now)
        self.pending_look = fx.Decided(self.rig.policy.decide(seen), seen)
        self.rig.wake_at = self.pending_look.decision.wake_at

    @rule()
    def apply_look(self) -> None:
        if self.pending_look is not None:
            self.rig.tell(self.pending_look)
            self.pending_look = None

    @rule()
    def attend(self) -> None:
        self.apply_look()
        overruled = self.pool.overruled
        self.rig.attend()
        assert self.hostile or overruled == self.pool.overruled
        for waiter in self.rig.called:
            # Each gives up, so its room is somebody else's.
            self.pool.forget_room_waiter(waiter)
        self.rig.called.clear()
        if self.pool.attention:
            self.attend()
            return
        self.check_attended()

    @rule(seconds=st.sampled_from([0.125, 0.5, 2.0, 10.0]))
    def advance(self, seconds: float) -> None:
        until = self.rig.now + seconds
        while True:
            self.attend()
            if self.rig.now == until:
                break
            instants = [instant for instant in (self.rig.timer, self.rig.wake_at) if instant is not None]
            due = min([until, *instants])
            self.rig.advance(min(max(due - self.rig.now, 0.125), until - self.rig.now))

    def check_attended(self) -> None:
        """What holds when the machine asks for nothing."""
        model, pool, now = self.model, self.pool, self.rig.now
        pool.check_idle(now)
        assert not (pool._room_waiters and pool.room()), "somebody waits although there is room"
        if model.timeout is not None:
            held = [
                item for box in model.live() for item in box.slots.items() if model.states[item[0]] == RUNNING
            ]
            assert all(now < started + model.timeout for _, started in held), "a deadline has passed"
        if self.hostile or model.shut or model.paused(now):
            return
        settings, demand = model.settings, model.demand
        # What is still stopping counts until it has.
        stopping = len(model.live(Phase.STOPPING))
        bound = float("inf") if settings.max_containers is None else settings.max_containers - stopping
        running = demand - len(model.backlog)
        # Demand above the target capacity has been met with starts, as far as it is not left to running slots; before
        # any input has ended, with eight at first.
        at_first = min(demand, running + 8 * model.target)
        served = at_first if not pool.ended else max(running, min(demand, 1))
        assert model.size >= min(bound, -(-served // model.target))
        if demand and settings.buffer_containers and not model.crowded:
            assert model.size >= min(bound, -(-demand // model.target) + settings.buffer_containers)

    # -- the end ---------------------------------------------------------------------------------

    def teardown(self) -> None:
        if not hasattr(self, "pool"):
            return
        self.attend()
        if not self.model.shut:
            self.come_to_rest()
        for event in (fx.Closed(), fx.Aborted(ClosedError("closed")), fx.ShutDown()):
            self.rig.tell(event)
        assert self.pool.drained
        for box in self.model.live():
            self.rig.exited(box.record)
        self.attend()
        assert self.pool.vacant
        assert not self.pool.running
        self.rig.advance(20.0)
        assert self.rig.timer is None, "nothing is due any more"
        stopped = [effect.container for effect in self.rig.effects if isinstance(effect, fx.StopContainer)]
        assert len(stopped) == len(set(stopped)), "a container is told to stop once"
        replay(self.pool, 0.0)
        replay(self.pool, 4096.0)

    def come_to_rest(self) -> None:
        """If starts succeed and work ends, every input gets its outcome, and the pool goes back to its minimum."""
        self.rig.tell(fx.Crowded(False))
        for _ in range(100):
            self.let_stop()
            self.make_all_ready()
            self.attend()
            for input in self.model.held:
                self.rig.end(input)
            if self.pool.drained:
                break
            self.advance(0.5)
        assert self.pool.drained
        if not self.hostile:
            for container in self.unready():
                self.rig.ready(container)
            for _ in range(4):
                self.let_stop()
                self.advance(10.0)
            assert self.model.size == self.model.settings.min_containers

    def let_stop(self) -> None:
        """What was told to stop does."""
        for box in self.model.live(Phase.STOPPING):
            self.rig.exited(box.record)


class UnderTheWindowPolicy(PoolMachine):
    hostile = False


class UnderAHostilePolicy(PoolMachine):
    hostile = True


TestPoolUnderTheWindowPolicy = UnderTheWindowPolicy.TestCase
TestPoolUnderAHostilePolicy = UnderAHostilePolicy.TestCase

# SPDX-License-Identifier: Apache-2.0
"""Batching against a naive model, which is told the same and must foresee every batch, member by member."""

from __future__ import annotations

from typing import Any

from attrs import define, field
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, initialize, precondition, rule

from actorpool._core._batching import Batch
from actorpool._core._input import CANCELLED, FAILED, PENDING, RUNNING, STATE_NAMES, SUCCEEDED, Input
from tests.core.test_batching import BatchingRig

WELL, BADLY, SHORT = "a list", "an exception", "a list that is too short"


@define(eq=False)
class Caller:
    """One caller of the model."""

    x: int
    came: float
    answer: Any = None
    cancelled: bool = False


@define
class Model:
    """Callers queue; the first `size` of them, or all once the first has waited, go on as a batch; batches queue."""

    size: int
    wait_s: float
    slots: int
    queue: list[Caller] = field(factory=list)
    batches: list[list[Caller]] = field(factory=list)
    running: list[list[Caller]] = field(factory=list)

    def move_on(self, now: float) -> None:
        while self.queue and (len(self.queue) >= self.size or self.queue[0].came + self.wait_s <= now):
            self.batches.append(self.queue[: self.size])
            del self.queue[: self.size]
        self.batches = [batch for batch in self.batches if not all(caller.cancelled for caller in batch)]
        while self.batches and len(self.running) < self.slots:
            self.running.append(self.batches.pop(0))

    def state_of(self, caller: Caller) -> int:
        if caller.cancelled:
            return CANCELLED
        if caller.answer is not None:
            return SUCCEEDED if isinstance(caller.answer, tuple) else FAILED
        return RUNNING if any(caller in batch for batch in self.running) else PENDING

    def cancel(self, caller: Caller) -> None:
        if caller.answer is None:
            caller.cancelled = True
            if caller in self.queue:
                self.queue.remove(caller)

    def finish(self, batch: list[Caller], how: str) -> None:
        self.running.remove(batch)
        for caller in batch:
            if not caller.cancelled:
                caller.answer = (2 * caller.x,) if how == WELL else how


class NaiveModelMachine(RuleBasedStateMachine):
    """Every rule is done to both; afterwards both must tell the same."""

    @initialize(
        size=st.integers(1, 4),
        wait_ms=st.sampled_from([0, 125, 1_000]),
        containers=st.integers(1, 2),
        max_inputs=st.integers(1, 2),
    )
    def begin(self, size: int, wait_ms: int, containers: int, max_inputs: int) -> None:
        self.rig = BatchingRig(
            size=size,
            wait_ms=wait_ms,
            max_containers=containers,
            min_containers=containers,
            max_inputs=max_inputs,
        )
        self.model = Model(size, wait_ms / 1000, containers * max_inputs)
        # {input: its caller in the model}
        self.callers: dict[Input, Caller] = {}
        self.rig.start(containers)
        self.both_move_on()

    def both_move_on(self) -> None:
        """Let the shell and the model do what is due, then compare all there is to see."""
        rig, model = self.rig, self.model
        rig.advance(0)
        model.move_on(rig.now)
        foreseen = [[caller.x for caller in batch] for batch in model.running]
        assert sorted(foreseen) == sorted((batch.kwargs or {})["x"] for batch in rig.running)
        seen = [STATE_NAMES[input.state] for input in self.callers]
        assert [STATE_NAMES[model.state_of(caller)] for caller in self.callers.values()] == seen
        for input, caller in self.callers.items():
            if input.state == SUCCEEDED:
                assert caller.answer == (input.value,)
        waiting = sum(not caller.cancelled for batch in model.batches for caller in batch)
        assert len(model.queue) + waiting <= rig.pool.pending

    @rule(spawned=st.booleans())
    def call(self, spawned: bool) -> None:
        # Everybody gives something else, so that batches can be told apart.
        x = len(self.callers)
        input = self.rig.give(x, spawned=spawned)
        self.callers[input] = caller = Caller(x, self.rig.now)
        self.model.queue.append(caller)
        self.both_move_on()

    @rule(count=st.integers(2, 9))
    def call_at_once(self, count: int) -> None:
        for _ in range(count):
            x = len(self.callers)
            self.callers[self.rig.give(x)] = caller = Caller(x, self.rig.now)
            self.model.queue.append(caller)
        self.both_move_on()

    @precondition(lambda self: self.callers)
    @rule(data=st.data())
    def cancel(self, data: st.DataObject) -> None:
        input = data.draw(st.sampled_from(list(self.callers)))
        self.rig.cancel(input)
        self.model.cancel(self.callers[input])
        self.both_move_on()

    @precondition(lambda self: self.rig.running)
    @rule(data=st.data(), how=st.sampled_from([WELL, BADLY, SHORT]))
    def finish(self, data: st.DataObject, how: str) -> None:
        batch: Batch = data.draw(st.sampled_from(self.rig.running))
        callers = next(found for found in self.model.running if found[0] is self.callers[batch.members[0]])
        given = [caller.x for caller in callers]
        if how == BADLY:
            self.rig.finish(batch, FAILED, ValueError("user's"))
        else:
            results = [2 * x for x in given]
            self.rig.finish(batch, SUCCEEDED, results if how == WELL else results[1:])
        self.model.finish(callers, how)
        self.both_move_on()

    @rule(eighths=st.integers(1, 9))
    def wait(self, eighths: int) -> None:
        # In steps as fine as any instant here, as a shell's timer would tell each of them.
        for _ in range(eighths):
            self.rig.advance(1 / 8)
            self.both_move_on()


TestNaiveModelMachine = NaiveModelMachine.TestCase

# SPDX-License-Identifier: Apache-2.0
"""Batching: single inputs in, batches in slots; limits, counts and outcomes speak of the inputs."""

from __future__ import annotations

import functools
from typing import Any

import pytest
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, initialize, invariant, precondition, rule

from actorpool._core import _effects as fx
from actorpool._core._batching import Batch, Batching, BatchingPool
from actorpool._core._config import Limits
from actorpool._core._container import Phase
from actorpool._core._input import CANCELLED, FAILED, PENDING, RUNNING, SUCCEEDED, TIMED_OUT, Input
from actorpool.exception import ClosedError, InvalidError, ResourceExhaustedError
from tests.core.pools import Rig


class BatchingRig(Rig):
    """A rig for inputs with arguments, that tells the members of each batch that ends."""

    def __init__(
        self, *, size: int = 3, wait_ms: int = 1000, names: tuple[str, ...] = ("x",), **options: Any
    ) -> None:
        kind = functools.partial(
            BatchingPool, batching=Batching(max_batch_size=size, wait_ms=wait_ms), names=names
        )
        super().__init__(kind=kind, **options)  # type: ignore[arg-type]
        self.batching: BatchingPool = self.pool  # type: ignore[assignment]
        self.told: list[Input] = []
        self.batching.distribute = self._distribute

    def _distribute(self, batch: Input) -> None:
        self.told += self.batching.outcomes_of(batch)

    def give(self, *args: Any, spawned: bool = False, parent: Input | None = None, **kwargs: Any) -> Input:
        input = Input("f", args, kwargs or None, None, spawned=spawned, parent=parent)
        self.pool.submit(input, self.now)
        return input

    def tell(self, event: fx.Event) -> list[fx.Effect]:
        effects = super().tell(event)
        for effect in effects:
            if isinstance(effect, fx.Settle) and effect.input.sink is not None:
                effect.input.sink(effect.input)
        return effects

    @property
    def running(self) -> list[Batch]:
        """The batches in slots, the oldest first."""
        return [input for c in self.containers for input in c.inputs if isinstance(input, Batch)]

    def finish(self, batch: Batch, state: int, value: Any) -> None:
        self.pool.complete(batch, state, value, self.now)
        if batch.state >= SUCCEEDED and batch.sink is not None:
            batch.sink(batch)


def states(*inputs: Input) -> list[int]:
    return [input.state for input in inputs]


def test_a_full_batch_takes_one_slot_at_once() -> None:
    rig = BatchingRig()
    rig.start()
    inputs = [rig.give(x) for x in range(3)]
    rig.attend()
    (batch,) = rig.running
    assert (inputs, {"x": [0, 1, 2]}) == (batch.members, batch.kwargs)
    assert [RUNNING] * 3 == states(*inputs)
    counts = rig.pool.counts(rig.now)
    assert (3, 0) == (counts.running, counts.pending)


def test_a_batch_that_is_not_full_runs_when_its_oldest_input_has_waited() -> None:
    rig = BatchingRig(wait_ms=1000)
    rig.start()
    first = rig.give(1)
    rig.advance(0.75)
    second = rig.give(2)
    rig.advance(0.125)
    assert [PENDING, PENDING] == states(first, second)
    rig.advance(0.125)
    assert [RUNNING, RUNNING] == states(first, second)


def test_a_container_is_started_while_the_batch_is_forming() -> None:
    rig = BatchingRig(wait_ms=1000)
    rig.give(1)
    rig.attend()
    assert 1 == len(rig.containers)


def test_each_input_gets_its_own_result() -> None:
    rig = BatchingRig()
    rig.start()
    inputs = [rig.give(x) for x in range(3)]
    rig.attend()
    rig.finish(rig.running[0], SUCCEEDED, ["a", "b", "c"])
    assert [(SUCCEEDED, "a"), (SUCCEEDED, "b"), (SUCCEEDED, "c")] == [(i.state, i.value) for i in inputs]
    assert inputs == rig.told
    assert (3, 0) == (rig.pool.counts(rig.now).succeeded, rig.pool.counts(rig.now).running)


@pytest.mark.parametrize("returned", [["a", "b"], ("a", "b", "c"), None])
def test_anything_but_a_list_of_the_batch_s_length_fails_every_input(returned: object) -> None:
    rig = BatchingRig()
    rig.start()
    inputs = [rig.give(x) for x in range(3)]
    rig.attend()
    rig.finish(rig.running[0], SUCCEEDED, returned)
    assert [FAILED] * 3 == states(*inputs)
    assert {InvalidError} == {type(input.value) for input in inputs}


def test_an_exception_is_every_input_s() -> None:
    rig = BatchingRig()
    rig.start()
    inputs = [rig.give(x) for x in range(3)]
    rig.attend()
    error = ValueError("user's")
    rig.finish(rig.running[0], FAILED, error)
    assert [(FAILED, error)] * 3 == [(i.state, i.value) for i in inputs]
    assert 3 == rig.pool.counts(rig.now).failed


@pytest.mark.parametrize(
    ("calls", "what"),
    [
        ([((1,), {}), ((1,), {"y": 2})], "same arguments"),
        ([((1, 2, 3), {})], "3 positional arguments"),
        ([((1,), {"x": 2})], "'x' twice"),
        ([((1,), {"z": 2})], "unknown argument 'z'"),
        ([((1,), {})], "lacks its argument 'y'"),
    ],
)
def test_inputs_that_do_not_fit_together_all_fail(calls: list[tuple[Any, dict[str, Any]]], what: str) -> None:
    rig = BatchingRig(size=len(calls), names=("x", "y"))
    rig.start()
    inputs = [rig.give(*args, **kwargs) for args, kwargs in calls]
    rig.attend()
    assert [FAILED] * len(calls) == states(*inputs)
    assert all(what in str(input.value) for input in inputs)
    assert [] == rig.running


def test_an_input_cancelled_while_forming_is_left_out() -> None:
    rig = BatchingRig(wait_ms=1000)
    rig.start()
    first, second = rig.give(1), rig.give(2)
    assert PENDING == rig.cancel(first)
    rig.advance(1)
    assert (CANCELLED, [second]) == (first.state, rig.running[0].members)
    assert 1 == rig.pool.counts(rig.now).cancelled


def test_a_place_left_while_forming_goes_to_the_next_input() -> None:
    rig = BatchingRig(size=3)
    rig.start()
    first, second = rig.give(1), rig.give(2)
    rig.cancel(second)
    rest = [rig.give(3), rig.give(4)]
    rig.attend()
    assert [first, *rest] == rig.running[0].members


def test_a_batch_of_nobody_is_not_run() -> None:
    rig = BatchingRig(wait_ms=1000)
    rig.start()
    rig.cancel(rig.give(1))
    rig.advance(2)
    assert ([], 0) == (rig.running, rig.pool.pending)


def test_a_member_cancelled_in_its_slot_leaves_the_others_their_results() -> None:
    rig = BatchingRig(size=2)
    rig.start()
    first, second = rig.give(1), rig.give(2)
    rig.attend()
    assert RUNNING == rig.cancel(first)
    rig.finish(rig.running[0], SUCCEEDED, ["a", "b"])
    assert [(CANCELLED, 0), (SUCCEEDED, "b")] == [(first.state, 0), (second.state, second.value)]
    assert [second] == rig.told
    assert CANCELLED == rig.cancel(first)


def test_a_pending_batch_whose_members_have_all_left_is_called_off() -> None:
    rig = BatchingRig(size=2, max_containers=1)
    rig.start()
    for x in range(4):
        rig.give(x)
    rig.attend()
    running, waiting = rig.running[0], list(rig.pool._backlog)
    assert 2 == rig.pool.pending
    for member in waiting[0].members:  # type: ignore[attr-defined]
        rig.cancel(member)
    assert (CANCELLED, 0) == (waiting[0].state, rig.pool.pending)
    rig.finish(running, SUCCEEDED, [1, 2])
    assert [] == rig.running


def test_a_pending_batch_runs_for_those_who_are_left() -> None:
    rig = BatchingRig(size=2, max_containers=1)
    rig.start()
    inputs = [rig.give(x) for x in range(4)]
    rig.attend()
    rig.cancel(inputs[2])
    rig.finish(rig.running[0], SUCCEEDED, [0, 1])
    rig.finish(rig.running[0], SUCCEEDED, [2, 3])
    assert [SUCCEEDED, SUCCEEDED, CANCELLED, SUCCEEDED] == states(*inputs)


def test_aborting_settles_nobody_twice() -> None:
    rig = BatchingRig(wait_ms=60_000)
    first, second = rig.give(1), rig.give(2)
    rig.cancel(first)
    effects = rig.tell(fx.Aborted(ClosedError("closed")))
    assert [second] == [effect.input for effect in effects if isinstance(effect, fx.Settle)]


def test_limits_count_inputs_not_batches() -> None:
    rig = BatchingRig(size=2, limits=Limits(max_pending=5, max_spawned=6))
    for x in range(5):
        rig.give(x)
    assert 0 == rig.pool.room()
    with pytest.raises(ResourceExhaustedError, match="max_pending=5"):
        rig.give(5)
    rig.give(5, spawned=True)
    with pytest.raises(ResourceExhaustedError, match="max_spawned=6"):
        rig.give(6, spawned=True)


def test_a_failed_batch_is_tried_again_as_a_whole() -> None:
    rig = BatchingRig(size=2, retries=2)
    rig.start()
    inputs = [rig.give(1), rig.give(2)]
    rig.attend()
    rig.finish(rig.running[0], FAILED, OSError("once"))
    assert [] == rig.told
    rig.advance(1)
    rig.finish(rig.running[0], SUCCEEDED, [1, 2])
    assert [SUCCEEDED] * 2 == states(*inputs)


def test_a_timed_out_batch_gets_a_further_attempt_beside_the_old_one() -> None:
    rig = BatchingRig(size=2, retries=1, timeout=8, max_inputs=2)
    rig.start()
    inputs = [rig.give(1), rig.give(2)]
    rig.attend()
    rig.advance(9)
    old, new = rig.running
    assert (TIMED_OUT, RUNNING, [1, 2]) == (old.state, new.state, (new.kwargs or {})["x"])
    rig.finish(new, SUCCEEDED, ["a", "b"])
    rig.finish(old, SUCCEEDED, ["late", "late"])
    assert [(SUCCEEDED, "a"), (SUCCEEDED, "b")] == [(i.state, i.value) for i in inputs]
    assert (2, 0) == (rig.pool.counts(rig.now).succeeded, rig.pool.counts(rig.now).timed_out)


def test_a_timed_out_batch_without_a_further_attempt_times_every_input_out() -> None:
    rig = BatchingRig(size=2, timeout=8)
    rig.start()
    inputs = [rig.give(1), rig.give(2)]
    rig.attend()
    rig.advance(9)
    assert [TIMED_OUT] * 2 == states(*inputs)
    assert 2 == rig.pool.counts(rig.now).timed_out


def test_closing_runs_what_is_forming_without_waiting_for_more() -> None:
    rig = BatchingRig(wait_ms=60_000)
    rig.start()
    input = rig.give(1)
    rig.tell(fx.Closed())
    rig.attend()
    assert RUNNING == input.state
    with pytest.raises(ClosedError):
        rig.give(2)
    nested = rig.give(3, parent=input)
    rig.attend()
    assert PENDING == nested.state
    assert not rig.pool.drained


def test_aborting_settles_what_is_forming_pending_and_running() -> None:
    rig = BatchingRig(size=2, max_containers=1)
    rig.start()
    inputs = [rig.give(x) for x in range(5)]
    rig.cancel(inputs[4])
    inputs.append(rig.give(5))
    rig.attend()
    rig.tell(fx.Closed())
    rig.tell(fx.Aborted(ClosedError("closed")))
    assert [CANCELLED] * 6 == states(*inputs)
    with pytest.raises(ClosedError):
        rig.give(6)


@pytest.mark.parametrize(("size", "wait_ms"), [(0, 1), (1001, 1), (1, -1), (1, 600_001), (1.5, 1), (True, 1)])
def test_sizes_and_waits_out_of_range_are_refused(size: Any, wait_ms: Any) -> None:
    with pytest.raises(InvalidError, match=r"max_batch_size|wait_ms"):
        Batching(max_batch_size=size, wait_ms=wait_ms)


class BatchingMachine(RuleBasedStateMachine):
    """Against the rule of the page: who came when, no batch over size, none older than its wait, all answered."""

    @initialize(
        size=st.integers(1, 5),
        wait=st.sampled_from([0, 125, 1000]),
        most=st.integers(1, 3),
        slots=st.integers(1, 2),
    )
    def begin(self, size: int, wait: int, most: int, slots: int) -> None:
        self.size, self.wait = size, wait / 1000
        self.rig = BatchingRig(size=size, wait_ms=wait, max_containers=most, max_inputs=slots)
        self.came: dict[Input, float] = {}
        self.given: dict[Input, int] = {}
        self.seen: set[Batch] = set()
        self.mark = 0

    def settled(self) -> None:
        """Let the shell do its work: all that was asked for is ready at once."""
        rig = self.rig
        while True:
            rig.advance(0)
            fresh, self.mark = rig.containers[self.mark :], len(rig.containers)
            if not fresh:
                return
            for container in fresh:
                rig.ready(container)

    @rule(x=st.integers(), spawned=st.booleans())
    def submit(self, x: int, spawned: bool) -> None:
        input = self.rig.give(x, spawned=spawned)
        self.came[input], self.given[input] = self.rig.now, x
        self.settled()

    @precondition(lambda self: self.came)
    @rule(data=st.data())
    def cancel(self, data: st.DataObject) -> None:
        input = data.draw(st.sampled_from(list(self.came)))
        self.rig.cancel(input)
        self.settled()

    @precondition(lambda self: self.rig.running)
    @rule(data=st.data(), well=st.booleans())
    def finish(self, data: st.DataObject, well: bool) -> None:
        batch = data.draw(st.sampled_from(self.rig.running))
        if well:
            assert batch.kwargs is not None
            self.rig.finish(batch, SUCCEEDED, [2 * x for x in batch.kwargs["x"]])
        else:
            self.rig.finish(batch, FAILED, ValueError("user's"))
        self.settled()

    @rule(eighths=st.integers(1, 20))
    def wait_a_while(self, eighths: int) -> None:
        self.rig.advance(eighths / 8)
        self.settled()

    @invariant()
    def batches_keep_their_bounds(self) -> None:
        if not hasattr(self, "rig"):
            return
        rig = self.rig
        for batch in rig.running:
            assert 1 <= len(batch.members) <= self.size
            assert sorted(batch.members, key=self.came.__getitem__) == batch.members
        if rig.pool.free_slots:
            overdue = [
                i for i, came in self.came.items() if i.state == PENDING and came + self.wait <= rig.now
            ]
            assert [] == overdue
            assert len([i for i in self.came if i.state == PENDING]) < self.size

    @invariant()
    def everybody_gets_their_own_answer(self) -> None:
        for input, x in getattr(self, "given", {}).items():
            if input.state == SUCCEEDED:
                assert 2 * x == input.value

    @invariant()
    def counts_are_true(self) -> None:
        if not hasattr(self, "rig"):
            return
        all_states = states(*self.came)
        counts = self.rig.pool.counts(self.rig.now)
        assert all_states.count(PENDING) == self.rig.pool.pending or CANCELLED in all_states
        assert (counts.succeeded, counts.failed, counts.cancelled) == (
            all_states.count(SUCCEEDED),
            all_states.count(FAILED),
            all_states.count(CANCELLED),
        )


TestBatchingMachine = BatchingMachine.TestCase


def test_a_batch_that_a_dead_container_was_never_given_is_the_next_to_run() -> None:
    rig = BatchingRig(size=2, max_containers=1)
    rig.start()
    first, second = rig.give(1), rig.give(2)
    rig.attend()
    later = [rig.give(3), rig.give(4)]
    rig.attend()
    (container,) = rig.in_phase(Phase.READY)
    assert RUNNING == first.state

    rig.exited(container, OSError("killed"), frozenset())

    assert 4 == rig.pool.pending
    rig.advance(1.0)
    (replacement,) = rig.in_phase(Phase.STARTING)
    rig.ready(replacement)
    assert [RUNNING, RUNNING] == [first.state, second.state]
    assert [PENDING, PENDING] == [input.state for input in later]

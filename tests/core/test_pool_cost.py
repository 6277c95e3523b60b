# SPDX-License-Identifier: Apache-2.0
"""The cost of one input does not depend on how many containers or pending inputs there are.

Operations are counted, not timed.
"""

from __future__ import annotations

import random
from collections.abc import Iterator
from typing import Any, Never

import pytest

from actorpool._core import _effects as fx
from actorpool._core._config import Limits
from actorpool._core._input import PENDING, RUNNING, Input
from tests.core.pools import Passive, Rig

MANY = Limits(max_pending=100_000, max_inputs=100_000)


class Counted(dict):
    """A dict that counts what is done with it, all instances together."""

    operations = 0

    def _count(self) -> None:
        Counted.operations += 1

    def __setitem__(self, key: object, value: object) -> None:
        self._count()
        super().__setitem__(key, value)

    def __delitem__(self, key: object) -> None:
        self._count()
        super().__delitem__(key)

    def popitem(self) -> tuple[Any, Any]:
        self._count()
        return super().popitem()

    def __iter__(self) -> Iterator[Any]:
        for key in super().__iter__():
            self._count()
            yield key


class Unscanned(dict):
    """A dict that nobody may walk through."""

    def _refuse(self) -> Never:
        raise AssertionError("all containers are scanned")

    __iter__ = keys = values = items = _refuse


def rig_of(containers: int, **options: Any) -> Rig:
    """A pool of so many ready containers of four slots, whose buckets are counted and which nobody may scan."""
    rig = Rig(policy=Passive(), limits=MANY, max_inputs=4, scaledown_window=1e6, **options)
    while rig.pool.size < containers:
        rig.start(min(64, containers - rig.pool.size))
    placement = rig.pool._placement
    placement._buckets = [Counted(bucket) for bucket in placement._buckets]
    rig.pool._live = Unscanned(rig.pool._live)
    return rig


def most_operations(rig: Rig, steps: int = 400) -> int:
    """The largest number of bucket operations that one step of a random history takes."""
    choice, running, most = random.Random(3), list[Input](), 0
    for _ in range(steps):
        before = Counted.operations
        if choice.random() < 0.6 or not running:
            input = rig.submit()
            if input.state == RUNNING:
                running.append(input)
        elif choice.random() < 0.2:
            rig.cancel(choice.choice(running))
        else:
            following = rig.end(running.pop(choice.randrange(len(running))))
            if following is not None:
                running.append(following)
        most = max(most, Counted.operations - before)
    return most


def test_an_input_touches_as_few_containers_among_a_thousand_as_among_ten() -> None:
    assert most_operations(rig_of(1_000)) == most_operations(rig_of(10)) == 2


def test_a_full_pool_of_a_thousand_containers_takes_pending_inputs_without_looking_for_a_slot() -> None:
    rig = rig_of(1_000)
    running = rig.many(4_000)
    pending = rig.many(500)
    assert {PENDING} == {input.state for input in pending}
    before = Counted.operations
    assert pending == [rig.end(input) for input in running[:500]]
    assert before == Counted.operations


def test_ticks_between_deadlines_scan_no_container() -> None:
    rig = rig_of(1_000, timeout=60.0, retries=1)
    live, rig.pool._live = rig.pool._live, dict.fromkeys(rig.containers)
    inputs = rig.many(2_000)
    rig.tick()
    rig.pool._live = live
    rig.now = 30.0
    for input in inputs[:100]:
        rig.cancel(input)
        rig.tick()
    for input in inputs[100:200]:
        rig.fail(input)
        rig.tick()
    assert rig.timer == 31.0


def test_a_look_at_a_thousand_idle_containers_visits_those_whose_window_has_passed() -> None:
    rig = rig_of(1_000)
    seen, before = rig.pool.snapshot(0.0), Counted.operations
    assert (1_000, 0) == (seen.idle, seen.expired)
    rig.pool.snapshot(0.0)
    assert Counted.operations - before <= 2
    rig.tell(fx.Decided(rig.policy.decide(seen), seen))
    assert Counted.operations - before <= 5


@pytest.mark.parametrize("order", ["oldest first", "newest first", "shuffled"])
def test_ten_thousand_cancellations_leave_no_backlog_behind(order: str) -> None:
    rig = Rig(limits=MANY)
    inputs = rig.many(10_000)
    if order == "newest first":
        inputs.reverse()
    elif order == "shuffled":
        random.Random(4).shuffle(inputs)
    queue = rig.pool._backlog
    rebuilt, last = 0, queue._queue
    for left, input in zip(range(9_999, -1, -1), inputs, strict=True):
        rig.cancel(input)
        assert len(queue._queue) <= 2 * left + 64
        if queue._queue is not last:
            rebuilt, last = rebuilt + 1, queue._queue
    # Each rebuild halves it at least: the moves add up to about twice the cancellations.
    assert 0 < rebuilt < 20
    assert rig.pool.pending == 0


def test_cancelled_inputs_between_attempts_do_not_keep_their_payload() -> None:
    rig = Rig(retries=1, limits=MANY)
    rig.start()
    for _ in range(100):
        input = Input("f", (object(),), None, None)
        rig.pool.submit(input, rig.now)
        rig.fail(input)
        rig.cancel(input)
    assert {()} == {entry[2].args for entry in rig.pool._delayed}
    rig.advance(1.0)
    assert [] == rig.pool._delayed

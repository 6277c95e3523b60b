# SPDX-License-Identifier: Apache-2.0
"""A calling thread is woken before the pool has noted the outcome: whoever is first then, all that it sees is true."""

from __future__ import annotations

import threading
from collections import deque
from types import SimpleNamespace
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from actorpool import _verbs
from actorpool._actors._dispatch import Dispatcher
from actorpool._backends._workload import Target
from actorpool._binding import Binding
from actorpool._core._config import Limits
from actorpool._core._input import DELAYED, FAILED, SUCCEEDED, BlockingInput, Input
from actorpool._core._pool import Pool
from actorpool.exception import RemoteError
from tests.core.pools import Rig
from tests.turns import SteppedLock, Turns

CALLS = 3


@given(
    choices=st.lists(st.booleans(), max_size=60),
    failing=st.sets(st.integers(0, CALLS - 1)),
    cancelled=st.sets(st.integers(0, CALLS - 1)),
)
@settings(max_examples=300)
def test_a_caller_that_is_woken_early_sees_its_outcome_its_slot_free_and_true_counts(
    choices: list[bool], failing: set[int], cancelled: set[int]
) -> None:
    turns = Turns(choices)

    class SteppedPool(Pool):
        __slots__ = ()

        def complete(self, input: Input, state: int, value: Any, now: float) -> Input | None:
            turns.point()
            following = super().complete(input, state, value, now)
            turns.point()
            return following

        def settle(self, input: Input, state: int, value: Any) -> None:
            turns.point()
            super().settle(input, state, value)
            turns.point()

    # One slot, and no room to wait for it: it must be free again once a caller has its result.
    rig = Rig(kind=SteppedPool, max_containers=1, limits=Limits(max_pending=1, max_inputs=1))
    [container] = rig.start()
    sent: deque[Input] = deque()
    container.handle = SimpleNamespace(send=sent.append, cancel=lambda _: None)
    host: Any = SimpleNamespace(now=lambda: 0.0)
    dispatcher = Dispatcher(rig.pool, host, lambda _: None, lambda _: None)
    lock: Any = Guard(turns)
    dispatcher._lock = lock
    over = False

    def work() -> None:
        turns.begin(1)
        while not over:
            if not sent:
                turns.let_other()
                continue
            input = sent.popleft()
            number = input.args[0]
            if number in cancelled:
                # From a third thread, as it were, while it runs.
                dispatcher.cancel(input, "enough")
            if number in failing:
                dispatcher.complete(input, FAILED, ValueError(number))
            else:
                dispatcher.complete(input, SUCCEEDED, -number)
        turns.end()

    # It is bound below, by hand.
    source: Any = None
    remote: Any = _verbs.Remote("f", source)
    remote._binding = Binding(dispatcher, Target("f", lambda number: -number, is_async=False))
    thread = threading.Thread(target=work)
    thread.start()
    turns.begin(0)
    seen: list[object] = []
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(_verbs, "allocate_lock", lambda: SteppedLock(turns))
        for number in range(CALLS):
            try:
                seen.append(remote(number))
            except (ValueError, RemoteError) as error:
                seen.append(str(error.args[0]))
            if number not in cancelled:
                # The work of a cancelled one goes on.
                counts = dispatcher.counts()
                assert 0 == counts.running
                assert number + 1 == counts.succeeded + counts.failed + counts.cancelled
            while rig.pool.running:
                turns.let_other()
    over = True
    turns.end()
    thread.join()
    assert [
        "enough" if number in cancelled else str(number) if number in failing else -number
        for number in range(CALLS)
    ] == seen


def test_a_calling_thread_is_not_woken_by_a_failure_that_is_tried_again() -> None:
    rig = Rig(max_containers=1, retries=1)
    [container] = rig.start()
    container.handle = SimpleNamespace(send=lambda _: None)
    host: Any = SimpleNamespace(now=lambda: 0.0)
    dispatcher = Dispatcher(rig.pool, host, lambda _: None, lambda _: None)
    ended = threading.Lock()
    ended.acquire()
    wake: Any = ended.__exit__
    input = BlockingInput("f", (), None, None, wake)
    dispatcher.submit(input)
    dispatcher.complete(input, FAILED, ValueError("user's"))
    assert ended.locked()
    assert DELAYED == input.state


class Guard(SteppedLock):
    """What a pool's lock is used as."""

    def __enter__(self) -> None:
        self.acquire()

    def __exit__(self, *_: object) -> None:
        self.release()
        self._turns.point()

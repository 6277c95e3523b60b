# SPDX-License-Identifier: Apache-2.0
"""A pool without inputs and containers asks for no tick, whatever its timeout."""

from __future__ import annotations

from actorpool._core._input import RUNNING, SUCCEEDED, TIMED_OUT
from tests.core.pools import Rig


def test_no_deadline_outlives_its_inputs() -> None:
    rig = Rig(timeout=300, scaledown_window=60)
    (container,) = rig.start()
    input = rig.submit()
    rig.attend()
    rig.end(input)
    rig.advance(61)
    rig.exited(container)
    rig.attend()
    assert None is rig.pool.next_tick()


def test_an_input_that_comes_after_that_has_a_deadline_of_its_own() -> None:
    rig = Rig(timeout=300, max_inputs=2)
    rig.start()
    earlier = rig.submit()
    rig.attend()
    rig.end(earlier)
    rig.advance(10)
    input = rig.submit()
    rig.advance(299)
    assert RUNNING == input.state
    rig.advance(1)
    assert TIMED_OUT == input.state


def test_a_deadline_holds_while_another_input_ends() -> None:
    rig = Rig(timeout=300, max_inputs=2)
    rig.start()
    first, second = rig.many(2)
    rig.advance(10)
    rig.end(first)
    rig.advance(290)
    assert (SUCCEEDED, TIMED_OUT) == (first.state, second.state)


def test_work_that_goes_on_after_its_outcome_has_no_deadline() -> None:
    rig = Rig(timeout=300, grace_s=5)
    rig.start()
    input = rig.submit()
    rig.advance(1)
    rig.cancel(input)
    rig.advance(6)
    assert (1, True) == (rig.pool.abandoned, (rig.pool.next_tick() or 1_000) > 301)

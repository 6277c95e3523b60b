# SPDX-License-Identifier: Apache-2.0
"""Submitting many inputs of one call in one step."""

from __future__ import annotations

import pytest

from actorpool._core._config import Limits
from actorpool._core._input import PENDING, RUNNING, Input
from actorpool.exception import DeadlockError
from tests.core.pools import Rig


def test_many_inputs_are_accepted_in_order_up_to_the_limit() -> None:
    rig = Rig(limits=Limits(max_pending=2))
    rig.start(2)
    inputs = [Input("f", (), None, None, index=index) for index in range(6)]
    accepted, taken = rig.pool.submit_many(inputs, 0.0)
    assert (4, inputs[:2]) == (accepted, taken)
    assert [RUNNING, RUNNING, PENDING, PENDING, 0, 0] == [input.state for input in inputs]
    assert rig.pool.counts(0.0).refused == 0
    assert (0, []) == rig.pool.submit_many(inputs[4:], 0.0)
    assert (0, []) == rig.pool.submit_many([], 0.0)


def test_many_inputs_are_accepted_up_to_the_limit_of_all_inputs_s25() -> None:
    rig = Rig(limits=Limits(max_inputs=3))
    rig.start(1)
    inputs = [Input("f", (), None, None, index=index) for index in range(6)]
    assert (3, inputs[:1]) == rig.pool.submit_many(inputs, 0.0)
    assert (0, []) == rig.pool.submit_many(inputs[3:], 0.0)


def test_of_many_inputs_of_one_caller_only_the_first_can_be_refused_as_a_deadlock() -> None:
    rig = Rig(max_inputs=2, max_containers=1)
    rig.start()
    outer = rig.submit()
    first = [Input("f", (), None, None, parent=outer) for _ in range(3)]
    assert (3, first[:1]) == rig.pool.submit_many(first, 0.0)
    inner = first[0]
    second = [Input("f", (), None, None, parent=inner) for _ in range(3)]
    with pytest.raises(DeadlockError):
        rig.pool.submit_many(second, 0.0)
    assert {0} == {input.state for input in second}


def test_many_inputs_are_all_accepted_where_there_is_room() -> None:
    rig = Rig()
    inputs = [Input("f", (), None, None, index=index) for index in range(3)]
    assert (3, []) == rig.pool.submit_many(inputs, 0.0)

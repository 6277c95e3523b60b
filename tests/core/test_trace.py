# SPDX-License-Identifier: Apache-2.0
"""Who records an input is told its outcome once, whichever attempt brought it about."""

from __future__ import annotations

import pytest

from actorpool._core import _effects as fx
from actorpool._core._input import CANCELLED, FAILED, SUCCEEDED, TIMED_OUT, Input
from actorpool.exception import ClosedError
from tests.core.pools import Passive, Rig


class Trace:
    """Keeps what it is told."""

    def __init__(self, input: Input) -> None:
        self.input = input
        self.told: list[tuple[Input, int, object]] = []
        input.trace = self

    def end(self, input: Input) -> None:
        self.told.append((input, input.state, input.value))


def traced(**options: object) -> tuple[Rig, Input, Trace]:
    rig = Rig(policy=Passive(), **options)  # type: ignore[arg-type]
    rig.start()
    input = rig.submit()
    return rig, input, Trace(input)


@pytest.mark.parametrize("state", [SUCCEEDED, FAILED, CANCELLED])
def test_it_is_told_how_the_work_ended(state: int) -> None:
    rig, input, trace = traced()
    rig.pool.complete(input, state, "value", rig.now)
    assert [(input, state, "value")] == trace.told


def test_it_is_told_of_a_cancellation_and_not_of_the_work_after_it() -> None:
    rig, input, trace = traced()
    rig.cancel(input)
    rig.end(input)
    assert [(input, CANCELLED)] == [told[:2] for told in trace.told]


def test_it_is_told_of_the_end_of_the_app() -> None:
    rig, input, trace = traced()
    error = ClosedError("closed")
    rig.tell(fx.Aborted(error))
    assert [(input, CANCELLED, error)] == trace.told


def test_a_failed_attempt_is_no_outcome() -> None:
    rig, input, trace = traced(retries=1)
    rig.fail(input)
    assert [] == trace.told
    rig.advance(1.0)
    rig.end(input, "value")
    assert [(input, SUCCEEDED, "value")] == trace.told


def test_it_goes_over_to_the_record_of_the_next_attempt() -> None:
    rig, input, trace = traced(retries=1, timeout=1.0)
    rig.start()
    rig.advance(1.0)
    again = input.latest()
    assert again is not input
    assert (again, None, []) == (trace.input, input.trace, trace.told)
    rig.advance(1.0)
    rig.end(input, "too late")
    assert [] == trace.told
    rig.advance(1.0)
    assert [(again, TIMED_OUT)] == [told[:2] for told in trace.told]
    assert again.done
    assert not input.done

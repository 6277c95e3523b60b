# SPDX-License-Identifier: Apache-2.0
"""Closing: accept nothing, drain, abort, shut down; then nothing is left."""

from __future__ import annotations

from typing import Any

import pytest

from actorpool._core import _effects as fx
from actorpool._core._admission import CONTROL
from actorpool._core._container import Phase
from actorpool._core._input import CANCELLED, FAILED, PENDING, RUNNING, SUCCEEDED, TIMED_OUT
from actorpool.exception import ClosedError
from tests.core.pools import Rig


def test_what_was_accepted_before_closing_still_runs() -> None:
    rig = Rig()
    rig.start()
    first, second = rig.many(2)
    rig.tell(fx.Closed())
    with pytest.raises(ClosedError):
        rig.submit()
    assert second is rig.end(first)
    assert not rig.pool.drained
    rig.end(second)
    assert (SUCCEEDED, True) == (second.state, rig.pool.drained)


def test_what_runs_may_still_call_while_the_pool_drains() -> None:
    rig = Rig(max_inputs=2)
    rig.start()
    outer = rig.submit()
    rig.tell(fx.Closed())
    inner = rig.submit(parent=outer)
    assert inner.state == RUNNING
    with pytest.raises(ClosedError):
        rig.submit()


@pytest.mark.parametrize("event", [fx.Aborted(ClosedError("closed")), fx.ShutDown()])
def test_nothing_is_accepted_of_anybody_once_the_pool_ends(event: fx.Event) -> None:
    rig = Rig()
    rig.start()
    outer = rig.submit()
    rig.tell(fx.Closed())
    rig.tell(event)
    with pytest.raises(ClosedError):
        rig.submit(parent=outer)


def test_a_closed_pool_still_starts_containers_for_what_is_pending() -> None:
    rig = Rig()
    input = rig.submit()
    rig.tell(fx.Closed())
    rig.attend()
    rig.ready(rig.containers[0])
    assert input.state == RUNNING


def test_a_closed_pool_says_when_it_is_drained() -> None:
    rig = Rig()
    rig.start()
    first, second = rig.many(2)
    rig.tell(fx.Closed())
    rig.attend()
    rig.end(first)
    assert not rig.pool.attention & CONTROL
    rig.end(second)
    assert rig.pool.attention & CONTROL


@pytest.mark.parametrize("last", ["ends", "is cancelled"])
def test_work_that_never_returns_does_not_keep_a_closed_pool_from_being_drained(last: str) -> None:
    rig = Rig()
    rig.start()
    stuck, pending = rig.many(2)
    rig.cancel(stuck)
    if last == "ends":
        (second,) = rig.ask()
        rig.ready(second)
    rig.tell(fx.Closed())
    rig.attend()
    assert not rig.pool.drained
    if last == "ends":
        rig.end(pending)
    else:
        rig.cancel(pending)
    assert rig.pool.attention & CONTROL
    assert (True, False) == (rig.pool.drained, rig.pool.vacant)


def test_a_failed_attempt_is_tried_again_while_the_pool_drains() -> None:
    rig = Rig(retries=1)
    rig.start()
    input = rig.submit()
    rig.tell(fx.Closed())
    rig.fail(input)
    assert not rig.pool.drained
    rig.advance(1.0)
    assert input.state == RUNNING


def test_an_abort_cancels_whatever_has_no_outcome() -> None:
    rig = Rig(retries=1)
    rig.start(2)
    running, delayed = rig.many(2)
    rig.fail(delayed)
    rig.start()
    rig.many(2)
    pending = rig.submit()
    error = ClosedError("the app was closed")
    effects = rig.tell(fx.Aborted(error))
    settled = [effect.input for effect in effects if isinstance(effect, fx.Settle)]
    interrupted = [effect.input for effect in effects if isinstance(effect, fx.CancelRun)]
    assert [pending, delayed] == settled[:2]
    assert interrupted == settled[2:]
    assert {*interrupted} == {input for c in rig.containers for input in c.inputs}
    assert running in interrupted
    assert {(CANCELLED, error)} == {(input.state, input.value) for input in settled}
    assert (True, 0, 3, 3) == (rig.pool.drained, rig.pool.pending, rig.pool.running, rig.pool.abandoned)


def test_a_second_abort_finds_nothing() -> None:
    rig = Rig()
    rig.start()
    rig.submit()
    rig.tell(fx.Aborted(ClosedError("first")))
    assert [] == rig.tell(fx.Aborted(ClosedError("second")))


def test_aborted_work_is_reported_when_it_outlives_its_grace() -> None:
    rig = Rig(grace_s=5.0)
    rig.start()
    input = rig.submit()
    rig.tell(fx.Aborted(ClosedError("closed")))
    rig.advance(5.0)
    assert fx.ReportAbandoned(input) in rig.effects


def test_shutting_down_stops_every_container_once() -> None:
    rig = Rig(max_inputs=2)
    rig.start(3)
    rig.many(3)
    rig.change(max_containers=2)
    (starting,) = rig.change(max_containers=4) or rig.ask()
    assert {Phase.STARTING, Phase.READY} <= {container.phase for container in rig.containers}
    rig.effects.clear()
    rig.tell(fx.ShutDown())
    rig.tell(fx.ShutDown())
    rig.attend()
    told = [effect.container for effect in rig.effects if isinstance(effect, fx.StopContainer)]
    assert starting in told
    assert len(told) == len(set(told))
    assert {Phase.STOPPING} == {container.phase for container in rig.containers}


def test_a_draining_container_is_stopped_by_a_shutdown() -> None:
    rig = Rig(max_inputs=2, recycle_after=1)
    (container,) = rig.start()
    first, _ = rig.many(2)
    rig.end(first)
    assert [fx.StopContainer(container)] == rig.tell(fx.ShutDown())


def test_nothing_is_left_after_close_abort_shutdown_and_the_exits() -> None:
    rig = Rig(max_inputs=2, timeout=60.0)
    rig.start(2)
    rig.many(5)
    rig.ask()
    for event in (fx.Closed(), fx.Aborted(ClosedError("closed")), fx.ShutDown()):
        rig.tell(event)
    assert (True, False) == (rig.pool.drained, rig.pool.vacant)
    rig.now = 3.0
    for container in rig.containers:
        rig.exited(container)
    counts = rig.pool.counts(60.0)
    assert (True, True) == (rig.pool.drained, rig.pool.vacant)
    assert (0, 0, 0, 0, 0) == (
        counts.containers,
        counts.running,
        counts.abandoned,
        counts.pending,
        counts.free_slots,
    )
    assert counts.container_seconds == 9.0


@pytest.mark.parametrize("settings", [{"min_containers": 2}, {"buffer_containers": 2}])
def test_nothing_is_started_after_a_shutdown(settings: dict[str, Any]) -> None:
    rig = Rig(**settings)
    rig.start(2)
    rig.submit()
    rig.tell(fx.ShutDown())
    rig.attend()
    assert [] == rig.decide(start=5)
    for container in rig.containers:
        rig.exited(container)
    rig.attend()
    assert (0, True) == (len(rig.pool.containers()), rig.pool.vacant)


def test_nothing_is_tried_again_after_a_shutdown() -> None:
    rig = Rig(retries=3, max_inputs=2, timeout=10.0)
    (container,) = rig.start()
    failing, lost = rig.many(2)
    rig.tell(fx.ShutDown())
    rig.fail(failing)
    rig.exited(container)
    assert (FAILED, FAILED, True) == (failing.state, lost.state, rig.pool.vacant)


def test_an_input_that_times_out_during_a_shutdown_is_not_tried_again() -> None:
    rig = Rig(retries=3, timeout=10.0)
    rig.start()
    input = rig.submit()
    rig.attend()
    rig.tell(fx.ShutDown())
    rig.advance(10.0)
    assert (TIMED_OUT, None) == (input.state, input.successor)


def test_what_is_pending_at_a_shutdown_waits_for_the_abort() -> None:
    rig = Rig()
    input = rig.submit()
    rig.tell(fx.ShutDown())
    assert (PENDING, False) == (input.state, rig.pool.vacant)
    rig.tell(fx.Aborted(ClosedError("closed")))
    assert (CANCELLED, True) == (input.state, rig.pool.vacant)

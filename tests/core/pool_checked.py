# SPDX-License-Identifier: Apache-2.0
"""A pool machine that is held against the naive model in every step, and whose steps can be replayed."""

from __future__ import annotations

import math
from collections import Counter
from collections.abc import Sequence
from typing import Any

import pytest
from attrs import evolve

from actorpool._core import _effects as fx
from actorpool._core._admission import CONTROL, SCALING
from actorpool._core._container import Container, Phase
from actorpool._core._input import CANCELLED, DELAYED, FAILED, PENDING, RUNNING, SUCCEEDED, TIMED_OUT, Input
from actorpool._core._pool import Pool
from actorpool._core._scaling import Snapshot, WindowPolicy
from actorpool.exception import ClosedError, DeadlockError, ResourceExhaustedError
from tests.core.pool_model import Model

__all__ = ["CheckedPool", "replay"]


class CheckedPool(Pool):
    """A pool machine that is held against the model after every step, and keeps a log of its steps."""

    def __init__(self, name: str, **options: Any) -> None:
        super().__init__(name, **options)
        self.options = options
        kept = {
            "settings",
            "concurrency",
            "limits",
            "restart",
            "timeout",
            "retry",
            "recycle_after",
            "grace_s",
        }
        self.model = Model(**{name: value for name, value in options.items() if name in kept})
        self.told: Counter[Input] = Counter()
        """How often somebody was told the outcome of each input."""
        self.log: list[tuple[Any, ...]] = []
        """What was asked of the machine and what it answered: `(name, arguments, now, answer)`."""
        self.lineage: dict[Input, Input | None] = {}
        """Who submitted each input."""
        self.may_go_since: float | None = None
        """Since when there have been more containers than are due to stay."""
        self.was_drained = True

    def submit(self, input: Input, now: float) -> Container | None:
        answer: Any
        self.lineage[input] = input.parent
        try:
            expected: Container | BaseException | None = self.model.submit(input, now)
        except (ClosedError, DeadlockError, ResourceExhaustedError) as error:
            expected = error
        if isinstance(expected, BaseException):
            self.model.refused += isinstance(expected, ResourceExhaustedError)
            with pytest.raises(type(expected)) as caught:
                super().submit(input, now)
            answer = caught.value
            assert getattr(expected, "limit_name", None) == getattr(answer, "limit_name", None)
            assert input.state == 0
        else:
            answer = super().submit(input, now)
            assert expected is answer
        self._checked("submit", (input,), now, answer)
        if isinstance(answer, BaseException):
            raise answer
        return answer

    def submit_many(self, inputs: Sequence[Input], now: float) -> tuple[int, list[Input]]:
        log, refused = len(self.log), self.model.refused
        answer = super().submit_many(inputs, now)
        # A map waits instead of failing.
        self.model.refused = refused
        if len(self.log) == log:
            # Nothing was submitted by itself: the machine did it in one go, and the model does it now.
            accepted, taken = answer
            places = {input: self.model.submit(input, now) for input in inputs[:accepted]}
            self.lineage.update(dict.fromkeys(inputs))
            assert [input for input, place in places.items() if place is not None] == taken
            assert [*places.values()] == [input.container for input in places]
            assert accepted == len(inputs) or not self.model.room()
            self._checked("submit_many", (tuple(inputs),), now, answer)
        return answer

    def complete(self, input: Input, state: int, value: Any, now: float) -> Input | None:
        unsettled = self.model.states[input] < SUCCEEDED
        expected = self.model.complete(input, state, value, now)
        answer = super().complete(input, state, value, now)
        assert expected is answer
        self.told[input] += unsettled and input.done
        self._checked("complete", (input, state, value), now, answer)
        return answer

    def cancel(self, input: Input, now: float, error: BaseException) -> int:
        expected = self.model.cancel(input, now)
        answer = super().cancel(input, now, error)
        assert expected == answer
        self.told[input] += answer < SUCCEEDED
        self._checked("cancel", (input,), now, answer)
        return answer

    def handle(self, event: fx.Event, now: float) -> list[fx.Effect]:
        model = self.model
        # These make what the model has to know: containers, records of next attempts.
        afterwards = isinstance(event, fx.Decided | fx.Ticked | fx.Terminated)
        expected = None if afterwards else model.step(event, now)
        effects = super().handle(event, now)
        if isinstance(event, fx.Decided):
            late = model.decided(event, effects, now)
            assert not late or self.attention & SCALING or model.shut, (
                "what came while it was decided waits for nobody"
            )
        else:
            assert effects == (model.step(event, now) if expected is None else expected)
        self.told.update(effect.input for effect in effects if isinstance(effect, fx.Settle))
        self._checked("handle", (event,), now, effects)
        return effects

    def _checked(self, name: str, arguments: tuple[Any, ...], now: float, answer: object) -> None:
        self.log.append((name, arguments, now, answer))
        self.check(now)
        if self.drained and not self.was_drained and name in ("complete", "cancel") and not self.accepting:
            assert self.attention & CONTROL, "whoever waits for the drain is not told"
        self.was_drained = self.drained

    def check(self, now: float) -> None:
        """What holds after every step."""
        model = self.model
        live = model.live()
        # The two agree.
        assert [box.record for box in live] == self.containers()
        for box in model.boxes:
            assert box.phase is box.record.phase
            assert [*box.slots.items()] == [*box.record.inputs.items()]
        for input, state in model.states.items():
            assert state == input.state
        # No slot beyond the limit, no container beyond the maximum.
        assert all(len(box.slots) <= model.max_inputs for box in live)
        assert model.settings.max_containers is None or model.size <= model.settings.max_containers
        # A free slot and a pending input never coexist.
        assert not (model.free_slots and model.backlog)
        # One outcome for each input, and one who was told of it.
        for input, state in model.states.items():
            expected = state >= SUCCEEDED and input not in model.superseded
            assert expected == self.told[input], (input, self.told[input])
        # What is told to others is true.
        counts = self.counts(now)
        ended = Counter(model.states[input] for input in model.states if input not in model.superseded)
        abandoned = [input for input in model.held if model.states[input] != RUNNING]
        assert (
            len(live),
            len(model.live(Phase.STARTING)),
            len(model.live(Phase.READY)),
            len(model.idle),
        ) == (
            counts.containers,
            counts.starting,
            counts.ready,
            counts.idle,
        )
        assert (len(live) - model.size, len(model.held), len(abandoned), model.free_slots) == (
            counts.draining,
            counts.running,
            counts.abandoned,
            counts.free_slots,
        )
        assert (ended[SUCCEEDED], ended[FAILED], ended[CANCELLED], ended[TIMED_OUT]) == (
            counts.succeeded,
            counts.failed,
            counts.cancelled,
            counts.timed_out,
        )
        assert (sum(ended.values()), model.refused, len(model.boxes), model.start_failures) == (
            counts.arrived,
            counts.refused,
            counts.starts,
            counts.start_failures,
        )
        waiting = len(model.backlog) + len(model.delayed)
        assert waiting == counts.pending == ended[PENDING] + ended[DELAYED]
        lived_s = model.lived_s + sum(now - box.asked_at for box in live)
        assert math.isclose(lived_s, counts.container_seconds, abs_tol=1e-6)
        assert model.room() == self.room()
        assert self.drained == (not waiting and len(abandoned) == len(model.held))
        assert self.vacant == (not live and not waiting)
        if model.size <= model.due_to_stay:
            self.may_go_since = None
        elif self.may_go_since is None:
            self.may_go_since = now

    def check_idle(self, now: float) -> None:
        """No container idles on after its window, counted from when it could have gone."""
        if self.may_go_since is not None:
            for box in self.model.idle:
                assert now < max(box.idle_since, self.may_go_since) + self.model.settings.scaledown_window

    # -- what has no consequence but its answer, for the log -------------------------------------

    def snapshot(self, now: float) -> Snapshot:
        answer = super().snapshot(now)
        estimates = (answer.service_s or 0.0, answer.startup_s, answer.quiet_s)
        assert all(math.isfinite(estimate) and estimate >= 0 for estimate in estimates)
        self.log.append(("snapshot", (), now, answer))
        return answer

    def next_tick(self) -> float | None:
        answer = super().next_tick()
        self.log.append(("next_tick", (), None, answer))
        return answer


def replay(pool: CheckedPool, shift: float) -> None:
    """Take the steps of `pool` again with a fresh one, `shift` seconds later, and demand the same answers."""
    _Replay(pool, shift).run()


class _Replay:
    def __init__(self, pool: CheckedPool, shift: float) -> None:
        self.log, self.shift, self.lineage = pool.log, shift, pool.lineage
        self.pool = Pool(pool.name, **pool.options)
        self.inputs: dict[Input, Input] = {}
        self.containers: dict[Container, Container] = {}

    def run(self) -> None:
        for name, arguments, now, answer in self.log:
            given: dict[str, Any] = {} if now is None else {"now": now + self.shift}
            if name == "cancel":
                given["error"] = RuntimeError("cancelled")
            try:
                again = getattr(self.pool, name)(*map(self.same, arguments), **given)
            except (ClosedError, DeadlockError, ResourceExhaustedError) as error:
                again = error
            if name == "handle":
                self.match(answer, again)
            if name == "snapshot":
                first, second = WindowPolicy().decide(answer), WindowPolicy().decide(again)
                assert evolve(first, wake_at=None) == evolve(second, wake_at=None)
                if first.wake_at is not None:
                    assert second.wake_at == pytest.approx(first.wake_at + self.shift, abs=1e-6)
            assert self.same(answer) == (str(again) if isinstance(again, BaseException) else again)

    def match(self, effects: list[fx.Effect], again: list[fx.Effect]) -> None:
        """Learn which of the new containers and records stand for which of the old ones."""
        for old, new in zip(effects, again, strict=True):
            if isinstance(old, fx.StartContainer):
                assert isinstance(new, fx.StartContainer)
                self.containers[old.container] = new.container
        for old_input, new_input in list(self.inputs.items()):
            if old_input.successor is not None and new_input.successor is not None:
                self.inputs[old_input.successor] = new_input.successor

    def same(self, value: Any) -> Any:
        """Return what stands for `value` in the second run."""
        match value:
            case Input():
                return self.inputs[value] if value in self.inputs else self.fresh(value)
            case Container():
                return self.containers[value]
            case ClosedError() | DeadlockError() | ResourceExhaustedError():
                return str(value)
            case list() | tuple():
                return type(value)(map(self.same, value))
            case Snapshot(now=now, oldest_idle_since=idle, oldest_start_since=start):
                return evolve(
                    value,
                    now=now + self.shift,
                    oldest_idle_since=None if idle is None else idle + self.shift,
                    oldest_start_since=None if start is None else start + self.shift,
                )
            case fx.Decided(decision, seen):
                wake_at = None if decision.wake_at is None else decision.wake_at + self.shift
                return fx.Decided(evolve(decision, wake_at=wake_at), self.same(seen))
            case fx.Terminated(containers, movable):
                return fx.Terminated(self.same(containers), movable)
            case float():
                return value + self.shift
            case fx.Deliver(container, inputs):
                return fx.Deliver(self.same(container), self.same(inputs))
            case fx.Settle() | fx.CancelRun() | fx.ReportAbandoned():
                return evolve(value, input=self.same(value.input))
            case _ if hasattr(value, "container"):
                return evolve(value, container=self.same(value.container))
            case _:
                return value

    def fresh(self, input: Input) -> Input:
        again = Input(
            input.target, (), None, None, parent=self.same(self.lineage[input]), spawned=input.spawned
        )
        self.inputs[input] = again
        return again

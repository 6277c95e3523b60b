# SPDX-License-Identifier: Apache-2.0
"""The pool machine as one would write it who had all the time in the world: lists, and scans of them.

`Model` predicts each step; `CheckedPool` takes the real step beside it, demands that both agree, and looks at
everything that must hold after every step. Of a decision the model predicts nothing: it checks that what the
machine made of it keeps the contract.
"""

from __future__ import annotations

import math
from collections import Counter
from collections.abc import Iterator
from typing import Any

import pytest
from attrs import define, field

from actorpool._core import _effects as fx
from actorpool._core._config import AutoscalerSettings, Concurrency, Limits, Restart
from actorpool._core._container import Container, Phase
from actorpool._core._input import (
    CANCELLED,
    DELAYED,
    FAILED,
    PENDING,
    RUNNING,
    SUCCEEDED,
    TIMED_OUT,
    Input,
)
from actorpool._core._pool import Pool
from actorpool._core._retry import RetryPolicy
from actorpool.exception import ClosedError, DeadlockError, ResourceExhaustedError

__all__ = ["CheckedPool", "Model"]


@define(eq=False)
class Box:
    """A container of the model."""

    record: Container
    asked_at: float
    phase: Phase = Phase.STARTING
    slots: dict[Input, float] = field(factory=dict)
    idle_since: float = 0.0
    served: int = 0
    order: int = 0
    """When it got to its load, among all such moves."""


class Model:
    """What the pool should do."""

    def __init__(
        self,
        *,
        settings: AutoscalerSettings,
        concurrency: Concurrency,
        limits: Limits,
        restart: Restart,
        timeout: float | None,
        retry: RetryPolicy | None,
        recycle_after: int | None,
        grace_s: float,
    ) -> None:
        self.settings = settings
        self.max_inputs, self.target = concurrency.max_inputs, concurrency.target
        self.limits, self.restart = limits, restart
        self.timeout, self.retry, self.recycle_after, self.grace_s = timeout, retry, recycle_after, grace_s
        self.boxes: list[Box] = []
        self.backlog: list[Input] = []
        self.delayed: list[tuple[float, Input]] = []
        self.interrupted: list[tuple[float, Input]] = []
        self.emptied: list[Box] = []
        self.states: dict[Input, int] = {}
        self.parents: dict[Input, Input | None] = {}
        self.superseded: set[Input] = set()
        self.orphans: list[Input] = []
        """Inputs whose container has gone, and whose work may return later."""
        self.accepting, self.shut, self.crowded = True, False, False
        self.failures, self.failed_number, self.not_before = 0, 0, -math.inf
        self.backing_off = False
        self.moves = self.refused = self.start_failures = 0
        self.lived_s = 0.0

    # -- what there is ---------------------------------------------------------------------------

    def live(self, *phases: Phase) -> list[Box]:
        return [box for box in self.boxes if box.phase in phases or (not phases and box.phase is not Phase.STOPPED)]

    @property
    def size(self) -> int:
        return len(self.live(Phase.STARTING, Phase.READY))

    @property
    def idle(self) -> list[Box]:
        """The idle containers, the longest idle first."""
        return [box for box in sorted(self.live(Phase.READY), key=lambda box: box.order) if not box.slots]

    @property
    def held(self) -> list[Input]:
        """The inputs that hold slots."""
        return [input for box in self.live() for input in box.slots]

    @property
    def demand(self) -> int:
        return sum(len(box.slots) for box in self.live(Phase.READY)) + len(self.backlog)

    @property
    def due_to_stay(self) -> int:
        """How many containers the minimum, or the demand and its buffer, hold."""
        needed = math.ceil(self.demand / self.target) + self.settings.buffer_containers if self.demand else 0
        return max(self.settings.min_containers, needed)

    @property
    def free_slots(self) -> int:
        return sum(self.max_inputs - len(box.slots) for box in self.live(Phase.READY))

    def box_of(self, container: Container) -> Box:
        return next(box for box in self.boxes if box.record is container)

    def holder(self, input: Input) -> Box | None:
        return next((box for box in self.live() if input in box.slots), None)

    def waiting(self, *, spawned: bool) -> int:
        inputs = [*self.backlog, *(input for _, input in self.delayed)]
        return sum(input.spawned is spawned for input in inputs)

    def room(self) -> int:
        """Count the called inputs that could still come, one by one."""
        held, free, called = len(self.held), self.free_slots, sum(not input.spawned for input in self.backlog)
        between = self.waiting(spawned=False) - called
        count = 0
        while held + called + between < self.limits.max_inputs:
            if free:
                free, held = free - 1, held + 1
            elif called < self.limits.max_pending:
                called += 1
            else:
                break
            count += 1
        return count

    def callers(self, input: Input | None) -> Iterator[Input]:
        """Yield those who wait, one for the other, for what `input` submits."""
        while input is not None:
            yield input
            done = self.states[input] >= SUCCEEDED
            input = None if input.spawned or done else self.parents[input]

    # -- the data path ---------------------------------------------------------------------------

    def submit(self, input: Input, now: float) -> Container | None:
        if not self.accepting:
            raise ClosedError
        limits = self.limits
        if not input.spawned and len(self.held) + self.waiting(spawned=False) >= limits.max_inputs:
            raise ResourceExhaustedError("", limit_name="max_inputs")
        if not self.free_slots:
            called = sum(not other.spawned for other in self.backlog)
            if input.spawned and self.waiting(spawned=True) >= limits.max_spawned:
                raise ResourceExhaustedError("", limit_name="max_spawned")
            if not input.spawned and called >= limits.max_pending:
                raise ResourceExhaustedError("", limit_name="max_pending")
            ready = self.live(Phase.READY)
            full = len(ready) == self.settings.max_containers
            holders = {other for box in ready for other in box.slots}
            if not input.spawned and full and holders <= {*self.callers(input.parent)}:
                raise DeadlockError("")
        self.parents[input] = input.parent
        return self.take_or_wait(input, now)

    def take_or_wait(self, input: Input, now: float) -> Container | None:
        ready = self.live(Phase.READY)
        below_target = [box for box in ready if len(box.slots) < self.target]
        below_max = [box for box in ready if len(box.slots) < self.max_inputs]
        if below_target:
            box = max(below_target, key=lambda box: (len(box.slots), box.order))
        elif below_max:
            box = min(below_max, key=lambda box: (len(box.slots), -box.order))
        else:
            self.states[input] = PENDING
            self.backlog.append(input)
            return None
        self.put(input, box, now)
        self.moved(box)
        return box.record

    def put(self, input: Input, box: Box, now: float) -> None:
        box.slots[input] = now
        self.states[input] = RUNNING

    def moved(self, box: Box) -> None:
        self.moves += 1
        box.order = self.moves

    def complete(self, input: Input, state: int, value: object, now: float) -> Input | None:
        box = self.holder(input)
        if box is None:
            return None
        del box.slots[input]
        if self.states[input] == RUNNING and not (
            state == FAILED and isinstance(value, Exception) and self.try_again(input, now)
        ):
            self.states[input] = state
        box.served += 1
        if box.phase is not Phase.READY:
            if not box.slots:
                self.emptied.append(box)
            return None
        if box.served == self.recycle_after:
            self.drain(box)
        elif self.backlog:
            following = self.backlog.pop(0)
            self.put(following, box, now)
            return following
        else:
            self.moved(box)
            box.idle_since = now
        return None

    def drain(self, box: Box) -> None:
        box.phase = Phase.DRAINING
        if not box.slots:
            self.emptied.append(box)

    def pause(self, attempt: int) -> float | None:
        return None if self.retry is None or self.shut else self.retry.delay_s(attempt)

    def try_again(self, input: Input, now: float) -> bool:
        # The machine takes its step after the model does: `attempt` is the one that has just failed.
        pause = self.pause(input.attempt)
        if pause is not None:
            self.delay(input, now + pause)
        return pause is not None

    def delay(self, input: Input, until: float) -> None:
        self.states[input] = DELAYED
        self.delayed.append((until, input))
        self.delayed.sort(key=lambda entry: entry[0])

    def cancel(self, input: Input, now: float) -> int:
        state = self.states[input]
        if state < SUCCEEDED:
            self.backlog = [other for other in self.backlog if other is not input]
            self.delayed = [entry for entry in self.delayed if entry[1] is not input]
            if state == RUNNING:
                self.interrupted.append((now, input))
            self.states[input] = CANCELLED
        return state

    # -- the control path: what each event but a decision must bring about -----------------------

    def ready(self, container: Container, now: float) -> list[fx.Effect]:
        box = self.box_of(container)
        if box.phase is not Phase.STARTING:
            return []
        box.phase, box.idle_since = Phase.READY, now
        self.failures, self.backing_off = 0, False
        taken = self.backlog[: self.max_inputs]
        del self.backlog[: self.max_inputs]
        for input in taken:
            self.put(input, box, now)
        self.moved(box)
        return [fx.Deliver(container, tuple(taken))] if taken else []

    def failed(self, container: Container, now: float) -> list[fx.Effect]:
        box = self.box_of(container)
        called_off = box.phase is not Phase.STARTING
        self.bury(box, now)
        if called_off:
            return []
        self.start_failures += 1
        if container.number > self.failed_number:
            self.failures += 1
            self.failed_number = len(self.boxes)
            self.not_before = now + self.restart.delay_s(self.failures)
            self.backing_off = True
        waiting = [*self.backlog, *(input for _, input in self.delayed)]
        if self.failures < self.restart.max_failures or self.live(Phase.READY) or not waiting:
            return []
        self.failures, self.backing_off = 0, False
        return self.withdraw(FAILED)

    def withdraw(self, state: int) -> list[fx.Effect]:
        waiting = [*self.backlog, *(input for _, input in self.delayed)]
        self.backlog, self.delayed = [], []
        self.states.update(dict.fromkeys(waiting, state))
        return [fx.Settle(input) for input in waiting]

    def exited(self, container: Container, now: float) -> list[fx.Effect]:
        box = self.box_of(container)
        if box.phase is Phase.STOPPED:
            return []
        effects: list[fx.Effect] = []
        for input in box.slots:
            if self.states[input] != RUNNING:
                self.orphans.append(input)
            elif (pause := self.pause(input.attempt - (input.state == DELAYED))) is not None:
                self.delay(input, now + pause)
            else:
                self.states[input] = FAILED
                self.orphans.append(input)
                effects.append(fx.Settle(input))
        box.slots.clear()
        self.bury(box, now)
        return effects

    def bury(self, box: Box, now: float) -> None:
        box.phase = Phase.STOPPED
        self.lived_s += now - box.asked_at

    def changed(self, settings: AutoscalerSettings) -> list[fx.Effect]:
        self.settings = settings
        bound = math.inf if settings.max_containers is None else settings.max_containers
        effects: list[fx.Effect] = []
        while self.size > bound and (starting := self.live(Phase.STARTING)):
            effects.append(self.stop(starting[-1]))
        while self.size > bound:
            box = min(self.live(Phase.READY), key=lambda box: (len(box.slots), box.order))
            if box.slots:
                self.drain(box)
            else:
                effects.append(self.stop(box))
        return effects

    def stop(self, box: Box) -> fx.Effect:
        box.phase = Phase.STOPPING
        return fx.StopContainer(box.record)

    def make_way(self) -> list[fx.Effect]:
        count = max(0, self.size - self.settings.min_containers) if self.crowded else 0
        return [self.stop(box) for box in self.idle[:count]]

    def ticked(self, now: float) -> list[fx.Effect]:
        effects: list[fx.Effect] = []
        due = [
            input
            for box in self.live()
            for input, started in box.slots.items()
            if self.timeout is not None and started + self.timeout <= now and self.states[input] == RUNNING
        ]
        for input in due:
            self.states[input] = TIMED_OUT
            self.interrupted.append((now, input))
            if (pause := self.pause(input.attempt)) is None:
                effects.append(fx.Settle(input))
            else:
                successor = input.successor
                assert successor is not None
                self.superseded.add(input)
                self.parents[successor] = self.parents[input]
                self.delay(successor, now + pause)
            effects.append(fx.CancelRun(input))
        while self.delayed and self.delayed[0][0] <= now:
            _, input = self.delayed.pop(0)
            container = self.take_or_wait(input, now)
            if container is not None:
                effects.append(fx.Deliver(container, (input,)))
        still = [(since, input) for since, input in self.interrupted if self.holder(input)]
        effects += [fx.ReportAbandoned(input) for since, input in still if since + self.grace_s <= now]
        self.interrupted = [entry for entry in still if entry[0] + self.grace_s > now]
        effects += [self.stop(box) for box in self.emptied if box.phase is Phase.DRAINING]
        self.emptied = []
        self.backing_off = self.backing_off and self.not_before > now
        return effects + self.make_way()

    def aborted(self, now: float) -> list[fx.Effect]:
        effects = self.withdraw(CANCELLED)
        for input in [input for input in self.held if self.states[input] == RUNNING]:
            self.states[input] = CANCELLED
            self.interrupted.append((now, input))
            effects += [fx.Settle(input), fx.CancelRun(input)]
        return effects

    def shut_down(self) -> list[fx.Effect]:
        self.accepting, self.shut = False, True
        return [self.stop(box) for box in self.live() if box.phase is not Phase.STOPPING]

    # -- decisions: the contract -----------------------------------------------------------------

    def decided(self, event: fx.Decided, effects: list[fx.Effect], now: float) -> None:
        settings, decision = self.settings, event.decision
        bound = math.inf if settings.max_containers is None else settings.max_containers
        before = self.size
        overdue = [box for box in self.idle if box.idle_since + settings.scaledown_window <= now]
        asked = [effect.container for effect in effects if isinstance(effect, fx.StartContainer)]
        told = [effect.container for effect in effects if isinstance(effect, fx.StopContainer)]
        assert len(effects) == len(asked) + len(told)
        called_off = [container for container in told if self.box_of(container).phase is Phase.STARTING]
        latest = [box.record for box in reversed(self.live(Phase.STARTING))]
        assert latest[: len(called_off)] == called_off, "starts are called off the latest first"
        stopped = told[len(called_off) :]
        assert [box.record for box in self.idle][: len(stopped)] == stopped, "only idle containers, longest first"
        stay = self.due_to_stay
        for container in told:
            self.stop(self.box_of(container))
        assert not told or self.size >= settings.min_containers, "never below the minimum by a decision"
        assert len(stopped) >= len(overdue) or self.size <= max(stay, settings.min_containers)
        assert len(stopped) <= max(decision.stop, len(overdue))
        assert len(called_off) <= max(0, decision.cancel)
        assert self.size or not self.backlog or not told, "the last start is kept for what is pending"
        self.boxes += [Box(container, now) for container in asked]
        assert [box.record.number for box in self.boxes] == list(range(1, len(self.boxes) + 1))
        paused = self.backing_off and now < self.not_before
        assert not asked or not (paused or self.shut)
        least = max(settings.min_containers, 1 if self.backlog else 0)
        assert len(asked) <= max(decision.start, least - before)
        assert self.size >= least or paused or self.shut
        assert self.size <= bound


class CheckedPool(Pool):
    """A pool machine that is held against the model after every step, and keeps a log of its steps."""

    def __init__(self, name: str, **options: Any) -> None:
        super().__init__(name, **options)
        self.options = options
        kept = {"settings", "concurrency", "limits", "restart", "timeout", "retry", "recycle_after", "grace_s"}
        self.model = Model(**{name: value for name, value in options.items() if name in kept})
        self.told: Counter[Input] = Counter()
        """How often somebody was told the outcome of each input."""
        self.log: list[tuple[Any, ...]] = []
        """What was asked of the machine and what it answered: `(name, arguments, now, answer)`."""
        self.may_go_since: float | None = None
        """Since when there have been more containers than are due to stay."""

    def submit(self, input: Input, now: float) -> Container | None:
        answer: Any
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
        self._checked("cancel", (input, error), now, answer)
        return answer

    def handle(self, event: fx.Event, now: float) -> list[fx.Effect]:
        effects = super().handle(event, now)
        model = self.model
        match event:
            case fx.Decided():
                model.decided(event, effects, now)
            case fx.ContainerReady(container):
                assert model.ready(container, now) == effects
            case fx.ContainerFailed(container, _):
                assert model.failed(container, now) == effects
            case fx.ContainerExited(container, _):
                assert model.exited(container, now) == effects
            case fx.SettingsChanged(settings):
                assert model.changed(settings) == effects
            case fx.Ticked():
                assert model.ticked(now) == effects
            case fx.Crowded(waiting):
                model.crowded = waiting
                assert model.make_way() == effects
            case fx.Closed():
                model.accepting = False
                assert [] == effects
            case fx.Aborted():
                assert model.aborted(now) == effects
            case fx.ShutDown():
                assert model.shut_down() == effects
        self.told.update(effect.input for effect in effects if isinstance(effect, fx.Settle))
        self._checked("handle", (event,), now, effects)
        return effects

    def _checked(self, name: str, arguments: tuple[Any, ...], now: float, answer: object) -> None:
        self.log.append((name, arguments, now, answer))
        self.check(now)

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
        assert (len(live), len(model.live(Phase.STARTING)), len(model.live(Phase.READY)), len(model.idle)) == (
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
        assert counts.container_seconds == model.lived_s + sum(now - box.asked_at for box in live)
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

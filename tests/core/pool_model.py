# SPDX-License-Identifier: Apache-2.0
"""The pool machine as one would write it who had all the time in the world: lists, and scans of them.

Each step says what the machine must answer. Of a decision the model predicts nothing: it checks that what the
machine made of it keeps the contract.
"""

from __future__ import annotations

import math
from collections.abc import Iterator

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
from actorpool._core._retry import RetryPolicy
from actorpool.exception import ClosedError, DeadlockError, ResourceExhaustedError
from tests.core.pool_parts import Box, Row

__all__ = ["Model"]


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
        self.terminated: list[Box] = []
        self.states: dict[Input, int] = {}
        self.parents: dict[Input, Input | None] = {}
        self.superseded: set[Input] = set()
        self.orphans: list[Input] = []
        """Inputs whose container has gone, and whose work may return later."""
        self.accepting, self.ended, self.shut, self.crowded = True, False, False, False
        self.failures, self.deaths = Row(restart), Row(restart)
        self.completed = self.completed_before_death = 0
        self.moves = self.refused = self.start_failures = 0
        self.lived_s = 0.0

    # -- what there is ---------------------------------------------------------------------------

    def live(self, *phases: Phase) -> list[Box]:
        return [
            box
            for box in self.boxes
            if box.phase in phases or (not phases and box.phase is not Phase.STOPPED)
        ]

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
        if not self.accepting and (input.parent is None or self.ended):
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
        self.completed += 1
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
        # The model takes its step before the machine does: `attempt` is the one that has just failed.
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

    def step(self, event: fx.Event, now: float) -> list[fx.Effect]:
        match event:
            case fx.ContainerReady(container):
                return self.ready(container, now)
            case fx.ContainerFailed(container, error):
                return self.failed(container, error, now)
            case fx.ContainerExited(container, error):
                return self.exited(container, error, now)
            case fx.SettingsChanged(settings):
                return self.changed(settings)
            case fx.Ticked():
                return self.ticked(now)
            case fx.Crowded(waiting):
                self.crowded = waiting
                return self.make_way()
            case fx.Terminated():
                return self.terminate(event, now)
            case fx.Closed():
                self.accepting = False
                return []
            case fx.Aborted():
                return self.aborted(now)
            case _:
                assert isinstance(event, fx.ShutDown)
                return self.shut_down()

    def ready(self, container: Container, now: float) -> list[fx.Effect]:
        box = self.box_of(container)
        if box.phase is not Phase.STARTING:
            return []
        box.phase, box.idle_since = Phase.READY, now
        self.failures.end()
        taken = self.backlog[: self.max_inputs]
        del self.backlog[: self.max_inputs]
        for input in taken:
            self.put(input, box, now)
        self.moved(box)
        return [fx.Deliver(container, tuple(taken))] if taken else []

    def failed(self, container: Container, error: BaseException, now: float) -> list[fx.Effect]:
        box = self.box_of(container)
        called_off = box.phase is not Phase.STARTING
        self.bury(box, now)
        if called_off:
            return []
        self.start_failures += 1
        self.failures.add(container.number, len(self.boxes), now)
        return self.judge(self.failures, box, error, now, died=False)

    def judge(self, row: Row, box: Box, error: BaseException, now: float, *, died: bool) -> list[fx.Effect]:
        """Report it; fail what is pending if this row is long enough, and nobody else may come to serve it."""
        pause = max(0.0, row.not_before - now)
        report: list[fx.Effect] = [fx.ReportLoss(box.record, error, died, row.count, pause)]
        undecided = [box for box in self.live(Phase.STARTING) if box.record.number <= row.first_number]
        waiting = self.backlog or self.delayed
        if row.count < self.restart.max_failures or self.live(Phase.READY) or undecided or not waiting:
            return report
        row.end()
        return report + self.withdraw(FAILED)

    def died_early(self, box: Box, error: BaseException, now: float) -> list[fx.Effect]:
        """A container died in which no input has run."""
        if self.completed != self.completed_before_death or now - box.asked_at > self.restart.max_delay_s:
            self.deaths.end()
        self.completed_before_death = self.completed
        self.deaths.add(box.record.number, len(self.boxes), now)
        return self.judge(self.deaths, box, error, now, died=True)

    def paused(self, now: float) -> bool:
        """Whether failures keep the pool from starting anything now."""
        return now < max(self.failures.not_before, self.deaths.not_before)

    def withdraw(self, state: int) -> list[fx.Effect]:
        waiting = [*self.backlog, *(input for _, input in self.delayed)]
        self.backlog, self.delayed = [], []
        self.states.update(dict.fromkeys(waiting, state))
        return [fx.Settle(input) for input in waiting]

    def exited(self, container: Container, error: BaseException | None, now: float) -> list[fx.Effect]:
        box = self.box_of(container)
        if box.phase is Phase.STOPPED:
            return []
        effects: list[fx.Effect] = []
        cause = error if box.phase is Phase.READY else None
        fruitful = bool(box.slots or box.served)
        for input in box.slots:
            if self.states[input] != RUNNING:
                self.orphans.append(input)
                if error is None and any(other is input for _, other in self.interrupted):
                    effects.append(fx.ReportAbandoned(input))
            elif not self.try_again(input, now):
                self.states[input] = FAILED
                self.orphans.append(input)
                effects.append(fx.Settle(input))
        box.slots.clear()
        self.bury(box, now)
        if cause is None:
            return effects
        lost: list[fx.Effect] = [fx.ReportLoss(container, cause, died=True)]
        return effects + (lost if fruitful else self.died_early(box, cause, now))

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
        effects += self.stop_terminated()
        return effects + self.make_way()

    def terminate(self, event: fx.Terminated, now: float) -> list[fx.Effect]:
        boxes = [self.box_of(container) for container in event.containers]
        for box in boxes:
            if box.phase is Phase.READY:
                self.drain(box)
        ending = [box for box in boxes if box.phase is Phase.DRAINING]
        self.terminated += [box for box in ending if box not in self.terminated]
        running = [input for box in ending for input in box.slots if self.states[input] == RUNNING]
        moved = [input for input in running if event.movable(input)]
        effects: list[fx.Effect] = [fx.CancelRun(input) for input in moved]
        for input in moved:
            successor = input.successor
            assert successor is not None
            assert input.attempt == successor.attempt
            self.states[input] = CANCELLED
            self.interrupted.append((now, input))
            self.superseded.add(input)
            self.parents[successor] = self.parents[input]
            container = self.take_or_wait(successor, now)
            if container is not None:
                effects.append(fx.Deliver(container, (successor,)))
        return effects + self.stop_terminated()

    def stop_terminated(self) -> list[fx.Effect]:
        """Stop those in which every outcome is known."""
        self.terminated = [box for box in self.terminated if box.phase is Phase.DRAINING]
        ready = [box for box in self.terminated if all(self.states[input] != RUNNING for input in box.slots)]
        return [self.stop(box) for box in ready]

    def aborted(self, now: float) -> list[fx.Effect]:
        self.ended = True
        effects = self.withdraw(CANCELLED)
        for input in [input for input in self.held if self.states[input] == RUNNING]:
            self.states[input] = CANCELLED
            self.interrupted.append((now, input))
            effects += [fx.Settle(input), fx.CancelRun(input)]
        return effects

    def shut_down(self) -> list[fx.Effect]:
        self.accepting, self.ended, self.shut = False, True, True
        return [self.stop(box) for box in self.live() if box.phase is not Phase.STOPPING]

    # -- decisions: the contract -----------------------------------------------------------------

    def decided(self, event: fx.Decided, effects: list[fx.Effect], now: float) -> bool:
        """Return whether more was needed than the policy had seen, which it has to look at again."""
        settings, decision = self.settings, event.decision
        bound = math.inf if settings.max_containers is None else settings.max_containers
        before, stopping = self.size, len(self.live(Phase.STOPPING))
        overdue = [box for box in self.idle if box.idle_since + settings.scaledown_window <= now]
        asked = [effect.container for effect in effects if isinstance(effect, fx.StartContainer)]
        told = [effect.container for effect in effects if isinstance(effect, fx.StopContainer)]
        assert len(effects) == len(asked) + len(told)
        called_off = [container for container in told if self.box_of(container).phase is Phase.STARTING]
        latest = [box.record for box in reversed(self.live(Phase.STARTING))]
        assert latest[: len(called_off)] == called_off, "starts are called off the latest first"
        stopped = told[len(called_off) :]
        assert [box.record for box in self.idle][: len(stopped)] == stopped, (
            "only idle containers, longest first"
        )
        stay = self.due_to_stay
        for container in told:
            self.stop(self.box_of(container))
        self.boxes += [Box(container, now) for container in asked]
        assert [box.record.number for box in self.boxes] == list(range(1, len(self.boxes) + 1))
        assert not told or self.size >= settings.min_containers, "never below the minimum by a decision"
        assert not told or self.size or not self.backlog, "the last start is kept for what is pending"
        assert len(stopped) >= len(overdue) or self.size <= stay, "none idles on that need not stay"
        assert len(stopped) <= max(decision.stop, len(overdue))
        assert len(called_off) <= max(0, decision.cancel)
        paused = self.paused(now)
        assert not asked or not (paused or self.shut)
        if self.crowded:
            assert not asked or self.size <= max(
                settings.min_containers, math.ceil(self.demand / self.target), 1
            )
        least = max(settings.min_containers, 1 if self.backlog else 0)
        seen_least = max(event.seen.settings.min_containers, 1 if event.seen.pending else 0)
        seen_missing = seen_least - event.seen.ready - event.seen.starting
        assert len(asked) <= max(0, decision.start, min(least - before, seen_missing))
        late = least - before > max(decision.start, seen_missing)
        full = before + stopping + len(asked) >= bound
        assert self.size >= least or late or paused or self.shut or full
        assert self.size <= bound
        assert not asked or before + stopping + len(asked) <= bound, "what is stopping counts"
        # At the maximum it can look as often as it likes: it is asked when one has stopped.
        return late and not full

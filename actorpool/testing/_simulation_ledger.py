# SPDX-License-Identifier: Apache-2.0
"""The truth about one simulated pool, kept by somebody who only watches: what was accepted, what runs, what ended.

Each step of the pool machine is written into a `Ledger` (by `_simulation_pool`): in a log, and in plain lists and
dictionaries from which the invariants are told without asking the machine. What cannot be seen from outside, that an
input waits for a further attempt, is read off its record. The machine decides everything; nothing here does.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping
from typing import Any, Protocol

from actorpool._core import _effects as fx
from actorpool._core._config import AutoscalerSettings
from actorpool._core._container import Container, Phase
from actorpool._core._input import DELAYED, NEW, PENDING, RUNNING, STATE_NAMES, SUCCEEDED, Input
from actorpool._core._pool import Pool

from ._simulation_plan import PoolPlan

__all__ = ["Entry", "FailureRow", "Inside", "Ledger"]

Entry = tuple[Any, ...]
"""One line of a log: the instant, what happened, and numbers that say to whom."""


class Inside(Protocol):
    """The inside of a container, as far as it can be seen and harmed."""

    @property
    def executing(self) -> Mapping[Input, object]:
        """The inputs that it runs."""
        ...

    def die(self) -> None:
        """End at once, if it can."""
        ...


class FailureRow:
    """Failures in a row, those of containers that were under way together counted once."""

    __slots__ = ("_newest_then", "_restart", "count", "paused_until")

    def __init__(self, plan: PoolPlan) -> None:
        self._restart = plan.restart
        self._newest_then = 0
        self.count: int = 0
        self.paused_until: float = -math.inf
        """Until when no container may start."""

    def end(self) -> None:
        """End the row."""
        self.count, self.paused_until = 0, -math.inf

    def add(self, number: int, newest: int, now: float) -> None:
        """Count the failure of container `number`, when the container `newest` was the last to be asked for."""
        if number > self._newest_then:
            self.count += 1
            self._newest_then = newest
            self.paused_until = now + self._restart.delay_s(self.count)


class Ledger:
    """What is true of one pool.

    Args:
        plan: The pool's plan.
        clock: Returns the world's instant.
    """

    def __init__(self, plan: PoolPlan, clock: Callable[[], float]) -> None:
        self.plan = plan
        self.clock = clock
        self.settings: AutoscalerSettings = plan.settings
        self.max_inputs: int = plan.max_inputs
        self.target: int = plan.concurrency.target
        self.log: list[Entry] = []
        self.steps: int = 0
        """Steps the machine has taken."""
        self.numbers: dict[Input, int] = {}
        """{record: the number of its input}"""
        self.open: dict[Input, None] = {}
        """Records accepted, and without an outcome."""
        self.pending: dict[Input, None] = {}
        """Those in the backlog, the oldest first."""
        self.delayed: dict[Input, None] = {}
        """Those that wait for a further attempt."""
        self.slots: dict[Container, dict[Input, None]] = {}
        """{live container: what holds its slots}, in the order of their starts."""
        self.running: dict[Input, Container] = {}
        """{input that holds a slot: where}"""
        self.phases: dict[Container, Phase] = {}
        """{live container: where it was seen to be in its life}"""
        self.idle_since: dict[Container, float] = {}
        self.size: int = 0
        """Containers that count: starting and ready."""
        self.ready: int = 0
        """Containers that take inputs."""
        self.held: int = 0
        """Inputs in slots of ready containers."""
        self.outcomes: list[int] = [0] * 8
        """How many inputs ended in each state."""
        self.refused: int = 0
        self.waiting_called: int = 0
        """Called inputs that are pending or delayed."""
        self.waiting_spawned: int = 0
        """Spawned ones."""
        self.left_behind: list[Input] = []
        """What held the slots of the container that has just exited, the oldest first."""
        self.may_go_since: float | None = None
        """Since when there have been more containers than the minimum, the demand and the buffer hold."""
        self.failures: FailureRow = FailureRow(plan)
        """Failed starts in a row."""
        self.deaths: FailureRow = FailureRow(plan)
        """Containers in a row that died before an input had run in them."""
        self.ended: int = 0
        """Inputs that have left their slots by themselves."""
        self.ended_before_death: int = 0
        self.started: int = 0
        """Containers ever asked for."""
        self.told_to_stop: dict[Container, None] = {}
        self.complaints: list[str] = []
        """What this step did that it must not have; said by name of the invariant, then in words."""
        self.event: fx.Event | None = None
        """The control event of this step, None in a step of the data path."""
        self.effects: list[fx.Effect] = []
        """What the machine has answered to it."""
        self.accepting: bool = True
        self.shut: bool = False
        self.aborted_at: float | None = None
        """When the inputs that were left were cancelled by the closing of the app."""
        self.open_when_aborted: int = 0
        self.hurried: bool = False
        """Whether the app was closed without a drain."""
        self.drain_until: float = math.inf
        """When the drain of the app may be cut off at the earliest."""
        self.inside: dict[int, Inside] = {}
        """{number of a container: what is inside}"""
        self.check: Callable[[Pool], object] = _nothing
        """Told after each step."""

    # -- what is told from it --------------------------------------------------------------------

    @property
    def paused_until(self) -> float:
        """Until when no container may start, because starts have failed or containers have died early."""
        return max(self.failures.paused_until, self.deaths.paused_until)

    @property
    def demand(self) -> int:
        """Inputs in slots of ready containers, and pending."""
        return self.held + len(self.pending)

    def follow(self) -> None:
        """Look where each container is in its life, and count."""
        phases = self.phases
        size = held = ready = 0
        for container, slots in self.slots.items():
            phase = phases[container] = container.phase
            if phase is Phase.READY:
                ready += 1
                held += len(slots)
            elif phase is Phase.STARTING:
                size += 1
        self.size, self.held, self.ready = size + ready, held, ready

    @property
    def due_to_stay(self) -> int:
        """How many containers the minimum, or the demand and its buffer, hold."""
        demand = self.demand
        if not demand:
            return self.settings.min_containers
        needed = -(-demand // self.target) + self.settings.buffer_containers
        return max(self.settings.min_containers, needed)

    @property
    def over(self) -> bool:
        """Whether all containers were told to stop, or the app has closed with none."""
        return self.shut or (not self.accepting and not self.phases and not self.open)

    @property
    def pending_called(self) -> int:
        """Called inputs in the backlog."""
        return self.waiting_called - sum(not input.spawned for input in self.delayed)

    def number(self, input: Input) -> int:
        """Return the number of an input, which is its first argument; its later attempts share it."""
        found = self.numbers.get(input)
        if found is None:
            found = self.numbers[input] = input.args[0]
        return found

    def complain(self, invariant: str, message: str) -> None:
        """Say that this step has broken an invariant."""
        self.complaints.append(f"{invariant}: {message}")

    def note(self, *what: Any) -> None:
        """Write a line into the log."""
        self.log.append((self.clock(), *what))

    # -- the data path ---------------------------------------------------------------------------

    def refuse(self, input: Input, error: Exception) -> None:
        """An input was not accepted."""
        name = getattr(error, "limit_name", None) or type(error).__name__
        self.log.append((self.clock(), "refused", name, len(self.pending), len(self.running)))
        if name == "max_inputs" and len(self.running) + self.waiting_called < self.plan.max_in_all:
            self.complain("limits_hold", f"{name} was said to be reached, but {self.amounts()}")
        if name == "max_pending" and self.pending_called < self.plan.max_pending:
            self.complain("limits_hold", f"{name} was said to be reached, but {self.amounts()}")
        if name == "max_spawned" and self.waiting_spawned < self.plan.max_spawned:
            self.complain("limits_hold", f"{name} was said to be reached, but {self.amounts()}")

    def amounts(self) -> str:
        """Return what counts against the limits, in words."""
        waiting = f"{self.waiting_called} called and {self.waiting_spawned} spawned ones wait"
        return f"{len(self.running)} inputs run, {waiting}"

    def accept(self, input: Input, container: Container | None) -> None:
        """An input was accepted; a container has taken it, or it is pending."""
        number = self.number(input)
        self.open[input] = None
        if not self.accepting and input.parent is None:
            self.complain("a_closed_pool_accepts_nothing", f"input {number} was accepted")
        if container is None:
            self.log.append((self.clock(), "pending", number))
            self.wait(input)
            if input.spawned:
                if self.waiting_spawned > self.plan.max_spawned:
                    self.complain(
                        "limits_hold", f"input {number} is one too many to be pending: {self.amounts()}"
                    )
            elif self.pending_called > self.plan.max_pending:
                self.complain(
                    "limits_hold", f"input {number} is one too many to be pending: {self.amounts()}"
                )
        else:
            self.log.append((self.clock(), "taken", number, container.number))
            if self.pending:
                self.complain(
                    "oldest_pending_first", f"input {number} was taken at once, while others are pending"
                )
            self.put(input, container)
        if not input.spawned and len(self.running) + self.waiting_called > self.plan.max_in_all:
            self.complain("limits_hold", f"input {number} is one too many: {self.amounts()}")

    def wait(self, input: Input) -> None:
        self.pending[input] = None
        if input.spawned:
            self.waiting_spawned += 1
        else:
            self.waiting_called += 1

    def delay(self, input: Input) -> None:
        self.delayed[input] = None
        if input.spawned:
            self.waiting_spawned += 1
        else:
            self.waiting_called += 1

    def leave(self, input: Input) -> None:
        """An input is no longer pending or delayed."""
        if input in self.pending:
            del self.pending[input]
        else:
            del self.delayed[input]
        if input.spawned:
            self.waiting_spawned -= 1
        else:
            self.waiting_called -= 1

    def put(self, input: Input, container: Container) -> None:
        """An input holds a slot from now on."""
        slots = self.slots.get(container)
        if slots is None or self.phases[container] is not Phase.READY:
            self.complain(
                "only_ready_containers_take_inputs",
                f"container {container.number} has taken input {self.number(input)}, and is {container.phase.value}",
            )
            slots = self.slots.setdefault(container, {})
        slots[input] = None
        self.held += 1
        if len(slots) > self.max_inputs:
            self.complain(
                "no_slot_above_max_inputs", f"container {container.number} runs {len(slots)} inputs"
            )
        if input in self.running:
            self.complain("each_attempt_runs_once", f"input {self.number(input)} was taken a second time")
        self.running[input] = container

    def take_oldest(self, input: Input, container: Container) -> None:
        """A pending input was taken."""
        oldest = next(iter(self.pending), None)
        if input is not oldest:
            waits = "none is pending" if oldest is None else f"input {self.number(oldest)} has waited longer"
            self.complain("oldest_pending_first", f"input {self.number(input)} was taken, but {waits}")
        if input in self.pending:
            self.leave(input)
        self.put(input, container)

    def complete(self, input: Input, following: Input | None) -> None:
        """The work of an input has ended."""
        container = self.running.pop(input, None)
        number = self.number(input)
        if container is None:
            self.log.append((self.clock(), "late", number))
            if following is not None:
                self.complain(
                    "no_slot_above_max_inputs", f"input {number} gave up a slot that it did not hold"
                )
            return
        slots = self.slots[container]
        del slots[input]
        self.ended += 1
        phase = self.phases[container]
        if phase is Phase.READY:
            self.held -= 1
        taken = 0 if following is None else self.number(following)
        self.log.append((self.clock(), "ended", number, container.number, STATE_NAMES[input.state], taken))
        if input in self.open:
            self.see(input)
        if following is not None:
            self.take_oldest(following, container)
        elif not slots:
            self.idle_since[container] = self.clock()
        if container.phase is not phase:
            self.follow()

    def see(self, input: Input) -> None:
        """Look where an input that held a slot or waited has gone."""
        state = input.state
        if state >= SUCCEEDED:
            self.end(input)
        elif state == DELAYED:
            self.delay(input)
        elif state == PENDING:
            self.complain("oldest_pending_first", f"input {self.number(input)} is pending once more")

    def end(self, input: Input) -> None:
        """An input has its outcome, or another record has its place."""
        if input not in self.open:
            self.complain(
                "each_input_has_one_outcome",
                f"input {self.number(input)} was given a second one: {input.state}",
            )
            return
        del self.open[input]
        successor = input.successor
        if successor is None:
            self.outcomes[input.state] += 1
        else:
            self.open[successor] = None
            self.numbers[successor] = self.numbers[input]

    def cancel(self, input: Input, state: int) -> None:
        """An input was cancelled while it was in `state`."""
        self.log.append((self.clock(), "cancelled", self.number(input), STATE_NAMES[state]))
        if state == NEW or state >= SUCCEEDED:
            # A map was left that had drawn it and not sent it on; or it was too late.
            return
        if input in self.pending or input in self.delayed:
            if state == RUNNING:
                self.complain(
                    "each_attempt_runs_once", f"input {self.number(input)} waits, but was said to run"
                )
            self.leave(input)
        elif state != RUNNING:
            self.complain(
                "each_input_has_one_outcome", f"input {self.number(input)} was said to wait, but does not"
            )
        self.end(input)


def _nothing(_: Pool) -> None:
    pass

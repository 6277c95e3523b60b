# SPDX-License-Identifier: Apache-2.0
"""A pool machine in a rig: a clock moved by hand, and a shell that does at once what the machine asks."""

from __future__ import annotations

import math
from functools import partial
from typing import Any

from actorpool._core import _effects as fx
from actorpool._core._admission import CONTROL, ROOM, SCALING
from actorpool._core._config import AutoscalerSettings, Concurrency, Limits, Restart
from actorpool._core._container import Container, Phase
from actorpool._core._input import FAILED, SUCCEEDED, Input
from actorpool._core._observed import make_pool
from actorpool._core._pool import Pool
from actorpool._core._retry import RetryPolicy
from actorpool._core._scaling import Decision, ScalingPolicy, WindowPolicy, with_events

__all__ = ["Passive", "Rig"]


class Passive:
    """A policy that wants nothing: what still happens, the machine's contract does."""

    def decide(self, snapshot: object) -> Decision:
        return Decision()


class Rig:
    """One pool and what a shell has of it: the clock, the timers, the containers it was told to start."""

    def __init__(
        self,
        *,
        policy: ScalingPolicy | None = None,
        kind: type[Pool] | None = None,
        max_inputs: int = 1,
        target_inputs: int = 0,
        limits: Limits | None = None,
        restart: Restart | None = None,
        timeout: float | None = None,
        retries: object = None,
        recycle_after: int | None = None,
        grace_s: float = 5.0,
        startup_hint_s: float = 0.0,
        now: float = 0.0,
        **settings: Any,
    ) -> None:
        self.policy: ScalingPolicy = WindowPolicy() if policy is None else policy
        self.decide_on = with_events(self.policy)
        self.now = now
        make = partial(make_pool, policy=self.policy) if kind is None else kind
        self.pool = make(
            "f",
            settings=AutoscalerSettings(**settings),
            concurrency=Concurrency(max_inputs, target_inputs),
            limits=limits or Limits(),
            restart=restart or Restart(initial_delay_s=0.125),
            timeout=timeout,
            retry=None if retries is None else RetryPolicy.of(retries),
            recycle_after=recycle_after,
            grace_s=grace_s,
            startup_hint_s=startup_hint_s,
        )
        self.containers: list[Container] = []
        """Every container ever asked for."""
        self.effects: list[fx.Effect] = []
        """Everything the machine has asked for."""
        self.reports: list[fx.ReportLoss] = []
        """What was reported of containers that were lost."""
        self.looks = 0
        """How often the policy was asked."""
        self.called: list[object] = []
        """Those who waited for room and were called."""
        self.timer: float | None = None
        self.wake_at: float | None = None

    # -- the data path ---------------------------------------------------------------------------

    def submit(self, target: Any = "f", *, parent: Input | None = None, spawned: bool = False) -> Input:
        input = Input(target, (), None, None, parent=parent, spawned=spawned)
        self.pool.submit(input, self.now)
        return input

    def spawn(self, *, parent: Input | None = None) -> Input:
        return self.submit(parent=parent, spawned=True)

    def many(self, count: int) -> list[Input]:
        return [self.submit() for _ in range(count)]

    def end(self, input: Input, value: object = None) -> Input | None:
        return self.pool.complete(input, SUCCEEDED, value, self.now)

    def fail(self, input: Input, error: BaseException | None = None) -> Input | None:
        return self.pool.complete(input, FAILED, error or ValueError("user's"), self.now)

    def cancel(self, input: Input) -> int:
        return self.pool.cancel(input, self.now, RuntimeError("cancelled"))

    # -- the control path ------------------------------------------------------------------------

    def tell(self, event: fx.Event) -> list[fx.Effect]:
        effects = self.pool.handle(event, self.now)
        self.containers += [effect.container for effect in effects if isinstance(effect, fx.StartContainer)]
        self.effects += effects
        return effects

    def decide(self, **decision: Any) -> list[fx.Effect]:
        """Apply this decision, taken from what is to be seen now."""
        return self.tell(fx.Decided(Decision(**decision), self.pool.snapshot(self.now)))

    def ask(self, count: int = 1) -> list[Container]:
        """Have `count` containers started; they stay under way."""
        effects = self.decide(start=count)
        return [effect.container for effect in effects if isinstance(effect, fx.StartContainer)]

    def start(self, count: int = 1) -> list[Container]:
        """Have `count` containers started, and report them ready."""
        containers = self.ask(count)
        for container in containers:
            self.ready(container)
        return containers

    def ready(self, container: Container) -> list[fx.Effect]:
        return self.tell(fx.ContainerReady(container))

    def fail_start(self, container: Container, error: BaseException | None = None) -> list[fx.Effect]:
        return self.less_reports(self.tell(fx.ContainerFailed(container, error or OSError("no model"))))

    def exited(
        self,
        container: Container,
        error: BaseException | None = None,
        run: frozenset[Input] | None = None,
    ) -> list[fx.Effect]:
        return self.less_reports(self.tell(fx.ContainerExited(container, error, run)))

    def less_reports(self, effects: list[fx.Effect]) -> list[fx.Effect]:
        """Keep what is reported of lost containers apart, in `reports`."""
        self.reports += [effect for effect in effects if isinstance(effect, fx.ReportLoss)]
        return [effect for effect in effects if not isinstance(effect, fx.ReportLoss)]

    def change(self, **settings: Any) -> list[fx.Effect]:
        return self.tell(fx.SettingsChanged(AutoscalerSettings(**settings)))

    def in_phase(self, *phases: Phase) -> list[Container]:
        return [container for container in self.containers if container.phase in phases]

    # -- a shell's duties ------------------------------------------------------------------------

    def tick(self) -> list[fx.Effect]:
        effects = self.tell(fx.Ticked())
        self.timer = self.pool.next_tick()
        assert self.timer is None or self.timer > self.now, "the next tick is due at once"
        return effects

    def look(self) -> Decision:
        self.looks += 1
        snapshot = self.pool.snapshot(self.now)
        decision = self.decide_on(snapshot)
        self.wake_at = decision.wake_at
        assert self.wake_at is None or self.wake_at > self.now, "the policy wants to look again at once"
        self.tell(fx.Decided(decision, snapshot))
        return decision

    def attend(self) -> None:
        """Do what the machine asks for until it asks for nothing."""
        for _ in range(100 + 4 * len(self.containers)):
            attention = self.pool.attention
            if not attention:
                return
            if attention & ROOM:
                self.called += self.pool.take_room_waiters()
            if attention & SCALING:
                self.look()
            if attention & CONTROL:
                self.tick()
        raise AssertionError("the machine asks for attention for ever")

    def advance(self, seconds: float) -> None:
        """Let time pass, with all that falls due on the way."""
        until = self.now + seconds
        while True:
            self.attend()
            # Timers have a grain of an eighth of a second, so that instants stay exact.
            wake_at = math.inf if self.wake_at is None else math.ceil(self.wake_at * 8) / 8
            due = min(math.inf if self.timer is None else self.timer, wake_at)
            if due > until:
                break
            self.now = due
            if wake_at == due:
                self.look()
            if self.timer == due:
                self.tick()
        self.now = until

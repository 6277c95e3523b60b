# SPDX-License-Identifier: Apache-2.0
"""The pool machine that is watched: the real one, each step of which is written into a ledger.

Of containers the ledger believes the effects and the events; of inputs, that each went from where it was to where its
record says it is by a move that exists.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from actorpool._core import _effects as fx
from actorpool._core._container import Phase
from actorpool._core._input import DELAYED, PENDING, RUNNING, SUCCEEDED
from actorpool._core._pool import Pool
from actorpool.exception import ClosedError, DeadlockError, ResourceExhaustedError

if TYPE_CHECKING:
    from collections.abc import Sequence

    from actorpool._core._container import Container
    from actorpool._core._input import Input

    from ._simulation_ledger import Ledger

__all__ = ["ObservedPool"]


class ObservedPool(Pool):
    """The pool machine, with a ledger of its steps."""

    __slots__ = ("_inside", "ledger")

    ledger: Ledger

    def observe(self, ledger: Ledger) -> None:
        """Write every step into `ledger` from now on."""
        self.ledger = ledger
        self._inside = False

    def submit(self, input: Input, now: float) -> Container | None:
        """Take the step and write it down."""
        ledger = self.ledger
        try:
            container = super().submit(input, now)
        except (ClosedError, DeadlockError, ResourceExhaustedError) as error:
            if not self._inside:
                ledger.refuse(input, error)
                ledger.refused += isinstance(error, ResourceExhaustedError)
                ledger.check(self)
            raise
        ledger.accept(input, container)
        ledger.check(self)
        return container

    def submit_many(self, inputs: Sequence[Input], now: float) -> tuple[int, list[Input]]:
        """Take the step and write it down."""
        self._inside = True
        try:
            answer = super().submit_many(inputs, now)
        finally:
            self._inside = False
        ledger = self.ledger
        accepted, taken = answer
        unseen = [input for input in inputs[:accepted] if input not in ledger.numbers]
        if unseen:
            # The machine has done them in one go.
            at_once = set(taken)
            for input in unseen:
                ledger.accept(input, input.container if input in at_once else None)
            ledger.steps += len(unseen) - 1
            ledger.check(self)
        return answer

    def complete(self, input: Input, state: int, value: Any, now: float) -> Input | None:
        """Take the step and write it down."""
        following = super().complete(input, state, value, now)
        ledger = self.ledger
        ledger.complete(input, following)
        ledger.check(self)
        return following

    def cancel(self, input: Input, now: float, error: BaseException) -> int:
        """Take the step and write it down."""
        state = super().cancel(input, now, error)
        ledger = self.ledger
        ledger.cancel(input, state)
        ledger.check(self)
        return state

    def handle(self, event: fx.Event, now: float) -> list[fx.Effect]:
        """Take the step and write it down."""
        effects = super().handle(event, now)
        _write(self.ledger, event, effects)
        self.ledger.check(self)
        return effects


def _write(ledger: Ledger, event: fx.Event, effects: list[fx.Effect]) -> None:
    """Write down what `event` has brought about."""
    ledger.event, ledger.effects = event, effects
    now = ledger.clock()
    subject = getattr(event, "container", None)
    if effects or not isinstance(event, fx.Ticked):
        ledger.log.append(
            (now, type(event).__name__, 0 if subject is None else subject.number, *_told(ledger, effects))
        )
    match event:
        case fx.ContainerReady(container=container):
            if ledger.phases.get(container) is Phase.STARTING:
                ledger.failures.end()
                ledger.idle_since[container] = now
        case fx.ContainerFailed(container=container):
            _failed(ledger, container, now)
            if any(isinstance(effect, fx.Settle) for effect in effects):
                # Whoever waited has been told; the next input tries again.
                ledger.failures.end()
        case fx.ContainerExited(container=container):
            _exited(ledger, event, effects, now)
            ledger.left_behind = list(ledger.slots.pop(container, ()))
            for input in ledger.left_behind:
                del ledger.running[input]
            _bury(ledger, container)
        case fx.SettingsChanged(settings=settings):
            ledger.settings = settings
        case fx.Closed():
            ledger.accepting = False
        case fx.Aborted():
            if ledger.aborted_at is None:
                ledger.aborted_at, ledger.open_when_aborted = now, len(ledger.open)
        case fx.ShutDown():
            ledger.shut, ledger.accepting = True, False
    ledger.follow()
    for effect in effects:
        _perform(ledger, effect)
    if not isinstance(event, fx.Decided):
        _reconcile(ledger)


def _told(ledger: Ledger, effects: list[fx.Effect]) -> list[Any]:
    told: list[Any] = []
    for effect in effects:
        told.append(type(effect).__name__)
        match effect:
            case fx.StartContainer(container=container) | fx.StopContainer(container=container):
                told.append(container.number)
            case fx.Deliver(container=container, inputs=inputs):
                told += [container.number, *map(ledger.number, inputs)]
            case fx.Settle(input=input) | fx.CancelRun(input=input) | fx.ReportAbandoned(input=input):
                told.append(ledger.number(input))
    return told


def _failed(ledger: Ledger, container: Container, now: float) -> None:
    called_off = ledger.phases[container] is not Phase.STARTING
    _bury(ledger, container)
    if called_off:
        return
    ledger.failures.add(container.number, ledger.started, now)


def _exited(ledger: Ledger, event: fx.ContainerExited, effects: list[fx.Effect], now: float) -> None:
    """Count a container that died before an input had run in it."""
    container, run = event.container, event.run
    if event.error is None or ledger.phases.get(container) is not Phase.READY or container.served:
        return
    slots = ledger.slots[container]
    if any(input not in ledger.open or run is None or input in run for input in slots):
        return
    long_lived = now - container.asked_at > ledger.plan.restart.max_delay_s
    if ledger.ended != ledger.ended_before_death or long_lived:
        ledger.deaths.end()
    ledger.ended_before_death = ledger.ended
    ledger.deaths.add(container.number, ledger.started, now)
    if any(isinstance(effect, fx.Settle) for effect in effects):
        # Nothing has run in it: whoever is told was waiting. The next input tries again.
        ledger.deaths.end()


def _bury(ledger: Ledger, container: Container) -> None:
    for forget in (ledger.phases, ledger.slots, ledger.idle_since):
        forget.pop(container, None)


def _perform(ledger: Ledger, effect: fx.Effect) -> None:
    match effect:
        case fx.StartContainer(container=container):
            ledger.started += 1
            ledger.slots[container] = {}
            ledger.phases[container] = container.phase
            ledger.size += 1
            now = ledger.clock()
            if now < ledger.paused_until:
                ledger.complain(
                    "starts_wait_out_the_backoff",
                    f"container {container.number} was started after {ledger.failures.count} failures and "
                    f"{ledger.deaths.count} early deaths in a row, "
                    f"{ledger.paused_until - now:g} s too early",
                )
        case fx.StopContainer(container=container):
            if container in ledger.told_to_stop:
                ledger.complain("a_container_stops_once", f"container {container.number} was told twice")
            ledger.told_to_stop[container] = None
        case fx.Deliver(container=container, inputs=inputs):
            for input in inputs:
                if input in ledger.pending:
                    ledger.take_oldest(input, container)
                elif ledger.pending:
                    ledger.complain(
                        "oldest_pending_first",
                        f"input {ledger.number(input)} was taken for a further attempt, while others are pending",
                    )


def _reconcile(ledger: Ledger) -> None:
    """Follow each input to where its record says it is, in the order in which the machine has moved them."""
    first: list[Input] = [*ledger.delayed, *ledger.left_behind]
    first += [effect.input for effect in ledger.effects if isinstance(effect, fx.CancelRun)]
    for input in dict.fromkeys([*first, *ledger.open]) if first else list(ledger.open):
        if input not in ledger.open:
            continue
        state = input.state
        if input in ledger.pending:
            if state == PENDING:
                continue
            if state == RUNNING:
                ledger.complain("oldest_pending_first", f"input {ledger.number(input)} was taken unseen")
            ledger.leave(input)
        elif input in ledger.delayed:
            if state == DELAYED:
                continue
            ledger.leave(input)
        elif input in ledger.running and state == RUNNING:
            continue
        if state < SUCCEEDED:
            _see(ledger, input)
        else:
            ledger.end(input)
            if input.successor is not None:
                _see(ledger, input.successor)
    if ledger.left_behind:
        # What a dead container was never given to run is older than whatever waits.
        back = [input for input in ledger.left_behind if input in ledger.pending]
        if back:
            ledger.pending = dict.fromkeys([*back, *ledger.pending])
        ledger.left_behind = []


def _see(ledger: Ledger, input: Input) -> None:
    state = input.state
    if state == PENDING:
        ledger.wait(input)
    elif state == DELAYED:
        ledger.delay(input)
    elif state == RUNNING and input not in ledger.running:
        assert input.container is not None
        ledger.put(input, input.container)

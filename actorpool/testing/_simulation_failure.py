# SPDX-License-Identifier: Apache-2.0
"""What is done with a simulation that broke an invariant: it is made smaller, kept in a file, and told.

The file is JSON, small, and of a version of its own: `{"format", "version", "violation", "plan"}`. The plan is all that
a run depends on, so `python -m actorpool.testing.replay FILE` sees the same again.
"""

from __future__ import annotations

import json
import tempfile
import time
from pathlib import Path
from typing import Any, Final, TypeVar

from attrs import evolve, fields

from actorpool.exception import InvalidError

from ._faults import ContainerFate
from ._invariants import Violation
from ._simulation import Simulation
from ._simulation_ledger import Entry
from ._simulation_plan import Action, Plan, PoolPlan, plan_from, plan_to

__all__ = ["explained", "line", "load", "minimised", "save"]

T = TypeVar("T")

_FORMAT: Final = "actorpool simulation"
_VERSION: Final = 1
# How many lines of the log a message shows.
_LINES: Final = 25


def line(entry: Entry) -> str:
    """Return an entry of a log as a line of text."""
    instant, what, *rest = entry
    return f"{instant:>16.6f}  {what}{'' if not rest else ' '}{' '.join(map(str, rest))}"


def save(plan: Plan, violation: str, path: Path) -> None:
    """Write a simulation into a file."""
    data = {"format": _FORMAT, "version": _VERSION, "violation": violation, "plan": plan_to(plan)}
    path.write_text(json.dumps(data, indent=1) + "\n", "utf-8")


def load(path: Path) -> tuple[Plan, str]:
    """Return what `save` has written: the plan, and what was violated.

    Raises:
        InvalidError: If the file holds something else.
    """
    try:
        data: Any = json.loads(path.read_text("utf-8"))
    except ValueError as error:
        raise InvalidError(f"{path} is no simulation: {error}") from error
    if not isinstance(data, dict) or (data.get("format"), data.get("version")) != (_FORMAT, _VERSION):
        raise InvalidError(f"{path} is no simulation of version {_VERSION}")
    return plan_from(data["plan"]), str(data["violation"])


def explained(
    simulation: Simulation, violation: Violation, *, directory: Path | None = None, patience_s: float = 10.0
) -> Violation:
    """Return `violation` with what is needed to see it again: its log, and a file of the smallest plan found.

    Args:
        simulation: The simulation that raised it.
        violation: What it raised.
        directory: Where the file goes; default the system's directory for temporary files.
        patience_s: How long a smaller plan is searched for, in seconds of processor time.
    """
    plan, smallest = minimised(simulation.plan, violation, patience_s)
    directory = Path(tempfile.gettempdir()) if directory is None else directory
    path = directory / f"actorpool-simulation-{plan.seed}-{violation.invariant}.json"
    save(plan, str(smallest), path)
    again = Simulation(plan=plan)
    _outcome(again)
    shown = "\n".join(line(entry) for entry in again.log[-_LINES:])
    made_smaller = (
        f"{len(plan.actions)} of {len(simulation.plan.actions)} actions, {len(again.log)} lines of log"
    )
    return Violation(
        f"{violation}\n\nseed {plan.seed}, made smaller: {made_smaller}; the last of them:\n{shown}\n\n"
        f"replay it with: python -m actorpool.testing.replay {path}"
    )


def _outcome(simulation: Simulation) -> Violation | None:
    try:
        simulation.run()
    except Violation as violation:
        return violation
    return None


def minimised(plan: Plan, violation: Violation, patience_s: float) -> tuple[Plan, Violation]:
    """Return the smallest plan found in which the same invariant is violated, and how; `plan` itself if none is."""
    search = _Search(plan, violation, time.process_time() + patience_s)
    search.run()
    return search.plan, search.violation


class _Search:
    """A greedy search for a smaller plan: whatever can be left out is."""

    def __init__(self, plan: Plan, violation: Violation, until: float) -> None:
        self.plan = plan
        self.violation = violation
        self._until = until

    def run(self) -> None:
        before = None
        while before is not self.plan and time.process_time() < self._until:
            before = self.plan
            self._fewer_actions()
            self._try(evolve(self.plan, containers=(ContainerFate(),)))
            for index in range(len(self.plan.containers)):
                fates = self.plan.containers
                self._try(evolve(self.plan, containers=_replaced(fates, index, ContainerFate())))
            for index in range(len(self.plan.actions)):
                self._simpler_action(index)
            self._simpler_pool()
            for index in range(len(self.plan.actions)):
                self._earlier(index)

    def _try(self, plan: Plan) -> bool:
        """Take `plan` if the same invariant is violated in it; return whether it was taken."""
        if plan == self.plan or time.process_time() >= self._until:
            return False
        found = _outcome(Simulation(plan=plan))
        if found is None or found.invariant != self.violation.invariant:
            return False
        self.plan, self.violation = plan, found
        return True

    def _fewer_actions(self) -> None:
        size = len(self.plan.actions)
        while size:
            at = 0
            while at < len(self.plan.actions):
                actions = self.plan.actions
                if not self._try(evolve(self.plan, actions=actions[:at] + actions[at + size :])):
                    at += size
            size //= 2

    def _simpler_action(self, index: int) -> None:
        for name, value in _SIMPLE_ACTION.items():
            actions = self.plan.actions
            self._try(
                evolve(self.plan, actions=_replaced(actions, index, evolve(actions[index], **{name: value})))
            )

    def _simpler_pool(self) -> None:
        for attribute in fields(PoolPlan):
            # Any: which field it is is known only here.
            change: dict[str, Any] = {attribute.name: attribute.default}
            try:
                pool = evolve(self.plan.pool, **change)
                assert pool.settings.scaledown_window
                assert pool.concurrency.target
            except InvalidError:
                # It contradicts another setting.
                continue
            self._try(evolve(self.plan, pool=pool))

    def _earlier(self, index: int) -> None:
        """Let an action, and with it all that follow, come soon after the one before."""
        actions = self.plan.actions
        since = actions[index - 1].at if index else 0.0
        for pause in (0.0, 1.0, 8.0):
            early = actions[index].at - since - pause
            if early > 0:
                later = tuple(evolve(action, at=action.at - early) for action in actions[index:])
                if self._try(evolve(self.plan, actions=actions[:index] + later)):
                    return


def _replaced(items: tuple[T, ...], index: int, item: T) -> tuple[T, ...]:
    return (*items[:index], item, *items[index + 1 :])


# What makes an action simpler, one by one.
_SIMPLE_ACTION: Final[dict[str, Any]] = {
    attribute.name: attribute.default
    for attribute in fields(Action)
    if attribute.name not in ("at", "kind", "state", "settings", "seconds", "drain")
}

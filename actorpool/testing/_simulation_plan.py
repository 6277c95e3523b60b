# SPDX-License-Identifier: Apache-2.0
"""The plan of one simulation: the pool, what is done to it and when, and how everything ends.

A plan is drawn from a seed and faults (`_simulation_draw`), made by Hypothesis, or read from a file. It is plain data,
so that it can be printed, shrunk and kept; what happens when it is carried out depends on nothing else.
"""

from __future__ import annotations

from typing import Any, Final, Literal

from attrs import NOTHING, fields, frozen

from actorpool._core._config import AutoscalerSettings, Concurrency, Limits, Restart
from actorpool.exception import InvalidError

from ._faults import ContainerFate, InputFate

__all__ = ["PLAN_VERSION", "Action", "ActionKind", "Plan", "PoolPlan", "VictimState", "plan_from", "plan_to"]

PLAN_VERSION: Final = 1
"""The version of what `plan_to` returns; `plan_from` refuses any other."""

ActionKind = Literal[
    "call", "map", "spawn", "cancel caller", "cancel call", "settings", "kill", "jump", "close loop", "close"
]
VictimState = Literal["starting", "idle", "busy", "draining"]


@frozen(kw_only=True)
class PoolPlan:
    """The pool of a simulation: what its decorator and its app would say."""

    min_containers: int = 0
    max_containers: int | None = None
    buffer_containers: int = 0
    scaledown_window: float = 60.0
    max_inputs: int = 1
    target_inputs: int = 0
    max_pending: int = 2_000
    max_in_all: int = 25_000
    max_spawned: int = 1_000_000
    map_in_flight: int = 1_000
    map_buffered: int = 1_000
    timeout: float = 300.0
    startup_timeout: float = 300.0
    retries: int = 0
    recycle_after: int | None = None
    recycle_age: float | None = None
    max_failures: int = 3
    initial_delay_s: float = 0.125
    max_delay_s: float = 8.0
    grace_s: float = 5.0
    is_async: bool = True
    """Whether its inputs can be interrupted, as coroutines can, or not, like threads."""
    inside: Literal["fake", "local"] = "fake"
    """What a container is inside: a `FakeBackend`, or the real local one, whose inputs are coroutines."""

    @property
    def settings(self) -> AutoscalerSettings:
        """The autoscaler settings at the start."""
        return AutoscalerSettings(
            self.min_containers, self.max_containers, self.buffer_containers, self.scaledown_window
        )

    @property
    def concurrency(self) -> Concurrency:
        """How many inputs a container takes."""
        return Concurrency(self.max_inputs, self.target_inputs)

    @property
    def limits(self) -> Limits:
        """The limits of the function."""
        return Limits(
            max_pending=self.max_pending,
            max_inputs=self.max_in_all,
            max_spawned=self.max_spawned,
            map_in_flight=self.map_in_flight,
            map_buffered=self.map_buffered,
        )

    @property
    def restart(self) -> Restart:
        """What failed starts lead to."""
        return Restart(self.max_failures, self.initial_delay_s, self.max_delay_s)


@frozen(kw_only=True)
class Action:
    """One thing that is done to the pool."""

    at: float
    """When, in seconds from the start; actions of one instant are done in their order."""
    kind: ActionKind
    """What is done:

    * "call": `count` callers call; "map": one caller maps over `count` inputs; "spawn": `count` inputs are spawned;
    * "cancel caller", "cancel call": the `index`-th caller that waits, or the call that was spawned, is cancelled;
    * "settings": they are changed to `settings`; "kill": the `index`-th container that is `state` dies;
    * "jump": the clock leaps by `seconds`; "close loop": loop number `loop` is closed, with whoever waits on it;
    * "close": the app is closed."""
    count: int = 1
    fates: tuple[InputFate, ...] = (InputFate(),)
    """What becomes of the inputs: of the first the first, and so on, over and over."""
    loop: int = 0
    """On which loop the caller is; the pool lives on loop 0."""
    patience_s: float | None = None
    """After what time the callers are cancelled."""
    ordered: bool = True
    """Whether a map's results come in order."""
    return_exceptions: bool = True
    """Whether a map goes on after a failure."""
    is_async: bool = False
    """Whether a map's source is an asynchronous iterator."""
    pace_s: float = 0.0
    """How long a map's consumer takes over each result."""
    leaves_after: int | None = None
    """After how many results a map is left."""
    index: int = 0
    state: VictimState = "busy"
    settings: tuple[int, int | None, int, float] = (0, None, 0, 60.0)
    """Minimum, maximum, buffer, window."""
    seconds: float = 0.0
    terminate: bool = False
    """Whether the containers of a cancelled call are to end too."""
    drain: bool = True
    """Whether the app drains."""


@frozen(kw_only=True)
class Plan:
    """All that a simulation depends on."""

    seed: int = 0
    """Draws the order of runnable steps."""
    pool: PoolPlan = PoolPlan()
    containers: tuple[ContainerFate, ...] = (ContainerFate(),)
    """What becomes of the containers: of the first the first, and so on, over and over."""
    actions: tuple[Action, ...] = ()
    drain: bool = True
    """Whether the app drains at the end, unless an action has closed it."""

    def __attrs_post_init__(self) -> None:
        if not self.containers or not all(action.fates for action in self.actions):
            raise InvalidError(
                "a plan needs the fate of at least one container, and of one input of each action"
            )


# -- as plain data ---------------------------------------------------------------------------------------------


def plan_to(plan: Plan) -> dict[str, Any]:
    """Return `plan` as what JSON can hold; what has its default is left out."""
    return {"version": PLAN_VERSION, **_sparse(plan)}


def _sparse(value: Any) -> dict[str, Any]:
    found: dict[str, Any] = {}
    for attribute in fields(type(value)):
        here = getattr(value, attribute.name)
        if attribute.default is not NOTHING and here == attribute.default:
            continue
        if isinstance(here, tuple) and here and hasattr(here[0], "__attrs_attrs__"):
            here = [_sparse(item) for item in here]
        elif hasattr(here, "__attrs_attrs__"):
            here = _sparse(here)
        found[attribute.name] = list(here) if isinstance(here, tuple) else here
    return found


def plan_from(data: dict[str, Any]) -> Plan:
    """Return the plan that `plan_to` has described.

    Raises:
        InvalidError: If it is of another version, or no plan at all.
    """
    if data.get("version") != PLAN_VERSION:
        raise InvalidError(
            f"this is a plan of version {data.get('version')!r}, and this actorpool reads version {PLAN_VERSION}"
        )
    given = {name: value for name, value in data.items() if name != "version"}
    try:
        if "pool" in given:
            given["pool"] = PoolPlan(**given["pool"])
        if "containers" in given:
            given["containers"] = tuple(ContainerFate(**fate) for fate in given["containers"])
        given["actions"] = tuple(_action(action) for action in given.get("actions", ()))
        return Plan(**given)
    except (AttributeError, TypeError) as error:
        raise InvalidError(f"this is no plan of a simulation: {error}") from error


def _action(data: dict[str, Any]) -> Action:
    given = dict(data)
    if "fates" in given:
        given["fates"] = tuple(InputFate(**fate) for fate in given["fates"])
    if "settings" in given:
        given["settings"] = tuple(given["settings"])
    return Action(**given)

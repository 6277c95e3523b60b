# SPDX-License-Identifier: Apache-2.0
"""What can go wrong in a simulated pool: how often, and what becomes of one container or one input.

Plain values, which a file can hold: nothing here does anything. `Faults` are probabilities, from which a plan
draws; the fates are what was drawn, and what `FakeBackend` carries out.
"""

from __future__ import annotations

from typing import Literal

from attrs import fields, frozen

from actorpool.exception import InvalidError

__all__ = ["ContainerFate", "ExitFate", "Faults", "InputFate", "StartFate"]

StartFate = Literal["succeeds", "fails", "hangs", "enter hook raises", "enter hook hangs"]
"""How the start of a container ends."""
ExitFate = Literal["returns", "raises", "hangs"]
"""How the exit hook of a container ends."""


@frozen(kw_only=True)
class ContainerFate:
    """What becomes of one container."""

    start: StartFate = "succeeds"
    """How its start ends."""
    start_s: float = 0.0
    """How long its start takes, in seconds."""
    exit: ExitFate = "returns"
    """How its exit hook ends."""
    exit_s: float = 0.0
    """How long its exit hook takes, in seconds."""
    lives_s: float | None = None
    """It dies so many seconds after it was ready, whatever it does then; None for never."""
    dies_stopping: bool = False
    """Whether it dies when it is told to stop, instead of running its exit hook."""


@frozen(kw_only=True)
class InputFate:
    """What becomes of one input."""

    service_s: float = 0.0
    """How long its work takes, in seconds."""
    fails: int = 0
    """How many of its attempts raise, the first ones."""
    hangs: bool = False
    """Whether its work ends only by being interrupted."""
    deaf_s: float = 0.0
    """How long it ignores its cancellation, in seconds; 0 if it obeys."""
    late_s: float = 0.0
    """How much later than its end its outcome is reported, in seconds."""
    calls: bool = False
    """Whether it calls its own function first, and waits for that; only where user code runs."""
    kills: bool = False
    """Whether its container dies in the middle of it."""


@frozen(kw_only=True)
class Faults:
    """How often each fault occurs: the probability that it befalls a container, an input, a caller or an action.

    Raises:
        InvalidError: If a value is not between 0 and 1.
    """

    start_fails: float = 0.06
    """A container's start raises."""
    start_hangs: float = 0.02
    """A container's start does not end by itself."""
    slow_start: float = 0.2
    """A container's start takes long."""
    enter_raises: float = 0.03
    """A container's enter hook raises."""
    enter_hangs: float = 0.01
    """A container's enter hook does not end by itself."""
    exit_raises: float = 0.1
    """A container's exit hook raises."""
    exit_hangs: float = 0.05
    """A container's exit hook does not end by itself."""
    dies: float = 0.05
    """A container dies some time after it was ready, idle or not."""
    dies_stopping: float = 0.05
    """A container dies while it stops."""
    kill: float = 0.06
    """Somebody kills a container: a starting, idle, busy or draining one."""
    input_kills: float = 0.02
    """An input takes its container with it."""
    input_raises: float = 0.1
    """An input raises, in some or all of its attempts."""
    input_hangs: float = 0.03
    """An input ends only by being interrupted."""
    ignores_cancellation: float = 0.1
    """An input goes on for a while after it was interrupted."""
    late_result: float = 0.05
    """An outcome is reported late, perhaps when its container is gone."""
    caller_cancelled: float = 0.08
    """A caller is cancelled: at some time, or after a certain patience."""
    caller_loop_closed: float = 0.01
    """A loop is closed on which callers wait."""
    settings_changed: float = 0.06
    """The settings are changed, perhaps to a maximum below the number of containers."""
    clock_jumps: float = 0.02
    """The clock leaps forward, as after a suspension."""
    backlog_full: float = 0.3
    """The pool's limits are so low that inputs are refused."""
    closed_early: float = 0.5
    """The app is closed while inputs are accepted, with or without a drain."""

    def __attrs_post_init__(self) -> None:
        for attribute in fields(Faults):
            value = getattr(self, attribute.name)
            if not isinstance(value, (int, float)) or not 0 <= value <= 1:
                raise InvalidError(f"{attribute.name} must be a probability between 0 and 1, not {value!r}")

    @classmethod
    def none(cls) -> Faults:
        """Return faults that never occur."""
        return cls(**{attribute.name: 0.0 for attribute in fields(cls)})

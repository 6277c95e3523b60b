# SPDX-License-Identifier: Apache-2.0
"""Settings: what the user may choose, checked where it is chosen, and how an update merges (pure).

Every value is frozen and valid: a contradictory combination cannot be built. Nothing here reads
an environment, a file or a clock.
"""

from __future__ import annotations

import sys
from typing import Any, Final

from attrs import evolve, frozen

from actorpool.exception import InvalidError

__all__ = [
    "UNSET",
    "AutoscalerSettings",
    "Concurrency",
    "Limits",
    "Recycle",
    "Restart",
    "Unset",
    "check_count",
    "check_factor",
    "check_seconds",
]


class Unset:
    """Type of `UNSET`, which tells "not given" from None where None means something."""

    __slots__ = ()

    def __repr__(self) -> str:
        return "UNSET"


UNSET: Final = Unset()


def check_count(name: str, value: object, *, least: int) -> int:
    """Return `value` if it is a whole number of at least `least`; raise `InvalidError` naming it otherwise."""
    if not isinstance(value, int) or isinstance(value, bool):
        raise InvalidError(f"{name} must be a whole number, not {value!r}")
    if value < least:
        raise InvalidError(f"{name} must be at least {least}, not {value}")
    return value


def check_seconds(name: str, value: object, *, zero: bool = False) -> float:
    """Return `value` if it is a finite number of seconds, above 0 (or 0 too, if `zero`); else `InvalidError`."""
    if not isinstance(value, (int, float)) or isinstance(value, bool):
        raise InvalidError(f"{name} must be a number of seconds, not {value!r}")
    if not _finite_from(value, zero=zero):
        raise InvalidError(f"{name} must be {'at least' if zero else 'more than'} 0 seconds, not {value}")
    return value


def check_factor(name: str, value: object) -> float:
    """Return `value` if it is a finite number above 0; else `InvalidError`."""
    if not isinstance(value, (int, float)) or isinstance(value, bool):
        raise InvalidError(f"{name} must be a number, not {value!r}")
    if not _finite_from(value, zero=False):
        raise InvalidError(f"{name} must be more than 0, and finite, not {value}")
    return value


def _finite_from(value: float, *, zero: bool) -> bool:
    # Written so that NaN fails.
    return 0 <= value <= sys.float_info.max and (value != 0 or zero)


@frozen
class AutoscalerSettings:
    """The bounds within which a function's pool of containers scales.

    Raises:
        InvalidError: If a value is out of range or `max_containers < min_containers`.
    """

    min_containers: int = 0
    """Containers kept warm although there is nothing to do."""
    max_containers: int | None = None
    """Never more containers than this (inclusive); None for no bound."""
    buffer_containers: int = 0
    """Containers kept ready beyond those needed, while the function is active."""
    scaledown_window: float = 60.0
    """Longest time in seconds that a container stays idle before it is stopped (> 0, fractions allowed)."""

    def __attrs_post_init__(self) -> None:
        check_count("min_containers", self.min_containers, least=0)
        if self.max_containers is not None:
            check_count("max_containers", self.max_containers, least=1)
            if self.max_containers < self.min_containers:
                raise InvalidError(
                    f"max_containers ({self.max_containers}) is less than min_containers "
                    f"({self.min_containers}); raise the one or lower the other"
                )
        check_count("buffer_containers", self.buffer_containers, least=0)
        check_seconds("scaledown_window", self.scaledown_window)

    def merged(
        self,
        *,
        min_containers: int | None = None,
        max_containers: int | None = None,
        buffer_containers: int | None = None,
        scaledown_window: float | None = None,
    ) -> AutoscalerSettings:
        """Return these settings with the given fields replaced; None means "not given", never "no bound".

        Raises:
            InvalidError: If the result would be invalid; nothing changes then.
        """
        # Any: `evolve` cannot know which value goes with which field.
        given: dict[str, Any] = {
            "min_containers": min_containers,
            "max_containers": max_containers,
            "buffer_containers": buffer_containers,
            "scaledown_window": scaledown_window,
        }
        changes = {name: value for name, value in given.items() if value is not None}
        return evolve(self, **changes) if changes else self

    def replaced(self, **values: int | float | Unset | None) -> AutoscalerSettings:
        """Return these settings with the given fields replaced; None puts a field's default back.

        Raises:
            InvalidError: If the result would be invalid.
        """
        defaults = AutoscalerSettings()
        given: dict[str, Any] = {
            name: getattr(defaults, name) if value is None else value
            for name, value in values.items()
            if not isinstance(value, Unset)
        }
        return evolve(self, **given) if given else self


@frozen
class Concurrency:
    """How many inputs one container executes at once.

    Raises:
        InvalidError: If a value is below 1 or `target_inputs` exceeds `max_inputs`.
    """

    max_inputs: int = 1
    """Hard limit of inputs running in one container (inclusive)."""
    target_inputs: int = 0
    """What the autoscaler aims for in each container; 0 stands for `max_inputs`."""

    def __attrs_post_init__(self) -> None:
        check_count("max_inputs", self.max_inputs, least=1)
        check_count("target_inputs", self.target_inputs, least=0)
        if self.target_inputs > self.max_inputs:
            raise InvalidError(
                f"target_inputs ({self.target_inputs}) is greater than max_inputs ({self.max_inputs}); "
                "a container cannot aim for more inputs than it may execute"
            )

    @property
    def target(self) -> int:
        """`target_inputs`, or `max_inputs` where none was given."""
        return self.target_inputs or self.max_inputs


@frozen
class Limits:
    """Limits of one function, or of one app where that is said. All are inclusive.

    Raises:
        InvalidError: If a count is below 1, or a time not above 0.
    """

    max_pending: int = 2_000
    """Inputs of one function that no container has taken yet, spawned ones apart."""
    max_inputs: int = 25_000
    """Inputs of one function in all: running and pending, pending spawned ones apart."""
    max_spawned: int = 1_000_000
    """Pending inputs of one function that `spawn` accepted."""
    map_in_flight: int = 1_000
    """Inputs of one map that are pending or running at a time; the map holds the rest back itself."""
    map_buffered: int = 1_000
    """Finished results of one map that wait for an earlier one or for the consumer."""
    max_threads: int = 1_024
    """Threads of one app for synchronous functions; at the ceiling containers wait for threads."""
    max_processes: int = 64
    """Process containers of one app; at the ceiling further ones wait for one to end."""
    results_kept: int = 100_000
    """Results of one function's spawned calls that are kept for `FunctionCall.from_id`, the latest."""
    results_kept_s: float = 3_600.0
    """How long they are kept after the call has ended, in seconds (> 0)."""

    def __attrs_post_init__(self) -> None:
        for name in (
            "max_pending",
            "max_inputs",
            "max_spawned",
            "map_in_flight",
            "map_buffered",
            "max_threads",
            "max_processes",
            "results_kept",
        ):
            check_count(name, getattr(self, name), least=1)
        check_seconds("results_kept_s", self.results_kept_s)


@frozen(kw_only=True)
class Recycle:
    """When a container has done enough: it takes nothing further, finishes what it runs, and another one follows.

    Raises:
        InvalidError: If a value is out of range.
    """

    inputs: int | None = None
    """Inputs it has run (at least 1); None for any number."""
    age: float | None = None
    """Seconds since it was ready (> 0); None for any age."""
    memory_mib: int | None = None
    """Resident memory of a process container, in MiB (at least 1), looked at as its inputs end; None for any."""

    def __attrs_post_init__(self) -> None:
        for name in ("inputs", "memory_mib"):
            if getattr(self, name) is not None:
                check_count(name, getattr(self, name), least=1)
        if self.age is not None:
            check_seconds("age", self.age)


@frozen
class Restart:
    """What happens when containers of a pool fail to start, one start after the other.

    A container that dies before an input ran in it counts likewise, in a row of its own.

    Raises:
        InvalidError: If a value is out of range.
    """

    max_failures: int = 3
    """Consecutive failed starts after which the pending inputs fail with the cause."""
    initial_delay_s: float = 0.1
    """Pause after the first failure; each further one doubles it."""
    max_delay_s: float = 10.0
    """Longest pause between two starts."""

    def __attrs_post_init__(self) -> None:
        check_count("max_failures", self.max_failures, least=1)
        check_seconds("initial_delay_s", self.initial_delay_s)
        check_seconds("max_delay_s", self.max_delay_s)

    def delay_s(self, failures: int) -> float:
        """Return the pause in seconds before the next start, after `failures` (>= 1) in a row."""
        return min(self.max_delay_s, self.initial_delay_s * 2.0 ** min(failures - 1, 64))

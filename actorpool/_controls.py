# SPDX-License-Identifier: Apache-2.0
"""What there is of a pool beside its inputs: its settings, its counts, its scaling log; and the verbs for them.

Theory of operation. A question is a function of a handle's `Controls`. Where the app runs it is called at once; a
process container sends it, with what makes the handle, to the process that has started it, where it is called with
the controls of the handle made there.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import TYPE_CHECKING, Any, TypeVar

from attrs import asdict, frozen

from actorpool._core._config import UNSET, AutoscalerSettings, Unset
from actorpool._core._counts import PoolCounts

from ._deployments import RunsElsewhereError

if TYPE_CHECKING:
    from actorpool._actors._supervisor import Supervisor
    from actorpool._core._scaling import ScalingRecord

    from ._binding import ChangeSettings, Reduced
    from ._parent import Parent

__all__ = [
    "Autoscaling",
    "Controls",
    "CurrentStats",
    "FunctionStatistics",
    "FunctionStats",
    "UpdateAutoscaler",
    "scaling_log",
    "statistics",
]

T = TypeVar("T")


@frozen
class FunctionStats:
    """What `get_current_stats` returns."""

    backlog: int
    """Inputs accepted that no container has taken."""
    num_total_runners: int
    """Containers."""
    num_running_inputs: int
    """Inputs that hold slots."""
    input_headroom: int
    """Free slots of ready containers."""


@frozen(kw_only=True)
class FunctionStatistics(PoolCounts):
    """All that is counted of one function's pool, at one instant."""

    name: str
    """The function's name."""
    settings: AutoscalerSettings
    """The autoscaler settings in force."""


class Controls:
    """The way of a handle to what its pool is beside its inputs, in whichever process that is.

    Args:
        supervisor: Finds the pool's supervisor, if the app runs in this process.
        change: Changes the settings, likewise.
        recipe: Says how another process makes the handle.
    """

    __slots__ = ("_recipe", "change", "supervisor")

    def __init__(
        self,
        supervisor: Callable[[], Supervisor],
        change: Callable[[ChangeSettings], AutoscalerSettings],
        recipe: Callable[[], Reduced],
    ) -> None:
        self.supervisor: Callable[[], Supervisor] = supervisor
        self.change: Callable[[ChangeSettings], AutoscalerSettings] = change
        self._recipe = recipe

    def ask(self, question: Callable[[Controls], T]) -> T:
        """Return the answer; blocks in a process container alone, until the process that has started it answers.

        Raises:
            ExecutionError: If the app is not running.
        """
        try:
            return question(self)
        except RunsElsewhereError:
            answer: T = self._parent().ask("control", (self._recipe(), question))
            return answer

    async def ask_async(self, question: Callable[[Controls], T]) -> T:
        """Do the same; the running loop goes on meanwhile."""
        try:
            return question(self)
        except RunsElsewhereError:
            answer: T = await self._parent().ask_async("control", (self._recipe(), question))
            return answer

    @staticmethod
    def _parent() -> Parent:
        # Here, because this is a process container's affair.
        from ._parent import parent

        return parent()


class UpdateAutoscaler:
    """The verb `update_autoscaler`."""

    __slots__ = ("_controls",)

    def __init__(self, controls: Controls) -> None:
        self._controls = controls

    def __call__(
        self,
        *,
        min_containers: int | None = None,
        max_containers: int | None = None,
        buffer_containers: int | None = None,
        scaledown_window: float | None = None,
    ) -> AutoscalerSettings:
        """Change settings of the running function at once; those not given keep their values.

        The next deploy puts the decorator's settings back. Never blocks.

        Args:
            min_containers: Containers kept warm.
            max_containers: Most containers (inclusive); surplus ones drain and stop.
            buffer_containers: Containers kept beyond those needed while active.
            scaledown_window: Longest idle time of a container, in seconds.
        Returns:
            The settings now in force.
        Raises:
            InvalidError: If the result would be contradictory; nothing changes then.
            ExecutionError: If the app is not running.
        Threads: Any.
        """
        return self._controls.ask(
            _merged(min_containers, max_containers, buffer_containers, scaledown_window)
        )

    async def aio(
        self,
        *,
        min_containers: int | None = None,
        max_containers: int | None = None,
        buffer_containers: int | None = None,
        scaledown_window: float | None = None,
    ) -> AutoscalerSettings:
        """Do the same; it waits in a process container alone, for the process that has started that."""
        return await self._controls.ask_async(
            _merged(min_containers, max_containers, buffer_containers, scaledown_window)
        )


class Autoscaling:
    """`f.autoscaler`: reads and changes the settings; here None clears, and what is not given stays."""

    __slots__ = ("_controls",)

    def __init__(self, controls: Controls) -> None:
        self._controls = controls

    def settings(self) -> AutoscalerSettings:
        """Return the settings in force.

        Raises:
            ExecutionError: If the app is not running.
        """
        return self._controls.ask(_settings_in_force)

    def update(
        self,
        *,
        min_containers: int | Unset | None = UNSET,
        max_containers: int | Unset | None = UNSET,
        buffer_containers: int | Unset | None = UNSET,
        scaledown_window: float | Unset | None = UNSET,
    ) -> AutoscalerSettings:
        """Change what is given; None puts the default back: no minimum, no bound, no buffer, 60 seconds.

        Otherwise as `update_autoscaler`.
        """
        values = {
            "min_containers": min_containers,
            "max_containers": max_containers,
            "buffer_containers": buffer_containers,
            "scaledown_window": scaledown_window,
        }
        return self._controls.ask(_Change(AutoscalerSettings.replaced, values))


class CurrentStats:
    """The verb `get_current_stats`."""

    __slots__ = ("_controls",)

    def __init__(self, controls: Controls) -> None:
        self._controls = controls

    def __call__(self) -> FunctionStats:
        """Return the pool's main counts of this instant. Threads: any."""
        return _main_counts(self._controls.ask(statistics))

    async def aio(self) -> FunctionStats:
        """Do the same; it waits in a process container alone, for the process that has started that."""
        return _main_counts(await self._controls.ask_async(statistics))


# -- questions: what they ask is carried to where the pool is ----------------------------------------


def _settings_in_force(controls: Controls) -> AutoscalerSettings:
    """Return the settings in force."""
    return controls.supervisor().dispatcher.settings


def statistics(controls: Controls) -> FunctionStatistics:
    """Return all counts of this instant."""
    supervisor = controls.supervisor()
    counts: PoolCounts = supervisor.dispatcher.counts()
    return FunctionStatistics(
        name=supervisor.name, settings=supervisor.dispatcher.settings, **asdict(counts, recurse=False)
    )


def scaling_log(controls: Controls) -> list[ScalingRecord]:
    """Return the latest decisions that started or stopped containers, the oldest first."""
    autoscaler = controls.supervisor().autoscaler
    return [] if autoscaler is None else list(autoscaler.log)


@frozen
class _Change:
    """Asks for other settings."""

    how: Callable[..., AutoscalerSettings]
    values: dict[str, Any]

    def __call__(self, controls: Controls) -> AutoscalerSettings:
        return controls.change(lambda settings: self.how(settings, **self.values))


def _merged(
    min_containers: int | None,
    max_containers: int | None,
    buffer_containers: int | None,
    scaledown_window: float | None,
) -> _Change:
    values = {
        "min_containers": min_containers,
        "max_containers": max_containers,
        "buffer_containers": buffer_containers,
        "scaledown_window": scaledown_window,
    }
    return _Change(AutoscalerSettings.merged, values)


def _main_counts(counts: FunctionStatistics) -> FunctionStats:
    return FunctionStats(
        backlog=counts.pending,
        num_total_runners=counts.containers,
        num_running_inputs=counts.running,
        input_headroom=counts.free_slots,
    )

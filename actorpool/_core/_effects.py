# SPDX-License-Identifier: Apache-2.0
"""What goes into a pool machine's control path and what comes out of it (pure values).

Events are named in the past tense: something happened. Effects are verbs: the shell is to carry them
out, in the order given, after the machine's step has ended.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from attrs import frozen

if TYPE_CHECKING:
    from collections.abc import Callable

    from actorpool._core._config import AutoscalerSettings
    from actorpool._core._container import Container
    from actorpool._core._input import Input
    from actorpool._core._scaling import Decision, Snapshot

__all__ = [
    "Aborted",
    "CancelRun",
    "Closed",
    "ContainerExited",
    "ContainerFailed",
    "ContainerReady",
    "ContainerRetired",
    "Crowded",
    "Decided",
    "Deliver",
    "Effect",
    "Event",
    "GivenBack",
    "Hopeless",
    "ReportAbandoned",
    "ReportLoss",
    "Settle",
    "SettingsChanged",
    "ShutDown",
    "StartContainer",
    "StopContainer",
    "Terminated",
    "Ticked",
]


@frozen
class ContainerReady:
    """A container's start has ended well; it can take inputs."""

    container: Container


@frozen
class ContainerFailed:
    """A container's start has failed; nothing of it is left."""

    container: Container
    error: BaseException


@frozen
class ContainerExited:
    """A container is gone: it stopped as it was told, or (with `error`) it died."""

    container: Container
    error: BaseException | None = None
    run: frozenset[Input] | None = None
    """The inputs that it was given to run, where it may hold slots for others as well; None for all of them."""


@frozen
class ContainerRetired:
    """A container is to take nothing more: it is too old, too big, or interrupted work holds it."""

    container: Container


@frozen
class GivenBack:
    """A container has not begun inputs that were sent ahead to it, and will not."""

    container: Container
    inputs: tuple[Input, ...]


@frozen
class Hopeless:
    """A pending input would never run, for what it needs is held by inputs that wait for it or each other."""

    input: Input
    error: BaseException


@frozen
class SettingsChanged:
    """The user changed the autoscaler settings."""

    settings: AutoscalerSettings


@frozen
class Decided:
    """The policy has decided, from what it had seen."""

    decision: Decision
    seen: Snapshot


@frozen
class Ticked:
    """Time has passed, or the machine asked for attention."""


@frozen
class Crowded:
    """Others wait for threads that this pool's containers hold; or (not `waiting`) they wait no more."""

    waiting: bool
    give: int = 0
    """How many containers are to make way although they are busy, for this pool holds more than its share."""


@frozen
class Terminated:
    """The user wants these containers to end, for what they ran was cancelled; no other input is lost by it."""

    containers: tuple[Container, ...]
    movable: Callable[[Input], bool]
    """Whether the work of an input can be stopped, so that it may start again elsewhere; else it may finish."""


@frozen
class Closed:
    """No further input is to be accepted; those accepted go on."""


@frozen
class Aborted:
    """Whatever has no outcome yet is to be cancelled with `error`."""

    error: BaseException


@frozen
class ShutDown:
    """All containers are to stop."""


Event = (
    ContainerReady
    | ContainerFailed
    | ContainerExited
    | ContainerRetired
    | GivenBack
    | Hopeless
    | SettingsChanged
    | Decided
    | Ticked
    | Crowded
    | Terminated
    | Closed
    | Aborted
    | ShutDown
)


@frozen
class StartContainer:
    """Start this container and report `ContainerReady` or `ContainerFailed`."""

    container: Container


@frozen
class StopContainer:
    """Stop this container, or call off its start, and report `ContainerExited`."""

    container: Container


@frozen
class Deliver:
    """Hand these inputs to the container; each holds a slot already."""

    container: Container
    inputs: tuple[Input, ...]


@frozen
class Settle:
    """Tell whoever waits that this input has its outcome."""

    input: Input


@frozen
class CancelRun:
    """Interrupt the work of an input whose outcome is already settled."""

    input: Input


@frozen
class ReportAbandoned:
    """Report that an interrupted input still holds its slot after the grace period."""

    input: Input


@frozen
class ReportLoss:
    """Report that a container failed to start, or died although nobody had told it to stop."""

    container: Container
    error: BaseException
    died: bool
    failures: int | None = None
    """How many in a row failed to start, or died before an input ran in them; None if one ran in this."""
    pause_s: float = 0.0
    """How long the next start waits, in seconds."""


Effect = StartContainer | StopContainer | Deliver | Settle | CancelRun | ReportAbandoned | ReportLoss

# SPDX-License-Identifier: Apache-2.0
"""Workloads and contenders: what there is to run.

A contender is one function, in one of two shapes, either of them sync or async:

* `def contender(n)`: does the work of `n` inputs and returns their results;
* a generator function without parameters that sets up, yields such a function, and tears down.

What is set up, and a run of a tenth of the size, is not timed; the results of every run are checked.
"""

from __future__ import annotations

import importlib
import importlib.util
import inspect
import pkgutil
from collections.abc import Callable
from typing import TYPE_CHECKING, Any, Literal, TypeVar

from attrs import frozen

if TYPE_CHECKING:
    from ._measures import Measure

__all__ = ["Contender", "Goal", "Role", "Workload", "contender", "contenders", "load", "workload"]

Role = Literal["ours", "peer", "floor"]

C = TypeVar("C", bound=Callable[..., Any])


@frozen
class Goal:
    """A bound that our median is to keep, inclusive."""

    label: str
    """How much is at stake: "must" or "ambition"."""
    bound: float
    of: str | None = None
    """The contender whose median is multiplied by `bound`, "best peer" or "floor"; None for a bound of its own."""
    metric: int = 0
    """Which of the workload's metrics."""


@frozen(kw_only=True)
class Workload:
    """One thing to do, whoever does it."""

    name: str
    title: str
    measure: Measure
    full: int
    """How many inputs a sample has."""
    quick: int
    """How many with `--quick`."""
    goals: tuple[Goal, ...] = ()
    series: tuple[str, int] | None = None
    """The line that this workload is a point of in pictures, and where on it it stands."""
    counted: str = "inputs"
    """What `full` and `quick` count."""
    most_rounds: int = 99
    quick_rounds: int = 99
    """Most rounds with `--quick`, for what takes long to set up."""
    after: Callable[[], object] | None = None
    """Called when all samples are taken, to end what contenders keep from one to the next."""
    remark: str = ""
    """What stands between us and a goal: what was tried, and measured; shown where a goal is missed."""
    isolated: bool = False
    """Whether each sample has a process of its own, so that nothing done before can be seen in it."""


@frozen(kw_only=True)
class Contender:
    """One way to do it."""

    name: str
    workload: str
    role: Role
    requires: tuple[str, ...]
    function: Callable[..., Any]
    most_rounds: int | None = None
    """Fewer rounds than the others have, for one that takes seconds to set up; it has none with `--quick`."""

    @property
    def is_async(self) -> bool:
        """Whether it runs on a loop, which may be another one."""
        function = self.function
        return inspect.isasyncgenfunction(function) or inspect.iscoroutinefunction(function)

    @property
    def missing(self) -> str | None:
        """Why it cannot run here, or None."""
        for name in self.requires:
            if importlib.util.find_spec(name) is None:
                return f"{name} is not there (pip install -r benchmarks/requirements.txt)"
        return None


_workloads: dict[str, Workload] = {}
_contenders: dict[str, list[Contender]] = {}


def workload(**options: Any) -> Workload:
    """Register a workload; the arguments are those of `Workload`."""
    made = Workload(**options)
    if made.name in _workloads:
        raise ValueError(f"there is a workload {made.name!r} already")
    _workloads[made.name] = made
    _contenders[made.name] = []
    return made


def contender(
    workload: str,
    name: str | None = None,
    *,
    role: Role = "peer",
    requires: str | tuple[str, ...] = (),
    most_rounds: int | None = None,
) -> Callable[[C], C]:
    """Register a contender for a workload.

    Args:
        workload: Name of the workload.
        name: Its name in the table; default the function's.
        role: "ours" is actorpool, "floor" the least that Python can do, written by hand.
        requires: A module without which the contender is skipped, or several.
        most_rounds: Fewer rounds than the others have, for one that takes seconds to set up; none with `--quick`.
    """

    def decorate(function: C) -> C:
        called = name or function.__name__
        if any(other.name == called for other in _contenders[workload]):
            raise ValueError(f"workload {workload!r} has a contender {called!r} already")
        _contenders[workload].append(
            Contender(
                name=called,
                workload=workload,
                role=role,
                requires=(requires,) if isinstance(requires, str) else requires,
                function=function,
                most_rounds=most_rounds,
            )
        )
        return function

    return decorate


def load() -> list[Workload]:
    """Import every module of `benchmarks.workloads` and return the workloads, in their order."""
    from . import workloads

    found = sorted(module.name for module in pkgutil.iter_modules(workloads.__path__))
    for module in sorted(
        found, key=lambda name: workloads.ORDER.index(name) if name in workloads.ORDER else 99
    ):
        importlib.import_module(f"{workloads.__name__}.{module}")
    return list(_workloads.values())


def contenders(workload: str) -> list[Contender]:
    """Return the contenders of a workload: ours, the peers, the floor."""
    order = {"ours": 0, "peer": 1, "floor": 2}
    return sorted(_contenders[workload], key=lambda contender: order[contender.role])

# SPDX-License-Identifier: Apache-2.0
"""What the inner decorators leave on a function or class for `@app.function` and `@app.cls` to find."""

from __future__ import annotations

import inspect
from collections.abc import Callable
from typing import Any, TypeVar

from attrs import define

from actorpool._core._batch import Batching
from actorpool._core._config import Concurrency
from actorpool.exception import InvalidError

__all__ = ["Marks", "concurrency_of", "concurrent", "mark", "marks_of"]

T = TypeVar("T")

_ATTRIBUTE = "__actorpool_marks__"


@define
class Marks:
    """The inner decorators' wishes."""

    concurrency: Concurrency | None = None
    batching: Batching | None = None


def marks_of(thing: Any) -> Marks:
    """Return what was marked on `thing` itself; a base class's marks are not its own."""
    found = vars(thing).get(_ATTRIBUTE) if hasattr(thing, "__dict__") else None
    return found if isinstance(found, Marks) else Marks()


def mark(thing: Any, decorator: str) -> Marks:
    """Return the marks of `thing` for a decorator to write to; refuse what it does not go on."""
    from ._method import Method

    if isinstance(thing, Method):
        raise InvalidError(
            f"@{decorator} does not go on a method ('{thing.name}'): decorate the class, its methods share the slots"
        )
    if hasattr(thing, "_actorpool_handle"):
        raise InvalidError(
            f"@{decorator} stands above @app.function or @app.cls on '{thing}'; swap the order: "
            f"@app.function() first, @{decorator}(...) below it"
        )
    if not (inspect.isclass(thing) or callable(thing)):
        raise TypeError(f"@{decorator} needs a function or a class, not {thing!r}")
    marks = marks_of(thing)
    setattr(thing, _ATTRIBUTE, marks)
    return marks


def concurrency_of(max_inputs: int, target_inputs: int | None) -> Concurrency:
    """Return the checked pair; None for `target_inputs` stands for `max_inputs`."""
    if target_inputs is not None and not target_inputs:
        raise InvalidError("target_inputs must be at least 1, not 0")
    return Concurrency(max_inputs=max_inputs, target_inputs=target_inputs or 0)


def concurrent(*, max_inputs: int, target_inputs: int | None = None) -> Callable[[T], T]:
    """Let each container of the function or class execute up to `max_inputs` inputs at once.

    Put it below `@app.function()` or `@app.cls()`. Synchronous inputs run in a thread each and must be
    thread-safe; asynchronous ones run as tasks of one loop and must not block it.

    Args:
        max_inputs: Hard limit of inputs running in one container (>= 1, inclusive).
        target_inputs: What the autoscaler aims for in each container; a container bursts beyond it while the
            pool is scaling up. Default: `max_inputs`.

    Raises:
        InvalidError: If a number is out of range, or the decorator stands above `@app.function`.
        TypeError: If `max_inputs` is missing.
    """
    concurrency = concurrency_of(max_inputs, target_inputs)

    def decorate(thing: T) -> T:
        marks = mark(thing, "modal.concurrent")
        if marks.concurrency is not None:
            raise InvalidError(f"@modal.concurrent stands twice on {thing!r}; keep one")
        marks.concurrency = concurrency
        return thing

    return decorate

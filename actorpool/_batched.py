# SPDX-License-Identifier: Apache-2.0
"""The decorator `batched`: callers give single inputs, the function gets lists."""

from __future__ import annotations

import inspect
from collections.abc import Callable, Coroutine
from typing import Any, TypeVar, overload

from actorpool._core._batch import Batching
from actorpool.exception import InvalidError

from ._marks import mark
from ._method import Method, is_in_class_body

__all__ = ["batched"]

A = TypeVar("A")
B = TypeVar("B")
C = TypeVar("C")
R = TypeVar("R")
S = TypeVar("S")


class _Batched:
    """The decorator itself: to a type checker, the function takes and returns single values."""

    def __init__(self, batching: Batching) -> None:
        self._batching = batching

    @overload
    def __call__(
        self, function: Callable[[list[A]], Coroutine[Any, Any, list[R]]]
    ) -> Callable[[A], Coroutine[Any, Any, R]]: ...
    @overload
    def __call__(self, function: Callable[[list[A]], list[R]]) -> Callable[[A], R]: ...
    @overload
    def __call__(
        self, function: Callable[[list[A], list[B]], Coroutine[Any, Any, list[R]]]
    ) -> Callable[[A, B], Coroutine[Any, Any, R]]: ...
    @overload
    def __call__(self, function: Callable[[list[A], list[B]], list[R]]) -> Callable[[A, B], R]: ...
    @overload
    def __call__(
        self, function: Callable[[list[A], list[B], list[C]], Coroutine[Any, Any, list[R]]]
    ) -> Callable[[A, B, C], Coroutine[Any, Any, R]]: ...
    @overload
    def __call__(
        self, function: Callable[[list[A], list[B], list[C]], list[R]]
    ) -> Callable[[A, B, C], R]: ...
    @overload
    def __call__(
        self, function: Callable[[S, list[A]], Coroutine[Any, Any, list[R]]]
    ) -> Method[[A], R, Coroutine[Any, Any, list[R]]]: ...
    @overload
    def __call__(self, function: Callable[[S, list[A]], list[R]]) -> Method[[A], R, list[R]]: ...
    @overload
    def __call__(
        self, function: Callable[[S, list[A], list[B]], Coroutine[Any, Any, list[R]]]
    ) -> Method[[A, B], R, Coroutine[Any, Any, list[R]]]: ...
    @overload
    def __call__(self, function: Callable[[S, list[A], list[B]], list[R]]) -> Method[[A, B], R, list[R]]: ...
    def __call__(self, function: Any) -> Any:
        if inspect.isclass(function):
            raise InvalidError(
                f"@modal.batched does not go on a class ('{function.__name__}'): put it on the one method that gets "
                "the batches, in place of @modal.method()"
            )
        marks = mark(function, "modal.batched")
        if marks.batching is not None:
            raise InvalidError(f"@modal.batched stands twice on '{function.__name__}'; keep one")
        marks.batching = self._batching
        if inspect.isgeneratorfunction(function) or inspect.isasyncgenfunction(function):
            raise InvalidError(f"'{function.__name__}' is a generator function, which cannot be batched")
        return Method(function) if is_in_class_body(function) else function


def batched(*, max_batch_size: int, wait_ms: int) -> _Batched:
    """Gather single inputs into batches: callers call with one value, the function gets one list per parameter.

    Put it below `@app.function()`, or on one method of a class in place of `@modal.method()`. The function
    returns a list with one result per input, in their order; what it raises, every input of the batch gets. A
    batch takes one slot.

    Args:
        max_batch_size: Most inputs in a batch (1 to 1,000, inclusive).
        wait_ms: Longest time the oldest input waits for others, in milliseconds (0 to 600,000).

    Raises:
        InvalidError: If a number is out of range, or the function is a generator or has defaults.
    """
    return _Batched(Batching(max_batch_size=max_batch_size, wait_ms=wait_ms))

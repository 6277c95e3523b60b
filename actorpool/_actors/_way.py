# SPDX-License-Identifier: Apache-2.0
"""The way of a caller to a pool: what the verbs ask of one, be it in this process or in another."""

from __future__ import annotations

import threading
from abc import ABC, abstractmethod
from typing import TYPE_CHECKING

from actorpool._core._input import SUCCEEDED

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Sequence

    from actorpool._core._config import Limits
    from actorpool._core._container import Container
    from actorpool._core._input import Input
    from actorpool._host._base import Host

__all__ = ["Way"]


class Way(ABC):
    """Hands inputs to one pool, and their outcomes to whoever waits. Threads: any, unless it says otherwise."""

    __slots__ = ("_lock", "host", "limits", "retired")

    def __init__(self, host: Host, limits: Limits) -> None:
        self.host: Host = host
        """Where outcomes come from: code that blocks its loop waits for ever."""
        self.limits: Limits = limits
        self.retired: bool = False
        """Whether handles must look for a successor: the app was closed or deployed anew, or the pool forgotten."""
        # Held where inputs get their outcomes.
        self._lock = threading.Lock()

    @abstractmethod
    def submit(self, input: Input) -> None:
        """Hand `input` to the pool; the sink of a `BlockingInput` is called as its work ends: see `settled`.

        Raises:
            ClosedError: If the pool accepts nothing any more.
            ResourceExhaustedError: If a limit is reached.
            DeadlockError: If only the caller's own ancestors hold the slots the input needs.
        """

    def settled(self) -> None:
        """Wait until the outcome stands of a `BlockingInput` whose sink was called: that may be a little early."""
        with self._lock:
            pass

    async def submit_async(self, input: Input) -> None:
        """Do the same, and block the running loop for nothing: not for an answer of another process either."""
        self.submit(input)

    @abstractmethod
    def submit_many(self, inputs: Sequence[Input]) -> int:
        """Hand `inputs` to the pool in order; return how many it accepted before a limit was reached."""

    @abstractmethod
    def cancel(self, input: Input, reason: str, places: set[Container] | None = None) -> bool:
        """Cancel `input`, or its present attempt; return whether it had no outcome yet.

        Args:
            input: Any record of the input.
            reason: The message of the error that is its outcome.
            places: Where the container is added in whose slot the work is, if it is in any.
        """

    @abstractmethod
    def terminate(self, containers: Iterable[Container]) -> None:
        """Let `containers` end; other inputs in them start again elsewhere, or finish. Never blocks."""

    @abstractmethod
    def wait_for_room(self, notify: Callable[[], object]) -> bool:
        """Call `notify` once a further called input would be accepted; False if it would be now."""

    @abstractmethod
    def abandon(
        self, inputs: Sequence[Input], reason: str, waiter: Callable[[], object] | None = None
    ) -> None:
        """Cancel `inputs`, whose caller has left, and forget its `waiter` for room. Never blocks for long.

        The garbage collector closes a generator that nobody has finished, and it runs anywhere: also in a thread
        that holds the lock right now. What cannot be done at once for that is done on the host's thread.
        """

    def add_sink(self, input: Input, sink: Callable[[Input], object]) -> bool:
        """Let `sink` be called with the outcome of `input`; False if it has one already."""
        with self._lock:
            input = input.latest()
            if input.state >= SUCCEEDED:
                return False
            earlier = input.sink
            input.sink = sink if earlier is None else _Fan((earlier, sink))
            return True

    def remove_sink(self, input: Input, sink: Callable[[Input], object]) -> None:
        """Undo `add_sink`; nothing happens if the outcome was delivered meanwhile."""
        with self._lock:
            input = input.latest()
            present = input.sink
            if present is sink:
                input.sink = None
            elif isinstance(present, _Fan):
                input.sink = present.without(sink)


class _Fan:
    """Several sinks of one input, called in the order in which they came."""

    __slots__ = ("_sinks",)

    def __init__(self, sinks: tuple[Callable[[Input], object], ...]) -> None:
        self._sinks = sinks

    def __call__(self, input: Input) -> None:
        for sink in self._sinks:
            sink(input)

    def without(self, sink: Callable[[Input], object]) -> _Fan | None:
        """Return what is left without `sink`; None where nobody is."""
        left = tuple(other for other in self._sinks if other is not sink)
        return _Fan(left) if left else None

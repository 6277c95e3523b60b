# SPDX-License-Identifier: Apache-2.0
"""A race of inputs: over when each has succeeded, or the first of them has failed. Who waits for it is told once.

The outcomes come from any thread.
"""

from __future__ import annotations

import threading
from typing import TYPE_CHECKING

from actorpool._core._input import SUCCEEDED, Input

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

    from actorpool._actors._way import Way

__all__ = ["Race"]


class Race:
    """Notifies once, when every one of several inputs has its result or the first of them has failed."""

    __slots__ = ("_inputs", "_left", "_lock", "_notify", "_sink", "failed")

    def __init__(self, inputs: Sequence[tuple[Way, Input]], notify: Callable[[], object]) -> None:
        self._inputs = inputs
        self._notify = notify
        self._lock = threading.Lock()
        self._left = len(inputs)
        self.failed: Input | None = None
        """The first that failed."""
        # One object, so that it can be taken away again.
        self._sink = self._ended
        if not inputs:
            notify()
        for way, input in inputs:
            if not way.add_sink(input, self._sink):
                self._ended(input.latest())

    def leave(self) -> None:
        """Wait no more for those that go on."""
        for way, input in self._inputs:
            way.remove_sink(input, self._sink)
        # It refers to this object, which is not to wait for the garbage collector.
        del self._sink

    def _ended(self, input: Input) -> None:
        with self._lock:
            self._left -= 1
            if input.state != SUCCEEDED and self.failed is None:
                self.failed = input
            is_over = self.failed is not None or not self._left
        if is_over:
            self._notify()

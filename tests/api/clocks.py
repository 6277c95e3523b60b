# SPDX-License-Identifier: Apache-2.0
"""The clock by which results that are found by id expire, moved by hand."""

from __future__ import annotations

import pytest

from actorpool import _known_calls, _served, call
from actorpool._known_calls import KnownCalls

__all__ = ["Clock", "known_calls_clock"]


class Clock:
    """Stands in for the module `time` where calls are known by id."""

    def __init__(self) -> None:
        self.now = 1_000.0
        self.known = KnownCalls()
        """The calls that are known since this clock runs."""

    def monotonic(self) -> float:
        return self.now


def known_calls_clock(monkeypatch: pytest.MonkeyPatch) -> Clock:
    """Return the clock of the calls known from now on; what other tests left there is not seen."""
    clock = Clock()
    for module in (call, _served):
        monkeypatch.setattr(module, "known_calls", clock.known)
    # In that module alone: the loop's own clock is not to stand still.
    monkeypatch.setattr(_known_calls, "time", clock)
    return clock

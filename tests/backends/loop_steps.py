# SPDX-License-Identifier: Apache-2.0
"""What the tests of block detection share: a loop whose steps are made up, and what was warned of."""

from __future__ import annotations

import threading
from collections.abc import Callable
from types import FrameType

import pytest

from actorpool._host._watchdog import Step


class FakeSteps:
    """The steps of no loop: whatever the test says is being taken."""

    def __init__(self) -> None:
        self.closed = False
        self.current: Step | None = None
        self.pinned: list[Step] = []
        self.unhooked = 0
        self.looked = threading.Event()

    def hook(self, interval_s: float) -> None:
        pass

    def unhook(self, still_wanted: Callable[[], bool]) -> None:
        self.unhooked += not still_wanted()

    def look(self, last: Step | None) -> Step | None:
        self.looked.set()
        return self.current

    def pin(self, step: Step) -> None:
        self.pinned.append(step)

    def root(self, step: Step) -> FrameType | None:
        return None


def said(caplog: pytest.LogCaptureFixture) -> list[str]:
    """What was warned of, without the advice."""
    return [record.getMessage().partition(";")[0] for record in caplog.records]

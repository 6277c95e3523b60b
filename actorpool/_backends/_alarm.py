# SPDX-License-Identifier: Apache-2.0
"""One timer that is set anew as often as need be."""

from __future__ import annotations

from math import inf
from typing import TYPE_CHECKING

from attrs import define, field

if TYPE_CHECKING:
    from collections.abc import Callable

    from actorpool._host._base import Host, TimerHandle

__all__ = ["Alarm"]


@define(eq=False)
class Alarm:
    """Calls `ring` when it is due; host thread only."""

    _host: Host
    _ring: Callable[[], object]
    _timer: TimerHandle | None = field(default=None, init=False)
    _due: float = field(default=inf, init=False)

    def set(self, due: float) -> None:
        """Be due at that instant of the host's clock instead of any other; never, if it is infinite."""
        if self._timer is not None:
            if self._due == due:
                return
            self._timer.cancel()
        self._due = due
        self._timer = None if due == inf else self._host.call_at(due, self._go_off)

    def _go_off(self) -> None:
        self._timer = None
        self._ring()

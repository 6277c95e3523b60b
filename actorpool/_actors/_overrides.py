# SPDX-License-Identifier: Apache-2.0
"""Settings that were changed for pools which come and go: they outlast the pool, in a bounded number."""

from __future__ import annotations

import logging
import threading
from collections import OrderedDict
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Hashable

    from actorpool._core._config import AutoscalerSettings

__all__ = ["Overrides"]

logger = logging.getLogger("actorpool")


class Overrides:
    """The changed settings of one app's pools, by the pools' keys. Threads: any.

    Args:
        name: The app's name, for messages.
        most: How many are kept (>= 1); then those go that were used the longest time ago.
    """

    __slots__ = ("_kept", "_lock", "_most", "_name", "_warned")

    def __init__(self, name: str, most: int) -> None:
        self._name = name
        self._most = most
        self._lock = threading.Lock()
        # The latest used last.
        self._kept: OrderedDict[Hashable, AutoscalerSettings] = OrderedDict()
        self._warned = False

    def __len__(self) -> int:
        return len(self._kept)

    def get(self, key: Hashable) -> AutoscalerSettings | None:
        """Return the changed settings of the pool `key`; None if they are as defined."""
        with self._lock:
            if key in self._kept:
                self._kept.move_to_end(key)
            return self._kept.get(key)

    def keep(self, key: Hashable, settings: AutoscalerSettings, defined: AutoscalerSettings) -> None:
        """Remember `settings` for the pool `key`, unless they are what was `defined` for it."""
        with self._lock:
            self._kept.pop(key, None)
            if settings == defined:
                return
            self._kept[key] = settings
            if len(self._kept) <= self._most:
                return
            self._kept.popitem(last=False)
            warn, self._warned = not self._warned, True
        if warn:
            logger.warning(
                "app '%s' has changed the settings of more than %d parameter sets; those unused the longest go back to "
                "the settings of their class when their pools are made anew",
                self._name,
                self._most,
            )

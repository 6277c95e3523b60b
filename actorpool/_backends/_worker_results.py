# SPDX-License-Identifier: Apache-2.0
"""The results of a worker process that are held back for a moment, so that many share a write.

A result waits for others only while its process has further inputs at hand, and only if it is small and plain. Until
it is written it is in a journal, memory that the parent has as well and reads when this process has ended: so the
next input may begin before the parent was told of this one's end, and is known to have begun all the same.

How long a result may wait is bounded from two sides: here, when a later input ends; by the parent, which withdraws
what it has sent ahead when it has heard nothing for a while.
"""

from __future__ import annotations

import threading
import time
from typing import TYPE_CHECKING, Any, Final

from attrs import define, field

from actorpool._wire._batches import batch, pack_plain
from actorpool._wire._memory import Journal
from actorpool._wire._messages import Ends, Memory

if TYPE_CHECKING:
    from collections.abc import Callable

    from actorpool._wire._messages import Message

__all__ = ["HeldResults"]

# For how long results are gathered, in seconds, and how many bytes of them. Both picked by feel, with
# `python -m benchmarks --only 'process-*'`.
_HOLD_S: Final = 0.002
_JOURNAL_BYTES: Final = 1 << 16
# The header of a number of eight bytes.
_NUMBER: Final = b"\xcf"


@define(eq=False)
class HeldResults:
    """Results on their way. Threads: any.

    Args:
        post: Queues a message.
        pending_bytes: Returns how much of what is queued is not written yet.
    """

    _post: Callable[[Message], object]
    _pending_bytes: Callable[[], int]
    # A destructor, in the middle of anything, may call a function.
    _lock: threading.RLock = field(factory=threading.RLock, init=False)
    # None when there can be none; made for the first result.
    _journal: Journal | None = field(default=None, init=False)
    _asked: bool = field(default=False, init=False)
    parts: list[bytes] = field(factory=list, init=False)
    """What is held: numbers and results by turns, packed."""
    noted: bool = field(default=False, init=False)
    """Whether the journal has anything in it."""
    _since: float = field(default=0.0, init=False)

    def keep(self, number: int, value: Any) -> bool:
        """Hold back the result of input `number`; return False if it has to go alone."""
        packed = pack_plain(value)
        if packed is None:
            return False
        named = _NUMBER + number.to_bytes(8, "big")
        with self._lock:
            if not self._asked:
                self._make_journal()
            if self._journal is None or not self._journal.put(named + packed):
                return False
            self.noted = True
            if not self.parts:
                self._since = time.monotonic()
            self.parts += (named, packed)
            return True

    @property
    def due(self) -> bool:
        """Whether the oldest has waited for long enough."""
        return time.monotonic() - self._since >= _HOLD_S

    def release(self) -> None:
        """Queue what is held; it comes before what is queued next."""
        if self.parts:
            with self._lock:
                parts, self.parts = self.parts, []
                if parts:
                    self._post(Ends(batch(parts)))

    def written(self) -> None:
        """Take note that all that was queued seems to have been written: the journal may begin anew."""
        with self._lock:
            # Another thread may have been faster with its next result.
            if self._journal is not None and not self.parts and not self._pending_bytes():
                self._journal.clear()
                self.noted = False

    def _make_journal(self) -> None:
        self._asked = True
        made = Journal.make(_JOURNAL_BYTES)
        if made is not None:
            self._journal, memory = made
            self._post(Memory(memory))

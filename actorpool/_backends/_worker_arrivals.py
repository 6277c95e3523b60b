# SPDX-License-Identifier: Apache-2.0
"""What has come to a container's process, in its order: what is said of its calls, and what its loop is to obey.

What is said of calls is passed on at once, also while the loop stands still and waits for an answer. To read a value
may be to ask: a handle to a call is found by its id. What comes meanwhile must not overtake the message that is being
read, save answers, one of which is waited for.
"""

from __future__ import annotations

from collections import deque
from typing import TYPE_CHECKING

from attrs import define, field

from actorpool._wire._messages import Answer, Ended, Item

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable

    from actorpool._wire._messages import Message

__all__ = ["Arrivals"]


@define(eq=False)
class Arrivals:
    """The messages that have come. Threads: the loop's."""

    to_obey: deque[Message] = field(factory=deque, init=False)
    """What is left for the loop to obey."""
    _came: deque[Message] = field(factory=deque, init=False)
    _passing: bool = field(default=False, init=False)

    def take(self, messages: Iterable[Message], hear: Callable[[Message], None]) -> None:
        """Pass on to `hear` what is said of calls, and keep the rest."""
        if self._passing:
            for message in messages:
                if isinstance(message, Answer):
                    hear(message)
                else:
                    self._came.append(message)
            return
        self._came.extend(messages)
        self._passing = True
        try:
            while self._came:
                message = self._came.popleft()
                if isinstance(message, (Ended, Item, Answer)):
                    hear(message)
                else:
                    self.to_obey.append(message)
        finally:
            self._passing = False

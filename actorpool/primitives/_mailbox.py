# SPDX-License-Identifier: Apache-2.0
"""The mailbox: an actor's inbound channel, open to every thread.

What a message means, and who handles it, is not known here.

Theory of operation. A deque under a lock, and the signal of the one task that receives. Every post is decided
at once, in the poster's own turn: accepted, or refused with an error. The receiving task finds the deque
empty and binds its signal under the same lock, so a later post sees the signal. Every accepted message is
received once or becomes a dead letter once.
"""

from __future__ import annotations

import logging
import threading
from collections import deque
from collections.abc import Callable
from typing import Final, Generic, TypeVar

from attrs import define, field, frozen

from actorpool._core._config import check_count
from actorpool._host._base import Bridge, Signal
from actorpool._host._current import current_bridge, current_host
from actorpool._host._errors import ClosedResourceError, EndOfChannel, HostNotRunningError
from actorpool.exception import ConflictError, Error, ResourceExhaustedError

__all__ = ["Mailbox", "MailboxStatistics"]

M = TypeVar("M")

logger = logging.getLogger("actorpool")

# Messages received in a row before the loop's other tasks get a turn; picked by feel.
_TURN: Final = 100


@frozen
class MailboxStatistics:
    """A snapshot of a `Mailbox`."""

    pending: int
    """Messages accepted and not received yet."""
    max_pending: int | None
    """Messages that may be pending (inclusive); None for no bound."""
    received: int
    """Messages received so far."""
    dead_letters: int
    """Accepted messages that nobody will receive."""
    closed: bool
    """Whether posts are refused."""


@define(eq=False, repr=False)
class Mailbox(Generic[M]):
    """An unbounded or bounded queue of messages from any thread to one task.

    1. Open: `post` accepts messages; whoever receives first binds the mailbox to its event loop.
    2. Closed, by `close()`: posts are refused; what is pending can still be received, then comes
       `EndOfChannel`. 3. Discarded, by `discard()`: closed, and what was pending has become dead letters,
       each answered with an error.

    Args:
        name: Who owns it, for messages and logs. max_pending: Messages that may be pending (inclusive, >= 1);
        None for no bound. on_dead_letter: Called as `on_dead_letter(message, error)` for each message that
        was accepted and that nobody
            will receive, in the thread that discards. By default a warning is logged.

    Raises:
        InvalidError: If `max_pending` is no whole number of at least 1.
    """

    name: str = field(default="mailbox", kw_only=True)
    _max_pending: int | None = field(default=None, kw_only=True, alias="max_pending")
    _on_dead_letter: Callable[[M, Error], object] | None = field(
        default=None, kw_only=True, alias="on_dead_letter"
    )
    _lock: threading.Lock = field(factory=threading.Lock, init=False)
    _messages: deque[M] = field(factory=deque, init=False)
    _bridge: Bridge | None = field(default=None, init=False)
    _signal: Signal | None = field(default=None, init=False)
    _receiving: bool = field(default=False, init=False)
    _closed: bool = field(default=False, init=False)
    _received: int = field(default=0, init=False)
    _dead_letters: int = field(default=0, init=False)

    def __attrs_post_init__(self) -> None:
        if self._max_pending is not None:
            check_count("max_pending", self._max_pending, least=1)

    def __repr__(self) -> str:
        bound = "" if self._max_pending is None else f"/{self._max_pending}"
        state = "closed" if self._closed else "open"
        return f"<Mailbox {self.name!r} {state} pending={len(self._messages)}{bound}>"

    def statistics(self) -> MailboxStatistics:
        """Return a snapshot. Threads: any."""
        with self._lock:
            return MailboxStatistics(
                pending=len(self._messages),
                max_pending=self._max_pending,
                received=self._received,
                dead_letters=self._dead_letters,
                closed=self._closed,
            )

    def post(self, message: M) -> None:
        """Leave a message; it is received in the order of acceptance.

        Raises:
            ClosedResourceError: If the mailbox is closed.
            ResourceExhaustedError: If `max_pending` messages are pending already; retry later.

        Threads: Any.
        """
        with self._lock:
            if self._closed:
                raise ClosedResourceError(
                    f"mailbox {self.name!r} is closed; its owner takes no more messages"
                )
            pending = len(self._messages)
            if self._max_pending is not None and pending >= self._max_pending:
                raise ResourceExhaustedError(
                    f"mailbox {self.name!r} has {pending} pending messages (limit {self._max_pending}); "
                    "retry later or raise max_pending",
                    limit=self._max_pending,
                    limit_name="max_pending",
                    pending=pending,
                )
            self._messages.append(message)
            signal = self._signal
        if signal is not None:
            signal.notify()

    async def receive(self) -> M:
        """Return the oldest message, waiting for one. Mostly no checkpoint if there is one already.

        Raises:
            EndOfChannel: If the mailbox is closed and empty.
            ConflictError: If another task is receiving already.
            HostNotRunningError: If no event loop runs in this thread.

        Cancellation: No message was taken.
        """
        if self._receiving:
            raise ConflictError(
                f"mailbox {self.name!r} is being received from by another task; use one mailbox each"
            )
        self._receiving = True
        try:
            if self._received % _TURN == _TURN - 1:
                await current_host().checkpoint()
            while True:
                with self._lock:
                    if self._messages:
                        self._received += 1
                        return self._messages.popleft()
                    if self._closed:
                        raise EndOfChannel(f"mailbox {self.name!r} is closed and empty")
                    signal = self._bind()
                await signal.wait()
        finally:
            self._receiving = False

    def __aiter__(self) -> Mailbox[M]:
        return self

    async def __anext__(self) -> M:
        try:
            return await self.receive()
        except EndOfChannel:
            raise StopAsyncIteration from None

    def close(self) -> None:
        """Refuse further messages; those pending can still be received. Idempotent. Threads: any."""
        with self._lock:
            self._closed = True
            signal = self._signal
        if signal is not None:
            signal.notify()

    def discard(self) -> int:
        """Close, and answer each pending message with an error; return how many there were. Threads: any."""
        self.close()
        with self._lock:
            letters = list(self._messages)
            self._messages.clear()
            self._dead_letters += len(letters)
        error = ClosedResourceError(f"mailbox {self.name!r} was closed before the message could be handled")
        for letter in letters:
            if self._on_dead_letter is None:
                logger.warning("dead letter in mailbox %r: %r", self.name, letter)
                continue
            try:
                self._on_dead_letter(letter, error)
            except Exception:  # the other letters are to be answered all the same
                logger.exception("on_dead_letter of mailbox %r failed for %r", self.name, letter)
        return len(letters)

    def _bind(self) -> Signal:
        """Return the signal of the loop that receives; under the lock."""
        bridge = current_bridge()
        if bridge is None:
            raise HostNotRunningError(
                f"mailbox {self.name!r} can be received from on a running event loop only"
            )
        if self._signal is None or bridge is not self._bridge:
            self._bridge, self._signal = bridge, bridge.signal()
        return self._signal

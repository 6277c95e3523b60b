# SPDX-License-Identifier: Apache-2.0
"""The actor: one task that handles one message at a time.

Who starts an actor, and what follows from its failure, is its supervisor's business.
"""

from __future__ import annotations

import itertools
from typing import Any, ClassVar, Final, Generic, Literal, TypeVar, cast

from attrs import define, field, frozen

from actorpool._host._base import Waiter
from actorpool._host._current import current_bridge, current_host
from actorpool._host._errors import ClosedResourceError, HostNotRunningError
from actorpool.exception import ConflictError
from actorpool.primitives._mailbox import Mailbox, MailboxStatistics

__all__ = ["Actor", "ActorStatistics", "Address", "Letter"]

M = TypeVar("M")
R = TypeVar("R")

_numbers: Final = itertools.count(1)


@define(eq=False)
class _Reply(Generic[R]):
    """Where the one answer to an asked message goes."""

    waiter: Waiter = field(repr=False)
    answered: bool = field(default=False, init=False)
    # The asker was cancelled.
    abandoned: bool = field(default=False, init=False)
    _result: R | None = field(default=None, init=False)
    _error: BaseException | None = field(default=None, init=False)

    def succeed(self, result: R) -> None:
        self._result = result
        self.answered = True
        self.waiter.notify()

    def fail(self, error: BaseException) -> None:
        self._error = error
        self.answered = True
        self.waiter.notify()

    def unwrap(self) -> R:
        assert self.answered
        if self._error is None:
            return cast(R, self._result)
        try:
            raise self._error
        finally:
            # The error's traceback refers to this object: do not make it a cycle.
            self._error = None


@define(eq=False)
class Letter(Generic[M]):
    """What an actor's mailbox holds: a message, and where its answer goes."""

    message: M
    """What was given to `tell` or `ask`."""
    _reply: _Reply[Any] | None = field(default=None, repr=False)

    @property
    def reply(self) -> _Reply[Any] | None:
        """Where the answer goes; None if the message was told and nobody waits."""
        return self._reply


@frozen
class ActorStatistics:
    """A snapshot of an `Actor`."""

    state: Literal["new", "running", "stopped"]
    """Where it stands in its life."""
    handled: int
    """Messages whose `handle` returned."""
    failed: int
    """Messages whose `handle` raised."""
    mailbox: MailboxStatistics
    """Its mailbox."""


class _Reachable(Generic[M, R]):
    """What messages can be sent to: something with a name and a mailbox."""

    def __init__(self, name: str, mailbox: Mailbox[Letter[M]]) -> None:
        self._name = name
        self._mailbox = mailbox

    @property
    def name(self) -> str:
        """Its name, for messages and logs."""
        return self._name

    def tell(self, message: M) -> None:
        """Send a message and wait for nothing.

        Raises:
            ClosedResourceError: If the actor has been stopped.
            ResourceExhaustedError: If its mailbox is bounded and full.

        Threads: Any.
        """
        self._mailbox.post(Letter(message))

    async def ask(self, message: M) -> R:
        """Send a message and return the answer.

        Raises:
            ClosedResourceError: If the actor has been stopped, or ends before it has handled the message.
            ResourceExhaustedError: If its mailbox is bounded and full.
            HostNotRunningError: If no event loop runs in this thread.
            BaseException: What `handle` raises.

        Cancellation: A message that is still pending is not handled any more; one being handled is handled to
        its end. Threads: Any event loop, not only the actor's.
        """
        bridge = current_bridge()
        if bridge is None:
            raise HostNotRunningError(
                f"actor {self._name!r} can be asked on a running event loop only; use tell()"
            )
        reply = _Reply[R](bridge.waiter())
        self._mailbox.post(Letter(message, reply))
        try:
            await reply.waiter.wait()
        except BaseException:
            reply.abandoned = True
            raise
        return reply.unwrap()

    def stop(self) -> None:
        """Let it handle what is pending and end; nothing more is accepted. Idempotent. Threads: any."""
        self._mailbox.close()


class Address(_Reachable[M, R]):
    """Where the messages of a supervised actor go: it stays when the actor is restarted.

    Every actor that is made with `mailbox=address.mailbox` goes on with what the one before it has left. What comes
    while nobody receives waits.

    Args:
        name: Its name, for messages and logs.
        max_pending: Messages that may be pending (inclusive, >= 1); None for no bound.

    Raises:
        InvalidError: If `max_pending` is no whole number of at least 1.

    Example:
        >>> counter = Address[int, int]("counter")
        >>> supervisor = Supervisor([ChildSpec("counter", lambda: Counter(mailbox=counter.mailbox).run())])
        >>> await counter.ask(3)
    """

    def __init__(self, name: str, *, max_pending: int | None = None) -> None:
        super().__init__(
            name, Mailbox(name=name, max_pending=max_pending, on_dead_letter=_answer_dead_letter)
        )

    def __repr__(self) -> str:
        return f"<Address {self._name!r} pending={self._mailbox.statistics().pending}>"

    @property
    def mailbox(self) -> Mailbox[Letter[M]]:
        """What the actor receives from; `discard()` it when no actor will follow, and pending asks are answered."""
        return self._mailbox


class Actor(_Reachable[M, R]):
    """A task with a mailbox, which handles one message at a time: its state needs no lock.

    Derive from it and write `handle`; a subclass with an `__init__` of its own calls this one.

    1. Made: messages may be sent from now on; they wait.
    2. `run()` is started, as a child of a nursery or of a `Supervisor`. It calls `started()`.
    3. It handles the messages in order, one at a time. What `handle` returns or raises is the answer to a
       message that was asked. If `handle` raises on a message that was told, nobody else would hear of it, so
       the actor fails: the exception leaves `run()` and reaches the supervisor.
    4. `stop()` lets it handle what is pending and end.
    5. However it ends (stopped, failed, cancelled), messages still pending are answered with
       `ClosedResourceError`, and `stopped()` is called, shielded from cancellation for at most `grace_s`
       seconds, if `started()` had succeeded.
    6. Stopped: it refuses messages and does not run again. To restart it, the supervisor makes another one;
       with the mailbox of an `Address`, messages and senders carry over.

    Args:
        name: Its name, for messages and logs; made from the class's name if None.
        mailbox: A mailbox that outlives this actor and is closed by whoever made it, such as an `Address` has; its
            own if None.
    """

    grace_s: ClassVar[float] = 5.0
    """Longest time that `stopped()` may take when the actor ends, in seconds."""

    def __init__(self, *, name: str | None = None, mailbox: Mailbox[Letter[M]] | None = None) -> None:
        name = f"{type(self).__name__}-{next(_numbers)}" if name is None else name
        self._owns_mailbox = mailbox is None
        super().__init__(
            name, Mailbox(name=name, on_dead_letter=_answer_dead_letter) if mailbox is None else mailbox
        )
        self._state: Literal["new", "running", "stopped"] = "new"
        self._handled = 0
        self._failed = 0

    def __repr__(self) -> str:
        pending = self._mailbox.statistics().pending
        return (
            f"<{type(self).__name__} {self._name!r} {self._state} pending={pending} handled={self._handled}>"
        )

    def statistics(self) -> ActorStatistics:
        """Return a snapshot. Threads: any."""
        return ActorStatistics(
            state=self._state, handled=self._handled, failed=self._failed, mailbox=self._mailbox.statistics()
        )

    async def started(self) -> None:
        """Prepare, before the first message; override it. An exception makes the actor fail."""

    async def handle(self, message: M) -> R:
        """Handle one message and return the answer; override it."""
        raise NotImplementedError(f"{type(self).__name__} does not define handle(); it got {message!r}")

    async def stopped(self) -> None:
        """Clean up, after the last message; override it. An exception makes the actor fail."""

    async def run(self) -> None:
        """Live: see the class. Call it once.

        Raises:
            ConflictError: If it has been called before.
            Exception: What `started`, `stopped`, or `handle` of a told message raised.
        """
        if self._state != "new":
            raise ConflictError(
                f"actor {self._name!r} is {self._state}; an actor runs once, make another one"
            )
        self._state = "running"
        try:
            await self.started()
            try:
                async for letter in self._mailbox:
                    await self._handle(letter)
            finally:
                await current_host().shielded(self.stopped, self.grace_s)
        finally:
            self._state = "stopped"
            if self._owns_mailbox:
                self._mailbox.discard()

    async def _handle(self, letter: Letter[M]) -> None:
        reply = letter.reply
        if reply is not None and reply.abandoned:
            return
        try:
            result = await self.handle(letter.message)
        except Exception as error:
            self._failed += 1
            if reply is None:
                raise
            reply.fail(error)
        except BaseException:
            self._failed += 1
            if reply is not None:
                reply.fail(ClosedResourceError(f"actor {self._name!r} ended while it handled the message"))
            raise
        else:
            self._handled += 1
            if reply is not None:
                reply.succeed(result)


def _answer_dead_letter(letter: Letter[Any], error: Exception) -> None:
    if letter.reply is not None:
        letter.reply.fail(error)

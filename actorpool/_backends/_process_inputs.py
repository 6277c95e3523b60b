# SPDX-License-Identifier: Apache-2.0
"""The inputs of one process container, parent's side: numbered, sent, sent ahead, and ended.

An input counts as run from the moment its message is queued, one that was sent ahead (`_sent_ahead`) when the end of
the one before it has come. What goes ahead goes many to a message, and ends that come together take one step of the
pool's.
"""

from __future__ import annotations

import itertools
import threading
from functools import partial
from typing import TYPE_CHECKING, Any

from actorpool._core._input import CANCELLED, FAILED, PENDING, RUNNING, Input
from actorpool._core._lookahead import MOST_BYTES
from actorpool._wire._batches import batch, pack_arguments
from actorpool._wire._codec import HELD_ABOVE, Held, encode_arguments
from actorpool._wire._faults import EncodeError, WireError
from actorpool._wire._messages import Credit, Ended, Item, Message
from actorpool.exception import InvalidError

from ._feed import Feed
from ._process_pool import outcome_of
from ._sent_ahead import SentAhead
from ._variables import pack_context

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

    from actorpool._core._ending import Ending
    from actorpool._host._base import Host
    from actorpool._host._slots import Complete
    from actorpool._wire._blobs import Payload

    from ._process_pool import ProcessPool
    from ._workload import ContainerOwner

__all__ = ["ProcessInputs"]


class ProcessInputs:
    """What one process runs and was sent ahead. Threads: `send` any, the rest the host's."""

    __slots__ = (
        "_complete",
        "_ending",
        "_feeds",
        "_host",
        "_numbers",
        "_order",
        "_owner",
        "_pool",
        "_post",
        "ahead",
        "alone",
        "running",
    )

    def __init__(
        self,
        pool: ProcessPool,
        host: Host,
        complete: Complete,
        owner: ContainerOwner,
        ending: Ending,
        post: Callable[[Message], None],
    ) -> None:
        self._pool = pool
        self._host = host
        self._complete = complete
        self._owner = owner
        self._ending = ending
        self._post = post
        # Held from the choice of a number to the post: inputs arrive in the order of their numbers.
        self._order = threading.Lock()
        self._numbers = itertools.count(1)
        self._feeds: dict[int, Feed] = {}
        self.running: dict[int, Input] = {}
        """{number of an input in messages: the input}, from the moment its message is queued until its end."""
        self.ahead = SentAhead(host, pool, owner, post)
        self.alone: bool = False
        """Whether nothing ran when the last input was sent."""

    # -- sending ---------------------------------------------------------------------------------

    def send(self, input: Input) -> None:
        """Run an input, which has its slot; see `ContainerBackend.send`."""
        following: Input | None = input
        while following is not None:
            number = following.handle
            # This look is for any thread; what went ahead takes its slot on the host's.
            if number is not None and number in self.ahead.lookahead:
                # The process has it already.
                self.ahead.take(number)
                self.running[number] = following
                return
            following = self._hand_over(following)

    def _hand_over(self, input: Input) -> Input | None:
        """Queue an input's message; return the one that takes its slot if it failed at that."""
        # The payload is read before the state: whoever settles an input sets the state first.
        args, kwargs, context, stream = input.args, input.kwargs, input.context, input.stream
        if input.state != RUNNING:
            return self._complete(input, CANCELLED, None)
        if self._ending.doomed:
            # It holds a slot of a container that is gone: the pool takes it back.
            return None
        number: int | None = None
        try:
            values = (
                encode_arguments(args, kwargs or {}, share_above=HELD_ABOVE, share=Held),
                # Most have no variable.
                pack_context(context) if context else None,
            )
            self._host.hold()
            with self._order:
                number = next(self._numbers)
                if stream is not None:
                    self._feeds[number] = Feed(stream, partial(self._give_credit, number))
                self.alone = not self.running
                if self.alone:
                    self.ahead.lookahead.heard_at = self._host.now()
                self.running[number] = input
                input.handle = number
                self._post(self._pool.run_message(number, input, *values, stream))
        except (EncodeError, WireError) as error:
            if number is not None and self.running.pop(number, None) is not None:
                self._release(number)
            refusal = InvalidError(
                f"an input of '{input.target}' cannot be sent to a process container: {error}"
            )
            refusal.__cause__ = error
            return self._complete(input, FAILED, refusal)
        return None

    def _give_credit(self, number: int, items: int) -> None:
        self._post(Credit(number, items))

    def fill(self) -> None:
        """Send inputs ahead, if that is worth it now."""
        self.ahead.fill(self._give)

    def _give(self, inputs: Sequence[Input]) -> tuple[list[tuple[int, Input]], int]:
        """Send inputs ahead; return those that went, with their numbers, and how many bytes went.

        It ends at one that cannot be sent, and when that is enough. Those that were cancelled meanwhile do not go.
        """
        sent: list[tuple[int, Input]] = []
        size = 0
        group = _Group(self._pool, self._post)
        with self._order:
            for input in inputs:
                # The payload is read before the state, as ever.
                args, kwargs, context = input.args, input.kwargs, input.context
                if input.state != PENDING:
                    continue
                if size >= MOST_BYTES:
                    break
                packed = pack_arguments(args, kwargs or {})
                number = next(self._numbers)
                if packed is None:
                    group.send()
                    try:
                        values = (
                            encode_arguments(args, kwargs or {}, share_above=HELD_ABOVE, share=Held),
                            pack_context(context),
                        )
                        self._post(self._pool.run_message(number, input, *values, None))
                    except (EncodeError, WireError):
                        break
                    size += sum([len(values[0].data), *(blob.size for blob in values[0].blobs)])
                else:
                    size += len(packed)
                    group.add(number, input, packed, context)
                self._host.hold()
                input.handle = number
                sent.append((number, input))
            group.send()
        return sent, size

    # -- what is heard ---------------------------------------------------------------------------

    def end(self, message: Ended) -> None:
        """Take note of the end of an input."""
        number = message.number
        input = self.running.pop(number, None)
        if input is None:
            if self.ahead.take(number) is not None:
                self._release(number)  # cancelled before it began
            return
        feed = self._feeds.get(number) if self._feeds else None
        failure = None if feed is None else feed.failure
        self._release(number)
        self._follow(self._complete(input, *(outcome_of(message) if failure is None else (FAILED, failure))))

    def end_many(self, values: list[Any]) -> None:
        """Take note of the ends of many, given number and result by turns.

        Raises:
            WireError: If that makes no sense.
        """
        if len(values) % 2:
            raise WireError(f"of {len(values)} values no two are number and result each")
        ended: list[Input] = []
        results: list[Any] = []
        running, take = self.running, self.ahead.take
        for at in range(0, len(values), 2):
            number, result = values[at], values[at + 1]
            if type(number) is not int:
                raise WireError(f"a {type(number).__name__} is no number of an input")
            input = running.pop(number, None)
            if input is None:
                # It has begun with the end of the one before it, which is among these; if not, it was cancelled.
                input = take(number)
                if input is None or input.state != PENDING:
                    if input is not None:
                        self._release(number)
                    continue
            self._release(number)
            if isinstance(result, WireError):
                self._succeed(ended, results)
                self._follow(self._complete(input, FAILED, result))
                ended, results = [], []
            else:
                ended.append(input)
                results.append(result)
        self._succeed(ended, results)

    def _succeed(self, ended: list[Input], results: list[Any]) -> None:
        following = self._owner.succeeded(ended, results)
        over = set(ended)
        for input in following:
            if input is None or input not in over:
                self._follow(input)

    def _follow(self, following: Input | None) -> None:
        """Run what takes a slot that an input has left."""
        if following is not None:
            self.send(following)
        elif self._pool.ahead:
            # There is a slot for what others have not begun.
            for ahead in list(self._pool.ahead):
                ahead.ask_back()

    def item(self, message: Item) -> Input | None:
        """Pass on an item; return the input if its generator is to be ended, because that failed."""
        feed = self._feeds.get(message.number)
        if feed is None or feed.pass_on(message.value):
            return None
        return self.running[message.number]

    def withdrawn(self, above: int) -> None:
        """Take note of what the process has dropped."""
        for number in self.ahead.withdrawn(above):
            self._release(number)

    def is_generator(self, number: int) -> bool:
        """Whether that input has items."""
        return number in self._feeds

    def close(self) -> None:
        """Forget all: the process is gone."""
        for number in self.ahead.clear():
            self._release(number)
        for number in list(self.running):
            del self.running[number]
            self._release(number)

    def _release(self, number: int) -> None:
        if self._feeds:
            self._feeds.pop(number, None)
        if self._ending.interrupted:
            self._ending.returned(number)
        self._host.release()


class _Group:
    """Inputs of one call that follow one another, and go in one message."""

    __slots__ = ("_context", "_first", "_next", "_packed", "_pool", "_post", "_variables")

    def __init__(self, pool: ProcessPool, post: Callable[[Message], None]) -> None:
        self._pool = pool
        self._post = post
        self._packed: list[bytes] = []
        self._first: tuple[int, Input] | None = None
        # What the next one has to have: number, index, and the rest.
        self._next: tuple[Any, ...] = ()
        self._context: Any = None
        self._variables: Payload | None = None

    def add(self, number: int, input: Input, packed: bytes, context: Any) -> None:
        index = input.index
        if (number, index, input.target, input.identity, input.attempt) != self._next or (
            context is not self._context
        ):
            self.send()
            self._first = number, input
            if context is not self._context:
                self._context = context
                self._variables = pack_context(context) if context else None
        self._packed.append(packed)
        self._next = number + 1, index + 1, input.target, input.identity, input.attempt

    def send(self) -> None:
        if self._first is not None:
            number, input = self._first
            arguments = batch(self._packed)
            self._post(self._pool.runs_message(number, input, arguments, self._variables))
            self._first = None
            self._packed = []
            self._next = ()

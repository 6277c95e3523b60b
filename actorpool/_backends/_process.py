# SPDX-License-Identifier: Apache-2.0
"""The process backend, parent's side: a container whose slots are in an operating-system process of its own.

Theory of operation. The worker process runs a local container, so slots, hooks, threads and tasks behave as there;
this side turns what a pool asks of a container into messages, and messages into outcomes. It decides nothing: whose
turn it is, what is tried again and what replaces a container that died is the pool machine's answer; when a process
is asked to end and made to is that of `Ending`, and when it is too big that of `Weight`.

Everything happens on the host's thread, save `send` and `cancel`, which post: many messages of one turn share a
write. An input counts as run from the moment its message is queued, one that was sent ahead (`_lookahead`) when the
end of the one before it has come. What was given to a container that died fails or is tried again; what only held a
slot, or was ahead, goes to another container.
"""

from __future__ import annotations

import itertools
import logging
import signal
import socket
import threading
from functools import partial
from typing import TYPE_CHECKING, Final

from actorpool._core._ending import Ending, Step
from actorpool._core._input import CANCELLED, FAILED, PENDING, RUNNING, Input
from actorpool._core._recycling import Weight
from actorpool._host._sockets import SocketWatch, open_socket_watch
from actorpool._wire import _messages as wire
from actorpool._wire._codec import encode_arguments
from actorpool._wire._connection import Connection
from actorpool._wire._errors import decode_error
from actorpool._wire._faults import ConnectionClosed, EncodeError, WireError
from actorpool.exception import ContainerDiedError, InvalidError

from ._alarm import Alarm
from ._feed import Feed
from ._lookahead import Lookahead
from ._process_facts import death_of, resident_bytes
from ._process_pool import outcome_of
from ._variables import pack_context
from ._worker_output import forward_line, forward_record

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

    from actorpool._host._base import Host
    from actorpool._host._slots import Complete

    from ._process_pool import ProcessPool, Served
    from ._template_client import Template
    from ._thread_gate import ThreadGate
    from ._workload import ContainerOwner

__all__ = ["ProcessContainer"]

logger = logging.getLogger("actorpool")

# How long a process may take to be gone after SIGKILL, in seconds.
_KILLED_S: Final = 5.0
# What a socket may hold that was not read yet, in bytes.
_BUFFER_BYTES: Final = 1 << 20
# How often the memory of a process is looked at, at most, in seconds.
_WEIGH_S: Final = 0.1


class ProcessContainer:
    """One container in a process of its own."""

    __slots__ = (
        "_admitted",
        "_ahead",
        "_alarm",
        "_alone",
        "_complete",
        "_connection",
        "_ending",
        "_error",
        "_feeds",
        "_gate",
        "_grace_s",
        "_greeted",
        "_host",
        "_name",
        "_numbers",
        "_order",
        "_over",
        "_owner",
        "_pid",
        "_pool",
        "_ready",
        "_running",
        "_served",
        "_stopping",
        "_template",
        "_turn",
        "_watch",
        "_weight",
    )

    def __init__(
        self,
        name: str,
        pool: ProcessPool,
        host: Host,
        complete: Complete,
        owner: ContainerOwner,
        gate: ThreadGate,
        grace_s: float,
    ) -> None:
        self._name = name
        self._pool = pool
        self._host = host
        self._complete = complete
        self._owner = owner
        self._gate = gate
        self._admitted = False
        # Held from the choice of a number to the post: inputs arrive in the order of their numbers.
        self._order = threading.Lock()
        self._numbers = itertools.count(1)
        # {number of an input in messages: the input}, from the moment its message is queued until its end.
        self._running: dict[int, Input] = {}
        self._ahead = Lookahead(host, pool, owner, self._post)
        self._feeds: dict[int, Feed] = {}
        self._grace_s = grace_s
        # As long as the steps of a stop may take there: interrupted work, each hook, the threads.
        ask_s = grace_s * (len(pool.workload.exit) + 2) + 1
        self._ending = Ending(grace_s, ask_s=ask_s, kill_s=_KILLED_S)
        self._alarm = Alarm(host, self._advance)
        self._weight = Weight(pool.max_memory, every_s=_WEIGH_S)
        self._template: Template | None = None
        self._pid: int | None = None
        self._connection: Connection | None = None
        self._watch: SocketWatch | None = None
        self._served: Served | None = None
        self._greeted = host.event()
        # Set when the process is gone, or nobody waits for that any more.
        self._over = host.event()
        self._error: BaseException | None = None
        self._ready = False
        self._stopping = False
        # The thread that will flush what it posts, while it does.
        self._turn = 0
        # Whether nothing ran when the last input was sent.
        self._alone = False

    @property
    def send(self) -> Callable[[Input], None]:
        """What runs an input; see `ContainerBackend.send`."""
        return self._send

    def cancel(self, input: Input) -> None:
        """Cancel the input in its process; if it does not return in time, its process ends."""
        self._host.bridge.post(self._interrupt, input)

    async def admit(self) -> None:
        """Wait until the app may have another process."""
        await self._gate.enter(self._pool.workload.name, 1)
        self._admitted = True

    async def start(self) -> None:
        """Make the process, and have it make the user's object and run its enter hooks."""
        # As for a thread: what happens elsewhere takes no virtual time.
        with self._host.hold_clock():
            await self._start()

    async def _start(self) -> None:
        start = self._pool.start_message(self._name, self._grace_s)
        template = self._template = self._pool.template()
        ours, theirs = socket.socketpair()
        for end in (ours, theirs):
            # As much as the system allows: who has to wait for room is woken for it.
            end.setsockopt(socket.SOL_SOCKET, socket.SO_SNDBUF, _BUFFER_BYTES)
        ours.setblocking(False)
        with theirs:
            self._connection = Connection(ours, self._wake)
            self._served = self._pool.serve(self._connection.post, self._running)
            self._watch = open_socket_watch(self._host, ours, self._readable, self._flush)
            pid = await template.fork(theirs, self._exited)
        if self._error is not None:
            raise self._error
        self._pid = pid
        self._connection.post(start)
        await self._greeted.wait()
        if self._error is not None:
            raise self._error

    def abandon(self) -> None:
        """Let the process end; nothing can be run on the loop any more. Threads: any."""
        self._ending.gone()
        if self._connection is not None:
            self._connection.close()

    async def stop(self, leftover: Sequence[Input], grace_s: float) -> None:
        """Have the process run its exit hooks and end; if it does not in time, end it."""
        self._stopping = True
        if self._pid is None:
            # There is none, or none that is known: it ends with its socket.
            self._ending.gone()
            self._alarm.set(self._ending.next_at)
        else:
            self._carry_out(self._ending.stop(self._host.now(), hooks=self._ready))
            with self._host.hold_clock():
                await self._over.wait()
        self._close()
        if self._admitted:
            self._admitted = False
            self._gate.leave(self._pool.workload.name, 1)

    # -- inputs: any thread ----------------------------------------------------------------------

    def _send(self, input: Input) -> None:
        following: Input | None = input
        while following is not None:
            if self._begun(following):
                return
            following = self._hand_over(following)

    def _begun(self, input: Input) -> bool:
        """Take note that an input has its slot; return whether the process had it already."""
        number = input.handle
        # This look is for any thread; what went ahead takes its slot on the host's.
        if number is None or number not in self._ahead:
            return False
        self._ahead.take(number)
        self._running[number] = input
        return True

    def _hand_over(self, input: Input) -> Input | None:
        """Queue an input's message; return the one that takes its slot if it failed at that."""
        # The payload is read before the state: whoever settles an input sets the state first.
        args, kwargs, context, stream = input.args, input.kwargs, input.context, input.stream
        if input.state != RUNNING:
            return self._complete(input, CANCELLED, None)
        if self._ending.doomed:
            # It holds a slot of a container that is gone: the pool takes it back.
            return None
        assert self._connection is not None
        number: int | None = None
        try:
            values = encode_arguments(args, kwargs or {}), pack_context(context)
            self._host.hold()
            with self._order:
                number = next(self._numbers)
                if stream is not None:
                    self._feeds[number] = Feed(stream, partial(self._give_credit, number))
                self._alone = not self._running
                if self._alone:
                    self._ahead.begun_work()
                self._running[number] = input
                input.handle = number
                self._connection.post(self._pool.run_message(number, input, *values, stream))
        except (EncodeError, WireError) as error:
            if number is not None and self._running.pop(number, None) is not None:
                self._release(number)
            refusal = InvalidError(
                f"an input of '{input.target}' cannot be sent to a process container: {error}"
            )
            refusal.__cause__ = error
            return self._complete(input, FAILED, refusal)
        return None

    def _give_credit(self, number: int, items: int) -> None:
        self._post(wire.Credit(number, items))

    def _post(self, message: wire.Message) -> None:
        if self._connection is not None:
            self._connection.post(message)

    def _wake(self) -> None:
        if self._turn == threading.get_ident():
            return
        bridge = self._host.bridge
        if self._alone and self._connection is not None:
            # Somebody waits for this one input: it goes without waking the loop for it.
            bridge.check_open()
            try:
                if self._connection.flush():
                    return
            except ConnectionClosed:
                return
        bridge.post(ProcessContainer._flush, self)

    # -- the host's thread -----------------------------------------------------------------------

    def _flush(self) -> None:
        assert self._connection is not None
        assert self._watch is not None
        try:
            if not self._connection.flush():
                self._watch.await_room()
        except ConnectionClosed:
            # What it had to say can still be read, and then its end.
            return

    def _readable(self) -> None:
        assert self._connection is not None
        try:
            messages = self._connection.read()
        except ConnectionClosed:
            self._unhear(None)
            return
        except WireError as error:
            self._unhear(error)
            return
        ended = 0
        self._turn = threading.get_ident()
        for message in messages:
            self._receive(message)
            ended += message.__class__ is wire.Ended
        if ended and self._pool.looks_ahead:
            self._ahead.measure(ended)
            if self._running and not self._stopping and not self._ending.doomed:
                self._ahead.fill(self._give)
        self._turn = 0
        if self._connection.pending_bytes:
            self._flush()

    def _give(self, input: Input) -> int | None:
        """Send an input ahead; return its number, or None if it was cancelled meanwhile."""
        # The payload is read before the state, as ever.
        args, kwargs, context = input.args, input.kwargs, input.context
        if input.state != PENDING:
            return None
        values = encode_arguments(args, kwargs or {}), pack_context(context)
        with self._order:
            number = next(self._numbers)
            self._post(self._pool.run_message(number, input, *values, None))
        self._host.hold()
        input.handle = number
        return number

    def _unhear(self, error: WireError | None) -> None:
        """Nothing more comes from the process: it is ending, or what it says makes no sense."""
        assert self._watch is not None
        self._watch.close()
        if error is not None:
            logger.error("container %s sent what is no message, and is ended: %s", self._name, error)
            self._error = self._error or error
        # The news of its end comes from the template; one that closed its socket and lives on is ended.
        self._carry_out(self._ending.unheard(self._host.now()))

    def _receive(self, message: wire.Message) -> None:
        match message:
            case wire.Ended():
                self._end_input(message)
            case wire.Item(number=number, value=value):
                feed = self._feeds.get(number)
                if feed is not None and not feed.pass_on(value):
                    self._interrupt(self._running[number])
            case wire.Output(stream=stream, line=line):
                forward_line(self._name, stream, line)
            case wire.Record(fields=fields):
                forward_record(self._name, fields)
            case wire.Ready():
                self._ready = True
                self._greeted.set()
            case wire.StartFailed(error=error):
                self._error = decode_error(error)
                self._greeted.set()
            case wire.Withdrawn(number=above):
                for number in self._ahead.withdrawn(above):
                    self._release(number)
            case wire.Stopped():
                pass
            case _ if self._served is None or not self._served.receive(message):
                self._unhear(WireError(f"a {type(message).__name__} is no message of a worker"))

    def _end_input(self, message: wire.Ended) -> None:
        input = self._running.pop(message.number, None)
        if input is None:
            if self._ahead.take(message.number) is not None:
                self._release(message.number)  # cancelled before it began
            return
        feed = self._feeds.get(message.number)
        failure = None if feed is None else feed.failure
        self._release(message.number)
        following = self._complete(input, *(outcome_of(message) if failure is None else (FAILED, failure)))
        if following is not None:
            self._send(following)
        else:
            # There is a slot for what others have not begun.
            for lookahead in list(self._pool.ahead):
                lookahead.ask_back()
        if self._ending.overdue:
            self._advance()
        if self._pool.max_memory is not None and self._weight.due(self._host.now()):
            self._weigh()

    def _weigh(self) -> None:
        size = None if self._pid is None else resident_bytes(self._pid)
        if self._weight.exceeded(size):
            assert size is not None
            logger.info("container %s is replaced: it has %d MiB in memory", self._name, size >> 20)
            self._owner.retire()

    def _release(self, number: int) -> None:
        self._feeds.pop(number, None)
        self._ending.returned(number)
        self._host.release()

    # -- interrupted work ------------------------------------------------------------------------

    def _interrupt(self, input: Input) -> None:
        number = input.handle
        if isinstance(number, int) and number in self._ahead:
            self._post(wire.Cancel(number))
            return
        if not isinstance(number, int) or self._running.get(number) is not input:
            # It has returned, or was never handed over.
            return
        self._ahead.ask_back()
        if self._served is not None:
            self._served.interrupted(input)
        if number in self._feeds:
            self._post(wire.CloseStream(number))
        self._post(wire.Cancel(number))
        self._ending.interrupt(number, self._host.now())
        self._advance()

    # -- the end ---------------------------------------------------------------------------------

    def _advance(self) -> None:
        """Do what is due for the end of the process."""
        self._carry_out(self._ending.advance(self._host.now(), len(self._running)))

    def _carry_out(self, steps: Sequence[Step]) -> None:
        for step in steps:
            match step:
                case Step.RETIRE:
                    self._owner.retire()
                case Step.ASK:
                    assert self._connection is not None
                    self._connection.post(wire.Stop(self._grace_s))
                case Step.TERMINATE:
                    if not self._stopping:
                        logger.warning(
                            "container %s is ended: cancelled work in it has not returned after %g s",
                            self._name,
                            self._grace_s,
                        )
                    self._signal(signal.SIGTERM)
                case Step.KILL:
                    self._signal(signal.SIGKILL)
                case Step.LEAVE:
                    message = f"process {self._pid} is not gone {_KILLED_S:g} s after SIGKILL"
                    logger.error("container %s: %s", self._name, message)
                    self._end(ContainerDiedError(message))
        self._alarm.set(self._ending.next_at)

    def _signal(self, number: int) -> None:
        if self._pid is not None and self._template is not None:
            self._template.kill(self._pid, number)

    def _exited(self, status: int | None) -> None:
        """Hear that the process has ended; what it said before comes first."""
        self._hear_the_rest()
        self._end(self._error or death_of(status))

    def _end(self, error: BaseException) -> None:
        self._pid = None
        self._error = error
        self._ending.gone()
        self._alarm.set(self._ending.next_at)
        self._over.set()
        self._greeted.set()
        if self._ready and not self._stopping:
            self._owner.lost(error, frozenset(self._running.values()))
        self._close()

    def _hear_the_rest(self) -> None:
        if self._connection is not None:
            try:
                while messages := self._connection.read():
                    for message in messages:
                        self._receive(message)
            except WireError:
                # Its end; or garbage, of which the rest is of no use.
                return

    def _close(self) -> None:
        if self._served is not None:
            self._served.close()
        if self._watch is not None:
            self._watch.close()
        if self._connection is not None:
            self._connection.close()
        for number in self._ahead.clear():
            self._release(number)
        for number in list(self._running):
            del self._running[number]
            self._release(number)

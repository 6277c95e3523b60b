# SPDX-License-Identifier: Apache-2.0
"""The process backend, parent's side: a container whose slots are in an operating-system process of its own.

Theory of operation. The worker process runs a local container, so slots, hooks, threads and tasks behave as there;
this side turns what a pool asks of a container into messages, and messages into outcomes. It decides nothing: whose
turn it is, what is tried again and what replaces a container that died is the pool machine's answer; when a process
is asked to end and made to is that of `Ending`, and when it is too big that of `Weight`.

Everything happens on the host's thread, save `send` and `cancel`, which post: many messages of one turn share a
write. What becomes of inputs is `_process_inputs`. What was given to a container that died fails or is tried again;
what only held a slot, or was ahead, goes to another container. Before that counts what the process has said last:
through the socket, and in its journal what it had not come to say.
"""

from __future__ import annotations

import logging
import signal
import socket
import threading
from typing import TYPE_CHECKING, Final

from actorpool._core._ending import Ending, Step
from actorpool._core._recycling import Weight
from actorpool._host._sockets import SocketWatch, open_socket_watch
from actorpool._wire import _messages as wire
from actorpool._wire._batches import batch_of, values_of
from actorpool._wire._connection import Connection
from actorpool._wire._errors import decode_error
from actorpool._wire._faults import ConnectionClosed, WireError
from actorpool._wire._memory import JournalReader
from actorpool.exception import ContainerDiedError

from ._alarm import Alarm
from ._process_facts import death_of, resident_bytes
from ._process_inputs import ProcessInputs
from ._worker_output import forward_line, forward_record

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

    from actorpool._core._input import Input
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
        "_alarm",
        "_connection",
        "_ending",
        "_error",
        "_gate",
        "_grace_s",
        "_greeted",
        "_host",
        "_inputs",
        "_journal",
        "_name",
        "_over",
        "_owner",
        "_pid",
        "_pool",
        "_ready",
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
        self._owner = owner
        self._gate = gate
        self._admitted = False
        self._grace_s = grace_s
        # As long as the steps of a stop may take there: interrupted work, each hook, the threads.
        ask_s = grace_s * (len(pool.workload.exit) + 2) + 1
        self._ending = Ending(grace_s, ask_s=ask_s, kill_s=_KILLED_S)
        self._inputs = ProcessInputs(pool, host, complete, owner, self._ending, self._post)
        self._journal: JournalReader | None = None
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

    @property
    def send(self) -> Callable[[Input], None]:
        """What runs an input; see `ContainerBackend.send`."""
        return self._inputs.send

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
            self._served = self._pool.serve(self._post, self._inputs.running)
            self._watch = open_socket_watch(self._host, ours, self._readable, self._flush)
            # It is there when the process comes to read.
            self._connection.post(start)
            pid = await template.fork(theirs, self._exited)
        if not self._over.is_set():
            self._pid = pid
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

    # -- any thread --------------------------------------------------------------------------------------

    def _post(self, message: wire.Message) -> None:
        connection = self._connection
        if connection is None:
            return
        if not self._inputs.alone or self._turn == threading.get_ident():
            connection.post(message)
            return
        # Somebody waits for this one input: it goes without waking the loop for it.
        bridge = self._host.bridge
        bridge.check_open()
        try:
            if connection.post_now(message):
                return
        except ConnectionClosed:
            # What it had to say can still be read, and then its end.
            return
        bridge.post(ProcessContainer._flush, self)

    def _wake(self) -> None:
        if self._turn != threading.get_ident():
            self._host.bridge.post(ProcessContainer._flush, self)

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
        self._turn = threading.get_ident()
        try:
            ended = 0
            for message in messages:
                ended += self._receive(message)
            if ended:
                self._after_ends(ended)
        finally:
            # What is posted from here on is to be flushed, whatever has failed.
            self._turn = 0
        if self._connection.pending_bytes:
            self._flush()

    def _after_ends(self, ended: int) -> None:
        if self._pool.looks_ahead:
            self._inputs.ahead.measure(ended)
            if self._inputs.running and not self._stopping and not self._ending.doomed:
                self._inputs.fill()
        if self._ending.interrupted and self._ending.overdue:
            self._advance()
        if self._pool.max_memory is not None and self._weight.due(self._host.now()):
            self._weigh()

    def _unhear(self, error: WireError | None) -> None:
        """Nothing more comes from the process: it is ending, or what it says makes no sense."""
        assert self._watch is not None
        self._watch.close()
        if error is not None:
            logger.error("container %s sent what is no message, and is ended: %s", self._name, error)
            self._error = self._error or error
        # The news of its end comes from the template; one that closed its socket and lives on is ended.
        self._carry_out(self._ending.unheard(self._host.now()))

    def _receive(self, message: wire.Message) -> int:
        """Do what a message is for; return how many inputs have ended."""
        match message:
            case wire.Ended():
                self._inputs.end(message)
                return 1
            case wire.Ends(results=results):
                try:
                    values = values_of(results)
                    self._inputs.end_many(values)
                except WireError as error:
                    self._unhear(error)
                    return 0
                return len(values) // 2
            case wire.Item():
                failed = self._inputs.item(message)
                if failed is not None:
                    self._interrupt(failed)
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
                self._inputs.withdrawn(above)
            case wire.Memory(journal=journal):
                self._journal = JournalReader(journal)
            case wire.Stopped():
                pass
            case _ if self._served is None or not self._served.receive(message):
                self._unhear(WireError(f"a {type(message).__name__} is no message of a worker"))
        return 0

    def _weigh(self) -> None:
        size = None if self._pid is None else resident_bytes(self._pid)
        if self._weight.exceeded(size):
            assert size is not None
            logger.info("container %s is replaced: it has %d MiB in memory", self._name, size >> 20)
            self._owner.retire()

    # -- interrupted work ------------------------------------------------------------------------

    def _interrupt(self, input: Input) -> None:
        number = input.handle
        inputs = self._inputs
        if isinstance(number, int) and number in inputs.ahead.lookahead:
            self._post(wire.Cancel(number))
            return
        if not isinstance(number, int) or inputs.running.get(number) is not input:
            # It has returned, or was never handed over.
            return
        inputs.ahead.ask_back()
        if self._served is not None:
            self._served.interrupted(input)
        if inputs.is_generator(number):
            self._post(wire.CloseStream(number))
        self._post(wire.Cancel(number))
        self._ending.interrupt(number, self._host.now())
        self._advance()

    # -- the end ---------------------------------------------------------------------------------

    def _advance(self) -> None:
        """Do what is due for the end of the process."""
        self._carry_out(self._ending.advance(self._host.now(), len(self._inputs.running)))

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
        # Nothing more is to be sent to it.
        self._ending.gone()
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
            self._owner.lost(error, frozenset(self._inputs.running.values()))
        self._close()

    def _hear_the_rest(self) -> None:
        if self._connection is not None:
            try:
                while messages := self._connection.read():
                    for message in messages:
                        self._receive(message)
            except WireError:
                # Its end; or garbage, of which the rest is of no use.
                pass
        if self._journal is not None:
            try:
                self._inputs.end_many(values_of(batch_of(self._journal.read())))
            except WireError as error:
                logger.error("container %s left what is no journal: %s", self._name, error)

    def _close(self) -> None:
        if self._served is not None:
            self._served.close()
        if self._watch is not None:
            self._watch.close()
        if self._connection is not None:
            self._connection.close()
        if self._journal is not None:
            self._journal.close()
        self._inputs.close()

# SPDX-License-Identifier: Apache-2.0
"""Recording a live app: what came, when, for how long, and what containers there were.

Theory of operation. The pools of the app become, for as long as the recording lasts, of a class of their own, whose
steps also take notes; a pool that is not recorded is of its usual class and pays nothing. Notes are taken under the
pool's lock, so they are whole and in order, and go by the thousand to a thread of the recording's own, which writes
them: nobody waits for the disk.

A pool that is forgotten and made anew, and one that a redeployment replaces, has notes of its own under the name of
the former.
"""

from __future__ import annotations

import threading
import time
from os import PathLike, fspath
from queue import SimpleQueue
from types import TracebackType
from typing import TYPE_CHECKING, Any, BinaryIO, ClassVar, Final, cast
from weakref import WeakKeyDictionary

import msgpack
from attrs import asdict

from actorpool._core._batching import BatchingPool
from actorpool._core._container import Phase
from actorpool._core._pool import Pool
from actorpool.exception import ConflictError

from ._file import FORMAT, VERSION, Columns, column

if TYPE_CHECKING:
    from collections.abc import Hashable

    from actorpool._actors._supervisor import Supervisor
    from actorpool._core import _effects as fx
    from actorpool._core._container import Container
    from actorpool._core._input import Input
    from actorpool._lifecycle import Lifecycle
    from actorpool.app import App

__all__ = ["Recording", "record"]

_ROWS: Final = 4_096
_NAN: Final = float("nan")


def record(app: App, path: str | PathLike[str]) -> Recording:
    """Record what the functions of `app` do while a `with` block lasts, for `actorpool simulate` and `read_recording`.

    Enter it before the app runs, or while it does: `with record(app, "trace.mp"), app.run(): ...`. Of each input
    that ends meanwhile it takes down when it came, how long it waited for a slot and how long it held it; of
    containers their start-up times and lives. Each pool is recorded for itself: those of the parameter sets of a class,
    and of variants, are numbered. A batch is one input, and so is each attempt of an input that is tried again. It
    costs a microsecond or two per input, and nothing before and after.

    Args:
        app: The app; redeployments are followed.
        path: The file to write; it is replaced if there is one. It is whole once the block has been left.

    Raises:
        OSError: On entering, if the file cannot be opened; on leaving, if not all could be written.
    Threads: Any; entering and leaving wait for the disk, and for nothing else.
    """
    return Recording(app._life, path)


class Recording:
    """What `record` returns: enter it with `with`."""

    def __init__(self, life: Lifecycle, path: str | PathLike[str]) -> None:
        self._life = life
        self._contents = life._contents
        self._path = fspath(path)
        self._lock = threading.Lock()
        self._journals: list[_Journal] = []
        self._attached: WeakKeyDictionary[Supervisor, _Journal] = WeakKeyDictionary()
        # {key of a pool: its name in the file}, and how many there are of each name.
        self._names: dict[Hashable, str] = {}
        self._named: dict[str, int] = {}
        self._began_at: float | None = None
        self._writer: _Writer | None = None

    def __repr__(self) -> str:
        title = self._contents.name or "unnamed"
        return (
            f"<Recording of app '{title}' to '{self._path}' pools={len(self._journals)} inputs={self.inputs}>"
        )

    @property
    def inputs(self) -> int:
        """Inputs recorded so far."""
        return sum(journal.inputs for journal in self._journals)

    @property
    def duration_s(self) -> float:
        """Seconds from the first pool's coming to the latest thing that was recorded."""
        return max((journal.ended for journal in self._journals), default=0.0)

    def __enter__(self) -> Recording:
        observers = self._contents.observers
        title = self._contents.name or "unnamed"
        if any(isinstance(getattr(observer, "__self__", None), Recording) for observer in observers):
            raise ConflictError(f"app '{title}' is being recorded already; one recording at a time")
        header = {
            "format": FORMAT,
            "version": VERSION,
            "app": title,
            "began": time.time(),
        }
        self._writer = _Writer(open(self._path, "wb"))
        self._writer.put(header)
        observers.append(self._observe)
        if self._life.running:
            for key, supervisor in self._life.runtime().supervisors().items():
                self._observe(key, supervisor)
        return self

    def __exit__(
        self,
        exc_type: type[BaseException] | None,
        exc: BaseException | None,
        traceback: TracebackType | None,
        /,
    ) -> None:
        writer = self._writer
        assert writer is not None
        self._contents.observers.remove(self._observe)
        for supervisor, journal in list(self._attached.items()):
            supervisor.dispatcher.transform(journal.detach)
        for journal in self._journals:
            journal.flush()
        writer.put(["end", self.duration_s, {journal.identity: journal.inputs for journal in self._journals}])
        writer.close()

    def _observe(self, key: Hashable, supervisor: Supervisor, /) -> None:
        writer = self._writer
        assert writer is not None
        with self._lock:
            if supervisor in self._attached:
                return
            now = supervisor.dispatcher.host.now()
            if self._began_at is None:
                self._began_at = time.perf_counter()
                began = now
            else:
                # It may be of another life, whose clock has another zero.
                began = now - (time.perf_counter() - self._began_at)
            name = self._names.get(key)
            if name is None:
                count = self._named[supervisor.name] = self._named.get(supervisor.name, 0) + 1
                name = self._names[key] = supervisor.name if count == 1 else f"{supervisor.name} #{count}"
            journal = _Journal(len(self._journals), began, writer)
            writer.put(["function", journal.identity, name])
            self._journals.append(journal)
            self._attached[supervisor] = journal
        supervisor.dispatcher.transform(journal.attach)


class _Journal:
    """The notes of one pool; all but `flush` under the pool's lock."""

    __slots__ = (
        "_arrivals",
        "_began",
        "_container_rows",
        "_lives",
        "_rows",
        "_writer",
        "ended",
        "identity",
        "inputs",
    )

    def __init__(self, identity: int, began: float, writer: _Writer) -> None:
        self.identity = identity
        self.inputs = 0
        """How many were noted."""
        self.ended = 0.0
        """When the latest note was made, in seconds since the recording began."""
        self._began = began
        self._writer = writer
        # {input that came and has not ended: when it came}
        self._arrivals: dict[Input, float] = {}
        # {container: when it was ready, NaN for not yet}
        self._lives: dict[Container, float] = {}
        self._rows = Columns()
        self._container_rows = Columns()

    # -- the pool's class ------------------------------------------------------------------------

    def attach(self, pool: Pool, now: float) -> type[Pool]:
        """Begin with the containers that are there; return the class that takes notes."""
        for container in pool.containers():
            # When one was ready that is so already is not known any more, and nobody asks.
            self._lives[container] = _NAN if container.phase is Phase.STARTING else container.asked_at
        self._note_settings(pool)
        kind = type(pool)
        members = {"__slots__": (), "journal": self, "kind": kind}
        return cast("type[Pool]", type(f"Recorded{kind.__name__}", (_RecordedPool, kind), members))

    def detach(self, pool: Pool, now: float) -> type[Pool]:
        """Note what is left; return the class that the pool had before."""
        for container, ready in self._lives.items():
            self._note_container(container, ready, _NAN)
        self._note_settings(pool)
        self.ended = max(self.ended, now - self._began)
        assert isinstance(pool, _RecordedPool)
        return pool.kind

    def flush(self) -> None:
        """Hand to the writer what was noted."""
        for kind, rows in (("inputs", self._rows), ("containers", self._container_rows)):
            if len(rows):
                self._writer.put([kind, self.identity, *rows.parts])
        self._rows, self._container_rows = Columns(), Columns()

    # -- what happens ----------------------------------------------------------------------------

    def arrived(self, input: Input, now: float) -> None:
        """An input came that wants a slot."""
        self._arrivals[input] = now

    def forgotten(self, input: Input) -> None:
        """An input has its outcome without having had a slot."""
        self._arrivals.pop(input, None)

    def left(self, input: Input, took: float, now: float) -> None:
        """An input left the slot that it took at `took`."""
        came = self._arrivals.pop(input, None)
        if came is None:
            # It came before the recording began.
            return
        assert input.container is not None
        self._rows.add(came - self._began, took - came, now - took, input.container.number)
        self.inputs += 1
        self.ended = now - self._began
        if len(self._rows) >= _ROWS:
            self.flush()

    def asked(self, container: Container) -> None:
        """A container was asked for."""
        self._lives[container] = _NAN

    def ready(self, container: Container, now: float) -> None:
        """A container is ready."""
        self._lives[container] = now

    def buried(self, container: Container, now: float) -> None:
        """A container has ended."""
        self._note_container(container, self._lives.pop(container, _NAN), now)
        self.ended = now - self._began

    def _note_container(self, container: Container, ready: float, ended: float) -> None:
        began = self._began
        self._container_rows.add(container.number, container.asked_at - began, ready - began, ended - began)

    def _note_settings(self, pool: Pool) -> None:
        settings = {
            **asdict(pool.settings),
            **asdict(pool.concurrency),
            "startup_s": pool._estimates.startup_s,
        }
        self._writer.put(["settings", self.identity, settings])


class _RecordedPool(Pool):
    """The steps of a pool that also take notes; a mixin before its own class, whose layout it keeps."""

    _in_one_go = False
    __slots__ = ()

    journal: ClassVar[_Journal]
    kind: ClassVar[type[Pool]]

    def submit(self, input: Input, now: float) -> Container | None:
        container = super().submit(input, now)
        if not isinstance(self, BatchingPool):
            # Of a batched function the batches are noted, as they want slots.
            self.journal.arrived(input, now)
        return container

    def _requeue(self, input: Input, now: float, effects: list[fx.Effect]) -> None:
        # A further attempt, or a batch.
        self.journal.arrived(input, now)
        super()._requeue(input, now, effects)

    def complete(self, input: Input, state: int, value: Any, now: float) -> Input | None:
        container = input.container
        took = None if container is None else container.inputs.get(input)
        if took is not None:
            self.journal.left(input, took, now)
        return super().complete(input, state, value, now)

    def settle(self, input: Input, state: int, value: Any) -> None:
        super().settle(input, state, value)
        if self.place_of(input) is None:
            self.journal.forgotten(input)

    def _start(self, now: float, effects: list[fx.Effect]) -> None:
        super()._start(now, effects)
        self.journal.asked(next(reversed(self._live)))

    def _ready(self, event: fx.ContainerReady, now: float, effects: list[fx.Effect]) -> None:
        if event.container.phase is Phase.STARTING:
            self.journal.ready(event.container, now)
        super()._ready(event, now, effects)

    def _exited(self, event: fx.ContainerExited, now: float, effects: list[fx.Effect]) -> None:
        if event.container.phase is not Phase.STOPPED:
            for input, took in event.container.inputs.items():
                # The others never ran, and go on to wait.
                if event.run is None or input in event.run:
                    self.journal.left(input, took, now)
        super()._exited(event, now, effects)

    def _bury(self, container: Container, now: float) -> None:
        super()._bury(container, now)
        self.journal.buried(container, now)


class _Writer:
    """Writes what it is given to a file, in a thread of its own, and closes it."""

    def __init__(self, file: BinaryIO) -> None:
        # Any: what msgpack takes, and columns.
        self._queue: SimpleQueue[Any] = SimpleQueue()
        self._error: OSError | None = None
        self._thread = threading.Thread(
            target=self._run, args=(file,), name="actorpool recording", daemon=True
        )
        self._thread.start()

    def put(self, item: object) -> None:
        """Write `item`, soon. Threads: any."""
        self._queue.put(item)

    def close(self) -> None:
        """Write all that is left, and end.

        Raises:
            OSError: If not all could be written.
        """
        self._queue.put(None)
        self._thread.join()
        if self._error is not None:
            raise self._error

    def _run(self, file: BinaryIO) -> None:
        item: object = self
        try:
            with file:
                while (item := self._queue.get()) is not None:
                    file.write(msgpack.packb(item, default=column))
        except OSError as error:
            # Whoever leaves the recording is told so; the app goes on.
            self._error = error
            while item is not None:
                item = self._queue.get()

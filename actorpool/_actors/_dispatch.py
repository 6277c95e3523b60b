# SPDX-License-Identifier: Apache-2.0
"""The data path's shell: the pool machine under its lock, reachable from any thread.

An input may be submitted, completed or cancelled in the turn of whoever has it in hand. Each step is:
take the lock, let the machine decide, let go of the lock, carry out. The lock is never held while user
code, a sink or a container is called. What the control path must see to is posted to the actors: one
wake-up, however many steps asked for it.

A thread takes its time to wake up, so the one that a `BlockingInput` has blocked is woken before the machine's step and
not after it. That is the one sink which is called with the pool's lock held: it calls nobody, and blocks nobody. Should
its thread be there first, it has the outcome when it gets the pool's lock (`Way.settled`).
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, Final

from actorpool._core._admission import CONTROL, ROOM, SCALING
from actorpool._core._batching import BatchingPool
from actorpool._core._effects import SettingsChanged, Terminated
from actorpool._core._input import FAILED, PENDING, RUNNING, SUCCEEDED
from actorpool._host._errors import HostClosedError
from actorpool.exception import ClosedError, RemoteError

from ._call_tree import record
from ._way import Way

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Sequence

    from actorpool._core._config import AutoscalerSettings
    from actorpool._core._container import Container
    from actorpool._core._counts import PoolCounts
    from actorpool._core._effects import Effect, Event
    from actorpool._core._input import Input
    from actorpool._core._pool import Pool
    from actorpool._core._scaling import Snapshot
    from actorpool._host._base import Host

__all__ = ["Dispatcher"]

# A step of the machine takes some microseconds; whoever waits longer for the lock waits for itself.
_PATIENCE_S: Final = 0.05


class Dispatcher(Way):
    """One pool, shared by the threads and loops that call its function."""

    __slots__ = ("_abandons", "_attend", "_clock", "_pool", "_posted", "_tell")

    def __init__(
        self,
        pool: Pool,
        host: Host,
        attend: Callable[[int], None],
        tell: Callable[[Event], None],
        *,
        abandons: bool = True,
    ) -> None:
        super().__init__(host, pool.limits)
        self._pool = pool
        self._clock = host.now
        self._attend = attend
        self._tell = tell
        # Whether threads may go on for as long as they like; else they end with their container.
        self._abandons = abandons
        # Attention bits already posted to the actors and not yet looked at by them.
        self._posted = 0
        if isinstance(pool, BatchingPool):
            pool.distribute = self._distribute

    # -- the data path: any thread ---------------------------------------------------------------

    def submit(self, input: Input) -> None:
        """Hand `input` to the pool; see `Way.submit`."""
        with self._lock:
            container = self._pool.submit(input, self._clock())
            if input.parent is not None:
                record((input,), input.parent)
            attention = self._pool.attention & ~self._posted and self._claim()
        if container is not None:
            # As `send` does, which would be a call for each input.
            try:
                container.handle.send(input)
            except (HostClosedError, RuntimeError) as error:
                self._not_sent(container.handle, input, error)
        if attention:
            self._ask(attention)

    def submit_many(self, inputs: Sequence[Input]) -> int:
        """Hand `inputs` to the pool in order; return how many it accepted before a limit was reached."""
        with self._lock:
            accepted, taken = self._pool.submit_many(inputs, self._clock())
            if accepted and (parent := inputs[0].parent) is not None:
                # They are one call's, and so have the same parent.
                record(inputs[:accepted], parent)
            attention = self._pool.attention & ~self._posted and self._claim()
        for input in taken:
            # Whatever becomes of those before it, its slot is its own until its work has ended.
            container = input.container
            assert container is not None
            try:
                container.handle.send(input)
            except (HostClosedError, RuntimeError) as error:
                self._not_sent(container.handle, input, error)
        if attention:
            self._ask(attention)
        return accepted

    def complete(self, input: Input, state: int, value: Any) -> Input | None:
        """Report that the work of `input` has ended; return the input that takes its slot at once."""
        with self._lock:
            unsettled = input.state == RUNNING
            if unsettled and input.early and state == SUCCEEDED and (sink := input.sink) is not None:
                # A failed one may be tried again.
                sink(input)
                unsettled = False
            following = self._pool.complete(input, state, value, self._clock())
            attention = self._pool.attention & ~self._posted and self._claim()
        if unsettled and input.state >= SUCCEEDED:
            sink = input.sink
            if sink is not None:
                sink(input)
        if attention:
            self._ask(attention)
        return following

    def succeed(self, inputs: Sequence[Input], results: Sequence[Any]) -> list[Input | None]:
        """Report that the work of `inputs` has succeeded, in this order, in one step; see `complete`."""
        complete, settled = self._pool.complete, []
        with self._lock:
            now = self._clock()
            following: list[Input | None] = []
            for input, result in zip(inputs, results, strict=True):
                unsettled = input.state == RUNNING
                following.append(complete(input, SUCCEEDED, result, now))
                if unsettled:
                    settled.append(input)
            attention = self._pool.attention & ~self._posted and self._claim()
        for input in settled:
            sink = input.sink
            if sink is not None:
                sink(input)
        if attention:
            self._ask(attention)
        return following

    def look_ahead(self, container: Container, most: int) -> list[Input]:
        """Return up to `most` pending inputs that are to follow in `container`, whose slots are taken."""
        with self._lock:
            return self._pool.look_ahead(container, most)

    def cancel(self, input: Input, reason: str, places: set[Container] | None = None) -> bool:
        """Cancel `input`, or its present attempt; see `Way.cancel`."""
        with self._lock:
            input = input.latest()
            if places is not None and (place := self._pool.place_of(input)) is not None:
                places.add(place)
            error = RemoteError(reason)
            state = self._pool.cancel(input, self._clock(), error)
            attention = self._pool.attention and self._claim()
        if state >= SUCCEEDED:
            return False
        if state == RUNNING or (state == PENDING and input.container is not None):
            # It runs there, or was sent there ahead.
            self.interrupt(input)
        if input.sink is not None:
            input.sink(input)
        if attention:
            self._ask(attention)
        return True

    def terminate(self, containers: Iterable[Container]) -> None:
        """Let `containers` end; other inputs in them start again elsewhere, or finish. Never blocks."""
        ordered = tuple(sorted(containers, key=lambda container: container.number))
        try:
            self._tell(Terminated(ordered, self._movable))
        except HostClosedError:
            # Its loop has ended, and every container with it.
            return

    def wait_for_room(self, notify: Callable[[], object]) -> bool:
        """Call `notify` once a further called input would be accepted; False if it would be now."""
        with self._lock:
            return self._pool.wait_for_room(notify)

    def abandon(
        self, inputs: Sequence[Input], reason: str, waiter: Callable[[], object] | None = None
    ) -> None:
        """Cancel `inputs`, whose caller has left; see `Way.abandon`."""
        if not self._lock.acquire(timeout=_PATIENCE_S):
            try:
                self.host.bridge.post(self._abandon, (inputs, reason, waiter))
            except HostClosedError:
                # Nothing runs there any more.
                return
            return
        self._lock.release()
        self._abandon((inputs, reason, waiter))

    def _abandon(self, what: tuple[Sequence[Input], str, Callable[[], object] | None]) -> None:
        inputs, reason, waiter = what
        if waiter is not None:
            with self._lock:
                self._pool.forget_room_waiter(waiter)
                attention = self._pool.attention and self._claim()
            if attention:
                self._ask(attention)
        for input in inputs:
            self.cancel(input, reason)

    # -- what others read: any thread ------------------------------------------------------------

    def counts(self) -> PoolCounts:
        """Return the pool's counts of this instant."""
        with self._lock:
            return self._pool.counts(self._clock())

    @property
    def settings(self) -> AutoscalerSettings:
        """The autoscaler settings in force."""
        return self._pool.settings

    def read(self, question: Callable[[Pool], Any]) -> Any:
        """Return what `question` answers about the pool, asked under the lock; it must not change anything."""
        with self._lock:
            return question(self._pool)

    def transform(self, change: Callable[[Pool, float], type[Pool]]) -> None:
        """Let the pool be of the class that `change` returns: of the same layout, with steps that also take notes."""
        with self._lock:
            self._pool.__class__ = change(self._pool, self._clock())

    # -- the control path: the host's thread -----------------------------------------------------

    def handle(self, event: Event) -> list[Effect]:
        """Let the machine take a control step; the caller carries out the effects."""
        with self._lock:
            effects = self._pool.handle(event, self._clock())
            attention = self._pool.attention and self._claim()
        if attention:
            self._ask(attention)
        return effects

    def change(
        self, change: Callable[[AutoscalerSettings], AutoscalerSettings]
    ) -> tuple[AutoscalerSettings, list[Effect]]:
        """Change the settings in one step, from any thread; the effects are for the supervisor to carry out."""
        with self._lock:
            settings = change(self._pool.settings)
            effects = self._pool.handle(SettingsChanged(settings), self._clock())
            attention = self._pool.attention and self._claim()
        if attention:
            self._ask(attention)
        return settings, effects

    def snapshot(self) -> Snapshot:
        """Return what the policy sees now."""
        with self._lock:
            self._posted &= ~SCALING
            return self._pool.snapshot(self._clock())

    def retire(self) -> bool:
        """If the pool is vacant, accept nothing more and send handles to a successor; return whether it was.

        A pool that is to keep containers warm is never to be forgotten, though it may have none just now.
        """
        with self._lock:
            if not self._pool.vacant or self._pool.settings.min_containers:
                return False
            self._pool.accepting = False
            self._pool.aborted = True
            self.retired = True
            return True

    def begin_tick(self) -> bool:
        """Say that the supervisor has come to look; a further request is posted anew.

        Returns:
            Whether an input has come to wait since, and its caller, an input too, for it.
        """
        with self._lock:
            self._posted &= ~CONTROL
            awaited, self._pool.awaited_since_tick = self._pool.awaited_since_tick, False
            return awaited

    # -- carrying out ----------------------------------------------------------------------------

    def _distribute(self, batch: Input) -> None:
        """Tell the members of a batch that has ended."""
        pool = self._pool
        assert isinstance(pool, BatchingPool)
        with self._lock:
            settled = pool.outcomes_of(batch)
        for member in settled:
            if member.sink is not None:
                member.sink(member)

    def _claim(self) -> int:
        """Return the requests for attention that nobody has posted yet; the caller, who posts them, holds the lock."""
        attention = self._pool.attention & ~self._posted
        self._posted |= attention & ~ROOM
        return attention

    def _ask(self, attention: int) -> None:
        if attention & ROOM:
            with self._lock:
                waiters = self._pool.take_room_waiters()
            for notify in waiters:
                notify()
        if attention & (SCALING | CONTROL):
            self._attend(attention)

    def send(self, handle: Any, input: Input) -> None:
        """Hand `input` to the container in whose slot it is; if that cannot run it, that is the input's failure."""
        try:
            handle.send(input)
        except (HostClosedError, RuntimeError) as error:
            self._not_sent(handle, input, error)

    def _not_sent(self, handle: Any, input: Input, error: Exception) -> None:
        """Fail `input`, which its container cannot run, and whatever takes its slot and cannot be run either."""
        following: Input | None = input
        while following is not None:
            if isinstance(error, HostClosedError):
                # The loop ended without the app being closed: nothing will ever run there.
                failure: Exception = ClosedError(
                    f"input of '{following.target}' cannot run: the event loop of its app has ended; "
                    "close the app before the loop"
                )
                failure.__cause__ = error
            else:
                # The machine has no thread left for it.
                failure = error
            following = self.complete(following, FAILED, failure)
            if following is not None:
                try:
                    handle.send(following)
                    return
                except (HostClosedError, RuntimeError) as another:
                    error = another

    def interrupt(self, input: Input) -> None:
        """Interrupt the work of `input`, whose outcome is settled."""
        container = input.container
        if container is not None and container.handle is not None:
            try:
                container.handle.cancel(input)
            except HostClosedError:
                # Its loop has ended, and with it the work.
                return

    def _movable(self, input: Input) -> bool:
        """Return whether the work of `input` can be stopped: a coroutine can, a thread with its process only."""
        return not self._abandons or bool(input.target.is_async)

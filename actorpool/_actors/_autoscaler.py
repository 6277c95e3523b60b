# SPDX-License-Identifier: Apache-2.0
"""The autoscaler actor: wakes on slot utilization events, asks the policy, tells the supervisor.

Events are coalesced: "something changed" wakes it, then it looks at one snapshot. It sends one decision
at a time and does not look again until the supervisor has applied it, so a decision never counts
containers that an earlier one has just asked for a second time.
"""

from __future__ import annotations

import logging
from collections import deque
from typing import TYPE_CHECKING

from actorpool._core import _effects as fx
from actorpool._core._scaling import ScalingRecord, WindowPolicy, with_events

if TYPE_CHECKING:
    from actorpool._core._pool import Pool
    from actorpool._core._scaling import Decision, ScalingPolicy, Snapshot
    from actorpool._host._base import Host, SendChannel, TimerHandle

    from ._dispatch import Dispatcher

__all__ = ["Autoscaler"]

logger = logging.getLogger("actorpool.scaling")

_LOG_LENGTH = 100


class Autoscaler:
    """The actor that keeps a pool's size; a child of the function's supervisor."""

    __slots__ = (
        "_ask",
        "_awaited",
        "_dispatcher",
        "_host",
        "_sent",
        "_signal",
        "_supervisor",
        "_timer",
        "_title",
        "log",
    )

    def __init__(
        self,
        title: str,
        host: Host,
        dispatcher: Dispatcher,
        policy: ScalingPolicy,
        supervisor: SendChannel[fx.Event],
    ) -> None:
        self._title = title
        self._host = host
        self._dispatcher = dispatcher
        self._ask = with_events(policy)
        self._supervisor = supervisor
        self._signal = host.bridge.signal()
        self._timer: TimerHandle | None = None
        # What was sent and is not applied yet: what was seen, what was decided, how many were overruled before.
        self._sent: tuple[Snapshot, Decision, int] | None = None
        # Whether something has changed since, which is for the next look.
        self._awaited = False
        self.log: deque[ScalingRecord] = deque(maxlen=_LOG_LENGTH)

    def wake(self) -> None:
        """Say that something changed; host thread only."""
        if self._sent is None:
            self._signal.notify()
        else:
            self._awaited = True

    def applied(self) -> None:
        """Say that the supervisor has applied the last decision; it is on record before anything comes of it."""
        assert self._sent is not None
        snapshot, decision, overruled = self._sent
        self._sent = None
        self._record(snapshot, decision, self._dispatcher.read(_overruled) > overruled)
        if self._awaited:
            self._awaited = False
            self._signal.notify()

    async def run(self) -> None:
        """Look whenever woken, for ever; ends by cancellation."""
        try:
            while True:
                await self._signal.wait()
                self._disarm()
                snapshot = self._dispatcher.snapshot()
                decision = self._decide(snapshot)
                self._sent = (snapshot, decision, self._dispatcher.read(_overruled))
                if decision.wake_at is not None:
                    self._timer = self._host.call_at(decision.wake_at, self.wake)
                await self._supervisor.send(fx.Decided(decision, snapshot))
        finally:
            self._disarm()

    def _decide(self, snapshot: Snapshot) -> Decision:
        try:
            return self._ask(snapshot)
        except Exception:
            # The user's policy: its failure must not cost the function its pool.
            logger.exception(
                "the policy of %s raised; it is replaced by the default one until the app runs anew",
                self._title,
            )
            self._ask = WindowPolicy().decide
            return self._ask(snapshot)

    def _disarm(self) -> None:
        if self._timer is not None:
            self._timer.cancel()
            self._timer = None

    def _record(self, snapshot: Snapshot, decision: Decision, overruled: bool) -> None:
        if not (decision.start or decision.stop or decision.cancel or overruled):
            return
        record = ScalingRecord(
            at=snapshot.now,
            containers=snapshot.ready + snapshot.starting,
            running=snapshot.running,
            pending=snapshot.pending,
            start=decision.start,
            stop=decision.stop + decision.cancel,
            reason=decision.reason,
            overruled=overruled,
        )
        self.log.append(record)
        logger.info(
            "%s: %s (start %d, stop %d%s)",
            self._title,
            record.reason,
            record.start,
            record.stop,
            ", overruled" if overruled else "",
        )


def _overruled(pool: Pool) -> int:
    return pool.overruled

# SPDX-License-Identifier: Apache-2.0
"""The autoscaler: on slot utilization events asks the policy, for its supervisor to carry out.

Events are coalesced: "something changed" makes the supervisor come here, once for many of them, and the policy looks
at one snapshot. Its decision is applied before it looks again, so a decision never counts containers that an earlier
one has just asked for a second time.
"""

from __future__ import annotations

import logging
from collections import deque
from typing import TYPE_CHECKING

from actorpool._core import _effects as fx
from actorpool._core._scaling import ScalingRecord, WindowPolicy, with_events

if TYPE_CHECKING:
    from collections.abc import Callable

    from actorpool._core._pool import Pool
    from actorpool._core._scaling import Decision, ScalingPolicy, Snapshot
    from actorpool._host._base import Host, TimerHandle

    from ._dispatch import Dispatcher

__all__ = ["Autoscaler"]

logger = logging.getLogger("actorpool.scaling")

_LOG_LENGTH = 100


class Autoscaler:
    """What keeps a pool's size; a part of the function's supervisor. Host thread only."""

    __slots__ = ("_ask", "_dispatcher", "_host", "_look", "_overruled", "_timer", "_title", "log")

    def __init__(
        self,
        title: str,
        host: Host,
        dispatcher: Dispatcher,
        policy: ScalingPolicy,
        look: Callable[[], object],
    ) -> None:
        self._title = title
        self._host = host
        self._dispatcher = dispatcher
        self._ask = with_events(policy)
        # Has the supervisor come here, when the policy wants to look again.
        self._look = look
        self._timer: TimerHandle | None = None
        # How many decisions were overruled so far.
        self._overruled = 0
        self.log: deque[ScalingRecord] = deque(maxlen=_LOG_LENGTH)

    def decide(self) -> fx.Decided:
        """Look at one snapshot; return what the policy decides, which the caller applies at once."""
        self.rest()
        snapshot = self._dispatcher.snapshot()
        decision = self._decide(snapshot)
        if decision.wake_at is not None:
            self._timer = self._host.call_at(decision.wake_at, self._look)
        return fx.Decided(decision, snapshot)

    def applied(self, decided: fx.Decided) -> None:
        """Put a decision on record that was applied: before anything comes of it."""
        overruled = self._dispatcher.read(_overruled)
        self._record(decided.seen, decided.decision, overruled > self._overruled)
        self._overruled = overruled

    def rest(self) -> None:
        """Do not look again until asked."""
        if self._timer is not None:
            self._timer.cancel()
            self._timer = None

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

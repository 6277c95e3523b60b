# SPDX-License-Identifier: Apache-2.0
"""One life of an app, and how it ends: its runtime, on the caller's loop or on an engine thread of its own."""

from __future__ import annotations

import math
import threading
from typing import TYPE_CHECKING

from actorpool._host._current import current_host
from actorpool._host._thread_waits import ThreadWaiter

if TYPE_CHECKING:
    from actorpool._actors._runtime import AppRuntime
    from actorpool._host._engine import EngineThread

__all__ = ["Running"]


class Running:
    """One life of an app: its runtime, and the engine thread if it has one of its own."""

    def __init__(self, runtime: AppRuntime, engine: EngineThread | None) -> None:
        self.runtime = runtime
        self._engine = engine

    @property
    def owns_thread(self) -> bool:
        """Whether it lives on an engine thread of its own."""
        return self._engine is not None

    @property
    def lives_here(self) -> bool:
        """Whether its actors live on the loop that runs in this thread."""
        return self.runtime.host.bridge.is_current()

    def retire(self) -> None:
        """Send handles elsewhere: this life accepts nothing from outside any more."""
        for supervisor in self.runtime.supervisors().values():
            supervisor.dispatcher.retired = True

    def close(self, *, drain: bool) -> None:
        """Close it, blocking this thread.

        An interruption here ends the drain; where there is none, or at the next one, it ends the engine thread
        with all that is still on it, exit hooks included.
        """
        waiter = ThreadWaiter()
        try:
            self.runtime.when_ended(waiter.notify)
            self.runtime.ask_close(drain=drain)
            try:
                waiter.wait()
            except BaseException:
                if drain:
                    self.runtime.ask_close(drain=False)
                    waiter.wait()
                raise
        finally:
            self._end()

    async def close_async(self, *, drain: bool) -> None:
        """Close it without blocking the running loop, whichever that is.

        Cancellation: Ends the drain; it is delivered when nothing is left.
        """
        host = current_host()
        waiter = host.bridge.waiter()
        self.runtime.when_ended(waiter.notify)
        self.runtime.ask_close(drain=drain)
        try:
            await waiter.wait()
        except BaseException:
            self.runtime.ask_close(drain=False)
            await host.shielded(waiter.wait, math.inf)
            raise
        finally:
            self._end()

    def close_in_background(self) -> None:
        """Let it drain and end, without waiting for that."""
        if self._engine is None:
            self.runtime.ask_close(drain=True)
        else:
            threading.Thread(
                target=self.close,
                kwargs={"drain": True},
                name=f"retiring app {self.runtime.name}",
                daemon=True,
            ).start()

    def _end(self) -> None:
        engine = self._engine
        if engine is None:
            return
        if engine.bridge.is_current():
            # Closed by an input of its own, on the very loop that is to end.
            threading.Thread(
                target=self._stop_engine, name=f"ending app {self.runtime.name}", daemon=True
            ).start()
        else:
            self._stop_engine()

    def _stop_engine(self) -> None:
        assert self._engine is not None
        # A task that obeys needs a moment, also where no grace is given.
        self._engine.stop(patience_s=max(1.0, self.runtime.grace_s))

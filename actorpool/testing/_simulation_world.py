# SPDX-License-Identifier: Apache-2.0
"""Virtual time and a seeded order of steps: asyncio loops that a world runs, all of them in one thread.

Nothing here knows of pools. A loop of a world does not run by itself: the world takes the steps of all its loops, so
that callers on several loops, and the closing of a loop, are part of one deterministic history.

Theory of operation. What is runnable on a loop is a batch; its handles run in an order drawn from the seed, and what
they make runnable is of the next batch. A task has at most one runnable handle, so its steps keep their order. A handle
may be put off to the next batch, as an unlucky scheduler would. When no loop has anything runnable the world is still:
whoever watches is told, and the clock moves to the next timer. asyncio promises more than that, a queue in order of
arrival, on which the actors do not rely.
"""

from __future__ import annotations

import asyncio
import heapq
import math
import random
from asyncio import events
from collections import deque
from collections.abc import Callable
from typing import Any, Final, cast

from actorpool._host._virtual import VirtualTimeLoop

__all__ = ["Stuck", "World", "WorldLoop"]

# One handle in so many is put off.
_PUT_OFF: Final = 1 / 24
# asyncio's own bounds for cancelled timers.
_FEW_CANCELLED: Final = 100


class Stuck(Exception):
    """Nothing will ever happen any more, or ever the same in one instant, and what was waited for has not."""


class WorldLoop(VirtualTimeLoop):
    """An asyncio loop of a world."""

    # asyncio's own: what is runnable, the heap of timers, and how many of them are cancelled.
    _ready: deque[Any]
    _scheduled: list[Any]
    _timer_cancelled_count: int

    def __init__(self, world: World) -> None:
        self._world = world
        super().__init__(0.0)
        self.set_debug(False)
        self.set_exception_handler(world._unhandled)

    def time(self) -> float:
        """Return the world's clock."""
        return self._world.now

    def wall_time(self) -> float:
        """Return the world's clock."""
        return self._world.now

    def is_running(self) -> bool:
        """Return whether the world is taking a step of this loop; asyncio starts a task eagerly only then."""
        return asyncio._get_running_loop() is self

    def _write_to_self(self) -> None:
        # There is one thread, and nobody sleeps in a selector.
        pass


class World:
    """A clock, the loops that share it, and the draws of what runs next.

    Args:
        seed: Draws the order of runnable handles.
        when_still: Called at each instant at which nothing is left to run, before the clock moves.
    """

    def __init__(self, seed: int, when_still: Callable[[], object]) -> None:
        self.now: float = 0.0
        self.failure: BaseException | None = None
        """What ends the world at the next step, once somebody has set it."""
        self.unhandled: list[dict[str, Any]] = []
        """What the loops were told of by `call_exception_handler`."""
        self.turns: int = 0
        self._draw = random.Random(seed).random
        self._when_still = when_still
        self._loops: list[WorldLoop] = []

    def open_loop(self) -> WorldLoop:
        """Return a new loop of this world."""
        loop = WorldLoop(self)
        self._loops.append(loop)
        return loop

    def close_loop(self, loop: WorldLoop) -> list[asyncio.Task[Any]]:
        """Close a loop with whatever is on it; return its tasks, which nobody will run, in no order."""
        tasks = list(asyncio.all_tasks(loop))
        for task in cast("list[Any]", tasks):
            # Nobody is to be told that it never ended.
            task._log_destroy_pending = False
        self._loops.remove(loop)
        loop.close()
        return tasks

    def leap(self, seconds: float) -> None:
        """Move the clock without letting anything happen meanwhile."""
        self.now += seconds

    def run(self, done: Callable[[], bool], *, most_turns: int = 1_000_000) -> None:
        """Run until `done`, which is asked after each batch.

        Raises:
            Stuck: If nothing is runnable and no timer is left before that, or the clock stands still for too long.
        """
        instant, turns_then = self.now, self.turns
        running: WorldLoop | None = None
        # Made by what runs here, and closed by what is awaited: nothing is left to the loop.
        try:
            while not done():
                ready = [loop for loop in self._loops if loop._ready]
                if not ready:
                    if self._make_due():
                        continue
                    self._when_still()
                    if self.failure is not None:
                        raise self.failure
                    if not self._advance():
                        raise Stuck(f"nothing is left to happen after {self.now:g} s")
                    continue
                loop = ready[0] if len(ready) == 1 else ready[int(self._draw() * len(ready))]
                if loop is not running:
                    events._set_running_loop(loop)
                    running = loop
                self._turn(loop._ready)
                if self.failure is not None:
                    raise self.failure
                if self.now != instant:
                    instant, turns_then = self.now, self.turns
                elif self.turns - turns_then > most_turns:
                    raise Stuck(f"the clock stands still at {self.now:g} s although something always runs")
        finally:
            events._set_running_loop(None)

    def run_out(self, *, most_turns: int = 1_000_000) -> None:
        """Run until nothing is left to happen."""
        try:
            self.run(lambda: False, most_turns=most_turns)
        except Stuck:
            return

    def end(self) -> None:
        """Cancel whatever is left on the loops, let it end, and close them."""
        self.failure = None
        self._when_still = _nothing
        # To ask for all tasks is to look at those of every loop there ever was.
        tasks = [task for loop in self._loops for task in asyncio.all_tasks(loop)]
        for task in tasks:
            task.cancel()
        try:
            self.run(lambda: all(task.done() for task in tasks), most_turns=10_000)
            self.run_out(most_turns=10_000)
        except Stuck:
            # What refuses its cancellation goes with its loop.
            pass
        for loop in list(self._loops):
            self.close_loop(loop)

    def _turn(self, ready: deque[Any]) -> None:
        """Run what is runnable on a loop, in an order that is drawn."""
        self.turns += 1
        draw = self._draw
        if len(ready) == 1:
            handle = ready.popleft()
            if not handle._cancelled:
                handle._run()
            return
        batch = list(ready)
        ready.clear()
        for last in range(len(batch) - 1, -1, -1):
            chosen = int(draw() * (last + 1))
            handle = batch[chosen]
            batch[chosen] = batch[last]
            if handle._cancelled:
                continue
            if last and draw() < _PUT_OFF:
                ready.append(handle)
                continue
            handle._run()
            if self.failure is not None:
                # The rest is for the end of the world.
                ready.extend(batch[:last])
                return

    def _advance(self) -> bool:
        """Move the clock to the next timer; False if there is none."""
        when = math.inf
        for loop in self._loops:
            heap = loop._scheduled
            if loop._timer_cancelled_count > max(_FEW_CANCELLED, len(heap) // 2):
                for handle in heap:
                    if handle._cancelled:
                        handle._scheduled = False
                heap[:] = [handle for handle in heap if not handle._cancelled]
                heapq.heapify(heap)
                loop._timer_cancelled_count = 0
            while heap and heap[0]._cancelled:
                heapq.heappop(heap)._scheduled = False
                loop._timer_cancelled_count -= 1
            if heap and heap[0]._when < when:
                when = heap[0]._when
        if when == math.inf:
            return False
        self.now = max(self.now, when)
        return True

    def _make_due(self) -> bool:
        """Make runnable what is due now; return whether anything is."""
        now, found = self.now, False
        for loop in self._loops:
            heap = loop._scheduled
            ready = loop._ready
            while heap and heap[0]._when <= now:
                handle = heapq.heappop(heap)
                handle._scheduled = False
                if handle._cancelled:
                    loop._timer_cancelled_count -= 1
                else:
                    ready.append(handle)
                    found = True
        return found

    def _unhandled(self, _: asyncio.AbstractEventLoop, context: dict[str, Any]) -> None:
        self.unhandled.append(context)


def _nothing() -> None:
    pass

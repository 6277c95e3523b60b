# SPDX-License-Identifier: Apache-2.0
"""Block detection: tells the user when an asynchronous function keeps the event loop from running.

Here live the judge and the thread that asks it to look; the drivers `_asyncio_watchdog` and `_trio_watchdog`
see which step a loop is taking. Nothing here touches inputs or loops in any other way.

Theory of operation. A *step* is what a task does between two suspensions; a step that lasts too long is what
blocks a loop. Nothing is measured for each step: a thread looks at the loop every quarter of the threshold, and
if it finds one and the same step of an input of this app again and again, it notes the place each time. How a
driver knows that it is the same step is its own affair. A step's place is where it was seen for the longest
time; its length is known to a fraction of the interval.

The thread looks on only while it can run itself. A loop that computes can keep it from that for a hundred
milliseconds and more, although it takes thousands of steps in that time: it lets go of the interpreter's lock for a
moment between them and has it back before anybody is awake. So time in which this thread could not look counts only
as far as it is proven that there was one step all along, because the step was seen before, or because the driver
knows since when; and of that time only what the loop's thread computed (a long call into C that keeps the lock), for
else another thread held the lock, or the machine stood still. Never do pauses for collecting garbage count, nor what
the thread waited for a processor. Where the platform has no clock of another thread's computing (macOS, Windows),
time in which this thread could not look never counts. When in doubt a block goes unreported: nobody is to search a
function that is innocent.

The thread exists while asynchronous inputs run, and for a second after the last one. The data path pays one
look at `parked` for an input: whoever starts an input finds it up, and starts the thread. Before it ends the
thread raises `parked` and then asks once more whether an input is running, so that one of the two notices.
"""

from __future__ import annotations

import linecache
import logging
import os
import sys
import threading
import time
from collections.abc import Callable
from math import inf
from types import FrameType
from typing import TYPE_CHECKING, Any, Final, Protocol, TypeAlias
from weakref import ref

from attrs import Factory, define

from ._context import current_input
from ._loop_clocks import LoopClocks, Reading
from ._thread_waits import ThreadSignal

if TYPE_CHECKING:
    from contextvars import Context

    from actorpool._core._input import Input

    from ._base import Host

__all__ = [
    "NO_WATCH",
    "BlockWatch",
    "Observer",
    "Reports",
    "Step",
    "Steps",
    "Watch",
    "input_of",
    "open_watch",
]

logger = logging.getLogger("actorpool")

# How long the thread looks on after the last input, in seconds: a pause between inputs does not cost a start.
LINGER_S: Final = 1.0
# One function is reported once in this time, in seconds.
QUIET_S: Final = 60.0
# A step as long as this is reported while it still lasts, in seconds: it may never end.
STILL_S: Final = 5.0
# The interpreter hands its lock over every 5 ms: looking more often would show nothing more.
LEAST_INTERVAL_S: Final = 0.005
# A look that comes later than this was kept from happening; less is a busy machine's way, in seconds.
LATE_S: Final = 0.02

Place: TypeAlias = tuple[str, int, str]
"""File, line, name of the function."""


@define(eq=False)
class Step:
    """One step of a task that belongs to an input."""

    # Weak, both: nothing of the user's may live longer for being looked at, nor end on the watch's thread.
    task: ref[Any]
    input: ref[Input]
    target: Any
    began_at: float | None = None
    """Set by a driver that knows, else estimated."""
    turned_at: float = -inf
    """No later than it began: when the driver last knew that no step was being taken."""
    ended_at: float | None = None
    excused_s: float = 0.0
    """Time in which something else kept it from going on."""
    foreign: bool = False
    """Whether it turned out to belong to an input of another app."""
    told: bool = False
    """Whether it was reported while it lasted."""
    places: dict[Place, float] = Factory(dict)
    """{place: seconds it was seen there}"""

    def end(self) -> None:
        """Note that the step is over. Threads: any."""
        if self.ended_at is None:
            self.ended_at = time.monotonic()


class Steps(Protocol):
    """Sees which step a loop is taking; used by the watch's thread, save where a method says otherwise."""

    @property
    def closed(self) -> bool:
        """Whether the loop is gone."""
        ...

    def hook(self, interval_s: float) -> None:
        """Prepare for `look`, which is called every `interval_s` seconds; loop's thread only."""
        ...

    def unhook(self, still_wanted: Callable[[], bool]) -> None:
        """Undo `hook`, unless it is wanted again by the time the loop gets to it. Threads: any."""
        ...

    def look(self, last: Step | None) -> Step | None:
        """Return the step being taken now if it belongs to an asynchronous input; `last` itself if it is that one."""
        ...

    def pin(self, step: Step) -> None:
        """Have `step` told when it ends, from now on; if that came too late, it has ended already."""
        ...

    def root(self, step: Step) -> FrameType | None:
        """Return the outermost frame of the task of `step`; None if it is unknown."""
        ...


def input_of(context: Context | None) -> Input | None:
    """Return the asynchronous input that code in `context` belongs to, helper tasks of its function included."""
    input = None if context is None else context.get(current_input)
    return input if input is not None and input.target.is_async else None


class Reports:
    """The warnings of one app: about each function at most one in `QUIET_S`."""

    def __init__(self) -> None:
        # {name of the function: (instant of its last warning, blocks that were not reported since)}
        self._last: dict[str, tuple[float, int]] = {}

    def over(self, step: Step, blocked_s: float, now: float) -> None:
        """Report a block that is over."""
        name = str(step.target)
        if step.told or not self._quiet(name, now):
            self._warn(step, f"blocked the event loop for {blocked_s:.2f} s", now)
        else:
            warned_at, unreported = self._last[name]
            self._last[name] = (warned_at, unreported + 1)

    def lasting(self, step: Step, blocked_s: float, now: float) -> None:
        """Report a block that goes on."""
        if not self._quiet(str(step.target), now):
            step.told = True
            self._warn(step, f"has been blocking the event loop for {blocked_s:.2f} s and still does", now)

    def _quiet(self, name: str, now: float) -> bool:
        last = self._last.get(name)
        return last is not None and now - last[0] < QUIET_S

    def _warn(self, step: Step, what: str, now: float) -> None:
        name = str(step.target)
        unreported = self._last.get(name, (now, 0))[1]
        self._last[name] = (now, 0)
        more = f" ({unreported} further blocks since the last such warning)" if unreported else ""
        place = max(step.places, key=step.places.__getitem__)
        logger.warning(
            "async function '%s' %s (at %s)%s; await there, or make it a plain function so that it runs in a thread",
            name,
            what,
            _describe(place),
            more,
        )


def _describe(place: Place) -> str:
    path, line, name = place
    source = linecache.getline(path, line).strip()
    where = f"{os.path.basename(path)}:{line} in {name}"
    return f"{where}: {source}" if source else where


def interval_of(threshold_s: float) -> float:
    """Return the time from one look to the next, in seconds."""
    return max(threshold_s / 4, LEAST_INTERVAL_S)


class Observer:
    """Judges what is seen of one loop; one for each life of the thread."""

    def __init__(
        self,
        threshold_s: float,
        steps: Steps,
        owns: Callable[[Input], bool],
        reports: Reports,
        find_place: Callable[[Step], Place | None],
        started: Reading,
    ) -> None:
        self.interval_s = interval_of(threshold_s)
        self._threshold_s = threshold_s
        self._steps = steps
        self._owns = owns
        self._reports = reports
        self._find_place = find_place
        self._step: Step | None = None
        self._read = started

    @property
    def looked_at(self) -> float:
        """When the loop was looked at last."""
        return self._read.now

    def look(self, read: Callable[[], Reading]) -> None:
        """Look at the loop, and at its clocks."""
        # Whatever else: the step comes first. As soon as this thread lets go of the lock, it may be over.
        last, step = self._step, self._steps.look(self._step)
        if step is not None and step is not last:
            self._steps.pin(step)
        before, reading = self._read, read()
        now, elapsed_s = reading.now, reading.now - before.now
        if step is not None:
            excused_s = self._excused_s(before, reading)
            if step is last:
                step.excused_s += excused_s
                self._note(step, elapsed_s)
            else:
                self._begin(step, before, now, excused_s)
        if last is not None and step is not last:
            self._close(last, now, elapsed_s)
        self._step = step
        self._read = reading
        if step is not None and step.places and not step.told:
            blocked_s = self._length_s(step, now)
            if blocked_s >= max(STILL_S, self._threshold_s):
                self._reports.lasting(step, blocked_s, now)

    def finish(self, now: float) -> None:
        """Report the last step: it is over."""
        last, self._step = self._step, None
        if last is not None:
            self._close(last, now, now - self._read.now)

    def _excused_s(self, before: Reading, reading: Reading) -> float:
        """Return how much of the time between two looks is no step's fault."""
        elapsed_s = reading.now - before.now
        late_s = elapsed_s - self.interval_s
        kept_s = late_s if late_s > LATE_S else 0.0
        if before.computed_s is not None and reading.computed_s is not None:
            kept_s = max(0.0, kept_s - (reading.computed_s - before.computed_s))
        # What kept this thread may be what denied the loop's a processor; while that one collects, it computes.
        excused_s = max(kept_s, reading.denied_s - before.denied_s) + reading.paused_s - before.paused_s
        return min(excused_s, elapsed_s)

    def _begin(self, step: Step, before: Reading, now: float, excused_s: float) -> None:
        if step.began_at is None:
            # After the last look, and after the driver knew of no step; within the interval that follows, for else it
            # would have been seen, or the driver would know better.
            earliest = max(before.now, step.turned_at)
            step.began_at = earliest + min(now - earliest, self.interval_s) / 2
        step.excused_s = min(excused_s, now - step.began_at)
        length_s = self._length_s(step, now)
        if length_s > self.interval_s:
            self._note(step, length_s)

    def _note(self, step: Step, elapsed_s: float) -> None:
        # The place first: to ask whose input it is may let the step go on.
        place = None if step.foreign else self._find_place(step)
        if place is None:
            return
        if not step.places:
            input = step.input()
            step.foreign = input is None or not self._owns(input)
        if not step.foreign:
            step.places[place] = step.places.get(place, 0.0) + elapsed_s

    def _close(self, step: Step, now: float, elapsed_s: float) -> None:
        if not step.places:
            # Seen but once, or not ours.
            return
        # What ran after it, before the loop or this thread came to say so, is not its time.
        latest = self._read.now + min(elapsed_s, self.interval_s)
        ended_at = (self._read.now + latest) / 2 if step.ended_at is None else min(step.ended_at, latest)
        blocked_s = self._length_s(step, ended_at)
        if blocked_s >= self._threshold_s:
            self._reports.over(step, blocked_s, now)

    def _length_s(self, step: Step, until: float) -> float:
        assert step.began_at is not None
        return until - step.began_at - step.excused_s


class Watch:
    """What containers and task slots see of a watch; as it stands, one that never looks."""

    __slots__ = ()

    parked: bool = False
    """Whether `wake` must be called before an input is started."""

    def enter(self) -> None:
        """Count a container that may run asynchronous inputs; loop's thread only."""

    def leave(self) -> None:
        """Count it out; after the last one nothing of the watch is left. Loop's thread only."""

    def wake(self) -> None:
        """Begin to look, because an input is about to be started; loop's thread only."""


NO_WATCH: Final = Watch()


class BlockWatch(Watch):
    """The watch over one loop for one app."""

    __slots__ = (
        "_busy",
        "_containers",
        "_lock",
        "_owns",
        "_reports",
        "_steps",
        "_stop",
        "_thread",
        "_threshold_s",
        "parked",
    )

    def __init__(
        self, threshold_s: float, steps: Steps, *, owns: Callable[[Input], bool], busy: Callable[[], bool]
    ) -> None:
        """Make a watch that looks at nothing yet.

        Args:
            threshold_s: How long a step must last to be reported, in seconds.
            steps: What sees the loop's steps.
            owns: Whether an input is running in this app; called on the watch's thread.
            busy: Whether any asynchronous input is running in this app; called on the watch's thread.
        """
        self.parked = True
        self._threshold_s = threshold_s
        self._steps = steps
        self._owns = owns
        self._busy = busy
        self._reports = Reports()
        self._containers = 0
        # Held to move `parked` and `_thread`.
        self._lock = threading.Lock()
        self._thread: threading.Thread | None = None
        self._stop = ThreadSignal()

    def enter(self) -> None:
        self._containers += 1

    def leave(self) -> None:
        self._containers -= 1
        if self._containers:
            return
        with self._lock:
            thread, self._thread = self._thread, None
            self.parked = True
        if thread is not None:
            self._stop.notify()
            self._steps.unhook(lambda: False)
            # It waits for nobody who could wait for this loop, unless a log handler does.
            thread.join(1.0)

    def wake(self) -> None:
        stop = ThreadSignal()
        clocks = LoopClocks()
        thread = threading.Thread(
            target=self._run, args=(stop, clocks, clocks.read()), name="actorpool block watch", daemon=True
        )
        with self._lock:
            if not self.parked:
                return
            self.parked = False
            self._thread, self._stop = thread, stop
        self._steps.hook(interval_of(self._threshold_s))
        try:
            thread.start()
        except RuntimeError:
            # The input must not suffer for it; the next attempt is made when the app has been idle for long.
            self._thread = None
            logger.warning(
                "there is no thread left for the watch: blocks of the event loop are not reported for now"
            )

    # -- the watch's thread ----------------------------------------------------------------------

    def _run(self, stop: ThreadSignal, clocks: LoopClocks, started: Reading) -> None:
        try:
            with clocks:
                self._look_on(stop, clocks, started)
        except Exception:
            # A bug of ours must not end in the service's excepthook.
            logger.exception("the block watch failed; blocks of the event loop are not reported for now")

    def _look_on(self, stop: ThreadSignal, clocks: LoopClocks, started: Reading) -> None:
        # What has passed since the start counts: the first input may be at it already.
        def find_place(step: Step) -> Place | None:
            return _find_place(step, self._steps, clocks.thread)

        observer = Observer(self._threshold_s, self._steps, self._owns, self._reports, find_place, started)
        ask_at = started.now + LINGER_S
        while not stop.wait(observer.interval_s) and not self._steps.closed:
            observer.look(clocks.read)
            if observer.looked_at >= ask_at:
                ask_at = observer.looked_at + LINGER_S
                if not self._busy() and self._park():
                    break
        observer.finish(time.monotonic())

    def _park(self) -> bool:
        """Try to end; return whether to."""
        this = threading.current_thread()
        with self._lock:
            if self._thread is not this:
                return True
            self.parked = True
        # See the theory of operation: an input may have been started by one who found `parked` down.
        if self._busy():
            with self._lock:
                # Else its starter, or the last container, has seen to it.
                if self._thread is this and self.parked:
                    self.parked = False
                    return False
            return True
        self._steps.unhook(lambda: not self.parked)
        return True


def _find_place(step: Step, steps: Steps, thread: int) -> Place | None:
    """Return where `step` is, in the code of the function's own package if that has a part in it."""
    frame = sys._current_frames().get(thread)
    root = steps.root(step)
    if frame is None or steps.look(step) is not step:
        return None
    package = _package(getattr(step.target.function, "__module__", None))
    chosen, below = frame, frame
    while root is not None:
        if _package(below.f_globals.get("__name__")) == package:
            chosen = below
            break
        if below is root or below.f_back is None:
            break
        below = below.f_back
    return chosen.f_code.co_filename, chosen.f_lineno, chosen.f_code.co_name


def _package(module: str | None) -> str:
    return (module or "").partition(".")[0]


def open_watch(
    host: Host, threshold_s: float | None, *, owns: Callable[[Input], bool], busy: Callable[[], bool]
) -> Watch:
    """Return the watch of one app on `host`; one that never looks if `threshold_s` is None or the clock is virtual.

    On a virtual clock everything is to happen as if time stood still between two events, and the same each time.
    """
    if threshold_s is None:
        return NO_WATCH
    steps: Steps | None
    if host.name == "asyncio":
        from ._asyncio_watchdog import asyncio_steps

        steps = asyncio_steps(host)
    else:
        from ._trio_watchdog import trio_steps

        steps = trio_steps(host)
    return NO_WATCH if steps is None else BlockWatch(threshold_s, steps, owns=owns, busy=busy)

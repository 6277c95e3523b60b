# SPDX-License-Identifier: Apache-2.0
"""Block detection: tells the user when an asynchronous function keeps the event loop from running.

Here live the judge and the thread that asks it to look; the drivers `_asyncio_watchdog` and `_trio_watchdog`
see which step a loop is taking. Nothing here touches inputs or loops in any other way.

Theory of operation. A *step* is what a task does between two suspensions; a step that lasts too long is what
blocks a loop. Nothing is measured for each step: a thread looks at the loop every quarter of the threshold, and
if it finds one and the same step of an input of this app again and again, it notes the place each time. How a
driver knows that it is the same step is its own affair. A step's place is where it was seen for the longest
time; its length is known to a fraction of the interval.

The thread looks on only while it can run itself. Of the time in which it could not, what the loop's thread
computed counts (one long call into C that keeps the interpreter's lock); else another thread held the lock, or the
machine stood still, and that is not the function's fault. Where the platform has no clock of another thread's
computing (macOS, Windows), such time never counts.

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
from types import FrameType
from typing import TYPE_CHECKING, Any, Final, Protocol, TypeAlias
from weakref import ref

from attrs import Factory, define

from ._bridge import ThreadSignal
from ._context import current_input

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
LATE_S: Final = 0.05

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

    def hook(self) -> None:
        """Prepare for `look`; loop's thread only."""
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


class Observer:
    """Judges what is seen of one loop; one for each life of the thread."""

    def __init__(
        self,
        threshold_s: float,
        steps: Steps,
        owns: Callable[[Input], bool],
        reports: Reports,
        find_place: Callable[[Step], Place | None],
        now: float,
        cpu_s: float | None,
    ) -> None:
        self.interval_s = max(threshold_s / 4, LEAST_INTERVAL_S)
        self._threshold_s = threshold_s
        self._steps = steps
        self._owns = owns
        self._reports = reports
        self._find_place = find_place
        self._step: Step | None = None
        self._looked_at = now
        self._cpu_s = cpu_s

    def look(self, now: float, cpu_s: float | None) -> None:
        """Look at the loop.

        Args:
            now: The monotonic clock, in seconds.
            cpu_s: How long the loop's thread has computed in all, in seconds; None if unknown.
        """
        # Whatever else: the step comes first. As soon as this thread lets go of the lock, it may be over.
        last, step = self._step, self._steps.look(self._step)
        elapsed_s = now - self._looked_at
        late_s = max(0.0, elapsed_s - self.interval_s)
        kept_s = late_s if late_s > max(LATE_S, self._threshold_s / 2) else 0.0
        computed_s = 0.0 if cpu_s is None or self._cpu_s is None else min(cpu_s - self._cpu_s, kept_s)
        if step is not None:
            if step is last:
                step.excused_s += kept_s - computed_s
                self._note(step, elapsed_s)
            else:
                self._begin(step, now, elapsed_s, kept_s, computed_s)
        if last is not None and step is not last:
            self._close(last, now, elapsed_s)
        self._step = step
        self._looked_at, self._cpu_s = now, cpu_s
        if step is not None and step.places and not step.told:
            blocked_s = self._length_s(step, now)
            if blocked_s >= max(STILL_S, self._threshold_s):
                self._reports.lasting(step, blocked_s, now)

    def finish(self, now: float) -> None:
        """Report the last step: it is over."""
        last, self._step = self._step, None
        if last is not None:
            self._close(last, now, now - self._looked_at)

    def _begin(self, step: Step, now: float, elapsed_s: float, kept_s: float, computed_s: float) -> None:
        if step.began_at is None:
            # Within the interval before this look; or, if this thread was kept from looking, then by this step, which
            # is here at the first chance: within the one after the last look.
            half_s = min(elapsed_s, self.interval_s) / 2
            step.began_at = self._looked_at + half_s if kept_s else now - half_s
        step.excused_s = min(kept_s - computed_s, now - step.began_at)
        length_s = self._length_s(step, now)
        if length_s > self.interval_s:
            self._note(step, length_s)
        self._steps.pin(step)

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
        latest = self._looked_at + min(elapsed_s, self.interval_s)
        ended_at = (self._looked_at + latest) / 2 if step.ended_at is None else min(step.ended_at, latest)
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
        "_cpu_clock",
        "_lock",
        "_loop_thread",
        "_owns",
        "_reports",
        "_started",
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
        self._loop_thread = 0
        self._cpu_clock: int | None = None
        # The clocks when the thread was started: (monotonic, loop's thread).
        self._started: tuple[float, float | None] = (0.0, None)

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
        thread = threading.Thread(target=self._run, args=(stop,), name="actorpool block watch", daemon=True)
        with self._lock:
            if not self.parked:
                return
            self.parked = False
            self._thread, self._stop = thread, stop
        self._loop_thread = threading.get_ident()
        # Only for a thread that lives may one ask for its clock; the clock itself may be asked at any time.
        clock_of = getattr(time, "pthread_getcpuclockid", None)
        self._cpu_clock = None if clock_of is None else clock_of(self._loop_thread)
        self._started = time.monotonic(), self._computed_s()
        self._steps.hook()
        try:
            thread.start()
        except RuntimeError:
            # The input must not suffer for it; the next attempt is made when the app has been idle for long.
            self._thread = None
            logger.warning(
                "there is no thread left for the watch: blocks of the event loop are not reported for now"
            )

    # -- the watch's thread ----------------------------------------------------------------------

    def _run(self, stop: ThreadSignal) -> None:
        try:
            self._look_on(stop)
        except Exception:
            # A bug of ours must not end in the service's excepthook.
            logger.exception("the block watch failed; blocks of the event loop are not reported for now")

    def _look_on(self, stop: ThreadSignal) -> None:
        # What has passed since the start counts: the first input may be at it already.
        now, computed_s = self._started
        observer = Observer(
            self._threshold_s, self._steps, self._owns, self._reports, self._find_place, now, computed_s
        )
        ask_at = now + LINGER_S
        while not stop.wait(observer.interval_s) and not self._steps.closed:
            now = time.monotonic()
            observer.look(now, self._computed_s())
            if now >= ask_at:
                ask_at = now + LINGER_S
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

    def _computed_s(self) -> float | None:
        if self._cpu_clock is None:
            return None
        try:
            return time.clock_gettime(self._cpu_clock)
        except OSError:
            # The thread has ended, and the loop is run by another one, or by nobody.
            return None

    def _find_place(self, step: Step) -> Place | None:
        """Return where `step` is, in the code of the function's own package if that has a part in it."""
        frame = sys._current_frames().get(self._loop_thread)
        root = self._steps.root(step)
        if frame is None or self._steps.look(step) is not step:
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

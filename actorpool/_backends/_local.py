# SPDX-License-Identifier: Apache-2.0
"""The local backend: a container's slots are tasks of the host's loop and threads of this process.

Arguments and results are handed over by reference, as a thread pool does: nothing is copied.

Where user code runs: asynchronous methods and hooks on the host's loop; synchronous ones on the
container's own threads, so that a hook which loads a model does not stand in the way of the service.
A container of one slot has one thread, and runs its enter hooks, all its synchronous inputs and its
exit hooks on it. The asynchronous hooks of a container share one task.
"""

from __future__ import annotations

import logging
from functools import partial
from queue import SimpleQueue
from typing import TYPE_CHECKING, Any

from actorpool._host._failures import raised_by
from actorpool._host._slots import open_task_slots
from actorpool._host._stream import async_producer, producer
from actorpool._host._watchdog import NO_WATCH, Watch

from ._hook_task import HookTask
from ._threads import ThreadSlots

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

    from actorpool._core._input import Input
    from actorpool._host._base import Host
    from actorpool._host._slots import Complete

    from ._thread_gate import ThreadGate
    from ._threads import SlotQueue
    from ._workload import Hook, Target, Workload

__all__ = ["LocalContainer"]

logger = logging.getLogger("actorpool")


class LocalContainer:
    """One container in this process."""

    __slots__ = (
        "_admitted",
        "_calls",
        "_entered",
        "_gate",
        "_hooks",
        "_host",
        "_instance",
        "_name",
        "_route",
        "_tasks",
        "_threads",
        "_watch",
        "_workload",
    )

    def __init__(
        self,
        name: str,
        workload: Workload,
        host: Host,
        complete: Complete,
        gate: ThreadGate,
        watch: Watch = NO_WATCH,
        queue: SlotQueue | None = None,
    ) -> None:
        self._name = name
        self._gate = gate
        self._admitted = False
        # How many enter hooks have run to their ends.
        self._entered = 0
        self._workload = workload
        self._host = host
        self._hooks = HookTask(host, name)
        self._instance: Any = None
        # {target: what to call}, filled in by `start`, before the first input.
        self._calls: dict[Target, Callable[..., Any]] = {}
        kinds = {target.is_async for target in workload.targets}
        self._watch = watch if True in kinds else NO_WATCH
        self._tasks = open_task_slots(host, complete, self._calls, self._watch)
        self._threads = ThreadSlots(
            name, workload.threads, host, complete, self._calls, queue or SimpleQueue()
        )
        # The usual container runs one kind of input: no detour for it.
        self._route: Callable[[Input], None] = (
            self._send_either if len(kinds) > 1 else self._tasks.send if True in kinds else self._threads.send
        )
        self._watch.enter()

    @property
    def send(self) -> Callable[[Input], None]:
        """What runs an input; see `ContainerBackend.send`."""
        return self._route

    def cancel(self, input: Input) -> None:
        """Cancel the task of an asynchronous input; a thread cannot be stopped."""
        if input.stream is not None:
            # Its generator is closed at its next item, wherever it runs.
            input.stream.close()
        if input.target.is_async:
            self._tasks.cancel(input)

    async def admit(self) -> None:
        """Wait until the app has threads for this container."""
        workload = self._workload
        if workload.threads:
            await self._gate.enter(workload.name, workload.threads)
            self._admitted = True

    async def start(self) -> None:
        """Make the user's object and run its enter hooks, in the order of their definition."""
        workload = self._workload
        if workload.build is not None:
            if workload.threads:
                self._instance = await self._in_thread(workload.build)
            else:
                self._instance = workload.build()
            for hook in workload.enter:
                await self._run_hook(hook, self._has_entered)
        for target in workload.targets:
            function = target.function
            call = function if self._instance is None else function.__get__(self._instance)
            if target.is_generator:
                call = async_producer(call, self._host.bridge) if target.is_async else producer(call)
            self._calls[target] = call

    def _has_entered(self) -> None:
        self._entered += 1

    def abandon(self) -> None:
        """Let the threads end; nothing can be run on the loop any more. Threads: any."""
        self._threads.close(_nothing)

    async def stop(self, leftover: Sequence[Input], grace_s: float) -> None:
        """Wait for interrupted work, run the exit hooks, end the threads: each step bounded by `grace_s`."""
        waiter = self._host.bridge.waiter()
        try:
            tasks = [input for input in leftover if input.target.is_async]
            if tasks:
                with self._host.move_on_after(grace_s):
                    await self._tasks.returned(tasks)
            self._watch.leave()
            if self._entered < len(self._workload.enter):
                # A start that was called off; its hook may end well nevertheless.
                await self._end_hooks(grace_s)
            if self._instance is not None and self._entered == len(self._workload.enter):
                for hook in self._workload.exit:
                    await self._run_exit_hook(hook, grace_s)
            await self._end_hooks(grace_s)
        finally:
            # Also when the loop is ended under it: a thread that is not told waits for inputs for ever.
            self._threads.close(waiter.notify)
        with self._host.move_on_after(grace_s):
            await waiter.wait()
        self._threads.join()
        if self._admitted:
            self._gate.leave(self._workload.name, self._workload.threads)
        if self._threads.alive:
            logger.warning(
                "container %s stopped, but %d of its threads still run user code; a thread cannot be stopped, "
                "so it ends when that code returns",
                self._name,
                self._threads.alive,
            )

    def _send_either(self, input: Input) -> None:
        (self._tasks if input.target.is_async else self._threads).send(input)

    async def _run_hook(self, hook: Hook, when_done: Callable[[], object]) -> None:
        """Run `hook`, and `when_done` right after it: whoever waits for both may be cancelled in between."""
        bound = hook.function.__get__(self._instance)

        async def run_async() -> None:
            await bound()
            when_done()

        def run() -> None:
            bound()
            when_done()

        if hook.is_async:
            await self._hooks.run(run_async)
        else:
            await self._in_thread(run)

    async def _run_exit_hook(self, hook: Hook, grace_s: float) -> None:
        name = getattr(hook.function, "__qualname__", "exit hook")
        with self._host.move_on_after(grace_s) as scope:
            error = await raised_by(partial(self._run_hook, hook, _nothing))
            if error is not None:
                # The container stops in any case; the remaining hooks get their turn.
                logger.error("exit hook %s of container %s raised", name, self._name, exc_info=error)
        if scope.cancelled_caught:
            logger.warning("exit hook %s of container %s took longer than %g s", name, self._name, grace_s)
            await self._end_hooks(grace_s)

    async def _end_hooks(self, grace_s: float) -> None:
        """End the task of the hooks, and wait for what its cancellation interrupts."""
        self._hooks.close()
        if not await self._hooks.ended(grace_s):
            logger.warning(
                "a hook of container %s was cancelled and still runs after %g s; it is left behind",
                self._name,
                grace_s,
            )

    async def _in_thread(self, function: Callable[[], Any]) -> Any:
        outcome: list[tuple[Any, BaseException | None]] = []
        waiter = self._host.bridge.waiter()

        def done(result: Any, error: BaseException | None) -> None:
            outcome.append((result, error))
            waiter.notify()

        self._threads.run(function, done)
        await waiter.wait()
        result, error = outcome[0]
        if error is not None:
            raise error
        return result


def _nothing() -> None:
    pass

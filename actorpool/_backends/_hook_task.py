# SPDX-License-Identifier: Apache-2.0
"""The task in which a container's asynchronous hooks run, all of them in the same.

A task group, a nursery or a cancel scope must be closed by the task that opened it, so an exit hook can only close
what an enter hook opened when both run in one task. A container is started and stopped by others, at times far apart;
hence a task of its own, which waits for hooks in between. It starts with the first hook: a container without
asynchronous hooks has none.

A hook is cancelled by cancelling the task. No cancel scope may lie around a single hook: a scope that the hook leaves
open would outlive it.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from actorpool._host._failures import raised_by
from actorpool.exception import ExecutionError

if TYPE_CHECKING:
    from collections.abc import Callable, Coroutine
    from typing import Any, TypeAlias

    from actorpool._host._base import Host, RootHandle, Signal, Waiter

    Hook: TypeAlias = Callable[[], Coroutine[Any, Any, object]]

__all__ = ["HookTask"]


class HookTask:
    """Runs hooks one after the other, in one task as long as none of them is cancelled."""

    __slots__ = ("_cancelled", "_host", "_job", "_name", "_task", "_wake")

    def __init__(self, host: Host, name: str) -> None:
        self._host = host
        self._name = name
        self._task: RootHandle | None = None
        self._cancelled: RootHandle | None = None
        self._wake: Signal = host.bridge.signal()
        self._job: _Job | None = None

    async def run(self, hook: Hook) -> None:
        """Run `hook` to its end; raise what it raises.

        Raises:
            ExecutionError: If somebody else cancelled its task, as the end of the loop does.

        Cancellation: Cancels the hook, and does not wait for its end; see `ended`.
        """
        if self._task is None or self._task.done():
            self._task = self._host.start_root(self._serve, f"hooks of container {self._name}")
        job = self._job = _Job(hook, self._host.bridge.waiter())
        self._wake.notify()
        try:
            await job.returned.wait()
        except BaseException:
            if not job.finished:
                self.close()
            raise
        if job.error is not None:
            raise job.error
        if not job.finished:
            raise ExecutionError(
                f"the hooks of container {self._name} were cancelled with the task they run in"
            )

    def close(self) -> None:
        """Cancel the task, and the hook that it runs; another hook would get another task. Idempotent."""
        if self._task is not None:
            self._cancelled, self._task = self._task, None
            self._cancelled.cancel()

    async def ended(self, grace_s: float) -> bool:
        """Return whether the task that was cancelled last has ended, or does within `grace_s`. Asked once of each."""
        task, self._cancelled = self._cancelled, None
        if task is None:
            return True
        with self._host.move_on_after(grace_s):
            await task.wait()
        return task.done()

    async def _serve(self) -> None:
        while True:
            await self._wake.wait()
            job, self._job = self._job, None
            assert job is not None
            try:
                job.error = await raised_by(job.hook)
                job.finished = True
            finally:
                job.returned.notify()


class _Job:
    """One hook to run, and how it went."""

    __slots__ = ("error", "finished", "hook", "returned")

    def __init__(self, hook: Hook, returned: Waiter) -> None:
        self.hook = hook
        self.returned = returned
        self.finished = False
        self.error: BaseException | None = None

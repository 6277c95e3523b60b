# SPDX-License-Identifier: Apache-2.0
"""What an input's failure looks like to whoever waits for it.

User code may raise anything. Its exception is handed on as it is, with one exception: a cancellation. In the
waiting task a `CancelledError` would look like that task's own, so a timeout or a nursery around it would
believe to have been obeyed; nobody may see it but the input itself.
"""

from __future__ import annotations

import asyncio
import sys
from collections.abc import Awaitable, Callable

from actorpool._core._input import CANCELLED, FAILED, Input
from actorpool.exception import RemoteError

from ._traceback import trimmed

__all__ = ["failure_of", "raised_by"]


def failure_of(input: Input, error: BaseException) -> tuple[int, BaseException]:
    """Return the final state and the exception of an input whose work raised `error`."""
    if not isinstance(error, Exception) and _is_cancellation(error):
        cancelled = RemoteError(
            f"input of '{input.target}' was cancelled from within: its code raised {type(error).__name__}"
        )
        cancelled.__cause__ = error
        return CANCELLED, cancelled
    return FAILED, trimmed(error)


async def raised_by(function: Callable[[], Awaitable[object]]) -> BaseException | None:
    """Await `function()` and return whatever it raises, as the user's code raised it.

    Only a cancellation of this very task passes through.
    """
    task = asyncio.current_task() if asyncio._get_running_loop() is not None else None
    requests = 0 if task is None else task.cancelling()
    try:
        await function()
    except asyncio.CancelledError as error:
        if task is not None and task.cancelling() > requests:
            raise
        return error
    except BaseException as error:
        # On trio nobody but trio makes a cancellation.
        if _is_cancellation(error):
            raise
        return trimmed(error)
    return None


def _is_cancellation(error: BaseException) -> bool:
    trio = sys.modules.get("trio")
    return isinstance(error, asyncio.CancelledError) or (
        trio is not None and isinstance(error, trio.Cancelled)
    )

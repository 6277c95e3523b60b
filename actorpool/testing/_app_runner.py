# SPDX-License-Identifier: Apache-2.0
"""`AppRunner`: an app and a scenario on a virtual clock. What runs in the scenario is none of its business."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable
from datetime import datetime
from typing import Any, Final, TypeVar

from actorpool._host._current import current_host
from actorpool.app import App
from actorpool.testing._clocks import START, HostName, run_virtual

__all__ = ["AppRunner"]

T = TypeVar("T")

# The shortest time that is long against the rounding of any clock a test can reach.
_INSTANT_S: Final = 1e-6


class AppRunner:
    """Runs an app, and a scenario that uses it, in virtual time; the pytest fixture `actorpool_app` is one.

    Each `run` has a clock of its own that starts at 0. The app lives on the scenario's event loop, so the scenario
    calls it by `.aio`. Synchronous functions run in real threads, while the clock stands still.

    Args:
        host: The library on whose event loop all of it runs, "asyncio" or "trio".

    Example:
        >>> def test_the_pool_is_empty_an_hour_later(actorpool_app):
        ...     async def scenario():
        ...         assert await square.remote.aio(3) == 9
        ...         await actorpool_app.sleep(3600)
        ...         assert square.statistics().containers == 0
        ...
        ...     actorpool_app.run(app, scenario)
    """

    def __init__(self, host: HostName = "asyncio") -> None:
        self.host: HostName = host

    def __repr__(self) -> str:
        return f"<AppRunner {self.host}>"

    def run(
        self,
        app: App,
        scenario: Callable[..., Awaitable[T]],
        *args: Any,
        grace: float = 10.0,
        start: datetime | float = START,
    ) -> T:
        """Run `app`, and in it `scenario(*args)`; close the app and return the scenario's result.

        Args:
            app: The app; it must not be running.
            scenario: The async function that uses it.
            args: Its arguments.
            grace: As for `App.run`, in virtual seconds.
            start: The time of day at the start, for schedules: an aware datetime or Unix seconds; by default midnight
                UTC at the beginning of 2026.

        Raises:
            ConflictError: If the app is running already.
            InvalidError: If `start` is a datetime without a time zone.
            ExceptionGroup: Of what nobody has handled on the asyncio loop, if the scenario itself raises nothing.
            BaseException: What the scenario raises.
        """
        unhandled: list[Exception] = []

        async def main() -> T:
            if self.host == "asyncio":
                asyncio.get_running_loop().set_exception_handler(
                    lambda _, said: unhandled.append(_error(said))
                )
            async with app.run(grace=grace):
                return await scenario(*args)

        result = run_virtual(main, host=self.host, start=start)
        if unhandled:
            raise ExceptionGroup("nobody has handled these errors on the event loop", unhandled)
        return result

    def now(self) -> float:
        """Return the virtual clock in seconds since the start of `run`; in the scenario only."""
        return current_host().now()

    async def sleep(self, seconds: float) -> None:
        """Let virtual time pass; in the scenario only, where the host's own sleep does the same."""
        await current_host().sleep(seconds)

    async def settle(self) -> None:
        """Return when all that can happen now has happened, in threads too; a microsecond of virtual time passes."""
        await current_host().sleep(_INSTANT_S)


def _error(said: dict[str, Any]) -> Exception:
    """Return what asyncio tells an exception handler as one exception."""
    error = said.get("exception")
    return error if isinstance(error, Exception) else RuntimeError(str(said.get("message")))

# SPDX-License-Identifier: Apache-2.0
"""FastAPI and Starlette: apps that live as long as the service, and a 429 for a call that a limit refuses.

The service runs the apps on its own event loop: no thread or process is added, and an async endpoint
awaits `f.remote.aio(...)`. A plain `def` endpoint runs in a thread of the framework's, where `f.remote(...)`
is right.

    api = FastAPI(lifespan=lifespan(app))
    api.add_exception_handler(ResourceExhaustedError, too_many_requests)

Importing this module imports neither framework.
"""

from __future__ import annotations

import math
from collections.abc import AsyncIterator, Callable
from contextlib import AbstractAsyncContextManager, AsyncExitStack, asynccontextmanager
from typing import TYPE_CHECKING

from actorpool.exception import InvalidError, ResourceExhaustedError

if TYPE_CHECKING:
    from starlette.requests import Request
    from starlette.responses import Response

    from actorpool.app import App

__all__ = ["lifespan", "too_many_requests"]


def lifespan(*apps: App, grace: float = 10.0) -> Callable[[object], AbstractAsyncContextManager[None]]:
    """Return a lifespan that runs `apps` from the service's start to its shutdown.

    They start in the order given and close in the reverse one: accepted inputs are finished for up to
    `grace` seconds, so give the server's own shutdown timeout a little more. In a lifespan of your own,
    `async with app.run():` does the same.

    Args:
        apps: The apps to run; none of them may be running already.
        grace: As for `App.run`, for each app, in seconds.

    Raises:
        InvalidError: Without an app.
    """
    if not apps:
        raise InvalidError("lifespan() got no app, so it would run nothing; write lifespan(app)")

    @asynccontextmanager
    async def run(_service: object) -> AsyncIterator[None]:
        async with AsyncExitStack() as stack:
            for app in apps:
                await stack.enter_async_context(app.run(grace=grace))
            yield

    return run


def too_many_requests(request: Request, error: Exception) -> Response:
    """Answer a `ResourceExhaustedError` with status 429 and a `Retry-After` in whole seconds.

    Register it with `api.add_exception_handler(ResourceExhaustedError, too_many_requests)`. The body is JSON:
    `detail` is the error's message, and `limit`, `pending` and `running` its numbers.

    Args:
        request: The request whose endpoint raised; not looked at.
        error: What it raised. Any other error than a `ResourceExhaustedError` is raised again.
    """
    from starlette.responses import JSONResponse

    if not isinstance(error, ResourceExhaustedError):
        raise error
    return JSONResponse(
        {"detail": str(error), "limit": error.limit, "pending": error.pending, "running": error.running},
        status_code=429,
        headers={"Retry-After": str(max(1, math.ceil(error.retry_after)))},
    )

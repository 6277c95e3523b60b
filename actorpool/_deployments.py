# SPDX-License-Identifier: Apache-2.0
"""The deployed apps of this process, by name."""

from __future__ import annotations

import threading
from typing import TYPE_CHECKING

from actorpool._backends._inside import in_container
from actorpool.exception import ExecutionError, NotFoundError

if TYPE_CHECKING:
    from ._lifecycle import Lifecycle

__all__ = ["check_callable_here", "deployed", "deployed_app", "not_running", "register", "unregister"]

_lock = threading.Lock()
# {name: the app's life}; an entry lives from deploy to stop.
_apps: dict[str, Lifecycle] = {}


def register(name: str, app: Lifecycle) -> Lifecycle | None:
    """Make `app` the deployment called `name`; return the one it replaces."""
    with _lock:
        replaced = _apps.get(name)
        _apps[name] = app
        return replaced


def unregister(name: str, app: Lifecycle) -> None:
    """Forget the deployment called `name`, if it is still `app`."""
    with _lock:
        if _apps.get(name) is app:
            del _apps[name]


def deployed() -> list[Lifecycle]:
    """Return all deployed apps."""
    with _lock:
        return list(_apps.values())


def deployed_app(app_name: str, kind: str, name: str) -> Lifecycle:
    """Return the app deployed as `app_name`, which is looked up for its `kind` called `name`.

    Raises:
        NotFoundError: If there is none.
    """
    with _lock:
        app = _apps.get(app_name)
        known = ", ".join(sorted(_apps)) or "none"
    if app is None:
        check_callable_here(kind, name, app_name)
        raise NotFoundError(
            f"{kind} '{name}' was looked up in app '{app_name}', which is not deployed in this process "
            f"(deployed: {known}); call app.deploy() first"
        )
    return app


def not_running(wanted: str | None, app_name: str | None) -> ExecutionError:
    """Return the error for a call of `wanted` while its app does not run in this process."""
    try:
        check_callable_here("function or class", wanted, app_name)
    except ExecutionError as error:
        return error
    what = "" if wanted is None else f"'{wanted}' cannot be called: "
    return ExecutionError(
        f"{what}app '{app_name}' is not running; call it inside "
        "`with app.run():` or `async with app.run():`, or after app.deploy()"
    )


def check_callable_here(kind: str, name: str | None, app_name: str | None) -> None:
    """Refuse a call of something whose app does not run in this process, if this is the process of a container.

    Raises:
        ExecutionError: If it is; the app runs in the process that has started this one.
    """
    if in_container():
        raise ExecutionError(
            f"{kind} '{name}' of app '{app_name}' cannot be called from inside a process container; return what it "
            'needs and call it from outside, or give the caller backend="local"'
        )

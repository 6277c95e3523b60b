# SPDX-License-Identifier: Apache-2.0
"""The deployed apps of this process, by name."""

from __future__ import annotations

import threading
from typing import TYPE_CHECKING

from actorpool.exception import NotFoundError

if TYPE_CHECKING:
    from ._lifecycle import Lifecycle

__all__ = ["deployed", "deployed_app", "register", "unregister"]

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
        raise NotFoundError(
            f"{kind} '{name}' was looked up in app '{app_name}', which is not deployed in this process "
            f"(deployed: {known}); call app.deploy() first"
        )
    return app

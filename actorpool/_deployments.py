# SPDX-License-Identifier: Apache-2.0
"""The deployed apps of this process, by name; and what is asked for here but runs elsewhere."""

from __future__ import annotations

import sys
import threading
from contextlib import contextmanager
from contextvars import ContextVar
from typing import TYPE_CHECKING, Final
from weakref import WeakKeyDictionary

from attrs import frozen

from actorpool._backends._inside import in_container
from actorpool._backends._places import handle_at
from actorpool.exception import ExecutionError, NotFoundError

if TYPE_CHECKING:
    from collections.abc import Iterator

    from actorpool._actors._runtime import AppRuntime

    from ._lifecycle import Lifecycle

__all__ = [
    "AppRef",
    "RunsElsewhereError",
    "app_of",
    "began",
    "check_callable_here",
    "deployed",
    "deployed_app",
    "looked_up_for",
    "not_running",
    "register",
    "unregister",
]


class RunsElsewhereError(ExecutionError):
    """What is wanted belongs to an app of the process that has started this one."""


_lock = threading.Lock()
# {name: the app's life}; an entry lives from deploy to stop.
_apps: dict[str, Lifecycle] = {}
# {runtime: the life of its app}, to find what its containers ask for.
_lives: WeakKeyDictionary[AppRuntime, Lifecycle] = WeakKeyDictionary()
# The app whose process container asks; its handles know it by its name, deployed or not.
_asking: Final[ContextVar[Lifecycle | None]] = ContextVar("asking", default=None)


@frozen
class AppRef:
    """What one process knows an app of another by."""

    name: str | None
    place: tuple[str, str] | None = None
    """The module that has it, and what it is called there; None if that is not to be imported."""

    def life(self, kind: str, wanted: str) -> Lifecycle:
        """Return the app, in which the `kind` called `wanted` is looked up; raises as `deployed_app`."""
        place = self.place
        # A module that is not there has no app that could run.
        if place is None or not (in_container() or place[0] in sys.modules):
            return deployed_app(str(self.name), kind, wanted)
        life: Lifecycle = handle_at(*place).__actorpool_life__
        return life


@contextmanager
def looked_up_for(app: Lifecycle | None) -> Iterator[None]:
    """Look up apps for a process container of `app`, which goes by its name there."""
    token = _asking.set(app)
    try:
        yield
    finally:
        _asking.reset(token)


def began(runtime: AppRuntime, app: Lifecycle) -> None:
    """Note that `runtime` is a life of `app`."""
    with _lock:
        _lives[runtime] = app


def app_of(runtime: AppRuntime) -> Lifecycle | None:
    """Return whose life `runtime` is; None if that is gone."""
    with _lock:
        return _lives.get(runtime)


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
        RunsElsewhereError: If there is none, and this is the process of a container.
    """
    asking = _asking.get()
    if asking is not None and str(asking.called) == app_name:
        return asking
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
    """Refuse what only the app's own process can do, if this is the process of a container.

    Raises:
        RunsElsewhereError: If it is. Calls, settings and counts are carried to the process that has started this
            one; nothing else is.
    """
    if in_container():
        raise RunsElsewhereError(
            f"{kind} '{name}' of app '{app_name}' does not run in this process container: from here it can be "
            "called, and its settings and counts asked for; all else is for the process that runs the app"
        )

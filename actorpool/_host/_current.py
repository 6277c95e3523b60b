# SPDX-License-Identifier: Apache-2.0
"""Which loop runs in this thread: its host, and its bridge, of which there is one per loop.

Neither library is imported here before a loop of its runs: `import actorpool` is no reason to, and without either
there is no loop to be found.
"""

from __future__ import annotations

import functools
import sys
from typing import TYPE_CHECKING
from weakref import ReferenceType, ref

from ._errors import HostNotRunningError

if TYPE_CHECKING:
    import asyncio
    from collections.abc import Callable

    from ._base import Bridge, Host

__all__ = ["bridge_of", "current_bridge", "current_host"]


def _ask_asyncio_if_loaded() -> asyncio.AbstractEventLoop | None:
    # The package has the name only when asyncio has settled on its own answer, the one in C if there is one; while
    # another thread is still importing it, no loop can be running in this one.
    ask: Callable[[], asyncio.AbstractEventLoop | None] | None
    ask = getattr(sys.modules.get("asyncio"), "_get_running_loop", None)
    if ask is None:
        return None
    global _running_loop  # noqa: PLW0603 - one answer for the process, as asyncio has
    _running_loop = ask
    return _running_loop()


# Asked in the hot path, so asyncio's own function as soon as there is one.
_running_loop: Callable[[], asyncio.AbstractEventLoop | None] = _ask_asyncio_if_loaded

# {loop: bridge}; a bridge holds its loop weakly, so an entry goes with its loop.
_bridges: dict[ReferenceType[asyncio.AbstractEventLoop], Bridge] = {}


def _trio_says(question: str) -> bool:
    # getattr: another thread may be in the middle of importing trio.
    ask = getattr(sys.modules.get("trio.lowlevel"), question, None)
    return ask is not None and bool(ask())


# Cached, because an import statement costs too much for a hot path.
@functools.cache
def _trio_lookup() -> Callable[[], Host]:
    from ._trio import current_trio_host

    return current_trio_host


def current_bridge() -> Bridge | None:
    """Return the bridge of the loop that runs in this thread, None if there is none."""
    loop = _running_loop()
    # A trio run that is the guest of an asyncio loop has tasks during which that loop is "running" as well.
    if loop is not None and not ("trio.lowlevel" in sys.modules and _trio_says("in_trio_task")):
        return _bridges.get(ref(loop)) or bridge_of(loop)
    if "trio.lowlevel" in sys.modules and _trio_says("in_trio_run"):
        return _trio_lookup()().bridge
    return None


def bridge_of(loop: asyncio.AbstractEventLoop) -> Bridge:
    """Return the one bridge of `loop`, which may not be running yet; on its thread or before it has one."""
    bridge = _bridges.get(ref(loop))
    if bridge is None:
        from ._bridge import AsyncioBridge

        bridge = _bridges[ref(loop, _forget)] = AsyncioBridge(ref(loop))
    return bridge


def _forget(dead: ReferenceType[asyncio.AbstractEventLoop]) -> None:
    _bridges.pop(dead, None)


def current_host() -> Host:
    """Return the host of the loop that runs in this thread.

    Raises:
        HostNotRunningError: If no asyncio loop and no trio run is running in this thread.
    """
    loop = _running_loop()
    if loop is not None and not _trio_says("in_trio_task"):
        from ._asyncio import AsyncioHost

        return AsyncioHost(loop)
    if _trio_says("in_trio_run"):
        return _trio_lookup()()
    raise HostNotRunningError(
        "no asyncio loop and no trio run is running in this thread; call this from an async function"
    )

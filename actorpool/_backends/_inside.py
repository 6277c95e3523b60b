# SPDX-License-Identifier: Apache-2.0
"""Which kind of process this is: the user's own, a template, or a process container.

Set once, when a template or container begins; read by whoever must not do there what is fine in the user's process.
A container's process has a port, through which code in it speaks with the process that has started it.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, Final, Literal, Protocol

if TYPE_CHECKING:
    import threading
    from collections.abc import Callable

    from actorpool._core._input import Input
    from actorpool._host._base import Host
    from actorpool._wire._messages import Message

__all__ = ["Port", "become", "in_container", "in_template", "open_port", "port"]


class Port(Protocol):
    """What a container's process has for calls of its parent's functions."""

    host: Host
    """The loop that hears the parent."""
    ids: tuple[bytes, int]
    """What ids of calls are made from."""
    hear: Callable[[Any], None]
    """Called on the loop's thread with each `Answer`, `Item` and `Ended` that comes; set by who makes the calls."""

    def tell(self, message: Message) -> None:
        """Send `message`. Never blocks. Threads: any."""
        ...

    def wait(self, event: threading.Event) -> None:
        """Block until `event` is set, which something that is heard will do. Threads: any, also the loop's."""
        ...

    def shielded(self, function: Callable[..., Any], *args: Any) -> Any:
        """Return `function(*args)`, in which this thread is not interrupted."""
        ...

    def number_of(self, input: Input) -> int | None:
        """Return what messages call a running input; None if it has ended."""
        ...


_ports: list[Port] = []
_kind: list[Literal["template", "container"]] = []
_TEMPLATE: Final = "template"


def become(kind: Literal["template", "container"]) -> None:
    """Say what this process is from now on."""
    _kind[:] = [kind]


def open_port(port: Port) -> None:
    """Let `port` be this process's."""
    _ports[:] = [port]


def port() -> Port:
    """Return the port of this process, which is a container's."""
    return _ports[0]


def in_container() -> bool:
    """Whether this is the process of a container."""
    return _kind == ["container"]


def in_template() -> bool:
    """Whether this is a template, which imports the user's modules and must run nothing of theirs."""
    return _kind == [_TEMPLATE]

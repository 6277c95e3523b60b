# SPDX-License-Identifier: Apache-2.0
"""Which kind of process this is: the user's own, a template, or a process container.

Set once, when a template or container begins; read by whoever must not do there what is fine in the user's process.
"""

from __future__ import annotations

from typing import Final, Literal

__all__ = ["become", "in_container", "in_template"]

_kind: list[Literal["template", "container"]] = []
_TEMPLATE: Final = "template"


def become(kind: Literal["template", "container"]) -> None:
    """Say what this process is from now on."""
    _kind[:] = [kind]


def in_container() -> bool:
    """Whether this is the process of a container."""
    return _kind == ["container"]


def in_template() -> bool:
    """Whether this is a template, which imports the user's modules and must run nothing of theirs."""
    return _kind == [_TEMPLATE]

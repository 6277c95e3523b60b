# SPDX-License-Identifier: Apache-2.0
"""Which input the running code belongs to: one context variable, set in each input's own context."""

from __future__ import annotations

from contextvars import ContextVar
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from actorpool._core._input import Input

__all__ = ["current_input"]

current_input: ContextVar[Input | None] = ContextVar("actorpool_current_input", default=None)

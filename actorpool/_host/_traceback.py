# SPDX-License-Identifier: Apache-2.0
"""Tracebacks as the user wants them: the library's own frames do not stand above the user's."""

from __future__ import annotations

__all__ = ["trimmed"]


def trimmed(error: BaseException) -> BaseException:
    """Drop the library's leading frames from the traceback of what an input raised; return `error`."""
    traceback = error.__traceback__
    while traceback is not None and _is_ours(traceback.tb_frame.f_globals.get("__name__")):
        traceback = traceback.tb_next
    if traceback is not None:
        # Where nothing would be left the error came from the call itself, such as a wrong signature.
        error.__traceback__ = traceback
    return error


def _is_ours(module: object) -> bool:
    return isinstance(module, str) and module.startswith("actorpool.")

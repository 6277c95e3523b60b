# SPDX-License-Identifier: Apache-2.0
"""Tracebacks as the user wants them: the library's own frames do not stand above the user's."""

from __future__ import annotations

__all__ = ["RemoteTraceback", "trimmed"]


class RemoteTraceback(Exception):
    """Stands in the chain of an exception for the traceback it had in its own process.

    Attributes:
        text: The traceback, as it would have been printed there.
    """

    def __init__(self, text: str) -> None:
        super().__init__(text)
        self.text = text

    def __str__(self) -> str:
        return f'\n"""\n{self.text}"""'


def trimmed(error: BaseException) -> BaseException:
    """Drop the library's leading frames from the traceback of what an input raised; return `error`."""
    traceback = error.__traceback__
    while traceback is not None and _is_ours(traceback.tb_frame.f_globals.get("__name__")):
        traceback = traceback.tb_next
    if traceback is not None or _is_from_elsewhere(error):
        # Where nothing would be left the error came from the call itself, such as a wrong signature; or from another
        # process, and then the user's frames are in the text.
        error.__traceback__ = traceback
    return error


def _is_ours(module: object) -> bool:
    return isinstance(module, str) and module.startswith("actorpool.")


def _is_from_elsewhere(error: BaseException) -> bool:
    seen: set[int] = set()
    link: BaseException | None = error
    while link is not None and id(link) not in seen:
        if isinstance(link, RemoteTraceback):
            return True
        seen.add(id(link))
        link = link.__cause__ or link.__context__
    return False

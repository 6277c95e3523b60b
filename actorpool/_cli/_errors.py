# SPDX-License-Identifier: Apache-2.0
"""What the command line says when something fails: its own errors, and tracebacks of the user's code."""

from __future__ import annotations

import os
import traceback
from pathlib import Path
from traceback import StackSummary, TracebackException
from typing import Final

from actorpool import exception

__all__ = ["CommandError", "described"]

_PACKAGE: Final = f"{Path(exception.__file__).parent}{os.sep}"
# What may stand between the command and the user's first line.
_MACHINERY: Final = (
    "<frozen ",
    *(
        f"{Path(traceback.__file__).parent}{os.sep}{name}"
        for name in ("asyncio", "contextlib.py", "importlib")
    ),
)


class CommandError(Exception):
    """The command cannot be carried out as it was given; the message says what to write instead."""


def described(error: BaseException) -> str:
    """Return the traceback of `error` from the user's first line on, without the library's own frames.

    Where no line of the user's had a part in it, the message of one of the library's own exceptions says all;
    anything else is a bug of the library's, and is shown whole.
    """
    shown = TracebackException.from_exception(error, compact=True)
    says_all = isinstance(error, (exception.Error, SyntaxError)) and not isinstance(
        error, exception.InternalError
    )
    if not (_trim(shown) or says_all):
        shown = TracebackException.from_exception(error, compact=True)
    return "".join(shown.format())


def _trim(shown: TracebackException) -> bool:
    """Trim `shown` and all that is chained to it; return whether a line of the user's is left in any of it."""
    frames = [frame for frame in shown.stack if not frame.filename.startswith(_PACKAGE)]
    while frames and frames[0].filename.startswith(_MACHINERY):
        del frames[0]
    # Without a frame there is no headline either.
    shown.stack = StackSummary.from_list(frames) if frames else None  # type: ignore[assignment]
    chained = [shown.__cause__, shown.__context__, *(shown.exceptions or ())]
    found = [_trim(one) for one in chained if one is not None]
    return bool(frames) or any(found)

# SPDX-License-Identifier: Apache-2.0
"""`enable_output`: the library's log lines on stderr, for as long as a block lasts.

The lines are those of the loggers `actorpool` and `actorpool.scaling`; what users print is no business of this
module. It decides nothing about what is logged.
"""

from __future__ import annotations

import logging
import sys
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Final, TextIO

__all__ = ["enable_output"]

_logger: Final = logging.getLogger("actorpool")
_lock: Final = threading.Lock()


class _StderrHandler(logging.StreamHandler[TextIO]):
    """Writes to whatever `sys.stderr` is when the line comes."""

    def emit(self, record: logging.LogRecord) -> None:
        if _is_shown_elsewhere(record):
            return
        self.stream = sys.stderr
        super().emit(record)


class _Formatter(logging.Formatter):
    def format(self, record: logging.LogRecord) -> str:
        grade = f"{record.levelname.lower()}: " if record.levelno >= logging.WARNING else ""
        record.prefix = f"actorpool: {grade}"
        return super().format(record)


def _is_shown_elsewhere(record: logging.LogRecord) -> bool:
    """Whether the program's own logging writes this record to the terminal's streams already."""
    logger: logging.Logger | None = logging.getLogger(record.name)
    while logger is not None:
        for handler in logger.handlers:
            if (
                not isinstance(handler, _StderrHandler)
                and isinstance(handler, logging.StreamHandler)
                and handler.stream in (sys.stderr, sys.stdout)
                and record.levelno >= handler.level
            ):
                return True
        logger = logger.parent if logger.propagate else None
    return False


@contextmanager
def output_shown(*, level: int, timestamps: bool) -> Iterator[None]:
    """Show the lines of at least `level` while the block lasts; a block inside another one changes nothing."""
    with _lock:
        before = _logger.level
        if any(isinstance(handler, _StderrHandler) for handler in _logger.handlers):
            shown = None
        else:
            shown = _StderrHandler()
            shown.setLevel(level)
            moment = "%(asctime)s.%(msecs)03d " if timestamps else ""
            shown.setFormatter(_Formatter(f"{moment}%(prefix)s%(message)s", "%Y-%m-%d %H:%M:%S"))
            if before == logging.NOTSET:
                # Else the program has said what it wants to hear of. Never raised: others may listen too.
                _logger.setLevel(min(level, _logger.getEffectiveLevel()))
            _logger.addHandler(shown)
    try:
        yield
    finally:
        if shown is not None:
            with _lock:
                _logger.removeHandler(shown)
                _logger.setLevel(before)


@contextmanager
def enable_output(*, timestamps: bool = False) -> Iterator[None]:
    """Show on stderr what the library logs, while a script calls `app.run()` itself; yields nothing.

    Shown are the lines of the loggers `actorpool` (warnings, and failures nobody waits for) and
    `actorpool.scaling` (each decision that starts or stops containers). `actorpool run` does this by itself. A
    line that the program's own logging puts on the terminal is not shown twice; a level that the program has
    given the logger `actorpool` stays in force.

    Args:
        timestamps: Whether each line begins with the local date and time.

    Threads: Any; it holds for the whole process.
    """
    with output_shown(level=logging.INFO, timestamps=timestamps):
        yield

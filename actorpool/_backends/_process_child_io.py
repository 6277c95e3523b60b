# SPDX-License-Identifier: Apache-2.0
"""What a container's process prints and logs goes to the parent, in whole lines and records.

Lines are put together for each thread by itself, because one `print` is several writes; what a synchronous input
leaves unfinished is a line when it ends. What is written to the
descriptors 1 and 2 directly goes where the parent's goes.
"""

from __future__ import annotations

import codecs
import io
import logging
import sys
import threading
from typing import TYPE_CHECKING, Any, Final

from actorpool._wire._codec import encode
from actorpool._wire._faults import EncodeError
from actorpool._wire._messages import Output, Record

if TYPE_CHECKING:
    from collections.abc import Callable

    from ._interruptions import Interruptions

__all__ = ["LineWriter", "RecordHandler", "capture_logging", "capture_output"]

# A line of this many characters goes in pieces.
_LONGEST_LINE: Final = 1 << 16
_formatter: Final = logging.Formatter()


class LineWriter(io.TextIOBase):
    """Stands for `sys.stdout` or `sys.stderr`: posts whole lines. Threads: any."""

    # Why the types are ignored: typeshed has them as attributes of the class, for its own subclasses.
    encoding: str = "utf-8"  # type: ignore[misc,unused-ignore]
    errors: str = "surrogateescape"  # type: ignore[misc,unused-ignore]
    newlines = None

    def __init__(self, stream: int, post: Callable[[Output], object], interruptions: Interruptions) -> None:
        self._stream = stream
        self._post = post
        self._interruptions = interruptions
        self.parts: dict[int, str] = {}
        """{thread: what it has written of a line}"""
        self.buffer: io.BufferedIOBase = _Bytes(self)

    @property
    def name(self) -> str:
        """As the interpreter calls its own."""
        return "<stdout>" if self._stream == 1 else "<stderr>"

    @property
    def mode(self) -> str:
        """As the interpreter's own."""
        return "w"

    def fileno(self) -> int:
        """The descriptor that processes started from here inherit."""
        return self._stream

    def writable(self) -> bool:
        """Return True."""
        return True

    def write(self, text: str, /) -> int:
        """Post the lines that are complete; keep the rest for the thread's next write."""
        if not isinstance(text, str):
            raise TypeError(f"write() argument must be str, not {type(text).__name__}")
        self._interruptions.shielded(self._write, text)
        return len(text)

    def flush(self) -> None:
        """Do nothing: a line goes when it is whole."""

    def finish_line(self, thread: int) -> None:
        """Post what `thread` has left unfinished."""
        part = self.parts.pop(thread, None)
        if part is not None:
            self._post(Output(self._stream, part))

    def finish(self) -> None:
        """Post what anybody has left unfinished."""
        for thread in list(self.parts):
            self.finish_line(thread)

    def _write(self, text: str) -> None:
        thread = threading.get_ident()
        *lines, rest = (self.parts.pop(thread, "") + text).split("\n")
        while len(rest) > _LONGEST_LINE:
            lines.append(rest[:_LONGEST_LINE])
            rest = rest[_LONGEST_LINE:]
        if rest:
            self.parts[thread] = rest
        for line in lines:
            self._post(Output(self._stream, line))


class _Bytes(io.BufferedIOBase):
    """The `buffer` of a writer of lines."""

    def __init__(self, writer: LineWriter) -> None:
        self._writer = writer
        self._decoder = codecs.getincrementaldecoder("utf-8")("surrogateescape")

    def fileno(self) -> int:
        return self._writer.fileno()

    def writable(self) -> bool:
        return True

    def write(self, data: Any, /) -> int:
        view = memoryview(data)
        self._writer.write(self._decoder.decode(view))
        return view.nbytes


class RecordHandler(logging.Handler):
    """Posts each record. Threads: any."""

    def __init__(self, post: Callable[[Record], object], interruptions: Interruptions) -> None:
        super().__init__()
        self._post = post
        self._interruptions = interruptions

    def handle(self, record: logging.LogRecord) -> bool:
        """Post `record`, without the lock of handlers: an interrupted thread would keep it for ever."""
        if not self.filter(record):
            return False
        try:
            self._interruptions.shielded(self._send, record)
        except Exception:
            # As logging has it: what goes wrong with a record is told, and not raised where it was logged.
            self.handleError(record)
        return True

    def _send(self, record: logging.LogRecord) -> None:
        fields = dict(vars(record))
        fields["msg"], fields["args"] = record.getMessage(), None
        if record.exc_info and not record.exc_text:
            fields["exc_text"] = _formatter.formatException(record.exc_info)
        fields["exc_info"] = None
        try:
            payload = encode(fields)
        except EncodeError:
            # Something extra that the user's code has added.
            payload = encode({name: value for name, value in fields.items() if _is_plain(value)})
        self._post(Record(payload))


def capture_output(
    post: Callable[[Output], object], interruptions: Interruptions
) -> tuple[LineWriter, LineWriter]:
    """Let what this process prints go to `post`; return the two writers."""
    writers = LineWriter(1, post, interruptions), LineWriter(2, post, interruptions)
    sys.stdout, sys.stderr = writers
    return writers


def capture_logging(
    post: Callable[[Record], object], interruptions: Interruptions, levels: dict[str, int]
) -> None:
    """Let what this process logs go to `post`, and nowhere else: the parent's loggers have handlers of their own.

    Args:
        post: Takes the records.
        interruptions: What shields the posting.
        levels: `{name of a logger: its level}`, "" for the root.
    """
    handler = RecordHandler(post, interruptions)
    for logger in list(logging.Logger.manager.loggerDict.values()):
        if isinstance(logger, logging.Logger) and logger.handlers:
            # A user's module has set them when it was imported. One that does not propagate reaches no root.
            logger.handlers[:] = [] if logger.propagate else [handler]
    for name, level in levels.items():
        logging.getLogger(name or None).setLevel(level)
    logging.getLogger().handlers[:] = [handler]
    logging.lastResort = None


def _is_plain(value: object) -> bool:
    return value is None or isinstance(value, (str, int, float, bool))

# SPDX-License-Identifier: Apache-2.0
"""What can go wrong between processes. These exceptions hold data for messages; they decide nothing.

`EncodeError` is the caller's to mend (another argument), `ConnectionClosed` is an end and often a normal one; any
other `WireError` means that the peer is broken: its connection is of no further use.
"""

from __future__ import annotations

from actorpool.exception import Error

__all__ = ["ConnectionClosed", "DecodeError", "EncodeError", "WireError"]


class WireError(Error):
    """What came is no frame, message or value of this protocol: garbage, truncated, oversized, of another version."""


class DecodeError(WireError):
    """A pickled value cannot be unpickled in this process; the cause is `__cause__`."""


class ConnectionClosed(WireError):
    """The other end has closed the connection, or its process is gone."""


class EncodeError(WireError, TypeError):
    """A value can be neither packed nor pickled.

    Attributes:
        path: Where in the value the culprit is, such as `argument 2['lock']`.
        cause: Why it cannot be pickled.
    """

    def __init__(self, message: str, *, path: str = "", cause: BaseException | None = None) -> None:
        super().__init__(message)
        self.path = path
        self.cause = cause

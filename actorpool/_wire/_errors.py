# SPDX-License-Identifier: Apache-2.0
"""Exceptions that travel: by type where they can be pickled, as text where they cannot, with their traceback.

An exception is sent with all that it was caused by: each of the chain is pickled on its own, so that one which
cannot be pickled becomes a `RemoteError` with its type and text, and the others arrive. The traceback of the whole
chain travels as text. At the other end it hangs, as a `RemoteTraceback`, at the far end of the chain: it is printed
first and shifts no `__cause__` that the exception came with.
"""

from __future__ import annotations

import pickle
import sys
import traceback
from typing import Any, Final

from actorpool._host._traceback import RemoteTraceback
from actorpool.exception import RemoteError

from ._blobs import Payload
from ._codec import decode, encode
from ._faults import WireError
from ._pickling import dumps

__all__ = ["RemoteTraceback", "decode_error", "encode_error"]

_MAX_CHAIN: Final = 32
_MAX_TEXT: Final = 1 << 16


def encode_error(error: BaseException) -> Payload:
    """Encode an exception. Never fails: what cannot be pickled is sent as text.

    Threads: Any.
    """
    chain = _chain(error)
    at = {id(link): place for place, link in enumerate(chain)}
    links = [
        [
            _pickled(link),
            type(link).__qualname__,
            _text(link),
            at.get(id(link.__cause__)),
            at.get(id(link.__context__)),
            link.__suppress_context__,
        ]
        for link in chain
    ]
    return encode([_traceback(error), links])


def decode_error(payload: Payload) -> BaseException:
    """The exception, with `RemoteTraceback` at the end of its chain; `RemoteError` if it could not be (un)pickled.

    Raises:
        WireError: If the payload is malformed.

    Threads: Any.
    """
    try:
        text, links = decode(payload)
        errors = [_unpickled(link, name, described) for link, name, described, *_ in links]
        # Contexts before causes, for setting a cause decides whether the context is shown.
        for error, (*_, cause, context, suppress) in zip(errors, links, strict=True):
            if context is not None and errors[context] is not error:
                error.__context__ = errors[context]
            if cause is not None and errors[cause] is not error:
                error.__cause__ = errors[cause]
            error.__suppress_context__ = suppress
        error = errors[0]
        end = _end(error)
        end.__cause__ = RemoteTraceback(text)
    except WireError:
        raise
    except Exception as failure:
        # A value of any other shape than `encode_error` sends.
        raise WireError(f"an error is malformed: {type(failure).__name__}: {failure}") from failure
    return error


def _chain(error: BaseException) -> list[BaseException]:
    """The exception and what its causes and contexts lead to, without tracebacks of earlier journeys."""
    chain = [error]
    for link in chain:
        for further in (link.__cause__, link.__context__):
            known = any(further is one for one in chain)
            if further is not None and not known and not isinstance(further, RemoteTraceback):
                chain.append(further)
        if len(chain) >= _MAX_CHAIN:
            break
    return chain


def _end(error: BaseException) -> BaseException:
    """Where the printed chain of an exception ends."""
    seen = {id(error)}
    while True:
        further = error.__cause__
        if further is None and not error.__suppress_context__:
            further = error.__context__
        if further is None or id(further) in seen:
            return error
        seen.add(id(further))
        error = further


def _pickled(error: BaseException) -> bytes | None:
    try:
        return dumps(error, sys.maxsize)[0]
    except Exception:
        # Whatever its own `__reduce__` raises, or pickle: it will be sent as text.
        return None


def _unpickled(data: bytes | None, name: str, text: str) -> BaseException:
    reason = "it cannot be pickled"
    if data is not None:
        try:
            error: Any = pickle.loads(data)
        except Exception as failure:
            # Its module is missing here, its constructor takes other arguments than it was given, …
            reason = f"it cannot be unpickled: {type(failure).__name__}: {failure}"
        else:
            if isinstance(error, BaseException):
                return error
            reason = "its pickle is no exception"
    return RemoteError(f"{name}: {text} (sent as text, for {reason})")


def _text(error: BaseException) -> str:
    try:
        return _plain(str(error))
    except Exception as failure:
        # Of its own `__str__`.
        return f"<no text: {type(failure).__name__}>"


def _traceback(error: BaseException) -> str:
    try:
        return _plain("".join(traceback.format_exception(error)))
    except Exception as failure:
        # Of a `__str__` or `__repr__` on the way.
        return f"<no traceback: {type(failure).__name__}>"


def _plain(text: str) -> str:
    """Text that can be encoded, and the end of it if it is very long."""
    text = text if len(text) <= _MAX_TEXT else f"…{text[-_MAX_TEXT:]}"
    return text.encode("utf-8", "backslashreplace").decode("utf-8")

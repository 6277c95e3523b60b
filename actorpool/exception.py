# SPDX-License-Identifier: Apache-2.0
"""The exceptions actorpool raises, under the names Modal's users know.

All but the starred derive from `Error`. Each class says who can mend the cause; its message says what
happened, to which object, the numbers, and what to do. Data that a program may want to act on is an attribute.

* `InvalidError`, `NotFoundError`, `ExecutionError`: the caller's code is to be changed.
* `ResourceExhaustedError`: a limit was reached; the call may be tried again later.
* `FunctionTimeoutError`, `RemoteError`, `ContainerDiedError`: what became of one input.
* `InputCancellation`*, `AsyncUsageWarning`*: seen inside an input, or issued as a warning.
* `OutputExpiredError`: what became of the result of one call.
* `TraceError`: a file that was to be a recorded trace is none.
* `AlreadyExistsError`, `DeprecationError`*: never raised here. A program that was written for Modal may name
  them in an `except` clause or a warning filter, and is to run.

This module holds no behaviour and imports nothing of actorpool.
"""

from __future__ import annotations

__all__ = [
    "AlreadyExistsError",
    "AsyncUsageWarning",
    "ClosedError",
    "ConflictError",
    "ContainerDiedError",
    "ContainerStartError",
    "DeadlockError",
    "DeprecationError",
    "Error",
    "ExecutionError",
    "FunctionTimeoutError",
    "InputCancellation",
    "InternalError",
    "InvalidError",
    "NotFoundError",
    "OutputExpiredError",
    "RemoteError",
    "ResourceExhaustedError",
    "TimeoutError",
    "TraceError",
]


class Error(Exception):
    """Root of all exceptions that actorpool itself raises."""


class InvalidError(Error):
    """A name, value or call of the user's is wrong; the message says what to write instead."""


class ConflictError(InvalidError):
    """The call contradicts the present state of an object, such as running an app twice."""


class AlreadyExistsError(Error):
    """A name is taken. Never raised here: a newer definition or deployment replaces the older one."""


class NotFoundError(Error):
    """A lookup by name found nothing."""


class ExecutionError(Error):
    """The function cannot be called now: its app is not running, or it has no local definition."""


class ClosedError(ExecutionError):
    """The app was closed before the input could run; the input did not start."""


class DeadlockError(ExecutionError):
    """An input could never start: what it needs is held by inputs that wait for it, or for others like it.

    Attributes:
        chain: Names of the functions from the oldest ancestor to the refused input.
    """

    def __init__(self, message: str, *, chain: tuple[str, ...] = ()) -> None:
        super().__init__(message)
        self.chain = chain


class ContainerStartError(ExecutionError):
    """Containers failed to start several times in a row; the cause is `__cause__`.

    Attributes:
        failures: How many consecutive starts failed.
    """

    def __init__(self, message: str, *, failures: int = 0) -> None:
        super().__init__(message)
        self.failures = failures


class ResourceExhaustedError(Error):
    """Resource Exhausted: a limit of the function is reached; nothing already accepted is lost.

    Attributes:
        limit: The value of the limit that was reached (inclusive).
        limit_name: The field of `actorpool.Limits` that holds it.
        pending: Inputs pending when the call was refused.
        running: Inputs running when the call was refused.
        retry_after: Estimated seconds until a further call may be accepted.
    """

    def __init__(
        self,
        message: str,
        *,
        limit: int = 0,
        limit_name: str = "",
        pending: int = 0,
        running: int = 0,
        retry_after: float = 1.0,
    ) -> None:
        super().__init__(message)
        self.limit = limit
        self.limit_name = limit_name
        self.pending = pending
        self.running = running
        self.retry_after = retry_after


class RemoteError(Error):
    """An input ended without a result and without an exception of the user's: it was cancelled or lost."""


class ContainerDiedError(RemoteError):
    """The container that ran the input is gone: its process ended by itself or was killed.

    Attributes:
        exit_code: The status the process exited with; None if a signal ended it, or if nobody knows.
        signal: The number of the signal that ended it; None if it exited.
    """

    def __init__(self, message: str, *, exit_code: int | None = None, signal: int | None = None) -> None:
        super().__init__(message)
        self.exit_code = exit_code
        self.signal = signal


class TimeoutError(Error):
    """Base of actorpool's own timeouts; not the builtin, so that catching one does not catch the other."""


class FunctionTimeoutError(TimeoutError):
    """An input executed longer than its function's `timeout`.

    Attributes:
        timeout: The limit, in seconds.
    """

    def __init__(self, message: str, *, timeout: float = 0.0) -> None:
        super().__init__(message)
        self.timeout = timeout


class OutputExpiredError(TimeoutError):
    """The results of a function call that was found by its id are no longer kept.

    They are kept for `Limits.results_kept_s` after the call has ended, of each function the latest
    `Limits.results_kept`. An id that was never given out in this process is a `NotFoundError` instead.
    """


class TraceError(Error):
    """A file is no recorded trace, or not a whole one.

    Attributes:
        path: The file, as it was named.
    """

    def __init__(self, message: str, *, path: str = "") -> None:
        super().__init__(message)
        self.path = path


class InternalError(Error):
    """A bug of actorpool's own; please report it with its traceback."""


class InputCancellation(BaseException):
    """Raised in a synchronous input that is cancelled and has its process container to itself.

    An asynchronous input gets its event loop's own cancellation; a thread of this process cannot be interrupted.
    """


class DeprecationError(UserWarning):
    """A name or argument has been replaced. Never issued here: what Modal has renamed is refused."""


class AsyncUsageWarning(UserWarning):
    """A blocking verb was used on the thread of a running event loop, which stands still meanwhile."""

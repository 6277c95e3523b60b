# SPDX-License-Identifier: Apache-2.0
"""What the operating system tells of a process: how big it is, and how it ended."""

from __future__ import annotations

import os
import signal

from actorpool.exception import ContainerDiedError

__all__ = ["death_of", "resident_bytes"]


def resident_bytes(pid: int) -> int | None:
    """Return the resident memory of a process; None if it is gone, or where only `ps` could tell."""
    try:
        with open(f"/proc/{pid}/statm", "rb") as file:
            return int(file.read().split()[1]) * os.sysconf("SC_PAGE_SIZE")
    except (OSError, IndexError, ValueError):
        return None


def death_of(status: int | None) -> ContainerDiedError:
    """Return how a process ended, from its wait status; None if nobody knows."""
    if status is None:
        return ContainerDiedError("its process ended, and nobody knows how: its template ended before")
    code = os.waitstatus_to_exitcode(status)
    if code >= 0:
        return ContainerDiedError(f"its process exited with code {code}", exit_code=code)
    try:
        name = signal.Signals(-code).name
    except ValueError:
        name = "a signal without a name"
    return ContainerDiedError(f"its process was killed by signal {-code} ({name})", signal=-code)

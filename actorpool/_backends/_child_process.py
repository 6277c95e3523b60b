# SPDX-License-Identifier: Apache-2.0
"""How a process of ours begins: what it must not have from the process it comes from.

Used by templates and by the containers' processes; runs before any user code of theirs.
"""

from __future__ import annotations

import ctypes
import gc
import importlib
import os
import signal
import subprocess
import sys
from collections.abc import Callable, Sequence
from typing import Final

__all__ = [
    "adopt_settings",
    "begin_container",
    "die_with",
    "interpreter_command",
    "lead_group",
    "prepare_to_fork",
    "quiet_stdin",
    "reset_signals",
]

_PR_SET_PDEATHSIG: Final = 1
_prctl: list[Callable[..., int]] = []


def interpreter_command(module: str, call: str) -> list[str]:
    """Return the command line of a fresh interpreter like this one, which finds modules alike and runs `call`."""
    flags: list[str] = subprocess._args_from_interpreter_flags()  # type: ignore[attr-defined]
    code = f"import sys; sys.path[:] = {[os.fsdecode(path) for path in sys.path]!r}; from {module} import main; {call}"
    return [sys.executable, *flags, "-c", code]


def adopt_settings(sys_path: Sequence[str], argv: Sequence[str], cwd: str | None = None) -> None:
    """Find modules, and see the command line and the folder, as the parent does."""
    sys.path[:] = sys_path
    sys.argv[:] = argv
    if cwd is not None:
        try:
            os.chdir(cwd)
        except OSError:
            # It is gone; the folder that this process began in is as good as any.
            pass
    importlib.invalidate_caches()


def quiet_stdin() -> None:
    """Let standard input be empty: the terminal is the parent's."""
    null = os.open(os.devnull, os.O_RDONLY)
    os.dup2(null, 0)
    os.close(null)


def lead_group(pid: int = 0) -> None:
    """Make this process, or its fresh fork `pid`, the leader of a process group: no terminal's signals come here."""
    try:
        os.setpgid(pid, pid)
    except OSError:
        # The fork has done so, or has ended.
        return


def reset_signals() -> None:
    """Forget every handler written in Python, and let every signal through; Ctrl-C is the parent's to decide on.

    What is ignored stays ignored, as `nohup` wants it.
    """
    signal.set_wakeup_fd(-1)
    for number in signal.valid_signals():
        if callable(signal.getsignal(number)):
            signal.signal(number, signal.SIG_DFL)
    signal.signal(signal.SIGINT, signal.SIG_IGN)
    signal.pthread_sigmask(signal.SIG_SETMASK, ())


def prepare_to_fork() -> None:
    """Let what is in memory now be shared by all forks that follow."""
    if sys.platform == "linux" and not _prctl:
        # Looked up here, so that a fork need not.
        _prctl.append(ctypes.CDLL(None).prctl)
    gc.collect()
    # The collector writes to what it visits, which would copy every page.
    gc.freeze()


def die_with(parent: int) -> None:
    """End when the process `parent`, which has made this one, ends; at once if it has ended already.

    On Linux the kernel sees to it: it counts the thread that forked as the parent, so that thread must be the
    only one. Elsewhere the end of the socket is all there is.
    """
    if sys.platform == "linux":
        prctl = _prctl[0] if _prctl else ctypes.CDLL(None).prctl
        prctl(_PR_SET_PDEATHSIG, int(signal.SIGKILL), 0, 0, 0)
    # The parent may have ended before the line above.
    if os.getppid() != parent:
        os._exit(0)


def begin_container() -> None:
    """Give a fresh fork a collector, and chances, of its own; those of `random` are new in each fork anyway."""
    gc.enable()
    numpy_random = sys.modules.get("numpy.random")
    if numpy_random is not None:
        numpy_random.seed()

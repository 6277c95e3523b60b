# SPDX-License-Identifier: Apache-2.0
"""Ctrl-C in a script that runs its app itself: each interruption goes a step further, and nothing is left."""

from __future__ import annotations

import signal
import threading
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

import actorpool as modal
from tests.cli.support import PREAMBLE, Process


@pytest.fixture
def interrupt() -> Iterator[Callable[[], None]]:
    """Send SIGINT, which raises KeyboardInterrupt, to the main thread, from any thread."""
    main = threading.main_thread().ident
    assert main is not None
    before = signal.signal(signal.SIGINT, signal.default_int_handler)
    yield lambda: signal.pthread_kill(main, signal.SIGINT)
    signal.signal(signal.SIGINT, before)


def test_an_interruption_of_the_block_cancels_what_runs(interrupt: Callable[[], None]) -> None:
    app = modal.App("interrupted")
    seen: list[str] = []

    @app.cls()
    class Holder:
        @modal.exit()
        def leave(self) -> None:
            seen.append("exit hook")

        @modal.method()
        def hold(self) -> None:
            interrupt()
            ended.wait()

    ended = threading.Event()
    with pytest.raises(KeyboardInterrupt), app.run():
        try:
            Holder().hold.remote()
        finally:
            ended.set()

    assert ["exit hook"] == seen


def test_an_interruption_of_the_drain_ends_it_and_runs_the_exit_hooks(interrupt: Callable[[], None]) -> None:
    app = modal.App("interrupted")
    seen: list[str] = []

    @app.function()
    async def hold() -> None:
        try:
            # The block has been left: the app waits for this input.
            while app.is_accepting():
                await modal_sleep()
            interrupt()
            await forever()
        finally:
            seen.append("cancelled")

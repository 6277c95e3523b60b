# SPDX-License-Identifier: Apache-2.0
"""Ctrl-C in a script that runs its app itself: each interruption goes a step further, and nothing is left."""

from __future__ import annotations

import asyncio
import signal
import threading
from collections.abc import Callable, Iterator

import pytest

import actorpool as modal


@pytest.fixture
def interrupt() -> Iterator[Callable[[threading.Event], None]]:
    """Interrupt the main thread, from any other, until the event is set.

    Python loses a signal that comes just before a lock puts the main thread to sleep; hence more than one.
    """
    main = threading.main_thread().ident
    assert main is not None
    before = signal.signal(signal.SIGINT, signal.default_int_handler)

    def send(until: threading.Event) -> None:
        signal.pthread_kill(main, signal.SIGINT)
        while not until.wait(0.5):
            signal.pthread_kill(main, signal.SIGINT)

    yield send
    signal.signal(signal.SIGINT, before)


def test_an_interruption_of_the_block_cancels_what_runs_and_runs_the_exit_hooks(
    interrupt: Callable[[threading.Event], None],
) -> None:
    app = modal.App("interrupted")
    interrupted = threading.Event()
    seen: list[str] = []

    @app.cls()
    class Holder:
        @modal.exit()
        def leave(self) -> None:
            seen.append("exit hook")

        @modal.method()
        def hold(self) -> None:
            interrupt(interrupted)

    def script() -> None:
        with app.run():
            try:
                Holder().hold.remote()
            finally:
                interrupted.set()

    with pytest.raises(KeyboardInterrupt):
        script()

    assert ["exit hook"] == seen


def test_an_interruption_of_the_drain_cancels_what_runs(
    interrupt: Callable[[threading.Event], None],
) -> None:
    app = modal.App("interrupted")
    cancelled = threading.Event()

    @app.function()
    async def hold() -> None:
        while "not running" not in repr(app):
            # The block has not been left yet.
            await asyncio.sleep(0)
        threading.Thread(target=interrupt, args=[cancelled]).start()
        try:
            await asyncio.Event().wait()
        finally:
            cancelled.set()

    with pytest.raises(KeyboardInterrupt), app.run(grace=60):
        hold.spawn()

    assert cancelled.is_set()


def test_an_interruption_of_the_exit_hooks_leaves_at_once(
    interrupt: Callable[[threading.Event], None],
) -> None:
    app = modal.App("interrupted")
    interrupted = threading.Event()

    @app.cls()
    class Hooked:
        @modal.exit()
        def leave(self) -> None:
            interrupt(interrupted)

        @modal.method()
        def ready(self) -> str:
            return "ready"

    def script() -> None:
        with app.run(grace=60):
            assert "ready" == Hooked().ready.remote()
            raise LookupError

    with pytest.raises(KeyboardInterrupt):
        script()

    assert "not running" in repr(app)
    # Until now the hook was on its way, on a thread that nobody waited for.
    interrupted.set()


def test_an_app_that_cannot_start_is_not_left_running() -> None:
    app = modal.App("halfway")

    @app.cls(min_containers=1)
    class Broken:
        size: int = modal.parameter(default="not an int")

        @modal.method()
        def ready(self) -> None: ...

    for _ in range(2):
        with pytest.raises(TypeError, match="must be int"), app.run():
            pass
        assert "not running" in repr(app)

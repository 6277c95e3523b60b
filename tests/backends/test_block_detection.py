# SPDX-License-Identifier: Apache-2.0
"""An asynchronous function that blocks the loop is named, with the time and the line; nobody else is.

The loop is really blocked here, and really watched: blocks are several thresholds long, and where something must
be seen it may be tried again, since a busy machine can keep the watch's thread from looking.
"""

from __future__ import annotations

import asyncio
import inspect
import logging
import re
import threading
import time
from collections.abc import Awaitable, Callable
from contextvars import Context
from typing import Any
from weakref import ref

import pytest
import trio

import actorpool as modal
from actorpool._backends._workload import Target
from actorpool._core._input import Input
from actorpool._host import _watchdog
from actorpool._host._asyncio_watchdog import AsyncioSteps
from actorpool._host._current import current_host
from actorpool._host._trio import TrioHost
from actorpool._host._trio_watchdog import TrioSteps
from actorpool._host._watchdog import NO_WATCH, BlockWatch, Step
from actorpool.exception import InvalidError
from tests.api.support import PATIENCE_S, event, gather, sleep
from tests.hosts import run_on, settle

Run = Callable[..., Any]

THRESHOLD_S = 0.02
BLOCK_S = 0.08
# Where nothing may be reported: a step of well-behaved code may last this long on a busy machine.
TOLERANT_S = 0.08


def warnings(caplog: pytest.LogCaptureFixture) -> list[str]:
    return [record.getMessage() for record in caplog.records if "the event loop" in record.getMessage()]


def watch_threads() -> list[threading.Thread]:
    return [thread for thread in threading.enumerate() if thread.name == "actorpool block watch"]


async def until_warned(caplog: pytest.LogCaptureFixture, block: Callable[[], Awaitable[object]]) -> str:
    """Await `block()`, again if need be, until there is a warning; return the first."""
    deadline = time.monotonic() + PATIENCE_S
    while not warnings(caplog):
        assert time.monotonic() < deadline, "no block was reported"
        await block()
        # The watch looks again, and finds that it is over.
        await sleep(THRESHOLD_S)
    return warnings(caplog)[0]


def test_S22_the_warning_has_the_functions_name_the_measured_time_and_the_line(
    run: Run, caplog: pytest.LogCaptureFixture
) -> None:
    app = modal.App("my-app", block_warning=THRESHOLD_S)
    lines: list[int] = []
    longest_s = 0.0

    @app.function(name="resize")
    async def blocking() -> None:
        lines.append(inspect.currentframe().f_lineno + 1)  # type: ignore[union-attr]
        time.sleep(BLOCK_S)

    async def block() -> None:
        nonlocal longest_s
        began_at = time.monotonic()
        await blocking.remote.aio()
        longest_s = max(longest_s, time.monotonic() - began_at)

    async def main() -> None:
        async with app.run():
            await until_warned(caplog, block)

    run(main)

    (message,) = warnings(caplog)
    found = re.fullmatch(
        r"async function 'resize' blocked the event loop for (\d\.\d\d) s \((.*)\); (.*)", message
    )
    assert found is not None
    # The beginning is known to within an interval.
    assert THRESHOLD_S <= float(found[1]) <= longest_s + THRESHOLD_S / 4
    assert f"at test_block_detection.py:{lines[0]} in blocking: time.sleep(BLOCK_S)" == found[2]
    assert "await there, or make it a plain function so that it runs in a thread" == found[3]
    assert logging.WARNING == next(r.levelno for r in caplog.records if r.getMessage() == message)


def test_a_later_step_of_a_helper_task_counts_as_the_functions_own(
    run: Run, caplog: pytest.LogCaptureFixture
) -> None:
    app = modal.App("my-app", block_warning=THRESHOLD_S)

    async def helper() -> None:
        await sleep(0)
        time.sleep(BLOCK_S)

    @app.function()
    async def parent() -> None:
        await gather(helper)

    async def main() -> None:
        async with app.run():
            message = await until_warned(caplog, parent.remote.aio)
            assert message.startswith("async function 'parent' blocked")
            assert "in helper: time.sleep(BLOCK_S))" in message

    run(main)


def test_a_method_is_named_with_its_class_and_the_line_is_in_its_own_package(
    caplog: pytest.LogCaptureFixture,
) -> None:
    app = modal.App("my-app", block_warning=THRESHOLD_S)

    @app.cls()
    class Model:
        @modal.method()
        async def predict(self) -> None:
            # What blocks is deep in somebody else's code.
            threading.Event().wait(BLOCK_S)

    async def main() -> None:
        async with app.run():
            message = await until_warned(caplog, Model().predict.remote.aio)
            assert message.startswith("async function 'Model.predict' blocked")
            assert "in predict: threading.Event().wait(BLOCK_S))" in message

    run_on("asyncio", main)


def test_a_function_that_has_no_part_in_its_block_is_shown_the_innermost_line(
    caplog: pytest.LogCaptureFixture,
) -> None:
    app = modal.App("my-app", block_warning=THRESHOLD_S)

    async def foreign() -> None:
        threading.Event().wait(BLOCK_S)

    foreign.__module__ = "elsewhere"
    function = app.function()(foreign)

    async def main() -> None:
        async with app.run():
            assert "(at threading.py:" in await until_warned(caplog, function.remote.aio)

    run_on("asyncio", main)


def test_sync_functions_and_well_behaved_ones_are_never_reported(
    run: Run, caplog: pytest.LogCaptureFixture
) -> None:
    app = modal.App("my-app", block_warning=TOLERANT_S)

    @app.function()
    def sync() -> None:
        time.sleep(1.5 * TOLERANT_S)

    @app.function()
    async def patient() -> None:
        await sleep(1.5 * TOLERANT_S)

    @app.function()
    async def busy(x: int) -> int:
        return x + 1

    async def many() -> None:
        deadline = time.monotonic() + 1.5 * TOLERANT_S
        while time.monotonic() < deadline:
            async for _ in busy.map.aio(range(100)):
                pass

    async def main() -> None:
        async with app.run():
            assert [None] * 3 == await gather(sync.remote.aio, patient.remote.aio, many)

    run(main)

    assert [] == warnings(caplog)


def test_what_the_services_own_code_blocks_is_not_put_on_a_waiting_function(
    run: Run, caplog: pytest.LogCaptureFixture
) -> None:
    app = modal.App("my-app", block_warning=THRESHOLD_S)

    @app.function()
    async def waiting(gate: Any) -> None:
        await gate.wait()

    async def main() -> None:
        gate = event()

        async def own_code() -> None:
            await settle()
            time.sleep(BLOCK_S)
            gate.set()

        async with app.run():
            await gather(lambda: waiting.remote.aio(gate), own_code)

    run(main)

    assert [] == warnings(caplog)


@pytest.mark.parametrize("host", ["asyncio", "trio"])
def test_it_can_be_turned_off_for_one_app_while_another_on_the_same_loop_has_it(
    host: str, caplog: pytest.LogCaptureFixture
) -> None:
    off = modal.App("off", block_warning=None)
    on = modal.App("on", block_warning=THRESHOLD_S)

    @off.function()
    async def unwatched() -> None:
        time.sleep(BLOCK_S)

    @on.function()
    async def waiting(gate: Any) -> None:
        await gate.wait()

    async def main() -> None:
        async with off.run():
            gate = event()

            async def block() -> None:
                await settle()
                assert 1 == len(watch_threads())
                await unwatched.remote.aio()
                gate.set()

            async with on.run():
                await gather(lambda: waiting.remote.aio(gate), block)

    run_on(host, main)

    assert [] == warnings(caplog)


@pytest.mark.parametrize("host", ["asyncio", "trio"])
def test_a_long_call_into_c_that_keeps_the_interpreter_to_itself_is_seen(
    host: str, caplog: pytest.LogCaptureFixture
) -> None:
    if not hasattr(time, "pthread_getcpuclockid"):
        # Said in the module: this platform has no clock of another thread's computing.
        return
    app = modal.App("my-app", block_warning=THRESHOLD_S)
    numbers = 6_000_000

    @app.function()
    async def adding() -> None:
        sum(range(numbers))

    async def block() -> None:
        nonlocal numbers
        began_at = time.monotonic()
        await adding.remote.aio()
        if time.monotonic() - began_at < BLOCK_S:
            numbers *= 2

    async def main() -> None:
        async with app.run():
            message = await until_warned(caplog, block)
            assert message.startswith("async function 'adding' blocked")
            assert "in adding: sum(range(numbers)))" in message

    run_on(host, main)


def test_the_watch_ends_when_nothing_has_run_for_a_while_and_starts_with_the_next_input(
    run: Run, caplog: pytest.LogCaptureFixture, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(_watchdog, "LINGER_S", 0.01)
    app = modal.App("my-app", block_warning=THRESHOLD_S)

    @app.function()
    async def quick() -> None:
        return

    @app.function()
    async def waiting(gate: Any) -> None:
        await gate.wait()
        time.sleep(BLOCK_S)

    async def ended(thread: threading.Thread) -> None:
        deadline = time.monotonic() + PATIENCE_S
        while thread.is_alive():
            assert time.monotonic() < deadline
            await sleep(THRESHOLD_S)

    async def main() -> None:
        async with app.run():
            assert [] == watch_threads()
            await quick.remote.aio()
            (first,) = watch_threads()
            await ended(first)
            # On trio nothing is hooked into the run any more.
            await settle()
            watch = app._life.runtime().watch
            assert isinstance(watch, BlockWatch)
            assert not getattr(watch._steps, "_hooked", False)

            async def block() -> None:
                gate = event()

                async def open_late() -> None:
                    # An input that only waits keeps the watch up.
                    await sleep(3 * 0.01)
                    (second,) = watch_threads()
                    assert second is not first
                    gate.set()

                assert [None] * 2 == await gather(lambda: waiting.remote.aio(gate), open_late)

            assert "'waiting'" in await until_warned(caplog, block)
        assert [] == watch_threads()

    run(main)


def test_no_thread_outlives_the_last_container(run: Run) -> None:
    app = modal.App("my-app")

    @app.function(scaledown_window=0.01)
    async def quick() -> None:
        return

    async def main() -> None:
        async with app.run():
            await quick.remote.aio()
            assert 1 == len(watch_threads())
            while quick.statistics().containers:
                await sleep(0.005)
            assert [] == watch_threads()
            await quick.remote.aio()
            assert 1 == len(watch_threads())
        assert [] == watch_threads()

    run(main)


def test_no_thread_outlives_a_loop_that_was_closed_under_its_app() -> None:
    app = modal.App("my-app", block_warning=THRESHOLD_S)

    @app.function()
    async def quick() -> None:
        return

    async def main() -> None:
        await app.run().__aenter__()
        await quick.remote.aio()

    loop = asyncio.new_event_loop()
    loop.run_until_complete(main())
    (thread,) = watch_threads()
    for task in asyncio.all_tasks(loop):
        # Nobody will ever run them; say so, or they complain.
        task._log_destroy_pending = False  # type: ignore[attr-defined]
    loop.close()
    thread.join(PATIENCE_S)
    assert not thread.is_alive()


def test_nothing_watches_on_a_virtual_clock(run_virtually: Run) -> None:
    app = modal.App("my-app")

    @app.function()
    async def quick() -> None:
        return

    async def main() -> None:
        async with app.run():
            await quick.remote.aio()
            assert NO_WATCH is app._life.runtime().watch
            assert [] == watch_threads()

    run_virtually(main)


def test_an_engine_thread_is_watched_like_any_loop(caplog: pytest.LogCaptureFixture) -> None:
    app = modal.App("my-app", block_warning=THRESHOLD_S)

    @app.function()
    async def blocking() -> None:
        time.sleep(BLOCK_S)

    with app.run():
        deadline = time.monotonic() + PATIENCE_S
        while not warnings(caplog):
            assert time.monotonic() < deadline
            blocking.remote()
            time.sleep(THRESHOLD_S)

    assert warnings(caplog)[0].startswith("async function 'blocking' blocked")
    assert [] == watch_threads()


@pytest.mark.parametrize("value", [0, -1, float("nan"), float("inf"), True, "0.1"])
def test_the_threshold_is_checked(value: Any) -> None:
    with pytest.raises(InvalidError, match="block_warning"):
        modal.App("my-app", block_warning=value)


def test_the_trio_run_is_hooked_once_and_only_while_wanted() -> None:
    async def main() -> None:
        host = current_host()
        assert isinstance(host, TrioHost)
        steps = TrioSteps(host)
        steps.hook(0.01)
        steps.hook(0.01)
        steps.unhook(lambda: True)
        await sleep(0)
        assert steps._task is not None
        steps.unhook(lambda: False)
        steps.unhook(lambda: False)
        await sleep(0)
        assert steps._task is None

    trio.run(main)


def test_a_step_that_was_over_before_it_was_pinned_has_ended() -> None:
    input = Input(Target("f", _nothing, True), (), None, Context())

    def step_of(task: Any) -> Step:
        return Step(ref(task), ref(input), input.target, 0.0)

    async def on_asyncio() -> Step:
        loop = asyncio.get_running_loop()
        other = asyncio.ensure_future(asyncio.sleep(0))
        step = step_of(other)
        AsyncioSteps(loop).pin(step)
        await other
        return step

    async def on_trio() -> Step:
        host = current_host()
        assert isinstance(host, TrioHost)
        steps = TrioSteps(host)
        # As when the run goes on while its step is being looked at.
        steps._task = trio.lowlevel.current_task()
        step = step_of(host)
        steps.pin(step)
        return step

    for step in (asyncio.run(on_asyncio()), trio.run(on_trio)):
        assert step.ended_at is not None


def test_a_loop_that_is_gone_is_asked_for_nothing() -> None:
    input = Input(Target("f", _nothing, True), (), None, Context())
    step = Step(ref(input), ref(input), input.target)
    loop = asyncio.new_event_loop()
    loop.close()
    AsyncioSteps(loop).pin(step)
    assert step.ended_at is not None

    async def on_trio() -> TrioSteps:
        host = current_host()
        assert isinstance(host, TrioHost)
        return TrioSteps(host)

    steps = trio.run(on_trio)
    steps.unhook(lambda: False)


def _nothing() -> None:
    pass

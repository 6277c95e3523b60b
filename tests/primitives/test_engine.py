# SPDX-License-Identifier: Apache-2.0
"""The engine thread: serves threads that have no loop, and leaves nothing (the leftovers fixture looks too)."""

from __future__ import annotations

import asyncio
import contextvars
import sys
import threading
from collections.abc import Iterator
from typing import Any

import pytest

from actorpool._host import _engine
from actorpool._host._current import current_host
from actorpool._host._engine import EngineThread
from actorpool._host._errors import HostClosedError
from actorpool._host._thread_waits import ThreadWaiter
from actorpool.exception import InvalidError


class OopsError(Exception):
    pass


@pytest.fixture
def engine() -> Iterator[EngineThread]:
    engine = EngineThread("engine under test")
    engine.start()
    yield engine
    engine.stop()


async def answer(value: int) -> int:
    await asyncio.sleep(0)
    return value


async def sleep_for_ever(begun: ThreadWaiter | None = None) -> None:
    if begun is not None:
        begun.notify()
    await asyncio.Event().wait()


def test_run_returns_the_result(engine: EngineThread) -> None:
    assert 42 == engine.run(answer, 42)


def test_run_raises_what_the_function_raises(engine: EngineThread) -> None:
    async def fail() -> None:
        raise OopsError("remote")

    with pytest.raises(OopsError, match="remote"):
        engine.run(fail)


@pytest.mark.parametrize("error", [SystemExit, KeyboardInterrupt, asyncio.CancelledError])
def test_run_raises_an_exit_request_and_the_engine_lives_on(
    engine: EngineThread, error: type[BaseException]
) -> None:
    async def fail() -> None:
        raise error

    with pytest.raises(error):
        engine.run(fail)
    assert 1 == engine.run(answer, 1)


def test_another_task_that_asks_to_exit_is_logged_and_the_engine_lives_on(
    engine: EngineThread, caplog: pytest.LogCaptureFixture
) -> None:
    async def leave() -> None:
        raise SystemExit(3)

    async def start() -> asyncio.Task[None]:
        return asyncio.create_task(leave())

    async def retrieve(task: asyncio.Task[None]) -> None:
        await asyncio.wait([task])
        assert isinstance(task.exception(), SystemExit)

    engine.run(retrieve, engine.run(start))
    assert ["a task of engine thread"] == [record.message.split(" '")[0] for record in caplog.records]


def test_run_carries_the_callers_context(engine: EngineThread) -> None:
    variable = contextvars.ContextVar("variable", default="unset")

    async def ask() -> str:
        return variable.get()

    variable.set("of the caller")
    assert "of the caller" == engine.run(ask)


def test_the_engine_has_the_host_and_bridge_of_its_loop(engine: EngineThread) -> None:
    async def ask() -> tuple[Any, str]:
        return current_host().bridge, threading.current_thread().name

    assert (engine.bridge, "engine under test") == engine.run(ask)
    assert engine.host.loop is not None
    assert not engine.bridge.is_current()


def test_threads_share_an_engine(engine: EngineThread) -> None:
    answers: list[int] = []
    threads = [
        threading.Thread(target=lambda n=number: answers.append(engine.run(answer, n))) for number in range(8)
    ]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert list(range(8)) == sorted(answers)


def test_run_and_stop_refuse_to_wait_for_themselves(engine: EngineThread) -> None:
    async def nest() -> None:
        with pytest.raises(InvalidError, match="await it"):
            engine.run(answer, 1)
        with pytest.raises(InvalidError, match="use another"):
            engine.stop()

    engine.run(nest)


def test_an_engine_that_was_not_started_has_no_host() -> None:
    engine = EngineThread("cold")
    with pytest.raises(HostClosedError, match="start"):
        engine.run(answer, 1)
    engine.stop()


def test_an_engine_that_cannot_make_a_loop_says_so(monkeypatch: pytest.MonkeyPatch) -> None:
    def fail() -> None:
        raise OSError("too many open files")

    monkeypatch.setattr(_engine, "_new_loop", fail)
    engine = EngineThread("no loop")
    for _ in range(2):
        with pytest.raises(OSError, match="too many"):
            engine.start()
    engine.stop()


def test_starting_and_stopping_twice_is_fine() -> None:
    engine = EngineThread("twice")
    engine.start()
    engine.start()
    engine.stop()
    engine.stop()
    with pytest.raises(HostClosedError, match="stopped"):
        engine.run(answer, 1)


def test_stop_cancels_what_is_left_and_tells_those_who_wait() -> None:
    engine = EngineThread("stopped")
    engine.start()
    begun = ThreadWaiter()
    caught: list[BaseException] = []

    def wait() -> None:
        try:
            engine.run(sleep_for_ever, begun)
        except HostClosedError as error:
            caught.append(error)

    thread = threading.Thread(target=wait)
    thread.start()
    begun.wait()
    engine.stop()
    thread.join()
    assert [HostClosedError] == [type(error) for error in caught]


def test_an_outcome_that_was_not_taken_before_the_stop_is_kept() -> None:
    run = _engine._Run(answer, (1,))

    async def main() -> None:
        run.start()
        await asyncio.sleep(0)
        await asyncio.sleep(0)
        await asyncio.sleep(0)

    asyncio.run(main())
    run.fail(HostClosedError())
    assert (1, None) == (run.result, run.error)


def test_stop_ends_generators_and_executor_threads() -> None:
    engine = EngineThread("generators")
    engine.start()
    steps: list[str] = []

    async def generate() -> Any:
        try:
            yield 1
        finally:
            steps.append("generator ended")

    kept: list[Any] = []

    async def use() -> int:
        kept.append(generate())
        await asyncio.to_thread(steps.append, "in a thread")
        return await anext(kept[0])

    assert 1 == engine.run(use)
    engine.stop()
    assert ["in a thread", "generator ended"] == steps


def test_a_post_that_the_loop_never_ran_is_answered(monkeypatch: pytest.MonkeyPatch) -> None:
    """The loop may stop between the post of a call and its turn."""
    engine = EngineThread("never run")
    engine.start()
    bridge = engine.bridge
    monkeypatch.setattr(type(bridge), "post", lambda *_: None)
    caught: list[BaseException] = []

    def wait() -> None:
        try:
            engine.run(answer, 1)
        except HostClosedError as error:
            caught.append(error)

    thread = threading.Thread(target=wait)
    thread.start()
    while not engine._runs:
        thread.join(0.001)
    monkeypatch.undo()
    engine.stop()
    thread.join()
    assert 1 == len(caught)


def test_a_loop_that_closes_under_a_call_is_reported(
    engine: EngineThread, monkeypatch: pytest.MonkeyPatch
) -> None:
    def refuse(*_: Any) -> None:
        raise HostClosedError

    monkeypatch.setattr(type(engine.bridge), "post", refuse)
    with pytest.raises(HostClosedError, match="stopped"):
        engine.run(answer, 1)
    monkeypatch.undo()


def test_an_interrupt_cancels_the_coroutine_and_is_raised_after_it_has_ended(
    engine: EngineThread, monkeypatch: pytest.MonkeyPatch
) -> None:
    steps: list[str] = []
    begun = ThreadWaiter()

    async def work() -> None:
        try:
            await sleep_for_ever(begun)
        finally:
            await asyncio.sleep(0)
            steps.append("cleaned up")

    _interrupt(monkeypatch, begun)
    with pytest.raises(KeyboardInterrupt):
        engine.run(work)
    assert ["cleaned up"] == steps
    monkeypatch.undo()
    assert 1 == engine.run(answer, 1)


def test_an_interrupt_before_the_post_leaves_nothing_running(
    engine: EngineThread, monkeypatch: pytest.MonkeyPatch
) -> None:
    post = type(engine.bridge).post
    interrupts: list[type[BaseException]] = [KeyboardInterrupt]

    def interrupted(self: Any, callback: Any, argument: Any) -> None:
        if interrupts:
            raise interrupts.pop()
        post(self, callback, argument)

    monkeypatch.setattr(type(engine.bridge), "post", interrupted)
    with pytest.raises(KeyboardInterrupt):
        engine.run(answer, 1)
    assert 2 == engine.run(answer, 2)


def test_an_interrupt_between_post_and_start_starts_nothing() -> None:
    """The cancellation is carried out first if it is posted first, and the start then does nothing."""
    run = _engine._Run(answer, (1,))
    run.cancel()
    run.start()
    assert run.task is None
    assert isinstance(run.error, asyncio.CancelledError)


def test_a_call_cancelled_before_its_first_step_has_ended() -> None:
    async def main() -> None:
        run = _engine._Run(answer, (1,))
        run.start()
        run.cancel()
        await asyncio.sleep(0)
        await asyncio.sleep(0)
        assert isinstance(run.error, asyncio.CancelledError)
        assert run.ended.wait(0)

    asyncio.run(main())


def test_the_engine_does_not_use_the_policys_loop(monkeypatch: pytest.MonkeyPatch) -> None:
    _engine._new_loop().close()
    made: list[str] = []
    monkeypatch.setattr(sys, "platform", "win32")
    monkeypatch.setattr(asyncio, "ProactorEventLoop", lambda: made.append("proactor"), raising=False)
    _engine._new_loop()
    assert ["proactor"] == made


def _interrupt(monkeypatch: pytest.MonkeyPatch, begun: ThreadWaiter) -> None:
    wait = ThreadWaiter.wait
    main = threading.current_thread()
    interrupts: list[type[BaseException]] = [KeyboardInterrupt]

    def interrupted(self: ThreadWaiter, timeout: float | None = None) -> bool:
        if self is not begun and interrupts and threading.current_thread() is main:
            wait(begun)
            raise interrupts.pop()
        return wait(self, timeout)

    monkeypatch.setattr(ThreadWaiter, "wait", interrupted)

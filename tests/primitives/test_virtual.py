# SPDX-License-Identifier: Apache-2.0
"""Virtual time: the clock jumps when nothing is ready, and stands still while it is held."""

from __future__ import annotations

import asyncio
import functools
import socket
import threading
import time
from collections.abc import Callable
from typing import Any

import pytest
import trio
import trio.testing

from actorpool._host._current import current_host
from actorpool._host._virtual import VirtualTimeLoop, run_virtual, run_virtual_trio
from tests.hosts import settle

Run = Callable[..., Any]
RUNNERS = pytest.mark.parametrize("runner", [run_virtual, run_virtual_trio])


@pytest.mark.slow
def test_an_hour_of_timers_passes_in_no_time(run_virtually: Run) -> None:
    async def main() -> tuple[int, float]:
        host = current_host()
        fired: list[float] = []
        for number in range(4800):
            host.call_at(host.now() + 0.75 * number, lambda: fired.append(host.now()))

        async def tick() -> None:
            for _ in range(480):
                await host.sleep(7.5)
                fired.append(host.now())

        async with host.open_nursery() as nursery:
            for _ in range(10):
                nursery.start_soon(tick)
        assert sorted(fired) == fired
        return len(fired), host.now()

    before = time.perf_counter()
    assert (9600, 3600.0) == run_virtually(main)
    # 0.07 s on asyncio and 0.3 s on trio when alone on the machine; an hour if it were a real clock.
    assert time.perf_counter() - before < 60.0


def test_no_timer_runs_before_its_instant_however_near_that_is(run_virtually: Run) -> None:
    async def main() -> list[float]:
        host = current_host()
        late = []

        def look(when: float) -> None:
            # What looks too early asks again, as often as it takes.
            if host.now() < when:
                host.call_at(when, lambda: look(when))
            late.append(host.now() - when)

        for number in range(1, 100):
            near = number * 0.1
            for when in (near, near + 3e-10):
                host.call_at(when, functools.partial(look, when))
        await host.sleep(100.0)
        return late

    assert [0.0] * 198 == run_virtually(main)


@RUNNERS
def test_the_wall_clock_starts_where_it_is_told(runner: Any) -> None:
    async def main() -> tuple[float, float]:
        host = current_host()
        await host.sleep(60.0)
        return host.now(), host.wall_time()

    assert (60.0, 1060.0) == runner(main, start_wall_time=1000.0)


@RUNNERS
def test_the_wall_clock_starts_at_the_present_by_default(runner: Any) -> None:
    async def main() -> float:
        host = current_host()
        await host.sleep(1000.0)
        return host.wall_time()

    assert abs(time.time() + 1000.0 - runner(main)) < 60.0


@RUNNERS
def test_a_runner_returns_the_result_and_raises_the_error(runner: Any) -> None:
    async def succeed() -> int:
        return 7

    async def fail() -> None:
        raise LookupError("lost")

    assert 7 == runner(succeed)
    with pytest.raises(LookupError, match="lost"):
        runner(fail)


@RUNNERS
def test_a_held_clock_waits_for_a_thread(runner: Any) -> None:
    """Held on the loop's thread, released on the other after its result was posted."""

    async def main() -> tuple[str, float]:
        host = current_host()
        done = host.bridge.waiter()
        results: list[str] = []

        def finish(result: str) -> None:
            results.append(result)
            done.notify()

        def work() -> None:
            time.sleep(0.02)
            host.bridge.post(finish, "result")
            host.release()

        host.hold()
        with host.hold_clock():
            thread = threading.Thread(target=work)
            thread.start()
        with host.move_on_after(1.0):
            await done.wait()
        thread.join()
        before = host.now()
        await host.sleep(5.0)
        return results[0], before

    assert ("result", 0.0) == runner(main)


@RUNNERS
def test_a_thread_may_hold_the_clock(runner: Any) -> None:
    async def main() -> tuple[float, float]:
        host = current_host()
        held = threading.Event()

        def work() -> None:
            with host.hold_clock():
                held.set()
                time.sleep(0.02)

        thread = threading.Thread(target=work)
        thread.start()
        held.wait()
        before = time.perf_counter()
        # Let the loop hear of the hold: on trio that takes a turn.
        await settle() if host.name == "asyncio" else await host.checkpoint()
        await host.sleep(1000.0)
        thread.join()
        return host.now(), time.perf_counter() - before

    now, elapsed = runner(main)
    assert 1000.0 == now
    assert elapsed > 0.015


@RUNNERS
def test_releasing_more_than_was_held_is_a_bug(runner: Any) -> None:
    async def main() -> None:
        host = current_host()
        with pytest.raises(AssertionError, match="without hold"):
            host.release()

    runner(main)


@RUNNERS
def test_releasing_after_the_end_does_nothing(runner: Any) -> None:
    async def main() -> Any:
        host = current_host()
        host.hold()
        return host

    runner(main).release()


def test_trios_own_threshold_is_given_back() -> None:
    clock = trio.testing.MockClock(autojump_threshold=0.5)

    async def main() -> None:
        host = current_host()
        with host.hold_clock():
            assert float("inf") == clock.autojump_threshold
            with host.hold_clock():
                pass
            assert float("inf") == clock.autojump_threshold
        assert 0.5 == clock.autojump_threshold

    trio.run(main, clock=clock)


def test_a_hold_that_is_over_before_it_is_heard_of_changes_nothing() -> None:
    clock = trio.testing.MockClock()

    async def main() -> None:
        host = current_host()

        def hold_briefly() -> None:
            host.hold()
            host.release()

        thread = threading.Thread(target=hold_briefly)
        thread.start()
        thread.join()
        clock.autojump_threshold = 0.25
        await trio.testing.wait_all_tasks_blocked()
        assert 0.25 == clock.autojump_threshold

    trio.run(main, clock=clock)


def test_a_real_trio_clock_has_no_jumps_even_with_trios_testing_tools_loaded() -> None:
    async def main() -> float:
        host = current_host()
        host.hold()
        host.release()
        return host.wall_time()

    assert abs(time.time() - trio.run(main)) < 60.0


def test_work_in_an_executor_holds_the_virtual_loop() -> None:
    def work() -> str:
        time.sleep(0.02)
        return "result"

    async def main() -> tuple[str, float]:
        async with asyncio.timeout(1.0):
            result = await asyncio.to_thread(work)
        return result, asyncio.get_running_loop().time()

    assert ("result", 0.0) == run_virtual(main)


def test_work_that_no_executor_takes_does_not_hold_the_clock() -> None:
    async def main() -> float:
        loop = asyncio.get_running_loop()
        with pytest.raises(AttributeError):
            loop.run_in_executor(object(), print)  # type: ignore[arg-type]
        await asyncio.sleep(5.0)
        return loop.time()

    assert 5.0 == run_virtual(main)


def test_real_sockets_work_on_the_virtual_loop() -> None:
    async def main() -> bytes:
        ours, theirs = socket.socketpair()
        with ours, theirs:
            reader, writer = await asyncio.open_connection(sock=ours)
            theirs.send(b"hello")
            received = await reader.readexactly(5)
            number = 3_000_000
            writer.write(b"x" * number)
            await asyncio.gather(writer.drain(), asyncio.to_thread(read, theirs, number))
            writer.close()
            await writer.wait_closed()
            return received

    def read(end: socket.socket, number: int) -> None:
        end.setblocking(True)
        while number:
            number -= len(end.recv(number))

    assert b"hello" == run_virtual(main)


def test_without_a_timer_the_virtual_loop_blocks_until_it_is_woken() -> None:
    async def main() -> str:
        loop = asyncio.get_running_loop()
        future = loop.create_future()
        thread = threading.Timer(0.01, lambda: loop.call_soon_threadsafe(future.set_result, "woken"))
        thread.start()
        try:
            return str(await future)
        finally:
            thread.join()

    assert "woken" == run_virtual(main)


def test_the_selector_of_a_closed_loop_does_not_jump() -> None:
    loop = VirtualTimeLoop(0.0)
    selector = loop._selector  # type: ignore[attr-defined]
    assert {key.fd for key in selector.get_map().values()}
    selector.loop = None
    assert [] == selector.select(1000.0)
    assert 0.0 == loop.time()
    loop.close()
    with loop.held():
        pass

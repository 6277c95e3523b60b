# SPDX-License-Identifier: Apache-2.0
"""The host port: clocks, timers, scopes, shields, events and root tasks behave alike on every host."""

from __future__ import annotations

import asyncio
import contextvars
import functools
import logging
import socket
import threading
import time
import weakref
from collections.abc import Callable, Iterator
from typing import Any

import pytest
import trio

from actorpool._host._current import current_bridge, current_host
from actorpool._host._errors import HostNotRunningError
from actorpool._host._sockets import open_socket_watch
from actorpool._host._trio import TrioHost
from tests.hosts import run_on, run_virtually_on, settle

Run = Callable[..., Any]


class OopsError(Exception):
    pass


@pytest.fixture
def pair() -> Iterator[tuple[socket.socket, socket.socket]]:
    ours, theirs = socket.socketpair()
    with ours, theirs:
        ours.setblocking(False)
        yield ours, theirs


def test_there_is_no_host_without_a_loop() -> None:
    assert current_bridge() is None
    with pytest.raises(HostNotRunningError):
        current_host()


def test_the_host_names_its_library_and_shares_its_loops_bridge(run: Run, host_name: str) -> None:
    async def main() -> str:
        host = current_host()
        assert host.bridge is current_bridge() is current_host().bridge
        assert host.name == host.bridge.name
        return host.name

    assert host_name.partition("+")[0] == run(main)


def test_two_loops_have_two_bridges(host_name: str) -> None:
    async def main() -> Any:
        return current_bridge()

    assert run_on(host_name, main) is not run_on(host_name, main)


def test_a_trio_guest_of_asyncio_has_trios_host_in_its_tasks_and_asyncios_outside() -> None:
    names: list[str] = []

    async def in_trio() -> None:
        await trio.lowlevel.checkpoint()
        names.append(current_host().name)
        bridge = current_bridge()
        assert bridge is not None
        names.append(bridge.name)

    async def main() -> None:
        done = asyncio.get_running_loop().create_future()
        loop = asyncio.get_running_loop()
        trio.lowlevel.start_guest_run(
            in_trio, run_sync_soon_threadsafe=loop.call_soon_threadsafe, done_callback=done.set_result
        )
        (await done).unwrap()
        names.append(current_host().name)

    asyncio.run(main())
    assert ["trio", "trio", "asyncio"] == names


def test_the_clocks_can_be_read_from_any_thread(run: Run) -> None:
    async def main() -> None:
        host = current_host()
        before = host.now()
        read: list[float] = []
        thread = threading.Thread(target=lambda: read.extend([host.now(), host.wall_time()]))
        thread.start()
        thread.join()
        assert before <= read[0] <= host.now()
        assert abs(time.time() - read[1]) < 60

    run(main)


def test_holding_a_real_clock_does_nothing(run: Run) -> None:
    async def main() -> None:
        host = current_host()
        with host.hold_clock():
            await host.sleep(0.001)

    run(main)


def test_timers_run_in_the_order_of_their_time(run_virtually: Run) -> None:
    async def main() -> list[tuple[str, float]]:
        host = current_host()
        start = host.now()
        fired: list[tuple[str, float]] = []

        def note(name: str) -> Callable[[], object]:
            return lambda: fired.append((name, host.now() - start))

        host.call_at(start + 2, note("second"))
        host.call_at(start + 3, note("third"))
        host.call_at(start + 1, note("first"))
        await host.sleep(2.5)
        # Timers come back to life after a time without any.
        await host.sleep(2.5)
        host.call_at(start + 6, note("last"))
        await host.sleep(5)
        return fired

    assert [("first", 1.0), ("second", 2.0), ("third", 3.0), ("last", 6.0)] == run_virtually(main)


def test_a_cancelled_timer_does_not_run(run_virtually: Run) -> None:
    async def main() -> list[str]:
        host = current_host()
        fired: list[str] = []
        early = host.call_at(host.now() + 1, lambda: fired.append("early"))
        host.call_at(host.now() + 2, lambda: fired.append("late"))
        later = host.call_at(host.now() + 3, lambda: fired.append("later"))
        later.cancel()
        early.cancel()
        early.cancel()
        await host.sleep(5)
        only = host.call_at(host.now() + 1, lambda: fired.append("only"))
        only.cancel()
        await host.sleep(5)
        return fired

    assert ["late"] == run_virtually(main)


def test_a_cancelled_timer_keeps_nothing_alive(run_virtually: Run) -> None:
    class Caller:
        def call(self) -> None: ...

    async def main() -> tuple[bool, bool]:
        host = current_host()
        first, second = Caller(), Caller()
        refs = weakref.ref(first), weakref.ref(second)
        host.call_at(host.now() + 500, first.call)
        # Not the first that is due, so that its place in the queue is not given up at once.
        host.call_at(host.now() + 1_000, second.call).cancel()
        del first, second
        return refs[0]() is None, refs[1]() is None

    assert (False, True) == run_virtually(main)


def test_cancelled_timers_on_trio_take_no_more_room_than_the_others() -> None:
    async def main() -> tuple[int, list[int]]:
        host = current_host()
        fired: list[int] = []
        for number in range(150):
            host.call_at(host.now() + number + 1, functools.partial(fired.append, number))
        for _ in range(10_000):
            host.call_at(host.now() + 1_000, lambda: fired.append(-1)).cancel()
        assert isinstance(host, TrioHost)
        most = len(host._timers.heap)
        await host.sleep(2_000)
        return most, fired

    most, fired = run_virtually_on("trio", main)
    assert most <= 2 * 150 + 100
    assert list(range(150)) == fired


def test_a_timer_can_cancel_another_that_is_due_with_it(run_virtually: Run) -> None:
    async def main() -> list[str]:
        host = current_host()
        fired: list[str] = []
        when = host.now() + 1

        def first() -> None:
            fired.append("first")
            second.cancel()
            host.call_at(when, lambda: fired.append("third"))

        host.call_at(when, first)
        second = host.call_at(when, lambda: fired.append("second"))
        await host.sleep(2)
        return fired

    assert ["first", "third"] == run_virtually(main)


def test_a_timer_runs_in_the_context_of_its_making(run_virtually: Run) -> None:
    variable = contextvars.ContextVar("variable", default="unset")

    async def main() -> list[str]:
        host = current_host()
        seen: list[str] = []
        variable.set("set")
        host.call_at(host.now() + 1, lambda: seen.append(variable.get()))
        variable.set("set later")
        await host.sleep(2)
        return seen

    assert ["set"] == run_virtually(main)


def test_a_failing_timer_on_trio_is_logged_and_stops_no_other(caplog: pytest.LogCaptureFixture) -> None:
    async def main() -> list[str]:
        host = current_host()
        fired: list[str] = []
        host.call_at(host.now(), lambda: 1 / 0)
        host.call_at(host.now(), lambda: fired.append("other"))
        await host.sleep(0.001)
        return fired

    assert ["other"] == run_on("trio", main)
    assert ["a timer's callback failed"] == [record.message.split(":")[0] for record in caplog.records]


def test_nothing_wakes_up_on_trio_while_no_timer_is_due() -> None:
    class Steps(trio.abc.Instrument):
        def __init__(self) -> None:
            self.names: list[str] = []

        def before_task_step(self, task: trio.lowlevel.Task) -> None:
            self.names.append(task.name)

    async def main() -> int:
        host = current_host()
        host.call_at(host.now() + 1000, lambda: None)
        cancelled = host.call_at(host.now() + 500, lambda: None)
        await settle()
        steps = Steps()
        trio.lowlevel.add_instrument(steps)
        cancelled.cancel()
        await host.sleep(0.002)
        trio.lowlevel.remove_instrument(steps)
        return steps.names.count("actorpool timers")

    assert 0 == run_on("trio", main)


def test_an_event_wakes_all_that_wait_and_is_a_checkpoint(run: Run) -> None:
    async def main() -> list[str]:
        host = current_host()
        event = host.event()
        steps: list[str] = []

        async def child(name: str) -> None:
            await event.wait()
            steps.append(name)

        async with host.open_nursery() as nursery:
            nursery.start_soon(child, "a")
            nursery.start_soon(child, "b")
            await settle()
            assert not event.is_set()
            event.set()
            event.set()
            assert event.is_set()
        with host.move_on_after(0):
            await event.wait()
            steps.append("not reached")
        return sorted(steps)

    assert ["a", "b"] == run(main)


def test_a_root_runs_in_an_empty_context_and_outlives_its_starter(run: Run) -> None:
    variable = contextvars.ContextVar("variable", default="unset")

    async def main() -> tuple[list[str], bool, BaseException | None]:
        host = current_host()
        variable.set("of the starter")
        seen: list[str] = []
        go_on = host.event()
        handles: list[Any] = []

        async def root() -> None:
            await go_on.wait()
            seen.append(variable.get())

        async def starter() -> None:
            handles.append(host.start_root(root, "root"))
            assert [] == seen

        async with host.open_nursery() as nursery:
            nursery.start_soon(starter)
        [handle] = handles
        assert not handle.done()
        with host.move_on_after(0):
            await handle.wait()
        go_on.set()
        await handle.wait()
        await handle.wait()
        return seen, handle.done(), handle.exception()

    assert (["unset"], True, None) == run(main)


def test_a_failing_root_keeps_its_exception_to_itself(run: Run, caplog: pytest.LogCaptureFixture) -> None:
    error = OopsError()

    async def main() -> BaseException | None:
        async def root() -> None:
            raise error

        handle = current_host().start_root(root, "root")
        assert handle.exception() is None
        await handle.wait()
        return handle.exception()

    with caplog.at_level(logging.DEBUG):
        assert error is run(main)
    assert [] == [record for record in caplog.records if record.levelno >= logging.WARNING]


def test_a_root_can_be_cancelled(run: Run) -> None:
    async def main() -> tuple[bool, BaseException | None]:
        host = current_host()
        handle = host.start_root(lambda: host.event().wait(), "root")
        await settle()
        handle.cancel()
        await handle.wait()
        return handle.done(), handle.exception()

    assert (True, None) == run(main)


def test_the_end_of_a_trio_run_ends_its_roots() -> None:
    ended: list[str] = []

    async def main() -> None:
        async def root() -> None:
            try:
                await trio.sleep_forever()
            finally:
                ended.append("root")

        current_host().start_root(root, "root")
        await settle()

    trio.run(main)
    assert ["root"] == ended


def test_what_a_root_waits_for_still_comes_while_its_trio_run_ends(
    pair: tuple[socket.socket, socket.socket],
) -> None:
    ours, theirs = pair
    log: list[str] = []

    async def main() -> None:
        host = current_host()

        async def wind_up() -> None:
            def readable() -> None:
                log.append(ours.recv(100).decode())
                heard.set()

            heard, timed, room = host.event(), host.event(), host.event()
            watch = open_socket_watch(host, ours, readable, room.set)
            try:
                theirs.send(b"bytes")
                await heard.wait()
                host.call_at(host.now() + 0.001, timed.set)
                await timed.wait()
                watch.await_room()
                await room.wait()
                log.append("all")
            finally:
                watch.close()

        async def root() -> None:
            try:
                await trio.sleep_forever()
            finally:
                await host.shielded(wind_up, 5)

        host.start_root(root, "root")
        # Keeps no run that ends waiting.
        host.call_at(host.now() + 1_000, lambda: log.append("far too late"))
        await settle()

    trio.run(main)
    assert ["bytes", "all"] == log

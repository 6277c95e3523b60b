# SPDX-License-Identifier: Apache-2.0
"""The thread that waits for inputs reads them itself; everything else is the loop's, in order, and always heard."""

from __future__ import annotations

import asyncio
import os
import socket
import threading
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager

from actorpool._backends._worker_turns import Turns
from actorpool._wire._blobs import Payload
from actorpool._wire._connection import Connection
from actorpool._wire._messages import Cancel, Message, Run, Stop

RUNS = [Run(number, 0, Payload(b"\x91\x80"), None, "fc-1", 0, 1, None) for number in range(3)]


class Process:
    """The two ends of a socket, the turns at reading one of them, and the thread whose queue they are."""

    def __init__(self) -> None:
        self._loop = asyncio.get_running_loop()
        ours, theirs = socket.socketpair()
        ours.setblocking(False)
        theirs.setblocking(False)
        self._parent = Connection(ours, lambda: None)
        self._connection = Connection(theirs, lambda: None)
        self.turns = Turns(theirs.fileno(), self._loop, self.hear, self._connection.read, self._enter)
        self.read_by: dict[int, int] = {}
        """{number of an input: the thread that has read it}"""
        self.heard: asyncio.Queue[Message] = asyncio.Queue()
        self.got: asyncio.Queue[Message] = asyncio.Queue()
        self.go_on = threading.Event()
        self.go_on.set()
        self.thread = threading.Thread(target=self._work)
        self.thread.start()

    async def thread_waits(self) -> None:
        while not self.turns._ours:
            await asyncio.sleep(0)

    def say(self, *messages: Message) -> None:
        for message in messages:
            self._parent.post(message)
        assert self._parent.flush()

    def hear(self) -> None:
        if self.turns.begin():
            self.take()
            self.turns.end()

    def take(self) -> None:
        for message in [*self.turns.left(), *self._connection.read()]:
            self.heard.put_nowait(message)

    def _work(self) -> None:
        while (item := self.turns.get()) is not None:
            self._loop.call_soon_threadsafe(self.got.put_nowait, item)
            assert self.go_on.wait(5)

    def _enter(self, messages: list[Message]) -> tuple[Callable[[], object], list[Message]]:
        runs = []
        for message in messages:
            if not isinstance(message, Run):
                break
            runs.append(message)
            self.read_by[message.number] = threading.get_ident()

        def begin() -> None:
            for run in runs:
                self.turns.put(run)

        return begin, messages[len(runs) :]

    def close(self) -> None:
        self.go_on.set()
        self.turns.put(None)
        self.thread.join()
        self._loop.remove_reader(self.turns._watched)
        self.turns._watched.close()
        os.close(self.turns._bell)
        self._parent.close()
        self._connection.close()


@asynccontextmanager
async def process() -> AsyncIterator[Process]:
    process = Process()
    try:
        yield process
    finally:
        process.close()


def claim(test: Callable[[Process], Awaitable[None]]) -> None:
    async def main() -> None:
        async with process() as made, asyncio.timeout(5):
            await test(made)

    asyncio.run(main())


def test_an_idle_thread_runs_what_it_has_read_itself() -> None:
    async def test(process: Process) -> None:
        for run in RUNS:
            await process.thread_waits()
            process.say(run)
            assert run == await process.got.get()
        assert dict.fromkeys(range(3), process.thread.ident) == process.read_by
        assert process.heard.empty()

    claim(test)


def test_what_comes_while_it_runs_something_is_the_loops() -> None:
    async def test(process: Process) -> None:
        process.go_on.clear()
        await process.thread_waits()
        process.say(RUNS[0])
        await process.got.get()
        process.say(Cancel(0), RUNS[1])
        assert [Cancel(0), RUNS[1]] == [await process.heard.get(), await process.heard.get()]

    claim(test)


def test_from_the_first_message_on_that_is_no_input_all_is_the_loops_in_order() -> None:
    async def test(process: Process) -> None:
        await process.thread_waits()
        process.say(RUNS[0], Cancel(0), RUNS[1], Stop(1.0))
        assert RUNS[0] == await process.got.get()
        assert [Cancel(0), RUNS[1], Stop(1.0)] == [await process.heard.get() for _ in range(3)]
        assert [0] == list(process.read_by)

    claim(test)


def test_the_thread_does_not_read_before_the_loop_has_obeyed_and_does_so_then() -> None:
    async def test(process: Process) -> None:
        process.turns.claim()
        process.say(RUNS[0])
        process.take()
        assert RUNS[0] == process.heard.get_nowait()
        process.turns.end()
        # It has nothing to read any more, and the next is its own.
        process.turns.put(RUNS[1])
        assert RUNS[1] == await process.got.get()
        await process.thread_waits()
        process.say(RUNS[2])
        assert RUNS[2] == await process.got.get()
        assert [2] == list(process.read_by)

    claim(test)


def test_a_loop_that_waits_for_an_answer_takes_the_turn_back() -> None:
    async def test(process: Process) -> None:
        await process.thread_waits()
        process.turns.claim()
        process.say(Cancel(7))
        process.take()
        assert Cancel(7) == process.heard.get_nowait()
        process.turns.end()
        await process.thread_waits()
        process.say(RUNS[1])
        assert RUNS[1] == await process.got.get()

    claim(test)


def test_items_put_from_elsewhere_wake_a_thread_that_reads() -> None:
    async def test(process: Process) -> None:
        for run in RUNS:
            await process.thread_waits()
            process.turns.put(run)
            assert run == await process.got.get()
        assert {} == process.read_by

    claim(test)

# SPDX-License-Identifier: Apache-2.0
"""An endless generator goes at its consumer's pace: it is never more than the buffer ahead, however long it goes on."""

from __future__ import annotations

import sys
from collections.abc import AsyncIterator, Callable, Iterator
from contextlib import aclosing, closing
from typing import Any

import pytest

import actorpool as modal
from tests.api.support import now, sleep
from tests.hosts import run_on

Run = Callable[..., Any]

BUFFER = 1_024
MILLION = 1_000_000
PRODUCERS = ["async generator", "sync generator"]


class Endless:
    """An endless generator function of either kind, and how far it has come."""

    def __init__(self, kind: str) -> None:
        self.app = modal.App()
        # Written by the generator alone, read by its consumer.
        self.made = 0

        @self.app.function()
        async def endless() -> AsyncIterator[int]:
            while True:
                self.made += 1
                yield self.made

        @self.app.function()
        def endless_in_thread() -> Iterator[int]:
            while True:
                self.made += 1
                yield self.made

        self.function: Any = endless if kind == PRODUCERS[0] else endless_in_thread


class Ahead:
    """What a consumer sees of the generator and of the memory in use, over a million items."""

    def __init__(self, endless: Endless) -> None:
        self._endless = endless
        self.taken = 0
        self.most = 0
        self.blocks: list[int] = []

    def take(self, item: int) -> bool:
        """Look, now that `item` has come; return whether it was the last one to take."""
        self.taken += 1
        assert item == self.taken
        if item % 100 == 0:
            # What is made and not taken: those in the buffer, and at most one that is being handed over.
            self.most = max(self.most, self._endless.made - item)
            if item % (MILLION // 10) == 0:
                self.blocks.append(sys.getallocatedblocks())
        return item == MILLION

    def check(self) -> None:
        assert MILLION == self.taken
        assert self.most <= BUFFER + 1
        # The buffer may be full at one look and empty at the next; a tenth of the items that stayed would be 100,000.
        assert max(self.blocks) - min(self.blocks) < 10 * BUFFER


@pytest.mark.local_only("a million messages between processes take minutes")
@pytest.mark.usefixtures("at_full_speed")
@pytest.mark.slow
@pytest.mark.timeout(120)
@pytest.mark.parametrize("kind", PRODUCERS)
@pytest.mark.parametrize("host_name", ["asyncio", "trio"])
def test_a_million_items_never_get_further_ahead_of_an_async_consumer(host_name: str, kind: str) -> None:
    endless = Endless(kind)
    ahead = Ahead(endless)

    async def main() -> None:
        async with endless.app.run():
            async with aclosing(endless.function.remote_gen.aio()) as items:
                async for item in items:
                    if ahead.take(item):
                        break

    run_on(host_name, main)
    ahead.check()


@pytest.mark.local_only("a million messages between processes take minutes")
@pytest.mark.usefixtures("at_full_speed")
@pytest.mark.slow
@pytest.mark.timeout(120)
@pytest.mark.parametrize("kind", PRODUCERS)
def test_a_million_items_never_get_further_ahead_of_a_sync_consumer(kind: str) -> None:
    endless = Endless(kind)
    ahead = Ahead(endless)

    with endless.app.run():
        with closing(endless.function.remote_gen()) as items:
            for item in items:
                if ahead.take(item):
                    break
    ahead.check()


@pytest.mark.local_only("a generator in a process holds the virtual clock while it waits for its consumer")
def test_a_generator_stands_still_while_its_consumer_does(run_virtually: Run) -> None:
    endless = Endless(PRODUCERS[0])
    stops: list[tuple[int, int]] = []

    async def main() -> None:
        async with endless.app.run():
            async with aclosing(endless.function.remote_gen.aio()) as items:
                for taken in range(1, 5_001):
                    assert taken == await anext(items)
                    if taken % 1_000 == 0:
                        start = now()
                        await sleep(3.0)
                        before = endless.made
                        await sleep(7.0)
                        assert 10.0 == now() - start
                        stops.append((before - taken, endless.made - before))

    run_virtually(main)
    # It has filled the buffer by then, and does not go on while nobody takes.
    assert [(BUFFER, 0)] * 5 == stops

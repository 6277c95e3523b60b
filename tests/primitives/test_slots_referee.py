# SPDX-License-Identifier: Apache-2.0
"""Our slots against trio's `CapacityLimiter`, whose limit can be changed while it is in use as well."""

from __future__ import annotations

from typing import Any

import trio
from hypothesis import strategies as st
from hypothesis.stateful import initialize, invariant, precondition, rule

from actorpool.primitives import Slots
from tests.primitives.referee import Referee, on_each_loop


class Limiter:
    """trio's limiter with the verbs of `Slots`; a token is borrowed on behalf of an object of its own."""

    def __init__(self, limit: int) -> None:
        self.limiter = trio.CapacityLimiter(limit)
        self.held: list[object] = []

    async def acquire(self) -> None:
        borrower = object()
        await self.limiter.acquire_on_behalf_of(borrower)
        self.held.append(borrower)

    def acquire_nowait(self) -> None:
        borrower = object()
        self.limiter.acquire_on_behalf_of_nowait(borrower)
        self.held.append(borrower)

    def release(self) -> None:
        self.limiter.release_on_behalf_of(self.held.pop())

    def resize(self, limit: int) -> None:
        self.limiter.total_tokens = limit


class SlotsReferee(Referee):
    """Acquires, releases, resizes and cancels at random, on both."""

    @initialize(limit=st.integers(0, 3))
    def make(self, limit: int) -> None:
        self.begin()
        self.limiter = Limiter(limit)
        self.slots = Slots(limit)
        self.labels = 0

    def both(self, method: str, *args: Any) -> None:
        ours, trios = self.drivers
        assert trios.call(getattr(self.limiter, method), *args) == ours.call(
            getattr(self.slots, method), *args
        )
        self.rest()

    @rule()
    def acquire(self) -> None:
        self.labels += 1
        primitives: list[Any] = [self.slots, self.limiter]
        for driver, slots in zip(self.drivers, primitives, strict=True):
            driver.start(self.labels, slots.acquire)
        self.rest()

    @rule()
    def acquire_nowait(self) -> None:
        self.both("acquire_nowait")

    @precondition(lambda self: bool(self.limiter.held))
    @rule()
    def release(self) -> None:
        self.both("release")

    @rule(limit=st.integers(0, 5))
    def resize(self, limit: int) -> None:
        self.both("resize", limit)

    @precondition(lambda self: bool(self.drivers[1].scopes))
    @rule(data=st.data())
    def cancel(self, data: st.DataObject) -> None:
        label = data.draw(st.sampled_from(sorted(self.drivers[1].scopes)))
        for driver in self.drivers:
            driver.cancel(label)
        self.rest()

    @invariant()
    def the_statistics_are_equal(self) -> None:
        if hasattr(self, "slots"):
            ours, trios = self.slots.statistics(), self.limiter.limiter.statistics()
            expected = (trios.total_tokens, trios.borrowed_tokens, trios.tasks_waiting)
            assert expected == (ours.limit, ours.in_use, ours.waiting)

    @invariant()
    def nobody_waits_for_a_free_slot(self) -> None:
        if hasattr(self, "slots"):
            statistics = self.slots.statistics()
            assert statistics.waiting == 0 or statistics.in_use >= statistics.limit


globals().update(on_each_loop(SlotsReferee))

# SPDX-License-Identifier: Apache-2.0
"""Our memory channel against trio's: the same operations have the same outcomes."""

from __future__ import annotations

import math
from typing import Any

import trio
from attrs import asdict
from hypothesis import strategies as st
from hypothesis.stateful import initialize, invariant, precondition, rule

from tests.primitives.referee import Referee, on_each_loop

ENDS = st.integers(0, 100)


class ChannelReferee(Referee):
    """Sends, receives, clones, closes and cancels at random, on both."""

    @initialize(size=st.sampled_from([0, 1, 2, math.inf]))
    def open(self, size: float) -> None:
        self.begin()
        self.labels = 0
        ours = self.drivers[0].host.open_memory_channel(size)  # type: ignore[attr-defined]
        trios = trio.open_memory_channel[Any](size)
        # One entry per end, of both channels.
        self.senders = [(ours[0], trios[0])]
        self.receivers = [(ours[1], trios[1])]

    def both(self, ends: tuple[Any, Any], method: str, *args: Any) -> None:
        outcomes = [
            driver.call(getattr(end, method), *args) for driver, end in zip(self.drivers, ends, strict=True)
        ]
        assert outcomes[0] == outcomes[1]

    def start_both(self, ends: tuple[Any, Any], method: str, *args: Any) -> None:
        self.labels += 1
        for driver, end in zip(self.drivers, ends, strict=True):
            driver.settle()
            driver.start(self.labels, getattr(end, method), *args)

    @rule(at=ENDS)
    def send(self, at: int) -> None:
        self.start_both(self.senders[at % len(self.senders)], "send", f"item {self.labels}")

    @rule(at=ENDS)
    def receive(self, at: int) -> None:
        self.start_both(self.receivers[at % len(self.receivers)], "receive")

    @rule(at=ENDS, number=st.integers(0, 1000))
    def send_nowait(self, at: int, number: int) -> None:
        self.both(self.senders[at % len(self.senders)], "send_nowait", number)

    @rule(at=ENDS)
    def receive_nowait(self, at: int) -> None:
        self.both(self.receivers[at % len(self.receivers)], "receive_nowait")

    @rule(at=ENDS, of_senders=st.booleans())
    def clone(self, at: int, of_senders: bool) -> None:
        side = self.senders if of_senders else self.receivers
        clones: list[Any] = []

        def clone(end: Any) -> None:
            clones.append(end.clone())

        ends = side[at % len(side)]
        outcomes = [driver.call(clone, end) for driver, end in zip(self.drivers, ends, strict=True)]
        assert outcomes[0] == outcomes[1]
        if clones:
            side.append((clones[0], clones[1]))

    @rule(at=ENDS, of_senders=st.booleans())
    def close(self, at: int, of_senders: bool) -> None:
        side = self.senders if of_senders else self.receivers
        self.both(side[at % len(side)], "close")

    @precondition(lambda self: self.labels > 0)
    @rule(data=st.data())
    def cancel(self, data: st.DataObject) -> None:
        # From rest, so that nobody is cancelled in the turn in which it is served: there we differ, knowingly.
        self.all_at_rest()
        labels = sorted(self.drivers[1].scopes)
        if labels:
            label = data.draw(st.sampled_from(labels))
            for driver in self.drivers:
                driver.cancel(label)

    @rule()
    def all_at_rest(self) -> None:
        self.rest()

    @invariant()
    def the_statistics_are_equal(self) -> None:
        if hasattr(self, "senders"):
            ours, trios = self.senders[0]
            names = asdict(ours.statistics())
            statistics = trios.statistics()
            assert names == {name: getattr(statistics, name) for name in names}

    def teardown(self) -> None:
        try:
            if hasattr(self, "drivers"):
                self.rest()
        finally:
            super().teardown()


globals().update(on_each_loop(ChannelReferee))

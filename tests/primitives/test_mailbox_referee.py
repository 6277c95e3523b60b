# SPDX-License-Identifier: Apache-2.0
"""Our mailbox against trio's memory channel with one sender and one receiver, which is what a mailbox is.

A full channel says WouldBlock and a full mailbox ResourceExhaustedError; that is the one difference.
"""

from __future__ import annotations

import math
import threading
from typing import Any

import trio
from hypothesis import strategies as st
from hypothesis.stateful import initialize, invariant, precondition, rule

from actorpool.primitives import Mailbox
from tests.primitives.referee import Referee, on_each_loop


class MailboxReferee(Referee):
    """Posts from the loop and from threads, receives, cancels, closes and discards at random."""

    @initialize(bound=st.sampled_from([1, 2, None]))
    def make(self, bound: int | None) -> None:
        self.begin()
        self.mailbox: Mailbox[int] = Mailbox(max_pending=bound)
        self.send, self.receive_end = trio.open_memory_channel[int](math.inf if bound is None else bound)
        self.messages = 0
        self.labels = 0

    @rule(from_a_thread=st.booleans())
    def post(self, from_a_thread: bool) -> None:
        self.messages += 1
        ours = self._post_from_a_thread() if from_a_thread else self._post()
        trios = self.drivers[1].call(self.send.send_nowait, self.messages)
        assert trios == ours.replace("ResourceExhaustedError", "WouldBlock")
        self.rest()

    def _post(self) -> str:
        return self.drivers[0].call(self.mailbox.post, self.messages)

    def _post_from_a_thread(self) -> str:
        outcomes: list[str] = []

        def post() -> None:
            try:
                self.mailbox.post(self.messages)
                outcomes.append("returned None")
            except Exception as error:
                outcomes.append(f"raised {type(error).__name__}")

        thread = threading.Thread(target=post)
        thread.start()
        thread.join()
        return outcomes[0]

    @precondition(lambda self: not self.drivers[1].scopes)
    @rule()
    def receive(self) -> None:
        self.labels += 1
        ends: list[Any] = [self.mailbox, self.receive_end]
        for driver, end in zip(self.drivers, ends, strict=True):
            driver.start(self.labels, end.receive)
        self.rest()

    @precondition(lambda self: self.drivers[1].scopes)
    @rule()
    def cancel(self) -> None:
        for driver in self.drivers:
            driver.cancel(self.labels)
        self.rest()

    @rule()
    def close(self) -> None:
        ours, trios = self.drivers
        assert trios.call(self.send.close) == ours.call(self.mailbox.close)
        self.rest()

    @rule()
    def discard(self) -> None:
        def drain() -> int:
            self.send.close()
            count = 0
            while self.receive_end.statistics().current_buffer_used:
                self.receive_end.receive_nowait()
                count += 1
            return count

        ours, trios = self.drivers
        assert trios.call(drain) == ours.call(self.mailbox.discard)
        self.rest()

    @invariant()
    def as_many_messages_are_pending(self) -> None:
        if hasattr(self, "mailbox"):
            ours, trios = self.mailbox.statistics(), self.receive_end.statistics()
            assert (trios.current_buffer_used, trios.open_send_channels == 0) == (ours.pending, ours.closed)


globals().update(on_each_loop(MailboxReferee))

# SPDX-License-Identifier: Apache-2.0
"""When what was sent ahead to a process is looked after, and withdrawn: with a clock and timers of the test's own."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from types import SimpleNamespace
from typing import Any

from attrs import define, field

from actorpool._backends._lookahead import _SILENCE_S, MOST_BYTES, Lookahead
from actorpool._core._input import Input
from actorpool._wire._messages import Message, Withdraw


@define(eq=False)
class Timer:
    when: float
    callback: Callable[[], object]
    cancelled: bool = False

    def cancel(self) -> None:
        self.cancelled = True


@define(eq=False)
class Bench:
    """A lookahead with everything that it asks for; inputs take a millisecond each."""

    clock: float = 100.0
    timers: list[Timer] = field(factory=list)
    said: list[Message] = field(factory=list)
    sent: int = 0
    looks: int = 0
    each_bytes: int = 10
    ahead: Lookahead = field(init=False)

    def __attrs_post_init__(self) -> None:
        host: Any = SimpleNamespace(now=lambda: self.clock, call_at=self.call_at)
        pool: Any = SimpleNamespace(ahead={})
        owner: Any = SimpleNamespace(look_ahead=lambda most: [input_of(n) for n in range(most)])
        self.ahead = Lookahead(host, pool, owner, self.said.append)
        self.ahead.heard_at = self.clock
        self.end(1)

    def call_at(self, when: float, callback: Callable[[], object]) -> Timer:
        self.timers.append(Timer(when, callback))
        return self.timers[-1]

    def give(self, inputs: Sequence[Input]) -> tuple[list[tuple[int, Input]], int]:
        first, self.sent = self.sent, self.sent + len(inputs)
        return list(enumerate(inputs, first)), self.each_bytes * len(inputs)

    def end(self, number: int) -> None:
        """Hear of the ends of so many inputs, and send others after them."""
        self.pass_time(number * 0.001)
        for ahead in list(self.ahead._ahead)[:number]:
            self.ahead.take(ahead)
        self.ahead.measure(number)
        self.ahead.fill(self.give)

    def pass_time(self, seconds: float) -> None:
        self.clock += seconds
        for timer in list(self.timers):
            if not timer.cancelled and timer.when <= self.clock:
                self.timers.remove(timer)
                self.looks += 1
                timer.callback()

    @property
    def due(self) -> list[float]:
        return [timer.when for timer in self.timers if not timer.cancelled]


def input_of(index: int) -> Input:
    return Input("f", (), None, None, index=index)


def test_while_ends_come_the_look_for_silence_is_put_off_and_never_taken() -> None:
    bench = Bench()
    for _ in range(100):
        bench.end(3)
        [due] = bench.due
        assert bench.clock < due <= bench.clock + _SILENCE_S
    assert 0 == bench.looks
    # Not at each end either.
    assert len(bench.timers) <= 60
    assert [] == bench.said


def test_what_is_ahead_is_withdrawn_after_a_silence_and_once() -> None:
    bench = Bench()
    bench.end(3)
    heard = bench.clock
    while not bench.said:
        bench.pass_time(0.001)
    assert heard + _SILENCE_S <= bench.clock <= heard + _SILENCE_S + 0.0011
    bench.pass_time(_SILENCE_S)
    bench.pass_time(_SILENCE_S)
    assert 1 == len([message for message in bench.said if isinstance(message, Withdraw)])


def test_nobody_looks_once_nothing_is_ahead() -> None:
    bench = Bench()
    bench.ahead.clear()
    bench.pass_time(1.0)
    assert [] == bench.due


def test_more_is_sent_when_what_is_left_lasts_for_ten_milliseconds() -> None:
    bench = Bench()
    sent, left = bench.sent, 0
    while bench.sent == sent:
        left = len(bench.ahead)
        bench.end(1)
    assert 10 == left - 1


def test_of_long_arguments_fewer_go_ahead() -> None:
    bench = Bench(each_bytes=MOST_BYTES // 4)
    for _ in range(30):
        bench.end(1)
    assert 3 <= len(bench.ahead) <= 5

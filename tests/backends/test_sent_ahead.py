# SPDX-License-Identifier: Apache-2.0
"""When what was sent ahead to a process is looked after, and asked back: with a clock and timers of the test's own."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from types import SimpleNamespace
from typing import Any

from attrs import define, field

from actorpool._backends._sent_ahead import SentAhead
from actorpool._core._input import Input
from actorpool._core._lookahead import SILENCE_S
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
    """What was sent ahead to a process that takes a millisecond for an input, with everything that it asks for."""

    most: int = 1_000
    """How many inputs can be sent in all."""
    clock: float = 100.0
    timers: list[Timer] = field(factory=list)
    said: list[Message] = field(factory=list)
    sent: list[int] = field(factory=list)
    given_back: list[int] = field(factory=list)
    looks: int = 0
    count: int = 0
    pool: Any = field(factory=lambda: SimpleNamespace(ahead={}))
    ahead: SentAhead = field(init=False)

    def __attrs_post_init__(self) -> None:
        host: Any = SimpleNamespace(now=lambda: self.clock, call_at=self.call_at)
        owner: Any = SimpleNamespace(look_ahead=self.look_ahead, give_back=self.give_back)
        self.ahead = SentAhead(host, self.pool, owner, self.said.append)
        self.ahead.lookahead.heard_at = self.clock
        self.end(1)

    def call_at(self, when: float, callback: Callable[[], object]) -> Timer:
        self.timers.append(Timer(when, callback))
        return self.timers[-1]

    def look_ahead(self, most: int) -> list[Input]:
        first, self.count = self.count, self.count + most
        return [Input("f", (), None, None, index=index) for index in range(first, self.count)]

    def give_back(self, inputs: Sequence[Input]) -> None:
        self.given_back += [input.index for input in inputs]

    def give(self, inputs: Sequence[Input]) -> tuple[list[tuple[int, Input]], int]:
        going = inputs[: self.most - len(self.sent)]
        self.sent += [input.index for input in going]
        return [(input.index, input) for input in going], 10 * len(going)

    @property
    def left(self) -> list[int]:
        return [number for number in self.sent if number in self.ahead.lookahead]

    def end(self, number: int) -> None:
        """Hear of the ends of so many inputs, and send others after them."""
        self.pass_time(number * 0.001)
        for ahead in self.left[:number]:
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


def test_while_ends_come_the_look_for_silence_is_put_off_and_never_taken() -> None:
    bench = Bench()
    for _ in range(100):
        bench.end(3)
        [due] = bench.due
        assert bench.clock < due <= bench.clock + SILENCE_S
    assert 0 == bench.looks
    # Not at each end either.
    assert len(bench.timers) <= 60
    assert [] == bench.said


def test_what_is_ahead_is_asked_back_after_a_silence_and_once() -> None:
    bench = Bench()
    bench.end(3)
    heard = bench.clock
    while not bench.said:
        bench.pass_time(0.001)
    assert heard + SILENCE_S <= bench.clock <= heard + SILENCE_S + 0.0011
    bench.pass_time(SILENCE_S)
    bench.pass_time(SILENCE_S)
    assert 1 == len([message for message in bench.said if isinstance(message, Withdraw)])


def test_a_look_that_comes_before_the_silence_is_long_enough_looks_again() -> None:
    bench = Bench()
    while bench.ahead.lookahead.lasts(bench.due[0], bench.clock):
        bench.pass_time(0.001)
    bench.pass_time(bench.due[0] - bench.clock - 0.0001)
    # Heard of an idle process's next work, which puts nothing off.
    bench.ahead.lookahead.heard_at = bench.clock
    bench.pass_time(0.0002)
    assert (1, [], [bench.ahead.lookahead.heard_at + SILENCE_S]) == (bench.looks, bench.said, bench.due)


def test_nobody_looks_once_nothing_is_ahead() -> None:
    bench = Bench()
    for number in bench.left:
        bench.ahead.take(number)
    bench.pass_time(1.0)
    assert (1, []) == (bench.looks, bench.due)
    bench = Bench()
    assert bench.left == bench.ahead.clear()
    bench.pass_time(1.0)
    assert (0, []) == (bench.looks, bench.due)
    assert {} == bench.pool.ahead


def test_what_the_process_drops_is_given_back() -> None:
    bench = Bench()
    left = bench.left
    bench.ahead.ask_back()
    bench.ahead.ask_back()
    assert [Withdraw(left[0])] == bench.said
    assert left[2:] == bench.ahead.withdrawn(left[1]) == bench.given_back
    assert left[:2] == bench.left


def test_a_pool_forgets_the_containers_to_which_nothing_is_ahead() -> None:
    bench = Bench()
    assert [bench.ahead] == list(bench.pool.ahead)
    for number in bench.left:
        bench.ahead.take(number)
    bench.ahead.ask_back()
    assert ([], []) == (list(bench.pool.ahead), bench.said)


def test_what_could_not_be_sent_is_given_back() -> None:
    bench = Bench(most=4)
    assert [0, 1, 2, 3] == bench.left
    assert list(range(4, bench.count)) == bench.given_back
    # Nor does the next one that cannot be sent set a second timer.
    bench.end(3)
    assert 1 == len(bench.due)

# SPDX-License-Identifier: Apache-2.0
"""Lookahead: how many inputs go ahead to a container, and when it is asked for them."""

from __future__ import annotations

import pytest
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, invariant, precondition, rule

from actorpool._core._input import Input
from actorpool._core._lookahead import MOST_BYTES, SILENCE_S, Lookahead


def numbered(first: int, count: int) -> list[tuple[int, Input]]:
    return [(number, Input("f", (), None, None, index=number)) for number in range(first, first + count)]


def measured(each_s: float) -> Lookahead:
    machine = Lookahead()
    machine.ended(1, each_s)
    return machine


def test_nothing_goes_ahead_before_it_is_known_how_long_an_input_takes() -> None:
    assert 0 == Lookahead().wanted()


@pytest.mark.parametrize(
    ("each_s", "wanted"),
    [
        pytest.param(0.0, 256, id="no time at all"),
        pytest.param(0.000_01, 256, id="at most 256"),
        pytest.param(0.001, 21, id="what takes 20 ms, and one"),
        pytest.param(0.004_9, 5, id="just short enough"),
        pytest.param(0.005_1, 0, id="too long"),
    ],
)
def test_as_many_go_ahead_as_take_twenty_milliseconds(each_s: float, wanted: int) -> None:
    assert wanted == measured(each_s).wanted()


def test_more_goes_ahead_when_half_of_it_has_begun() -> None:
    machine = measured(0.001)
    machine.sent(numbered(0, 21), 10)
    wanted = []
    for number in range(13):
        machine.take(number)
        wanted.append(machine.wanted())
    assert [0] * 10 + [11, 12, 13] == wanted


def test_of_long_arguments_fewer_go_ahead() -> None:
    machine = measured(0.001)
    machine.sent(numbered(0, 1), MOST_BYTES // 4)
    assert 4 == machine.wanted()
    machine.sent([], 2 * MOST_BYTES)
    assert 0 == machine.wanted()
    machine.take(0)
    assert 1 == machine.wanted()


def test_the_newest_measurement_counts_as_much_as_all_before() -> None:
    machine = measured(0.001)
    machine.ended(2, machine.heard_at + 0.006)
    assert "<Lookahead ahead=0 each=2 ms>" == repr(machine)


def test_what_is_ahead_is_asked_for_once_and_nothing_follows_until_the_answer() -> None:
    machine = measured(0.001)
    assert machine.ask_back() is None
    machine.sent(numbered(7, 5), 10)
    machine.take(7)
    assert (8, None) == (machine.ask_back(), machine.ask_back())
    for number in range(8, 10):
        machine.take(number)
    assert 0 == machine.wanted()
    assert "<Lookahead ahead=2 each=1 ms asked back>" == repr(machine)
    assert [10, 11] == list(machine.withdrawn(9))
    assert 21 == machine.wanted()


def test_what_has_begun_is_not_withdrawn() -> None:
    machine = Lookahead()
    machine.sent(numbered(1, 4), 10)
    assert [3, 4] == [input.index for input in machine.withdrawn(2).values()]
    assert (True, True, False) == (1 in machine, 2 in machine, 3 in machine)
    assert machine.take(3) is None
    assert "<Lookahead ahead=2 each=unknown>" == repr(machine)


def test_a_silence_says_how_long_the_input_takes_at_least() -> None:
    machine = measured(0.001)
    assert not machine.silent(machine.heard_at + 0.9 * SILENCE_S)
    assert 21 == machine.wanted()
    assert machine.silent(machine.heard_at + 1.1 * SILENCE_S)
    assert 0 == machine.wanted()
    # One that is shorter than what is known says nothing new.
    machine = measured(1.0)
    assert machine.silent(machine.heard_at + 2 * SILENCE_S)
    assert "<Lookahead ahead=0 each=1e+03 ms>" == repr(machine)
    # So does the first thing that is known.
    machine = Lookahead()
    assert machine.silent(2 * SILENCE_S)
    assert "<Lookahead ahead=0 each=20 ms>" == repr(machine)


@pytest.mark.parametrize(("far", "lasts"), [(0.0, False), (0.4, False), (0.6, True), (1.0, True)])
def test_a_look_is_put_off_when_it_is_less_than_half_a_silence_away(far: float, lasts: bool) -> None:
    assert lasts == Lookahead().lasts(100.0 + far * SILENCE_S, 100.0)


class LookaheadMachine(RuleBasedStateMachine):
    """A container that begins what it was sent in its order, beside a list of what it has not begun."""

    def __init__(self) -> None:
        super().__init__()
        self.machine = Lookahead()
        self.now = 0.0
        self.next = 1
        self.ahead: list[int] = []
        self.asked: int | None = None

    @rule(count=st.integers(1, 20), each_ms=st.floats(0, 8))
    def end(self, count: int, each_ms: float) -> None:
        """What ran ends, and as many as were there have begun and ended since, but for the last."""
        self.now += count * each_ms / 1e3
        for number in self.ahead[:count]:
            input = self.machine.take(number)
            assert input is not None
            assert number == input.index
        del self.ahead[:count]
        self.machine.ended(count, self.now)

    @rule(share=st.floats(0, 1), each_bytes=st.integers(0, MOST_BYTES))
    def send(self, share: float, each_bytes: int) -> None:
        wanted = self.machine.wanted()
        assert 0 <= wanted <= 256 - len(self.ahead)
        assert not wanted or self.asked is None
        # Of those that are wanted some cannot be sent.
        count = min(int(wanted * share), MOST_BYTES // max(1, each_bytes))
        if count:
            self.machine.sent(numbered(self.next, count), each_bytes)
            self.ahead += range(self.next, self.next + count)
            self.next += count

    @precondition(lambda self: self.ahead)
    @rule(data=st.data())
    def cancel(self, data: st.DataObject) -> None:
        number = data.draw(st.sampled_from(self.ahead))
        self.ahead.remove(number)
        assert self.machine.take(number) is not None
        assert self.machine.take(number) is None

    @rule()
    def ask_back(self) -> None:
        first = self.machine.ask_back()
        assert (None if self.asked is not None or not self.ahead else self.ahead[0]) == first
        if first is not None:
            self.asked = first

    @precondition(lambda self: self.asked is not None)
    @rule(begun=st.integers(0, 3))
    def answer(self, begun: int) -> None:
        """The container drops what it has not begun; of some that have, this side has not heard yet."""
        above = self.ahead[begun - 1] if 0 < begun <= len(self.ahead) else 0 if begun == 0 else self.next
        dropped = [number for number in self.ahead if number > above]
        assert dropped == list(self.machine.withdrawn(above))
        self.ahead = [number for number in self.ahead if number <= above]
        self.asked = None

    @rule(seconds=st.floats(0, 0.03))
    def look(self, seconds: float) -> None:
        self.now += seconds
        silent = self.machine.silent(self.now)
        assert (self.now - self.machine.heard_at >= SILENCE_S) == silent
        if silent:
            # It takes longer than what may go ahead.
            assert 0 == self.machine.wanted()

    @invariant()
    def it_knows_what_is_ahead(self) -> None:
        assert len(self.ahead) == len(self.machine)
        assert all(number in self.machine for number in self.ahead)

    def teardown(self) -> None:
        assert self.ahead == self.machine.clear()
        assert 0 == len(self.machine)


TestLookaheadMachine = LookaheadMachine.TestCase

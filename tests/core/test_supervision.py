# SPDX-License-Identifier: Apache-2.0
"""Supervision: who is stopped and started when a child exits."""

from __future__ import annotations

from typing import Any, cast

import pytest
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, initialize, invariant, precondition, rule

from actorpool._core._supervision import (
    Backoff,
    ChildState,
    RestartIntensity,
    RestartRule,
    StartChild,
    StopChild,
    Strategy,
    Supervision,
    SupervisionEffect,
    SupervisionEnded,
)
from actorpool.exception import InvalidError

NO_WAIT = Backoff(initial_s=0.0)


def started(
    strategy: Strategy = "one_for_one",
    *,
    intensity: RestartIntensity | None = None,
    backoff: Backoff = NO_WAIT,
    **rules: RestartRule,
) -> Supervision:
    rules = rules or {"a": "permanent", "b": "permanent", "c": "permanent"}
    machine = Supervision(rules, strategy, intensity or RestartIntensity(max_restarts=100), backoff)
    assert [StartChild(name, 0.0) for name in rules] == machine.start()
    return machine


def test_children_start_in_order() -> None:
    machine = started(z="permanent", a="temporary")
    assert {"z": ChildState.RUNNING, "a": ChildState.RUNNING} == machine.states()


def test_one_for_one_restarts_the_child_alone() -> None:
    assert [StartChild("b", 0.0)] == started().child_exited("b", failed=True, now=0.0)


def test_one_for_all_stops_the_others_last_first_and_starts_all_in_order() -> None:
    machine = started("one_for_all")
    assert [StopChild("c")] == machine.child_exited("b", failed=True, now=0.0)
    assert [StopChild("a")] == machine.child_exited("c", failed=True, now=0.0)
    expected = [StartChild("a", 0.0), StartChild("b", 0.0), StartChild("c", 0.0)]
    assert expected == machine.child_exited("a", failed=False, now=0.0)


def test_rest_for_one_leaves_the_earlier_children_alone() -> None:
    machine = started("rest_for_one")
    assert [StopChild("c")] == machine.child_exited("b", failed=True, now=0.0)
    assert [StartChild("b", 0.0), StartChild("c", 0.0)] == machine.child_exited("c", failed=True, now=0.0)


def test_an_earlier_failure_joins_a_restart_under_way() -> None:
    machine = started("rest_for_one")
    assert [StopChild("c")] == machine.child_exited("b", failed=True, now=0.0)
    assert [] == machine.child_exited("a", failed=True, now=0.0)
    expected = [StartChild("a", 0.0), StartChild("b", 0.0), StartChild("c", 0.0)]
    assert expected == machine.child_exited("c", failed=True, now=0.0)


def test_a_child_that_goes_before_its_turn_to_stop_is_not_judged() -> None:
    machine = started("one_for_all", intensity=RestartIntensity(max_restarts=1))
    assert [StopChild("c")] == machine.child_exited("a", failed=True, now=0.0)
    assert [] == machine.child_exited("b", failed=True, now=0.0)
    expected = [StartChild("a", 0.0), StartChild("b", 0.0), StartChild("c", 0.0)]
    assert expected == machine.child_exited("c", failed=True, now=0.0)


@pytest.mark.parametrize(
    ("rule", "failed", "restarted"),
    [
        ("permanent", True, True),
        ("permanent", False, True),
        ("transient", True, True),
        ("transient", False, False),
        ("temporary", True, False),
        ("temporary", False, False),
    ],
)
def test_the_restart_rule_decides(rule: RestartRule, failed: bool, restarted: bool) -> None:
    machine = started(a=rule, b="permanent")
    expected = [StartChild("a", 0.0)] if restarted else []
    assert expected == machine.child_exited("a", failed=failed, now=0.0)


def test_a_temporary_child_is_stopped_with_the_others_and_not_started_again() -> None:
    machine = started("one_for_all", a="permanent", b="temporary")
    assert [StopChild("b")] == machine.child_exited("a", failed=True, now=0.0)
    assert [StartChild("a", 0.0)] == machine.child_exited("b", failed=True, now=0.0)


def test_it_ends_when_every_child_has_ended_for_good() -> None:
    machine = started(a="transient", b="temporary")
    assert [] == machine.child_exited("a", failed=False, now=0.0)
    assert [SupervisionEnded(None)] == machine.child_exited("b", failed=True, now=0.0)
    assert [] == machine.stop()


def test_no_children_is_an_end_at_once() -> None:
    machine = Supervision({}, "one_for_one", RestartIntensity(), NO_WAIT)
    assert [SupervisionEnded(None)] == machine.start()


def test_stop_stops_one_at_a_time_last_first() -> None:
    machine = started()
    assert [StopChild("c")] == machine.stop()
    assert [] == machine.stop()
    assert [StopChild("b")] == machine.child_exited("c", failed=False, now=0.0)
    assert [StopChild("a")] == machine.child_exited("b", failed=True, now=0.0)
    assert [SupervisionEnded(None)] == machine.child_exited("a", failed=False, now=0.0)


def test_stop_gives_up_a_restart_under_way() -> None:
    machine = started("one_for_all")
    assert [StopChild("c")] == machine.child_exited("b", failed=True, now=0.0)
    assert [] == machine.stop()
    assert [StopChild("a")] == machine.child_exited("c", failed=True, now=0.0)
    assert [SupervisionEnded(None)] == machine.child_exited("a", failed=True, now=0.0)


def test_the_intensity_is_inclusive_and_one_more_gives_up() -> None:
    machine = started(intensity=RestartIntensity(max_restarts=2, window_s=10.0), a="permanent", b="permanent")
    assert [StartChild("a", 0.0)] == machine.child_exited("a", failed=True, now=0.0)
    assert [StartChild("b", 0.0)] == machine.child_exited("b", failed=True, now=5.0)
    assert 2 == machine.restarts_within_window(10.0)
    assert [StopChild("b")] == machine.child_exited("a", failed=True, now=10.0)
    assert [SupervisionEnded("a")] == machine.child_exited("b", failed=False, now=10.0)


def test_restarts_older_than_the_window_do_not_count() -> None:
    machine = started(intensity=RestartIntensity(max_restarts=1, window_s=10.0), a="permanent")
    assert [StartChild("a", 0.0)] == machine.child_exited("a", failed=True, now=0.0)
    assert 1 == machine.restarts_within_window(10.0)
    assert 0 == machine.restarts_within_window(10.5)
    assert [StartChild("a", 0.0)] == machine.child_exited("a", failed=True, now=10.5)


def test_no_restart_allowed_gives_up_at_once() -> None:
    machine = started(intensity=RestartIntensity(max_restarts=0), a="permanent")
    assert [SupervisionEnded("a")] == machine.child_exited("a", failed=True, now=0.0)


def test_the_back_off_grows_with_the_restarts_of_the_window_and_ends_with_it() -> None:
    machine = started(
        intensity=RestartIntensity(max_restarts=3, window_s=10.0),
        backoff=Backoff(initial_s=1.0, factor=3.0, max_s=5.0),
        a="permanent",
    )
    assert [StartChild("a", 1.0)] == machine.child_exited("a", failed=True, now=0.0)
    assert [StartChild("a", 3.0)] == machine.child_exited("a", failed=True, now=1.0)
    assert [StartChild("a", 5.0)] == machine.child_exited("a", failed=True, now=2.0)
    assert [StartChild("a", 1.0)] == machine.child_exited("a", failed=True, now=100.0)


def test_a_huge_back_off_is_capped() -> None:
    assert 7.0 == Backoff(initial_s=1.0, factor=10.0, max_s=7.0).delay_s(10_000)
    assert 0.0 == Backoff(initial_s=0.0, factor=10.0, max_s=7.0).delay_s(10_000)


@pytest.mark.parametrize(
    ("make", "named"),
    [
        (lambda: RestartIntensity(max_restarts=-1), "max_restarts"),
        (lambda: RestartIntensity(window_s=0.0), "window_s"),
        (lambda: Backoff(initial_s=-1.0), "initial_s"),
        (lambda: Backoff(max_s=float("inf")), "max_s"),
        (lambda: Backoff(factor=0.5), "factor"),
        (lambda: Backoff(factor=float("nan")), "factor"),
        (lambda: Supervision({}, cast(Any, "all"), RestartIntensity(), NO_WAIT), "strategy"),
        (lambda: started(a=cast(Any, "often")), "restart of child 'a'"),
    ],
)
def test_a_wrong_setting_is_named(make: Any, named: str) -> None:
    with pytest.raises(InvalidError, match=named):
        make()


class SupervisionMachine(RuleBasedStateMachine):
    """Random exits and stops; the shell is played faithfully, with exits in any order."""

    @initialize(
        strategy=st.sampled_from(["one_for_one", "one_for_all", "rest_for_one"]),
        restart_rules=st.lists(
            st.sampled_from(["permanent", "transient", "temporary"]), min_size=1, max_size=5
        ),
        max_restarts=st.integers(0, 3),
    )
    def begin(self, strategy: Strategy, restart_rules: list[RestartRule], max_restarts: int) -> None:
        self.restart_rules = dict(zip("abcde", restart_rules, strict=False))
        self.intensity = RestartIntensity(max_restarts=max_restarts, window_s=10.0)
        self.machine = Supervision(self.restart_rules, strategy, self.intensity, NO_WAIT)
        self.now = 0.0
        self.alive: set[str] = set()
        self.stopping: str | None = None
        self.ended = False
        self.closing = False
        self.obey(self.machine.start())

    def obey(self, effects: list[SupervisionEffect]) -> None:
        for effect in effects:
            assert not self.ended
            if isinstance(effect, StartChild):
                assert effect.name not in self.alive
                assert not self.closing
                self.alive.add(effect.name)
            elif isinstance(effect, StopChild):
                assert self.stopping is None
                assert effect.name in self.alive
                self.stopping = effect.name
            else:
                assert set() == self.alive
                self.ended = True

    @precondition(lambda self: not self.ended and self.alive)
    @rule(data=st.data(), failed=st.booleans(), seconds=st.sampled_from([0.0, 1.0, 20.0]))
    def a_child_exits(self, data: st.DataObject, failed: bool, seconds: float) -> None:
        self.now += seconds
        name = data.draw(st.sampled_from(sorted(self.alive)))
        self.alive.remove(name)
        if self.stopping == name:
            self.stopping = None
        self.obey(self.machine.child_exited(name, failed=failed, now=self.now))

    @precondition(lambda self: not self.ended)
    @rule()
    def it_is_stopped(self) -> None:
        self.closing = True
        self.obey(self.machine.stop())

    @precondition(lambda self: self.ended)
    @rule()
    def nothing_happens_after_the_end(self) -> None:
        assert [] == self.machine.stop()

    @invariant()
    def the_intensity_holds(self) -> None:
        if hasattr(self, "machine"):
            assert self.machine.restarts_within_window(self.now) <= self.intensity.max_restarts

    @invariant()
    def the_states_are_those_of_the_children(self) -> None:
        if hasattr(self, "machine"):
            states = self.machine.states()
            assert self.alive == {name for name, state in states.items() if state is not ChildState.ENDED}
            stopping = {name for name, state in states.items() if state is ChildState.STOPPING}
            assert ({self.stopping} if self.stopping else set()) == stopping

    @invariant()
    def it_never_stalls(self) -> None:
        """Somebody lives, or it has ended."""
        if hasattr(self, "machine"):
            assert self.alive or self.ended

    def teardown(self) -> None:
        if hasattr(self, "machine") and not self.ended:
            self.closing = True
            self.obey(self.machine.stop())
            while not self.ended:
                assert self.stopping is not None
                name, self.stopping = self.stopping, None
                self.alive.remove(name)
                self.obey(self.machine.child_exited(name, failed=True, now=self.now))


TestSupervisionMachine = SupervisionMachine.TestCase

# SPDX-License-Identifier: Apache-2.0
"""The thread budget: never above its ceiling, nobody starves, no thread idles without a reason."""

from __future__ import annotations

from collections import Counter
from random import Random
from typing import Any

import pytest
from hypothesis import assume, given
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, initialize, invariant, precondition, rule

from actorpool._core._threads import ThreadBudget, ThreadBudgetStatistics
from actorpool.exception import InternalError, InvalidError


def test_threads_below_the_ceiling_are_granted_at_once() -> None:
    budget = ThreadBudget[str](10)
    assert budget.request("a", 6, "a1")
    assert budget.request("b", 4, "b1")
    assert not budget.request("b", 1, "b2")
    assert (6, 4, 0) == (budget.held("a"), budget.held("b"), budget.held("c"))
    assert budget.waiting == 1
    assert (False, True) == ("a1" in budget, "b2" in budget)


def test_released_threads_go_to_whoever_waits() -> None:
    budget = ThreadBudget[str](10)
    budget.request("a", 10, "a1")
    budget.request("b", 3, "b1")
    assert [] == budget.release("a", 2)
    assert ["b1"] == budget.release("a", 1)
    assert [] == budget.release("b", 3)
    assert (7, 0) == (budget.held("a"), budget.held("b"))


def test_owners_that_wait_take_turns_and_each_is_served_in_the_order_of_its_requests() -> None:
    budget = ThreadBudget[str](6)
    budget.request("x", 6, "x1")
    for ticket in ("a1", "a2", "a3", "b1", "c1", "c2"):
        assert not budget.request(ticket[0], 1, ticket)
    expected = ["a1", "b1", "c1", "a2", "c2", "a3"]
    assert expected == budget.release("x", 6)


def test_the_turn_outlasts_a_release() -> None:
    budget = ThreadBudget[str](3)
    budget.request("x", 3, "x1")
    for ticket in ("a1", "a2", "b1"):
        budget.request(ticket[0], 1, ticket)
    assert ["a1"] == budget.release("x", 1)
    assert ["b1"] == budget.release("x", 1)
    assert ["a2"] == budget.release("x", 1)


def test_small_requests_pass_a_large_one_until_they_took_as_many_threads_as_it_asks_for() -> None:
    budget = ThreadBudget[str](10)
    budget.request("x", 7, "x1")
    assert not budget.request("large", 6, "l1")
    assert budget.request("b", 3, "b1")
    assert [] == budget.release("b", 3)
    assert budget.request("b", 3, "b2")
    assert [] == budget.release("b", 3)
    # Six threads went past it; the three that are free are kept now.
    assert not budget.request("b", 1, "b3")
    assert budget.statistics().kept_for == "large"
    assert [] == budget.release("x", 2)
    assert ["l1", "b3"] == budget.release("x", 2)
    assert budget.statistics().kept_for is None


def test_a_request_too_large_to_pass_does_not_stop_a_smaller_one_behind_it() -> None:
    budget = ThreadBudget[str](10)
    budget.request("x", 6, "x1")
    budget.request("large", 5, "l1")
    assert budget.request("b", 3, "b1")
    budget.release("b", 3)
    assert not budget.request("b", 3, "b2")
    assert budget.statistics().kept_for == "large"
    assert budget.request("c", 2, "c1")


def test_threads_are_kept_for_the_strictest_of_several_large_requests() -> None:
    budget = ThreadBudget[str](10)
    budget.request("x", 8, "x1")
    budget.request("l", 9, "l1")
    budget.request("m", 3, "m1")
    assert budget.request("b", 2, "b1")
    budget.release("b", 2)
    assert not budget.request("b", 2, "b2")
    assert budget.statistics().kept_for == "m"
    # The ticket that held it up is withdrawn, so it is granted.
    assert ["b2"] == budget.withdraw("m1")


def test_the_strictest_request_is_the_one_that_may_be_passed_by_the_fewest_threads() -> None:
    budget = ThreadBudget[str](10)
    budget.request("x", 6, "x1")
    budget.request("l", 9, "l1")
    for count in (4, 3):
        assert budget.request("b", count, "b")
        budget.release("b", count)
    budget.request("m", 5, "m1")
    assert not budget.request("b", 3, "b")
    assert budget.statistics().kept_for == "l"


def test_nothing_is_kept_for_an_owner_whose_own_threads_are_in_its_way() -> None:
    budget = ThreadBudget[str](10)
    budget.request("a", 6, "a1")
    assert not budget.request("a", 5, "a2")
    for number in range(10):
        assert budget.request("b", 4, f"b{number}")
        assert [] == budget.release("b", 4)
    assert budget.statistics().kept_for is None
    assert ["a2"] == budget.release("a", 1)


def test_let_pass_breaks_the_circle_of_a_large_request_that_waits_for_a_holder_that_waits() -> None:
    budget = ThreadBudget[str](10)
    budget.request("a", 2, "a1")
    budget.request("large", 9, "l1")
    assert budget.request("b", 8, "b1")
    budget.release("b", 8)
    assert not budget.request("a", 2, "a2")
    assert budget.statistics().kept_for == "large"
    assert ["a2"] == budget.let_pass()
    assert [] == budget.let_pass()
    # It may be passed by nine threads anew, of which two went.
    assert not budget.request("b", 8, "b2")
    assert budget.request("c", 6, "c1")


def test_withdrawing_the_head_lets_the_next_of_its_owner_be_granted() -> None:
    budget = ThreadBudget[str](4)
    budget.request("x", 3, "x1")
    budget.request("a", 4, "a1")
    budget.request("a", 1, "a2")
    assert ["a2"] == budget.withdraw("a1")
    assert budget.waiting == 0


def test_withdrawing_what_does_not_wait_is_our_error() -> None:
    budget = ThreadBudget[str](4)
    budget.request("a", 3, "a1")
    for ticket in ("a1", "never"):
        with pytest.raises(InternalError, match=f"ticket '{ticket}' is withdrawn, but it does not wait"):
            budget.withdraw(ticket)


def test_a_higher_ceiling_grants_what_waits() -> None:
    budget = ThreadBudget[str](2)
    budget.request("a", 2, "a1")
    budget.request("b", 2, "b1")
    budget.request("c", 2, "c1")
    resized = budget.resize(5)
    assert (["b1"], []) == (resized.granted, resized.refused)
    assert budget.ceiling == 5


def test_a_lower_ceiling_takes_no_threads_away_and_refuses_what_can_never_fit() -> None:
    budget = ThreadBudget[str](10)
    budget.request("a", 8, "a1")
    budget.request("b", 6, "b1")
    budget.request("b", 3, "b2")
    resized = budget.resize(5)
    assert ([], ["b1"]) == (resized.granted, resized.refused)
    assert (8, 8) == (budget.held("a"), budget.statistics().held)
    assert "b1" not in budget
    assert [] == budget.release("a", 5)
    assert ["b2"] == budget.release("a", 1)


def test_a_lower_ceiling_that_refuses_a_large_request_frees_what_was_kept_for_it() -> None:
    budget = ThreadBudget[str](10)
    budget.request("x", 3, "x1")
    budget.request("l", 8, "l1")
    budget.request("b", 4, "b1")
    budget.release("b", 4)
    budget.request("b", 5, "b2")
    resized = budget.resize(7)
    assert ([], ["l1"]) == (resized.granted, resized.refused)
    assert ["b2"] == budget.release("x", 1)


def test_a_request_above_the_ceiling_is_refused_with_both_numbers() -> None:
    budget = ThreadBudget[str](10)
    with pytest.raises(InvalidError, match=r"'resize' asks for 11 threads at once, .* is 10;"):
        budget.request("resize", 11, "r1")
    assert "r1" not in budget


@pytest.mark.parametrize("count", [0, -1, True, 1.5])
def test_a_request_for_no_whole_number_of_threads_is_refused(count: Any) -> None:
    with pytest.raises(InvalidError, match=r"^count must be"):
        ThreadBudget[str](10).request("a", count, "a1")


@pytest.mark.parametrize("ceiling", [0, -1, True, 1.5, None])
def test_a_ceiling_of_no_threads_is_refused(ceiling: Any) -> None:
    with pytest.raises(InvalidError, match=r"^ceiling must be"):
        ThreadBudget[str](ceiling)
    budget = ThreadBudget[str](3)
    with pytest.raises(InvalidError, match=r"^ceiling must be"):
        budget.resize(ceiling)
    assert budget.ceiling == 3


def test_a_ticket_that_waits_cannot_be_used_again() -> None:
    budget = ThreadBudget[str](1)
    budget.request("a", 1, "a1")
    budget.request("b", 1, "b1")
    with pytest.raises(InternalError, match="ticket 'b1' of 'c' waits already"):
        budget.request("c", 1, "b1")
    assert budget.waiting == 1


@pytest.mark.parametrize(("owner", "count"), [("a", 4), ("a", 0), ("a", -1), ("b", 1)])
def test_releasing_more_than_is_held_is_our_error_and_changes_nothing(owner: str, count: int) -> None:
    budget = ThreadBudget[str](5)
    budget.request("a", 3, "a1")
    with pytest.raises(InternalError, match=f"'{owner}' releases {count} threads and holds"):
        budget.release(owner, count)
    assert (3, 0) == (budget.held("a"), budget.held("b"))


def test_over_share_is_the_largest_holder_while_others_wait() -> None:
    budget = ThreadBudget[str](10)
    assert budget.over_share() is None
    budget.request("a", 4, "a1")
    budget.request("b", 6, "b1")
    assert budget.over_share() is None
    budget.request("b", 1, "b2")
    # Only the largest holder itself waits: nobody is to make room for it.
    assert budget.over_share() is None
    budget.request("c", 1, "c1")
    assert budget.over_share() == "b"


def test_over_share_of_equal_holders_is_the_one_that_another_waits_for() -> None:
    budget = ThreadBudget[str](10)
    budget.request("a", 5, "a1")
    budget.request("b", 5, "b1")
    budget.request("a", 1, "a2")
    assert budget.over_share() == "b"
    budget.request("c", 1, "c1")
    assert budget.over_share() == "a"


def test_statistics_and_repr_show_who_holds_and_who_waits() -> None:
    budget = ThreadBudget[str](10)
    budget.request("b", 4, "b1")
    budget.request("a", 5, "a1")
    budget.request("a", 3, "a2")
    budget.request("c", 2, "c1")
    expected = ThreadBudgetStatistics(
        ceiling=10,
        held=9,
        waiting=2,
        waiting_threads=5,
        holders=(("b", 4), ("a", 5)),
        kept_for=None,
    )
    assert expected == budget.statistics()
    assert "<ThreadBudget held=9/10 waiting=2>" == repr(budget)


class Model:
    """The rule of the module, as a list of `[owner, ticket, count, passed]` looked at afresh each time."""

    def __init__(self, ceiling: int) -> None:
        self.ceiling = ceiling
        self.held: Counter[str] = Counter()
        self.ring: list[str] = []
        self.queues: dict[str, list[list[Any]]] = {}

    @property
    def free(self) -> int:
        return self.ceiling - self.held.total()

    @property
    def tickets(self) -> list[int]:
        return sorted(request[0] for queue in self.queues.values() for request in queue)

    def add(self, owner: str, count: int, ticket: int) -> None:
        if owner not in self.ring:
            self.ring.append(owner)
            self.queues[owner] = []
        self.queues[owner].append([ticket, count, 0])

    def drop(self, owner: str, request: list[Any]) -> None:
        self.queues[owner].remove(request)
        if not self.queues[owner]:
            self.ring.remove(owner)
            del self.queues[owner]

    def obstacles(self, position: int) -> list[list[Any]]:
        """Heads before that position in the ring which do not fit, though their owners leave them room."""
        heads = [(owner, self.queues[owner][0]) for owner in self.ring[:position]]
        return [
            head
            for owner, head in heads
            if head[1] > self.free and self.held[owner] + head[1] <= self.ceiling
        ]

    def grantable(self) -> int | None:
        for position, owner in enumerate(self.ring):
            _, count, _ = self.queues[owner][0]
            if count <= self.free and all(head[2] + count <= head[1] for head in self.obstacles(position)):
                return position
        return None

    def settle(self) -> list[int]:
        granted = []
        while (position := self.grantable()) is not None:
            owner = self.ring[position]
            request = self.queues[owner][0]
            for head in self.obstacles(position):
                head[2] += request[1]
            self.held[owner] += request[1]
            self.drop(owner, request)
            if owner in self.ring:
                self.ring.remove(owner)
                self.ring.append(owner)
            granted.append(request[0])
        return granted


OWNERS = "abcd"


class BudgetMachine(RuleBasedStateMachine):
    """Requests, releases, withdrawals and resizes in any order, beside the naive model."""

    @initialize(ceiling=st.integers(1, 12))
    def build(self, ceiling: int) -> None:
        self.budget = ThreadBudget[int](ceiling)
        self.model = Model(ceiling)
        self.number = 0
        # Above the ceiling only as far as a lower ceiling left it.
        self.allowed = ceiling

    @rule(owner=st.sampled_from(OWNERS), count=st.integers(1, 12))
    def request(self, owner: str, count: int) -> None:
        assume(count <= self.model.ceiling)
        self.number += 1
        self.model.add(owner, count, self.number)
        expected = self.model.settle()
        assert expected == ([self.number] if self.budget.request(owner, count, self.number) else [])

    @precondition(lambda self: self.model.held.total())
    @rule(data=st.data())
    def release(self, data: st.DataObject) -> None:
        owner = data.draw(st.sampled_from(sorted(+self.model.held)))
        count = data.draw(st.integers(1, self.model.held[owner]))
        self.model.held[owner] -= count
        assert self.model.settle() == self.budget.release(owner, count)

    @precondition(lambda self: self.model.tickets)
    @rule(data=st.data())
    def withdraw(self, data: st.DataObject) -> None:
        ticket = data.draw(st.sampled_from(self.model.tickets))
        for owner, queue in list(self.model.queues.items()):
            for request in list(queue):
                if request[0] == ticket:
                    self.model.drop(owner, request)
        assert self.model.settle() == self.budget.withdraw(ticket)

    @rule()
    def let_pass(self) -> None:
        for queue in self.model.queues.values():
            for request in queue:
                request[2] = 0
        assert self.model.settle() == self.budget.let_pass()

    @rule(ceiling=st.integers(1, 12))
    def resize(self, ceiling: int) -> None:
        self.model.ceiling = ceiling
        refused = []
        for owner, queue in list(self.model.queues.items()):
            for request in list(queue):
                if request[1] > ceiling:
                    refused.append(request[0])
                    self.model.drop(owner, request)
        expected = self.model.settle()
        resized = self.budget.resize(ceiling)
        assert (expected, sorted(refused)) == (resized.granted, resized.refused)

    @invariant()
    def nothing_is_above_the_ceiling(self) -> None:
        held = self.budget.statistics().held
        assert held <= max(self.budget.ceiling, self.allowed)
        self.allowed = held

    @invariant()
    def both_agree(self) -> None:
        statistics = self.budget.statistics()
        assert +self.model.held == dict(statistics.holders)
        assert (self.model.held.total(), len(self.model.tickets)) == (statistics.held, statistics.waiting)
        assert all(ticket in self.budget for ticket in self.model.tickets)

    @invariant()
    def free_threads_idle_only_for_a_head_that_keeps_them(self) -> None:
        heads = [self.model.queues[owner][0] for owner in self.model.ring]
        fitting = [head for head in heads if head[1] <= self.model.free]
        kept_for = self.budget.statistics().kept_for
        assert bool(fitting) == (kept_for is not None)
        if kept_for is not None:
            _, count, passed = self.model.queues[str(kept_for)][0]
            assert count > self.model.free
            assert all(passed + head[1] > count for head in fitting[:1])

    @invariant()
    def over_share_holds_most_while_another_waits(self) -> None:
        owner = self.budget.over_share()
        waiting = set(self.model.ring)
        if owner is None:
            assert (
                not waiting
                or {
                    name
                    for name, held in self.model.held.items()
                    if 0 < held == max(self.model.held.values())
                }
                <= waiting
            )
            assert len(waiting) <= 1 or not self.model.held.total()
        else:
            assert max(self.model.held.values()) == self.model.held[str(owner)]
            assert waiting - {owner}

    def teardown(self) -> None:
        """When all that is held is released again and again, every ticket is granted."""
        if hasattr(self, "budget"):
            while self.budget.waiting:
                waiting = self.budget.waiting
                for owner, count in self.budget.statistics().holders:
                    self.budget.release(owner, count)
                assert self.budget.waiting < waiting
            assert self.budget.statistics().kept_for is None


TestBudgetMachine = pytest.mark.slow(BudgetMachine.TestCase)


@given(
    ceiling=st.integers(2, 12),
    own=st.integers(0, 3),
    wanted=st.integers(1, 12),
    greed=st.sampled_from([1, 2, 4, 12]),
    seed=st.integers(0, 2**32),
)
def test_a_ticket_is_granted_after_boundedly_many_releases_of_greedy_others(
    ceiling: int, own: int, wanted: int, greed: int, seed: int
) -> None:
    """The others ask for more before each release and release in the order that hurts at random."""
    assume(own + wanted <= ceiling)
    random = Random(seed)
    budget = ThreadBudget[object](ceiling)
    others = ["a", "b", "c"]

    def ask() -> None:
        for owner in others:
            for _ in range(2):
                budget.request(owner, random.randint(1, min(greed, ceiling)), object())

    if own:
        assert budget.request("victim", own, "own")
    ask()
    freed = 0
    waits = not budget.request("victim", wanted, "ticket")
    # Each other owner is granted at most once before it and passes it boundedly; the rest is its own threads.
    bound = 2 * (len(others) + 1) * ceiling
    while waits:
        assert freed <= bound
        ask()
        holders = [(owner, count) for owner, count in budget.statistics().holders if owner != "victim"]
        if not holders:
            # Threads are kept for a head that cannot be granted without those the victim holds.
            assert own
            waits = "ticket" not in budget.let_pass()
            continue
        owner, held = random.choice(holders)
        count = random.randint(1, held)
        freed += count
        waits = "ticket" not in budget.release(owner, count)
    assert own + wanted == budget.held("victim")


@given(st.integers(1, 8), st.lists(st.tuples(st.integers(0, 3), st.sampled_from(OWNERS), st.integers(1, 8))))
def test_the_same_calls_give_the_same_results(ceiling: int, calls: list[tuple[int, str, int]]) -> None:
    def replay() -> list[object]:
        budget = ThreadBudget[int](ceiling)
        log: list[object] = []
        for number, (kind, owner, count) in enumerate(calls):
            if kind <= 1 and count <= budget.ceiling:
                log.append(budget.request(owner, count, number))
            elif kind == 2 and budget.held(owner):
                log.append(budget.release(owner, min(count, budget.held(owner))))
            elif kind == 3:
                log.append(budget.resize(count))
            log += [budget.statistics(), budget.over_share()]
        return log

    assert replay() == replay()

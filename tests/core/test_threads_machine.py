# SPDX-License-Identifier: Apache-2.0
"""The thread budget beside a naive model of its rule, under whatever requests and releases."""

from __future__ import annotations

from collections import Counter
from random import Random
from typing import Any

import pytest
from hypothesis import assume, given
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, initialize, invariant, precondition, rule

from actorpool._core._threads import ThreadBudget


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

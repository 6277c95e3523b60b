# SPDX-License-Identifier: Apache-2.0
"""The thread budget: never above its ceiling, nobody starves, no thread idles without a reason."""

from __future__ import annotations

from typing import Any

import pytest

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

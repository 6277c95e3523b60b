# SPDX-License-Identifier: Apache-2.0
"""A container is replaced for its age or its size: once, and not before."""

from __future__ import annotations

from math import inf

from actorpool._core._recycling import Age, Weight


def test_the_age_counts_from_when_it_is_ready() -> None:
    age = Age(60.0)
    assert inf == age.retire_at
    age.ready(5.0)
    assert 65.0 == age.retire_at


def test_without_a_limit_it_may_grow_as_old_as_it_likes() -> None:
    age = Age(None)
    age.ready(5.0)
    assert inf == age.retire_at


def test_its_size_is_looked_at_now_and_then() -> None:
    weight = Weight(100, every_s=0.5)
    assert [True, False, True, False] == [weight.due(now) for now in (3.0, 3.4, 3.5, 3.9)]


def test_it_is_replaced_above_the_limit_and_that_is_said_once() -> None:
    weight = Weight(100, every_s=0.5)
    assert [False, False, True, False] == [weight.exceeded(size) for size in (None, 100, 101, 102)]
    assert not weight.due(1_000.0)


def test_without_a_limit_it_is_not_looked_at() -> None:
    weight = Weight(None, every_s=0.5)
    assert not weight.due(0.0)
    assert not weight.exceeded(1 << 60)

# SPDX-License-Identifier: Apache-2.0
"""Retries: what the setting accepts, and how long each retry waits."""

from __future__ import annotations

import pickle
from typing import Any

import attrs
import pytest
from hypothesis import given
from hypothesis import strategies as st

from actorpool._core._retry import RetryPolicy
from actorpool.exception import InvalidError
from actorpool.retries import Retries


def delays(retries: object, attempts: int) -> list[float | None]:
    policy = RetryPolicy.of(retries)
    assert policy is not None
    return [policy.delay_s(attempt) for attempt in range(1, attempts + 1)]


def test_retries_have_the_documented_defaults() -> None:
    retries = Retries(max_retries=3)
    expected = Retries(max_retries=3, backoff_coefficient=2.0, initial_delay=1.0, max_delay=60.0)
    assert expected == retries
    assert hash(expected) == hash(retries)


def test_retries_are_a_frozen_value() -> None:
    retries = Retries(max_retries=1)
    with pytest.raises(attrs.exceptions.FrozenInstanceError):
        retries.max_retries = 2  # type: ignore[misc]
    assert retries == pickle.loads(pickle.dumps(retries))
    expected = "Retries(max_retries=1, backoff_coefficient=2.0, initial_delay=1.0, max_delay=60.0)"
    assert expected == repr(retries)


def test_retries_need_max_retries_and_take_names_only() -> None:
    with pytest.raises(TypeError, match="max_retries"):
        Retries()  # type: ignore[call-arg]
    with pytest.raises(TypeError, match="positional"):
        Retries(3)  # type: ignore[call-arg]


@pytest.mark.parametrize(
    "bounds",
    [
        {"max_retries": 0},
        {"max_retries": 1, "backoff_coefficient": 1},
        {"max_retries": 1, "backoff_coefficient": 10.0},
        {"max_retries": 1, "initial_delay": 0},
        {"max_retries": 1, "initial_delay": 60.0},
        {"max_retries": 1, "max_delay": 1},
        {"max_retries": 1, "max_delay": 60},
    ],
)
def test_retries_accept_the_ends_of_each_range(bounds: dict[str, Any]) -> None:
    retries = Retries(**bounds)
    assert bounds == {name: getattr(retries, name) for name in bounds}


@pytest.mark.parametrize(
    ("name", "value"),
    [
        ("max_retries", -1),
        ("max_retries", 1.0),
        ("max_retries", True),
        ("max_retries", None),
        ("backoff_coefficient", 0.99),
        ("backoff_coefficient", 10.01),
        ("backoff_coefficient", float("nan")),
        ("backoff_coefficient", "2"),
        ("initial_delay", -0.01),
        ("initial_delay", 60.01),
        ("initial_delay", True),
        ("max_delay", 0.99),
        ("max_delay", 60.01),
        ("max_delay", float("inf")),
        ("max_delay", None),
    ],
)
def test_retries_refuse_a_value_out_of_range_and_name_it(name: str, value: Any) -> None:
    with pytest.raises(InvalidError, match=f"^{name} must be"):
        Retries(**{"max_retries": 3, name: value})


@pytest.mark.parametrize("nothing", [None, 0, Retries(max_retries=0)])
def test_no_retries_are_no_policy(nothing: object) -> None:
    assert RetryPolicy.of(nothing) is None


def test_a_whole_number_means_that_many_retries_one_second_apart() -> None:
    expected = [1.0, 1.0, 1.0, None, None]
    assert expected == delays(3, 5)


@pytest.mark.parametrize("value", [True, False, -1, 2.0, "3", [1]])
def test_other_values_of_the_setting_are_refused(value: object) -> None:
    with pytest.raises(InvalidError, match=r"^retries must be"):
        RetryPolicy.of(value)


def test_delays_grow_by_the_coefficient_up_to_the_longest() -> None:
    expected = [3.0, 6.0, 12.0, 20.0, 20.0, None]
    assert expected == delays(Retries(max_retries=5, initial_delay=3.0, max_delay=20.0), 6)


def test_delays_are_at_least_a_second() -> None:
    expected = [1.0, 1.0, 1.0, 2.0, None]
    assert expected == delays(Retries(max_retries=4, initial_delay=0.25), 5)
    assert [1.0] * 4 == delays(Retries(max_retries=4, initial_delay=0, backoff_coefficient=10), 4)


@pytest.mark.parametrize(("initial", "expected"), [(1.0, 60.0), (0.0, 1.0)])
def test_delay_of_a_very_late_attempt_is_still_a_number(initial: float, expected: float) -> None:
    policy = RetryPolicy.of(Retries(max_retries=10**6, initial_delay=initial, backoff_coefficient=10))
    assert policy is not None
    assert expected == policy.delay_s(10**6)


def test_attempts_are_counted_from_one() -> None:
    policy = RetryPolicy.of(1)
    assert policy is not None
    with pytest.raises(AssertionError):
        policy.delay_s(0)


@given(
    retries=st.builds(
        Retries,
        max_retries=st.integers(1, 40),
        backoff_coefficient=st.floats(1, 10),
        initial_delay=st.floats(0, 60),
        max_delay=st.floats(1, 60),
    )
)
def test_delays_never_shrink_stay_in_bounds_and_end(retries: Retries) -> None:
    found = delays(retries, retries.max_retries + 1)
    assert found.pop() is None
    numbers = [delay for delay in found if delay is not None]
    assert retries.max_retries == len(numbers)
    assert sorted(numbers) == numbers
    assert all(1 <= delay <= retries.max_delay for delay in numbers)
    # Asked again, a policy answers the same.
    assert numbers == delays(retries, retries.max_retries)

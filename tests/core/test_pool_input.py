# SPDX-License-Identifier: Apache-2.0
"""An input's record."""

from __future__ import annotations

import pytest

from actorpool._core._input import (
    CANCELLED,
    DELAYED,
    FAILED,
    NEW,
    PENDING,
    RUNNING,
    SUCCEEDED,
    TIMED_OUT,
    Input,
)


def an_input(target: str, parent: Input | None = None) -> Input:
    return Input(target, (), None, None, parent=parent)


@pytest.mark.parametrize("state", [NEW, PENDING, RUNNING, DELAYED])
def test_an_input_without_an_outcome_is_not_done(state: int) -> None:
    input = an_input("f")
    input.state = state
    assert not input.done


@pytest.mark.parametrize("state", [SUCCEEDED, FAILED, CANCELLED, TIMED_OUT])
def test_every_outcome_is_final(state: int) -> None:
    input = an_input("f")
    input.state = state
    assert input.done


def test_the_latest_record_is_that_of_the_present_attempt() -> None:
    first = an_input("f")
    assert first is first.latest()
    second = first.again()
    third = second.again()
    assert (third, 3) == (first.latest(), third.attempt)


def test_the_lineage_runs_from_the_oldest_ancestor_to_the_input() -> None:
    a = an_input("a")
    b = an_input("b", a)
    c = an_input("c", b)
    assert [a, b, c] == c.lineage()
    assert [a] == a.lineage()


def test_an_input_shows_its_function_state_and_attempt() -> None:
    input = an_input("f")
    input.state, input.attempt = TIMED_OUT, 2
    assert repr(input) == "<Input of f timed out attempt=2>"

# SPDX-License-Identifier: Apache-2.0
"""Seconds as people write and read them."""

from __future__ import annotations

import pytest

from actorpool.exception import InvalidError
from actorpool.simulate._units import (
    duration_text,
    exact_text,
    parse_seconds,
    tick_step_s,
    tick_text,
    time_text,
)


@pytest.mark.parametrize(
    ("word", "seconds"),
    [
        ("30", 30.0),
        ("0.5s", 0.5),
        (".5 s", 0.5),
        ("500ms", 0.5),
        ("250us", 0.00025),
        ("5min", 300.0),
        ("5m", 300.0),
        ("2h", 7200.0),
        ("1D", 86_400.0),
        ("0", 0.0),
    ],
)
def test_lengths_of_time_are_read(word: str, seconds: float) -> None:
    assert seconds == pytest.approx(parse_seconds(word))


@pytest.mark.parametrize("word", ["", "s", "-1", "1e3", "five", "5 weeks", "1:30", "nan"])
def test_what_is_no_length_of_time_is_refused(word: str) -> None:
    with pytest.raises(InvalidError, match=f"'{word}' is no length of time"):
        parse_seconds(word)


@pytest.mark.parametrize(
    ("seconds", "text"),
    [
        (0.0, "0 s"),
        (0.0000123, "12.3 µs"),
        (0.000999, "999 µs"),
        (0.0012, "1.2 ms"),
        (0.0345, "34.5 ms"),
        (0.5, "0.50 s"),
        (7.04, "7.0 s"),
        (45.0, "45.0 s"),
        (119.0, "119 s"),
        (600.0, "10.0 min"),
        (7_199.0, "120 min"),
        (9_000.0, "2.5 h"),
        (3_600_000.0, "1,000 h"),
    ],
)
def test_a_measured_time_has_two_or_three_figures(seconds: float, text: str) -> None:
    assert text == duration_text(seconds)


@pytest.mark.parametrize(
    ("seconds", "text"),
    [
        (0.0, "0 s"),
        (0.25, "250 ms"),
        (5.0, "5 s"),
        (90.0, "90 s"),
        (120.0, "2 min"),
        (7200.0, "2 h"),
        (1e-4, "0.0001 s"),
    ],
)
def test_a_chosen_time_is_shown_exactly(seconds: float, text: str) -> None:
    assert text == exact_text(seconds)


def test_the_marks_of_a_time_axis_are_round() -> None:
    assert [1.0, 10.0, 300.0, 10_800.0] == [tick_step_s(span, 9) for span in (9.0, 61.0, 2_500.0, 86_400.0)]
    assert tick_step_s(1e12, 9) == tick_step_s(1e11, 9)
    assert ["0 s", "2.5 s", "90 s"] == [time_text(s, 0.5) for s in (0.0, 2.5, 90.0)]
    assert ["0 min", "5 min", "1 h", "1:05 h"] == [time_text(s, 300.0) for s in (0.0, 300.0, 3600.0, 3900.0)]
    assert ["11:40 min", "6 h"] == [time_text(700.0, 10.0), time_text(21_600.0, 10_800.0)]


@pytest.mark.parametrize(
    ("most", "marks", "texts"),
    [
        (0.2, (0.0, 0.05, 0.1, 0.2), ["0 ms", "50 ms", "100 ms", "200 ms"]),
        (2.0, (0.0, 0.5, 1.0, 1.5, 2.0), ["0 s", "0.5 s", "1 s", "1.5 s", "2 s"]),
        (600.0, (0.0, 120.0, 600.0), ["0 min", "2 min", "10 min"]),
        (36_000.0, (0.0, 7_200.0, 36_000.0), ["0 h", "2 h", "10 h"]),
    ],
)
def test_the_marks_of_an_axis_have_one_unit(most: float, marks: tuple[float, ...], texts: list[str]) -> None:
    assert texts == [tick_text(mark, most) for mark in marks]

# SPDX-License-Identifier: Apache-2.0
"""The running means a policy is told."""

from __future__ import annotations

import pytest

from actorpool._core._counts import Estimates


def test_the_startup_hint_holds_until_a_container_was_ready() -> None:
    estimates = Estimates(5.0)
    assert estimates.startup_s == 5.0
    estimates.started(1.0)
    assert estimates.startup_s == 1.0


def test_further_startups_move_the_mean_by_a_tenth() -> None:
    estimates = Estimates(0.0)
    estimates.started(1.0)
    estimates.started(2.0)
    assert estimates.startup_s == pytest.approx(1.1)


def test_the_service_time_is_unknown_until_an_input_has_ended() -> None:
    estimates = Estimates(0.0)
    estimates.served(0, 0.0)
    assert estimates.service_s is None
    estimates.served(4, 2.0)
    assert estimates.service_s == 0.5


def test_a_batch_of_ended_inputs_weighs_by_its_number() -> None:
    estimates = Estimates(0.0)
    estimates.served(1, 1.0)
    estimates.served(11, 31.0)
    assert estimates.service_s == pytest.approx(1.0 + (3.0 - 1.0) * 10 / 20)


def test_looking_twice_at_the_same_totals_learns_nothing() -> None:
    estimates = Estimates(0.0)
    estimates.served(2, 1.0)
    estimates.served(2, 1.0)
    assert estimates.service_s == 0.5


def test_a_change_of_service_time_is_followed_within_some_ten_samples() -> None:
    estimates = Estimates(0.0)
    estimates.served(1_000, 1_000.0)
    for number in range(1, 31):
        estimates.served(1_000 + number, 1_000.0 + 10.0 * number)
    assert estimates.service_s is not None
    assert 9.0 < estimates.service_s <= 10.0


def test_times_of_zero_keep_the_means_finite() -> None:
    estimates = Estimates(0.0)
    estimates.started(0.0)
    estimates.served(1_000_000, 0.0)
    assert (0.0, 0.0) == (estimates.startup_s, estimates.service_s)

# SPDX-License-Identifier: Apache-2.0
"""Settings: checked where they are chosen, merged field by field."""

from __future__ import annotations

import math
from typing import Any

import pytest
from attrs import fields
from attrs.exceptions import FrozenInstanceError

from actorpool._core._config import (
    UNSET,
    AutoscalerSettings,
    Concurrency,
    Limits,
    Restart,
    check_count,
    check_factor,
    check_seconds,
)
from actorpool.exception import InvalidError


@pytest.mark.parametrize("value", [True, 1.0, "3", None])
def test_a_count_is_a_whole_number(value: object) -> None:
    with pytest.raises(InvalidError, match="containers must be a whole number, not"):
        check_count("containers", value, least=0)


def test_a_count_has_a_least_value_which_is_allowed() -> None:
    assert check_count("containers", 2, least=2) == 2
    with pytest.raises(InvalidError, match="containers must be at least 2, not 1"):
        check_count("containers", 1, least=2)


@pytest.mark.parametrize("value", [True, "3", None, 1j])
def test_seconds_are_a_number(value: object) -> None:
    with pytest.raises(InvalidError, match="window must be a number of seconds, not"):
        check_seconds("window", value)


@pytest.mark.parametrize(
    "value", [0, -1, -0.5, math.inf, -math.inf, math.nan, pytest.param(10**400, id="beyond any float")]
)
def test_seconds_are_finite_and_above_zero(value: float) -> None:
    with pytest.raises(InvalidError, match="window must be more than 0 seconds"):
        check_seconds("window", value)


@pytest.mark.parametrize("value", [True, "3", None])
def test_a_factor_is_a_number(value: object) -> None:
    with pytest.raises(InvalidError, match="load must be a number, not"):
        check_factor("load", value)


def test_a_factor_is_finite_and_above_zero_and_no_length_of_time() -> None:
    assert 0.5 == check_factor("load", 0.5)
    for value in (0, -1.0, math.inf, math.nan):
        with pytest.raises(InvalidError, match=f"load must be more than 0, and finite, not {value}"):
            check_factor("load", value)


def test_fractions_of_a_second_are_allowed_and_zero_where_that_is_said() -> None:
    assert check_seconds("window", 0.25) == 0.25
    assert check_seconds("pause", 0, zero=True) == 0
    with pytest.raises(InvalidError, match="pause must be at least 0 seconds, not -1"):
        check_seconds("pause", -1, zero=True)


def test_the_defaults_scale_from_zero_without_a_bound_and_stop_after_a_minute() -> None:
    settings = AutoscalerSettings()
    assert (0, None, 0, 60.0) == (
        settings.min_containers,
        settings.max_containers,
        settings.buffer_containers,
        settings.scaledown_window,
    )


@pytest.mark.parametrize(
    ("name", "value"),
    [
        ("min_containers", -1),
        ("max_containers", 0),
        ("buffer_containers", -1),
        ("scaledown_window", 0),
        ("min_containers", 1.5),
        ("scaledown_window", "60"),
    ],
)
def test_a_setting_out_of_range_is_refused_by_name(name: str, value: Any) -> None:
    with pytest.raises(InvalidError, match=name):
        AutoscalerSettings(**{name: value})


def test_a_maximum_below_the_minimum_is_refused() -> None:
    with pytest.raises(InvalidError, match=r"max_containers \(1\) is less than min_containers \(2\)"):
        AutoscalerSettings(min_containers=2, max_containers=1)
    AutoscalerSettings(min_containers=2, max_containers=2)


def test_an_update_replaces_the_given_fields_only_s16() -> None:
    settings = AutoscalerSettings().merged(min_containers=2, max_containers=10).merged(min_containers=4)
    assert AutoscalerSettings(min_containers=4, max_containers=10) == settings


def test_every_setting_can_be_updated() -> None:
    changes: dict[str, Any] = {
        "min_containers": 1,
        "max_containers": 2,
        "buffer_containers": 3,
        "scaledown_window": 4.0,
    }
    assert set(changes) == {field.name for field in fields(AutoscalerSettings)}
    assert AutoscalerSettings(1, 2, 3, 4.0) == AutoscalerSettings().merged(**changes)


def test_an_update_of_nothing_changes_nothing() -> None:
    settings = AutoscalerSettings(max_containers=3)
    assert settings is settings.merged()
    assert settings.merged(max_containers=None).max_containers == 3


def test_an_update_to_zero_counts_as_given() -> None:
    assert AutoscalerSettings(min_containers=2).merged(min_containers=0).min_containers == 0


def test_an_update_that_contradicts_what_holds_is_refused() -> None:
    settings = AutoscalerSettings(max_containers=3)
    with pytest.raises(InvalidError, match="max_containers"):
        settings.merged(min_containers=4)
    assert settings.min_containers == 0


def test_a_replaced_setting_may_go_back_to_its_default() -> None:
    settings = AutoscalerSettings(min_containers=2, max_containers=3, scaledown_window=5.0)
    assert AutoscalerSettings(2, None, 0, 7.0) == settings.replaced(max_containers=None, scaledown_window=7.0)
    assert AutoscalerSettings(2, 3, 0, 60.0) == settings.replaced(max_containers=UNSET, scaledown_window=None)
    assert settings is settings.replaced(max_containers=UNSET)


def test_what_was_not_given_shows_itself() -> None:
    assert repr(UNSET) == "UNSET"


def test_settings_cannot_be_changed_in_place() -> None:
    with pytest.raises(FrozenInstanceError):
        AutoscalerSettings().min_containers = 1  # type: ignore[misc]


def test_a_container_runs_one_input_at_a_time_by_default_s20() -> None:
    assert (1, 1) == (Concurrency().max_inputs, Concurrency().target)


def test_the_target_is_the_hard_limit_unless_one_is_given_s23() -> None:
    assert Concurrency(120).target == 120
    assert Concurrency(120, 100).target == 100
    assert Concurrency(3, 3).target == 3


@pytest.mark.parametrize(
    ("max_inputs", "target_inputs", "name"),
    [
        (0, 0, "max_inputs"),
        (2, 3, r"target_inputs \(3\) is greater than max_inputs \(2\)"),
        (2, -1, "target_inputs"),
    ],
)
def test_contradictory_concurrency_is_refused(max_inputs: int, target_inputs: int, name: str) -> None:
    with pytest.raises(InvalidError, match=name):
        Concurrency(max_inputs, target_inputs)


def test_the_default_limits_are_the_guides_s24_s25_s26_s28() -> None:
    limits = Limits()
    assert (2_000, 25_000, 1_000_000, 1_000) == (
        limits.max_pending,
        limits.max_inputs,
        limits.max_spawned,
        limits.map_in_flight,
    )


@pytest.mark.parametrize("name", [field.name for field in fields(Limits) if not field.name.endswith("_s")])
def test_a_limit_is_at_least_one(name: str) -> None:
    with pytest.raises(InvalidError, match=f"{name} must be at least 1, not 0"):
        Limits(**{name: 0})


@pytest.mark.parametrize("seconds", [0, -1.0, float("nan")])
def test_results_are_kept_for_some_time(seconds: float) -> None:
    with pytest.raises(InvalidError, match="results_kept_s must be more than 0 seconds"):
        Limits(results_kept_s=seconds)


def test_the_pause_after_failed_starts_doubles_up_to_its_longest() -> None:
    restart = Restart(initial_delay_s=0.1, max_delay_s=1.0)
    assert [0.1, 0.2, 0.4, 0.8, 1.0, 1.0] == [restart.delay_s(failures) for failures in range(1, 7)]


def test_the_pause_stays_finite_however_many_starts_failed() -> None:
    assert Restart().delay_s(100_000) == Restart().max_delay_s


@pytest.mark.parametrize(
    ("name", "value"), [("max_failures", 0), ("initial_delay_s", 0.0), ("max_delay_s", math.nan)]
)
def test_restart_settings_out_of_range_are_refused_by_name(name: str, value: Any) -> None:
    with pytest.raises(InvalidError, match=name):
        Restart(**{name: value})

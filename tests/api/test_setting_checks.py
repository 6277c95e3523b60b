# SPDX-License-Identifier: Apache-2.0
"""Settings that are refused where they are written: out of range, contradictory, of the cloud, renamed, unknown."""

from __future__ import annotations

import math
from typing import Any

import pytest

import actorpool as modal
from actorpool._spec import CLOUD_ONLY, RENAMED
from actorpool.exception import InvalidError

CLOUD_ONLY_NAMES = sorted(CLOUD_ONLY)


def plain() -> None:
    pass


class Plain:
    pass


# -- settings --------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("settings", "named"),
    [
        ({"min_containers": -1}, "min_containers"),
        ({"min_containers": 1.5}, "min_containers"),
        ({"min_containers": "2"}, "min_containers"),
        ({"min_containers": True}, "min_containers"),
        ({"max_containers": 0}, "max_containers"),
        ({"max_containers": -3}, "max_containers"),
        ({"max_containers": 2.0}, "max_containers"),
        ({"min_containers": 3, "max_containers": 2}, "max_containers"),
        ({"buffer_containers": -1}, "buffer_containers"),
        ({"buffer_containers": None, "max_containers": 0}, "max_containers"),
        ({"scaledown_window": 0}, "scaledown_window"),
        ({"scaledown_window": -1.0}, "scaledown_window"),
        ({"scaledown_window": math.nan}, "scaledown_window"),
        ({"scaledown_window": math.inf}, "scaledown_window"),
        ({"scaledown_window": "60"}, "scaledown_window"),
        ({"timeout": None}, "timeout"),
        ({"timeout": 0}, "timeout"),
        ({"timeout": -1}, "timeout"),
        ({"timeout": math.nan}, "timeout"),
        ({"timeout": "1"}, "timeout"),
        ({"startup_timeout": 0}, "startup_timeout"),
        ({"startup_timeout": -0.5}, "startup_timeout"),
        ({"retries": -1}, "retries"),
        ({"retries": 1.5}, "retries"),
        ({"retries": "3"}, "retries"),
        ({"retries": True}, "retries"),
        ({"policy": 5}, "policy"),
        ({"limits": {"max_pending": 5}}, "limits"),
    ],
)
def test_M1_15_M1_16_a_setting_out_of_range_or_contradictory_is_refused_by_name(
    settings: dict[str, Any], named: str
) -> None:
    app = modal.App("my-app")
    with pytest.raises(InvalidError, match=named):
        app.function(**settings)(plain)
    with pytest.raises(InvalidError, match=named):
        app.cls(**settings)(Plain)
    assert ({}, {}) == (app.registered_functions, app.registered_classes)


@pytest.mark.parametrize("value", [0, -1, 1.5, "2", True])
@pytest.mark.parametrize(
    "name",
    [
        "max_pending",
        "max_inputs",
        "max_spawned",
        "map_in_flight",
        "map_buffered",
        "max_threads",
        "max_processes",
    ],
)
def test_a_limit_below_one_or_not_whole_is_refused_by_name(name: str, value: Any) -> None:
    with pytest.raises(InvalidError, match=name):
        modal.Limits(**{name: value})


@pytest.mark.parametrize(
    ("settings", "named"),
    [
        ({"max_inputs": 0}, "max_inputs"),
        ({"max_inputs": -1}, "max_inputs"),
        ({"max_inputs": 1.5}, "max_inputs"),
        ({"max_inputs": True}, "max_inputs"),
        ({"max_inputs": None}, "max_inputs"),
        ({"max_inputs": 5, "target_inputs": 6}, "target_inputs"),
        ({"max_inputs": 5, "target_inputs": 0}, "target_inputs"),
        ({"max_inputs": 5, "target_inputs": -1}, "target_inputs"),
    ],
)
def test_concurrent_refuses_numbers_out_of_range_by_name(settings: dict[str, Any], named: str) -> None:
    with pytest.raises(InvalidError, match=named):
        modal.concurrent(**settings)


@pytest.mark.parametrize("grace", [-1, math.nan, math.inf, "10", None, True])
def test_a_grace_that_is_no_time_is_refused_and_nothing_runs(app: modal.App, grace: Any) -> None:
    with pytest.raises(InvalidError, match="grace"):
        app.run(grace=grace)
    with pytest.raises(InvalidError, match="grace"):
        app.deploy(grace=grace)
    assert "not running" in repr(app)


def test_an_app_name_that_is_not_a_string_is_refused() -> None:
    with pytest.raises(InvalidError, match="must be a string, not 5"):
        modal.App(5)  # type: ignore[arg-type]


@pytest.mark.parametrize("name", [5, b"f", ""])
def test_a_function_name_that_is_no_name_is_refused(app: modal.App, name: Any) -> None:
    with pytest.raises(InvalidError, match="name"):
        app.function(name=name)(plain)


def test_an_app_without_a_name_cannot_be_deployed() -> None:
    with pytest.raises(InvalidError, match="name="):
        modal.App().deploy()


def test_an_unknown_deploy_strategy_is_refused(app: modal.App) -> None:
    with pytest.raises(InvalidError, match="'rolling' or 'recreate', not 'blue'"):
        app.deploy(strategy="blue")


# -- what belongs to Modal's cloud, what was renamed, what nobody knows --------------------------------------


@pytest.mark.parametrize("name", CLOUD_ONLY_NAMES)
def test_a_cloud_only_argument_is_refused_by_name(app: modal.App, name: str) -> None:
    for where in (app.function, app.cls, modal.App):
        with pytest.raises(InvalidError, match=rf"got {name}=, which only means something in Modal's cloud"):
            where(**{name: None})  # type: ignore[arg-type]


def test_the_arguments_that_matter_in_a_cloud_are_all_known() -> None:
    assert {
        "image",
        "gpu",
        "secrets",
        "volumes",
        "cpu",
        "memory",
        "region",
        "cloud",
        "network_file_systems",
        "proxy",
        "ephemeral_disk",
        "block_network",
        "nonpreemptible",
        "enable_memory_snapshot",
        "include_source",
        "experimental_options",
    } <= CLOUD_ONLY


@pytest.mark.parametrize(("old", "new"), sorted(RENAMED.items()))
def test_M2_13_a_renamed_argument_is_refused_with_its_successor(app: modal.App, old: str, new: str) -> None:
    for where in (app.function, app.cls):
        with pytest.raises(InvalidError, match="has been renamed: use") as caught:
            where(**{old: 1})  # type: ignore[arg-type]
        assert old in str(caught.value)
        assert new in str(caught.value)


def test_the_renamed_arguments_are_all_known() -> None:
    assert {
        "keep_warm",
        "concurrency_limit",
        "container_idle_timeout",
        "allow_concurrent_inputs",
        "max_inputs",
    } == set(RENAMED)


def test_an_unknown_argument_is_a_type_error_as_for_any_function(app: modal.App) -> None:
    for where in (app.function, app.cls, modal.App):
        with pytest.raises(TypeError, match="unexpected keyword argument 'colour'"):
            where(colour="red")


def test_what_only_the_cloud_has_is_refused_by_run_deploy_and_lookups_too() -> None:
    app = modal.App("my-app")
    for refused, name in (
        (lambda: app.run(detach=True), "detach"),
        (lambda: app.run.aio(interactive=True), "interactive"),
        (lambda: app.deploy(tag="v1"), "tag"),
        (lambda: modal.App("x", tags={}), "tags"),
        (lambda: modal.Function.from_name("a", "f", environment_name="prod"), "environment_name"),
        (lambda: modal.Cls.from_name("a", "C", version=3), "version"),
    ):
        with pytest.raises(InvalidError, match=f"{name}=, which only means something in Modal's cloud"):
            refused()
    with pytest.raises(TypeError, match="unexpected keyword argument 'colour'"):
        app.run(colour="red")

# SPDX-License-Identifier: Apache-2.0
"""Fixtures for every test: the hosts, Hypothesis profiles, and the check that nothing is left behind."""

from __future__ import annotations

import functools
import gc
import os
import sys
from collections.abc import Callable, Iterator
from typing import Any

import pytest
from hypothesis import HealthCheck, settings

from tests.hosts import HOST_NAMES, VIRTUAL_HOST_NAMES, Leftovers, run_on, run_virtually_on

# The examples of one property share the leftovers check of its test.
_shared: dict[str, Any] = {
    "deadline": None,
    "print_blob": True,
    "suppress_health_check": [HealthCheck.function_scoped_fixture, HealthCheck.too_slow],
}
settings.register_profile("dev", max_examples=30, stateful_step_count=30, **_shared)
settings.register_profile("ci", max_examples=100, stateful_step_count=40, **_shared)
settings.register_profile("deep", max_examples=5_000, stateful_step_count=100, **_shared)
settings.load_profile(os.environ.get("HYPOTHESIS_PROFILE") or ("ci" if os.environ.get("CI") else "dev"))


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """Refuse names that differ from process to process: the tests could not be shared out among several."""
    unstable = [item.nodeid for item in items if " at 0x" in item.nodeid]
    if unstable:
        raise pytest.UsageError(f"give these tests ids that are the same in each process: {unstable}")


@pytest.fixture(autouse=True, scope="module")
def _collections_cost_little() -> None:
    """Take what there is before a module's tests out of each collection: thousands of tests make every one slow."""
    gc.collect()
    gc.freeze()


@pytest.fixture(params=HOST_NAMES)
def host_name(request: pytest.FixtureRequest) -> str:
    """Each host in turn: "asyncio", "asyncio+uvloop", "asyncio+eager" (from Python 3.12 on), "trio"."""
    return str(request.param)


@pytest.fixture(params=VIRTUAL_HOST_NAMES)
def virtual_host_name(request: pytest.FixtureRequest) -> str:
    """Each host that has a virtual clock, in turn."""
    return str(request.param)


@pytest.fixture
def run(host_name: str) -> Callable[..., Any]:
    """`run(async_fn, *args)` runs the test's async function on each host."""
    return functools.partial(run_on, host_name)


@pytest.fixture
def run_virtually(virtual_host_name: str) -> Callable[..., Any]:
    """`run_virtually(async_fn, *args)` does so on a virtual clock."""
    return functools.partial(run_virtually_on, virtual_host_name)


@pytest.fixture
def at_full_speed(monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    """Leaves a test, and the processes it starts, out of the measurement of coverage, with which it would take long."""
    for name in ("COVERAGE_PROCESS_START", "COVERAGE_PROCESS_CONFIG"):
        monkeypatch.delenv(name, raising=False)
    coverage = sys.modules.get("coverage")
    measurement = None if coverage is None else coverage.Coverage.current()
    if measurement is None:
        yield
        return
    measurement.stop()
    try:
        yield
    finally:
        measurement.start()


@pytest.fixture(autouse=True)
def _nothing_is_left_behind() -> Iterator[None]:
    leftovers = Leftovers()
    yield
    assert [] == leftovers.found()

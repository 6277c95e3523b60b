# SPDX-License-Identifier: Apache-2.0
"""Fixtures of the tests of the API."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from typing import Any

import pytest

import actorpool as modal
from tests import shared
from tests.api import backend
from tests.api.maps import square, square_in_thread
from tests.hosts import Leftovers


def pytest_addoption(parser: pytest.Parser) -> None:
    backend.add_option(parser)


def pytest_configure(config: pytest.Config) -> None:
    backend.use(config)


def pytest_collection_modifyitems(config: pytest.Config, items: list[pytest.Item]) -> None:
    backend.deselect(config, items)


def pytest_terminal_summary(terminalreporter: pytest.TerminalReporter, config: pytest.Config) -> None:
    backend.report(config, terminalreporter)


@pytest.fixture(autouse=True)
def _shares_nothing_with_the_next() -> Iterator[None]:
    yield
    shared.forget()


@pytest.fixture
def app() -> modal.App:
    return modal.App("my-app")


@pytest.fixture
def f(app: modal.App) -> Any:
    @app.function()
    def f(x: int) -> int:
        return x + 1

    return f


@pytest.fixture
def leaves_nothing() -> Iterator[Callable[[], None]]:
    """A function that says whether threads and file descriptors are as they were at the start of the test."""
    leftovers = Leftovers()

    def check() -> None:
        assert [] == leftovers.found()

    yield check
    check()


@pytest.fixture(params=["async function", "sync function"])
def squares(request: pytest.FixtureRequest) -> Any:
    """A squaring function of each kind."""
    return square if request.param == "async function" else square_in_thread

# SPDX-License-Identifier: Apache-2.0
"""The pytest plugin of actorpool: the fixtures, and no more.

pytest imports this module in every run of every project that has actorpool installed. So it is no part of the package:
the package is loaded by the first test that uses a fixture, and not before, when coverage may not have begun.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest

if TYPE_CHECKING:
    from actorpool.testing import AppRunner, HostName

__all__ = ["actorpool_app", "actorpool_host"]


@pytest.fixture
def actorpool_host() -> HostName:
    """The host of `actorpool_app`: "asyncio"; override or parametrise it for "trio"."""
    return "asyncio"


@pytest.fixture
def actorpool_app(actorpool_host: HostName) -> AppRunner:
    """Run an app in virtual time: `actorpool_app.run(app, scenario)`; see `actorpool.testing.AppRunner`."""
    from actorpool.testing import AppRunner

    return AppRunner(actorpool_host)

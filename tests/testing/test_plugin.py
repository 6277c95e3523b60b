# SPDX-License-Identifier: Apache-2.0
"""The pytest plugin, as the users' pytest loads it: in a run of its own."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import pytest

from tests.packaging.sources import ROOT, plain_environment

pytestmark = pytest.mark.slow

APP = """
import asyncio
import actorpool

app = actorpool.App("my-app")

@app.function()
async def square(x):
    await asyncio.sleep(2)
    return x**2
"""

TEST = """
from shop import app, square

def test_an_hour(actorpool_app):
    async def scenario():
        assert [0, 1, 4] == [y async for y in square.map.aio(range(3))]
        await actorpool_app.sleep(3600)
        assert 0 == square.statistics().containers

    actorpool_app.run(app, scenario)
"""

ON_TRIO = """
import actorpool, pytest, trio

app = actorpool.App("my-app")

@app.function()
async def square(x):
    await trio.sleep(2)
    return x**2

@pytest.fixture
def actorpool_host():
    return "trio"

def test_on_trio(actorpool_app):
    async def scenario():
        assert 9 == await square.remote.aio(3)
        return trio.current_time()

    assert 2 == actorpool_app.run(app, scenario)
"""

UNUSED = """
import sys

def test_nothing_of_actorpool_is_loaded_where_it_is_not_used():
    unwanted = {"actorpool", "attrs", "hypothesis", "trio"}
    assert set() == unwanted & {name.partition(".")[0] for name in sys.modules}
"""


def pytest_of_a_user(folder: Path, **files: str) -> str:
    """Run the users' tests with the plugin and nobody else's; return what pytest prints, if they pass."""
    for name, text in files.items():
        (folder / f"{name}.py").write_text(text, "utf-8")
    done = subprocess.run(
        [
            sys.executable,
            "-W",
            "error",
            "-m",
            "pytest",
            "-q",
            "-p",
            "_actorpool_pytest",
            "-p",
            "no:cacheprovider",
            ".",
        ],
        cwd=folder,
        env={**plain_environment(), "PYTHONPATH": str(ROOT), "PYTEST_DISABLE_PLUGIN_AUTOLOAD": "1"},
        capture_output=True,
        text=True,
        check=False,
        timeout=60,
    )
    assert done.returncode == 0, done.stdout + done.stderr
    return done.stdout


def test_the_fixture_runs_a_users_app_on_asyncio_and_on_trio(tmp_path: Path) -> None:
    assert "2 passed" in pytest_of_a_user(tmp_path, shop=APP, test_shop=TEST, test_on_trio=ON_TRIO)


def test_the_plugin_loads_nothing_for_those_who_do_not_use_it(tmp_path: Path) -> None:
    assert "1 passed" in pytest_of_a_user(tmp_path, test_unused=UNUSED)

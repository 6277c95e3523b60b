# SPDX-License-Identifier: Apache-2.0
"""A container that has done enough, is too old or too big takes nothing further, and another one follows."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pytest

import actorpool as modal
from actorpool.exception import InvalidError
from tests.api.support import sleep
from tests.backends import process_app as users

Run = Callable[..., Any]


def test_a_container_is_replaced_after_its_number_of_inputs(run_virtually: Run) -> None:
    app = modal.App("my-app")

    @app.function(recycle=modal.Recycle(inputs=3), max_containers=1)
    async def where() -> str | None:
        return modal.current_container_id()

    async def main() -> None:
        async with app.run():
            places = [await where.remote.aio() for _ in range(7)]
            assert ["where/1"] * 3 + ["where/2"] * 3 + ["where/3"] == places

    run_virtually(main)


def test_a_container_is_replaced_at_its_age_and_finishes_what_it_runs(run_virtually: Run) -> None:
    app = modal.App("my-app")

    @app.function(recycle=modal.Recycle(age=10.0), scaledown_window=60.0)
    async def where(seconds: float = 0.0) -> str | None:
        await sleep(seconds)
        return modal.current_container_id()

    async def main() -> None:
        async with app.run():
            assert "where/1" == await where.remote.aio()
            await sleep(9.0)
            assert "where/1" == await where.remote.aio(3.0)
            await sleep(0.1)
            assert 0 == where.statistics().containers
            assert "where/2" == await where.remote.aio()
            # An idle one ends at its age too.
            await sleep(10.1)
            assert (0, 2) == (where.statistics().containers, where.statistics().starts)

    run_virtually(main)


def test_what_the_minimum_keeps_warm_is_replaced_at_its_age(run_virtually: Run) -> None:
    app = modal.App("my-app")

    @app.function(recycle=modal.Recycle(age=10.0), min_containers=1)
    async def f() -> None:
        pass

    async def main() -> None:
        async with app.run():
            await sleep(35.0)
            assert (1, 4) == (f.statistics().ready, f.statistics().starts)

    run_virtually(main)


@pytest.mark.timeout(60)
def test_a_process_that_has_grown_too_big_is_replaced() -> None:
    with users.app.run():
        first = users.hoard.remote(300)
        # An input that was on its way already may still have gone there.
        followers = [users.hoard.remote(0) for _ in range(20)]
        assert first != followers[-1]
        assert followers[-1] == users.hoard.remote(1)
        assert 2 == users.hoard.statistics().starts


@pytest.mark.local_only("is about local containers")
def test_contradictions_are_refused_where_they_are_written() -> None:
    app = modal.App("my-app")
    with pytest.raises(InvalidError, match="give one of the two"):
        app.function(single_use_containers=True, recycle=modal.Recycle(inputs=2))(lambda: None)
    with pytest.raises(InvalidError, match="add backend='process'"):
        app.function(recycle=modal.Recycle(memory_mib=100))(lambda: None)
    with pytest.raises(InvalidError, match=r"recycle must be an actorpool\.Recycle, not 5"):
        app.function(recycle=5)(lambda: None)  # type: ignore[arg-type]
    for wrong in ({"inputs": 0}, {"age": 0}, {"memory_mib": 0}, {"age": "1"}):
        with pytest.raises(InvalidError):
            modal.Recycle(**wrong)

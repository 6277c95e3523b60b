# SPDX-License-Identifier: Apache-2.0
"""S08: an exception of a map is raised at its place, or yielded there when asked."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pytest

import actorpool as modal
from tests.api.maps import (
    Unlucky,
    app,
    collected,
    may_fail,
    may_fail_in_thread,
)
from tests.api.support import sleep
from tests.hosts import settle
from tests.shared import shared

pytestmark = pytest.mark.conformance

Run = Callable[..., Any]


def test_S08_an_exception_is_raised_at_its_place(run: Run) -> None:
    async def main() -> None:
        async with app.run():
            results = may_fail.map.aio(range(5))
            assert [0, 1] == [await anext(results), await anext(results)]
            with pytest.raises(Exception, match="error") as caught:
                await anext(results)
            assert (Exception, ("error",)) == (type(caught.value), caught.value.args)

    run(main)


def test_S08_an_exception_is_raised_at_its_place_to_a_sync_caller() -> None:
    with app.run():
        results = may_fail_in_thread.map(range(5))
        assert [0, 1] == [next(results), next(results)]
        with pytest.raises(Unlucky) as caught:
            next(results)
        assert ("error", 2) == caught.value.args


def test_S08_exceptions_are_yielded_in_their_place_when_asked_for(run: Run) -> None:
    async def main() -> None:
        async with app.run():
            results = await collected(
                may_fail.map.aio(range(3), return_exceptions=True, wrap_returned_exceptions=False)
            )
            assert [0, 1, Exception("error")][:2] == results[:2]
            assert (Exception, ("error",)) == (type(results[2]), results[2].args)
            assert 3 == len(results)

    run(main)


def test_S08_exceptions_are_yielded_to_a_sync_caller() -> None:
    with app.run():
        results = list(may_fail.map(range(3), return_exceptions=True, wrap_returned_exceptions=False))
        assert ["0", "1", "Exception('error')"] == [repr(result) for result in results]


@pytest.mark.parametrize("wrap", [None, True, False])
def test_S08_the_exception_is_the_users_own_whatever_wrap_returned_exceptions_says(wrap: bool | None) -> None:
    with app.run():
        results: list[object] = list(
            may_fail_in_thread.map(range(4), return_exceptions=True, wrap_returned_exceptions=wrap)
        )
        assert [0, 1, 3] == [result for result in results if isinstance(result, int)]
        assert isinstance(results[2], Unlucky)
        assert ("error", 2) == results[2].args


def test_S08_every_failed_input_takes_its_own_place(run: Run) -> None:
    app = modal.App()

    @app.function()
    async def odd_only(x: int) -> int:
        if x % 2 == 0:
            raise ValueError(x)
        return x

    async def main() -> None:
        async with app.run():
            results = await collected(odd_only.map.aio(range(300), return_exceptions=True))
            assert list(range(300)) == [r if isinstance(r, int) else r.args[0] for r in results]

    run(main)


def test_S08_after_the_first_exception_the_rest_is_abandoned(run_virtually: Run) -> None:
    app = modal.App()
    ended: list[int] = shared([])

    @app.function(max_containers=10)
    async def f(x: int) -> None:
        await sleep(1.0)
        if x == 3:
            raise Unlucky
        await sleep(100.0)
        ended.append(x)

    async def main() -> None:
        async with app.run():
            with pytest.raises(Unlucky):
                await collected(f.map.aio(range(500), order_outputs=False))
            await settle()

            assert (0, 0) == (f.statistics().running, f.statistics().pending)
            await sleep(1000.0)
            assert [] == ended

    run_virtually(main)


def test_S08_the_traceback_shows_the_users_line(run: Run) -> None:
    async def main() -> None:
        async with app.run():
            with pytest.raises(Exception, match="error") as caught:
                await collected(may_fail.map.aio([2]))
            assert "may_fail" in [entry.name for entry in caught.traceback]

    run(main)


def test_S08_what_is_no_exception_is_raised_even_when_exceptions_are_returned() -> None:
    app = modal.App()

    @app.function()
    def leave(x: int) -> int:
        if x == 1:
            raise SystemExit(7)
        return x

    with app.run():
        results = leave.map(range(3), return_exceptions=True)
        assert 0 == next(results)
        with pytest.raises(SystemExit, match="7"):
            next(results)
        assert 5 == leave.remote(5)


def test_S08_for_each_raises_the_first_failure_or_passes_over_it(run: Run) -> None:
    async def main() -> None:
        async with app.run():
            with pytest.raises(Exception, match="error"):
                await may_fail.for_each.aio(range(5))
            await may_fail.for_each.aio(range(5), ignore_exceptions=True)
            assert 1 <= may_fail.statistics().failed <= 2

    run(main)

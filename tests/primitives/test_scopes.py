# SPDX-License-Identifier: Apache-2.0
"""Cancel scopes and shields behave alike on every host."""

from __future__ import annotations

import asyncio
import math
from collections.abc import Callable
from typing import Any

import pytest

from actorpool._host._current import current_host
from actorpool._host._errors import HostNotRunningError
from tests.hosts import ASYNCIO_HOST_NAMES, run_on, settle

Run = Callable[..., Any]


class OopsError(Exception):
    pass


def test_move_on_after_ends_the_body_at_its_time(run_virtually: Run) -> None:
    async def main() -> tuple[float, bool]:
        host = current_host()
        start = host.now()
        with host.move_on_after(3) as scope:
            assert not scope.cancelled_caught
            await host.sleep(1000)
        caught = scope.cancelled_caught
        with host.move_on_after(3) as scope:
            await host.sleep(1)
        assert not scope.cancelled_caught
        # The scope that has ended in time does not fire later.
        await host.sleep(10)
        return host.now() - start, caught

    assert (14.0, True) == run_virtually(main)


@pytest.mark.parametrize("seconds", [0, -1])
def test_move_on_after_no_time_ends_at_the_first_checkpoint(run: Run, seconds: float) -> None:
    async def main() -> list[str]:
        host = current_host()
        steps: list[str] = []
        with host.move_on_after(seconds):
            steps.append("begun")
            await host.checkpoint()
            steps.append("not reached")
        with host.move_on_after(seconds):
            steps.append("without checkpoint")
        await host.sleep(0.001)
        return steps

    assert ["begun", "without checkpoint"] == run(main)


def test_move_on_after_infinity_ends_by_cancel_only(run: Run) -> None:
    async def main() -> bool:
        host = current_host()
        with host.move_on_after(math.inf) as scope:
            await host.checkpoint()
            scope.cancel()
            scope.cancel()
            await host.event().wait()
        return scope.cancelled_caught

    assert run(main)


def test_move_on_after_lets_errors_through(run_virtually: Run) -> None:
    async def main() -> None:
        host = current_host()

        async def fail_when_cancelled() -> None:
            with host.move_on_after(1):
                try:
                    await host.sleep(2)
                finally:
                    raise OopsError

        with pytest.raises(OopsError):
            await fail_when_cancelled()

    run_virtually(main)


def test_a_scope_can_be_cancelled_from_another_task(run: Run) -> None:
    async def main() -> bool:
        host = current_host()
        scopes: list[Any] = []

        async def child() -> None:
            with host.move_on_after(math.inf) as scope:
                scopes.append(scope)
                await host.event().wait()

        async with host.open_nursery() as nursery:
            nursery.start_soon(child)
            await settle()
            scopes[0].cancel()
        scopes[0].cancel()
        return bool(scopes[0].cancelled_caught)

    assert run(main)


@pytest.mark.parametrize("host_name", ASYNCIO_HOST_NAMES, indirect=True)
def test_a_scope_does_not_swallow_a_cancellation_from_outside(run: Run) -> None:
    async def main() -> None:
        host = current_host()

        async def child() -> None:
            with host.move_on_after(math.inf) as scope:
                scopes.append(scope)
                await host.event().wait()
            raise AssertionError

        scopes: list[Any] = []
        task = asyncio.create_task(child())
        await settle()
        scopes[0].cancel()
        task.cancel()
        await asyncio.wait([task])
        assert task.cancelled()

    run(main)


@pytest.mark.parametrize("host_name", ASYNCIO_HOST_NAMES, indirect=True)
def test_a_scope_needs_a_task(run: Run) -> None:
    async def main() -> None:
        host = current_host()
        caught: list[BaseException] = []

        def in_a_callback() -> None:
            try:
                host.move_on_after(1).__enter__()
            except HostNotRunningError as error:
                caught.append(error)

        asyncio.get_running_loop().call_soon(in_a_callback)
        await settle()
        assert 1 == len(caught)

    run(main)


def test_shielded_work_is_finished_before_the_cancellation_arrives(run_virtually: Run) -> None:
    async def main() -> tuple[list[str], float]:
        host = current_host()
        steps: list[str] = []

        async def work() -> None:
            await host.sleep(5)
            steps.append("finished")

        with host.move_on_after(1) as scope:
            await host.shielded(work, 10)
            steps.append("not reached")
        assert scope.cancelled_caught
        return steps, host.now()

    assert (["finished"], 5.0) == run_virtually(main)


def test_shielded_work_is_cut_off_at_its_time(run_virtually: Run) -> None:
    async def main() -> tuple[bool, bool, float]:
        host = current_host()
        cut = await host.shielded(lambda: host.sleep(1000), 3)
        finished = await host.shielded(lambda: host.sleep(1), 3)
        return cut, finished, host.now()

    assert (False, True, 4.0) == run_virtually(main)


def test_shielded_work_begins_even_without_any_time(run: Run) -> None:
    async def main() -> list[str]:
        host = current_host()
        steps: list[str] = []

        async def work() -> None:
            steps.append("begun")
            await host.checkpoint()
            steps.append("not reached")

        assert not await host.shielded(work, 0)
        return steps

    assert ["begun"] == run(main)


def test_a_failure_of_shielded_work_is_raised(run: Run) -> None:
    async def main() -> None:
        async def work() -> None:
            raise OopsError

        with pytest.raises(OopsError):
            await current_host().shielded(work, 1)

    run(main)


def test_a_failure_of_shielded_work_goes_before_the_cancellation(run: Run) -> None:
    async def main() -> list[str]:
        host = current_host()
        steps: list[str] = []

        async def work() -> None:
            scope.cancel()
            await host.checkpoint()
            await host.checkpoint()
            raise OopsError

        with host.move_on_after(math.inf) as scope:
            try:
                await host.shielded(work, 10)
            except OopsError:
                steps.append("failed")
                await host.event().wait()
            steps.append("not reached")
        return steps

    assert ["failed"] == run(main)


def test_a_cancellation_that_shielded_work_displaced_is_not_delivered_behind_its_scope(run: Run) -> None:
    async def main() -> list[str]:
        host = current_host()
        steps: list[str] = []

        async def work() -> None:
            scope.cancel()
            await host.checkpoint()
            await host.checkpoint()
            raise OopsError

        try:
            with host.move_on_after(math.inf) as scope:
                await host.shielded(work, 10)
        except OopsError:
            steps.append("failed")
        await host.checkpoint()
        await host.sleep(0.001)
        steps.append("behind")
        return steps

    assert ["failed", "behind"] == run(main)


def test_shielded_work_that_is_cancelled_by_itself_lets_the_outer_cancellation_through() -> None:
    async def main() -> None:
        async def work() -> None:
            await asyncio.sleep(0)
            owner.cancel()
            await asyncio.sleep(0)
            raise asyncio.CancelledError

        async def own() -> None:
            await current_host().shielded(work, 10)

        owner = asyncio.create_task(own())
        await asyncio.wait([owner])
        assert owner.cancelled()

    run_on("asyncio", main)

# SPDX-License-Identifier: Apache-2.0
"""The nursery where asyncio has rules of its own: cancelled once, exit requests, task factories."""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from typing import Any

import pytest

from actorpool._host._current import current_host
from actorpool.primitives import open_nursery
from tests.hosts import ASYNCIO_HOST_NAMES, run_on, settle

Run = Callable[..., Any]


class OopsError(Exception):
    pass


async def fail(message: str = "oops") -> None:
    raise OopsError(message)


async def sleep_for_ever() -> None:
    await current_host().event().wait()


@pytest.mark.parametrize("host_name", ASYNCIO_HOST_NAMES, indirect=True)
def test_a_failure_goes_before_a_cancellation_which_is_delivered_next(run: Run) -> None:
    async def main() -> list[str]:
        steps: list[str] = []

        async def fail_when_cancelled() -> None:
            try:
                await sleep_for_ever()
            finally:
                await fail()

        async def owner() -> None:
            try:
                async with open_nursery() as nursery:
                    nursery.start_soon(fail_when_cancelled)
            except ExceptionGroup:
                steps.append("failure")
                await sleep_for_ever()

        task = asyncio.create_task(owner())
        await settle()
        task.cancel("from outside")
        await asyncio.wait([task])
        with pytest.raises(asyncio.CancelledError, match="from outside"):
            task.result()
        return steps

    assert ["failure"] == run(main)


@pytest.mark.parametrize("host_name", ASYNCIO_HOST_NAMES, indirect=True)
def test_a_child_is_cancelled_once_and_may_finish_its_cleanup(run: Run) -> None:
    async def main() -> list[str]:
        steps: list[str] = []

        async def child() -> None:
            try:
                await sleep_for_ever()
            except asyncio.CancelledError:
                for _ in range(3):
                    await asyncio.sleep(0)
                steps.append("cleaned up")

        async with open_nursery() as nursery:
            nursery.start_soon(child)
            await settle()
            nursery.cancel()
        return steps

    assert ["cleaned up"] == run(main)


@pytest.mark.parametrize("host_name", ASYNCIO_HOST_NAMES, indirect=True)
def test_a_body_that_swallows_the_cancellation_goes_on(run: Run) -> None:
    async def main() -> int:
        async with open_nursery() as nursery:
            nursery.start_soon(fail)
            try:
                await sleep_for_ever()
            except asyncio.CancelledError:
                pass
        raise AssertionError

    with pytest.raises(ExceptionGroup):
        run(main)


@pytest.mark.parametrize("host_name", ASYNCIO_HOST_NAMES, indirect=True)
def test_a_nursery_works_in_a_task_that_cleans_up_after_a_cancellation(run: Run) -> None:
    """The task's own cancellation still counts while it cleans up, and is not the nursery's."""

    async def main() -> list[str]:
        steps: list[str] = []

        async def owner() -> None:
            try:
                await sleep_for_ever()
            finally:
                async with open_nursery() as nursery:
                    nursery.start_soon(sleep_for_ever)
                    await settle()
                    nursery.cancel()
                    await sleep_for_ever()
                steps.append("cleaned up")

        task = asyncio.create_task(owner())
        await settle()
        task.cancel()
        await asyncio.wait([task])
        assert task.cancelled()
        return steps

    assert ["cleaned up"] == run(main)


@pytest.mark.parametrize("leave", [KeyboardInterrupt, SystemExit])
@pytest.mark.parametrize("in_body", [True, False])
def test_an_exit_request_gets_through_unwrapped_on_asyncio(leave: type[BaseException], in_body: bool) -> None:
    async def leave_soon() -> None:
        await asyncio.sleep(0)
        raise leave

    async def main() -> None:
        async with open_nursery() as nursery:
            nursery.start_soon(sleep_for_ever)
            if in_body:
                await asyncio.sleep(0)
            nursery.start_soon(leave_soon)
            if in_body:
                await sleep_for_ever()

    with pytest.raises(leave):
        run_on("asyncio", main)


def test_an_exit_request_of_the_body_is_raised_with_the_failures() -> None:
    async def main() -> None:
        async def own() -> None:
            async with open_nursery() as nursery:
                nursery.start_soon(sleep_for_ever)
                await settle()
                raise SystemExit

        with pytest.raises(BaseExceptionGroup) as caught:
            await own()
        assert [SystemExit] == [type(error) for error in caught.value.exceptions]

    run_on("asyncio", main)


def test_the_end_of_a_run_cancels_children_that_have_not_begun() -> None:
    """`asyncio.run` cancels the tasks it finds, begun or not: the nursery must end all the same."""
    nurseries: list[Any] = []

    async def main() -> None:
        nursery = open_nursery()
        nurseries.append(nursery)

        async def own() -> None:
            async with nursery as opened:
                opened.start_soon(sleep_for_ever)
                await sleep_for_ever()

        asyncio.get_running_loop().create_task(own())
        await asyncio.sleep(0)

    asyncio.run(main())
    assert {} == nurseries[0]._tasks


@pytest.mark.parametrize("host_name", ASYNCIO_HOST_NAMES, indirect=True)
def test_a_foreign_task_factory_is_respected(run: Run) -> None:
    async def main() -> list[str]:
        steps: list[str] = []

        async def child() -> None:
            steps.append("begun")
            await sleep_for_ever()

        def factory(loop: asyncio.AbstractEventLoop, coroutine: Any, **options: Any) -> asyncio.Task[Any]:
            steps.append("made")
            return asyncio.Task(coroutine, loop=loop, **options)

        loop = asyncio.get_running_loop()
        loop.set_task_factory(factory)
        try:
            async with open_nursery() as nursery:
                nursery.start_soon(child)
                # One turn: the child's task has begun, its function has not.
                await asyncio.sleep(0)
                nursery.cancel()
                await sleep_for_ever()
        finally:
            loop.set_task_factory(None)
        return steps

    assert ["made", "begun"] == run(main)

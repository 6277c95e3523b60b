# SPDX-License-Identifier: Apache-2.0
"""Nurseries: who is cancelled, what is raised, and that a child always begins."""

from __future__ import annotations

import asyncio
import functools
import math
from collections.abc import Callable
from typing import Any

import pytest

from actorpool._host._current import current_host
from actorpool.primitives import ClosedResourceError, HostNotRunningError, Nursery, open_nursery
from tests.hosts import settle

Run = Callable[..., Any]


class OopsError(Exception):
    pass


async def fail(message: str = "oops") -> None:
    raise OopsError(message)


async def sleep_for_ever() -> None:
    await current_host().event().wait()


def messages(group: BaseExceptionGroup[Any]) -> list[str]:
    return sorted(str(error) for error in group.exceptions)


def test_a_nursery_needs_a_running_loop() -> None:
    with pytest.raises(HostNotRunningError):
        open_nursery()


def test_a_nursery_waits_for_its_children(run: Run) -> None:
    async def main() -> list[int]:
        done: list[int] = []

        async def child(number: int) -> None:
            await current_host().checkpoint()
            done.append(number)

        async with open_nursery() as nursery:
            for number in range(3):
                nursery.start_soon(child, number, name=f"child {number}")
            assert [] == done
        return sorted(done)

    assert [0, 1, 2] == run(main)


def test_a_child_never_starts_inside_start_soon(run: Run) -> None:
    async def main() -> list[str]:
        steps: list[str] = []

        async def child() -> None:
            steps.append("child")

        async with open_nursery() as nursery:
            nursery.start_soon(child)
            steps.append("body")
        return steps

    assert ["body", "child"] == run(main)


def test_a_failing_child_cancels_the_others_and_the_body(run: Run) -> None:
    async def main() -> list[str]:
        ended: list[str] = []

        async def child() -> None:
            try:
                await sleep_for_ever()
            finally:
                ended.append("sibling")

        async def own() -> None:
            async with open_nursery() as nursery:
                nursery.start_soon(child)
                nursery.start_soon(fail)
                try:
                    await sleep_for_ever()
                finally:
                    ended.append("body")

        with pytest.raises(ExceptionGroup) as caught:
            await own()
        assert ["oops"] == messages(caught.value)
        return sorted(ended)

    assert ["body", "sibling"] == run(main)


def test_a_failing_body_cancels_the_children(run: Run) -> None:
    async def main() -> None:
        async def own() -> None:
            async with open_nursery() as nursery:
                nursery.start_soon(sleep_for_ever)
                raise OopsError("body")

        with pytest.raises(ExceptionGroup) as caught:
            await own()
        assert ["body"] == messages(caught.value)

    run(main)


def test_all_failures_are_raised_together(run: Run) -> None:
    async def main() -> None:
        async def fail_late() -> None:
            try:
                await sleep_for_ever()
            finally:
                await fail("late")

        async def own() -> None:
            async with open_nursery() as nursery:
                nursery.start_soon(fail_late)
                nursery.start_soon(fail, "early")

        with pytest.raises(ExceptionGroup) as caught:
            await own()
        assert ["early", "late"] == messages(caught.value)

    run(main)


def test_a_call_that_fails_is_the_failure_of_the_child(run: Run) -> None:
    async def main() -> None:
        async def own() -> None:
            async with open_nursery() as nursery:
                nursery.start_soon(fail, "one", "argument", "too many")

        with pytest.raises(ExceptionGroup) as caught:
            await own()
        assert [TypeError] == [type(error) for error in caught.value.exceptions]

    run(main)


def test_cancel_ends_children_and_body_without_an_error(run: Run) -> None:
    async def main() -> str:
        async with open_nursery() as nursery:
            nursery.start_soon(sleep_for_ever)
            await settle()
            nursery.cancel()
            nursery.cancel()
            await sleep_for_ever()
            raise AssertionError
        # Nothing of the cancellation is left.
        await current_host().sleep(0.001)
        return "behind"

    assert "behind" == run(main)


def test_a_cancel_that_the_body_does_not_wait_for_is_not_delivered_behind_it(run: Run) -> None:
    async def main() -> str:
        async with open_nursery() as nursery:
            nursery.cancel()
        await current_host().checkpoint()
        await current_host().sleep(0.001)
        return "behind"

    assert "behind" == run(main)


def test_a_child_may_cancel_its_nursery(run: Run) -> None:
    async def main() -> str:
        async def child(nursery: Nursery) -> None:
            nursery.cancel()
            await sleep_for_ever()

        async with open_nursery() as nursery:
            nursery.start_soon(child, nursery)
            await sleep_for_ever()
        async with open_nursery() as nursery:
            nursery.start_soon(child, nursery)
        return "behind"

    assert "behind" == run(main)


@pytest.mark.parametrize("cancel_first", [True, False])
def test_a_child_cancelled_before_its_start_gets_to_its_first_checkpoint(
    run: Run, cancel_first: bool
) -> None:
    async def main() -> list[str]:
        steps: list[str] = []

        async def child() -> None:
            steps.append("begun")
            try:
                await sleep_for_ever()
            finally:
                steps.append("cleaned up")

        async with open_nursery() as nursery:
            if cancel_first:
                nursery.cancel()
            nursery.start_soon(child)
            nursery.cancel()
        return steps

    assert ["begun", "cleaned up"] == run(main)


def test_a_child_may_start_children_until_the_nursery_has_ended(run: Run) -> None:
    async def main() -> list[str]:
        steps: list[str] = []

        async def child(nursery: Nursery, depth: int) -> None:
            steps.append(f"depth {depth}")
            if depth:
                nursery.start_soon(child, nursery, depth - 1)

        async with open_nursery() as nursery:
            nursery.start_soon(child, nursery, 2)
        with pytest.raises(ClosedResourceError):
            nursery.start_soon(child, nursery, 0)
        return steps

    assert ["depth 2", "depth 1", "depth 0"] == run(main)


def test_cancelling_an_outer_nursery_goes_through_the_inner_one(run: Run) -> None:
    async def main() -> list[str]:
        steps: list[str] = []
        async with open_nursery() as outer:
            async with open_nursery() as inner:
                inner.start_soon(sleep_for_ever)
                outer.cancel()
                await sleep_for_ever()
            steps.append("not reached")
        return steps

    assert [] == run(main)


def test_a_cancellation_from_outside_while_waiting_for_children_goes_on(run: Run) -> None:
    async def main() -> list[str]:
        steps: list[str] = []

        async def owner() -> None:
            async with open_nursery() as nursery:
                nursery.start_soon(sleep_for_ever)
                nursery.start_soon(sleep_for_ever)
            steps.append("not reached")

        async with open_nursery() as outer:
            outer.start_soon(owner)
            await settle()
            outer.cancel()
        return steps

    assert [] == run(main)


def test_nested_move_on_scopes_and_nurseries_leave_the_right_one(run_virtually: Run) -> None:
    async def main() -> tuple[bool, bool, float]:
        host = current_host()
        with host.move_on_after(2.0) as outer:
            with host.move_on_after(5.0) as inner:
                async with open_nursery() as nursery:
                    nursery.start_soon(sleep_for_ever)
        return outer.cancelled_caught, inner.cancelled_caught, host.now()

    caught_outside, caught_inside, elapsed = run_virtually(main)
    assert (True, False, 2.0) == (caught_outside, caught_inside, elapsed)


def test_children_see_the_context_of_their_start(run: Run) -> None:
    import contextvars

    variable = contextvars.ContextVar("variable", default="unset")

    async def main() -> list[str]:
        seen: list[str] = []

        async def child() -> None:
            seen.append(variable.get())
            variable.set("of the child")

        async with open_nursery() as nursery:
            variable.set("of the body")
            nursery.start_soon(child)
        return [*seen, variable.get()]

    assert ["of the body", "of the body"] == run(main)


def test_a_cancellation_that_a_failure_displaced_is_not_delivered_behind_its_scope(run: Run) -> None:
    async def main() -> list[str]:
        host = current_host()
        steps: list[str] = []
        scopes: list[Any] = []

        async def fail_when_cancelled() -> None:
            try:
                await sleep_for_ever()
            finally:
                await fail()

        async def owner() -> None:
            try:
                with host.move_on_after(math.inf) as scope:
                    scopes.append(scope)
                    async with open_nursery() as nursery:
                        nursery.start_soon(fail_when_cancelled)
            except ExceptionGroup:
                steps.append("failure")
            await host.checkpoint()
            await host.sleep(0.001)
            steps.append("behind")

        async with open_nursery() as outer:
            outer.start_soon(owner)
            await settle()
            scopes[0].cancel()
        return steps

    assert ["failure", "behind"] == run(main)


def test_a_task_is_named_after_its_function(run: Run) -> None:
    async def main() -> None:
        async def child() -> None:
            pass

        class Callable_:
            def __repr__(self) -> str:
                return "<something callable>"

            async def __call__(self) -> None:
                pass

        host = current_host()
        async with open_nursery() as nursery:
            nursery.start_soon(functools.partial(functools.partial(child)))
            nursery.start_soon(Callable_())
            if host.name == "asyncio":
                names = {task.get_name() for task in asyncio.all_tasks()}
                assert {child.__qualname__, "<something callable>"} <= names

    run(main)

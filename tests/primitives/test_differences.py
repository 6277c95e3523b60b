# SPDX-License-Identifier: Apache-2.0
"""Where our primitives differ from trio's on purpose: each row of the table in docs/differences.md, pinned.

`@difference("topic")` names the row; the last test holds the table and the tests together. A difference that is not
listed is a bug, which the referees look for.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any, TypeVar

import pytest
import trio
import trio.testing

from actorpool._host._current import current_host
from actorpool.exception import ConflictError, InvalidError, ResourceExhaustedError
from actorpool.primitives import (
    EndOfChannel,
    HostNotRunningError,
    Mailbox,
    Slots,
    WouldBlock,
    open_memory_channel,
    open_nursery,
)
from tests.hosts import ASYNCIO_HOST_NAMES, run_on, settle

F = TypeVar("F", bound=Callable[..., Any])

PAGE = Path(__file__).parents[2] / "docs" / "differences.md"
topics: dict[str, str] = {}
"""{topic of the page: the test that pins it}"""

on_asyncio = pytest.mark.parametrize("loop_kind", ASYNCIO_HOST_NAMES)


def difference(topic: str) -> Callable[[F], F]:
    def add(test: F) -> F:
        assert topic not in topics, topic
        topics[topic] = test.__name__
        return test

    return add


class OopsError(Exception):
    pass


# -- cancellation ----------------------------------------------------------------------------------


@on_asyncio
@difference("a cancelled task")
def test_a_cancelled_task_is_cancelled_once_on_asyncio(loop_kind: str) -> None:
    async def main() -> list[str]:
        steps: list[str] = []

        async def child() -> None:
            try:
                await current_host().event().wait()
            finally:
                for step in ("first", "second"):
                    await current_host().checkpoint()
                    steps.append(step)

        async with open_nursery() as nursery:
            nursery.start_soon(child)
            await settle()
            nursery.cancel()
        return steps

    assert ["first", "second"] == run_on(loop_kind, main)
    assert [] == run_on("trio", main)


@on_asyncio
@difference("a task cancelled in the turn in which it was served")
def test_a_task_that_was_served_and_cancelled_in_one_turn_is_cancelled_on_asyncio(loop_kind: str) -> None:
    async def main() -> tuple[list[str], int]:
        outcomes: list[str] = []
        send, receive = open_memory_channel(1)
        scopes: list[Any] = []

        async def take() -> None:
            with current_host().move_on_after(float("inf")) as scope:
                scopes.append(scope)
                outcomes.append(await receive.receive())
            if scope.cancelled_caught:
                outcomes.append("cancelled")

        async with open_nursery() as nursery:
            nursery.start_soon(take)
            await settle()
            send.send_nowait("item")
            scopes[0].cancel()
        return outcomes, send.statistics().current_buffer_used

    # Nothing is lost: the item is there for the next one.
    assert (["cancelled"], 1) == run_on(loop_kind, main)
    assert (["item"], 0) == run_on("trio", main)


@on_asyncio
@difference("a failure and a cancellation at the same time")
def test_a_failure_goes_before_a_cancellation_on_asyncio(loop_kind: str) -> None:
    async def main() -> list[str]:
        seen: list[str] = []

        async def failing() -> None:
            try:
                await current_host().event().wait()
            finally:
                raise OopsError

        with current_host().move_on_after(float("inf")) as scope:
            try:
                async with open_nursery() as nursery:
                    nursery.start_soon(failing)
                    await settle()
                    scope.cancel()
                    await current_host().event().wait()
            except BaseExceptionGroup as group:
                seen.extend(sorted(type(error).__name__ for error in group.exceptions))
            await current_host().checkpoint()
            seen.append("not cancelled")
        seen.append("behind the scope")
        return seen

    # The cancellation comes at the next checkpoint; trio raises it in the group as well.
    assert ["OopsError", "behind the scope"] == run_on(loop_kind, main)
    assert ["Cancelled", "OopsError", "behind the scope"] == run_on("trio", main)


@on_asyncio
@difference("an exit request in a child")
def test_an_exit_request_leaves_a_nursery_as_it_is_on_asyncio(loop_kind: str) -> None:
    async def main() -> None:
        async def leave() -> None:
            raise SystemExit(3)

        async with open_nursery() as nursery:
            nursery.start_soon(leave)

    # asyncio ends its loop for it.
    with pytest.raises(SystemExit):
        run_on(loop_kind, main)
    with pytest.raises(BaseExceptionGroup) as caught:
        run_on("trio", main)
    assert isinstance(caught.value.exceptions[0], SystemExit)


@difference("what a nursery has")
def test_a_nursery_has_start_soon_and_cancel() -> None:
    async def main() -> list[str]:
        async with open_nursery() as nursery:
            return [
                name for name in ("cancel", "cancel_scope", "start", "start_soon") if hasattr(nursery, name)
            ]

    async def of_trio() -> list[str]:
        async with trio.open_nursery() as nursery:
            return [
                name for name in ("cancel", "cancel_scope", "start", "start_soon") if hasattr(nursery, name)
            ]

    assert ["cancel", "start_soon"] == run_on("asyncio", main) == run_on("trio", main)
    assert ["cancel_scope", "start", "start_soon"] == trio.run(of_trio)


# -- order ------------------------------------------------------------------------------------------


@on_asyncio
@difference("which of several ready tasks runs first")
def test_ready_tasks_run_in_order_on_asyncio(loop_kind: str) -> None:
    async def main() -> set[tuple[int, ...]]:
        orders = set()
        for _ in range(10):
            order: list[int] = []

            async def note(number: int, order: list[int] = order) -> None:
                await current_host().checkpoint()
                order.append(number)

            async with open_nursery() as nursery:
                for number in range(8):
                    nursery.start_soon(note, number)
            orders.add(tuple(order))
        return orders

    assert {tuple(range(8))} == run_on(loop_kind, main)
    # Any order, so that no program comes to rely on one.
    assert len(run_on("trio", main)) > 1


@on_asyncio
@difference("operations that need not wait")
def test_what_need_not_wait_is_no_checkpoint_on_asyncio(loop_kind: str) -> None:
    async def main() -> list[str]:
        order: list[str] = []
        send, receive = open_memory_channel(1)

        async def other() -> None:
            order.append("other")

        async with open_nursery() as nursery:
            for name, operation in (
                ("send", lambda: send.send("item")),
                ("receive", receive.receive),
                ("acquire", Slots(1).acquire),
            ):
                nursery.start_soon(other)
                await operation()
                order.append(name)
                await settle()
        return order

    async def of_trio() -> None:
        send, receive = trio.open_memory_channel[str](1)
        with trio.testing.assert_checkpoints():
            await send.send("item")
        with trio.testing.assert_checkpoints():
            await receive.receive()
        with trio.testing.assert_checkpoints():
            await trio.CapacityLimiter(1).acquire()

    assert ["send", "other", "receive", "other", "acquire", "other"] == run_on(loop_kind, main)
    trio.run(of_trio)


# -- slots, mailboxes, errors --------------------------------------------------------------------------


@difference("who gives a slot back")
def test_any_task_gives_a_slot_back() -> None:
    async def main() -> int:
        slots = Slots(1)
        await slots.acquire()
        async with open_nursery() as nursery:
            nursery.start_soon(_called, slots.release)
        return slots.statistics().in_use

    async def of_trio() -> None:
        limiter = trio.CapacityLimiter(1)
        await limiter.acquire()
        with pytest.RaisesGroup(RuntimeError):
            async with trio.open_nursery() as nursery:
                nursery.start_soon(_called, limiter.release)

    assert 0 == run_on("asyncio", main) == run_on("trio", main)
    trio.run(of_trio)


async def _called(function: Callable[[], object]) -> None:
    function()


@difference("a limit without bound")
def test_slots_have_a_bound() -> None:
    with pytest.raises(InvalidError, match="limit must be a whole number, not inf"):
        Slots(float("inf"))  # type: ignore[arg-type]

    async def of_trio() -> float:
        return trio.CapacityLimiter(float("inf")).total_tokens

    assert float("inf") == trio.run(of_trio)


@difference("more than one receiver of a mailbox")
def test_a_mailbox_has_one_receiver_at_a_time() -> None:
    async def main() -> None:
        mailbox = Mailbox[str]()
        async with open_nursery() as nursery:
            nursery.start_soon(mailbox.receive)
            await settle()
            with pytest.raises(ConflictError):
                await mailbox.receive()
            nursery.cancel()

    async def of_trio() -> list[str]:
        send, receive = trio.open_memory_channel[str](2)
        found: list[str] = []

        async def take() -> None:
            found.append(await receive.receive())

        async with trio.open_nursery() as nursery:
            nursery.start_soon(take)
            nursery.start_soon(take)
            await settle()
            send.send_nowait("a")
            send.send_nowait("b")
        return sorted(found)

    run_on("asyncio", main)
    run_on("trio", main)
    assert ["a", "b"] == trio.run(of_trio)


@difference("a full mailbox")
def test_a_full_mailbox_refuses_and_never_waits() -> None:
    mailbox = Mailbox[int](max_pending=1)
    mailbox.post(1)
    with pytest.raises(ResourceExhaustedError) as caught:
        mailbox.post(2)
    assert not isinstance(caught.value, WouldBlock)

    async def of_trio() -> None:
        send, _ = trio.open_memory_channel[int](1)
        send.send_nowait(1)
        with pytest.raises(trio.WouldBlock):
            send.send_nowait(2)

    trio.run(of_trio)


@pytest.mark.parametrize("host", ["asyncio", "trio"])
@difference("the types of errors")
def test_errors_are_actorpools_own_on_trio_too(host: str) -> None:
    async def main() -> type[BaseException]:
        send, receive = open_memory_channel(0)
        send.close()
        with pytest.raises(EndOfChannel) as caught:
            await receive.receive()
        return type(caught.value)

    assert EndOfChannel is run_on(host, main)
    assert not issubclass(EndOfChannel, trio.EndOfChannel)


@difference("without a loop")
def test_without_a_loop_there_is_an_error_of_our_own() -> None:
    with pytest.raises(HostNotRunningError):
        open_memory_channel(0)

    # A channel of trio's can be made anywhere.
    send, receive = trio.open_memory_channel[int](0)
    send.close()
    receive.close()


# -- the table --------------------------------------------------------------------------------------


def _rows() -> Iterator[str]:
    section = PAGE.read_text("utf-8").partition("## The primitives and trio")[2]
    table = section.partition("\n## ")[0]
    for line in table.splitlines():
        row = re.fullmatch(r"\| (.+?) \|.*\|.*\|", line)
        if row is not None and row[1] not in ("topic", "---"):
            yield row[1]


def test_each_row_of_the_page_is_pinned_and_each_pin_has_its_row() -> None:
    rows = list(_rows())
    assert rows
    assert len(set(rows)) == len(rows)
    assert set(topics) == set(rows)

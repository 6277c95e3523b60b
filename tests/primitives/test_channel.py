# SPDX-License-Identifier: Apache-2.0
"""Memory channels: what the referee's machine does not ask, and the claims the docstrings make."""

from __future__ import annotations

import asyncio
import math
from collections.abc import Callable
from typing import Any

import pytest

from actorpool._host._current import current_host
from actorpool.primitives import (
    BrokenResourceError,
    ChannelStatistics,
    ClosedResourceError,
    EndOfChannel,
    HostNotRunningError,
    WouldBlock,
    open_memory_channel,
    open_nursery,
)
from tests.hosts import ASYNCIO_HOST_NAMES, run_on, settle

Run = Callable[..., Any]


def test_items_arrive_in_order_and_the_loop_ends_with_the_last_sender(run: Run) -> None:
    async def main() -> list[int]:
        send, receive = open_memory_channel(2)

        async def produce(end: Any, numbers: range) -> None:
            async with end:
                for number in numbers:
                    await end.send(number)

        async with open_nursery() as nursery, receive:
            nursery.start_soon(produce, send, range(50))
            return [item async for item in receive]

    assert list(range(50)) == run(main)


def test_a_channel_needs_a_running_loop() -> None:
    with pytest.raises(HostNotRunningError, match="async function"):
        open_memory_channel(0)


@pytest.mark.parametrize(("size", "error"), [(-1, ValueError), (0.5, TypeError), ("1", TypeError)])
def test_a_wrong_size_is_refused(run: Run, size: Any, error: type[Exception]) -> None:
    async def main() -> None:
        with pytest.raises(error, match="max_buffer_size"):
            open_memory_channel(size)

    run(main)


def test_a_closed_end_is_refused_and_closing_twice_is_fine(run: Run) -> None:
    async def main() -> None:
        send, receive = open_memory_channel(1)
        await send.aclose()
        send.close()
        with pytest.raises(ClosedResourceError):
            send.send_nowait(1)
        with pytest.raises(ClosedResourceError):
            await send.send(1)
        with pytest.raises(ClosedResourceError):
            send.clone()
        with receive:
            with pytest.raises(EndOfChannel):
                await receive.receive()
            with pytest.raises(EndOfChannel):
                receive.receive_nowait()
        receive.close()
        with pytest.raises(ClosedResourceError):
            receive.receive_nowait()
        with pytest.raises(ClosedResourceError):
            await receive.receive()
        with pytest.raises(ClosedResourceError):
            receive.clone()

    run(main)


def test_a_channel_without_receivers_is_broken(run: Run) -> None:
    async def main() -> None:
        send, receive = open_memory_channel(1)
        receive.close()
        with pytest.raises(BrokenResourceError):
            send.send_nowait(1)
        with send, pytest.raises(BrokenResourceError):
            await send.send(1)

    run(main)


def test_nowait_operations_refuse_to_wait(run: Run) -> None:
    async def main() -> None:
        send, receive = open_memory_channel(1)
        with pytest.raises(WouldBlock):
            receive.receive_nowait()
        send.send_nowait("a")
        with pytest.raises(WouldBlock):
            send.send_nowait("b")
        assert "a" == receive.receive_nowait()

    run(main)


def test_statistics_count_items_ends_and_waiting_tasks(run: Run) -> None:
    async def main() -> ChannelStatistics:
        send, receive = open_memory_channel(1)
        other = send.clone()
        async with open_nursery() as nursery:
            for item in range(3):
                nursery.start_soon(send.send, item)
            await settle()
            statistics = other.statistics()
            assert statistics == receive.statistics()
            nursery.cancel()
        assert 0 == send.statistics().tasks_waiting_send
        return statistics

    assert ChannelStatistics(1, 1, 2, 1, 2, 0) == run(main)


@pytest.mark.parametrize(
    ("blocked", "closed", "outcome"),
    [
        ("receive", "send", EndOfChannel),
        ("receive", "receive", ClosedResourceError),
        ("send", "receive", BrokenResourceError),
        ("send", "send", ClosedResourceError),
    ],
)
def test_closing_either_end_wakes_blocked_tasks(
    run: Run, blocked: str, closed: str, outcome: type[Exception]
) -> None:
    async def main() -> list[type[Exception]]:
        send, receive = open_memory_channel(0)
        ends = {"send": send, "receive": receive}
        outcomes: list[type[Exception]] = []

        async def child() -> None:
            try:
                await (receive.receive() if blocked == "receive" else send.send("item"))
            except (EndOfChannel, ClosedResourceError, BrokenResourceError) as error:
                outcomes.append(type(error))

        async with open_nursery() as nursery:
            nursery.start_soon(child)
            await settle()
            ends[closed].close()
        return outcomes

    assert [outcome] == run(main)


@pytest.mark.parametrize("what", ["send_nowait", "receive_nowait", "close both"])
def test_a_task_cancelled_in_this_turn_is_no_partner(run: Run, what: str) -> None:
    async def main() -> None:
        send, receive = open_memory_channel(0)
        async with open_nursery() as nursery:
            nursery.start_soon(
                send.send if what == "receive_nowait" else receive.receive,
                *(["item"] if what == "receive_nowait" else []),
            )
            await settle()
            nursery.cancel()
            if what == "close both":
                send.close()
                receive.close()
            else:
                with pytest.raises(WouldBlock):
                    send.send_nowait("other") if what == "send_nowait" else receive.receive_nowait()
            assert (0, 0) == (send.statistics().tasks_waiting_send, send.statistics().tasks_waiting_receive)

    run(main)


@pytest.mark.parametrize("host_name", ASYNCIO_HOST_NAMES, indirect=True)
def test_a_task_woken_by_a_close_and_cancelled_in_the_same_turn_is_cancelled(run: Run) -> None:
    async def main() -> None:
        send, receive = open_memory_channel(0)
        other, _ = open_memory_channel(0)
        tasks = [asyncio.create_task(receive.receive()), asyncio.create_task(other.send("item"))]
        await settle()
        for end, task in zip([send, other], tasks, strict=True):
            end.close()
            task.cancel()
        await asyncio.wait(tasks)
        assert [True, True] == [task.cancelled() for task in tasks]

    run(main)


def test_an_unbounded_channel_never_blocks(run: Run) -> None:
    async def main() -> int:
        send, receive = open_memory_channel(math.inf)
        for item in range(1000):
            send.send_nowait(item)
        return receive.statistics().current_buffer_used

    assert 1000 == run(main)


def test_a_receiver_cancelled_in_the_turn_it_was_served_loses_nothing(run: Run) -> None:
    async def main() -> list[str]:
        send, receive = open_memory_channel(0)
        got: list[str] = []

        async def receive_one() -> None:
            got.append(await receive.receive())

        async with open_nursery() as nursery:
            nursery.start_soon(receive_one)
            await settle()
            send.send_nowait("a")
            nursery.cancel()
        # Either the receiver had it, or it is still there.
        if not got:
            got.append(receive.receive_nowait())
        return got

    assert ["a"] == run(main)


@pytest.mark.parametrize("host_name", ASYNCIO_HOST_NAMES, indirect=True)
def test_an_item_given_back_goes_to_the_next_receiver_or_to_the_head(run: Run) -> None:
    async def main() -> tuple[list[str], str, int]:
        send, receive = open_memory_channel(0)
        got: list[str] = []

        async def receive_one() -> None:
            got.append(await receive.receive())

        first = asyncio.create_task(receive_one())
        second = asyncio.create_task(receive_one())
        await settle()
        send.send_nowait("a")
        first.cancel()
        await asyncio.wait([first, second])
        third = asyncio.create_task(receive_one())
        await settle()
        send.send_nowait("b")
        third.cancel()
        await asyncio.wait([third])
        used = receive.statistics().current_buffer_used
        return got, receive.receive_nowait(), used

    assert (["a"], "b", 1) == run(main)


@pytest.mark.parametrize("host_name", ASYNCIO_HOST_NAMES, indirect=True)
def test_an_item_given_back_to_a_channel_without_receivers_is_dropped(run: Run) -> None:
    async def main() -> int:
        send, receive = open_memory_channel(0)
        task = asyncio.create_task(receive.receive())
        await settle()
        send.send_nowait("a")
        task.cancel()
        receive.close()
        await asyncio.wait([task])
        assert task.cancelled()
        return send.statistics().current_buffer_used

    assert 0 == run(main)


@pytest.mark.parametrize("host_name", ASYNCIO_HOST_NAMES, indirect=True)
def test_a_send_that_has_happened_is_not_reported_as_cancelled(run: Run) -> None:
    async def main() -> list[str]:
        send, receive = open_memory_channel(0)
        steps: list[str] = []

        async def send_one() -> None:
            await send.send("a")
            steps.append("sent")
            await asyncio.Event().wait()

        task = asyncio.create_task(send_one())
        await settle()
        steps.append(receive.receive_nowait())
        task.cancel("enough")
        await asyncio.wait([task])
        with pytest.raises(asyncio.CancelledError, match="enough"):
            task.result()
        return steps

    assert ["a", "sent"] == run(main)


@pytest.mark.parametrize("host_name", ASYNCIO_HOST_NAMES, indirect=True)
def test_a_cancellation_that_was_put_off_is_not_delivered_behind_its_timeout(run: Run) -> None:
    async def main() -> str:
        send, receive = open_memory_channel(0)

        async def send_one() -> str:
            async with asyncio.timeout(None) as timeout:
                ready.append(timeout)
                await send.send("a")
            # The scope has ended in time, so nothing may interrupt what follows.
            await asyncio.sleep(0.001)
            return "finished"

        ready: list[asyncio.Timeout] = []
        task = asyncio.create_task(send_one())
        await settle()
        # In one turn: the timeout fires, then the item is taken, then the task goes on.
        ready[0].reschedule(0)
        receive.receive_nowait()
        return await task

    assert "finished" == run(main)


@pytest.mark.parametrize("host_name", ASYNCIO_HOST_NAMES, indirect=True)
def test_a_blocked_task_whose_coroutine_is_closed_leaves_nothing(run: Run) -> None:
    async def main() -> tuple[int, int]:
        send, receive = open_memory_channel(0)
        receiving = receive.receive()
        receiving.send(None)
        receiving.close()
        sending = send.send("a")
        sending.send(None)
        sending.close()
        statistics = send.statistics()
        return statistics.tasks_waiting_send, statistics.tasks_waiting_receive

    assert (0, 0) == run(main)


@pytest.mark.parametrize("host_name", ASYNCIO_HOST_NAMES, indirect=True)
def test_the_ends_describe_themselves(run: Run) -> None:
    async def main() -> tuple[str, str]:
        send, receive = open_memory_channel(2)
        send.send_nowait(1)
        receive.close()
        return repr(send), repr(receive)

    send, receive = run(main)
    assert "<AsyncioSendChannel open buffer=0/2 waiting: 0 sending, 0 receiving>" == send
    assert "<AsyncioReceiveChannel closed buffer=0/2 waiting: 0 sending, 0 receiving>" == receive


def test_a_channel_works_inside_a_timeout_of_asyncio() -> None:
    async def main() -> str:
        send, receive = current_host().open_memory_channel(0)
        with pytest.raises(TimeoutError):
            async with asyncio.timeout(0.001):
                await receive.receive()
        with pytest.raises(TimeoutError):
            async with asyncio.timeout(0.001):
                await send.send("lost?")
        async with open_nursery() as nursery:
            nursery.start_soon(send.send, "kept")
            return str(await asyncio.wait_for(receive.receive(), 1.0))

    assert "kept" == run_on("asyncio", main)

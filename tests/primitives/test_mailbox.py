# SPDX-License-Identifier: Apache-2.0
"""The mailbox: every accepted message is received once or answered once, from whatever thread it came."""

from __future__ import annotations

import threading
from collections.abc import Callable
from typing import Any

import pytest

from actorpool._host._current import current_host
from actorpool.exception import ConflictError, Error, InvalidError, ResourceExhaustedError
from actorpool.primitives import (
    ClosedResourceError,
    EndOfChannel,
    HostNotRunningError,
    Mailbox,
    MailboxStatistics,
    open_nursery,
)
from tests.hosts import run_on, settle

Run = Callable[..., Any]


def test_messages_of_eight_threads_all_arrive_in_the_order_of_each_thread(run: Run) -> None:
    number = 200

    async def main() -> list[tuple[int, int]]:
        mailbox = Mailbox[tuple[int, int]]()
        left = [8]
        lock = threading.Lock()

        def post(thread: int) -> None:
            for index in range(number):
                mailbox.post((thread, index))
            with lock:
                left[0] -= 1
                if not left[0]:
                    mailbox.close()

        threads = [threading.Thread(target=post, args=(index,)) for index in range(8)]
        for thread in threads:
            thread.start()
        arrived = [message async for message in mailbox]
        for thread in threads:
            thread.join()
        return arrived

    arrived = run(main)
    assert 8 * number == len(arrived)
    for thread in range(8):
        assert list(range(number)) == [index for of, index in arrived if of == thread]


def test_messages_may_be_posted_before_there_is_a_loop(host_name: str) -> None:
    mailbox = Mailbox[str](name="early")
    mailbox.post("first")
    assert "<Mailbox 'early' open pending=1>" == repr(mailbox)
    assert "first" == run_on(host_name, mailbox.receive)
    mailbox.post("second")
    # Another loop may take over.
    assert "second" == run_on(host_name, mailbox.receive)


def test_a_mailbox_moves_to_the_loop_that_receives(host_name: str) -> None:
    mailbox = Mailbox[str]()

    async def main() -> str:
        async with open_nursery() as nursery:
            got: list[str] = []

            async def receive() -> None:
                got.append(await mailbox.receive())

            nursery.start_soon(receive)
            await settle()
            mailbox.post("message")
        return got[0]

    assert "message" == run_on(host_name, main)
    assert "message" == run_on(host_name, main)


def test_receiving_needs_a_running_loop() -> None:
    waiting = Mailbox[str]().receive()
    with pytest.raises(HostNotRunningError):
        waiting.send(None)


def test_a_full_mailbox_refuses_at_once() -> None:
    mailbox = Mailbox[int](name="small", max_pending=2)
    mailbox.post(1)
    mailbox.post(2)
    with pytest.raises(ResourceExhaustedError, match=r"'small' has 2 pending messages \(limit 2\)") as caught:
        mailbox.post(3)
    assert (2, "max_pending", 2) == (caught.value.limit, caught.value.limit_name, caught.value.pending)
    assert "<Mailbox 'small' open pending=2/2>" == repr(mailbox)


@pytest.mark.parametrize("max_pending", [0, -1, 1.5])
def test_a_wrong_bound_is_refused(max_pending: Any) -> None:
    with pytest.raises(InvalidError, match="max_pending"):
        Mailbox[int](max_pending=max_pending)


def test_a_closed_mailbox_is_emptied_and_then_ends(run: Run) -> None:
    async def main() -> list[int]:
        mailbox = Mailbox[int]()
        mailbox.post(1)
        mailbox.post(2)
        mailbox.close()
        mailbox.close()
        with pytest.raises(ClosedResourceError):
            mailbox.post(3)
        received = [message async for message in mailbox]
        with pytest.raises(EndOfChannel):
            await mailbox.receive()
        return received

    assert [1, 2] == run(main)


def test_closing_wakes_the_receiver(run: Run) -> None:
    async def main() -> str:
        mailbox = Mailbox[int]()

        async def receive() -> None:
            with pytest.raises(EndOfChannel):
                await mailbox.receive()

        async with open_nursery() as nursery:
            nursery.start_soon(receive)
            await settle()
            thread = threading.Thread(target=mailbox.close)
            thread.start()
            thread.join()
        return "ended"

    assert "ended" == run(main)


def test_discarding_answers_every_pending_message_with_an_error() -> None:
    answers: list[tuple[int, type[Error]]] = []

    def answer(message: int, error: Error) -> None:
        answers.append((message, type(error)))
        if message == 1:
            raise ValueError(message)

    mailbox = Mailbox[int](on_dead_letter=answer)
    for message in range(3):
        mailbox.post(message)
    assert 3 == mailbox.discard()
    assert 0 == mailbox.discard()
    assert [(message, ClosedResourceError) for message in range(3)] == answers
    assert (
        MailboxStatistics(pending=0, max_pending=None, received=0, dead_letters=3, closed=True)
        == mailbox.statistics()
    )
    assert "<Mailbox 'mailbox' closed pending=0>" == repr(mailbox)


def test_dead_letters_that_nobody_answers_are_logged(caplog: pytest.LogCaptureFixture) -> None:
    mailbox = Mailbox[str](name="lost")
    mailbox.post("help")
    mailbox.discard()
    assert ["dead letter in mailbox 'lost': 'help'"] == [record.message for record in caplog.records]


def test_one_task_receives_at_a_time(run: Run) -> None:
    async def main() -> None:
        mailbox = Mailbox[int]()
        async with open_nursery() as nursery:
            nursery.start_soon(mailbox.receive)
            await settle()
            with pytest.raises(ConflictError, match="another task"):
                await mailbox.receive()
            mailbox.post(1)

    run(main)


def test_a_cancelled_receive_takes_no_message(run: Run) -> None:
    async def main() -> int:
        mailbox = Mailbox[int]()
        async with open_nursery() as nursery:
            got: list[int] = []

            async def receive() -> None:
                got.append(await mailbox.receive())

            nursery.start_soon(receive)
            await settle()
            mailbox.post(7)
            nursery.cancel()
        return got[0] if got else await mailbox.receive()

    assert 7 == run(main)


def test_a_full_mailbox_does_not_starve_the_loop(run: Run) -> None:
    async def main() -> int:
        mailbox = Mailbox[int]()
        for message in range(1000):
            mailbox.post(message)
        mailbox.close()
        turns = 0

        async def count() -> None:
            nonlocal turns
            while mailbox.statistics().pending:
                turns += 1
                await current_host().checkpoint()

        async with open_nursery() as nursery:
            nursery.start_soon(count)
            async for _ in mailbox:
                pass
        return turns

    assert run(main) >= 9

# SPDX-License-Identifier: Apache-2.0
"""The actor: its numbered life, and one answer to every message that was asked."""

from __future__ import annotations

import asyncio
import threading
from collections.abc import Callable
from typing import Any

import pytest

from actorpool._host._current import current_host
from actorpool.exception import ConflictError, ResourceExhaustedError
from actorpool.primitives import (
    Actor,
    Address,
    ClosedResourceError,
    HostNotRunningError,
    Letter,
    Mailbox,
    open_nursery,
)
from tests.hosts import settle

Run = Callable[..., Any]


class OopsError(Exception):
    pass


class Counter(Actor[int, int]):
    """Adds up; fails on negative numbers, waits for its gate on zero."""

    def __init__(self, **options: Any) -> None:
        super().__init__(**options)
        self.total = 0
        self.steps: list[str] = []
        self.gate: Any = None

    async def started(self) -> None:
        self.steps.append("started")
        self.gate = current_host().event()

    async def handle(self, message: int) -> int:
        if message < 0:
            raise OopsError(message)
        if message == 0:
            await self.gate.wait()
        self.total += message
        return self.total

    async def stopped(self) -> None:
        await current_host().checkpoint()
        self.steps.append("stopped")


def test_messages_are_handled_in_order_and_answered(run: Run) -> None:
    async def main() -> tuple[list[int], list[str]]:
        counter = Counter(name="counter")
        counter.tell(1)
        assert "<Counter 'counter' new pending=1 handled=0>" == repr(counter)
        answers: list[int] = []
        async with open_nursery() as nursery:
            nursery.start_soon(counter.run)
            answers.append(await counter.ask(2))
            answers.append(await counter.ask(3))
            assert "running" == counter.statistics().state
            counter.tell(4)
            counter.stop()
        statistics = counter.statistics()
        assert ("stopped", 4, 0) == (statistics.state, statistics.handled, statistics.failed)
        assert 10 == counter.total
        return answers, counter.steps

    assert ([3, 6], ["started", "stopped"]) == run(main)


def test_an_actor_is_named_after_its_class() -> None:
    assert Counter().name.startswith("Counter-")


def test_a_failure_of_an_asked_message_is_the_askers(run: Run) -> None:
    async def main() -> int:
        counter = Counter()
        async with open_nursery() as nursery:
            nursery.start_soon(counter.run)
            with pytest.raises(OopsError):
                await counter.ask(-1)
            answer = await counter.ask(5)
            counter.stop()
        assert 1 == counter.statistics().failed
        return answer

    assert 5 == run(main)


def test_a_failure_of_a_told_message_is_the_actors_and_the_rest_is_answered(run: Run) -> None:
    async def main() -> list[str]:
        counter = Counter()
        caught: list[str] = []

        async def ask() -> None:
            try:
                await counter.ask(1)
            except ClosedResourceError as error:
                caught.append(type(error).__name__)

        async def own() -> None:
            try:
                await counter.run()
            except OopsError as error:
                caught.append(type(error).__name__)

        async with open_nursery() as nursery:
            counter.tell(-1)
            nursery.start_soon(ask)
            await settle()
            counter.tell(2)
            nursery.start_soon(own)
        with pytest.raises(ClosedResourceError):
            counter.tell(1)
        with pytest.raises(ClosedResourceError):
            await counter.ask(1)
        assert ["started", "stopped"] == counter.steps
        assert 2 == counter.statistics().mailbox.dead_letters
        return sorted(caught)

    assert ["ClosedResourceError", "OopsError"] == run(main)


def test_cancelling_an_actor_answers_the_message_at_hand(run: Run) -> None:
    async def main() -> list[str]:
        counter = Counter()
        steps = counter.steps

        async def ask() -> None:
            with pytest.raises(ClosedResourceError):
                await counter.ask(0)
            steps.append("answered")

        async with open_nursery() as askers:
            askers.start_soon(ask)
            async with open_nursery() as nursery:
                nursery.start_soon(counter.run)
                await settle()
                nursery.cancel()
        return sorted(steps)

    assert ["answered", "started", "stopped"] == run(main)


def test_cancelling_an_actor_that_handles_a_told_message_ends_it(run: Run) -> None:
    async def main() -> list[str]:
        counter = Counter()
        counter.tell(0)
        async with open_nursery() as nursery:
            nursery.start_soon(counter.run)
            await settle()
            nursery.cancel()
        return counter.steps

    assert ["started", "stopped"] == run(main)


def test_a_pending_message_whose_asker_was_cancelled_is_not_handled(run: Run) -> None:
    async def main() -> int:
        counter = Counter()
        async with open_nursery() as nursery:
            nursery.start_soon(counter.ask, 7)
            await settle()
            nursery.cancel()
        counter.tell(1)
        counter.stop()
        await counter.run()
        return counter.total

    assert 1 == run(main)


def test_an_actor_whose_start_fails_handles_nothing(run: Run) -> None:
    class Broken(Counter):
        async def started(self) -> None:
            raise OopsError

    async def main() -> list[str]:
        broken = Broken()
        broken.tell(1)
        with pytest.raises(OopsError):
            await broken.run()
        assert 1 == broken.statistics().mailbox.dead_letters
        return broken.steps

    assert [] == run(main)


def test_an_actor_runs_once(run: Run) -> None:
    async def main() -> None:
        counter = Counter()
        counter.stop()
        await counter.run()
        with pytest.raises(ConflictError, match="stopped"):
            await counter.run()

    run(main)


def test_an_actor_without_hooks_needs_only_handle(run: Run) -> None:
    class Echo(Actor[str, str]):
        async def handle(self, message: str) -> str:
            return message

    async def main() -> str:
        echo = Echo()
        async with open_nursery() as nursery:
            nursery.start_soon(echo.run)
            answer = await echo.ask("hello")
            echo.stop()
        return answer

    assert "hello" == run(main)


def test_an_actor_without_handle_says_so(run: Run) -> None:
    async def main() -> None:
        actor = Actor[int, int]()
        actor.tell(1)
        with pytest.raises(NotImplementedError, match="handle"):
            await actor.run()

    run(main)


def test_a_mailbox_of_the_owners_outlives_the_actor(run: Run) -> None:
    async def main() -> list[int]:
        mailbox = Mailbox[Letter[int]]()
        first = Counter(mailbox=mailbox)
        first.tell(-1)
        first.tell(5)
        with pytest.raises(OopsError):
            await first.run()
        second = Counter(mailbox=mailbox)
        second.stop()
        await second.run()
        return [first.total, second.total]

    assert [0, 5] == run(main)


def test_an_actor_can_be_asked_from_another_loop(run: Run) -> None:
    async def main() -> list[int]:
        counter = Counter()
        answers: list[int] = []

        def ask_elsewhere() -> None:
            answers.append(asyncio.run(counter.ask(4)))
            counter.stop()

        thread = threading.Thread(target=ask_elsewhere)
        thread.start()
        await counter.run()
        thread.join()
        return answers

    assert [4] == run(main)


def test_asking_needs_a_loop() -> None:
    asking = Counter().ask(1)
    with pytest.raises(HostNotRunningError, match="tell"):
        asking.send(None)


def test_stopped_is_bounded(run_virtually: Run) -> None:
    class Slow(Counter):
        grace_s = 3.0

        async def stopped(self) -> None:
            await current_host().sleep(1000)

    async def main() -> float:
        slow = Slow()
        slow.stop()
        await slow.run()
        return current_host().now()

    assert 3.0 == run_virtually(main)


def test_an_address_outlives_the_actors_that_receive_from_it(run: Run) -> None:
    async def main() -> list[int]:
        address = Address[int, int]("counter")
        answers: list[int] = []

        async def ask(message: int) -> None:
            answers.append(await address.ask(message))

        async with open_nursery() as nursery:
            # Before anybody receives.
            nursery.start_soon(ask, 1)
            await settle()
            assert "<Address 'counter' pending=1>" == repr(address)
            for _ in range(2):
                counter = Counter(mailbox=address.mailbox)
                nursery.start_soon(contained, counter)
                answers.append(await address.ask(2))
                address.tell(-1)
                address.tell(5)
                await settle()
                assert "stopped" == counter.statistics().state
            # What came after the failure is there for the next one.
            assert 1 == address.mailbox.statistics().pending
            last = Counter(mailbox=address.mailbox)
            nursery.start_soon(last.run)
            answers.append(await address.ask(10))
            address.stop()
        with pytest.raises(ClosedResourceError):
            address.tell(1)
        return answers

    async def contained(counter: Counter) -> None:
        with pytest.raises(OopsError):
            await counter.run()

    # trio wakes two askers in any order.
    assert [1, 3, 7, 15] == sorted(run(main))


def test_asks_that_no_actor_will_answer_are_answered_when_the_mailbox_is_discarded(run: Run) -> None:
    async def main() -> None:
        address = Address[int, int]("nobody", max_pending=1)

        async def ask() -> None:
            with pytest.raises(ClosedResourceError, match="'nobody' was closed before"):
                await address.ask(1)

        async with open_nursery() as nursery:
            nursery.start_soon(ask)
            await settle()
            with pytest.raises(ResourceExhaustedError):
                await address.ask(2)
            assert 1 == address.mailbox.discard()

    run(main)

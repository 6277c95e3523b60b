# SPDX-License-Identifier: Apache-2.0
"""A map in one thread or on a loop, outcomes from another: wherever that one has got to, the consumer is woken."""

from __future__ import annotations

from collections import deque
from types import SimpleNamespace
from typing import TYPE_CHECKING, Any

import pytest
from hypothesis import example, given, settings
from hypothesis import strategies as st

from actorpool import _map as map_module
from actorpool._core._input import PENDING, SUCCEEDED, Input
from actorpool._core._ordering import Reassembly
from actorpool.exception import ExecutionError

if TYPE_CHECKING:
    from collections.abc import Callable


class OtherThread:
    """Runs what a map submits, in steps: an outcome is seen by everybody one step before it is handed in.

    Args:
        choices: What it does next, each: settle an input, hand one in, or nothing.
        room: How many it has room for.
        accepts: After how many in all it refuses what is submitted.
    """

    def __init__(self, choices: list[int], room: int, accepts: int) -> None:
        self._choices = deque(choices)
        self._room = room
        self._accepts = accepts
        self._room_waiter: Callable[[], object] | None = None
        self.limits = SimpleNamespace(map_in_flight=4, map_buffered=2)
        self.running: list[Input] = []
        self.settled: list[Input] = []
        self.notified = False
        self.abandoned = 0

    def submit_many(self, inputs: list[Input]) -> int:
        accepted = inputs[: min(self._room - len(self.running), self._accepts)]
        for input in accepted:
            input.state = PENDING
        self.running += accepted
        self._accepts -= len(accepted)
        self.step()
        if not self._accepts and len(accepted) < len(inputs):
            raise ExecutionError("the pool is closed")
        return len(accepted)

    def wait_for_room(self, notify: Callable[[], object]) -> bool:
        self.step()
        if len(self.running) < self._room:
            return False
        self._room_waiter = notify
        return True

    def abandon(self, inputs: list[Input], reason: str, waiter: object) -> None:
        self.abandoned += len(inputs)

    def step(self) -> None:
        """Do one thing, if one is chosen."""
        choice = self._choices.popleft() if self._choices else 0
        if choice % 3 == 1 and self.running:
            input = self.running.pop(choice // 3 % len(self.running))
            input.value = -input.args[0]
            input.state = SUCCEEDED
            self.settled.append(input)
            waiter, self._room_waiter = self._room_waiter, None
            if waiter is not None:
                waiter()
        elif choice % 3 == 2 and self.settled:
            input = self.settled.pop(choice // 3 % len(self.settled))
            assert input.sink is not None
            input.sink(input)

    def notify(self) -> None:
        self.notified = True

    def wait(self, timeout: float | None = None) -> None:
        """Go on until the consumer is notified, or for one step if it wants to look by itself."""
        while not self.notified:
            if not self._choices:
                # What is left to do is done in the order of the inputs.
                assert self.running or self.settled, "the consumer waits, and nobody is to wake it"
                self._choices.extend([1] * len(self.running) + [2] * (len(self.running) + len(self.settled)))
            self.step()
            if timeout is not None:
                break
        self.notified = False


class OneLoop:
    """A host, its bridge and its signal in one: to wait there is to let the other thread go on."""

    def __init__(self, other: OtherThread) -> None:
        self._other = other
        self.bridge = self
        self.notify = other.notify

    def signal(self) -> OneLoop:
        return self

    async def wait(self) -> None:
        self._other.wait()

    async def checkpoint(self) -> None:
        self._other.step()


@pytest.mark.parametrize("verb", ["map", "map.aio"])
@pytest.mark.parametrize("ordered", [True, False])
@given(
    count=st.integers(0, 12),
    choices=st.lists(st.integers(0, 12), max_size=80),
    pauses=st.booleans(),
    room=st.just(100) | st.integers(1, 5),
    accepts=st.just(100) | st.integers(1, 12),
)
# The second of two is handed in, the first only settled, and taken with that.
@example(count=2, choices=[4, 1, 2], pauses=False, room=100, accepts=100)
@settings(max_examples=500)
def test_a_consumer_that_waits_is_woken_and_has_every_result(
    verb: str, ordered: bool, count: int, choices: list[int], pauses: bool, room: int, accepts: int
) -> None:
    other = OtherThread(choices, room, accepts)

    class Window(Reassembly):
        """Lets the other thread go on before and after each look at what can be delivered."""

        __slots__ = ()

        def take(self) -> Input | None:
            other.step()
            input = super().take()
            other.step()
            return input

        def pause(self, now: float) -> float:
            return 0.0005 if pauses else 0.0

    binding: Any = SimpleNamespace(dispatcher=other, target="f")
    options = map_module.MapOptions(kwargs=None, ordered=ordered, return_exceptions=False)
    found: list[int] = []

    arguments = ((number,) for number in range(count))

    note = found.append

    async def consume_on_a_loop() -> None:
        async for result in map_module.iterate_async(binding, arguments, options):
            note(result)

    def consume() -> None:
        with pytest.MonkeyPatch.context() as patch:
            patch.setattr(map_module, "Reassembly", Window)
            if verb == "map":
                patch.setattr(map_module, "ThreadSignal", lambda: other)
                found.extend(map_module.iterate(binding, arguments, options))
            else:
                patch.setattr(map_module, "current_host", lambda: OneLoop(other))
                with pytest.raises(StopIteration):
                    consume_on_a_loop().send(None)

    if count <= accepts:
        consume()
        assert 0 == other.abandoned
    else:
        # What was accepted before has its results.
        with pytest.raises(ExecutionError, match="the pool is closed"):
            consume()
    expected = [-number for number in range(min(count, accepts))]
    assert expected == (found if ordered else sorted(found, reverse=True))

# SPDX-License-Identifier: Apache-2.0
"""Those who call a simulated function: each in a task of its own, on one loop or another, and what they are told.

They use the verbs that users use, and check that what reaches them is theirs. Every input's first argument is its
number, by which logs and results know it.
"""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Awaitable, Callable
from functools import partial
from itertools import count
from typing import Any, Final

from attrs import define

from actorpool.call import FunctionCall
from actorpool.exception import (
    ClosedError,
    ContainerDiedError,
    ContainerStartError,
    DeadlockError,
    FunctionTimeoutError,
    RemoteError,
    ResourceExhaustedError,
)
from actorpool.function import Function

from ._fake_backend import FakeFailure
from ._faults import InputFate
from ._simulation_ledger import Ledger
from ._simulation_plan import Action

__all__ = ["Callers"]

_ANSWERS: Final = (
    ClosedError,
    ContainerDiedError,
    ContainerStartError,
    FakeFailure,
    FunctionTimeoutError,
    RemoteError,
    ResourceExhaustedError,
)
_MAP: Final = "a_map_yields_each_index_once_and_in_order"
_OWN: Final = "answers_reach_their_callers"


@define(eq=False)
class _Caller:
    number: int
    loop: int
    task: asyncio.Task[None]


class Callers:
    """The callers of one function, and the calls they have spawned.

    Args:
        function: What they call.
        ledger: Where their answers are written down.
        fail: Told when one is told what is not true.
        loop_of: Returns the loop of a number.
    """

    def __init__(
        self,
        function: Function[..., Any, Any],
        ledger: Ledger,
        fail: Callable[[str], None],
        loop_of: Callable[[int], asyncio.AbstractEventLoop],
    ) -> None:
        self._function = function
        self._ledger = ledger
        self._fail = fail
        self._loop_of = loop_of
        self._numbers = count(1)
        self.waiting: dict[int, _Caller] = {}
        """{number: caller} of those without an answer, in the order in which they came."""
        self._spawned: list[FunctionCall[Any]] = []
        self._lost: list[Any] = []

    def act(self, action: Action) -> None:
        """Let callers come: a "call", a "map" or a "spawn"."""
        if action.kind == "map":
            first = next(self._numbers)
            for _ in range(action.count - 1):
                next(self._numbers)
            self._start(action, range(first, first + action.count), partial(self._map, action, first))
            return
        verb = self._call if action.kind == "call" else self._spawn
        for index in range(action.count):
            number = next(self._numbers)
            self._start(
                action,
                range(number, number + 1),
                partial(verb, number, action.fates[index % len(action.fates)]),
            )

    def cancel(self, index: int) -> None:
        """Cancel the caller at `index` of those that wait, if there is any."""
        callers = list(self.waiting.values())
        if callers:
            caller = callers[index % len(callers)]
            self._ledger.note("caller cancelled", caller.number)
            caller.task.cancel()

    def cancel_call(self, index: int, *, terminate: bool) -> None:
        """Cancel the call at `index` of those that were spawned, the latest first."""
        if self._spawned:
            self._ledger.note("call cancelled", terminate)
            self._spawned[-1 - index % len(self._spawned)].cancel(terminate_containers=terminate)

    def lose(self, loop: int, *, later: bool) -> None:
        """Let the callers on a loop that was closed be collected as garbage, at once or `later`."""
        for caller in [caller for caller in self.waiting.values() if caller.loop == loop]:
            del self.waiting[caller.number]
            coroutine: Any = caller.task.get_coro()
            if later:
                self._lost.append(coroutine)
            else:
                coroutine.close()

    def forget(self) -> None:
        """Let go of everything; nobody is to be told any more."""
        for coroutine in self._lost:
            coroutine.close()
        for call in self._spawned:
            _look_at(call)

    async def call_back(self) -> object:
        """Call the function from within one of its inputs, and wait."""
        number = next(self._numbers)
        try:
            return self._own(number, await self._function.remote.aio(number, InputFate()))
        except (*_ANSWERS, DeadlockError) as error:
            return error

    # -- one caller ------------------------------------------------------------------------------

    def _start(self, action: Action, numbers: range, call: Callable[[], Awaitable[object]]) -> None:
        loop, number = self._loop_of(action.loop), numbers[0]
        waits_for = range(0) if action.kind == "spawn" else numbers
        task = loop.create_task(self._answered(number, waits_for, call), name=f"caller {number}")
        self.waiting[number] = _Caller(number, action.loop, task)
        task.add_done_callback(lambda _: self.waiting.pop(number, None))
        if action.patience_s is not None:
            loop.call_later(action.patience_s, task.cancel)

    async def _answered(self, number: int, waits_for: range, call: Callable[[], Awaitable[object]]) -> None:
        answer: object = "nothing"
        try:
            answer = await call()
        except GeneratorExit:
            raise
        except _ANSWERS as error:
            answer = type(error).__name__
        except asyncio.CancelledError:
            answer = "cancelled"
        except BaseException as error:  # no such thing should reach a caller
            self._fail(f"{_OWN}: input {number} was told {error!r}")
        self._ledger.note("answer", number, answer)
        left = [self._ledger.numbers[input] for input in self._ledger.open]
        if waits_for and any(open_number in waits_for for open_number in left):
            self._fail(f"whoever_leaves_leaves_nothing_behind: {answer} of {waits_for}, and open are {left}")

    async def _call(self, number: int, fate: InputFate) -> object:
        return self._own(number, await _failure_or(self._function.remote.aio(number, fate)))

    async def _spawn(self, number: int, fate: InputFate) -> object:
        call = self._function.spawn(number, fate)
        self._spawned.append(call)
        return self._own(number, await _failure_or(call.get.aio()))

    def _own(self, number: int, answer: object) -> object:
        """Return the answer to an input for the log, once it is seen to be its own."""
        failed = isinstance(answer, FakeFailure)
        if number != (answer.args[0] if isinstance(answer, FakeFailure) else answer):
            self._fail(f"{_OWN}: input {number} was told {answer!r}")
        return "FakeFailure" if failed else answer

    async def _map(self, action: Action, first: int) -> object:
        numbers = range(first, first + action.count)
        fates = [action.fates[index % len(action.fates)] for index in range(action.count)]
        source = _slowly(numbers, action.pace_s) if action.is_async else numbers
        results = self._function.map.aio(
            source, fates, order_outputs=action.ordered, return_exceptions=action.return_exceptions
        )
        seen: list[object] = []
        try:
            async for value in results:
                seen.append(value.args[0] if isinstance(value, FakeFailure) else value)
                if action.leaves_after is not None and len(seen) > action.leaves_after:
                    break
                if action.pace_s:
                    await asyncio.sleep(action.pace_s)
            else:
                if len(seen) != action.count:
                    self._fail(f"{_MAP}: {len(seen)} results of the map over {numbers}")
        except GeneratorExit:
            # It is being collected as garbage, and can await nothing.
            raise
        except BaseException:
            self._check_map(action, numbers, seen)
            await results.aclose()
            raise
        self._check_map(action, numbers, seen)
        await results.aclose()
        return len(seen)

    def _check_map(self, action: Action, numbers: range, seen: list[object]) -> None:
        known = [value for value in seen if isinstance(value, int)]
        expected = [number for number, value in zip(numbers, seen, strict=False) if isinstance(value, int)]
        once = len(set(known)) == len(known) and set(known) <= set(numbers)
        if not once or (action.ordered and known != expected):
            self._fail(f"{_MAP}: the map over {numbers} has yielded {seen}")


async def _failure_or(answer: Awaitable[object]) -> object:
    """Return what is awaited, or what a fake input has raised."""
    try:
        return await answer
    except FakeFailure as error:
        return error


def _look_at(call: FunctionCall[Any]) -> None:
    """Look at the outcome of a call, so that nobody is told that nobody did."""
    try:
        call.get(timeout=0)
    except Exception:
        # It is of no interest any more.
        return


async def _slowly(numbers: range, pace_s: float) -> AsyncIterator[int]:
    for number in numbers:
        if pace_s:
            await asyncio.sleep(pace_s)
        yield number

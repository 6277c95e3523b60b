# SPDX-License-Identifier: Apache-2.0
"""A backend of the user's own: what `backend=` is given makes the containers of a pool, in an app as in a check."""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Callable, Sequence
from contextlib import asynccontextmanager
from typing import Any

import pytest

import actorpool as modal
from actorpool.backends import CANCELLED, FAILED, RUNNING, SUCCEEDED, ContainerParts, Input
from actorpool.exception import ContainerDiedError, ContainerStartError, InvalidError
from actorpool.testing import (
    BACKEND_RULES,
    AppRunner,
    ContainerFate,
    FakeBackend,
    HostName,
    InputFate,
    check_backend,
)


class Inline:
    """A container that calls synchronous functions on the event loop itself, one after the other."""

    def __init__(self, parts: ContainerParts) -> None:
        self._parts = parts
        self._object: Any = None

    async def admit(self) -> None:
        pass

    async def start(self) -> None:
        workload = self._parts.workload
        if workload.build is not None:
            self._object = workload.build()
        for hook in workload.enter:
            hook.function(self._object)

    @property
    def send(self) -> Callable[[Input], None]:
        return self._send

    def _send(self, input: Input) -> None:
        self._parts.host.bridge.post(self._run, input)

    def _run(self, first: Input) -> None:
        input: Input | None = first
        bound = (self._object,) if self._parts.workload.bound else ()
        while input is not None:
            state, value = CANCELLED, None
            if input.state == RUNNING:
                try:
                    function = input.target.function
                    value = input.context.run(function, *bound, *input.args, **(input.kwargs or {}))
                    state = SUCCEEDED
                except Exception as error:
                    state, value = FAILED, error
            input = self._parts.complete(input, state, value)

    def cancel(self, input: Input) -> None:
        pass

    def abandon(self) -> None:
        pass

    async def stop(self, leftover: Sequence[Input], grace_s: float) -> None:
        for hook in self._parts.workload.exit:
            hook.function(self._object)


class Frail(FakeBackend):
    """A fake container that dies soon."""

    def __init__(self, parts: ContainerParts) -> None:
        fate = ContainerFate(lives_s=0.5)
        super().__init__(parts.name, parts.host, parts.complete, parts.owner, fate=fate, fate_of=self.fate_of)

    @staticmethod
    def fate_of(_: Input) -> InputFate:
        return InputFate(service_s=0.3)


@pytest.fixture(params=["asyncio", "trio"])
def host(request: pytest.FixtureRequest) -> HostName:
    name: HostName = request.param
    return name


def test_an_app_runs_its_functions_in_containers_of_the_users_own(host: HostName) -> None:
    app = modal.App("own", backend=Inline)

    @app.function(max_containers=2)
    def square(x: int) -> int:
        if x == 3:
            raise ValueError(x)
        return x**2

    async def scenario() -> list[Any]:
        assert 49 == await square.remote.aio(7)
        return [y async for y in square.map.aio(range(5), return_exceptions=True)]

    results = AppRunner(host).run(app, scenario)
    assert [0, 1, 4, "ValueError(3)", 16] == [repr(y) if isinstance(y, Exception) else y for y in results]


def test_classes_and_variants_and_scripts_have_them_too() -> None:
    app = modal.App("own")
    entered: list[str] = []

    @app.cls(backend=Inline)
    class Greeter:
        word: str = modal.parameter()

        @modal.enter()
        def enter(self) -> None:
            entered.append(self.word)

        @modal.exit()
        def leave(self) -> None:
            entered.remove(self.word)

        @modal.method()
        def greet(self, name: str) -> str:
            return f"{self.word} {name}"

    @app.function()
    def thread_name() -> str:
        import threading

        return threading.current_thread().name

    with app.run():
        assert "hello Ada" == Greeter(word="hello").greet.remote("Ada")  # type: ignore[call-arg]
        assert ["hello"] == entered
        assert thread_name.remote() != thread_name.with_options(backend=Inline).remote()
    assert [] == entered


@pytest.mark.parametrize(
    "rule",
    [
        "a container that was never started can be stopped",
        "nothing is left behind",
    ],
)
def test_what_makes_containers_for_an_app_is_what_a_check_takes(rule: str) -> None:
    assert rule in BACKEND_RULES
    check_backend(Inline, rules=[rule])


def test_the_pool_of_an_own_backend_hears_of_deaths(host: HostName, caplog: pytest.LogCaptureFixture) -> None:
    app = modal.App("own", backend=Frail)

    @app.function(max_containers=1)
    def double(x: int) -> int:
        return 2 * x

    async def scenario() -> None:
        # It runs nothing: the result is the argument. The second dies with its container.
        assert 1 == await double.remote.aio(1)
        with pytest.raises(ContainerDiedError):
            await double.remote.aio(2)
        assert 3 == await double.remote.aio(3)
        assert 2 == double.statistics().starts

    AppRunner(host).run(app, scenario)
    assert "died" in caplog.text


@pytest.mark.parametrize("made", ["raises", "no container"])
def test_a_maker_that_fails_is_a_start_that_fails(
    made: str, host: HostName, caplog: pytest.LogCaptureFixture
) -> None:
    def make(parts: ContainerParts) -> Any:
        if made == "raises":
            raise OSError("no room")

    app = modal.App("own", backend=make)

    @app.function()
    def f() -> None:
        pass

    async def scenario() -> None:
        with pytest.raises(ContainerStartError) as caught:
            await f.remote.aio()
        assert isinstance(caught.value.__cause__, OSError if made == "raises" else AttributeError)

    AppRunner(host).run(app, scenario)
    assert "failed to start" in caplog.text


def test_what_containers_share_is_closed_after_the_last_of_them(host: HostName) -> None:
    history: list[str] = []

    @asynccontextmanager
    async def shared() -> Any:
        history.append("opened")
        yield
        history.append("closed")

    class Sharing(Inline):
        async def start(self) -> None:
            if not history:
                await self._parts.resources.enter_async_context(shared())
            history.append("started")

        async def stop(self, leftover: Sequence[Input], grace_s: float) -> None:
            history.append("stopped")

    app = modal.App("own", backend=Sharing)

    @app.function(min_containers=2)
    def f() -> None:
        pass

    async def scenario() -> None:
        await f.remote.aio()

    AppRunner(host).run(app, scenario)
    assert ["opened", *["started"] * 2, *["stopped"] * 2, "closed"] == history


def test_an_app_closes_although_what_its_containers_share_does_not(caplog: pytest.LogCaptureFixture) -> None:
    class Sharing(Inline):
        async def start(self) -> None:
            self._parts.resources.callback(int, "no number")

    app = modal.App("own", backend=Sharing)

    @app.function()
    def f() -> int:
        return 1

    async def main() -> int:
        async with app.run():
            return await f.remote.aio()

    with caplog.at_level(logging.ERROR, "actorpool"):
        assert 1 == asyncio.run(main())
    assert "what the containers of app 'own' shared could not be closed" in caplog.text


def test_what_makes_no_containers_is_refused() -> None:
    with pytest.raises(InvalidError, match="or a function that makes containers, not 3"):
        modal.App("own", backend=3)  # type: ignore[arg-type]
    app = modal.App("own", backend=Inline)
    with pytest.raises(InvalidError, match=r"Recycle\(memory_mib=...\) is for process containers"):
        app.function(recycle=modal.Recycle(memory_mib=100))(lambda: None)

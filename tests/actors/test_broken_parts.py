# SPDX-License-Identifier: Apache-2.0
"""Parts that break although they should not: a policy that raises, a loop that is gone between two steps."""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Callable
from typing import Any

import pytest

import actorpool as modal
from actorpool._actors._autoscaler import Autoscaler
from actorpool._core._scaling import Decision, WindowPolicy
from actorpool._host._asyncio_slots import AsyncioTaskSlots
from actorpool._host._bridge import AsyncioBridge
from actorpool._host._errors import HostClosedError
from actorpool.exception import ClosedError, RemoteError
from tests.actors.harness import at_rest, in_thread, off_loop
from tests.api.support import event, sleep
from tests.hosts import settle

Run = Callable[..., Any]


class Failing:
    """A policy that raises at its third look."""

    def __init__(self) -> None:
        self._looks = 0
        self._policy = WindowPolicy()

    def decide(self, snapshot: Any) -> Decision:
        self._looks += 1
        if self._looks >= 3:
            raise LookupError("the policy is broken")
        return self._policy.decide(snapshot)


def test_a_policy_that_raises_is_replaced_by_the_default_one(
    run_virtually: Run, caplog: pytest.LogCaptureFixture
) -> None:
    app = modal.App("my-app")

    @app.function(policy=Failing, scaledown_window=5)
    async def f(gate: Any) -> int:
        await gate.wait()
        return 1

    async def main() -> None:
        async with app.run():
            gate = event()
            calls = []
            for _ in range(10):
                calls.append(f.spawn(gate))
                await settle()
            assert 10 == f.statistics().running
            gate.set()
            assert [1] * 10 == [await call.get.aio() for call in calls]
            await sleep(20)
            assert 0 == f.statistics().containers
            assert ["the policy of function 'f' raised"] == [
                message.split(";")[0] for message in caplog.messages
            ]

    with caplog.at_level(logging.ERROR):
        run_virtually(main)


def test_a_supervisor_that_fails_takes_nobody_with_it_and_the_next_call_has_another(
    run_virtually: Run, caplog: pytest.LogCaptureFixture, monkeypatch: pytest.MonkeyPatch
) -> None:
    app = modal.App("my-app")

    @app.function()
    async def f(gate: Any) -> int:
        await gate.wait()
        return 1

    @app.function()
    async def other() -> int:
        return 2

    def fails(_self: Autoscaler, _snapshot: Any) -> Decision:
        raise LookupError("a bug of ours")

    async def main() -> None:
        async with app.run():
            gate = event()
            calls = [f.spawn(gate)]
            await settle()
            with monkeypatch.context() as patched:
                patched.setattr(Autoscaler, "_decide", fails)
                calls += [f.spawn(gate) for _ in range(3)]
                await settle()
            for call in calls:
                with pytest.raises(ClosedError):
                    await call.get.aio()
            assert 2 == await other.remote.aio()
            gate.set()
            assert 1 == await f.remote.aio(gate)
            await at_rest(f, other)
        assert any("supervisor of function 'f'" in message for message in caplog.messages)

    with caplog.at_level(logging.ERROR):
        run_virtually(main)


def test_an_input_whose_loop_is_gone_when_it_is_handed_over_fails_with_all_that_follow_it(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    app = modal.App("my-app")

    @app.function(max_containers=1)
    async def f() -> int:
        return 1

    async def main() -> None:
        async with app.run():
            assert 1 == await f.remote.aio()

            def gone(_self: AsyncioTaskSlots, _input: Any) -> None:
                raise HostClosedError("the asyncio loop is closed")

            with monkeypatch.context() as patched:
                patched.setattr(AsyncioTaskSlots, "send", gone)
                # The container has kept what sends; the next one has not.
                f.update_autoscaler(scaledown_window=0.001)
                await asyncio.sleep(0.05)
                calls = [f.spawn() for _ in range(3)]
                for call in calls:
                    with pytest.raises(ClosedError, match="its app has ended"):
                        await asyncio.wait_for(call.get.aio(), 5)
            assert 0 == f.statistics().running

    asyncio.run(main())


def test_cancelling_an_input_whose_loop_is_gone_is_no_error(monkeypatch: pytest.MonkeyPatch) -> None:
    app = modal.App("my-app")

    @app.function()
    async def f() -> None:
        await asyncio.sleep(100)

    async def main() -> None:
        async with app.run(grace=0.01):
            call = f.spawn()
            await asyncio.sleep(0.01)

            def cancel_elsewhere() -> None:
                def gone(_self: AsyncioBridge, _callback: Any, _argument: Any) -> None:
                    raise HostClosedError("the asyncio loop is closed")

                with monkeypatch.context() as patched:
                    patched.setattr(AsyncioBridge, "post", gone)
                    call.cancel()

            in_thread(cancel_elsewhere)()
            with pytest.raises(RemoteError):
                await call.get.aio()

    with_log = logging.getLogger("actorpool")
    level, with_log.level = with_log.level, logging.CRITICAL
    try:
        asyncio.run(main())
    finally:
        with_log.level = level


def test_a_function_of_an_app_whose_loop_has_just_ended_refuses_each_thread_that_calls_it() -> None:
    app = modal.App("my-app")

    @app.function()
    async def f() -> int:
        return 1

    async def main() -> None:
        await app.deploy.aio()
        # A binding from before the end, in another thread.
        assert 1 == await off_loop(f.remote)

    asyncio.run(main())
    for _ in range(2):
        with pytest.raises(ClosedError):
            in_thread(f.remote)()
    app.stop()

# SPDX-License-Identifier: Apache-2.0
"""Enter hooks that fail or hang: what becomes of the container, its pool and the inputs that wait for it."""

from __future__ import annotations

import asyncio
import itertools
import logging
import threading
from collections.abc import Callable
from typing import Any

import pytest

import actorpool as modal
from actorpool.exception import ContainerStartError, FunctionTimeoutError, RemoteError
from tests.actors.harness import Log, at_rest
from tests.api.support import PATIENCE_S, gather, now, sleep
from tests.hosts import settle

Run = Callable[..., Any]


# -- an enter hook that fails -----------------------------------------------------------------------------------


class _Unready(Exception):
    pass


def _failing_class(app: modal.App, kind: str, errors: list[BaseException | None], **settings: Any) -> Any:
    """Return a class whose enter hook raises the errors in turn, the last of them for ever."""
    starts: list[float] = []

    def load() -> None:
        error = errors[0] if len(errors) == 1 else errors.pop(0)
        if error is not None:
            raise error

    if kind == "sync":

        @app.cls(**settings)
        class C:
            @modal.enter()
            def enter(self) -> None:
                load()

            @modal.method()
            async def f(self, x: int) -> int:
                return x
    else:

        @app.cls(**settings)
        class C:  # type: ignore[no-redef]
            @modal.enter()
            async def enter(self) -> None:
                starts.append(now())
                await sleep(0.01)
                load()

            @modal.method()
            async def f(self, x: int) -> int:
                return x

    return C


@pytest.mark.parametrize("kind", ["sync", "async"])
def test_M5_2_an_enter_hook_that_fails_twice_is_tried_again_and_nothing_is_lost(
    run_virtually: Run, kind: str
) -> None:
    app = modal.App("my-app")
    C = _failing_class(app, kind, [_Unready("1"), _Unready("2"), None], max_containers=1)

    async def main() -> None:
        async with app.run():
            obj = C()
            assert [0, 1, 2] == await gather(*[lambda x=x: obj.f.remote.aio(x) for x in range(3)])
            # The pause after the first failure, and twice that after the second.
            assert now() >= 0.3
            assert 2 == obj.f.statistics().start_failures
            await at_rest(obj.f)

    run_virtually(main)


@pytest.mark.parametrize("kind", ["sync", "async"])
def test_M5_2_pending_inputs_fail_with_the_cause_after_three_failed_starts(
    run_virtually: Run, kind: str
) -> None:
    app = modal.App("my-app")
    cause = _Unready("no model")
    C = _failing_class(app, kind, [cause])

    async def main() -> None:
        async with app.run():
            obj = C()
            outcomes = await gather(*[lambda x=x: obj.f.remote.aio(x) for x in range(5)])
            assert [ContainerStartError] * 5 == [type(outcome) for outcome in outcomes]
            for outcome in outcomes:
                assert cause is outcome.__cause__
                assert 3 == outcome.failures
                assert "3 times in a row, the last time with _Unready: no model" in str(outcome)
            await at_rest(obj.f)
            assert 5 == obj.f.statistics().failed

    run_virtually(main)


def test_each_failed_start_is_logged_with_its_traceback_and_the_pause(
    run_virtually: Run, caplog: pytest.LogCaptureFixture
) -> None:
    app = modal.App("my-app")
    causes = [_Unready("1"), _Unready("2")]
    C = _failing_class(app, "async", [*causes, None])

    async def main() -> None:
        async with app.run():
            assert 1 == await C().f.remote.aio(1)

    with caplog.at_level(logging.WARNING, "actorpool"):
        run_virtually(main)

    assert [
        ("container C/1 failed to start; the next start waits 0.1 s", causes[0]),
        ("container C/2 failed to start; 2 in a row; the next start waits 0.2 s", causes[1]),
    ] == [(record.getMessage(), record.exc_info and record.exc_info[1]) for record in caplog.records]


@pytest.mark.parametrize("kind", ["sync", "async"])
def test_after_the_failures_the_next_input_tries_again(run_virtually: Run, kind: str) -> None:
    app = modal.App("my-app")
    C = _failing_class(app, kind, [_Unready("1"), _Unready("2"), _Unready("3"), None], max_containers=1)

    async def main() -> None:
        async with app.run():
            obj = C()
            with pytest.raises(ContainerStartError):
                await obj.f.remote.aio(1)
            assert 2 == await obj.f.remote.aio(2)
            await at_rest(obj.f)

    run_virtually(main)


@pytest.mark.parametrize("kind", ["sync", "async"])
@pytest.mark.parametrize("verb", ["spawn", "map"])
def test_spawned_and_mapped_inputs_fail_likewise(run_virtually: Run, kind: str, verb: str) -> None:
    app = modal.App("my-app")
    C = _failing_class(app, kind, [_Unready("no model")])

    async def main() -> None:
        async with app.run():
            obj = C()
            if verb == "spawn":
                call = obj.f.spawn(1)
                for _ in range(2):
                    with pytest.raises(ContainerStartError):
                        await call.get.aio()
            else:
                with pytest.raises(ContainerStartError):
                    async for _ in obj.f.map.aio(range(10)):
                        pass
                results = [r async for r in obj.f.map.aio(range(3), return_exceptions=True)]
                assert [ContainerStartError] * 3 == [type(r) for r in results]
            await at_rest(obj.f)

    run_virtually(main)


@pytest.mark.parametrize("kind", ["sync", "async"])
@pytest.mark.parametrize(
    "error",
    [SystemExit(2), KeyboardInterrupt(), asyncio.CancelledError(), GeneratorExit()],
    ids=lambda error: type(error).__name__,
)
def test_an_enter_hook_may_raise_anything_and_only_its_own_function_suffers(
    run_virtually: Run, kind: str, error: BaseException
) -> None:
    app = modal.App("my-app")

    @app.function()
    async def other() -> int:
        return 1

    @app.cls()
    class Sync:
        @modal.enter()
        def load(self) -> None:
            raise error

        @modal.method()
        async def f(self) -> None:
            pass

    @app.cls()
    class Async:
        @modal.enter()
        async def load(self) -> None:
            raise error

        @modal.method()
        async def f(self) -> None:
            pass

    async def main() -> None:
        async with app.run():
            obj = (Sync if kind == "sync" else Async)()
            with pytest.raises(ContainerStartError) as caught:
                await obj.f.remote.aio()
            assert error in (caught.value.__cause__, getattr(caught.value.__cause__, "__cause__", None))
            assert 1 == await other.remote.aio()
            await at_rest(obj.f, other)

    run_virtually(main)


def test_a_constructor_that_raises_is_a_failed_start(run_virtually: Run) -> None:
    app = modal.App("my-app")

    @app.cls()
    class C:
        def __init__(self) -> None:
            raise _Unready("constructor")

        @modal.method()
        async def f(self) -> None:
            pass

    async def main() -> None:
        async with app.run():
            with pytest.raises(ContainerStartError, match="constructor"):
                await C().f.remote.aio()

    run_virtually(main)


def test_no_exit_hook_runs_for_a_container_that_never_entered(run_virtually: Run) -> None:
    app = modal.App("my-app")
    log = Log()

    @app.cls()
    class C:
        @modal.enter()
        def first(self) -> None:
            log.add("enter")

        @modal.enter()
        def second(self) -> None:
            raise _Unready

        @modal.method()
        async def f(self) -> None:
            pass

        @modal.exit()
        def close(self) -> None:
            log.add("exit")

    async def main() -> None:
        async with app.run():
            with pytest.raises(ContainerStartError):
                await C().f.remote.aio()
        assert ["enter"] * 3 == log.events

    run_virtually(main)


def test_warm_containers_that_cannot_start_are_tried_with_longer_and_longer_pauses(
    run_virtually: Run,
) -> None:
    app = modal.App("my-app")
    starts = []

    @app.cls(min_containers=1)
    class C:
        @modal.enter()
        async def load(self) -> None:
            starts.append(now())
            raise _Unready

        @modal.method()
        async def f(self) -> None:
            pass

    async def main() -> None:
        async with app.run():
            await sleep(60)
            assert 5 < len(starts) < 20
            pauses = [round(later - earlier, 3) for earlier, later in itertools.pairwise(starts)]
            assert [0.1, 0.2, 0.4, 0.8, 1.6, 3.2, 6.4, 10.0] == pauses[:8]
        assert len(starts) < 20

    run_virtually(main)


def test_one_container_that_cannot_start_leaves_its_ready_siblings_at_work(run_virtually: Run) -> None:
    app = modal.App("my-app")
    numbers = iter(range(1000))

    @app.cls(max_containers=5)
    class C:
        @modal.enter()
        async def load(self) -> None:
            if next(numbers):
                raise _Unready

        @modal.method()
        async def f(self, x: int) -> int:
            await sleep(1)
            return x

    async def main() -> None:
        async with app.run():
            obj = C()
            assert 0 == await obj.f.remote.aio(0)
            assert [0, 1, 2, 3] == [r async for r in obj.f.map.aio(range(4))]
            assert 0 < obj.f.statistics().start_failures
            await at_rest(obj.f)

    run_virtually(main)


# -- an enter hook that hangs --------------------------------------------------------------------------------


def test_M9_6_an_async_enter_hook_that_hangs_fails_after_the_startup_timeout(run_virtually: Run) -> None:
    app = modal.App("my-app")
    cancelled = []

    @app.cls(startup_timeout=2, max_containers=1)
    class C:
        @modal.enter()
        async def load(self) -> None:
            try:
                await sleep(1000)
            finally:
                cancelled.append(now())

        @modal.method()
        async def f(self) -> None:
            pass

    async def main() -> None:
        async with app.run():
            obj = C()
            with pytest.raises(ContainerStartError) as caught:
                await obj.f.remote.aio()
            assert isinstance(caught.value.__cause__, FunctionTimeoutError)
            assert 2 == caught.value.__cause__.timeout
            assert 3 == len(cancelled)
            assert 6.3 == pytest.approx(now(), abs=0.01)
            await at_rest(obj.f)

    run_virtually(main)


def test_M9_6_the_startup_timeout_is_the_timeout_unless_given(run_virtually: Run) -> None:
    app = modal.App("my-app")

    @app.cls(timeout=3, max_containers=1)
    class C:
        @modal.enter()
        async def load(self) -> None:
            await sleep(1000)

        @modal.method()
        async def f(self) -> None:
            pass

    async def main() -> None:
        async with app.run():
            with pytest.raises(ContainerStartError, match="startup_timeout of 3 s"):
                await C().f.remote.aio()

    run_virtually(main)


@pytest.mark.slow
def test_a_sync_enter_hook_that_hangs_fails_after_the_startup_timeout(
    run: Run, caplog: pytest.LogCaptureFixture
) -> None:
    app = modal.App("my-app")
    go = threading.Event()

    @app.cls(startup_timeout=0.15, max_containers=1)
    class C:
        @modal.enter()
        def load(self) -> None:
            assert go.wait(PATIENCE_S)

        @modal.method()
        def f(self) -> int:
            return 1

    async def main() -> None:
        async with app.run(grace=0.01):
            obj = C()
            with pytest.raises(ContainerStartError, match=r"startup_timeout of 0\.15 s"):
                await obj.f.remote.aio()
            assert any("its threads still run user code" in message for message in caplog.messages)
            go.set()
            assert 1 == await obj.f.remote.aio()

    with caplog.at_level(logging.WARNING, "actorpool"):
        run(main)


def test_closing_while_a_container_starts_calls_the_start_off(run_virtually: Run) -> None:
    app = modal.App("my-app")
    log = Log()

    @app.cls(min_containers=2)
    class C:
        @modal.enter()
        async def load(self) -> None:
            log.add("enter")
            try:
                await sleep(1000)
            finally:
                log.add("called off")

        @modal.method()
        async def f(self) -> None:
            pass

        @modal.exit()
        async def close(self) -> None:
            log.add("exit")

    async def main() -> None:
        async with app.run():
            await settle()
        assert ["enter", "enter", "called off", "called off"] == log.events
        assert 0 == now()

    run_virtually(main)


def test_a_caller_that_gives_up_calls_off_a_start_nobody_needs(run_virtually: Run) -> None:
    app = modal.App("my-app")

    @app.cls()
    class C:
        @modal.enter()
        async def load(self) -> None:
            await sleep(1000)

        @modal.method()
        async def f(self) -> None:
            pass

    async def main() -> None:
        async with app.run():
            obj = C()
            call = obj.f.spawn()
            await settle()
            assert 1 == obj.f.statistics().starting
            call.cancel()
            await settle()
            assert 0 == obj.f.statistics().containers
            with pytest.raises(RemoteError):
                await call.get.aio()

    run_virtually(main)

# SPDX-License-Identifier: Apache-2.0
"""A service that embeds an app: it lives as long as the service, and a limit becomes a 429."""

from __future__ import annotations

import asyncio
import subprocess
import sys
from collections.abc import Awaitable, Callable
from itertools import islice

import httpx
import pytest
from fastapi import FastAPI

import actorpool as modal
from actorpool.contrib.fastapi import lifespan, too_many_requests
from actorpool.exception import ExecutionError, InvalidError, ResourceExhaustedError


def in_service(api: FastAPI, body: Callable[[httpx.AsyncClient], Awaitable[None]]) -> None:
    """Run `body` with a client of `api`, between its start and its shutdown."""

    async def main() -> None:
        transport = httpx.ASGITransport(app=api)
        async with (
            api.router.lifespan_context(api),
            httpx.AsyncClient(transport=transport, base_url="http://service") as client,
        ):
            await body(client)

    asyncio.run(main())


def test_an_app_runs_on_the_loop_of_the_service_and_ends_with_it() -> None:
    app = modal.App("inner")
    loops: list[object] = []

    @app.function()
    async def double(x: int) -> int:
        loops.append(asyncio.get_running_loop())
        return 2 * x

    api = FastAPI(lifespan=lifespan(app))

    @api.get("/double/{x}")
    async def get_double(x: int) -> int:
        return await double.remote.aio(x)

    async def body(client: httpx.AsyncClient) -> None:
        assert 42 == (await client.get("/double/21")).json()
        assert [asyncio.get_running_loop()] == loops

    in_service(api, body)
    with pytest.raises(ExecutionError, match="is not running"):
        double.statistics()


def test_a_plain_endpoint_uses_the_blocking_verb() -> None:
    app = modal.App("inner")

    @app.function()
    def double(x: int) -> int:
        return 2 * x

    api = FastAPI(lifespan=lifespan(app))

    @api.get("/double/{x}")
    def get_double(x: int) -> int:
        return double.remote(x)

    async def body(client: httpx.AsyncClient) -> None:
        assert 42 == (await client.get("/double/21")).json()

    in_service(api, body)


def test_apps_start_in_order_and_close_in_the_reverse_one() -> None:
    first, second = modal.App("first"), modal.App("second")
    log: list[str] = []

    def with_probe(app: modal.App) -> modal.Function[[], None, None]:
        class Probe:
            @modal.enter()
            def arrive(self) -> None:
                log.append(f"{app.name} arrives")

            @modal.exit()
            def leave(self) -> None:
                log.append(f"{app.name} leaves")

            @modal.method()
            def touch(self) -> None:
                pass

        return app.cls()(Probe)().touch

    probes = [with_probe(first), with_probe(second)]
    api = FastAPI(lifespan=lifespan(first, second))

    async def body(_client: httpx.AsyncClient) -> None:
        for probe in probes:
            await probe.remote.aio()

    in_service(api, body)
    assert ["first arrives", "second arrives", "second leaves", "first leaves"] == log


def test_a_reached_limit_is_answered_with_429_and_when_to_try_again() -> None:
    app = modal.App("inner", limits=modal.Limits(max_pending=1))
    go: list[asyncio.Event] = []

    @app.function(max_containers=1)
    async def hold() -> str:
        await go[0].wait()
        return "done"

    api = FastAPI(lifespan=lifespan(app))
    api.add_exception_handler(ResourceExhaustedError, too_many_requests)

    @api.get("/hold")
    async def get_hold() -> str:
        return await hold.remote.aio()

    async def body(client: httpx.AsyncClient) -> None:
        go.append(asyncio.Event())
        # One runs and one is pending at most, so two of four are refused while those are held.
        requests = [asyncio.create_task(client.get("/hold")) for _ in range(4)]
        refused = [await answer for answer in islice(asyncio.as_completed(requests), 2)]
        go[0].set()
        answers = await asyncio.gather(*requests)

        assert [429, 429] == [answer.status_code for answer in refused]
        assert int(refused[0].headers["Retry-After"]) >= 1
        assert 1 == refused[0].json()["limit"]
        assert "max_pending=1" in refused[0].json()["detail"]
        assert "done" in [answer.json() for answer in answers]

    in_service(api, body)


def test_the_wait_is_rounded_up_to_whole_seconds() -> None:
    def retry_after(seconds: float) -> str:
        error = ResourceExhaustedError("full", limit=1, limit_name="max_pending", retry_after=seconds)
        return too_many_requests(None, error).headers["retry-after"]  # type: ignore[arg-type]

    assert ["1", "1", "1", "3"] == [retry_after(seconds) for seconds in (0.0, 0.2, 1.0, 2.1)]


def test_another_error_is_not_answered_for() -> None:
    with pytest.raises(ZeroDivisionError):
        too_many_requests(None, ZeroDivisionError())  # type: ignore[arg-type]


def test_a_lifespan_without_an_app_is_refused() -> None:
    with pytest.raises(InvalidError, match="lifespan\\(app\\)"):
        lifespan()


@pytest.mark.slow
def test_the_module_loads_no_framework() -> None:
    program = (
        "import sys, actorpool.contrib.fastapi; print(sorted({'fastapi', 'starlette'} & sys.modules.keys()))"
    )
    done = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True, check=True)

    assert "[]\n" == done.stdout

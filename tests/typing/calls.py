# SPDX-License-Identifier: Apache-2.0
"""What type checkers see of functions and their verbs; mypy and pyright read this, nothing runs it."""

from __future__ import annotations

from collections.abc import AsyncGenerator, AsyncIterator, Coroutine, Generator, Iterator
from typing import Any, assert_type

import actorpool as modal
from actorpool import Function, FunctionCall

app = modal.App("typed")


@app.function(retries=3, timeout=5)
def sync_one(x: int, *, suffix: str = "") -> str:
    return f"{x}{suffix}"


@app.function()
async def async_one(x: int) -> bytes:
    return bytes(x)


@app.function()
def sync_many(n: int) -> Iterator[int]:
    yield from range(n)


@app.function()
async def async_many(n: int) -> AsyncIterator[str]:
    for x in range(n):
        yield str(x)


@app.function()
@modal.concurrent(max_inputs=10)
async def concurrent(x: int) -> float:
    return float(x)


@app.function()
@modal.batched(max_batch_size=10, wait_ms=100)
def sync_batched(xs: list[int]) -> list[str]:
    return [str(x) for x in xs]


@app.function()
@modal.batched(max_batch_size=10, wait_ms=100)
async def async_batched(xs: list[int], ys: list[str]) -> list[bytes]:
    return [bytes(x) for x in xs]


def blocking() -> None:
    assert_type(sync_one.remote(1, suffix="a"), str)
    assert_type(async_one.remote(1), bytes)
    assert_type(sync_many.remote_gen(3), Generator[int, None, None])
    assert_type(async_many.remote_gen(3), Generator[str, None, None])
    assert_type(next(sync_many.remote_gen(3)), int)

    assert_type(list(sync_one.map([1, 2])), list[str])
    assert_type(list(async_one.starmap([(1,), (2,)])), list[bytes])
    assert_type(next(iter(sync_one.map([1], kwargs={"suffix": "a"}))), str)

    assert_type(sync_one.spawn(1), FunctionCall[str])
    assert_type(sync_one.spawn(1).get(timeout=5), str)
    assert_type(async_one.experimental_spawn_map([1, 2]), FunctionCall[bytes])
    assert_type(async_one.experimental_spawn_map([1]).iter(start=0, end=1), Iterator[bytes])
    assert_type(FunctionCall.gather(sync_one.spawn(1), sync_one.spawn(2)), list[str])
    assert_type(FunctionCall.from_id("fc-1"), FunctionCall[Any])

    assert_type(sync_one.local(1), str)
    coroutine = assert_type(async_one.local(1), Coroutine[Any, Any, bytes])
    coroutine.close()
    assert_type(sync_many.local(1), Iterator[int])
    assert_type(async_many.local(1), AsyncIterator[str])

    assert_type(concurrent.remote(1), float)
    assert_type(sync_batched.remote(1), str)
    assert_type(async_batched.remote(1, "a"), bytes)
    assert_type(sync_batched.spawn(1), FunctionCall[str])

    assert_type(sync_one.get_current_stats(), modal.FunctionStats)
    assert_type(sync_one.statistics(), modal.FunctionStatistics)
    assert_type(sync_one.update_autoscaler(max_containers=1), modal.AutoscalerSettings)
    assert_type(sync_one.autoscaler.update(max_containers=None), modal.AutoscalerSettings)
    assert_type(sync_one.autoscaler.settings(), modal.AutoscalerSettings)


async def asynchronous() -> None:
    assert_type(await sync_one.remote.aio(1), str)
    assert_type(await async_one.remote.aio(1), bytes)
    assert_type(sync_many.remote_gen.aio(3), AsyncGenerator[int, None])
    assert_type([x async for x in async_many.remote_gen.aio(3)], list[str])
    assert_type([x async for x in sync_one.map.aio([1, 2])], list[str])
    assert_type([x async for x in sync_one.starmap.aio([(1,)])], list[str])
    assert_type(await sync_one.spawn.aio(1), FunctionCall[str])
    assert_type(await sync_one.spawn(1).get.aio(), str)
    assert_type(await async_one.experimental_spawn_map.aio([1]), FunctionCall[bytes])
    assert_type(sync_one.spawn(1).iter.aio(), AsyncIterator[str])
    assert_type(await FunctionCall.gather.aio(sync_one.spawn(1)), list[str])
    assert_type(await async_batched.remote.aio(1, "a"), bytes)


def variants() -> None:
    assert_type(sync_one.with_options(max_containers=3).remote(1, suffix="a"), str)
    assert_type(async_one.with_concurrency(max_inputs=3).spawn(1), FunctionCall[bytes])
    assert_type(async_one.with_batching(max_batch_size=3, wait_ms=1).remote(1), bytes)
    assert_type(Function.from_name("app", "f"), Function[..., Any, Any])

    fewer = async_many.with_options(max_containers=3, timeout=5)
    assert_type(fewer.remote_gen(3), Generator[str, None, None])
    assert_type(fewer.remote_gen.aio(3), AsyncGenerator[str, None])
    assert_type(list(sync_one.with_options(retries=3).map([1, 2])), list[str])
    assert_type(sync_one.with_options(retries=3).with_concurrency(max_inputs=2).spawn(1).get(), str)
    assert_type(list(async_batched.with_options(max_containers=3).starmap([(1, "a")])), list[bytes])
    assert_type(sync_batched.with_batching(max_batch_size=3, wait_ms=1).remote(1), str)


async def asynchronous_variants() -> None:
    assert_type(await sync_one.with_options(max_containers=3).remote.aio(1), str)
    assert_type([x async for x in async_batched.with_options(timeout=5).map.aio([1], ["a"])], list[bytes])
    assert_type(await sync_batched.with_options(timeout=5).spawn.aio(1), FunctionCall[str])


def context() -> None:
    assert_type(modal.current_input_id(), str | None)
    assert_type(modal.current_function_call_id(), str | None)
    assert_type(modal.current_container_id(), str | None)
    assert_type(modal.is_local(), bool)

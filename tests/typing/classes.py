# SPDX-License-Identifier: Apache-2.0
"""What type checkers see of classes and their methods; mypy and pyright read this, nothing runs it."""

from __future__ import annotations

from collections.abc import AsyncGenerator, AsyncIterator, Coroutine, Generator, Iterator
from typing import Any, assert_type, cast

import actorpool as modal
from actorpool import FunctionCall

app = modal.App("typed-classes")


@app.cls(max_containers=3)
class Model:
    name: str = modal.parameter(default="small")

    @modal.enter()
    def load(self) -> None:
        self.size = len(self.name)

    @modal.method()
    def run(self, x: int, *, factor: float = 1.0) -> float:
        return x * factor * self.size

    @modal.method()
    async def run_async(self, x: int) -> bytes:
        return bytes(x)

    @modal.method()
    def stream(self, n: int) -> Iterator[int]:
        yield from range(n)

    @modal.method()
    async def stream_async(self, n: int) -> AsyncIterator[str]:
        for x in range(n):
            yield str(x)

    @modal.exit()
    async def leave(self) -> None: ...


@app.cls()
class Batched:
    @modal.batched(max_batch_size=3, wait_ms=10)
    async def run(self, xs: list[int]) -> list[str]:
        return [str(x) for x in xs]


def blocking() -> None:
    model = Model()
    assert_type(model, Model)
    assert_type(model.name, str)
    assert_type(model.run.remote(1, factor=2.0), float)
    assert_type(model.run_async.remote(1), bytes)
    assert_type(model.stream.remote_gen(3), Generator[int, None, None])
    assert_type(list(model.run.map([1, 2])), list[float])
    assert_type(list(model.run_async.starmap([(1,)])), list[bytes])
    assert_type(model.run.spawn(1), FunctionCall[float])
    assert_type(model.run.local(1), float)
    coroutine = assert_type(model.run_async.local(1), Coroutine[Any, Any, bytes])
    coroutine.close()
    assert_type(Batched().run.remote(1), str)
    assert_type(Batched().run.spawn(1).get(), str)
    assert_type(list(Batched().run.map([1])), list[str])
    assert_type(model.stream_async.remote_gen(3), Generator[str, None, None])
    assert_type(model.run_async.spawn(1), FunctionCall[bytes])


async def asynchronous() -> None:
    model = Model()
    assert_type(await model.run.remote.aio(1), float)
    assert_type(await model.run_async.remote.aio(1), bytes)
    assert_type(model.stream_async.remote_gen.aio(3), AsyncGenerator[str, None])
    assert_type([x async for x in model.run.map.aio([1])], list[float])
    assert_type(await Batched().run.remote.aio(1), str)
    assert_type(await model.run.spawn.aio(1), FunctionCall[float])
    assert_type(await (await Batched().run.spawn.aio(1)).get.aio(), str)
    assert_type([x async for x in model.stream.remote_gen.aio(3)], list[int])


def variants() -> None:
    # A class of an app is `type[Model]` to a type checker, so that its methods and parameters are checked; what it
    # has beside those of the class needs the handle's own type.
    handle = cast("modal.Cls", Model)
    assert_type(handle.with_options(max_containers=3), modal.Cls)
    assert_type(handle.with_concurrency(max_inputs=3), modal.Cls)
    assert_type(cast("modal.Cls", Batched).with_batching(max_batch_size=3, wait_ms=1), modal.Cls)

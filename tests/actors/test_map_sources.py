# SPDX-License-Identifier: Apache-2.0
"""Input iterators of maps that fail, and what is no input iterator at all."""

from __future__ import annotations

import asyncio
import itertools
from collections.abc import Callable, Iterator
from typing import Any

import pytest

import actorpool as modal
from actorpool.exception import InvalidError
from tests.actors.harness import at_rest, checkpoints
from tests.api.support import collect

Run = Callable[..., Any]


class _BadInput(Exception):
    pass


@pytest.fixture
def app() -> modal.App:
    return modal.App("my-app", limits=modal.Limits(map_in_flight=20))


async def _numbers() -> Any:
    for number in itertools.count():
        yield number


# -- input iterators that fail --------------------------------------------------------------------------------


def _fails_after(count: int, error: BaseException) -> Iterator[int]:
    yield from range(count)
    raise error


async def _fails_async_after(count: int, error: BaseException, pauses: int = 0) -> Any:
    for number in range(count):
        await checkpoints(pauses)
        yield number
    await checkpoints(pauses)
    raise error


class _Broken:
    """An iterable whose iterator cannot be had."""

    def __iter__(self) -> Iterator[int]:
        raise _BadInput("no iterator")


@pytest.mark.parametrize("count", [0, 1, 7, 19, 20, 21, 100])
def test_an_input_iterator_that_raises_raises_in_the_caller(app: modal.App, run: Run, count: int) -> None:
    @app.function()
    async def f(x: int) -> int:
        return x

    async def main() -> None:
        async with app.run():
            for source in (
                _fails_after(count, _BadInput("bad input")),
                _fails_async_after(count, _BadInput("bad input")),
                _fails_async_after(count, _BadInput("bad input"), pauses=1),
            ):
                taken: list[int] = []
                with pytest.raises(_BadInput, match="bad input"):
                    await collect(f.map.aio(source), taken)
                assert list(range(len(taken))) == taken
                await at_rest(f)
            assert 3 == await f.remote.aio(3)

    run(main)


@pytest.mark.parametrize("count", [0, 1, 7, 100])
@pytest.mark.parametrize("verb", ["map", "starmap", "for_each"])
def test_an_input_iterator_that_raises_raises_in_the_sync_caller(
    app: modal.App, verb: str, count: int
) -> None:
    @app.function()
    def f(x: int) -> int:
        return x

    def source() -> Iterator[Any]:
        for number in _fails_after(count, _BadInput("bad input")):
            yield (number,) if verb == "starmap" else number

    with app.run():
        with pytest.raises(_BadInput, match="bad input"):
            list(getattr(f, verb)(source()) or ())
        assert 3 == f.remote(3)


def test_nothing_is_started_from_the_moment_the_input_iterator_has_raised(app: modal.App) -> None:
    started = []

    @app.function()
    def f(x: int) -> int:
        started.append(x)
        return x

    with app.run():
        with pytest.raises(_BadInput):
            list(f.map(_fails_after(5, _BadInput())))
        assert [] == started
        assert 0 == f.statistics().arrived


def test_an_iterable_without_an_iterator_raises_in_the_caller(app: modal.App, run: Run) -> None:
    @app.function()
    async def f(x: int) -> int:
        return x

    async def main() -> None:
        async with app.run():
            with pytest.raises(_BadInput, match="no iterator"):
                async for _ in f.map.aio(_Broken()):
                    pass
            await at_rest(f)

    run(main)


def test_a_starmap_over_what_cannot_be_unpacked_is_a_type_error(app: modal.App) -> None:
    @app.function()
    def f(x: int) -> int:
        return x

    with app.run():
        with pytest.raises(TypeError, match="not iterable"):
            list(f.starmap([1]))
        assert 1 == f.remote(1)


@pytest.mark.parametrize("error", [SystemExit(3), KeyboardInterrupt(), GeneratorExit()])
def test_whatever_a_sync_input_iterator_raises_reaches_the_caller(
    app: modal.App, error: BaseException
) -> None:
    @app.function()
    def f(x: int) -> int:
        return x

    with app.run():
        with pytest.raises(type(error)):
            list(f.map(_fails_after(3, error)))
        assert 1 == f.remote(1)


def test_an_async_input_iterator_that_is_cancelled_by_itself_does_not_pass_for_its_end(
    app: modal.App,
) -> None:
    async def source() -> Any:
        yield 1
        future = asyncio.get_running_loop().create_future()
        future.cancel()
        await future

    @app.function()
    async def f(x: int) -> int:
        return x

    async def main() -> None:
        async with app.run():
            with pytest.raises(asyncio.CancelledError):
                await collect(f.map.aio(source()), [])
            await at_rest(f)

    asyncio.run(main())


def test_zipped_sources_end_with_the_shortest_and_fail_with_the_one_that_fails(
    app: modal.App, run: Run
) -> None:
    @app.function()
    async def add(x: int, y: int) -> int:
        return x + y

    async def main() -> None:
        async with app.run():
            assert [0, 2, 4] == [r async for r in add.map.aio(itertools.count(), _upto(3))]
            assert [0, 2, 4] == [r async for r in add.map.aio(_upto(3), range(5))]
            with pytest.raises(_BadInput):
                async for _ in add.map.aio(itertools.count(), _fails_async_after(2, _BadInput())):
                    pass
            await at_rest(add)

    run(main)


async def _upto(count: int) -> Any:
    for number in range(count):
        yield number


# -- what is no input -----------------------------------------------------------------------------------------


def test_a_map_without_an_iterator_is_refused_at_once(app: modal.App, run: Run) -> None:
    @app.function()
    async def f() -> None:
        pass

    async def main() -> None:
        async with app.run():
            for refused in (f.map, f.map.aio, f.for_each):
                with pytest.raises(InvalidError, match="got no iterator"):
                    refused()
            with pytest.raises(InvalidError, match="got no iterator"):
                await f.for_each.aio()
            for without_iterator in (f.starmap, f.starmap.aio):
                with pytest.raises(TypeError, match="input_iterator"):
                    without_iterator()  # type: ignore[call-arg]

    run(main)


def test_what_cannot_be_iterated_over_is_refused_at_once(app: modal.App) -> None:
    @app.function()
    def f(x: int) -> None:
        pass

    with app.run():
        for refused in (f.map, f.map.aio, f.starmap, f.starmap.aio, f.for_each):
            with pytest.raises(InvalidError, match="5 cannot be iterated over"):
                refused(5)  # type: ignore[arg-type]


def test_an_async_iterable_given_to_a_sync_verb_names_the_twin(app: modal.App) -> None:
    @app.function()
    def f(x: int) -> None:
        pass

    with app.run():
        for verb in ("map", "starmap"):
            with pytest.raises(InvalidError, match=rf"`async for \.\.\. in f\.{verb}\.aio\(\.\.\.\)`"):
                getattr(f, verb)(_numbers())
        with pytest.raises(InvalidError, match=r"`await f\.for_each\.aio\(\.\.\.\)`"):
            f.for_each(_numbers())

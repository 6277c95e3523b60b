# SPDX-License-Identifier: Apache-2.0
"""Errors read well: the user's own exception, the user's frames, few of the library's, and where it comes from."""

from __future__ import annotations

import traceback
from collections.abc import AsyncIterator, Callable, Iterator
from pathlib import Path
from types import TracebackType
from typing import Any

import pytest

import actorpool as modal
from actorpool.exception import FunctionTimeoutError, RemoteError
from tests.api.support import event, sleep
from tests.hosts import settle

Run = Callable[..., Any]

LIBRARY = str(Path(modal.__file__).parent)

app = modal.App("tracebacks")


class Unlucky(Exception):
    pass


ERROR = Unlucky("the very object")


def inner_frame() -> None:
    raise ERROR


@app.function()
async def raises() -> None:
    inner_frame()


@app.function()
def raises_in_thread() -> None:
    inner_frame()


@app.function()
async def stream_raises() -> AsyncIterator[int]:
    yield 1
    inner_frame()


@app.function()
def stream_raises_in_thread() -> Iterator[int]:
    yield 1
    inner_frame()


@app.cls()
class Job:
    @modal.method()
    async def raises(self) -> None:
        inner_frame()


@pytest.fixture(autouse=True)
def _fresh_error() -> None:
    global ERROR
    ERROR = Unlucky("the very object")


def frames(tb: TracebackType | None) -> list[tuple[bool, str]]:
    """The frames from the test's own line on: whether it is the library's, and its function."""
    found = [(frame.filename.startswith(LIBRARY), frame.name) for frame in traceback.extract_tb(tb)]
    return found


KINDS: dict[str, Callable[[], Any]] = {
    "async function": lambda: raises,
    "sync function": lambda: raises_in_thread,
    "async method": lambda: Job().raises,
}


@pytest.fixture(params=list(KINDS))
def failing(request: pytest.FixtureRequest) -> Callable[[], Any]:
    """Each kind of function, one that raises; made when called."""
    return KINDS[request.param]


@pytest.mark.local_only("is about the very exception object and its frames, which stay in their process")
def test_M13_4_an_async_caller_gets_the_users_own_object_below_its_own_line(run: Run, failing: Any) -> None:
    async def main() -> None:
        async with app.run():
            with pytest.raises(Unlucky) as caught:
                await failing().remote.aio()
            assert caught.value is ERROR
            seen = frames(caught.value.__traceback__)
            assert (False, "main") == seen[0]
            assert ["raises", "inner_frame"] == [name.removesuffix("_in_thread") for _, name in seen[-2:]]
            assert sum(is_library for is_library, _ in seen) <= 2

    run(main)


@pytest.mark.local_only("is about the very exception object and its frames, which stay in their process")
def test_M13_4_a_sync_caller_gets_the_users_own_object_below_its_own_line(failing: Any) -> None:
    with app.run():
        with pytest.raises(Unlucky) as caught:
            failing().remote()
    assert caught.value is ERROR
    seen = frames(caught.value.__traceback__)
    assert (False, "test_M13_4_a_sync_caller_gets_the_users_own_object_below_its_own_line") == seen[0]
    assert ["raises", "inner_frame"] == [name.removesuffix("_in_thread") for _, name in seen[-2:]]
    assert sum(is_library for is_library, _ in seen) <= 2


@pytest.mark.local_only("is about the very exception object and its frames, which stay in their process")
@pytest.mark.parametrize("function", [stream_raises, stream_raises_in_thread], ids=["async", "sync"])
def test_the_error_of_a_generator_shows_the_users_frames(run: Run, function: Any) -> None:
    async def main() -> None:
        async with app.run():
            items = function.remote_gen.aio()
            assert 1 == await anext(items)
            with pytest.raises(Unlucky) as caught:
                await anext(items)
            assert caught.value is ERROR
            seen = frames(caught.value.__traceback__)
            assert [function.name, "inner_frame"] == [name for _, name in seen[-2:]]
            assert sum(is_library for is_library, _ in seen) <= 2

    run(main)


def test_a_call_whose_arguments_do_not_fit_says_so(run: Run) -> None:
    async def main() -> None:
        async with app.run():
            with pytest.raises(TypeError, match=r"raises\(\) takes 0 positional arguments but 1 was given"):
                await raises.remote.aio(1)  # type: ignore[call-arg]

    run(main)


# -- notes ------------------------------------------------------------------------------------------------


def notes(error: BaseException) -> list[str]:
    return getattr(error, "__notes__", [])


def test_a_note_names_function_and_input(run: Run, failing: Any) -> None:
    async def main() -> None:
        async with app.run():
            call = failing().spawn()
            with pytest.raises(Unlucky) as caught:
                await call.get.aio()
            assert [f"raised by function '{failing().name}' (input in-{call.object_id[3:]}-0)"] == notes(
                caught.value
            )
            # Asked again, it is not said again.
            with pytest.raises(Unlucky):
                await call.get.aio()
            assert 1 == len(notes(caught.value))

    run(main)


def test_a_note_names_the_input_of_a_map(run: Run) -> None:
    app = modal.App()

    @app.function()
    async def odd_only(x: int) -> int:
        if x % 2 == 0:
            raise Unlucky(x)
        return x

    async def main() -> None:
        async with app.run():
            results: list[Any] = [x async for x in odd_only.map.aio(range(4), return_exceptions=True)]
            (note,) = notes(results[2])
            assert note.startswith("raised by function 'odd_only' (input in-")
            assert note.endswith("-2)")

    run(main)


def test_a_note_names_the_attempt(run_virtually: Run) -> None:
    app = modal.App()

    @app.function(retries=2)
    async def f() -> None:
        raise Unlucky

    @app.function(retries=1, timeout=5)
    async def slow() -> None:
        await sleep(10.0)

    async def main() -> None:
        async with app.run():
            with pytest.raises(Unlucky) as caught:
                await f.remote.aio()
            assert notes(caught.value)[0].endswith(", attempt 3)")
            with pytest.raises(FunctionTimeoutError) as timed_out:
                await slow.remote.aio()
            assert notes(timed_out.value)[0].endswith(", attempt 2)")

    run_virtually(main)


def test_each_input_of_a_failed_batch_adds_its_note_to_the_one_error(run_virtually: Run) -> None:
    app = modal.App()

    @app.function()
    @modal.batched(max_batch_size=2, wait_ms=10)
    async def f(xs: list[int]) -> list[int]:
        raise Unlucky

    async def main() -> None:
        async with app.run():
            calls = [f.spawn(x) for x in range(2)]
            with pytest.raises(Unlucky):
                await calls[0].get.aio()
            with pytest.raises(Unlucky) as caught:
                await calls[1].get.aio()
            assert [f"raised by function 'f' (input in-{call.object_id[3:]}-0)" for call in calls] == notes(
                caught.value
            )

    run_virtually(main)


def test_a_cancellation_has_a_note_too(run: Run) -> None:
    app = modal.App()

    @app.function()
    async def waits(gate: Any) -> None:
        await gate.wait()

    async def main() -> None:
        async with app.run():
            call = waits.spawn(event())
            await settle()
            call.cancel()
            with pytest.raises(RemoteError) as caught:
                await call.get.aio()
            assert notes(caught.value)[0].startswith("raised by function 'waits' (input in-")

    run(main)


@pytest.mark.local_only("the frames of each process are a text of its own, the innermost first")
def test_M13_4_the_printed_traceback_reads_from_the_callers_line_to_the_users(run: Run) -> None:
    async def main() -> None:
        async with app.run():
            with pytest.raises(Unlucky) as caught:
                await raises.remote.aio()
            text = "".join(traceback.format_exception(caught.value))
            places = [
                text.index(part) for part in ("in main", "in raises", "in inner_frame", "raised by function")
            ]
            assert sorted(places) == places

    run(main)

# SPDX-License-Identifier: Apache-2.0
"""The mistakes that come first: what is printed names what was written, and says what to write instead."""

from __future__ import annotations

import gc
import re
import traceback
from collections.abc import AsyncIterator, Callable
from typing import Any

import pytest

import actorpool as modal
from actorpool._host._traceback import RemoteTraceback
from actorpool.exception import ContainerStartError, InvalidError
from tests.api.support import now

Run = Callable[..., Any]


def test_a_misspelt_setting_is_answered_with_the_right_one(app: modal.App, f: Any) -> None:
    misspelt: list[tuple[Any, dict[str, Any], str]] = [
        (app.function, {"max_container": 3}, "max_containers"),
        (app.cls, {"scale_down_window": 3}, "scaledown_window"),
        (f.with_options, {"retry": 3}, "retries"),
    ]
    for where, wrong, right in misspelt:
        with pytest.raises(TypeError, match=f"argument '{next(iter(wrong))}'; did you mean '{right}'\\?$"):
            where(**wrong)


def test_an_argument_that_is_like_no_setting_is_answered_plainly(app: modal.App, f: Any) -> None:
    with pytest.raises(TypeError, match=r"unexpected keyword argument 'colour'$"):
        app.function(colour="red")
    # There is such a setting, but not for a variant.
    with pytest.raises(TypeError, match=r"unexpected keyword argument 'min_containers'$"):
        f.with_options(min_containers=1)


def test_a_misspelt_parameter_is_answered_with_the_right_one(app: modal.App) -> None:
    @app.cls()
    class Model:
        version: str = modal.parameter(default="1")

        @modal.method()
        def run(self) -> str:
            return self.version

    make: Any = Model
    with pytest.raises(InvalidError, match=r"no parameter 'verison'; did you mean 'version'\?$"):
        make(verison="2").run.remote()
    with pytest.raises(InvalidError, match=r"no parameter 'size'; declare it in the class: size: str = "):
        make(size="2").run.remote()


def test_gathering_a_list_of_calls_points_to_the_star(run: Run) -> None:
    app = modal.App("my-app")

    @app.function()
    async def f(x: int) -> int:
        return x

    gather: Any = modal.FunctionCall.gather

    async def main() -> None:
        async with app.run():
            calls = [f.spawn(1), f.spawn(2)]
            with pytest.raises(InvalidError, match=r"not a list; write FunctionCall\.gather\(\*calls\)"):
                gather(calls)
            with pytest.raises(InvalidError, match=r"not a list; write FunctionCall\.gather\(\*calls\)"):
                await gather.aio(calls)
            assert [1, 2] == await gather.aio(*calls)

    run(main)


def test_a_map_that_is_not_iterated_is_answered_with_its_kind_of_loop(
    run: Run, caplog: pytest.LogCaptureFixture
) -> None:
    app = modal.App("my-app")

    @app.function()
    async def f(x: int) -> int:
        return x

    async def main() -> None:
        async with app.run():
            f.map([1])
            f.map.aio([1])
            gc.collect()

    run(main)
    assert [
        "f.map(...) was never iterated, so nothing was run; use a for loop, list(...), or for_each",
        "f.map.aio(...) was never iterated, so nothing was run; use async for",
    ] == caplog.messages


def test_a_starmap_over_single_arguments_points_to_map(run: Run) -> None:
    app = modal.App("my-app")

    @app.function()
    async def f(*args: int) -> int:
        return sum(args)

    async def main() -> None:
        async with app.run():
            with pytest.raises(TypeError, match=r"one of type int is not iterable; write map for single"):
                _ = [x async for x in f.starmap.aio([1, 2])]

            async def inputs() -> AsyncIterator[int]:
                yield 1

            with pytest.raises(TypeError, match=r"one of type int is not iterable"):
                _ = [x async for x in f.starmap.aio(inputs())]
            # What can be unpacked is, whatever it is.
            assert [3, 0, 3] == [x async for x in f.starmap.aio([(1, 2), [], {1: "a", 2: "b"}])]

    run(main)


def test_an_input_that_fails_while_it_is_unpacked_keeps_its_own_error(app: modal.App, f: Any) -> None:
    def arguments() -> Any:
        yield 1
        raise TypeError("of the user's own")

    with app.run():
        with pytest.raises(TypeError, match=r"^of the user's own$"):
            list(f.starmap([arguments()]))


def test_a_method_that_is_called_directly_is_shown_with_its_instance(app: modal.App) -> None:
    @app.cls()
    class Model:
        @modal.method()
        def predict(self, x: int) -> int:
            return x

    with pytest.raises(InvalidError) as caught:
        Model().predict(1)
    message = str(caught.value)
    assert message.startswith(
        "function 'Model.predict' is not called directly: write Model(...).predict.remote("
    )
    assert " Model.predict." not in message


@pytest.mark.parametrize("is_async", [False, True], ids=["sync hook", "async hook"])
def test_a_start_that_fails_shows_the_users_hook_and_nothing_above_it(
    run_virtually: Run, is_async: bool
) -> None:
    app = modal.App("my-app")

    class Sync:
        @modal.enter()
        def load(self) -> None:
            open_weights()

    class Async:
        @modal.enter()
        async def load(self) -> None:
            open_weights()

    base: Any = Async if is_async else Sync

    @app.cls()
    class Model(base):
        @modal.method()
        async def run(self) -> None: ...

    def open_weights() -> None:
        raise FileNotFoundError("weights.bin") from OSError("disk")

    async def main() -> None:
        async with app.run():
            with pytest.raises(ContainerStartError, match=r"Model.*weights\.bin") as caught:
                await Model().run.remote.aio()
            cause = caught.value.__cause__
            assert cause is not None
            names = [frame.name for frame in traceback.extract_tb(cause.__traceback__)]
            assert isinstance(cause.__cause__, OSError)
            if isinstance(remote := cause.__cause__.__cause__, RemoteTraceback):
                # All there is is in the text.
                assert [] == names
                names = re.findall(r", in (\w+)$", remote.text, re.MULTILINE)
            assert ["load", "open_weights"] == names
            assert now() < 60.0

    run_virtually(main)


@pytest.mark.local_only("the frames of each process are a text of its own, the innermost first")
def test_a_failure_below_two_calls_names_both_on_its_way(app: modal.App) -> None:
    @app.function()
    def inner(x: int) -> float:
        return 1 / x

    @app.function()
    def outer(x: int) -> float:
        return inner.remote(x)

    with app.run():
        with pytest.raises(ZeroDivisionError, match="division by zero") as caught:
            outer.remote(0)
    frames = [frame.name for frame in traceback.extract_tb(caught.value.__traceback__)]
    users = [name for name in frames if name in {"inner", "outer"}]
    assert ["outer", "inner"] == users
    assert ["function 'inner'", "function 'outer'"] == [
        note.removeprefix("raised by ").partition(" (")[0] for note in caught.value.__notes__
    ]

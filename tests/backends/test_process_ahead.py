# SPDX-License-Identifier: Apache-2.0
"""Short inputs are sent to a process ahead of time; what has not begun there is still anybody's."""

from __future__ import annotations

import os
import signal
import threading
import time
from pathlib import Path

import pytest

import actorpool
from actorpool.exception import ContainerDiedError

pytestmark = [pytest.mark.slow, pytest.mark.timeout(60)]

app = actorpool.App("tests-ahead")
two = {"backend": "process", "min_containers": 2, "max_containers": 2}


@app.function(**two)  # type: ignore[arg-type]
def noted(x: int, directory: str, fatal: int = -1, slow: int = -1) -> int:
    """Note that `x` was begun; end the process at one, take long for another."""
    with open(os.path.join(directory, str(x)), "a", encoding="ascii") as file:
        file.write("begun ")
    if x == fatal:
        os.kill(os.getpid(), signal.SIGKILL)
    while x == slow and not os.path.exists(os.path.join(directory, "go")):
        time.sleep(0.001)
    return x


alone = app.function(name="alone", backend="process", max_containers=1)(noted.get_raw_f())


def begun(directory: Path) -> dict[int, int]:
    """Return {input: how often it was begun}."""
    return {
        int(file.name): file.read_text().count("begun") for file in directory.iterdir() if file.name != "go"
    }


def test_each_input_runs_once_and_results_are_in_order(tmp_path: Path) -> None:
    n = 1_000
    with app.run():
        assert list(range(n)) == list(noted.map(range(n), kwargs={"directory": str(tmp_path)}))
    assert dict.fromkeys(range(n), 1) == begun(tmp_path)


def test_a_process_that_dies_takes_only_the_input_with_it_that_it_was_running(tmp_path: Path) -> None:
    n, fatal = 1_000, 700
    with app.run():
        results: list[object] = list(
            noted.map(range(n), kwargs={"directory": str(tmp_path), "fatal": fatal}, return_exceptions=True)
        )
    assert [fatal] == [x for x, result in enumerate(results) if isinstance(result, ContainerDiedError)]
    assert [x for x in range(n) if x != fatal] == [x for x in results if isinstance(x, int)]
    assert dict.fromkeys(range(n), 1) == begun(tmp_path)


def test_nobody_waits_behind_an_input_that_takes_long(tmp_path: Path) -> None:
    n, slow = 1_000, 500
    with app.run():
        results = noted.map(range(n), kwargs={"directory": str(tmp_path), "slow": slow}, order_outputs=False)
        first = [next(results) for _ in range(n - 1)]
        (tmp_path / "go").touch()
        assert [slow] == list(results)
    assert set(range(n)) - {slow} == set(first)


def test_no_result_waits_for_an_input_that_takes_long(tmp_path: Path) -> None:
    n, slow = 300, 200
    with app.run():
        options = {"directory": str(tmp_path), "slow": slow}
        results = alone.map(range(n), kwargs=options, order_outputs=False)
        assert set(range(slow)) == {next(results) for _ in range(slow)}
        (tmp_path / "go").touch()
        assert set(range(slow, n)) == set(results)


def test_what_is_cancelled_before_it_begins_never_begins(tmp_path: Path) -> None:
    n = 300
    with app.run():
        calls = [alone.spawn(x, str(tmp_path), slow=n - 1) for x in range(n)]
        # Short ones before it, so that some of those behind it are on their way.
        while n - 1 not in begun(tmp_path):
            behind = [alone.spawn(x, str(tmp_path)) for x in range(n, n + 50)]
            for call in behind:
                call.cancel()
        (tmp_path / "go").touch()
        assert list(range(n)) == [call.get() for call in calls]
        assert n + 50 == alone.remote(n + 50, str(tmp_path))
    assert {*range(n), n + 50} == set(begun(tmp_path))


def test_an_argument_that_cannot_be_sent_fails_alone_among_those_that_went_ahead() -> None:
    n, bad = 200, 100
    values = [x if x != bad else threading.Lock() for x in range(n)]
    with app.run():
        results: list[object] = list(echo.map(values, return_exceptions=True))
    assert [bad] == [x for x, result in enumerate(results) if isinstance(result, Exception)]
    assert [x for x in range(n) if x != bad] == [x for x in results if isinstance(x, int)]


@app.function(**two)  # type: ignore[arg-type]
def echo(x: object) -> object:
    return x


class Grenade:
    """Raises where it is unpickled."""

    def __reduce__(self) -> tuple[object, tuple[str]]:
        return (_explode, ("bang",))


def _explode(word: str) -> object:
    raise ValueError(word)


def test_one_that_cannot_be_unpickled_fails_alone_among_those_that_went_ahead() -> None:
    values = [Grenade() if x % 50 == 49 else x for x in range(500)]
    with app.run():
        results: list[object] = list(echo.map(values, return_exceptions=True))
    assert [x for x in range(500) if x % 50 == 49] == [
        x for x, result in enumerate(results) if isinstance(result, Exception)
    ]


def test_of_long_arguments_some_go_ahead_and_each_arrives_once_in_its_order() -> None:
    # Ten of them are more than may go ahead.
    values = [bytes([x]) * 300_000 for x in range(40)]
    with app.run():
        assert values == list(echo.map(values))

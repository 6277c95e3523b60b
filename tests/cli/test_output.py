# SPDX-License-Identifier: Apache-2.0
"""`enable_output` shows the library's log lines on stderr, once each, and puts everything back."""

from __future__ import annotations

import io
import logging
import sys
from collections.abc import Iterator
from typing import TextIO

import pytest

import actorpool as modal
from actorpool import enable_output

LIBRARY = logging.getLogger("actorpool")
SCALING = logging.getLogger("actorpool.scaling")


@pytest.fixture
def own_handler() -> Iterator[logging.StreamHandler[TextIO]]:
    """A handler of the program's own on the root logger; a test says where it writes."""
    handler: logging.StreamHandler[TextIO] = logging.StreamHandler(io.StringIO())
    handler.setFormatter(logging.Formatter("own: %(message)s"))
    logging.getLogger().addHandler(handler)
    yield handler
    logging.getLogger().removeHandler(handler)


def test_both_loggers_are_shown_while_the_block_lasts(capsys: pytest.CaptureFixture[str]) -> None:
    with enable_output():
        LIBRARY.warning("one")
        SCALING.info("two")
        SCALING.debug("three")
        logging.getLogger("another").error("four")
    SCALING.info("five")

    assert "actorpool: warning: one\nactorpool: two\n" == capsys.readouterr().err
    assert ([], logging.NOTSET) == (LIBRARY.handlers, LIBRARY.level)


def test_M1_5_the_lines_of_an_app_that_a_script_runs_are_shown(capsys: pytest.CaptureFixture[str]) -> None:
    app = modal.App("shown")

    @app.function()
    def f(x: int) -> int:
        return x

    with enable_output(), app.run():
        assert [0, 1, 2] == list(f.map(range(3)))

    assert "actorpool: function 'f': " in capsys.readouterr().err


def test_M1_5_a_block_inside_another_one_changes_nothing(capsys: pytest.CaptureFixture[str]) -> None:
    with enable_output():
        with enable_output(timestamps=True):
            SCALING.info("inner")
        SCALING.info("outer")

    assert "actorpool: inner\nactorpool: outer\n" == capsys.readouterr().err


def test_everything_is_put_back_after_an_error(capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(LookupError), enable_output():
        raise LookupError

    SCALING.info("after")
    assert "" == capsys.readouterr().err


def test_a_line_begins_with_the_time_where_that_is_wanted(capsys: pytest.CaptureFixture[str]) -> None:
    with enable_output(timestamps=True):
        SCALING.info("timed")

    date, time, *rest = capsys.readouterr().err.split()
    assert (3, 3, ["actorpool:", "timed"]) == (len(date.split("-")), len(time.split(":")), rest)


def test_a_line_is_not_shown_twice(
    capsys: pytest.CaptureFixture[str], own_handler: logging.StreamHandler[TextIO]
) -> None:
    own_handler.setStream(sys.stderr)
    own_handler.setLevel(logging.WARNING)
    with enable_output():
        LIBRARY.warning("seen by both")
        SCALING.info("not the program's")

    assert "own: seen by both\nactorpool: not the program's\n" == capsys.readouterr().err


def test_a_level_that_the_program_has_set_stays(
    capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(LIBRARY, "level", logging.ERROR)
    with enable_output():
        LIBRARY.warning("unwanted")
        LIBRARY.error("wanted")

    assert "actorpool: error: wanted\n" == capsys.readouterr().err
    assert logging.ERROR == LIBRARY.level


def test_a_logger_that_does_not_propagate_is_still_shown(
    capsys: pytest.CaptureFixture[str],
    monkeypatch: pytest.MonkeyPatch,
    own_handler: logging.StreamHandler[TextIO],
) -> None:
    own_handler.setStream(sys.stderr)
    monkeypatch.setattr(LIBRARY, "propagate", False)
    with enable_output():
        LIBRARY.warning("kept from the root")

    assert "actorpool: warning: kept from the root\n" == capsys.readouterr().err

# SPDX-License-Identifier: Apache-2.0
"""An exception arrives by type, with its causes, its notes and its traceback; else as text."""

from __future__ import annotations

import threading
import traceback
from typing import Any

import pytest

from actorpool._wire._codec import decode, encode
from actorpool._wire._errors import RemoteTraceback, decode_error, encode_error
from actorpool._wire._faults import WireError
from actorpool.exception import FunctionTimeoutError, RemoteError


class Picky(Exception):
    """Pickles, and cannot be unpickled: its constructor takes other arguments than it passes on."""

    def __init__(self, first: str, second: str) -> None:
        super().__init__(f"{first} and {second}")


class Unpicklable(Exception):
    def __init__(self, text: str) -> None:
        super().__init__(text)
        self.lock = threading.Lock()


class Silent(Exception):
    def __str__(self) -> str:
        raise ValueError("no text")


class Impostor(Exception):
    def __reduce__(self) -> Any:
        return dict, ()


def _raised(error: BaseException, cause: BaseException | None = None) -> BaseException:
    """The exception, raised by a function that its traceback names."""
    try:
        if cause is not None:
            raise error from cause
        raise error
    except BaseException as caught:
        return caught


def _there_and_back(error: BaseException) -> BaseException:
    return decode_error(encode_error(error))


def _printed(error: BaseException) -> str:
    return "".join(traceback.format_exception(error))


def test_an_exception_arrives_by_type_with_what_it_carries() -> None:
    sent = _raised(FunctionTimeoutError("too long", timeout=2.5))
    sent.add_note("a note")

    arrived = _there_and_back(sent)

    assert isinstance(arrived, FunctionTimeoutError)
    assert (("too long",), 2.5, ["a note"]) == (arrived.args, arrived.timeout, arrived.__notes__)


def test_the_remote_traceback_is_printed() -> None:
    arrived = _there_and_back(_raised(KeyError("k")))

    printed = _printed(arrived)
    assert "in _raised\n    raise error" in printed
    assert "direct cause of the following exception" in printed
    assert isinstance(arrived.__cause__, RemoteTraceback)
    assert printed.endswith("KeyError: 'k'\n")


def test_causes_and_contexts_arrive_and_the_traceback_is_printed_before_them() -> None:
    context = ValueError("context")
    cause = _raised(LookupError("cause"))
    cause.__context__ = context
    sent = _raised(KeyError("k"), cause)

    arrived = _there_and_back(sent)

    assert isinstance(arrived.__cause__, LookupError)
    assert isinstance(arrived.__cause__.__context__, ValueError)
    assert isinstance(arrived.__cause__.__context__.__cause__, RemoteTraceback)
    assert 0 < _printed(arrived).index("RemoteTraceback") < _printed(arrived).rindex("ValueError: context")


def test_a_suppressed_context_stays_suppressed() -> None:
    sent = ValueError("shown")
    sent.__context__ = KeyError("hidden")
    sent.__suppress_context__ = True

    arrived = _there_and_back(sent)

    assert "hidden" not in _printed(arrived)
    assert isinstance(arrived.__context__, KeyError)


def test_exceptions_that_refer_to_each_other_arrive() -> None:
    first, second = ValueError("first"), KeyError("second")
    first.__cause__, second.__cause__ = second, first

    arrived = _there_and_back(first)

    assert arrived.__cause__ is not None
    assert arrived is arrived.__cause__.__cause__ or isinstance(arrived.__cause__.__cause__, RemoteTraceback)


def test_a_second_journey_tells_both_in_one_traceback() -> None:
    arrived = _there_and_back(_raised(_there_and_back(_raised(ValueError("v")))))

    assert isinstance(arrived.__cause__, RemoteTraceback)
    assert arrived.__cause__.__cause__ is None
    assert 2 == arrived.__cause__.text.count("in _raised")


@pytest.mark.parametrize(
    ("sent", "name", "text"),
    [
        (Unpicklable("locked"), "Unpicklable: locked", "it cannot be pickled"),
        (Picky("a", "b"), "Picky: a and b", "it cannot be unpickled: TypeError"),
        (Silent(), "Silent: <no text: ValueError>", ""),
        (Impostor("x"), "Impostor: x", "its pickle is no exception"),
    ],
    ids=lambda value: type(value).__name__,
)
def test_what_cannot_travel_arrives_as_text(sent: Exception, name: str, text: str) -> None:
    if isinstance(sent, Silent):
        sent.args = (threading.Lock(),)

    arrived = _there_and_back(_raised(sent))

    assert type(arrived) is RemoteError
    assert str(arrived).startswith(name)
    assert text in str(arrived)
    assert "in _raised" in _printed(arrived)


def test_a_cause_that_cannot_travel_is_no_obstacle_to_its_exception() -> None:
    arrived = _there_and_back(_raised(KeyError("k"), Unpicklable("locked")))

    assert (KeyError, RemoteError) == (type(arrived), type(arrived.__cause__))


def test_an_exception_that_python_defines_nowhere_importable_arrives() -> None:
    class Local(Exception):
        pass

    arrived = _there_and_back(_raised(Local("local")))

    assert (Local, ("local",)) == (type(arrived), arrived.args)


@pytest.mark.parametrize("sent", [KeyboardInterrupt(), SystemExit(3), GeneratorExit()], ids=repr)
def test_an_exception_that_is_no_error_arrives(sent: BaseException) -> None:
    arrived = _there_and_back(_raised(sent))

    assert (type(sent), sent.args) == (type(arrived), arrived.args)


def test_a_group_arrives_with_its_members() -> None:
    sent = ExceptionGroup("several", [ValueError("a"), ExceptionGroup("inner", [KeyError("b")])])

    arrived = _there_and_back(_raised(sent))

    assert isinstance(arrived, ExceptionGroup)
    assert repr(sent) == repr(arrived)


def test_long_and_strange_texts_arrive() -> None:
    arrived = _there_and_back(_raised(Unpicklable("\ud800" + "x" * 1_000_000)))

    assert len(str(arrived)) < 70_000
    assert "\\ud800" in str(_there_and_back(Unpicklable("\ud800")))


def test_a_very_long_chain_is_cut() -> None:
    error: BaseException = ValueError(0)
    for number in range(1, 200):
        error = _raised(ValueError(number), error)

    arrived: BaseException | None = _there_and_back(error)

    numbers = []
    while arrived is not None and not isinstance(arrived, RemoteTraceback):
        numbers.append(arrived.args[0])
        arrived = arrived.__cause__
    assert list(range(199, 199 - len(numbers), -1)) == numbers
    assert 30 <= len(numbers) <= 34


@pytest.mark.parametrize(
    "value", [5, [], ["text", []], ["text", [[None, "a"]]], [1, [[b"", 1, 1, 9, 9, True]]]], ids=repr
)
def test_what_is_no_error_is_refused(value: object) -> None:
    with pytest.raises(WireError):
        decode_error(encode(value))
    assert value == decode(encode(value))

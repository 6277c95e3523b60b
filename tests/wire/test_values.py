# SPDX-License-Identifier: Apache-2.0
"""A value arrives as it was sent, by type."""

from __future__ import annotations

import collections
import datetime as dt
import enum
import math
import threading
import uuid
from concurrent.futures import ThreadPoolExecutor
from decimal import Decimal
from fractions import Fraction
from typing import Any, NamedTuple

import msgpack
import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from actorpool._wire._codec import EncodeError, WireError, decode, decode_arguments, encode, encode_arguments
from tests.wire.values import ARRAYS, VALUES, exactly


class Colour(enum.IntEnum):
    RED = 1


class Point(NamedTuple):
    x: int
    y: int


class Text(str):
    __slots__ = ()


class Offset(dt.tzinfo):
    def utcoffset(self, when: dt.datetime | None) -> dt.timedelta:
        return dt.timedelta(hours=1)

    def dst(self, when: dt.datetime | None) -> None:
        return None

    def tzname(self, when: dt.datetime | None) -> None:
        return None

    def __repr__(self) -> str:
        return "Offset()"


class Node:
    def __init__(self, name: str) -> None:
        self.name = name
        self.other: Node | None = None


class Unpicklable:
    def __reduce__(self) -> str:
        raise ValueError("out of order")


class Unrepresentable:
    def __repr__(self) -> str:
        raise ValueError("no text")


def _there_and_back(value: Any, share_above: int = 1 << 20) -> Any:
    return decode(encode(value, share_above=share_above))


@given(VALUES, st.sampled_from([1 << 20, 30]))
def test_a_value_arrives_with_its_types(value: object, share_above: int) -> None:
    assert exactly(value) == exactly(_there_and_back(value, share_above))


@given(ARRAYS, st.sampled_from([1 << 20, 30]))
def test_an_array_arrives_with_type_shape_and_order(array: object, share_above: int) -> None:
    assert exactly(array) == exactly(_there_and_back(array, share_above))


@pytest.mark.parametrize(
    "value",
    [
        (),
        ((), [()], {(): ()}),
        {1: "int", "1": "str", (1, 2): "tuple", None: 0, b"1": b"", frozenset({1}): {1}},
        1 << 64,
        -(1 << 63) - 1,
        -(1 << 200),
        math.inf,
        -0.0,
        Decimal("-0.00"),
        Decimal("sNaN12"),
        Decimal("1E+999999"),
        dt.datetime.max.replace(fold=1),
        dt.timedelta.min,
        dt.timedelta.max,
        dt.UTC,
        uuid.UUID(int=1 << 127),
        uuid.UUID(int=5, is_safe=uuid.SafeUUID.safe),
        "\ud800",
        {"\udcff": ("\udc80",)},
        True,
        Colour.RED,
        [Colour.RED, 1, True, 1.0],
        Point(1, 2),
        Text("text"),
        collections.OrderedDict(b=1, a=2),
        collections.Counter("abc"),
        Fraction(1, 3),
        bytearray(b"\xc4"),
        [bytearray(), (bytearray(b"x"), {"k": bytearray(b"y")}, {b"z"})],
        msgpack.ExtType(42, b"x"),
        np.float64(1.5),
        np.ma.array([1, 2]),
        dt.datetime(2024, 1, 1, tzinfo=Offset()),
        dt.time(1, 2, tzinfo=Offset()),
        np.int8(-3),
        np.bool_(True),
        np.datetime64("2024-02-29T12:00", "s"),
        np.str_("text"),
        np.bytes_(b"a\x00b"),
        np.array(5),
        np.array([[], []]),
        np.array([1, None], dtype=object),
        np.zeros(3, dtype=[("a", "<i4"), ("b", "<f8")]),
    ],
    ids=lambda value: repr(value)[:40],
)
def test_what_is_easily_changed_on_the_way_is_not(value: object) -> None:
    assert exactly(value) == exactly(_there_and_back(value))
    assert exactly([(value,)]) == exactly(_there_and_back([(value,)], share_above=0))


def test_an_array_that_is_a_part_of_another_arrives_as_its_own() -> None:
    array = np.arange(24).reshape(2, 3, 4)[:, ::2, 1:]

    arrived = _there_and_back(array)

    assert array.tolist() == arrived.tolist()
    assert array.strides != arrived.strides


@pytest.mark.parametrize("share_above", [1 << 20, 10])
def test_an_array_that_arrives_may_be_written_to_as_before(share_above: int) -> None:
    frozen = np.arange(100)
    frozen.flags.writeable = False

    arrived, still_frozen, in_object = _there_and_back(
        [np.arange(100), frozen, collections.deque([np.arange(100)])], share_above
    )
    arrived[5] = -1
    in_object[0][5] = -1

    assert [-1, -1] == [arrived[5], in_object[0][5]]
    assert not still_frozen.flags.writeable


def test_two_references_to_an_object_are_two_references_to_one_object() -> None:
    node = Node("a")

    first, (second,) = _there_and_back([node, (node,)])

    assert first is second


@pytest.mark.parametrize("share_above", [1 << 20, 10])
def test_a_memoryview_arrives_as_bytes(share_above: int) -> None:
    view = memoryview(b"x" * 100)

    assert [b"x" * 100, {"k": b"x" * 50}] == _there_and_back([view, {"k": view[:50]}], share_above)
    assert {b"x" * 100: 1} == _there_and_back({view: 1}, share_above)


def test_an_object_may_contain_itself() -> None:
    node = Node("a")
    node.other = node

    arrived = _there_and_back({"node": node})["node"]

    assert arrived is arrived.other


def test_a_list_may_contain_itself() -> None:
    items: list[Any] = [1]
    items.append((items, {"self": items}))

    arrived = _there_and_back(items)

    assert arrived is arrived[1][0] is arrived[1][1]["self"]


def test_a_value_may_be_nested_deeper_than_msgpack_goes() -> None:
    value: list[Any] = []
    for _ in range(600):
        value = [value]

    assert value == _there_and_back(value)


def test_what_is_nested_too_deep_for_pickle_too_is_refused() -> None:
    value: Any = bytearray(b"x")
    for _ in range(100_000):
        value = [value]

    with pytest.raises(EncodeError, match="RecursionError"):
        encode(value)


def test_functions_that_only_cloudpickle_can_send_arrive() -> None:
    offset = 5

    def add(x: int) -> int:
        return x + offset

    arrived = _there_and_back({"nested": add, "lambda": lambda x: x * offset})

    assert (7, 10) == (arrived["nested"](2), arrived["lambda"](2))


@pytest.mark.parametrize(
    ("value", "path"),
    [
        (threading.Lock(), "the value"),
        ([1, (2, threading.Lock())], "the value[1][1]"),
        ({"a": {3: threading.Lock()}}, "the value['a'][3]"),
        ({(1, threading.Lock()): 1}, "the value key (1, <"),
        ([b"\xc4", {"view": threading.Lock()}], "the value[1]['view']"),
        ([Unpicklable()], "the value[0]"),
        ({3: Unpicklable()}, "the value[3]"),
    ],
    ids=["itself", "in-tuple", "in-dict", "in-key", "beside-bytes", "unpicklable", "unpicklable-in-dict"],
)
def test_a_value_that_cannot_be_sent_is_named_by_its_place(value: object, path: str) -> None:
    with pytest.raises(EncodeError) as caught:
        encode(value)

    error = caught.value
    assert path.partition("<")[0] == error.path.partition("<")[0]
    assert str(error).startswith(f"{error.path} cannot be sent to another process: ")
    assert error.cause is error.__cause__
    assert f"{type(error.cause).__name__}: {error.cause}" in str(error)


def test_the_argument_that_cannot_be_sent_is_named() -> None:
    with pytest.raises(EncodeError) as positional:
        encode_arguments((1, "x", {"lock": threading.Lock()}), {})
    with pytest.raises(EncodeError) as by_keyword:
        encode_arguments((1, [2]), {"ok": 1, "lock": [threading.Lock()]})

    assert ["argument 2['lock']", "argument 'lock'[0]"] == [positional.value.path, by_keyword.value.path]


def test_arguments_decode_to_a_tuple_and_a_dict() -> None:
    assert ((1, (2, 3)), {"x": [4]}) == decode_arguments(encode_arguments((1, (2, 3)), {"x": [4]}))


@pytest.mark.parametrize("value", [[], (1, {}), [1], {"x": 1}, None])
def test_what_holds_no_arguments_is_refused(value: object) -> None:
    with pytest.raises(WireError, match="no arguments"):
        decode_arguments(encode(value))


def test_a_key_without_a_text_is_no_obstacle_to_naming_its_value() -> None:
    with pytest.raises(EncodeError) as caught:
        encode({Unrepresentable(): threading.Lock()})

    assert caught.value.path.startswith("the value[<Unrepresentable instance")


def test_an_encoder_serves_on_after_a_refusal() -> None:
    for _ in range(3):
        with pytest.raises(EncodeError):
            encode([Node("a"), threading.Lock()])
        assert [(1, 2)] == _there_and_back([(1, 2)])


def test_many_threads_encode_and_decode_at_once() -> None:
    def there_and_back(number: int) -> bool:
        value = {"n": (number, Decimal(number)), "node": [number] * (number % 50)}
        return all(value == _there_and_back(value) for _ in range(50))

    with ThreadPoolExecutor(8) as pool:
        assert {True} == set(pool.map(there_and_back, range(32)))

# SPDX-License-Identifier: Apache-2.0
"""Malformed values are refused by type, before anything is unpickled."""

from __future__ import annotations

import pickle
import subprocess
import sys
from types import ModuleType
from typing import Any

import msgpack
import pytest
from attrs import evolve
from hypothesis import given
from hypothesis import strategies as st
from msgpack import ExtType

from actorpool._wire import _natives, _pickling
from actorpool._wire._blobs import Payload, share
from actorpool._wire._codec import DecodeError, EncodeError, WireError, decode, encode
from actorpool._wire._natives import TAG
from actorpool.exception import InvalidError
from tests.wire.values import VALUES

ENVELOPE = TAG[_natives.ENVELOPE]
NDARRAY = TAG[_natives.NDARRAY]


class Gone:
    """Its module will not have it any more."""


@pytest.fixture
def no_pickle(monkeypatch: pytest.MonkeyPatch) -> None:
    def refuse(*_: object, **__: object) -> object:
        raise AssertionError("pickle was reached")

    monkeypatch.setattr("actorpool._wire._codec.pickle.loads", refuse)


def _decode(value: object) -> object:
    return decode(Payload(msgpack.packb(value)))


@pytest.mark.usefixtures("no_pickle")
@pytest.mark.parametrize(
    "envelope",
    [
        [ENVELOPE, b"\x01", b"pickle", 5],
        [ENVELOPE, b"\x01", b"pickle", ["buffer"]],
        [ENVELOPE, b"\x01", b"pickle", [0]],
        [ENVELOPE, b"\x01", b"pickle", [-1]],
        [ENVELOPE, 0, b"pickle", []],
        [ENVELOPE, None, b"pickle", []],
        [ENVELOPE, "tree", b"pickle", []],
        [ENVELOPE, True, b"pickle", []],
        [ENVELOPE, b"\x01", 3, []],
        [ENVELOPE, b"\x01", {}, []],
        [ENVELOPE, b"\x01", [], []],
    ],
    ids=repr,
)
def test_a_malformed_envelope_does_not_reach_pickle(envelope: object) -> None:
    with pytest.raises(WireError):
        _decode(envelope)


@pytest.mark.usefixtures("no_pickle")
def test_an_envelope_that_was_cut_or_lengthened_does_not_reach_pickle() -> None:
    data = encode([Gone(), 1]).data

    for length in range(len(data)):
        with pytest.raises(WireError):
            decode(Payload(data[:length]))
    with pytest.raises(WireError):
        decode(Payload(data + b"\x00"))


@pytest.mark.parametrize(
    "value",
    [
        ExtType(_natives.TUPLE, b"x"),
        ExtType(127, b""),
        ExtType(_natives.PICKLED, b"\x00"),
        ExtType(_natives.UUID_, b"short"),
        ExtType(_natives.DATE, b"\x00\x00\x00\x00"),
        ExtType(_natives.DATETIME, b"\x07\xe8\x01\x01\x00\x00\x00\x00\x00\x00\x00\x00zNowhere"),
        ExtType(_natives.DECIMAL, b"one"),
        [TAG[_natives.SET], [1]],
        [TAG[_natives.BYTEARRAY]],
        [TAG[_natives.BYTEARRAY], 1 << 40],
        [NDARRAY, "<i4", [1], 0, b"123"],
        [NDARRAY, "<i4", [1 << 50], 0, b"1234"],
        [NDARRAY, "<i4", [1 << 40], 0, None],
        [NDARRAY, "O", [1], 0, b"12345678"],
        [NDARRAY, "no such type", [1], 0, b"1"],
        [TAG[_natives.NUMPY_SCALAR], "O", b"12345678"],
        [TAG[_natives.NUMPY_SCALAR], "<i4", b"123"],
        {ENVELOPE: 1},
    ],
    ids=repr,
)
def test_a_malformed_value_is_refused(value: object) -> None:
    with pytest.raises(WireError):
        _decode([value])


@pytest.mark.parametrize(
    "data", [b"", b"\x01\x01", b"\xc1", b"\x91" * 5000, b"\xdd\xff\xff\xff\xff", b"\x81\x90\x01", b"\xa1\xff"]
)
def test_what_is_no_value_is_refused(data: bytes) -> None:
    with pytest.raises(WireError):
        decode(Payload(data))


@given(VALUES, st.data())
def test_a_value_that_was_garbled_is_another_or_refused(value: object, data: st.DataObject) -> None:
    payload = encode(value)
    garbled = bytearray(payload.data)
    at = data.draw(st.integers(0, len(garbled) - 1))
    garbled[at] = data.draw(st.integers(0, 255))
    if garbled.startswith(b"\x94\xc7\x00"):
        # An envelope may hold a pickle, which is not for garbled bytes.
        return

    try:
        decode(evolve(payload, data=bytes(garbled)))
    except WireError:
        pass


def test_a_reference_to_a_blob_that_is_not_there_is_refused() -> None:
    tree = msgpack.packb([ExtType(_natives.BLOB_BYTES, (1).to_bytes(4, "big"))])
    blob = share(b"content")
    assert blob is not None

    with pytest.raises(WireError, match="IndexError"):
        decode(Payload(msgpack.packb([ENVELOPE, tree, None, []]), (blob,)))


def test_an_object_whose_class_is_gone_is_told(monkeypatch: pytest.MonkeyPatch) -> None:
    payload = encode({"gone": Gone()})
    monkeypatch.delattr(f"{__name__}.Gone")

    with pytest.raises(DecodeError, match="cannot be unpickled here: AttributeError") as caught:
        decode(payload)
    assert isinstance(caught.value.__cause__, AttributeError)


def test_what_only_cloudpickle_can_send_names_the_extra_where_it_is_missing(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setitem(sys.modules, "cloudpickle", None)

    with pytest.raises(
        EncodeError, match=r"argument_free\[1\] cannot .*pip install 'actorpool\[process\]'"
    ) as caught:
        encode([1, lambda: 1], name="argument_free")
    assert isinstance(caught.value.cause, InvalidError)


def test_a_text_that_names_main_needs_no_cloudpickle(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "cloudpickle", None)

    arrived = decode(encode([Gone, LookupError("module '__main__' has no attribute 'x'")]))

    assert arrived[0] is Gone


@pytest.mark.parametrize("member", ["Colour.RED", "double", "Colour", "[{1: Colour.RED}]"])
def test_whatever_main_defines_is_found(member: str, monkeypatch: pytest.MonkeyPatch) -> None:
    module = ModuleType("__main__")
    exec("import enum\nclass Colour(enum.Enum):\n    RED = 1\ndef double(x): return 2 * x", module.__dict__)
    monkeypatch.setitem(sys.modules, "__main__", module)
    monkeypatch.setitem(sys.modules, "cloudpickle", None)

    with pytest.raises(EncodeError, match="cloudpickle is needed"):
        encode(eval(member, module.__dict__))


@pytest.mark.slow
def test_classes_of_main_travel_by_value_and_come_back_as_themselves() -> None:
    """In a process of its own, whose `__main__` the other end does not have."""
    program = """
import subprocess, sys
from actorpool._wire._codec import Payload, decode, encode

class Point:
    def __init__(self, x):
        self.x = x

other = '''
import sys
from actorpool._wire._codec import Payload, decode, encode
point = decode(Payload(sys.stdin.buffer.read()))
point.x += 1
sys.stdout.buffer.write(encode(point).data)
'''
sent = encode(Point(1)).data
done = subprocess.run([sys.executable, "-c", other], input=sent, stdout=subprocess.PIPE, check=True)
point = decode(Payload(done.stdout))
print(type(point) is Point, point.x)
"""
    done = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True, check=True)

    assert "True 2\n" == done.stdout


@pytest.fixture
def unimportable() -> Any:
    module = ModuleType("made_here_only")
    exec("class Made:\n    x = 5", module.__dict__)
    sys.modules["made_here_only"] = module
    yield module
    sys.modules.pop("made_here_only", None)
    _pickling.cloudpickle().unregister_pickle_by_value(module)


def test_a_module_can_be_sent_by_value(unimportable: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(_pickling, "_by_value", _pickling._by_value)  # to be restored

    _pickling.send_by_value(unimportable)
    payload = encode([unimportable.Made()])
    del sys.modules["made_here_only"]
    sys.modules["made_here_only"] = ModuleType("made_here_only")
    arrived = decode(payload)[0]
    sys.modules["made_here_only"] = unimportable

    assert 5 == arrived.x


@pytest.mark.slow
def test_nothing_but_arrays_imports_numpy() -> None:
    program = """
import sys
from actorpool._wire import _codec, _connection, _errors
_codec.decode(_codec.encode([1, (2,), {3}]))
print([name for name in ("numpy", "cloudpickle") if name in sys.modules])
"""
    done = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True, check=True)

    assert "[]\n" == done.stdout


def test_a_plain_pickle_is_no_value() -> None:
    with pytest.raises(WireError):
        decode(Payload(pickle.dumps([1, 2], 5)))

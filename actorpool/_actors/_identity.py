# SPDX-License-Identifier: Apache-2.0
"""The ids of function calls and of their inputs, made up when they are first asked for.

An id is recognised as one of this process's without a record of it: half of its digits are a number, the other
half vouch for the number with a key that only this process has. So whoever gave out an id need not keep it, and
nobody can guess another. A process container is lent the key and numbers of its own: its ids are this process's.
It is told the first half of the id of a call whose id nobody has asked for, and makes the rest if code there does.
"""

from __future__ import annotations

import os
import threading
from itertools import count
from typing import TYPE_CHECKING, Any, Final

from actorpool._core._batch import Batch

if TYPE_CHECKING:
    from collections.abc import Callable

    from actorpool._core._input import Input

__all__ = [
    "CallIdentity",
    "borrow_ids",
    "call_id_of",
    "call_name_of",
    "identity_of",
    "input_id",
    "input_id_of",
    "is_genuine",
    "lend_ids",
]

_PREFIX: Final = "fc-"
_DIGITS: Final = 12
_MOST: Final = 1 << (4 * _DIGITS)
# How many numbers a process container is lent.
_BLOCK: Final = 1 << 28
_first: Final = int.from_bytes(os.urandom(_DIGITS // 2)) >> 1
_blocks: Final = count(1)
# The caller and the input may ask for the id at once, on two threads: both are to get the same.
_naming: Final = threading.Lock()


class _Ids:
    """What ids are made from."""

    def __init__(self) -> None:
        self.key = os.urandom(16)
        self.numbers = count(_first)

    def voucher(self, number: str) -> str:
        # Here, because importing the package gives out no id.
        from actorpool._wire._vouchers import voucher

        return voucher(number, self.key)


_ids: Final = _Ids()


class CallIdentity:
    """The id of a function call, and who has seen its outcomes; the inputs of a map share one."""

    __slots__ = ("__weakref__", "_name", "_observed", "_value", "handle")

    def __init__(self, handle: Callable[[], Any] | None = None, value: str | None = None) -> None:
        # The first half of the id, which is all that a message needs to say; and the id.
        self._name: str | None = None
        self._value: str | None = value
        self._observed: set[int] | None = None
        self.handle: Callable[[], Any] | None = handle
        """Returns the handle to a spawned map, which one input does not make; None if it is gone, or not made yet."""

    @property
    def value(self) -> str:
        """The id: "fc-" and 24 hexadecimal digits."""
        with _naming:
            if self._value is None:
                name = self._named()
                self._value = name + _ids.voucher(name.removeprefix(_PREFIX))
            return self._value

    def _named(self) -> str:
        """Return the first half of the id; the caller holds the lock."""
        if self._name is None:
            self._name = f"{_PREFIX}{next(_ids.numbers) % _MOST:0{_DIGITS}x}"
        return self._name

    def observe(self, index: int) -> bool:
        """Note that the outcome of the input at `index` has been seen; return whether that is news."""
        if self._observed is None:
            self._observed = set()
        if index in self._observed:
            return False
        self._observed.add(index)
        return True


def is_genuine(call_id: str) -> bool:
    """Return whether this process has given out `call_id`."""
    from hmac import compare_digest

    digits = call_id.removeprefix(_PREFIX)
    number, voucher = digits[:_DIGITS], digits[_DIGITS:]
    return compare_digest(voucher.encode(), _ids.voucher(number).encode())


def lend_ids() -> tuple[bytes, int]:
    """Return what another process makes ids from that are this one's; for its `borrow_ids`."""
    return _ids.key, (_first + next(_blocks) * _BLOCK) % _MOST


def borrow_ids(key: bytes, first: int) -> None:
    """Make ids from now on from what another process has lent."""
    _ids.key, _ids.numbers = key, count(first)


def identity_of(input: Input) -> CallIdentity:
    """Return the identity of the function call that `input` belongs to; a batch shows that of its first input."""
    if isinstance(input, Batch):
        input = input.members[0]
    with _naming:
        if input.identity is None:
            input.identity = CallIdentity()
        identity: CallIdentity = input.identity
    return identity


def call_id_of(input: Input) -> str:
    """Return the id of the function call that `input` belongs to."""
    return identity_of(input).value


def call_name_of(input: Input) -> str:
    """Return the id of the call that `input` belongs to or, if it was not asked for, its first half."""
    if isinstance(input, Batch):
        input = input.members[0]
    with _naming:
        identity: CallIdentity | None = input.identity
        if identity is None:
            identity = input.identity = CallIdentity()
        return identity._value or identity._named()


def input_id_of(input: Input) -> str:
    """Return the id of `input`."""
    return input_id(identity_of(input), input.index)


def input_id(identity: CallIdentity, index: int) -> str:
    """Return the id of the input at `index` of a call: that of its call, and its place in it."""
    return f"in-{identity.value[len(_PREFIX) :]}-{index}"

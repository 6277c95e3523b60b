# SPDX-License-Identifier: Apache-2.0
"""Pickle for what has no form of its own on the wire: the standard one first, cloudpickle where that refuses.

Plain pickle sends classes and functions by reference, which another process can only follow into modules that it
can import. So what refers to a module of `__main__`'s kind is pickled again by cloudpickle, by value; a class that
travels so and comes back is the same class again. cloudpickle is an extra and is imported when it is needed.
"""

from __future__ import annotations

import pickle
from types import FunctionType
from typing import TYPE_CHECKING, Any

from actorpool.exception import InvalidError

if TYPE_CHECKING:
    from types import ModuleType

__all__ = ["cloudpickle", "dumps", "send_by_value"]

_by_value: frozenset[str] = frozenset({"__main__"})


def send_by_value(module: ModuleType) -> None:
    """From now on pickle by value what is defined in this module, which other processes cannot import.

    Raises:
        InvalidError: If cloudpickle is not installed.
    """
    global _by_value  # noqa: PLW0603 - one setting of the process, as cloudpickle's own
    cloudpickle().register_pickle_by_value(module)
    _by_value |= {module.__name__}


def dumps(value: object, share_above: int) -> tuple[bytes, list[pickle.PickleBuffer]]:
    """Pickle a value.

    Returns:
        The pickle, and the buffers of more than `share_above` bytes that it refers to.

    Raises:
        Exception: Whatever a refusal may be; of an object's own methods it can be any.
    """
    buffers: list[pickle.PickleBuffer] = []

    def in_band(buffer: pickle.PickleBuffer) -> bool:
        if buffer.raw().nbytes <= share_above:
            return True
        buffers.append(buffer)
        return False

    try:
        data = pickle.dumps(value, 5, buffer_callback=in_band)
    except Exception as refusal:
        buffers.clear()
        try:
            pickler = cloudpickle()
        except InvalidError as missing:
            raise InvalidError(f"{type(refusal).__name__}: {refusal}. {missing}") from refusal
        return pickler.dumps(value, protocol=5, buffer_callback=in_band), buffers
    # The name may as well be in a text, which costs a second look.
    if any(name.encode() in data for name in _by_value) and _is_from(_by_value, value):
        buffers.clear()
        data = cloudpickle().dumps(value, protocol=5, buffer_callback=in_band)
    return data, buffers


def _is_from(modules: frozenset[str], value: object) -> bool:
    """Whether a picklable value refers to something that is defined in one of these modules."""
    try:
        _Detector(modules).dump(value)
    except _Found:
        return True
    return False


class _Found(BaseException):
    """No `Exception`, so that no method of the value's catches it."""


class _Detector(pickle.Pickler):
    """Pickles into nothing."""

    def __init__(self, modules: frozenset[str]) -> None:
        super().__init__(_Nowhere(), 5, buffer_callback=lambda _: False)
        self._modules = modules

    def reducer_override(self, obj: object) -> Any:
        if isinstance(obj, type | FunctionType) and obj.__module__ in self._modules:
            raise _Found
        return NotImplemented


class _Nowhere:
    def write(self, data: bytes) -> int:
        return len(data)


def cloudpickle() -> Any:
    """The module cloudpickle, which has no types.

    Raises:
        InvalidError: If it is not installed.
    """
    try:
        import cloudpickle as module
    except ImportError:
        raise InvalidError(
            "cloudpickle is needed to send what is defined in __main__ or inside of a function to another process; "
            "install it by: pip install 'actorpool[process]'"
        ) from None
    return module

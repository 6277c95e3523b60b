# SPDX-License-Identifier: Apache-2.0
"""How the user's code gets into another process: by import path where that leads to it, by value otherwise.

Theory of operation. A workload is pickled as a whole, with three additions to what cloudpickle does. A function or
class that stands behind a handle (its module's name for it means the handle, not itself) goes as its import path,
and is taken from behind the handle over there. A module that a fresh interpreter would not find, such as a file
that was loaded by path, is treated like `__main__`: what is defined in it goes by value. A context variable goes
as the place of its name, so that code and context of an input mean the same one.

A handle says with `__reduce__` how it travels itself. What can be imported from where is known to `_places`.
"""

from __future__ import annotations

import functools
import io
import pickle
import sys
from contextvars import ContextVar
from types import FunctionType, ModuleType
from typing import TYPE_CHECKING, Any
from weakref import WeakKeyDictionary

from actorpool._wire._pickling import cloudpickle, send_by_value
from actorpool.exception import InvalidError

from ._places import is_importable, look, place_of_target, raw_at
from ._variables import reduced_variable
from ._workload import Workload

if TYPE_CHECKING:
    from collections.abc import Iterator

__all__ = ["modules_of", "pack_workload", "unpack_workload"]


def pack_workload(workload: Workload) -> bytes:
    """Return the workload for `unpack_workload` in another process.

    It is packed once: what its code refers to is as it was then.

    Raises:
        InvalidError: If its code refers to something that cannot be sent; the message says what.
    """
    return _packed(workload)[0]


def modules_of(workload: Workload) -> tuple[str, ...]:
    """Return the modules that `unpack_workload` imports, so that a template may do it once.

    Raises:
        InvalidError: As `pack_workload`.
    """
    return _packed(workload)[1]


def unpack_workload(data: bytes) -> Workload:
    """Undo `pack_workload`.

    Raises:
        BaseException: Whatever the user's modules raise when they are imported.
    """
    workload = pickle.loads(data)
    assert isinstance(workload, Workload)
    return workload


# {workload: what `_packed` returns}: its pool asks for each container.
_known: WeakKeyDictionary[Workload, tuple[bytes, tuple[str, ...]]] = WeakKeyDictionary()


def _packed(workload: Workload) -> tuple[bytes, tuple[str, ...]]:
    known = _known.get(workload)
    if known is None:
        known = _known[workload] = _pack(workload)
    return known


def _pack(workload: Workload) -> tuple[bytes, tuple[str, ...]]:
    packer = _Packer()
    try:
        data = packer.dumps(workload)
    except Exception as error:
        raise InvalidError(
            f"'{workload.name}' cannot run in a process of its own: {_culprit(workload)}cannot be sent there "
            f"({type(error).__name__}: {error}); make it inside the function or in an enter hook, or put the code "
            "into a module that can be imported"
        ) from error
    return data, tuple(packer.modules)


class _Packer:
    """Pickles one thing, and keeps which modules the other side imports for it."""

    def __init__(self) -> None:
        # {module}, in the order of their need.
        self.modules: dict[str, None] = {}

    def dumps(self, thing: object) -> bytes:
        """Return `thing` as bytes; by cloudpickle, or without it as far as everything can be imported."""
        missing: InvalidError | None = None
        try:
            base = cloudpickle().Pickler
        except InvalidError as error:
            missing, base = error, pickle.Pickler
        buffer = io.BytesIO()
        pickler = _pickler(base)(buffer, pickle.HIGHEST_PROTOCOL)
        pickler.reduced = self._reduced
        try:
            pickler.dump(thing)
        except Exception as error:
            # Objects of the user's say how they are pickled, and may raise anything.
            if missing is not None:
                raise missing from error
            raise
        return buffer.getvalue()

    # Any: what pickle takes and gives.
    def _reduced(self, thing: Any) -> Any:
        """Return what pickle is told to do with `thing`; None to let it decide."""
        if isinstance(thing, (FunctionType, type)):
            place = place_of_target(thing)
            if place is not None:
                self._need(place[0])
                if look(*place) is not thing:
                    return raw_at, place
            _check_module(thing.__module__)
        elif isinstance(thing, ModuleType):
            if is_importable(thing.__name__):
                self._need(thing.__name__)
            _check_module(thing.__name__)
        elif isinstance(thing, ContextVar):
            return reduced_variable(thing)
        return None

    def _need(self, module: str) -> None:
        if module.partition(".")[0] not in ("builtins", "actorpool", "cloudpickle"):
            self.modules[module] = None


@functools.cache
def _pickler(base: Any) -> Any:
    class Pickler(base):  # type: ignore[misc]
        def reducer_override(self, thing: Any) -> Any:
            found = self.reduced(thing)
            if found is not None:
                return found
            return super().reducer_override(thing) if hasattr(base, "reducer_override") else NotImplemented

    return Pickler


def _check_module(name: object) -> None:
    """See to it that what another process would not find is sent by value: every module is taken for found."""
    module = sys.modules.get(name) if isinstance(name, str) else None
    if module is not None and name != "__main__" and not is_importable(module.__name__):
        send_by_value(module)


def _culprit(workload: Workload) -> str:
    """Return what to say of the variable that cannot be sent, if it can be told."""
    functions = [target.function for target in workload.targets]
    functions += [hook.function for hook in (*workload.enter, *workload.exit)]
    for function in functions:
        for name, value in _variables_of(function):
            try:
                _Packer().dumps(value)
            except Exception:
                # Whatever it says: this is the one that fails.
                return f"'{name}', which its code refers to, "
    return "something that its code refers to "


def _variables_of(function: Any) -> Iterator[tuple[str, Any]]:
    if isinstance(function, FunctionType):
        code = function.__code__
        for name in code.co_names:
            if name in function.__globals__:
                yield name, function.__globals__[name]
        for name, cell in zip(code.co_freevars, function.__closure__ or (), strict=True):
            try:
                yield name, cell.cell_contents
            except ValueError:
                # Not assigned yet.
                continue

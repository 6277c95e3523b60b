# SPDX-License-Identifier: Apache-2.0
"""Context variables between processes: which of the caller's an input takes along, and how they are named.

A context variable has no name that another process could use, so it is looked for: the module and attribute that
hold it are its name. One that nobody holds by name, such as a local of a function, gets a number when it is sent
as part of the code, and is known by that. What cannot be named, and values that cannot be sent, stay behind.
"""

from __future__ import annotations

import importlib
import itertools
import sys
from contextvars import Context, ContextVar
from typing import TYPE_CHECKING, Any, Final

from actorpool._host._context import current_input
from actorpool._wire._codec import decode, encode
from actorpool._wire._faults import EncodeError

if TYPE_CHECKING:
    from collections.abc import Callable

    from actorpool._wire._blobs import Payload

__all__ = ["pack_context", "reduced_variable", "unpack_context", "variable_at"]

_Name = tuple[str, str]

# Module of the variables that have a number for a name: no module of that name can be.
_NUMBERED: Final = "<numbered>"

# {variable: (its name or None, how many modules there were when it was looked for)}
_names: dict[ContextVar[Any], tuple[_Name | None, int]] = {current_input: (None, sys.maxsize)}
_numbers: Final = itertools.count(1)
# {name: variable} of those that came with the code and are in no module here.
_made: dict[_Name, ContextVar[Any]] = {}


def pack_context(context: Context) -> Payload | None:
    """Return the variables of `context` that another process can be told of; None if there is none. Threads: any."""
    values: dict[_Name, Any] = {}
    for variable, value in context.items():
        name = _name_of(variable)
        if name is not None:
            values[name] = value
    if not values:
        return None
    try:
        return encode(values)
    except EncodeError:
        sendable = {name: value for name, value in values.items() if _is_sendable(value)}
        return encode(sendable) if sendable else None


def unpack_context(payload: Payload | None, into: Context | None = None) -> Context:
    """Return a context with those variables of `payload` that are known here.

    Args:
        payload: What `pack_context` made.
        into: A context that is to get them; no module is imported for that.
    """
    context = Context() if into is None else into
    if payload is not None:
        values = decode(payload)
        assert isinstance(values, dict)
        for (module, attribute), value in values.items():
            known = into is None or module in sys.modules or module == _NUMBERED
            variable = _find(module, attribute) if known else None
            if variable is not None:
                context.run(variable.set, value)
    return context


def reduced_variable(variable: ContextVar[Any]) -> tuple[Callable[..., ContextVar[Any]], tuple[Any, ...]]:
    """Return how pickle is to remake `variable` in another process: the same one each time."""
    name = _name_of(variable)
    if name is None:
        # Kept in `_names`, as an input's context may hold a value of it later.
        name = (_NUMBERED, f"{variable.name} {next(_numbers)}")
        _names[variable] = (name, sys.maxsize)
    try:
        # In a context without it, it says its default.
        default = (Context().run(variable.get),)
    except LookupError:
        return variable_at, (*name, variable.name)
    return variable_at, (*name, variable.name, *default)


def variable_at(module: str, attribute: str, called: str, *default: Any) -> ContextVar[Any]:
    """Return the variable of that name, made if no module has it."""
    found = _find(module, attribute)
    if found is None:
        found = ContextVar(called, default=default[0]) if default else ContextVar(called)
        _made[module, attribute] = found
    return found


def _find(module: str, attribute: str) -> ContextVar[Any] | None:
    made = _made.get((module, attribute))
    if made is not None or module in (_NUMBERED, "__main__"):
        return made
    holder = sys.modules.get(module)
    if holder is None:
        try:
            holder = importlib.import_module(module)
        except Exception:
            # Not to be found here, or not to be imported: the variable stays behind.
            return None
    found = getattr(holder, attribute, None)
    return found if isinstance(found, ContextVar) else None


def _name_of(variable: ContextVar[Any]) -> _Name | None:
    known = _names.get(variable)
    # Not found may mean: not imported yet.
    if known is not None and (known[0] is not None or known[1] >= len(sys.modules)):
        return known[0]
    name = _search(variable)
    _names[variable] = (name, len(sys.modules))
    return name


def _search(variable: ContextVar[Any]) -> _Name | None:
    for module_name, module in list(sys.modules.items()):
        try:
            attributes = list(vars(module).items())
        except TypeError:
            # Something odd that stands in for a module.
            continue
        for attribute, value in attributes:
            if value is variable:
                return module_name, attribute
    return None


def _is_sendable(value: object) -> bool:
    try:
        encode(value)
    except EncodeError:
        return False
    return True

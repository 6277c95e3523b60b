# SPDX-License-Identifier: Apache-2.0
"""What `FILE::NAME` means: the module it loads, what can be run in it, and which of that is meant.

Nothing is run here, save the module itself when it is loaded.
"""

from __future__ import annotations

import importlib
import inspect
import re
import sys
from collections.abc import Iterator
from importlib.machinery import SourceFileLoader
from importlib.util import module_from_spec, spec_from_file_location
from pathlib import Path
from types import ModuleType
from typing import Any, ClassVar, Final

from attrs import define, field, frozen

from actorpool._lifecycle import Lifecycle
from actorpool._method import MISSING
from actorpool._sources import FunctionSource
from actorpool.app import App, LocalEntrypoint
from actorpool.cls import Cls
from actorpool.function import Function

from ._arguments import Given, Parameter, Signature, signature_of
from ._errors import CommandError

__all__ = ["Entrypoint", "PooledFunction", "PooledMethod", "Reference", "Runnable", "find"]

_SINGLE_COLON: Final = re.compile(r"(?P<file>.+?[^:]):(?P<name>[A-Za-z_][\w.]*)")
_MODULE: Final = re.compile(r"[A-Za-z_]\w*(\.[A-Za-z_]\w*)*")


@frozen
class Reference:
    """`FILE::NAME`, or `-m MODULE::NAME`."""

    place: str
    name: str
    is_module: bool

    @classmethod
    def read(cls, text: str, *, is_module: bool) -> Reference:
        """Read what stands on the command line.

        Raises:
            CommandError: If a single colon, or `-m`, is missing or too many; it says what to write.
        """
        place, _, name = text.partition("::")
        dash_m = "-m " if is_module else ""
        if "::" not in text and not Path(place).exists() and (single := _SINGLE_COLON.fullmatch(place)):
            raise CommandError(
                f"write two colons before the name: {dash_m}{single['file']}::{single['name']}"
            )
        if is_module and (place.endswith(".py") or not _MODULE.fullmatch(place)):
            raise CommandError(
                f"-m wants a module such as pkg.mod, and {place!r} is not one; for a file leave out -m"
            )
        return cls(place, name, is_module)

    def __str__(self) -> str:
        return f"-m {self.place}" if self.is_module else self.place

    def load(self) -> ModuleType:
        """Import the module, with the current folder and the file's own on `sys.path`.

        Raises:
            CommandError: If there is no such file or module.
            BaseException: Whatever the module raises.
        """
        _put_on_path(Path.cwd())
        if not self.is_module:
            return _load_file(Path(self.place))
        try:
            return importlib.import_module(self.place)
        except ModuleNotFoundError as error:
            if error.name is None or not f"{self.place}.".startswith(f"{error.name}."):
                # A module that it imports is missing.
                raise
            raise CommandError(f"there is no module '{error.name}', from {Path.cwd()} or installed") from None


def _put_on_path(folder: Path) -> None:
    if str(folder) not in sys.path:
        sys.path.insert(0, str(folder))


def _load_file(path: Path) -> ModuleType:
    if path.is_dir():
        raise CommandError(f"'{path}' is a folder; name a file in it, or its module after -m")
    if not path.is_file():
        raise CommandError(f"there is no file '{path}'{_hint(path)}")
    path = path.resolve()
    _put_on_path(path.parent)
    # A file may be called like a module that is in use: queue.py must not take the place of the library's.
    name = path.stem if path.stem not in sys.modules else f"{path.stem} of actorpool run"
    spec = spec_from_file_location(name, path, loader=SourceFileLoader(name, str(path)))
    assert spec is not None
    assert spec.loader is not None
    module = sys.modules[name] = module_from_spec(spec)
    try:
        spec.loader.exec_module(module)
    except BaseException:
        del sys.modules[name]
        raise
    return module


def _hint(path: Path) -> str:
    text = str(path)
    with_suffix = path.with_name(path.name + ".py")
    if with_suffix.is_file():
        return f"; did you mean '{with_suffix}'?"
    if _MODULE.fullmatch(text) and not text.endswith(".py"):
        return f"; if '{text}' is a module, write -m {text}"
    return f" in {Path.cwd()}" if not path.is_absolute() else ""


@define(eq=False)
class _Found:
    """What each kind has: the life of its app, and its names."""

    life: Lifecycle
    names: list[str] = field(factory=list, init=False)
    """What it may be called on the command line, the best name first."""
    registered: list[str] = field(factory=list, init=False)
    """What its app knows it by, where that is not the name of a variable."""


@define(eq=False)
class Entrypoint(_Found):
    """A local entrypoint: runs in the caller."""

    entrypoint: LocalEntrypoint[..., Any]
    kind: ClassVar = "local entrypoint"

    @property
    def about(self) -> str:
        """Its docstring."""
        return inspect.getdoc(self.entrypoint.function) or ""

    def signature(self) -> Signature:
        """Return what it takes.

        Raises:
            CommandError: If that has no form on a command line, or it cannot be run at all.
        """
        function, name = self.entrypoint.function, self.entrypoint.name
        if inspect.isgeneratorfunction(function) or inspect.isasyncgenfunction(function):
            raise CommandError(
                f"local entrypoint '{name}' is a generator function, which nobody would iterate over"
            )
        return signature_of(function, name)

    def call(self, given: Given) -> Any:
        """Call it here; an asynchronous one returns its coroutine."""
        args, kwargs = given.arguments(self.signature())
        return self.entrypoint.function(*args, **kwargs)


@define(eq=False)
class PooledFunction(_Found):
    """A function of an app: runs in its pool."""

    function: Function[..., Any, Any]
    kind: ClassVar = "function"

    @property
    def about(self) -> str:
        """Its docstring."""
        return inspect.getdoc(self.function.get_raw_f()) or ""

    def signature(self) -> Signature:
        """Return what it takes.

        Raises:
            CommandError: If that has no form on a command line, or it cannot be run at all.
        """
        raw = self.function.get_raw_f()
        _check_no_generator(
            self.function.name, inspect.isgeneratorfunction(raw) or inspect.isasyncgenfunction(raw)
        )
        return signature_of(raw, self.function.name)

    def handle(self, given: Given) -> tuple[Function[..., Any, Any], tuple[Any, ...], dict[str, Any]]:
        """Return what to call through its pool, and with which arguments."""
        return self.function, *given.arguments(self.signature())


@define(eq=False)
class PooledMethod(_Found):
    """A method of a class of an app: runs in the pool of the parameters given."""

    cls: Cls
    method: str
    kind: ClassVar = "method"

    @property
    def about(self) -> str:
        """Its docstring."""
        return inspect.getdoc(self.cls.definition.methods[self.method].function) or ""

    def signature(self) -> Signature:
        """Return what it takes.

        Raises:
            CommandError: If that has no form on a command line, or it cannot be run at all.
        """
        return self._constructor().pooled(self._method())

    def handle(self, given: Given) -> tuple[Function[..., Any, Any], tuple[Any, ...], dict[str, Any]]:
        """Return what to call through its pool, and with which arguments."""
        args, kwargs = given.arguments(self._constructor())
        function: Function[..., Any, Any] = getattr(self.cls(*args, **kwargs), self.method)
        return function, *given.arguments(self._method())

    def _constructor(self) -> Signature:
        definition = self.cls.definition
        if definition.has_init:
            owner = next(base for base in definition.user_cls.__mro__ if "__init__" in vars(base))
            return signature_of(vars(owner)["__init__"], definition.name, skip=1)
        return Signature(
            definition.name,
            tuple(
                Parameter(
                    name, annotation, inspect.Parameter.empty if found.default is MISSING else found.default
                )
                for name, (found, annotation) in definition.parameters.items()
                if found.init
            ),
        )

    def _method(self) -> Signature:
        method = self.cls.definition.methods[self.method]
        owner = f"{self.cls.name}.{self.method}"
        _check_no_generator(owner, method.is_generator)
        return signature_of(method.function, owner, skip=1)


Runnable = Entrypoint | PooledFunction | PooledMethod
"""Something the command can run."""


def _check_no_generator(name: str, is_generator: bool) -> None:
    if is_generator:
        raise CommandError(
            f"'{name}' is a generator function, and the command runs what has one result; "
            "write a local entrypoint that iterates over it"
        )


def find(module: ModuleType, reference: Reference) -> Runnable:
    """Return what the reference means in `module`.

    Raises:
        CommandError: If there is no such thing, or without a name several; it lists them.
    """
    found = _runnables(module)
    where = f"{str(reference)!r}" if not reference.is_module else f"module '{reference.place}'"
    if not found:
        raise CommandError(
            f"{where} has no function or local entrypoint of an app at module level: there should be an "
            "`app = App(...)` in it with an @app.local_entrypoint() or an @app.function()"
        )
    chosen = _named(found, reference.name) if reference.name else found
    if not chosen:
        raise CommandError(f"{where} has no '{reference.name}'; it has:\n{_listing(found, reference)}")
    inferred = _inferred(chosen)
    if inferred is None:
        part = f"'{reference.name}' of {where}" if reference.name else where
        raise CommandError(f"{part} may mean one of several; name it:\n{_listing(chosen, reference)}")
    return inferred


def _listing(found: list[Runnable], reference: Reference) -> str:
    lines = [(f"{reference}::{one.names[0]}", one.kind) for one in found]
    width = max(len(line) for line, _ in lines)
    return "\n".join(f"  actorpool run {line:{width}}  ({kind})" for line, kind in lines)


def _named(found: list[Runnable], name: str) -> list[Runnable]:
    """Return those called `name`, or else those of the app or class called so."""
    exact = [one for one in found if name in one.names]
    below = [one for one in found if any(known.startswith(f"{name}.") for known in one.names)]
    return exact or below or [one for one in found if name in one.registered]


def _inferred(found: list[Runnable]) -> Runnable | None:
    """Return the only local entrypoint, or else the only function; module-level ones go first."""
    entrypoints = [one for one in found if isinstance(one, Entrypoint)]
    candidates = entrypoints or found
    at_module_level = [one for one in candidates if _is_at_module_level(one)]
    group = at_module_level or candidates
    return group[0] if len(group) == 1 else None


def _is_at_module_level(one: Runnable) -> bool:
    return one.names[0].count(".") == (1 if isinstance(one, PooledMethod) else 0)


def _runnables(module: ModuleType) -> list[Runnable]:
    """Return all that can be run, in order of definition, each with all its names."""
    found: dict[tuple[int, str], Runnable] = {}
    variables = vars(module).items()
    for name, thing in variables:
        for suffix, runnable in _of(thing):
            found.setdefault((id(thing), suffix), runnable).names.append(name + suffix)
    for app_name, app in variables:
        for name, thing in _held(app):
            for suffix, runnable in _of(thing):
                known = found.setdefault((id(thing), suffix), runnable)
                known.names.append(f"{app_name}.{name}{suffix}")
                known.registered.append(name + suffix)
    return list(found.values())


def _held(thing: object) -> Iterator[tuple[str, object]]:
    if isinstance(thing, App):
        yield from thing.registered_entrypoints.items()
        yield from thing.registered_functions.items()
        yield from thing.registered_classes.items()


def _of(thing: object) -> Iterator[tuple[str, Runnable]]:
    """Yield what can be run of a module's attribute: (what to put behind its name, the runnable)."""
    if isinstance(thing, LocalEntrypoint):
        yield "", Entrypoint(thing.app._life, thing)
    elif isinstance(thing, Function):
        # Others were looked up by name, or are methods.
        if type(thing._source) is FunctionSource:
            yield "", PooledFunction(thing._source.life(), thing)
    elif isinstance(thing, Cls):
        life = thing._life
        # Others are variants of it.
        if isinstance(life, Lifecycle) and life.class_named(thing.name) is thing:
            for method in thing.definition.methods:
                yield f".{method}", PooledMethod(life, thing, method)

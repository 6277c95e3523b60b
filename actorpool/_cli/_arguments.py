# SPDX-License-Identifier: Apache-2.0
"""Options from annotations: what a function's parameters look like on a command line.

Every parameter is an option `--its-name`. Parameters that are not given are left to the function's own defaults,
which therefore keep their type. Nothing here knows of apps; nothing here calls the function.
"""

from __future__ import annotations

import argparse
import inspect
import types
import typing
from collections.abc import Callable, Iterable, Sequence
from datetime import datetime
from typing import Any, Final, Literal, NoReturn, Union

from attrs import field, frozen

from ._errors import CommandError

__all__ = ["Given", "Parameter", "Parser", "Signature", "joined", "parse", "signature_of"]

_NONE: Final = inspect.Parameter.empty


@frozen
class Parameter:
    """One parameter that becomes an option."""

    name: str
    annotation: Any = _NONE
    default: Any = _NONE
    positional_only: bool = False


@frozen
class Signature:
    """What a function takes, as far as a command line can give it."""

    owner: str
    """The function's name, for messages."""
    parameters: tuple[Parameter, ...]
    takes_words: bool = False
    """Whether it takes all remaining words as they are (`*args`)."""

    def pooled(self, other: Signature) -> Signature:
        """Return one signature with the parameters of both; a constructor's and a method's.

        Raises:
            CommandError: If a name is in both, or words cannot be told from options.
        """
        mine = {parameter.name for parameter in self.parameters}
        for parameter in other.parameters:
            if parameter.name in mine:
                raise CommandError(
                    f"'{self.owner}' and '{other.owner}' both have a parameter '{parameter.name}', which would be one "
                    "option; rename one of them, or write a local entrypoint"
                )
        if other.takes_words and self.parameters:
            raise CommandError(
                f"'{other.owner}' takes *args, all remaining words, so '{self.owner}' cannot have options; "
                "write a local entrypoint"
            )
        return Signature(other.owner, (*self.parameters, *other.parameters), other.takes_words)


@frozen
class Given:
    """What the command line says: the options that were given, and the words of `*args`."""

    values: dict[str, Any] = field(factory=dict)
    words: tuple[str, ...] = ()

    def arguments(self, signature: Signature) -> tuple[tuple[Any, ...], dict[str, Any]]:
        """Return `(args, kwargs)` to call the function of `signature` with."""
        positional = [parameter for parameter in signature.parameters if parameter.positional_only]
        args = [self.values.get(parameter.name, parameter.default) for parameter in positional]
        names = {parameter.name for parameter in signature.parameters if not parameter.positional_only}
        kwargs = {name: value for name, value in self.values.items() if name in names}
        return (*args, *(self.words if signature.takes_words else ())), kwargs


def signature_of(function: Callable[..., Any], owner: str, *, skip: int = 0) -> Signature:
    """Return the signature of `function`, less its first `skip` parameters.

    Raises:
        CommandError: If a parameter has no place on a command line, or an annotation cannot be evaluated.
    """
    found = list(inspect.signature(function).parameters.values())[skip:]
    annotations = _evaluated(function, owner, found)
    parameters: list[Parameter] = []
    words: inspect.Parameter | None = None
    for parameter in found:
        if parameter.kind is parameter.VAR_POSITIONAL:
            words = parameter
        elif parameter.kind is parameter.VAR_KEYWORD:
            raise CommandError(
                f"'{owner}' takes **{parameter.name}, which cannot be options; name the parameters one by one"
            )
        else:
            parameters.append(
                Parameter(
                    parameter.name,
                    annotations.get(parameter.name, _NONE),
                    parameter.default,
                    parameter.kind is parameter.POSITIONAL_ONLY,
                )
            )
    if words is not None and parameters:
        raise CommandError(
            f"'{owner}' takes *{words.name}, all remaining words, and cannot have other parameters beside it: "
            + ", ".join(f"'{parameter.name}'" for parameter in parameters)
        )
    return Signature(owner, tuple(parameters), words is not None)


def _evaluated(
    function: Callable[..., Any], owner: str, parameters: Iterable[inspect.Parameter]
) -> dict[str, Any]:
    """Return the annotations of `parameters`, those that are strings evaluated."""
    written = {p.name: p.annotation for p in parameters if p.annotation is not _NONE}
    # Not the function itself: of its return value's annotation nobody wants to know.
    holder = types.SimpleNamespace(__annotations__=written)
    scope = getattr(inspect.unwrap(function), "__globals__", {})
    try:
        return typing.get_type_hints(holder, globalns=scope)
    except Exception as error:
        # Annotations are the user's expressions and may raise anything.
        raise CommandError(
            f"the annotations of '{owner}' cannot be evaluated, so it has no options: {error}"
        ) from error


@frozen
class _Kind:
    """How a word becomes a value."""

    metavar: str
    convert: Callable[[str], Any] = str
    is_flag: bool = False
    choices: tuple[Any, ...] | None = None


def _moment(word: str) -> datetime:
    try:
        return datetime.fromisoformat(word)
    except ValueError:
        raise argparse.ArgumentTypeError(
            f"{word!r} is not a date such as 2026-01-31 or 2026-01-31T12:30:00"
        ) from None


_KINDS: Final[dict[Any, _Kind]] = {
    _NONE: _Kind("TEXT"),
    Any: _Kind("TEXT"),
    str: _Kind("TEXT"),
    int: _Kind("INT", int),
    float: _Kind("FLOAT", float),
    bool: _Kind("", is_flag=True),
    datetime: _Kind("DATE", _moment),
}


def _kind(annotation: Any) -> _Kind | None:
    """Return how values of `annotation` are given, or None if they cannot be."""
    origin = typing.get_origin(annotation)
    if origin is Union or origin is types.UnionType:
        others = [one for one in typing.get_args(annotation) if one is not types.NoneType]
        return _kind(others[0]) if len(others) == 1 else None
    if origin is Literal:
        values = typing.get_args(annotation)
        for kind in (str, int):
            if all(type(value) is kind for value in values):
                return _Kind("{" + ",".join(map(str, values)) + "}", kind, choices=values)
        return None
    try:
        return _KINDS.get(annotation)
    except TypeError:
        # Not hashable, as an annotation may be.
        return None


class _Formatter(argparse.RawDescriptionHelpFormatter):
    def __init__(self, prog: str, **settings: Any) -> None:
        super().__init__(prog, max_help_position=32, **settings)


class Parser(argparse.ArgumentParser):
    """An `ArgumentParser` without abbreviations whose texts keep their line breaks."""

    def __init__(self, **settings: Any) -> None:
        super().__init__(allow_abbrev=False, formatter_class=_Formatter, add_help=False, **settings)

    def error(self, message: str) -> NoReturn:
        """Say what is wrong with the words, and where help is; exit 2."""
        self.exit(2, f"{self.prog}: error: {message}\n({self.prog} --help lists the options)\n")


def joined(words: Sequence[str], valued: Iterable[str]) -> list[str]:
    """Join each option of `valued` with the word after it, so that any word can be a value: `--by -1e5`."""
    taking = frozenset(valued)
    result: list[str] = []
    rest = iter(words)
    for word in rest:
        value = next(rest, None) if word in taking else None
        result.append(word if value is None else f"{word}={value}" if word.startswith("--") else word + value)
    return result


def parse(signature: Signature, words: Sequence[str], *, prog: str, about: str) -> Given:
    """Return what `words` give for `signature`; exit for `--help`, and with 2 if they are wrong.

    Raises:
        CommandError: If a parameter's annotation has no form on a command line.
    """
    parser = Parser(
        prog=prog,
        description=about or None,
        usage=f"{prog} [WORD ...]" if signature.takes_words else None,
        epilog=_ABOUT_WORDS.format(owner=signature.owner) if signature.takes_words else None,
    )
    options = parser.add_argument_group("options")
    valued = [
        flag
        for parameter in signature.parameters
        if (flag := _add_option(options, parameter, signature.owner)) is not None
    ]
    help_flags = [flag for flag in ("-h", "--help") if flag[2:] not in {p.name for p in signature.parameters}]
    options.add_argument(*help_flags, action="help", help="show this and exit")
    if signature.takes_words:
        if list(words) in (["--help"], ["-h"]):
            parser.parse_args(words)
        return Given(words=tuple(words[1:] if words[:1] == ["--"] else words))
    return Given(vars(parser.parse_args(joined(words, valued))))


_ABOUT_WORDS: Final = (
    "All words go to '{owner}' as they are. Put -- before them where the first one is\n--help or -- itself."
)


def _add_option(options: argparse._ArgumentGroup, parameter: Parameter, owner: str) -> str | None:
    """Add the option of `parameter`; return it if it takes a value."""
    kind = _kind(parameter.annotation)
    if kind is None:
        raise CommandError(
            f"parameter '{parameter.name}' of '{owner}' has an unparseable annotation: "
            f"{_written(parameter.annotation)}; an option can be str, int, float, bool, datetime, each of them | None, "
            "or Literal of only str or only int"
        )
    flag = "--" + parameter.name.replace("_", "-")
    required = parameter.default is _NONE
    if required:
        about = "required"
    else:
        # As text: argparse formats help with %.
        about = "default: " + _shown(parameter.default).replace("%", "%%")
    common: dict[str, Any] = {
        "dest": parameter.name,
        "required": required,
        # What is not given is the function's own affair.
        "default": argparse.SUPPRESS,
        "help": about,
    }
    if kind.is_flag:
        options.add_argument(flag, action=argparse.BooleanOptionalAction, **common)
        return None
    options.add_argument(flag, type=kind.convert, metavar=kind.metavar, choices=kind.choices, **common)
    return flag


def _written(annotation: Any) -> str:
    return (
        annotation.__qualname__
        if isinstance(annotation, type) and not typing.get_args(annotation)
        else str(annotation)
    )


def _shown(default: Any) -> str:
    return str(default) if isinstance(default, (str, datetime)) and str(default) else repr(default)

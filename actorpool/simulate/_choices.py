# SPDX-License-Identifier: Apache-2.0
"""What is to be compared, from words: settings, policies, and all combinations of them."""

from __future__ import annotations

import difflib
import importlib
import itertools
import sys
from collections.abc import Callable, Iterable, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final

from attrs import evolve, frozen

from actorpool._core._adaptive import AdaptivePolicy
from actorpool._core._config import AutoscalerSettings, Concurrency
from actorpool._core._scaling import WindowPolicy, policy_factory
from actorpool.exception import InvalidError

from ._engine import simulate
from ._units import exact_text, parse_seconds

if TYPE_CHECKING:
    from actorpool._core._scaling import PolicyChoice

    from ._report import Report
    from ._trace import Trace

__all__ = ["Choice", "choices", "read_policy", "read_setting"]

_MOST_CHOICES: Final = 60
_NONE: Final = "none"

# Any: a number, or None for no bound.
_Values = list[tuple[str, Any]]


@frozen
class Choice:
    """One line of a comparison."""

    label: str
    settings: AutoscalerSettings
    concurrency: Concurrency
    policy: PolicyChoice

    def simulated(self, trace: Trace, seed: int) -> Report:
        """Simulate it."""
        return simulate(
            trace,
            self.settings,
            max_inputs=self.concurrency.max_inputs,
            target_inputs=self.concurrency.target_inputs,
            policy=self.policy,
            seed=seed,
            label=self.label,
        )


def choices(
    trace: Trace, settings: Sequence[tuple[str, _Values]], policies: Sequence[tuple[str, PolicyChoice]]
) -> list[Choice]:
    """Return all combinations of the settings' values and the policies.

    Args:
        trace: Whose settings hold where none are given.
        settings: Names with their values, as `read_setting` returns them; several for one name are put together.
        policies: As `read_policy` returns them; none stands for the default one.

    Raises:
        InvalidError: If some combination contradicts itself, or there are too many.
    """
    values: dict[str, dict[str, Any]] = {}
    for name, given in settings:
        values.setdefault(name, {}).update(given)
    policies = policies or [("window", WindowPolicy)]
    axes = [[(name, text, value) for text, value in given.items()] for name, given in values.items()]
    combined = [(policy, given) for policy in policies for given in itertools.product(*axes)]
    if len(combined) > _MOST_CHOICES:
        raise InvalidError(
            f"that makes {len(combined)} combinations, more than the {_MOST_CHOICES} that one table shows; "
            "give fewer values"
        )
    return [_choice(trace, policy, given, name_policy=len(policies) > 1) for policy, given in combined]


def _choice(
    trace: Trace,
    policy: tuple[str, PolicyChoice],
    given: Sequence[tuple[str, str, Any]],
    *,
    name_policy: bool,
) -> Choice:
    label, made = policy
    words = [label] if name_policy or label != "window" or not given else []
    words += [f"{name}={text}" for name, text, _ in given]
    bounds = {name: value for name, _, value in given if name in _BOUNDS}
    slots = {name: value for name, _, value in given if name in _SLOTS}
    concurrency = trace.concurrency
    if slots:
        # A target that was not given follows the maximum.
        concurrency = Concurrency(**{"max_inputs": concurrency.max_inputs, **slots})
    return Choice(", ".join(words), evolve(trace.settings, **bounds), concurrency, made)


def _count(word: str) -> tuple[str, int]:
    try:
        return word, int(word)
    except ValueError:
        raise InvalidError(f"'{word}' is no whole number") from None


def _bound(word: str) -> tuple[str, int | None]:
    return (_NONE, None) if word.lower() == _NONE else _count(word)


def _window(word: str) -> tuple[str, float]:
    seconds = parse_seconds(word)
    return exact_text(seconds), seconds


_BOUNDS: Final[dict[str, Callable[[str], tuple[str, Any]]]] = {
    "min_containers": _count,
    "max_containers": _bound,
    "buffer_containers": _count,
    "scaledown_window": _window,
}
_SLOTS: Final[dict[str, Callable[[str], tuple[str, Any]]]] = {"max_inputs": _count, "target_inputs": _count}


def read_setting(word: str) -> tuple[str, _Values]:
    """Read "max_containers=2,4,none" as a name and its values, each with the text that tables show.

    Raises:
        InvalidError: If that is no setting, or one of its values is none.
    """
    name, equals, rest = word.partition("=")
    name = name.strip()
    readers = {**_BOUNDS, **_SLOTS}
    if name not in readers:
        raise InvalidError(f"there is no setting '{name}'{_meant(name, readers)}")
    if not equals or not rest.strip():
        raise InvalidError(
            f"setting '{name}' lacks its value; write {name}=VALUE, or {name}=VALUE,VALUE to compare"
        )
    try:
        return name, [readers[name](value.strip()) for value in rest.split(",")]
    except InvalidError as error:
        raise InvalidError(f"{name}: {error}") from None


def read_policy(word: str) -> tuple[str, PolicyChoice]:
    """Read "window", "adaptive", "adaptive:2" or "module:name" as a policy.

    The number is the eagerness of `AdaptivePolicy`; a module is looked for in the current folder, too.

    Raises:
        InvalidError: If there is no such policy.
    """
    if word == "window":
        return word, WindowPolicy
    place, colon, name = word.partition(":")
    if place == "adaptive":
        return word, AdaptivePolicy(eagerness=_eagerness(name)) if colon else AdaptivePolicy
    if not colon or not place or not name:
        raise InvalidError(
            f"there is no policy '{word}'; write window, adaptive, adaptive:2, or module:name for one of yours"
        )
    folder = str(Path.cwd())
    if folder not in sys.path:
        sys.path.insert(0, folder)
    try:
        found: Any = importlib.import_module(place)
    except ModuleNotFoundError as error:
        if error.name is None or not f"{place}.".startswith(f"{error.name}."):
            raise
        raise InvalidError(
            f"there is no module '{error.name}' for policy '{word}', in {folder} or installed"
        ) from None
    for part in name.split("."):
        if not hasattr(found, part):
            raise InvalidError(f"module '{place}' has no '{name}'")
        found = getattr(found, part)
    made = policy_factory(found)
    if not hasattr(made(), "decide"):
        raise InvalidError(f"'{word}' makes no policy: what it returns has no method decide")
    return word, made


def _eagerness(word: str) -> float:
    try:
        return float(word)
    except ValueError:
        raise InvalidError(f"'{word}' is no number; adaptive:2 waits less, adaptive:0.5 costs less") from None


def _meant(word: str, known: Iterable[str]) -> str:
    close = difflib.get_close_matches(word, list(known), 1)
    return f"; did you mean {close[0]}?" if close else f"; there are {', '.join(known)}"

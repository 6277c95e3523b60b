# SPDX-License-Identifier: Apache-2.0
"""Retries: whether a failed input runs again, and how long it waits before (pure).

`Retries` is what the user writes, `RetryPolicy` what the machines ask; `RetryPolicy.of` turns each thing
that `retries=` accepts into a policy. Which failures count, and the waiting itself, are decided elsewhere.
"""

from __future__ import annotations

import math
from typing import Final

from attrs import frozen

from actorpool._core._config import check_count
from actorpool.exception import InvalidError

__all__ = ["Retries", "RetryPolicy"]

# Modal's clients wait at least this long, whatever the initial delay.
_MIN_DELAY_S: Final = 1.0


def _check_between(name: str, value: object, least: float, most: float) -> None:
    if not isinstance(value, (int, float)) or isinstance(value, bool):
        raise InvalidError(f"{name} must be a number, not {value!r}")
    # Written so that NaN fails.
    if not least <= value <= most:
        raise InvalidError(f"{name} must be from {least:g} to {most:g}, not {value!r}")


@frozen(kw_only=True)
class Retries:
    """How often a failed input is tried again, and how long it waits before each retry.

    The wait before retry k is `initial_delay * backoff_coefficient ** (k - 1)` seconds, but at least one
    second and at most `max_delay`. With `max_retries=3` an input is executed at most four times; its last
    error is raised.
    When in doubt, `retries=3` in the decorator: three retries, one second apart.

    Args:
        max_retries: Retries after the first attempt (>= 0).
        backoff_coefficient: Factor from one wait to the next (1 to 10); 1 keeps the wait constant.
        initial_delay: Wait before the first retry, in seconds (0 to 60).
        max_delay: Longest wait, in seconds (1 to 60).

    Raises:
        InvalidError: If a value is out of its range or not a number.
        TypeError: If `max_retries` is missing.
    """

    max_retries: int
    backoff_coefficient: float = 2.0
    initial_delay: float = 1.0
    max_delay: float = 60.0

    def __attrs_post_init__(self) -> None:
        check_count("max_retries", self.max_retries, least=0)
        _check_between("backoff_coefficient", self.backoff_coefficient, 1, 10)
        _check_between("initial_delay", self.initial_delay, 0, 60)
        _check_between("max_delay", self.max_delay, 1, 60)


@frozen
class RetryPolicy:
    """What the machines ask after a failure; built by `of`, so its values are valid."""

    max_retries: int
    """Retries after the first attempt."""
    backoff_coefficient: float
    initial_delay_s: float
    max_delay_s: float

    @classmethod
    def of(cls, retries: object) -> RetryPolicy | None:
        """Return the policy for the value of `retries=`; None if a failed input is not to be tried again.

        Args:
            retries: A `Retries`; a whole number n for n retries one second apart; None for no retries.

        Raises:
            InvalidError: If it is anything else, a bool included, or negative.
        """
        if retries is None:
            return None
        if isinstance(retries, int) and not isinstance(retries, bool):
            check_count("retries", retries, least=0)
            retries = Retries(max_retries=retries, backoff_coefficient=1.0)
        if not isinstance(retries, Retries):
            raise InvalidError(f"retries must be a whole number or a Retries, not {retries!r}")
        if not retries.max_retries:
            return None
        return cls(
            max_retries=retries.max_retries,
            backoff_coefficient=retries.backoff_coefficient,
            initial_delay_s=retries.initial_delay,
            max_delay_s=retries.max_delay,
        )

    def delay_s(self, attempt: int) -> float | None:
        """Return the seconds to wait before the next attempt, or None if there is to be none.

        Args:
            attempt: How many attempts have failed so far (>= 1).
        """
        assert attempt >= 1, attempt
        if attempt > self.max_retries:
            return None
        try:
            factor = float(self.backoff_coefficient) ** (attempt - 1)
        except OverflowError:
            factor = math.inf if self.initial_delay_s else 0.0
        return min(max(self.initial_delay_s * factor, _MIN_DELAY_S), float(self.max_delay_s))

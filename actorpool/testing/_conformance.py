# SPDX-License-Identifier: Apache-2.0
"""What the conformance checks share: the error that names the rule which was broken."""

from __future__ import annotations

__all__ = ["ConformanceError"]


class ConformanceError(AssertionError):
    """A policy or a backend does not do what its protocol says.

    Attributes:
        rule: Which rule it breaks, in words.
    """

    def __init__(self, rule: str, found: str) -> None:
        super().__init__(f"{rule}: {found}")
        self.rule = rule

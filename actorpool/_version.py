# SPDX-License-Identifier: Apache-2.0
"""The version of this package: the one place it is written; the build reads it from here."""

from __future__ import annotations

__version__ = "0.1.0"

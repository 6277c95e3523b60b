# SPDX-License-Identifier: Apache-2.0
"""Types of returned values, under the path where some of Modal's users import them from."""

from __future__ import annotations

from .call_graph import InputInfo as InputInfo
from .call_graph import InputStatus as InputStatus

__all__ = ["InputInfo", "InputStatus"]

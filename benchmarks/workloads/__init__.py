# SPDX-License-Identifier: Apache-2.0
"""What is measured: each module registers workloads and their contenders; drop one in to add yours."""

from __future__ import annotations

from typing import Final

__all__ = ["ORDER"]

ORDER: Final = (
    *(
        "async_map",
        "sync_map",
        "processes",
        "one_call",
        "pending",
        "starts",
        "sizes",
        "contention",
        "service",
    ),
    *("idle", "imports"),
)
"""The modules in the order of the report; others follow by name."""

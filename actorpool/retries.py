# SPDX-License-Identifier: Apache-2.0
"""How a function's failed inputs are tried again: `@app.function(retries=Retries(max_retries=3))`.

Only the public name lives here; the decision is in `actorpool._core._retry`.
"""

from __future__ import annotations

from actorpool._core._retry import Retries as Retries

__all__ = ["Retries"]

# SPDX-License-Identifier: Apache-2.0
"""The schedules a function may run on: `@app.function(schedule=Cron("0 6 * * *"))` or `Period(hours=1)`.

Only the public names live here; the arithmetic of time is in `actorpool._core._schedule`.
"""

from __future__ import annotations

from actorpool._core._schedule import Cron as Cron
from actorpool._core._schedule import Period as Period

__all__ = ["Cron", "Period"]

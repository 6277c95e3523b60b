# SPDX-License-Identifier: Apache-2.0
"""Instants and wall clocks as the tests of schedules write them."""

from __future__ import annotations

from datetime import datetime
from zoneinfo import ZoneInfo

from actorpool.schedule import Cron

NEW_YORK = "America/New_York"
LORD_HOWE = "Australia/Lord_Howe"
CAIRO = "Africa/Cairo"
DAY = 86_400


def at(text: str, zone: str = "UTC", *, fold: int = 0) -> float:
    return datetime.fromisoformat(text).replace(tzinfo=ZoneInfo(zone), fold=fold).timestamp()


def shown(instant: float, zone: str = "UTC") -> str:
    return datetime.fromtimestamp(instant, ZoneInfo(zone)).isoformat(" ")


def runs(cron: Cron, after: float, count: int) -> list[str]:
    found = []
    for _ in range(count):
        after = cron.next_after(after)
        found.append(shown(after, cron.timezone))
    return found

# SPDX-License-Identifier: Apache-2.0
"""The ledger finds each breach of the contract by itself, and only those."""

from __future__ import annotations

from typing import Any

import pytest

from actorpool import AutoscalerSettings
from actorpool._core._config import Concurrency
from actorpool.simulate._ledger import Box, Ledger


def ledger(*, max_inputs: int = 1, target_inputs: int = 0, **settings: Any) -> Ledger:
    return Ledger(AutoscalerSettings(**settings), Concurrency(max_inputs, target_inputs))


def ready(accounts: Ledger, now: float = 0.0) -> Box:
    box = accounts.asked(now)
    accounts.ready(box, now)
    return box


def give(accounts: Ledger, box: Box, now: float) -> None:
    accounts.pending += 1
    accounts.took(box, now)


def test_more_containers_than_the_maximum() -> None:
    accounts = ledger(max_containers=1)
    ready(accounts)
    assert {} == accounts.violations

    ready(accounts)

    assert {"max": 1} == accounts.violations
    assert accounts.broken[0].what == "2 containers, and max_containers is 1"


def test_fewer_containers_than_the_minimum() -> None:
    accounts = ledger(min_containers=1)
    box = ready(accounts)
    accounts.elapse(0.0, 5.0)
    assert {} == accounts.violations

    accounts.told_to_stop(box, 5.0)
    accounts.elapse(5.0, 6.0)

    assert {"min": 1} == accounts.violations


def test_a_busy_container_stopped() -> None:
    accounts = ledger()
    box = ready(accounts)
    give(accounts, box, 0.0)

    accounts.told_to_stop(box, 1.0)

    assert {"busy": 1} == accounts.violations


def test_more_inputs_than_slots() -> None:
    accounts = ledger(max_inputs=2)
    box = ready(accounts)
    give(accounts, box, 0.0)
    give(accounts, box, 0.0)
    assert {} == accounts.violations

    give(accounts, box, 0.0)

    assert {"slots": 1} == accounts.violations


def test_a_free_slot_beside_a_pending_input() -> None:
    accounts = ledger(max_inputs=2)
    give(accounts, ready(accounts), 0.0)
    accounts.pending += 1

    accounts.elapse(0.0, 1.0)

    assert {"slot": 1} == accounts.violations


@pytest.mark.parametrize("bound", [None, 2])
def test_an_input_for_which_nobody_is_under_way(bound: int | None) -> None:
    accounts = Ledger(AutoscalerSettings(max_containers=bound), Concurrency())
    box = ready(accounts)
    accounts.told_to_stop(box, 0.0)
    accounts.pending += 1

    accounts.elapse(0.0, 1.0)

    assert {"nobody": 1} == accounts.violations


def test_at_the_maximum_an_input_waits_for_what_is_stopping() -> None:
    accounts = ledger(max_containers=1)
    accounts.told_to_stop(ready(accounts), 0.0)
    accounts.pending += 1

    accounts.elapse(0.0, 1.0)

    assert {} == accounts.violations


def test_an_idle_container_beyond_its_window() -> None:
    accounts = ledger(scaledown_window=10.0)
    ready(accounts)
    accounts.elapse(0.0, 10.0)
    assert {} == accounts.violations

    accounts.elapse(10.0, 11.0)
    accounts.elapse(11.0, 12.0)

    assert {"window": 1} == accounts.violations
    assert accounts.broken[0].at == 10.0


def test_the_minimum_and_the_buffer_hold_idle_containers() -> None:
    held_by_minimum = ledger(scaledown_window=10.0, min_containers=1)
    ready(held_by_minimum)
    held_by_minimum.elapse(0.0, 100.0)
    assert {} == held_by_minimum.violations

    held_by_buffer = ledger(scaledown_window=10.0, buffer_containers=1)
    busy, _ = ready(held_by_buffer), ready(held_by_buffer)
    give(held_by_buffer, busy, 0.0)
    held_by_buffer.elapse(0.0, 100.0)
    held_by_buffer.left(busy, 100.0)
    # What was held until now has a window from now on.
    held_by_buffer.elapse(100.0, 110.0)
    assert {} == held_by_buffer.violations

    held_by_buffer.elapse(110.0, 111.0)
    assert {"window": 1} == held_by_buffer.violations


def test_the_lives_of_containers_are_added_up() -> None:
    accounts = ledger()
    box = accounts.asked(1.0)
    accounts.ready(box, 3.0)
    give(accounts, box, 4.0)
    accounts.left(box, 9.0)
    accounts.told_to_stop(box, 15.0)
    accounts.gone(box, 16.0)
    called_off = accounts.asked(20.0)
    accounts.told_to_stop(called_off, 21.0)
    accounts.gone(called_off, 21.0)

    assert (2, 1, 0) == (accounts.starts, accounts.peak, accounts.live)
    assert (15.0 + 1.0, 2.0 + 1.0, 1.0 + 6.0) == (accounts.container_s, accounts.starting_s, accounts.idle_s)
    assert [(1.0, 1), (16.0, 0), (20.0, 1), (21.0, 0)] == accounts.changes

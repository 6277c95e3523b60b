# SPDX-License-Identifier: Apache-2.0
"""The notes of one pool, whatever becomes of its containers: driven by hand, without actors."""

from __future__ import annotations

from typing import Any, cast

from actorpool._core._pool import Pool
from actorpool.simulate._file import Columns
from actorpool.simulate._recording import _Journal
from tests.core.pools import Passive, Rig


class Written:
    """Takes what a recording writes."""

    def __init__(self) -> None:
        self.items: list[list[Any]] = []

    def put(self, item: list[Any]) -> None:
        self.items.append(item)

    def rows(self, kind: str) -> list[tuple[float, ...]]:
        columns = [item[2:] for item in self.items if item[0] == kind]
        return [row for parts in columns for row in zip(*parts, strict=True)]


def recorded(**options: Any) -> tuple[Rig, _Journal, Written]:
    """A pool in a rig at the instant 10, whose recording begins now."""
    rig, written = Rig(policy=Passive(), now=10.0, **options), Written()
    journal = _Journal(7, 10.0, cast("Any", written))
    rig.pool.__class__ = journal.attach(rig.pool, rig.now)
    return rig, journal, written


def test_an_input_is_noted_when_it_leaves_its_slot() -> None:
    rig, journal, written = recorded()
    rig.submit()
    (container,) = rig.ask()
    rig.now = 12.0
    rig.ready(container)
    (running,) = container.inputs
    rig.now = 15.0
    rig.end(running)
    journal.flush()

    assert [(0.0, 2.0, 3.0, 1.0)] == written.rows("inputs")
    assert (1, 5.0) == (journal.inputs, journal.ended)


def test_inputs_of_a_container_that_died_held_their_slots_until_then() -> None:
    rig, journal, written = recorded()
    (container,) = rig.start()
    rig.submit()
    rig.now = 13.0
    rig.exited(container, OSError("killed"))
    journal.flush()

    assert [(0.0, 0.0, 3.0, 1.0)] == written.rows("inputs")
    assert [(1.0, 0.0, 0.0, 3.0)] == written.rows("containers")


def test_what_a_dead_container_was_never_given_waits_on() -> None:
    rig, journal, written = recorded()
    (container,) = rig.start()
    input = rig.submit()
    rig.now = 13.0
    rig.exited(container, OSError("killed"), frozenset())
    # It counts as a failed start, and there is a pause before the next.
    rig.now = 14.0
    rig.tick()
    (other,) = rig.start()
    rig.now = 15.0
    assert other is input.container
    rig.end(input)
    journal.flush()

    assert [(0.0, 4.0, 1.0, 2.0)] == written.rows("inputs")


def test_a_container_that_failed_or_was_called_off_was_never_ready() -> None:
    rig, journal, written = recorded()
    failed, called_off = rig.ask(2)
    rig.now = 11.0
    rig.fail_start(failed)
    rig.decide(cancel=1)
    rig.exited(called_off)
    journal.flush()

    rows = written.rows("containers")
    assert [(1.0, 0.0, 1.0), (2.0, 0.0, 1.0)] == [(number, asked, ended) for number, asked, _, ended in rows]
    assert all(ready != ready for _, _, ready, _ in rows)


def test_what_is_there_at_the_end_is_noted_without_an_end_and_the_pool_is_as_before() -> None:
    rig, journal, written = recorded(max_inputs=2)
    rig.start()
    rig.submit()
    rig.now = 20.0
    rig.pool.__class__ = journal.detach(rig.pool, rig.now)
    journal.flush()

    assert Pool is type(rig.pool)
    ((number, asked, ready, ended),) = written.rows("containers")
    assert (1.0, 0.0, 0.0, True) == (number, asked, ready, ended != ended)
    assert [] == written.rows("inputs")
    assert 10.0 == journal.ended
    settings = [item[2] for item in written.items if item[0] == "settings"]
    assert [2, 2] == [values["max_inputs"] for values in settings]


def test_rows_go_to_the_file_as_columns() -> None:
    columns = Columns()
    columns.add(1.0, 2.0, 3.0, 4.0)

    assert (1, [(1.0, 2.0, 3.0, 4.0)]) == (len(columns), list(columns))

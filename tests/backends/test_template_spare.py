# SPDX-License-Identifier: Apache-2.0
"""The spare: a process that a template has forked before a container is asked for."""

from __future__ import annotations

import os
import signal
from collections.abc import Iterator
from pathlib import Path

import pytest

from actorpool._backends._template_messages import Exited, Preload
from tests.backends import process_code
from tests.backends.processes import Template, children_of, gone, over, until, workload_of

CODE = "tests.backends.process_code"


@pytest.fixture
def template() -> Iterator[Template]:
    with Template(CODE) as template:
        assert () == template.preloaded().failures
        yield template


def spare_of(template: Template, *others: int) -> int:
    """Return the number of the spare: the child that is none of `others`."""

    def found() -> list[int]:
        alive = [pid for pid, state in children_of({template.process.pid}).items() if state != "Z"]
        return [pid for pid in alive if pid not in others]

    until(lambda: len(found()) == 1)
    return found()[0]


def test_there_is_none_before_the_first_container_and_the_second_one_is_it(template: Template) -> None:
    assert {} == children_of({template.process.pid})
    with template.fork() as first:
        first.ready(workload_of(process_code.double))
        spare = spare_of(template, first.pid)
        with template.fork() as second:
            assert spare == second.pid
            second.ready(workload_of(process_code.double))
            assert (4, 6) == (first.call(2), second.call(3))
            second.stop()
        assert 0 == template.status_of(second.pid)
        assert spare_of(template, first.pid) != spare


def test_one_that_was_killed_is_replaced_and_nobody_hears_of_it(template: Template) -> None:
    with template.fork() as first:
        spare = spare_of(template, first.pid)
        os.kill(spare, signal.SIGKILL)
        until(lambda: gone(spare))
        with template.fork() as second:
            second.ready(workload_of(process_code.double))
            assert 6 == second.call(3)
        assert spare not in {message.pid for message in template.said if isinstance(message, Exited)}


def test_one_from_before_an_import_is_replaced(
    template: Template, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    with template.fork() as first:
        spare = spare_of(template, first.pid)
        monkeypatch.syspath_prepend(tmp_path)
        (tmp_path / "imported_later.py").write_text("")
        template.control.send(Preload(("imported_later",), (str(tmp_path),), ("program",), os.getcwd()))
        assert () == template.preloaded().failures
        assert gone(spare)
        assert spare_of(template, first.pid) != spare


def test_it_ends_with_its_template() -> None:
    with Template(CODE) as template, template.fork() as worker:
        spare = spare_of(template, worker.pid)
    until(lambda: over(spare))

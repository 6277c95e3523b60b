# SPDX-License-Identifier: Apache-2.0
"""The simulation finds bugs: those planted here are found by the first seeds of the "ci" profile, and replayed.

A plant is one line of the library done wrong.
"""

from __future__ import annotations

import json
import re
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from actorpool._actors._dispatch import Dispatcher
from actorpool._actors._runtime import AppRuntime
from actorpool._core import _effects as fx
from actorpool._core._backlog import Backlog
from actorpool._core._capacity import Capacity
from actorpool._core._input import PENDING, Input
from actorpool._core._start_failures import StartFailures
from actorpool.testing import Violation
from actorpool.testing.replay import main as replay
from actorpool.testing.simulation import PROFILES, run_chunk


def last_first(backlog: Any) -> Input:
    """Dispatch order: the youngest pending input is taken."""
    while True:
        input: Input = backlog._queue.pop()
        if input.state == PENDING:
            break
        backlog._dead -= 1
    backlog.count -= 1
    backlog.spawned -= input.spawned
    return input


def counted_as_spawned(backlog: Any, input: Input) -> None:
    """Limit accounting: a called input counts as a spawned one."""
    input.state = PENDING
    backlog._queue.append(input)
    backlog.count += 1
    backlog.spawned += not input.spawned


def busy_ones_too(pool: Any, count: int, effects: list[fx.Effect]) -> None:
    """Drain: surplus containers stop at once, with whatever runs in them."""
    for container in [c for _, c in zip(range(max(0, count)), pool._placement, strict=False)]:
        pool._stop(container, effects)


async def without_waiting(runtime: Any) -> None:
    """Drain: a closing app waits for nobody."""


def left_in_the_backlog(backlog: Any, input: Input) -> None:
    """Cancellation of a pending input: it stays where it is."""


def not_cancelled(dispatcher: Any, input: Input, reason: str, places: Any = None) -> bool:
    """Cancellation of a pending input: whoever left is not asked after."""
    return False


def at_once(failures: Any, now: float) -> bool:
    """Restart back-off: there is none."""
    return False


PLANTS: list[tuple[type, str, Callable[..., Any], str]] = [
    (Backlog, "pop", last_first, "oldest_pending_first"),
    (Backlog, "push", counted_as_spawned, "limits_hold"),
    (Capacity, "_let_go", busy_ones_too, "busy_containers_are_not_stopped_by_scaledown"),
    (AppRuntime, "_drained", without_waiting, "closing_waits_for_what_was_accepted"),
    (Backlog, "discard", left_in_the_backlog, "running_and_pending_are_what_the_pool_says"),
    (Dispatcher, "cancel", not_cancelled, "whoever_leaves_leaves_nothing_behind"),
    (StartFailures, "pausing", at_once, "starts_wait_out_the_backoff"),
]


@pytest.mark.slow
@pytest.mark.timeout(120)
@pytest.mark.usefixtures("at_full_speed")
@pytest.mark.parametrize(
    ("owner", "name", "planted", "invariant"), PLANTS, ids=[plant[2].__name__ for plant in PLANTS]
)
def test_a_planted_bug_is_found_and_replayed_from_the_printed_line(
    owner: type,
    name: str,
    planted: Callable[..., Any],
    invariant: str,
    monkeypatch: pytest.MonkeyPatch,
    tmp_path: Path,
    capsys: pytest.CaptureFixture[str],
) -> None:
    with monkeypatch.context() as patched:
        patched.setattr(owner, name, planted)
        with pytest.raises(Violation) as caught:
            run_chunk(PROFILES["ci"], 0, directory=tmp_path)
        message = str(caught.value)
        assert invariant == caught.value.invariant
        printed = re.search(r"python -m actorpool\.testing\.replay (\S+)$", message)
        assert printed is not None
        file = printed[1]

        assert 0 == replay([file])
    shown = capsys.readouterr().out
    assert f"violated again: {invariant}" in shown
    assert shown.count("\n") > 5
    assert len(json.loads(Path(file).read_text("utf-8"))["plan"].get("actions", [])) <= 6

    assert 1 == replay([file, "--last", "3"])
    assert "no invariant is violated any more" in capsys.readouterr().out

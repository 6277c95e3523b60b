# SPDX-License-Identifier: Apache-2.0
"""`python -m actorpool.testing.simulation`: it runs chunks in processes, and fails when it has not shown its claim."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest

from actorpool._core._backlog import Backlog
from actorpool.testing import simulation
from actorpool.testing.simulation import PROFILES, Profile, Totals, main, run_chunk, run_chunks

SMALL = Profile(seeds=4, events=100, hours=0.01, chunks=2, actions=10)


IN_PROCESSES = """
from actorpool.testing.simulation import PROFILES, Profile, main
PROFILES["ci"] = Profile(seeds=4, events=100, hours=0.01, chunks=2, actions=10)
raise SystemExit(main(["--jobs", "2"]))
"""


@pytest.mark.slow
@pytest.mark.timeout(60)
def test_chunks_come_to_the_same_in_processes_of_their_own() -> None:
    environment = {name: value for name, value in os.environ.items() if name != "COVERAGE_PROCESS_START"}
    printed = subprocess.run(
        [sys.executable, "-c", IN_PROCESSES], env=environment, capture_output=True, text=True, check=True
    ).stdout

    whole = Totals()
    for totals in run_chunks(SMALL, range(2)):
        whole.add(totals)
    assert whole.seeds >= SMALL.seeds
    assert printed.startswith(f"{whole.seeds} seeds, {whole.hours:,.1f} hours, {whole.events:,} pool events")


def test_a_violation_is_printed_and_fails_the_command(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str], tmp_path: Path
) -> None:
    monkeypatch.setattr("tempfile.tempdir", str(tmp_path))
    monkeypatch.setitem(PROFILES, "ci", SMALL)
    monkeypatch.setattr(Backlog, "discard", lambda backlog, input: None)

    assert 1 == main(["--jobs", "1"])

    printed = capsys.readouterr().out
    assert printed.startswith("running_and_pending_are_what_the_pool_says: ")
    assert f"python -m actorpool.testing.replay {tmp_path}" in printed


@pytest.mark.parametrize("amount", ["seeds", "events", "hours"])
def test_a_run_that_falls_short_of_what_is_demanded_fails(
    amount: str, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    share: dict[str, Any] = {"seeds": 2, "events": 50, "hours": 0.005}
    chunks = [Totals(**share), Totals(**{**share, amount: 0})]
    monkeypatch.setitem(PROFILES, "ci", SMALL)
    monkeypatch.setattr(simulation, "run_chunk", lambda _, index: chunks[index])

    assert 0 == main(["--chunk", "0"])
    assert 1 == main(["--jobs", "1"])

    assert "less than the profile 'ci' demands" in capsys.readouterr().out


def test_a_chunk_goes_on_until_its_share_is_reached() -> None:
    assert run_chunk(Profile(seeds=1, events=1, hours=0.2, chunks=2, actions=10), 0).hours >= 0.1


def test_there_is_no_run_in_no_processes(capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(SystemExit):
        main(["--jobs", "0"])
    assert "--jobs must be at least 1" in capsys.readouterr().err

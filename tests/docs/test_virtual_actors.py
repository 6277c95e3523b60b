# SPDX-License-Identifier: Apache-2.0
"""The example of virtual actors prints what it is there to show."""

from __future__ import annotations

import pytest

from tests.docs.programs import EXAMPLES, commands, run_command

EXPECTED = """\
chess: open, players known: 0
go: open, players known: 0
chess (ada 40) against go (bob 40, eve 40)
containers ever started for chess: 1
nobody plays, containers left: 0
chess: open, players known: 1
ada comes back and has 42
"""


@pytest.mark.slow
@pytest.mark.timeout(60)
def test_rooms_lose_no_points_and_close_when_nobody_plays() -> None:
    (example,) = [path for path in EXAMPLES if path.name == "virtual_actors.py"]
    (command,) = commands(example)

    assert EXPECTED == run_command(command)

# SPDX-License-Identifier: Apache-2.0
"""The example of a supervised actor system does what it says, on asyncio and on trio."""

from __future__ import annotations

from pathlib import Path

import pytest

from tests.docs.programs import EXAMPLES, run_program

EXPECTED = """\
in the ledger: 42
ledger: running, starts: 1, failed with None
till: running, starts: 2, failed with ValueError("invalid literal for int() with base 10: 'a pear'")
"""


@pytest.mark.slow
@pytest.mark.timeout(60)
@pytest.mark.parametrize("host", ["asyncio", "trio"])
def test_a_till_crashes_and_the_ledger_loses_nothing(host: str, tmp_path: Path) -> None:
    (example,) = [path for path in EXAMPLES if path.name == "actors.py"]
    source = example.read_text("utf-8")
    if host == "trio":
        # All that it takes.
        source = source.replace("import asyncio", "import trio").replace(
            "asyncio.run(main())", "trio.run(main)"
        )

    assert EXPECTED == run_program(source, tmp_path)

# SPDX-License-Identifier: Apache-2.0
"""What holds for every file of the repository."""

from __future__ import annotations

import ast
import re
import shutil
import subprocess
from pathlib import Path

from tests.packaging.sources import ROOT, name_of, python_files

MAX_LINES = 500
SPDX = "# SPDX-License-Identifier: Apache-2.0"

# Where checkouts and homes lie on somebody's machine; nothing of the kind belongs into the repository.
MACHINE_PATH = re.compile(r"(?<![\w.~-])/(?:home|root|Users|work|workspace|builds)/[\w.]|\b[A-Z]:\\Users\\")


def test_a_module_opens_with_its_licence() -> None:
    assert [] == [
        name_of(path) for path in python_files() if not path.read_text("utf-8").startswith(f"{SPDX}\n")
    ]


def test_a_module_says_what_it_is_for() -> None:
    paths = python_files("actorpool", "benchmarks", "examples")

    assert [] == [
        name_of(path) for path in paths if not ast.get_docstring(ast.parse(path.read_text("utf-8")))
    ]


def test_a_module_stays_small_enough_to_read() -> None:
    lengths = {name_of(path): len(path.read_text("utf-8").splitlines()) for path in python_files()}

    assert {} == {name: length for name, length in lengths.items() if length > MAX_LINES}


def test_classes_are_matched_by_the_names_of_their_fields() -> None:
    """CPython 3.11 looks `__match_args__` up under a new string each time, and keeps up to 4,096 of these.

    They lie where a burst of work put them, and the memory around them does not go back to the system: after
    10,000 parameter sets a process held 164 MB instead of 88.
    """
    found = [
        f"{name_of(path)}:{node.lineno}"
        for path in python_files("actorpool")
        for node in ast.walk(ast.parse(path.read_text("utf-8")))
        if isinstance(node, ast.MatchClass) and node.patterns
    ]

    assert [] == found


def test_no_file_names_a_path_of_a_machine() -> None:
    here = [f"{place}/" for place in {str(ROOT), str(Path.home())} if place != "/"]
    found = []
    for path in _kept_files():
        for number, line in enumerate(path.read_bytes().decode("utf-8", "replace").splitlines(), 1):
            if MACHINE_PATH.search(line) or any(place in line for place in here):
                found.append(f"{name_of(path)}:{number}: {line.strip()}")

    assert [] == found


def _kept_files() -> list[Path]:
    """What is committed or could be; in an unpacked archive, what the four folders and the root hold."""
    if shutil.which("git"):
        command = ["git", "ls-files", "-z", "--cached", "--others", "--exclude-standard"]
        listed = subprocess.run(command, cwd=ROOT, capture_output=True, check=False).stdout.decode()
        paths = [ROOT / name for name in listed.split("\0") if name]
    else:
        paths = []
    return [path for path in paths or [*python_files(), *ROOT.glob("*.*")] if path.is_file()]

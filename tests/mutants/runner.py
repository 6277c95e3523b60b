# SPDX-License-Identifier: Apache-2.0
"""Runs mutants: each in a copy of the tree, against one stage of tests after the other.

Before any mutant the copy is run as it is: if a test fails there, what it says of mutants would mean nothing.
"""

from __future__ import annotations

import os
import shutil
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Sequence
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from queue import SimpleQueue

from attrs import frozen

from tests.mutants.mutant import GROUPS, ROOT, SIMULATION, Mutant, MutantError, Stages

COPIED = (
    "actorpool",
    "_actorpool_pytest.py",
    "benchmarks",
    "docs",
    "examples",
    "tests",
    "pyproject.toml",
    "README.md",
)
# Longer than any stage takes on a machine that has other things to do; a mutant that hangs is killed by it.
TIMEOUT_S = 900.0
PYTEST = ("-m", "pytest", "-x", "-q", "-p", "no:cacheprovider", "--hypothesis-seed=0")
# How often a stage is run whose failing test fails without the mutation too.
_TRIES = 2


@frozen
class Result:
    """What became of one mutant."""

    mutant: Mutant
    killed: bool
    how: str
    """The test that noticed, or that none did."""
    seconds: float


def check(mutants: Sequence[Mutant], root: Path = ROOT) -> None:
    """See to it that every mutation can be made.

    Raises:
        MutantError: If one cannot; all such are named.
    """
    faults: list[str] = []
    for mutant in mutants:
        try:
            mutant.applied_to(root)
        except MutantError as error:
            faults.append(str(error))
    if faults:
        raise MutantError("\n       ".join(faults))


def run_all(
    mutants: Sequence[Mutant], folder: Path, *, jobs: int = 1, say: Callable[[str], object] = print
) -> list[Result]:
    """Run all mutants in copies of the tree below `folder`; return what became of them, in their order.

    Raises:
        MutantError: If a mutation cannot be made, or the tests fail without any.
    """
    copies: SimpleQueue[Path] = SimpleQueue()
    for number in range(jobs):
        copies.put(copy_tree(folder / f"tree-{number}"))
    stages = list(dict.fromkeys(stage for mutant in mutants for stage in GROUPS[mutant.group][:1]))
    say(f"the tests without a mutation: {len(stages)} stages")
    tree = copies.get()
    for stage in stages:
        failed = failure_of(tree, stage)
        if failed is not None:
            raise MutantError(f"tests fail without a mutation: {failed}")
    copies.put(tree)

    def one(mutant: Mutant) -> Result:
        tree = copies.get()
        try:
            result = run_mutant(mutant, tree, GROUPS[mutant.group])
        finally:
            copies.put(tree)
        say(f"{'killed' if result.killed else 'SURVIVED'}: {mutant} ({result.how})")
        return result

    with ThreadPoolExecutor(jobs) as executor:
        return list(executor.map(one, mutants))


def copy_tree(target: Path, root: Path = ROOT) -> Path:
    """Copy what the tests need."""
    target.mkdir(parents=True)
    for name in COPIED:
        source = root / name
        if source.is_dir():
            shutil.copytree(source, target / name, ignore=shutil.ignore_patterns("__pycache__", ".*"))
        elif source.is_file():
            shutil.copy2(source, target / name)
    return target


def run_mutant(mutant: Mutant, tree: Path, stages: Stages) -> Result:
    """Make the mutation, run the stages until a test fails, undo it."""
    path, text = mutant.applied_to(tree)
    original = path.read_bytes()
    path.write_text(text, "utf-8")
    begin = time.monotonic()
    try:
        for stage in stages:
            for _ in range(_TRIES):
                failed = failure_of(tree, stage)
                if failed is None:
                    break
                if passes_without(tree, path, original, text, failed):
                    return Result(mutant, True, failed, time.monotonic() - begin)
        return Result(mutant, False, "no test notices", time.monotonic() - begin)
    finally:
        path.write_bytes(original)


def passes_without(tree: Path, path: Path, original: bytes, mutated: str, failed: str) -> bool:
    """Whether the test that failed passes without the mutation; one that fails anyhow has noticed nothing."""
    _, _, test = failed.partition(" ")
    path.write_bytes(original)
    try:
        return "::" not in test or failure_of(tree, (test,)) is None
    finally:
        path.write_text(mutated, "utf-8")


def failure_of(tree: Path, stage: Sequence[str]) -> str | None:
    """Run pytest in the tree until the first failure; return which test failed, None if none did.

    Of the simulation, return which invariant was violated.

    Raises:
        MutantError: If pytest could not run the tests at all.
    """
    simulated = tuple(stage[:2]) == SIMULATION[:2]
    command = [sys.executable, *([] if simulated else PYTEST), *stage]
    # Nothing of a test run, or of a measurement, that this one is a part of.
    inherited = {
        name: value for name, value in os.environ.items() if not name.startswith(("COVERAGE_", "PYTEST_"))
    }
    environment = {
        **inherited,
        "PYTHONPATH": str(tree),
        # A file that changes twice in a second may keep its size: nothing is to be taken from a cache.
        "PYTHONDONTWRITEBYTECODE": "1",
        "HYPOTHESIS_STORAGE_DIRECTORY": str(tree / ".hypothesis"),
    }
    # In a session of its own, so that what a hanging test has started ends with it.
    process = subprocess.Popen(
        command,
        cwd=tree,
        env=environment,
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        stdin=subprocess.DEVNULL,
        text=True,
        start_new_session=True,
    )
    try:
        output, _ = process.communicate(timeout=TIMEOUT_S)
    except subprocess.TimeoutExpired:
        return f"hangs: no end after {TIMEOUT_S:g} s of {stage[0]}"
    finally:
        try:
            os.killpg(process.pid, signal.SIGKILL)
        except ProcessLookupError:
            pass
        process.wait()
    if process.returncode == 0:
        return None
    if simulated:
        return f"simulation: {output.partition(chr(10))[0]}"
    failed = [line for line in output.splitlines() if line.startswith(("FAILED tests/", "ERROR tests/"))]
    if process.returncode in (1, 2) and failed:
        return failed[0].partition(" - ")[0]
    if "Timeout" in output:
        return f"a test of {stage[0]} hangs"
    raise MutantError(
        f"pytest could not run {' '.join(stage)} (exit {process.returncode}):\n{output[-2_000:]}"
    )

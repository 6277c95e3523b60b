# SPDX-License-Identifier: Apache-2.0
"""What a mutant is: one line of the library made wrong, and which tests are to notice."""

from __future__ import annotations

import ast
from pathlib import Path

from attrs import field, frozen

ROOT = Path(__file__).parents[2]

Stages = tuple[tuple[str, ...], ...]
"""Arguments for pytest, or for the simulation, one tuple per run; a mutant that survives one goes into the next."""

SIMULATION = ("-m", "actorpool.testing.simulation", "--jobs", "1")
"""The whole "ci" profile of the simulation: arguments for python."""

WIDE: Stages = (
    # Some seconds, in which most of what the best fitting tests have missed is found.
    (*SIMULATION, "--chunk", "0"),
    ("tests/core", "-m", "not slow"),
    ("tests/core", "-m", "slow"),
    ("tests/actors", "-m", "not slow"),
    ("tests/api", "-m", "not slow"),
    SIMULATION,
)

GROUPS: dict[str, Stages] = {
    # The tests that fit best come first: most mutants do not live to see the others.
    "flow": (
        (
            "tests/core/test_pool_submit.py",
            "tests/core/test_pool_submit_many.py",
            "tests/core/test_pool_outcomes.py",
            "tests/core/test_pool_input.py",
        ),
        *WIDE,
    ),
    "backlog": (("tests/core/test_backlog.py",), *WIDE),
    "placement": (("tests/core/test_placement.py",), *WIDE),
    "pool": (
        (
            "tests/core/test_pool_containers.py",
            "tests/core/test_pool_decisions.py",
            "tests/core/test_pool_closing.py",
            "tests/core/test_pool_deaths.py",
        ),
        *WIDE,
    ),
    "attempts": (("tests/core/test_pool_outcomes.py", "tests/core/test_retry.py"), *WIDE),
    "batching": (("tests/core/test_batching.py", "tests/core/test_batching_machine.py"), *WIDE),
    "ordering": (("tests/core/test_ordering.py",), *WIDE),
    "maps": (
        ("tests/api/test_map_waits.py",),
        ("tests/core/test_ordering.py", "tests/api/test_map.py", "tests/api/test_map_window.py"),
        *WIDE,
    ),
    "lookahead": (("tests/core/test_lookahead.py", "tests/backends/test_sent_ahead.py"), *WIDE),
    "bridge": (
        ("tests/primitives/test_bridge.py", "tests/primitives/test_waiter_turns.py"),
        ("tests/primitives/test_wake_ups.py",),
        *WIDE,
    ),
    "policy": (("tests/core/test_scaling.py", "tests/core/test_trace.py"), *WIDE),
    "threads": (
        (
            "tests/core/test_threads.py",
            "tests/core/test_fair_threads.py",
            "tests/core/test_threads_machine.py",
        ),
        *WIDE,
    ),
    "schedule": (
        ("tests/core/test_cron.py", "tests/core/test_period.py", "tests/core/test_schedule.py"),
        *WIDE,
    ),
    "supervision": (("tests/core/test_supervision.py", "tests/primitives/test_supervisor.py"), *WIDE),
    "dispatch": (
        (
            "tests/api/test_limits.py",
            "tests/api/test_pool.py",
            "tests/actors/test_cancelled_callers.py",
            "tests/api/test_faults_lost_loops.py",
        ),
        *WIDE,
    ),
    "backend": (("tests/backends/test_own_backend.py",), *WIDE),
    "container": (
        ("tests/actors/test_enter_hooks.py", "tests/actors/test_exit_hooks.py", "tests/actors/test_hooks.py"),
        ("tests/api/test_faults_lost_loops.py",),
        *WIDE,
    ),
    "supervisor": (
        (
            "tests/api/test_scaledown_window.py",
            "tests/api/test_faults_closing.py",
            "tests/api/test_timeouts.py",
        ),
        *WIDE,
    ),
    "runtime": (
        (
            "tests/actors/test_drain_races.py",
            "tests/api/test_faults_closing.py",
            "tests/api/test_faults_running.py",
            "tests/api/test_faults_stopping.py",
        ),
        *WIDE,
    ),
    "scheduler": (("tests/actors/test_set_clocks.py", "tests/api/test_schedules.py"), *WIDE),
    "overrides": (
        ("tests/api/test_many_parameter_sets.py", "tests/actors/test_forgetting.py", "-m", "not slow"),
        *WIDE,
    ),
}


class MutantError(Exception):
    """A mutation that cannot be made: its line has gone, or stands in several places."""


@frozen
class Mutant:
    """One mutation of one line."""

    file: str
    """The file, below the package."""
    old: str
    """The line as it stands there, without its indentation."""
    new: str
    """What stands there instead; `pass` where a step is dropped."""
    breaks: str
    """What is wrong then, in words."""
    group: str = field()
    """Which tests are to notice, a key of `GROUPS`."""
    within: str = ""
    """The function that the line is in, where the file has the line more than once."""

    @group.validator
    def _known(self, _: object, group: str) -> None:
        if group not in GROUPS:
            raise MutantError(f"no group {group!r}; there are {', '.join(GROUPS)}")

    def __str__(self) -> str:
        return f"{self.file}: {self.breaks}"

    def applied_to(self, root: Path) -> tuple[Path, str]:
        """Return the file in the tree `root`, and its text with the mutation.

        Raises:
            MutantError: If the line is not there exactly once, or what stands there instead is no Python.
        """
        path = root / "actorpool" / self.file
        if not path.is_file():
            raise MutantError(f"{self}: there is no file actorpool/{self.file}")
        lines = path.read_text("utf-8").splitlines()
        first, last = self._span("\n".join(lines)) if self.within else (0, len(lines))
        found = [number for number in range(first, last) if lines[number].strip() == self.old]
        if len(found) != 1:
            where = f"function {self.within}" if self.within else "the file"
            raise MutantError(f"{self}: {where} has the line {self.old!r} {len(found)} times, not once")
        line = lines[found[0]]
        lines[found[0]] = line[: len(line) - len(line.lstrip())] + self.new
        text = "\n".join(lines) + "\n"
        try:
            ast.parse(text)
        except SyntaxError as error:
            raise MutantError(f"{self}: {self.new!r} is no Python there: {error}") from error
        return path, text

    def _span(self, text: str) -> tuple[int, int]:
        """Return the lines, from 0 and without the last, of the function that the mutation is in."""
        found = [
            (node.lineno - 1, node.end_lineno or node.lineno)
            for node in ast.walk(ast.parse(text))
            if isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef) and node.name == self.within
        ]
        if len(found) != 1:
            raise MutantError(f"{self}: the file has {len(found)} functions {self.within}, not one")
        return found[0]
